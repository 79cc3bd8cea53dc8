"""`retrainctl status`: works from the journal whether the daemon runs or not, and adds what a running daemon tells."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from retrainctl import client
from retrainctl.options import Json, print_json
from retrainctl.site import Site, now, open_site
from retrainctl.views import status as view
from retrainctl.views.text import emit, screen
from retraind.core.state import State
from retraind.errors import RetraindError

__all__ = ["document", "status"]


def status(
    ctx: typer.Context,
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until Ctrl-C.")] = False,
) -> None:
    """What runs, what waits and what is wrong, overrides first."""
    site = open_site(ctx)
    if watch:
        from retrainctl.views import live  # noqa: PLC0415 (rich, only for who watches)

        live.watch(site)
        return
    data = document(site)
    if json:
        print_json(data)
        return
    on = screen()
    emit(view.drawn(data, on), on)


def document(site: Site) -> dict[str, Any]:
    """What `status --json` prints."""
    live, silent = looked(site)
    if not site.journal.exists():
        return view.gather(site, State(), None, live, now(), silent)
    with site.opened() as (connection, state):
        return view.gather(site, state, connection, live, now(), silent)


def looked(site: Site) -> tuple[view.Live, str]:
    """What the daemon tells, and why not when it is there and silent."""
    try:
        return client.look(site), ""
    except RetraindError as error:
        return None, str(error)
