"""`retrainctl policy`: which policies are in force, and whether an edit would be taken, what it changes and what tests say."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from retrainctl import site as sites
from retrainctl.options import Json
from retrainctl.site import open_site
from retrainctl.text import Line, Screen, emit, print_json, screen
from retrainctl.views import policies as view
from retraind.core.policy.schema import printed
from retraind.errors import Place, Usage
from retraind.strict_policy import read_policy

__all__ = ["app"]

app = typer.Typer(help="The promotion policies.", no_args_is_help=True, add_completion=False)
Files = Annotated[list[str] | None, typer.Argument(help="The site's policies where none is named.")]


class Cadence(StrEnum):
    """How often drops come."""

    DAILY = "daily"
    WEEKLY = "weekly"


@app.command("list")
def list_(ctx: typer.Context, json: Json = False) -> None:
    """The policies in force, whom they speak for, and edits that were refused."""
    site = open_site(ctx)
    data = view.listing(site.state())
    if json:
        print_json(data)
    else:
        on = screen()
        emit(view.drawn_listing(data, on, site.zone, sites.now()), on)


@app.command()
def schema(json: Json = False) -> None:  # noqa: ARG001 (it is JSON either way)
    """The JSON schema of policy files, for completion in editors."""
    sys.stdout.write(printed())


@app.command()
def check(
    ctx: typer.Context,
    files: Files = None,
    cadence: Annotated[
        Cadence | None,
        typer.Option(
            metavar="daily|weekly", help="How often drops come: refuse what is never reached so; else both are told."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Read policy files as the daemon does, and tell every mistake with its line and remedy."""
    data = view.checked(_files(ctx, files or []), _known(ctx), cadence.value if cadence else None)
    _show(data, view.drawn_check, as_json=json)


@app.command("test")
def run_tests(ctx: typer.Context, files: Files = None, json: Json = False) -> None:
    """Run the policies' own tests on virtual time, and name what no test ever saw."""
    _show(view.tested(_files(ctx, files or [])), view.drawn_test, as_json=json)


@app.command("diff")
def diff_(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(help="An edit of the file in force; with two files, the older.")],
    newer: Annotated[str | None, typer.Argument(help="The newer of two files.")] = None,
    json: Json = False,
) -> None:
    """What an edit changes, in words: stricter, looser or other."""
    paths = _files(ctx, [file] if newer is None else [file, newer])
    new = read_policy(paths[-1], shown_as=str(paths[-1])).loaded
    old = view.in_force(open_site(ctx).state(), paths[0].name) if newer is None else read_policy(
        paths[0], shown_as=str(paths[0])
    ).loaded  # fmt: skip
    data = view.compared(old, new)
    _show({**data, "ok": True}, view.drawn_diff, as_json=json)


def _show(data: dict[str, Any], drawn: Callable[[dict[str, Any], Screen], list[Line]], *, as_json: bool) -> None:
    """The answer; exit code 1 when it is not good."""
    if as_json:
        print_json(data)
    else:
        on = screen()
        emit(drawn(data, on), on)
    if not data["ok"]:
        raise typer.Exit(1)


def _files(ctx: typer.Context, named: list[str]) -> list[Path]:
    """The files meant. Raises Usage for one that is not there."""
    if named:
        paths = [Path(name) for name in named]
        for path in paths:
            if not path.is_file():
                raise Usage("there is no such file", where=Place(str(path)))
        return paths
    site = open_site(ctx)
    folder = site.root / site.settings.paths.policies
    found = sorted(p for p in folder.glob("*.y*ml") if p.suffix in (".yaml", ".yml") and not p.name.startswith("."))
    if not found:
        raise Usage(
            "holds no policy file", where=Place(str(folder)), remedy="name a file, or start from policies/examples/"
        )
    return found


def _known(ctx: typer.Context) -> dict[str, Any]:
    """What the linter may know of the site; nothing where there is none: files can be checked anywhere."""
    if not Path(ctx.obj["config"]).exists():
        return {}
    site = sites.site_to_look_at(ctx.obj["config"])
    pipeline = site.settings.pipelines[site.pipeline]
    names = tuple(site.settings.mlflow.name_of(site.pipeline, t) for t in pipeline.contract.targets)
    return {"models": names, "horizons": pipeline.training.horizons, "clock": site.settings.site.clock,
            "cadence": pipeline.drops.expect, "folds": pipeline.training.search.folds,
            "contract": pipeline.contract}  # fmt: skip
