"""Training, validation and test days, by the date of the *target*.

A border is a date: what is learnt has targets before it, what is scored has its origin on it or after. Rows that straddle
a border (origin before it, target on it or after) are scored by nobody; they are learnt from only by fits whose own border
lies behind their target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retraind.settings import Split

__all__ = ["Borders", "borders", "known_before", "within"]

Days = NDArray[np.datetime64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Borders:
    """Where the parts begin; the last one ends with the last date."""

    first: np.datetime64
    validation: np.datetime64
    test: np.datetime64
    last: np.datetime64
    """The last date, itself within the test days."""

    @property
    def end(self) -> np.datetime64:
        """The day after the last."""
        return self.last + np.timedelta64(1, "D")


def borders(dates: Days, split: Split) -> Borders:
    """The borders that give each part its share of the distinct dates. Raises ValueError when a part is left empty."""
    distinct = np.unique(dates.astype("datetime64[D]"))
    # rounded before cut: 0.7 + 0.15 is a little less than 0.85 to a computer
    validation = int(np.floor(round(len(distinct) * split.train.share, 6)))
    test = int(np.floor(round(len(distinct) * (split.train.share + split.validation.share), 6)))
    if not 0 < validation < test < len(distinct):
        raise ValueError(f"{len(distinct)} dates leave a part empty")
    return Borders(distinct[0], distinct[validation], distinct[test], distinct[-1])


def within(origin: Days, target_day: Days, start: np.datetime64, end: np.datetime64) -> Mask:
    """Rows whose origin and target both lie in [start, end)."""
    return (origin >= start) & (target_day < end)


def known_before(target_day: Days, border: np.datetime64) -> Mask:
    """Rows whose target was known before the border."""
    return target_day < border
