"""`retrainctl scores`: how forecasts came out."""

from __future__ import annotations

from typing import Annotated, cast

import typer

from retrainctl.options import Json
from retrainctl.site import open_site, target_named
from retrainctl.text import emit, print_json, screen
from retrainctl.views import scores as view
from retraind.core.binding import nearest
from retraind.errors import Usage
from retraind.journal import read

__all__ = ["scores"]


def scores(
    ctx: typer.Context,
    target: Annotated[str, typer.Option(help="Only this one.")] = "",
    by: Annotated[str, typer.Option(metavar="|".join(view.BY), help="A row each.")] = "",
    json: Json = False,
) -> None:
    """The champion's live error beside forecasts that cost nothing, on the same rows, issued and backcast apart."""
    site = open_site(ctx)
    if by and by not in view.BY:
        raise Usage(f'--by: "{by}" is not known', remedy=nearest(by, view.BY))
    with read.opened(site.journal) as connection:
        data = view.scores(connection, site.pipeline, target_named(site, target), cast("view.By", by or "all"))
    if json:
        print_json(data)
    else:
        on = screen()
        emit(view.drawn(data, on), on)
