"""Whether a gain is more than chance: paired tests on losses by date, and intervals for figures.

The items of one day are not independent, so losses are summed per target date first, and everything below counts dates.
`tested` asks by Diebold and Mariano (1995) whether the mean gain is above 0, and beside it by a block bootstrap; `holm`
corrects for the best of several being picked; `rejected` says on resampled losses whether the small p-values can be believed.
Numbers in, numbers out: what they are of, and who is compared with whom, is `weighing`'s.

Gains are the opponent's loss less one's own, shape (dates,): positive is better. A gain is asked for one-sided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr  # scipy.stats costs 1.5 s to import

__all__ = [
    "LEVELS",
    "MIN_BLOCKS",
    "MIN_DATES",
    "Tested",
    "block_of",
    "draws",
    "holm",
    "intervals",
    "is_calibrated",
    "p_values",
    "rejected",
    "tested",
]

Values = NDArray[np.float64]
Places = NDArray[np.int64]

MIN_DATES = 30
"""Under so many dates nothing is said (POLICIES.md, rule 8)."""
MIN_BLOCKS = 4
"""Fewer independent stretches of days than this cannot be resampled, so nobody knows what a p-value on them is worth."""
LEVELS = (0.01, 0.001)
"""Where p-values are held against resampled losses: the alpha of one look is of this order."""
TWICE = 2.0
"""A test that rejects more than so many times too often is not calibrated."""
RESAMPLES = 4000
"""Of a calibration: 4 rejections are expected at the smallest level, more than 8 come by chance in 2 of 100."""
DRAWS = 2000
"""Of a bootstrap."""
_MONTH = 28
"""Days; how long losses of two models were seen to hang together, on real prices."""
_ROOTS = 2
"""Of the number of dates, so many roots are the least bandwidth: 24 days of 150. With one root, four candidates of real losses
that are no better are promoted in 11 of 100 years instead of 5 (bench/policy_chance.py): months differ, not only days."""
_LARGEST_SHARE = 3
"""A bandwidth is at most this part of the dates."""


@dataclass(frozen=True)
class Tested:
    """One gain, tested."""

    dates: int
    gain: float
    """Mean by date, in the loss's unit."""
    statistic: float
    lags: int
    """Of the Newey-West estimate."""
    p: float
    bootstrap: float


def block_of(horizon: int) -> int:
    """Days that stay together when dates are resampled: forecasts so many days ahead share errors over their horizon, and
    weeks repeat."""
    return max(7, 2 * horizon)


def tested(gains: Values, days: Places, horizon: int, drawn: Values) -> Tested | None:
    """Diebold-Mariano and block bootstrap of gains by date. None under MIN_DATES, or when nobody differs from anybody.

    days: of each date, counted from any day, increasing. drawn: from `draws`, for the same dates.
    """
    if len(gains) < MIN_DATES or not np.ptp(gains) > 0:
        return None
    grid, there = _on_calendar(gains, days)
    statistic, lags, p = p_values(grid[None], there, horizon)
    return Tested(len(gains), float(gains.mean()), float(statistic[0]), int(lags[0]), float(p[0]), _bootstrap(gains, drawn))


def _on_calendar(gains: Values, days: Places) -> tuple[Values, NDArray[np.bool_]]:
    """The gains day by day, 0 where a day is missing, and which days are there."""
    place = days - days[0]
    grid, there = np.zeros(int(place[-1]) + 1), np.zeros(int(place[-1]) + 1, dtype=bool)
    grid[place], there[place] = gains, True
    return grid, there


def p_values(series: Values, there: NDArray[np.bool_], horizon: int) -> tuple[Values, Places, Values]:
    """(statistics, lags, one-sided p) of many series of gains by day; shape (series, days), `there` (days,).

    DM = mean / sqrt(omega / n), omega by Newey and West (1987) with Bartlett's weights. A missing day adds nothing to the
    autocovariances (Parzen 1963), so that lags are calendar days. Lags: at least horizon - 1 and twice the root of n
    more, and what Andrews (1991) finds for an AR(1) of each series' own correlation, at most a third of the dates. Times the
    small-sample factor of Harvey, Leybourne and Newbold (1997) for as many lags, against Student's t with the degrees of
    freedom that such an omega has (1.5 n / (lags + 1), Priestley 1981), at most n - 1.
    """
    n = int(there.sum())
    mean = series.sum(axis=1, where=there) / n
    centred = np.where(there, series - mean[:, None], 0.0)
    variance = (centred**2).sum(axis=1) / n
    lags = _lags(centred, variance, horizon, n)
    omega = variance.copy()
    for lag in range(1, int(lags.max()) + 1):
        reach = lags >= lag
        far = centred if reach.all() else centred[reach]
        products = np.einsum("ij,ij->i", far[:, lag:], far[:, :-lag]) / n
        omega[reach] += 2 * (1 - lag / (lags[reach] + 1)) * products
    steps = lags + 1
    factor = np.sqrt(np.clip((n + 1 - 2 * steps + steps * (steps - 1) / n) / n, 0, None))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(omega > 0, factor * mean / np.sqrt(omega / n), 0.0)
    return statistic, lags, np.asarray(stdtr(np.minimum(n - 1, 1.5 * n / steps), -statistic))


def _lags(centred: Values, variance: Values, horizon: int, n: int) -> Places:
    """Andrews' (1991) bandwidth for Bartlett's weights: 1.1447 (alpha n)^(1/3), alpha = 4 r^2 / ((1 - r)^2 (1 + r)^2)."""
    one = np.einsum("ij,ij->i", centred[:, 1:], centred[:, :-1]) / n
    r = np.clip(np.divide(one, variance, out=np.zeros_like(one), where=variance > 0), -0.97, 0.97)
    alpha = 4 * r**2 / ((1 - r) ** 2 * (1 + r) ** 2)
    chosen = np.floor(1.1447 * np.cbrt(alpha * n)).astype(np.int64)
    lags: Places = np.maximum(np.minimum(chosen, n // _LARGEST_SHARE), horizon - 1 + int(_ROOTS * np.sqrt(n)))
    return lags


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm 1979): the k-th smallest of m times m - k + 1, never below a smaller one's, at most 1."""
    adjusted, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        least = max(least, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = least
    return adjusted


# ---- resampling ----


def _places(dates: int, block: int, rows: int, random: np.random.Generator) -> Places:
    """Circular blocks (Politis and Romano 1992): which date stands where; shape (rows, dates)."""
    block = min(block, dates)
    starts = random.integers(0, dates, (rows, -(-dates // block)))
    places: Places = (starts[:, :, None] + np.arange(block)).reshape(rows, -1)[:, :dates] % dates
    return places


@cache
def draws(dates: int, block: int, seed: int, rows: int = DRAWS) -> Values:
    """How often each date is drawn; shape (rows, dates). The same seed draws the same, for whoever is compared."""
    places = _places(dates, block, rows, np.random.default_rng(seed))
    flat = (places + dates * np.arange(rows)[:, None]).ravel()
    return np.bincount(flat, minlength=rows * dates).reshape(rows, dates).astype(np.float64)


def _bootstrap(gains: Values, drawn: Values) -> float:
    """Share of resamples, recentred to no gain, whose mean is at least the one seen; the sample itself counts as one."""
    means = drawn @ gains / drawn.sum(axis=1)
    return float((1 + (means - gains.mean() >= gains.mean()).sum()) / (1 + len(drawn)))


def intervals(sums: Values, drawn: Values) -> dict[str, tuple[float, float]]:
    """95 % intervals of WAPE, MAPE, bias (percent) and RMSE by resampled dates (percentiles).

    sums: by date, columns as `weighing.PARTS`. A figure that some resamples do not define is left out.
    """
    total = dict(zip(("rows", "error", "signed", "squared", "relative", "nonzero", "actual"), (drawn @ sums).T, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        figures = {
            "wape": 100 * total["error"] / total["actual"],
            "mape": 100 * total["relative"] / total["nonzero"],
            "rmse": np.sqrt(total["squared"] / total["rows"]),
            "bias": 100 * total["signed"] / total["actual"],
        }
    found = {}
    for name, values in figures.items():
        if len(values) and np.isfinite(values).all():
            low, high = np.percentile(values, (2.5, 97.5))
            found[name] = (float(low), float(high))
    return found


def rejected(gains: Values, horizon: int, seed: int, resamples: int = RESAMPLES) -> tuple[float, ...] | None:
    """The share of resampled series without a gain that `p_values` rejects at each of LEVELS.

    The gains are recentred to 0 and their dates drawn again in blocks of four weeks, or as long as the test's own bandwidth
    where that is longer, or as MIN_BLOCKS of them fit into the dates. What is skewed or hangs together over weeks shows. None
    where there is nothing to resample: too few dates for MIN_BLOCKS blocks, or gains that do not vary.
    """
    if len(gains) < MIN_DATES or not np.ptp(gains) > 0:
        return None
    centred, there = gains - gains.mean(), np.ones(len(gains), dtype=bool)
    lags = int(p_values(centred[None], there, horizon)[1][0])
    block = max(block_of(horizon), min(max(_MONTH, lags), len(gains) // MIN_BLOCKS))
    if len(gains) < MIN_BLOCKS * block:
        return None
    places = _places(len(gains), block, resamples, np.random.default_rng(seed))
    p = p_values(centred[places], there, horizon)[2]
    return tuple(float((p <= level).mean()) for level in LEVELS)


def is_calibrated(shares: tuple[float, ...] | None) -> bool:
    """Whether a test rejects at most TWICE as often as it should, at every level; not where nobody can say."""
    return shares is not None and all(share <= TWICE * level for share, level in zip(shares, LEVELS, strict=True))
