"""`retrainctl policy`: which policies are in force, and whether an edit would be taken."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from retrainctl import site as sites
from retrainctl.options import Json
from retrainctl.site import open_site
from retrainctl.text import emit, print_json, screen
from retrainctl.views import policies as view
from retraind.errors import Place, Usage

__all__ = ["app"]

app = typer.Typer(help="The promotion policies.", no_args_is_help=True, add_completion=False)


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
def check(
    ctx: typer.Context,
    files: Annotated[list[str] | None, typer.Argument(help="The site's policies where none is named.")] = None,
    json: Json = False,
) -> None:
    """Read policy files as the daemon does, and tell every mistake with its line and remedy."""
    data = view.checked(_files(ctx, files or []), _known(ctx))
    if json:
        print_json(data)
    else:
        on = screen()
        emit(view.drawn_check(data, on), on)
    if not data["ok"]:
        raise typer.Exit(1)


def _files(ctx: typer.Context, named: list[str]) -> list[Path]:
    """The files to check. Raises Usage for one that is not there."""
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
    site = open_site(ctx)
    pipeline = site.settings.pipelines[site.pipeline]
    names = tuple(site.settings.mlflow.name_of(site.pipeline, t) for t in pipeline.contract.targets)
    return {"models": names, "horizons": pipeline.training.horizons, "clock": site.settings.site.clock}
