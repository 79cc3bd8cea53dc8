"""`retrainctl runs`: the trainings, each with its figures, its log, and whether it comes out the same once more."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from retrainctl import site as sites
from retrainctl.options import Json
from retrainctl.site import open_site
from retrainctl.text import emit, print_json, screen
from retrainctl.views import runs as view
from retraind.core.steps import Progress
from retraind.errors import RetraindError

__all__ = ["app"]

app = typer.Typer(help="What was trained, why, and how good it is.", no_args_is_help=True, add_completion=False)

Run = Annotated[
    str, typer.Argument(metavar="[RUN]", help="A request's id or the begin of an MLflow run's; else the newest training.")
]
_LOOK_EVERY = 0.5


@app.command("list")
def list_(ctx: typer.Context, json: Json = False) -> None:
    """The trainings: when, why, for how long, and what came of them."""
    site = open_site(ctx)
    with site.opened() as (connection, state):
        data = view.listing(site, state.flow(site.pipeline), connection)
    if json:
        print_json(data)
    else:
        on = screen()
        emit(view.drawn_list(data, on, site.zone, sites.now()), on)


@app.command()
def show(
    ctx: typer.Context,
    run: Run = "",
    horizon: Annotated[int, typer.Option(metavar="DAYS", help="Days ahead; the nearest where none is named.")] = 0,
    json: Json = False,
) -> None:
    """Every candidate of a training beside doing nothing: test MAPE, RMSE, R², validation and search score, importance."""
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
) -> None:
    """The log of a training: of each try what it did when, and what a library said."""
    site = open_site(ctx)
    shown: dict[Path, int] = {}
    while True:
        with site.opened() as (connection, state):
            flow = state.flow(site.pipeline)
            request = flow.open_request() if follow and not run else None
            request = request or view.named(flow, run)
            jobs = view.jobs_of(connection, request.id)
            is_open = request.state == "waiting"
        for job in jobs:
            _print_new(site.root / site.settings.paths.state / "jobs" / job / "log.txt", shown)
        if not (follow and is_open):
            break
        run = request.id
        time.sleep(_LOOK_EVERY)
    if not shown:
        raise RetraindError(f"there is no log of {request.id}", remedy=f"see: retrainctl explain {request.id}")


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
    if not data["same"]:
        raise typer.Exit(1)


def _say_progress(progress: Progress) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K {progress.done} of {progress.of}: {progress.stage}")
        sys.stderr.flush()


def _clear_progress() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")

