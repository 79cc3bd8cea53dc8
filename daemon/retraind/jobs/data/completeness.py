"""How full the newest days of the main table are, against their own weekday's past.

A day that was exported at noon reads as a collapse of demand. What gives it away is fewer items, and smaller totals of
the targets that are amounts (`nature: flow`), than the same weekday had the weeks before. Which of these days count is
`core.days`'s to say: a marker or a person outranks what is seen here. docs/drops.md has the figures behind the default.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retraind.core.events import StoreFile
from retraind.core.steps import DayLook
from retraind.core.withdrawal import judged
from retraind.jobs.data import store
from retraind.settings import Contract, Drops

__all__ = ["PAST", "days_of", "look_at"]

PAST = 8
"""A day is held against so many of its weekday's occurrences."""
_ENOUGH = 4
"""With fewer of them nothing is said: a young shop is not suspected."""


@dataclass(frozen=True)
class _Days:
    """Per day with rows, shape (days,), in the order of days."""

    day: npt.NDArray[np.int64]
    """Since 1970-01-01."""
    items: npt.NDArray[np.float64]
    totals: dict[str, npt.NDArray[np.float64]]
    """By column of a flow target."""


def days_of(contract: Contract, rows: pa.Table) -> set[dt.date]:
    """The days that these rows of the main table are of."""
    return set(pc.unique(rows.column(contract.date)).to_pylist())


def look_at(
    state: Path,
    files: Sequence[StoreFile],
    contract: Contract,
    drops: Drops,
    touched: Collection[dt.date],
    incomplete: Collection[dt.date] = (),
) -> tuple[DayLook, ...]:
    """What the store that `files` lists holds of each touched day within two weeks of the newest one, or incomplete so far.

    incomplete: days that do not count: nothing is held against them. A day without rows (the shop was closed) is not
    looked at. Without enough past a day is complete, `usual_items` 0. Raises RetraindError when the store cannot be read.
    """
    mains = [f for f in files if f.table == contract.main and f.last_date]
    newest = max((f.last_date for f in mains if f.last_date), default=None)
    if not touched:
        return ()
    recent = sorted({*touched}.intersection((*judged(min(touched), max(touched), newest), *incomplete)))
    if not recent:
        return ()
    # a weekday may have been closed many times; files of other weekdays are not read
    held = [day - dt.timedelta(weeks=back) for day in recent for back in range(PAST * 4 + 1)]
    holding = [f for f in mains if f.first_date and f.last_date and any(f.first_date <= day <= f.last_date for day in held)]
    rows = store.load(state, holding, contract, contract.main, since=min(held), until=recent[-1])
    days = _by_day(contract, rows)
    left_out = np.isin(days.day, [_number(d) for d in incomplete])
    return tuple(
        _look(days, left_out, date, drops, _brought(mains, date)) for date in recent if _number(date) in set(days.day)
    )


def _by_day(contract: Contract, rows: pa.Table) -> _Days:
    """One row a key is in the store, so rows are items."""
    dates = rows.column(contract.date).cast(pa.int32()).to_numpy().astype(np.int64)
    day, at = np.unique(dates, return_inverse=True)
    flows = [t.column for t in contract.targets.values() if t.nature == "flow"]
    totals = {
        column: np.bincount(at, pc.fill_null(rows.column(column).cast(pa.float64()), 0.0).to_numpy(), len(day)).astype(float)
        for column in flows
    }
    return _Days(day, np.bincount(at, minlength=len(day)).astype(float), totals)


def _look(days: _Days, left_out: npt.NDArray[np.bool_], date: dt.date, drops: Drops, drop: str) -> DayLook:
    day = _number(date)
    past = np.flatnonzero((days.day < day) & ((day - days.day) % 7 == 0) & ~left_out)[-PAST:]
    (now,) = np.flatnonzero(days.day == day)
    items = int(days.items[now])
    if len(past) < _ENOUGH:
        return DayLook(drop, date, items, 0.0, True, "")
    found = {"items": days.items, **days.totals}
    usual = {name: float(np.median(values[past])) for name, values in found.items()}
    low = [
        f"{found[name][now]:,.0f} {name} where {median:,.0f} are usual of a {date:%A}"
        for name, median in usual.items() if found[name][now] < drops.complete.share * median
    ]  # fmt: skip
    why = f"{' and '.join(low)}, less than {drops.complete}" if low else ""
    return DayLook(drop, date, items, usual["items"], not low, why)


def _brought(mains: Sequence[StoreFile], date: dt.date) -> str:
    """The last drop whose dates hold that day."""
    return next(
        f.drop for f in reversed(mains) if f.first_date and f.last_date and f.first_date <= date <= f.last_date
    )


def _number(date: dt.date) -> int:
    return date.toordinal() - dt.date(1970, 1, 1).toordinal()
