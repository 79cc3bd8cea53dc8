"""`retrainctl explain`: why a version was promoted, held, rejected or rolled back, and what would change it; where a request
for a training came from and went; what became of a drop."""

from __future__ import annotations

from collections.abc import Callable
from sqlite3 import Connection
from typing import Annotated, Any

import typer

from retrainctl import site as sites
from retrainctl.options import Json
from retrainctl.site import Site, drop_named, model_named, open_site, version_named
from retrainctl.text import emit, print_json, screen
from retrainctl.views import explain as of_a_version
from retrainctl.views import request as of_a_request
from retrainctl.views import way as of_a_drop
from retraind.core.binding import nearest
from retraind.core.state import Flow, State
from retraind.errors import RetraindError, Usage

__all__ = ["explain"]

_PREFIX = 4
"""Of a drop's id at least so many letters, so that a mistyped model is not taken for one."""


def explain(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(metavar="MODEL|REQUEST|DROP", help="A model, or the id of a request or of a drop.")],
    version: Annotated[
        str,
        typer.Argument(
            metavar="[VERSION]", help="Of a model: the candidate that may still go up, else the champion, where none is named."
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Why a version was promoted, held, rejected or rolled back, or what became of a request or a drop."""
    site = open_site(ctx)
    with site.opened() as (connection, state):
        data, drawn = _found(site, state, connection, what, version)
    if json:
        print_json(data)
    else:
        on = screen()
        emit(drawn(data, on, site.zone, sites.now()), on)


def _found(
    site: Site, state: State, connection: Connection, what: str, version: str
) -> tuple[dict[str, Any], Callable[..., Any]]:
    """The document and who draws it."""
    flow = state.flow(site.pipeline)
    if not version and what in flow.requests:
        return of_a_request.gather(site, state, flow.requests[what], connection), of_a_request.drawn
    if not version and _is_drop(flow, what):
        return of_a_drop.gather(site, state, drop_named(flow, what), connection), of_a_drop.drawn
    if not version and what[:1].isdecimal() and "-" in what:
        raise Usage(f'there is no request "{what}"', remedy=nearest(what, list(flow.requests)) if flow.requests else "")
    model = model_named(site, flow, what)
    asked = version_named(model, version) if version else of_a_version.asked_about(model)
    if asked is None:
        raise RetraindError(f"no version of {model.name} was judged yet",
                            remedy=f"see: retrainctl versions list {model.name}")  # fmt: skip
    return of_a_version.gather(site, state, model, asked, connection, sites.now()), of_a_version.drawn


def _is_drop(flow: Flow, what: str) -> bool:
    return what in flow.drops or (len(what) >= _PREFIX and any(d.startswith(what) for d in flow.drops))
