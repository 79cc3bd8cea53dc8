"""`retrainctl alerts`: what a person was told of, and who took it."""

from __future__ import annotations

from typing import Annotated

import typer

from retrainctl import site as sites
from retrainctl.options import Json
from retrainctl.site import open_site
from retrainctl.text import emit, print_json, screen
from retrainctl.views import alerts as view

__all__ = ["app"]

app = typer.Typer(help="What a person was told of.", no_args_is_help=True, add_completion=False)


@app.callback()
def _noun() -> None:
    """What a person was told of."""


@app.command("list")
def list_(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Not only the newest 30.")] = False,
    json: Json = False,
) -> None:
    """The alerts, the newest last, each with the channels that took it."""
    site = open_site(ctx)
    data = view.listing(site.state(), None if everything or json else 30)
    if json:
        print_json(data)
    else:
        on = screen()
        emit(view.drawn_listing(data, on, site.zone, sites.now()), on)
