"""`retrainctl status`: works from the journal whether the daemon runs or not, and adds what a running daemon tells."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from retrainctl.options import Json
from retrainctl.site import site_to_look_at
from retrainctl.views import status as view
from retraind.errors import Usage

__all__ = ["status"]


def status(
    ctx: typer.Context,
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until Ctrl-C.")] = False,
) -> None:
    """What runs, what waits and what is wrong, overrides first."""
    site = site_to_look_at(ctx.obj["config"])
    if watch and json:
        raise Usage("--watch and --json do not go together", remedy="ask for status --json as often as you need it")
    if watch:
        from retrainctl.views import live  # noqa: PLC0415 (rich, only for who watches)

        with suppress(KeyboardInterrupt):
            live.watch(site)
    else:
        view.show(site, as_json=json)
