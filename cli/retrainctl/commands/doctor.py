"""`retrainctl doctor`: the whole site looked over, and the remedy for whatever is wrong."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Annotated

import typer

from retrainctl import site as sites
from retrainctl.health import machine, records
from retrainctl.health.finding import Finding, note, wrong
from retrainctl.health.registry import registry
from retrainctl.options import Json
from retrainctl.site import Site, site_to_look_at
from retrainctl.text import Cell, Style, emit, labelled, print_json, screen, table
from retrainctl.views.times import count
from retraind.core.binding import unbind
from retraind.core.state import State
from retraind.errors import RetraindError, told

__all__ = ["doctor", "findings"]

_MARKS: dict[str, tuple[str, Style]] = {"ok": ("ok", "green"), "note": ("note", "yellow"), "wrong": ("WRONG", "red")}


def doctor(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also what is as it should be.")] = False,
    json: Json = False,
) -> None:
    """Look the whole site over, and say the remedy for each thing that is wrong."""
    site = site_to_look_at(ctx.obj["config"])
    found = list(findings(site, sites.now()))
    bad = sum(f.verdict == "wrong" for f in found)
    if json:
        print_json({"version": 1, "wrong": bad, "findings": [unbind(f) for f in found]})
    else:
        on = screen()
        shown = [f for f in found if everything or f.verdict != "ok"]
        rows: list[list[Cell]] = [[_MARKS[f.verdict], f.check, told(f.words, f.remedy)] for f in shown]
        fine = sum(f.verdict == "ok" for f in found)
        last = f"{count(fine, 'check')} ok, {bad} wrong" + ("" if everything else "; see all: retrainctl doctor --all")
        emit([*table(("", "", ""), rows, on), *labelled("", last, on, indent=1)], on)
    if bad:
        raise typer.Exit(1)


def findings(site: Site, now: dt.datetime) -> Iterator[Finding]:
    """Every check, the quick ones first; one that cannot be made is told like one that fails."""
    state, unreadable = _state(site)
    yield from records.settings(site, state)
    yield from records.daemon(site, state)
    yield from machine.folders(site)
    yield from machine.disk(site)
    yield from machine.inotify(site)
    yield from machine.clock(state, now)
    yield from machine.systemd()
    if unreadable:
        yield wrong("journal", unreadable.what, unreadable.remedy)
        return
    if not state.seq:
        yield note("journal", "there is none yet", "start the daemon: retraind")
        return
    with site.opened(state) as (connection, _):
        yield from records.journal(site, connection)
        yield from records.backups(site, connection, now)
    flow = state.flow(site.pipeline)
    yield from records.store(site, flow)
    yield from records.policies(site, state)
    yield from records.steps(flow)
    yield from records.champions(site, flow)
    yield from records.channels(site, state)
    yield from registry(site, state)


def _state(site: Site) -> tuple[State, RetraindError | None]:
    """An empty one, and why, where the journal cannot be read."""
    try:
        return site.state(), None
    except RetraindError as error:
        return State(), error
