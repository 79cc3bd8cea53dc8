"""`retrainctl audit`: whether the journal is what was written, a version for an auditor's file, and the journal for others."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from sqlite3 import Connection
from typing import Annotated, Any, TextIO

import typer

from retrainctl import site as sites
from retrainctl.options import Json
from retrainctl.site import model_named, open_site, version_named
from retrainctl.text import emit, print_json, screen
from retrainctl.views import audit as view
from retrainctl.views.audit_page import page
from retrainctl.views.times import count
from retraind.errors import Place, RetraindError, Usage
from retraind.journal import beside, read

__all__ = ["app"]

_SHOWN = 20
"""Flaws: a journal that was renumbered has one for each event after that."""

app = typer.Typer(help="Whether the journal is what was written, and what an auditor files.", no_args_is_help=True,
                  add_completion=False)  # fmt: skip


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


@app.command()
def show(
    ctx: typer.Context,
    model: str,
    version: str,
    html: Annotated[str, typer.Option(metavar="FILE", help="Write a page that holds everything itself.")] = "",
    json: Json = False,
) -> None:
    """One version as an auditor files it: data, recipe, figures, decisions with the policy's text, people and stages."""
    site = open_site(ctx)
    with site.opened() as (connection, state):
        named = model_named(site, state.flow(site.pipeline), model)
        data = view.gather(site, state, named, version_named(named, version), connection, sites.now())
    if html:
        Path(html).write_text(page(data, site.zone), "utf-8")
    if json:
        print_json(data)
    elif html:
        sys.stdout.write(f"{html}: {data['model']} v{data['number']} at event {data['journal']['events']}\n")
    else:
        on = screen()
        emit(view.drawn(data, on, site.zone), on)


@app.command()
def export(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="Where to; standard output where none is named.")] = "",
    after: Annotated[int, typer.Option(min=0, metavar="EVENT", help="Only what came after that one.")] = 0,
) -> None:
    """Every event with its hash as lines of JSON, and the head at the end: to be kept where the daemon's user cannot write."""
    site = open_site(ctx)
    with read.opened(site.journal) as connection, _output(file) as out:
        flaw = _exported(connection, out, after)
    if flaw:
        raise RetraindError(f"the journal is not what was written: {flaw.what}", where=Place(str(site.journal)),
                            remedy="see: retrainctl audit verify")  # fmt: skip


def _exported(connection: Connection, out: TextIO, after: int) -> read.Flaw | None:
    """The lines; the first flaw met on the way."""
    before = connection.execute("SELECT hash FROM events WHERE seq = ?", (after,)).fetchone()
    if after and before is None:
        raise Usage(f"there is no event {after}", remedy="see: retrainctl status")
    head, last, first = (before[0] if before else read.GENESIS), after, None
    _write(out, {"retraind": "journal", "version": 1, "after": after, "previous": head})
    for row in read.rows(connection, after):
        if first is None and (row[0] != last + 1 or read.chain(head, tuple(row[:-1])) != row[-1]):
            first = read.Flaw(row[0], f"event {row[0]} does not follow from event {last}")
        last, head = row[0], row[-1]
        _write(out, dict(zip(read.NAMES, row, strict=True)))
    _write(out, {"events": last, "head": head})
    return first


def _write(out: TextIO, line: dict[str, Any]) -> None:
    out.write(dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


@contextmanager
def _output(file: str) -> Iterator[TextIO]:
    if not file or file == "-":
        yield sys.stdout
        return
    with Path(file).open("w", encoding="utf-8") as out:
        yield out
