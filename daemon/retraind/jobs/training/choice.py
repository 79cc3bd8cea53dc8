"""Which of several recipes, or sets of parameters, is better: the rule of `training.choose`, and nothing else.

A cost is an error against persistence's on the same rows, so that horizons and targets weigh alike: 1 is doing nothing.
Costs are averaged over the horizons and the folds (stretches of days), and what they vary from fold to fold is added: a
recipe that is good in spring alone is worth less than one that is good all year.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from retraind.core.settings import TIED, Choose

__all__ = ["TIED", "Worth", "balanced", "in_order", "stretches", "worth"]

TINY = 1e-9
"""Where doing nothing is without error, so is a model that says the same."""

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Worth:
    """What a recipe costs, against doing nothing."""

    cost: float
    """What recipes are put in order by: `mean` and what unsteadiness costs."""
    mean: float
    std: float
    """Over the folds."""
    folds: tuple[float, ...]
    """Mean over the horizons, oldest first."""


def balanced(choose: Choose, actual: Values, forecast: Values, naive: Values) -> float:
    """The weighted mean of WAPE, MAPE and RMSE against those of `naive`, on rows of shape (rows,) without a gap."""
    weights = choose.weights
    ours, theirs = (_errors(actual, said) for said in (forecast, naive))
    return sum(weight * (ours[metric] + TINY) / (theirs[metric] + TINY) for metric, weight in weights.items())


def _errors(actual: Values, forecast: Values) -> dict[str, float]:
    size, there = np.abs(forecast - actual), actual != 0
    return {
        "wape": float(size.sum()) / (float(np.abs(actual).sum()) or 1.0),
        "mape": float((size[there] / np.abs(actual[there])).mean()) if there.any() else 0.0,
        "rmse": float(np.sqrt((size**2).mean())),
    }


def worth(choose: Choose, costs: Mapping[str, Sequence[float]]) -> Worth:
    """From costs by horizon and fold (NaN where a fold holds no row); infinite where there is none at all."""
    table = np.array([list(by_fold) for by_fold in costs.values()], dtype=np.float64)
    known = table[:, ~np.isnan(table).all(axis=0)] if table.size else table
    if not known.size:
        return Worth(np.inf, np.inf, 0.0, ())
    folds = np.nanmean(known, axis=0)
    mean = float(folds.mean())
    std = float(folds.std()) if np.isfinite(mean) else 0.0
    return Worth(mean + choose.stability * std, mean, std, tuple(map(float, folds)))


def stretches(
    start: np.datetime64, end: np.datetime64, number: int, origin: NDArray[np.datetime64]
) -> list[Mask]:
    """The rows whose origin lies in each of so many stretches of [start, end) of equal length; shape (rows,) each."""
    days = int((end - start).astype(np.int64))
    borders = start + np.rint(np.linspace(0, days, number + 1)).astype("timedelta64[D]")
    return [(origin >= low) & (origin < high) for low, high in pairwise(borders)]


def in_order(costs: Sequence[float]) -> list[int]:
    """Indices, the best first; who is as good as tied with the best comes in the order given."""
    best = min(costs)
    tied = [i for i, cost in enumerate(costs) if cost <= best * TIED]
    rest = [i for i in range(len(costs)) if i not in tied]
    return [*tied, *sorted(rest, key=lambda i: costs[i])]
