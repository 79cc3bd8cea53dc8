"""Takes a valid but wrong drop out of what is known, and tells what was computed from it.

Its file stays on the disk: a job that reads it this moment is not disturbed, and any past state can be read again. Light:
whoever only looks imports it.
"""

from __future__ import annotations

import datetime as dt

from retraind.core import live
from retraind.core.state import Drop, Flow, Version

__all__ = ["MARKER", "judged", "mark", "withdraw"]

_JUDGED = 14
MARKER = "marker "
"""How the words of a day begin that a file vouches for; else it is a person."""


def withdraw(flow: Flow, drop: Drop, words: str) -> None:
    """The accepted drop leaves the store. words: who took it out, kept for what was computed from it."""
    drop.state, drop.notes = "withdrawn", (*drop.notes, words.removeprefix(f"drop {drop.id}, "))
    held = flow.damaged.pop(drop.id, None)
    kept = flow.let_go(drop.id)
    gone = [held.file] if held else kept
    for file in gone:
        flow.withdrawn[file.sha256] = words
    request = flow.open_request()
    if request and not any(job.step == "train" for job in flow.jobs.values()):  # it will not be read
        left = [sha256 for sha256 in flow.store_of(request) if sha256 not in flow.withdrawn]
        request.places, request.tables = flow.places_of(left), flow.tables_of(left)
    mark(flow)
    if held is None and drop.role == "main" and drop.first_date and drop.last_date:  # of a held one nothing was known
        _forget(flow, drop, drop.first_date, drop.last_date)


def _forget(flow: Flow, drop: Drop, first: dt.date, last: dt.date) -> None:
    """What was known of the days of a withdrawn main drop."""
    for known in flow.live.values():
        live.void(known, first, last)
    span = [first + dt.timedelta(i) for i in range((last - first).days + 1)]
    held = {day: flow.holder(drop.table, day) is not None for day in span}
    for day, still in held.items():
        if not still:
            flow.incomplete.pop(day.isoformat(), None)
        if not flow.vouched.get(day.isoformat(), MARKER).startswith(MARKER):  # what a person saw is gone
            del flow.vouched[day.isoformat()]
    again = tuple(day for day in judged(first, last, flow.last_date(drop.table or "")) if held[day])
    flow.look_again.pop(drop.id, None)
    if again:
        flow.look_again[drop.id] = again


def judged(first: dt.date, last: dt.date, newest: dt.date | None) -> list[dt.date]:
    """The days from first to last whose fullness is looked at, oldest first: those within two weeks of the newest date.

    What is older was settled long ago.
    """
    span = [first + dt.timedelta(i) for i in range((last - first).days + 1)][-_JUDGED:]
    return [day for day in span if newest and (newest - day).days < _JUDGED]


def mark(flow: Flow) -> None:
    """Every version says in words whether it learned from a file that a person took out of the store."""
    for model in flow.models.values():
        for version in model.versions.values():
            version.tainted = _tainted(flow, version)


def _tainted(flow: Flow, version: Version) -> str:
    request = flow.requests.get(version.request)
    found = [flow.withdrawn[sha256] for sha256 in (flow.store_of(request) if request else ()) if sha256 in flow.withdrawn]
    return f"trained on {'; '.join(found)}" if found else ""
