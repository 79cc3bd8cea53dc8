"""`retrainctl history`: who was Production when, and why."""

from __future__ import annotations

import typer

from retrainctl import site as sites
from retrainctl.options import At, Json, when
from retrainctl.site import model_named, open_site
from retrainctl.text import emit, print_json, screen
from retrainctl.views import history as view

__all__ = ["history"]


def history(ctx: typer.Context, model: str, at: At = "", json: Json = False) -> None:
    """Which version was Production when, for how long, and why it came."""
    site = open_site(ctx)
    with site.opened() as (connection, state):
        flow = state.flow(site.pipeline)
        then = when(at, sites.now(), site.zone) if at else None
        data = view.gather(flow, model_named(site, flow, model), connection, then)
    if json:
        print_json(data)
    else:
        on = screen()
        emit(view.drawn(data, on, site.zone, sites.now()), on)
