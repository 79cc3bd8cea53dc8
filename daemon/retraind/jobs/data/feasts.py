"""The Chinese calendar as features need it: feast days, and how far a day is from Spring Festival.

Only the feasts themselves count, which are known years ahead; days off that were moved or added by decree became known
late, and a forecast made before must not know them. The dates come from the `holidays` package.
"""

from __future__ import annotations

from functools import cache

import holidays
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "days_from_spring_festival",
    "days_since_feast",
    "days_to_feast",
    "days_to_the_year_before",
    "is_feast",
]

_BY_DECREE = ("Day off", "(observed)", "Extended")
_SPRING = "Chinese New Year"

Days = NDArray[np.datetime64]


def _feasts(dates: Days, spring_only: bool) -> Days:
    years = dates.astype("datetime64[Y]").astype(int) + 1970
    # a year on each side, so that the nearest feast, and the one before it, are found across a border
    return _feasts_of(int(years.min()) - 2, int(years.max()) + 2, spring_only)


@cache
def _feasts_of(first: int, after: int, spring_only: bool) -> Days:
    known = holidays.country_holidays("CN", years=range(first, after), language="en_US")
    days = sorted(
        day
        for day, name in known.items()
        if not any(word in name for word in _BY_DECREE) and (not spring_only or _SPRING in name)
    )
    if spring_only:  # the festival's first day; the package names every day of it
        days = [day for day in days if all(abs((day - other).days) > 10 or other >= day for other in days)]
    return np.array(days, dtype="datetime64[D]")


def is_feast(dates: Days) -> NDArray[np.float64]:
    """1 on a feast day, else 0."""
    return np.isin(dates, _feasts(dates, spring_only=False)).astype(np.float64)


def days_from_spring_festival(dates: Days, limit: int = 40) -> NDArray[np.float64]:
    """Days since the nearest Spring Festival's first day (negative before it), at most `limit` either way."""
    springs = _feasts(dates, spring_only=True)
    apart = (dates[:, None] - springs[None, :]).astype("timedelta64[D]").astype(np.float64)
    nearest = np.abs(apart).argmin(axis=1)
    return np.asarray(np.clip(apart[np.arange(len(dates)), nearest], -limit, limit), dtype=np.float64)


def days_to_the_year_before(dates: Days, limit: int = 40) -> NDArray[np.int64]:
    """How many days before each date its counterpart of the year before lies.

    Within `limit` days of a Spring Festival that is the day as far from the festival before (354 or 384 days back, since it
    goes by the moon), else the same weekday 52 weeks back.
    """
    springs = _feasts(dates, spring_only=True)
    apart = np.abs(dates[:, None] - springs[None, :]).astype("timedelta64[D]").astype(np.int64)
    nearest = np.maximum(apart.argmin(axis=1), 1)
    year = (springs[nearest] - springs[nearest - 1]).astype("timedelta64[D]").astype(np.int64)
    return np.where(apart.min(axis=1) <= limit, year, 364)


def days_since_feast(dates: Days, limit: int = 15) -> NDArray[np.float64]:
    """Days since the last feast (0 on one), at most `limit`."""
    feasts = _feasts(dates, spring_only=False)
    last = feasts[np.searchsorted(feasts, dates, side="right") - 1]
    return np.clip((dates - last).astype("timedelta64[D]").astype(np.float64), 0, limit)


def days_to_feast(dates: Days, limit: int = 15) -> NDArray[np.float64]:
    """Days until the next feast (0 on one), at most `limit`."""
    feasts = _feasts(dates, spring_only=False)
    following = feasts[np.searchsorted(feasts, dates)]
    return np.clip((following - dates).astype(np.float64), 0, limit)
