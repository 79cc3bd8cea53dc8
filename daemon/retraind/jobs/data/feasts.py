"""The Chinese calendar as features need it: feast days, and how far a day is from Spring Festival.

Only the feasts themselves count, which are known years ahead; days off that were moved or added by decree became known
late, and a forecast made before must not know them. The dates come from the `holidays` package.
"""

from __future__ import annotations

import holidays
import numpy as np
from numpy.typing import NDArray

__all__ = ["days_from_spring_festival", "days_to_feast", "is_feast"]

_BY_DECREE = ("Day off", "(observed)", "Extended")
_SPRING = "Chinese New Year"

Days = NDArray[np.datetime64]


def _feasts(dates: Days, spring_only: bool) -> Days:
    years = dates.astype("datetime64[Y]").astype(int) + 1970
    # a year on each side, so that the nearest feast is found across a border
    known = holidays.country_holidays("CN", years=range(years.min() - 1, years.max() + 2), language="en_US")
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


def days_to_feast(dates: Days, limit: int = 15) -> NDArray[np.float64]:
    """Days until the next feast (0 on one), at most `limit`."""
    feasts = _feasts(dates, spring_only=False)
    following = feasts[np.searchsorted(feasts, dates)]
    return np.clip((following - dates).astype(np.float64), 0, limit)
