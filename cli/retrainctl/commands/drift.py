"""`retrainctl drift`: what drift was measured."""

from __future__ import annotations

from typing import Annotated

import typer

from retrainctl import site as sites
from retrainctl.options import Json
from retrainctl.site import open_site
from retrainctl.text import emit, print_json, screen
from retrainctl.views import drift as view
from retraind.journal import read

__all__ = ["app"]

app = typer.Typer(help="What drift was measured.", no_args_is_help=True, add_completion=False)


@app.callback()
def _noun() -> None:
    """What drift was measured."""


@app.command()
def show(
    ctx: typer.Context,
    feature: Annotated[str | None, typer.Argument(help="Only this one, window by window.")] = None,
    json: Json = False,
) -> None:
    """How much each feature moved in the newest window, and how unusual that is for it."""
    site = open_site(ctx)
    fdr = site.settings.pipelines[site.pipeline].drift.fdr
    with read.opened(site.journal) as connection:
        data = (
            view.feature(connection, site.pipeline, feature, fdr)
            if feature
            else view.window(connection, site.pipeline, fdr)
        )
    if json:
        print_json(data)
        return
    on, today = screen(), sites.now().astimezone(site.zone).date()
    emit(view.drawn_feature(data, on, today) if feature else view.drawn_window(data, on, today), on)
