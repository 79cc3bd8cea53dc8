"""`retrainctl audit`: whether the journal is what was written."""

from __future__ import annotations

import itertools
import sys
from typing import Annotated

import typer

from retrainctl.options import Json
from retrainctl.site import open_site
from retrainctl.text import print_json
from retrainctl.views.times import count
from retraind.errors import Place, RetraindError
from retraind.journal import beside, read

__all__ = ["app"]

_SHOWN = 20
"""Flaws: a journal that was renumbered has one for each event after that."""

app = typer.Typer(help="Whether the journal is what was written.", no_args_is_help=True, add_completion=False)


@app.callback()
def _audit() -> None: ...


@app.command()
def verify(
    ctx: typer.Context,
    noted: Annotated[str, typer.Option("--head", metavar="HASH", help="A head that was noted elsewhere: it must be there.")] = "",
    json: Json = False,
) -> None:
    """Check the chain of every event, name each that was changed, removed or moved, and print the head to note elsewhere."""
    site = open_site(ctx)
    with read.opened(site.journal) as connection:
        good, head, first = read.verify(connection)
        found = list(itertools.islice(read.flaws(read.rows(connection)), _SHOWN + 1)) if first else []
        holder = connection.execute("SELECT seq FROM events WHERE hash = ?", (noted,)).fetchone() if noted else None
    told = [{"seq": flaw.seq, "what": flaw.what} for flaw in found]
    lost = bool(noted) and holder is None
    if json:
        print_json({"version": 1, "events": good, "head": head, "flaw": told[0] if told else None, "flaws": told[:_SHOWN],
                    "more_flaws": len(told) > _SHOWN, "noted": {"head": noted, "seq": holder[0] if holder else None}})  # fmt: skip
        if found or lost:
            raise typer.Exit(1)
        return
    sys.stdout.write(f"{count(good, 'event')}, each follows from the one before\nhead {head}\n")
    if holder:
        sys.stdout.write(f"the noted head is that of event {holder[0]}\n")
    for flaw in found[1:_SHOWN]:
        sys.stdout.write(f"FLAW {flaw.what}\n")
    if len(found) > _SHOWN:
        sys.stdout.write("and more\n")
    if found:
        raise RetraindError(f"the journal is not what was written: {found[0].what}", where=Place(str(site.journal)),
                            remedy=beside.what_to_do(site.journal))  # fmt: skip
    if lost:
        raise RetraindError("no event has the noted head: events were cut off at the end, or all of them written anew",
                            where=Place(str(site.journal)), remedy=beside.what_to_do(site.journal))  # fmt: skip
