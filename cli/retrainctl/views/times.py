"""Times and amounts in words: times in the site's zone, durations as two units, counts with their noun."""

from __future__ import annotations

import datetime as dt
import itertools
from zoneinfo import ZoneInfo

__all__ = ["count", "day", "duration", "iso", "moment", "parsed"]


def duration(seconds: float) -> str:
    """`12 d 4 h`, `3 h 5 min`, `40 s`: two units at most, the largest that fit."""
    whole = max(0, int(seconds))
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    for (size, name), (next_size, next_name) in itertools.pairwise(units):
        if whole >= size:
            rest = whole % size // next_size
            return f"{whole // size} {name} {rest} {next_name}" if rest else f"{whole // size} {name}"
    return f"{whole} s"


def moment(time: dt.datetime | None, zone: ZoneInfo, now: dt.datetime) -> str:
    """`10:12` for today, else `Tue 24 Nov 10:12`, with the year where it is another."""
    if time is None:
        return "unknown"
    local, today = time.astimezone(zone), now.astimezone(zone)
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return f"{local:%a} {day(local.date(), today.date())} {local:%H:%M}"


def day(date: dt.date | None, today: dt.date) -> str:
    """`24 Nov`, with the year where it is another."""
    if date is None:
        return "-"
    year = "" if date.year == today.year else f" {date.year}"
    return f"{date.day} {date:%b}{year}"


def count(n: int, noun: str) -> str:
    """`1 drop`, `1,204 rows`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def iso(time: dt.datetime | dt.date | None) -> str | None:
    """For JSON."""
    return time.isoformat() if time else None


def parsed(text: str | None) -> dt.datetime | None:
    """Back from JSON."""
    return dt.datetime.fromisoformat(text) if text else None
