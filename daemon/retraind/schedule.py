"""What is due by the schedules in config.yaml, by APScheduler's triggers. What was due stands in the journal.

A run missed while the daemon was down happens once on return. Cron lines are read in the site's zone; APScheduler knows
what a DST night does to them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from retraind.core.events import ScheduleAnchored, ScheduleDue
from retraind.core.settings import Schedule
from retraind.core.state import ScheduleState

__all__ = ["check", "due", "next_due"]


def check(schedule: Schedule, zone: ZoneInfo) -> str:
    """Why a schedule cannot be read, or nothing."""
    try:
        _trigger(schedule, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), zone)
    except ValueError as error:
        return str(error)
    return ""


def _trigger(schedule: Schedule, anchor: dt.datetime, zone: ZoneInfo) -> CronTrigger | IntervalTrigger:
    if schedule.cron:
        return CronTrigger.from_crontab(schedule.cron, timezone=zone)
    assert schedule.every
    start = anchor + schedule.every.delta
    return IntervalTrigger(seconds=schedule.every.seconds, start_date=start, timezone=dt.UTC)


def next_due(schedule: Schedule, state: ScheduleState, zone: ZoneInfo) -> dt.datetime | None:
    """When the schedule is due next, counted from when it was due last."""
    after = (state.last or state.anchor) + dt.timedelta(microseconds=1)
    due: dt.datetime | None = _trigger(schedule, state.anchor, zone).get_next_fire_time(None, after)
    return due.astimezone(dt.UTC) if due else None


def due(
    schedules: Mapping[str, Schedule], states: Mapping[str, ScheduleState], now: dt.datetime, zone: ZoneInfo
) -> Iterator[ScheduleAnchored | ScheduleDue]:
    """The events that bring the schedules up to `now` (site's clock)."""
    for name, schedule in schedules.items():
        state = states.get(name)
        if state is None or state.spec != schedule.spec:
            yield ScheduleAnchored(name, schedule.spec, now)
            continue
        missed, last, walk = -1, None, state
        while (at := next_due(schedule, walk, zone)) and at <= now and missed < 10_000:
            missed, last = missed + 1, at
            walk = ScheduleState(state.spec, state.anchor, at)
        if last:
            yield ScheduleDue(name, last, missed)
