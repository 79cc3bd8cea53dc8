"""`retrainctl work`: until nothing is left to do."""

from __future__ import annotations

import sys

import typer

from retrainctl.daemons import daemon_of
from retrainctl.options import Json
from retrainctl.site import open_site
from retrainctl.text import print_json

__all__ = ["work"]


def work(ctx: typer.Context, json: Json = False) -> None:
    """Wait until the daemon has nothing left to do; where none runs, start one for it, which ends then."""
    site = open_site(ctx)
    with daemon_of(site, asks=False) as daemon:
        daemon.rest(quietly=json)
    flow = site.state().flow(site.pipeline)
    champions = {model.name: model.champion for model in flow.models.values()}
    if json:
        print_json({"version": 1, "done": "nothing is left to do", "champions": champions, "started": daemon.own is not None})
    else:
        told = ", ".join(f"{name} v{number}" for name, number in champions.items() if number is not None)
        sys.stdout.write(f"nothing is left to do; in production: {told or 'nothing yet'}\n")
