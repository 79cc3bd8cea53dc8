"""The one place that reads clocks. Everything else is told the time (POLICIES.md, rule 26).

Machine time is wall time at the first reading, advanced by the monotonic clock, never behind what the journal holds: a
clock that is set back does not lengthen a quiet period.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from zoneinfo import ZoneInfo

__all__ = ["Clock", "end_of"]


class Clock:
    """Wall and machine time, UTC."""

    def __init__(self, not_before: dt.datetime | None = None) -> None:
        set_to = os.environ.get("RETRAIND_CLOCK")  # for tests that live through a year of days: the wall clock starts there
        self._ahead = dt.datetime.fromisoformat(set_to) - _system() if set_to else dt.timedelta()
        start = self.wall()
        self._start = max(start, not_before) if not_before else start
        self._monotonic = time.monotonic()

    def wall(self) -> dt.datetime:
        """Now, by the system."""
        return _system() + self._ahead

    def machine(self) -> dt.datetime:
        """Now, by a clock that nobody sets."""
        return self._start + dt.timedelta(seconds=time.monotonic() - self._monotonic)


def _system() -> dt.datetime:
    return dt.datetime.now(dt.UTC)  # noqa: TID251


def end_of(day: dt.date, zone: ZoneInfo) -> dt.datetime:
    """The midnight that ends `day` in `zone`, in UTC: what `clock: data` takes for now."""
    return dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), zone).astimezone(dt.UTC)
