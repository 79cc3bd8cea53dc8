"""`retrainctl runs`: the trainings, each with its figures, its log, and whether it comes out the same once more."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from retrainctl import site as sites
from retrainctl.daemons import Daemon, daemon_of
from retrainctl.options import DryRun, Json, Reason, Yes, agreed
from retrainctl.site import Site, open_site
from retrainctl.text import emit, print_json, screen
from retrainctl.views import runs as view
from retraind.core.messages import Promote
from retraind.core.state import State
from retraind.core.steps import Progress
from retraind.errors import NotRunning, RetraindError, Several

__all__ = ["app"]

app = typer.Typer(help="What was trained, why, and how good it is.", no_args_is_help=True, add_completion=False)

Run = Annotated[
    str, typer.Argument(metavar="[RUN]", help="A request's id or the begin of an MLflow run's; else the newest training.")
]
_LOOK_EVERY = 0.5


@app.command("list")
def list_(
    ctx: typer.Context,
    reports: Annotated[bool, typer.Option("--reports", help="Only those with a report, and where it lies.")] = False,
    json: Json = False,
) -> None:
    """The trainings: when, why, for how long, and what came of them."""
    site = open_site(ctx)
    with site.opened() as (connection, state):
        data = view.listing(site, state.flow(site.pipeline), connection)
    if reports:
        data["runs"] = [row for row in data["runs"] if row["report"]]
    if json:
        print_json(data)
    else:
        on, drawn = screen(), view.drawn_reports if reports else view.drawn_list
        emit(drawn(data, on, site.zone, sites.now()), on)


@app.command()
def show(
    ctx: typer.Context,
    run: Run = "",
    horizon: Annotated[int, typer.Option(metavar="DAYS", help="Days ahead; the nearest where none is named.")] = 0,
    json: Json = False,
) -> None:
    """Every candidate of a training beside doing nothing: test MAPE, RMSE, R², validation and CV cost, importance."""
    site = open_site(ctx)
    with site.opened() as (connection, state):
        data = view.show(site, view.named(state.flow(site.pipeline), run), connection)
    on = screen()
    lines = view.drawn_show(data, on, site.zone, sites.now(), horizon or None)
    if json:
        print_json(data)
    else:
        emit(lines, on)


@app.command()
def logs(
    ctx: typer.Context,
    run: Run = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing until the training has ended.")] = False,
    json: Json = False,
) -> None:
    """The log of a training: of each try what it did when, and what a library said."""
    site = open_site(ctx)
    if json:
        print_json(_logs(site, run))
        return
    shown: dict[Path, int] = {}
    while True:
        with site.opened() as (connection, state):
            flow = state.flow(site.pipeline)
            request = flow.open_request() if follow and not run else None
            request = request or view.named(flow, run)
            jobs = view.jobs_of(connection, request.id)
            is_open = request.state == "waiting"
        for job in jobs:
            _print_new(_log_of(site, job), shown)
        if not (follow and is_open):
            break
        run = request.id
        time.sleep(_LOOK_EVERY)
    if not shown:
        raise RetraindError(f"there is no log of {request.id}", remedy=f"see: retrainctl explain {request.id}")


def _logs(site: Site, run: str) -> dict[str, Any]:
    """Of each try, as it stands."""
    with site.opened() as (connection, state):
        request = view.named(state.flow(site.pipeline), run)
        jobs = view.jobs_of(connection, request.id)
    paths = {job: _log_of(site, job) for job in jobs}
    kept = {job: path.read_text("utf-8", "replace").splitlines() for job, path in paths.items() if path.exists()}
    return {"version": 1, "request": request.id, "tries": [{"job": job, "lines": lines} for job, lines in kept.items()]}


def _log_of(site: Site, job: str) -> Path:
    return site.root / site.settings.paths.state / "jobs" / job / "log.txt"


def _print_new(path: Path, shown: dict[Path, int]) -> None:
    """What came to the file since it was printed last."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(shown.get(path, 0))
        content = file.read()
    shown[path] = shown.get(path, 0) + len(content)
    sys.stdout.write(content.decode("utf-8", "replace"))
    sys.stdout.flush()


@app.command()
def reproduce(ctx: typer.Context, run: Run = "", json: Json = False) -> None:
    """Train once more on the same data, by the settings of then, keep nothing, and compare every figure to the last digit."""
    from retrainctl.views import reproduced  # noqa: PLC0415 (it replays the journal with the daemon's own rules)

    site = open_site(ctx)
    with site.opened() as (connection, state):
        request = view.named(state.flow(site.pipeline), run)
        data = reproduced.gather(site, request, connection, _say_progress)
    _clear_progress()
    if json:
        print_json(data)
    else:
        on = screen()
        emit(reproduced.drawn(data, on), on)
    if not data["same"] and not data["cut_short"]:
        raise typer.Exit(1)


@app.command()
def promote(
    ctx: typer.Context, run: Run = "", reason: Reason = "", yes: Yes = False, dry_run: DryRun = False, json: Json = False
) -> None:
    """Promote what a training chose (each target's first candidate) to Production, where its policy allows that; wait for it."""
    site = open_site(ctx)
    with site.opened() as (connection, state):
        flow = state.flow(site.pipeline)
        request = view.named(flow, run)
        chosen = {r.model: r.candidates[0].version for r in view.finished(connection, request).results}
    open_ = {m: v for m, v in chosen.items() if flow.models[m].champion != v}
    refused: dict[str, RetraindError] = {}
    if dry_run:
        refused = _would_refuse(site, state, open_)
    elif open_:
        agreed(f"Promote {_named(open_)} to Production, if their policies allow it. Go on?", yes=yes)
        with daemon_of(site) as daemon:
            refused = _promote_each(daemon, open_, reason)
            daemon.rest(quietly=json)
        if refused:
            raise Several(list(refused.values()), remedy=f"see: retrainctl runs show {request.id}")
    taken = {m: v for m, v in open_.items() if m not in refused}
    done = f"{'would promote' if dry_run else 'promoted'} {_named(taken) or 'nothing'}"
    if not open_:
        done = f"what {request.id} chose is in production already"
    if json:
        print_json({"version": 1, "done": done, "dry_run": dry_run, "request": request.id, "versions": taken,
                    "refused": {m: str(error) for m, error in refused.items()}})  # fmt: skip
    else:
        sys.stdout.write("\n".join([done, *(f"would be refused: {error}" for error in refused.values())]) + "\n")
    if refused:
        raise typer.Exit(1)


def _named(versions: Mapping[str, int]) -> str:
    return " and ".join(f"{model} v{number}" for model, number in versions.items())


def _would_refuse(site: Site, state: State, versions: Mapping[str, int]) -> dict[str, RetraindError]:
    """What the daemon would refuse now, by model."""
    from retrainctl.scene import foreseen, scene_now  # noqa: PLC0415 (it reads policies, which the other views need not)

    scene, refused = scene_now(site, state, sites.now()), {}
    for model, number in versions.items():
        try:
            foreseen(scene, Promote(model, number, "production"))
        except RetraindError as error:
            refused[model] = error
    return refused


def _promote_each(daemon: Daemon, versions: Mapping[str, int], reason: str) -> dict[str, RetraindError]:
    """Why some are refused, by model, which holds none of the others back. Raises NotRunning."""
    refused = {}
    for model, number in versions.items():
        try:
            daemon.ask(Promote(model, number, "production", reason=reason))
        except NotRunning:
            raise
        except RetraindError as error:
            refused[model] = error
    return refused


def _say_progress(progress: Progress) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K {progress.done} of {progress.of}: {progress.stage}")
        sys.stderr.flush()


def _clear_progress() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")

