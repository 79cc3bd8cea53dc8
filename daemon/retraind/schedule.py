"""What is due by the schedules in config.yaml, by APScheduler's triggers. What was due stands in the journal.

A run missed while the daemon was down happens once on return. Cron lines are read in the site's zone; APScheduler knows
what a DST night does to them.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from retraind.core.events import ScheduleAnchored, ScheduleDue
from retraind.core.settings import Schedule
from retraind.core.state import ScheduleState

__all__ = ["check", "due", "next_due"]

_A_DAY = dt.timedelta(days=1)


def check(schedule: Schedule, zone: ZoneInfo) -> str:
    """Why a schedule cannot be read, or nothing."""
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    try:
        trigger = _trigger(schedule, start, zone)
    except ValueError as error:
        return str(error)
    return "" if _next(trigger, start) else "no such day ever comes"


def _trigger(schedule: Schedule, anchor: dt.datetime, zone: ZoneInfo) -> CronTrigger | IntervalTrigger:
    if schedule.cron:
        return CronTrigger.from_crontab(_with_day_names(schedule.cron), timezone=zone)
    assert schedule.every
    start = anchor + schedule.every.delta
    return IntervalTrigger(seconds=schedule.every.seconds, start_date=start, timezone=dt.UTC)


def _with_day_names(cron: str) -> str:
    """Cron counts days of the week from Sunday (0 or 7), APScheduler from Monday: names mean the same to both."""
    fields = cron.split()
    if len(fields) == 5:
        names = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
        fields[4] = re.sub(r"(?<![\w/])[0-7](?!\w)", lambda digit: names[int(digit[0])], fields[4])
    return " ".join(fields)


def next_due(schedule: Schedule, state: ScheduleState, zone: ZoneInfo) -> dt.datetime | None:
    """When the schedule is due next, counted from when it was due last."""
    trigger, last = _trigger(schedule, state.anchor, zone), state.last or state.anchor
    at = _next(trigger, last)
    if at and _repeats(schedule, at.astimezone(zone), last.astimezone(zone)):
        at = _next(trigger, at)
    return at


def _next(trigger: CronTrigger | IntervalTrigger, after: dt.datetime) -> dt.datetime | None:
    # in UTC: arithmetic in a zone forgets which of two equal hours is meant
    at: dt.datetime | None = trigger.get_next_fire_time(None, after + dt.timedelta(microseconds=1))
    return at.astimezone(dt.UTC) if at else None


def _repeats(schedule: Schedule, at: dt.datetime, last: dt.datetime) -> bool:
    """The hour that a DST night repeats: half past two comes twice, a nightly schedule wants it once."""
    nightly = schedule.cron is not None and schedule.cron.split()[1].isdigit()
    return nightly and at.fold == 1 and at.replace(tzinfo=None) == last.replace(tzinfo=None)


def due(
    schedules: Mapping[str, Schedule], states: Mapping[str, ScheduleState], now: dt.datetime, zone: ZoneInfo
) -> Iterator[ScheduleAnchored | ScheduleDue]:
    """The events that bring the schedules up to `now` (site's clock)."""
    for name, schedule in schedules.items():
        state = states.get(name)
        # counted from days ahead: the site's clock was switched, or one that was years ahead was mended
        if state is None or state.spec != schedule.spec or (state.last or state.anchor) > now + _A_DAY:
            yield ScheduleAnchored(name, schedule.spec, now)
            continue
        missed, last, walk = -1, None, state
        while (at := next_due(schedule, walk, zone)) and at <= now and missed < 10_000:
            missed, last = missed + 1, at
            walk = ScheduleState(state.spec, state.anchor, at)
        if last:
            yield ScheduleDue(name, last, missed)
