"""`retrainctl versions`: what trainings registered, with the figures and verdicts of each."""

from __future__ import annotations

from typing import Annotated

import typer

from retrainctl import site as sites
from retrainctl.commands.adopt import adopt
from retrainctl.options import Json
from retrainctl.site import model_named, open_site, version_named
from retrainctl.text import emit, print_json, screen
from retrainctl.views import versions as view

__all__ = ["app"]

app = typer.Typer(help="What trainings registered.", no_args_is_help=True, add_completion=False)


app.command("adopt")(adopt)


@app.command("list")
def list_(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="[MODEL]", help="All of them where none is named.")] = "",
    json: Json = False,
) -> None:
    """The versions of every model, with stage, verdict and test error."""
    site = open_site(ctx)
    flow = site.state().flow(site.pipeline)
    models = [model_named(site, flow, model)] if model else list(flow.models.values())
    data = view.listing(models)
    if json:
        print_json(data)
    else:
        on = screen()
        emit(view.drawn_listing(data, on), on)


@app.command()
def show(ctx: typer.Context, model: str, version: str, json: Json = False) -> None:
    """One version with its recipe, its figures at every horizon and what it was judged beside."""
    site = open_site(ctx)
    flow = site.state().flow(site.pipeline)
    named = model_named(site, flow, model)
    data = view.detail(flow, named, version_named(named, version))
    if json:
        print_json(data)
    else:
        on = screen()
        emit(view.drawn_detail(data, on, site.zone, sites.now()), on)
