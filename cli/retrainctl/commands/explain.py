"""`retrainctl explain`: why a version was promoted, held, rejected or rolled back, and what would change it."""

from __future__ import annotations

from typing import Annotated

import typer

from retrainctl import site as sites
from retrainctl.options import Json
from retrainctl.site import model_named, open_site, version_named
from retrainctl.text import emit, print_json, screen
from retrainctl.views import explain as view
from retraind.errors import RetraindError

__all__ = ["explain"]


def explain(
    ctx: typer.Context,
    model: str,
    version: Annotated[
        str,
        typer.Argument(
            metavar="[VERSION]", help="The candidate that may still go up, else the champion, where none is named."
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Why a version was promoted, held, rejected or rolled back: each condition, and what would change it."""
    site = open_site(ctx)
    with site.opened() as (connection, state):
        named = model_named(site, state.flow(site.pipeline), model)
        asked = version_named(named, version) if version else view.asked_about(named)
        if asked is None:
            raise RetraindError(f"no version of {named.name} was judged yet",
                                remedy=f"see: retrainctl versions list {named.name}")  # fmt: skip
        data = view.gather(site, state, named, asked, connection, sites.now())
    if json:
        print_json(data)
    else:
        on = screen()
        emit(view.drawn(data, on, site.zone, sites.now()), on)
