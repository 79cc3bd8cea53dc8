"""Decides which days of the main table count: a half-day export reads as a collapse of demand.

A day is complete by its marker file where the settings name one, else by what the job examine saw of it against its own
weekday's past; a person may say that a day is real. A day that is not complete is as if it were not there: not forecast
from, scored, trained on or measured. Also here: a drop that does not come.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from typing import Any

from retraind.core import events as e
from retraind.core.people import quoted
from retraind.core.scene import PlannedJob, Scene, Wait, attempt
from retraind.core.settings import Drops
from retraind.core.state import Drop, Flow
from retraind.core.steps import DayLook, Examine, Note

__all__ = [
    "accept", "excluded", "incomplete", "incomplete_of", "look_again", "looked_at", "marked", "marker_of",
    "newest_complete", "overdue",
]  # fmt: skip


# ---- what counts ----


def excluded(scene: Scene) -> tuple[dt.date, ...]:
    """Days that do not count, oldest first: incomplete ones, and those that are still to be looked at."""
    return tuple(sorted({*incomplete(scene.flow), *(day for days in scene.flow.look_again.values() for day in days)}))


def incomplete(flow: Flow) -> tuple[dt.date, ...]:
    """Days that were looked at and found incomplete: nothing is held against them."""
    return tuple(sorted(map(dt.date.fromisoformat, flow.incomplete)))


def newest_complete(scene: Scene) -> dt.date | None:
    """The newest day of the main table that counts. None without one."""
    span = scene.flow.spans.get(scene.config.contract.main)
    if span is None:
        return None
    first, day = span
    without = set(excluded(scene))
    while day in without:
        day -= dt.timedelta(days=1)
    return day if day >= first else None


# ---- events ----


def looked_at(looks: Iterable[DayLook], flow: Flow, marker: str | None) -> list[Any]:
    """The events of what the job saw of days: only what changes something."""
    told: list[Any] = []
    for look in looks:
        day = look.date.isoformat()
        if day in flow.vouched:
            continue
        why = "" if look.complete else look.why
        if marker:  # it alone says so: neither a full day nor a strange one counts before
            why = f"its marker {marker.replace('{date}', day)} has not come"
        if why and flow.incomplete.get(day) != why:
            told.append(e.DayIncomplete(look.drop, look.date, look.items, look.usual_items, why))
        elif not why and day in flow.incomplete:
            told.append(e.DayComplete(look.date, f"drop {look.drop} brought the rest: {look.items} items"))
    return told


def marker_of(drops: Drops, name: str) -> dt.date | None:
    """The day that a file of that name marks as complete. None when it is no marker."""
    if not drops.marker:
        return None
    before, after = map(re.escape, drops.marker.split("{date}", 1))
    found = re.fullmatch(rf"{before}(\d{{4}}-\d{{2}}-\d{{2}}|\d{{8}}){after}", name)
    try:
        return dt.date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


def marked(flow: Flow, date: dt.date, path: str) -> list[Any]:
    """The events of a marker file; none when it was told before."""
    told: list[Any] = []
    if date.isoformat() not in flow.vouched:
        told.append(e.DayMarked(date, path))
    if date.isoformat() in flow.incomplete:
        told.append(e.DayComplete(date, "its marker came"))
    return told


def incomplete_of(flow: Flow, drop: Drop) -> list[dt.date]:
    """The incomplete days within a drop's dates."""
    if not drop.first_date or not drop.last_date:
        return []
    return [d for d in incomplete(flow) if drop.first_date <= d <= drop.last_date]


def accept(flow: Flow, drop: Drop, by: str, reason: str) -> list[Any]:
    """A person says that the incomplete days which this drop brought are real."""
    words = f"{by} says it is real{quoted(reason)}"
    return [e.DayComplete(day, words, by) for day in incomplete_of(flow, drop)]


def look_again(scene: Scene) -> tuple[PlannedJob | None, Wait | None]:
    """How full days are since a drop was withdrawn, or that were accepted by a daemon that died before it could say."""
    for drop, days in scene.flow.look_again.items():
        number, wait, over = attempt(scene, "examine", f"days of {drop}")
        if over:
            continue  # they stay as they were judged; status shows the failure
        if wait:
            return None, wait
        today = scene.now.wall.astimezone(scene.settings.site.zone).date()
        step = Examine((), tuple(scene.flow.store), today, tuple(days), incomplete(scene.flow))
        return PlannedJob(scene.pipeline, "examine", f"days of {drop}", step, number), None
    return None, None


# ---- a drop that does not come ----


def overdue(scene: Scene) -> tuple[Note | None, list[Wait]]:
    """Says once for each newest date that no main drop came for longer than expected. Wall clock sites only."""
    flow, expect = scene.flow, scene.config.drops.expect
    newest, last = flow.newest_main, flow.last_date(scene.config.contract.main)
    if expect is None or scene.in_step or newest is None or last is None or flow.overdue == last:
        return None, []
    due = newest + expect.delta
    if due > scene.now.wall:
        return None, [Wait(f"the next drop is expected within {expect}", "people", due)]
    return Note(scene.pipeline, e.DropOverdue(last, newest)), []
