"""`retrainctl audit`: whether the journal is what was written."""

from __future__ import annotations

import sys

import typer

from retrainctl.options import Json
from retrainctl.site import open_site
from retrainctl.text import print_json
from retraind.errors import Place, RetraindError
from retraind.journal import read

__all__ = ["app"]

app = typer.Typer(help="Whether the journal is what was written.", no_args_is_help=True, add_completion=False)


@app.callback()
def _audit() -> None: ...


@app.command()
def verify(ctx: typer.Context, json: Json = False) -> None:
    """Check the chain of every event, and print their count and the head to note elsewhere."""
    site = open_site(ctx)
    with read.opened(site.journal) as connection:
        count, head, flaw = read.verify(connection)
    told = {"seq": flaw.seq, "what": flaw.what} if flaw else None
    if json:
        print_json({"version": 1, "events": count, "head": head, "flaw": told})
    else:
        sys.stdout.write(f"{count:,} events, each follows from the one before\nhead {head}\n")
    if flaw and json:
        raise typer.Exit(1)
    if flaw:
        raise RetraindError(
            f"{flaw.what}; what stands there and after it cannot be trusted",
            where=Place(str(site.journal)),
            remedy="stop the daemon, keep a copy of the file, and restore a backup of the state folder",
        )
