"""Doing nothing, in three ways: the forecasts that a model must beat to be worth running.

Each reads the entity's own past up to the origin, in calendar days, and nothing else. They answer wherever the entity had
any value at or before the origin, which is also what makes a row worth scoring.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from retraind.jobs.data.panel import Panel, shift

__all__ = ["BASELINES", "moving_average", "persistence", "seasonal_naive"]

WEEKS = 4
"""How far back the seasonal naive forecast looks for the target's weekday."""

Values = NDArray[np.float64]


def persistence(panel: Panel, column: str, horizon: int) -> Values:  # noqa: ARG001 (the same for every horizon)
    """The last known value; shape (rows,)."""
    return panel.last(column)


def seasonal_naive(panel: Panel, column: str, horizon: int) -> Values:
    """The value last seen on the target's weekday in the 28 days up to the origin, else the last known value."""
    grid = np.full_like(panel.value(column), np.nan)
    for week in range(WEEKS):
        seen = shift(panel.value(column), -horizon % 7 + 7 * week)
        grid = np.where(np.isnan(grid), seen, grid)
    return panel.rows(np.where(np.isnan(grid), panel.known(column), grid))


def moving_average(panel: Panel, column: str, horizon: int) -> Values:  # noqa: ARG001 (the same for every horizon)
    """Mean of the values known in the last 14 calendar days, else the last known value."""
    mean = panel.mean(column, 14)
    return np.where(np.isnan(mean), panel.last(column), mean)


BASELINES: dict[str, Callable[[Panel, str, int], Values]] = {
    "persistence": persistence,
    "seasonal_naive": seasonal_naive,
    "moving_average": moving_average,
}
