"""The search for a model's parameters: which are tried, on which days, and what each scored.

A trial is one set of parameters, fitted and scored on folds that lie one after another within the training days: each
learns from what was known before its first day and is scored on rows whose origin and target lie in it, so the gap between
the two is the horizon, and no item's future stands beside its past. Validation days rank what the search chose, and test
days judge it: neither is seen here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Trial"]


@dataclass(frozen=True)
class Trial:
    """One set of parameters of one model, and what it scored."""

    model: str
    """As `training.models` names it."""
    params: Mapping[str, Any]
    """The parameters that the search varies, `transform` among them; what is fixed is not repeated."""
    scores: Mapping[str, tuple[float, ...]]
    """Horizon key -> cost by fold, oldest first: errors against persistence's, balanced as `training.choose` says. 1 is doing
    nothing, lower is better."""
    mean: float
    """Of the costs over folds and horizons."""
    std: float
    """Over the folds, of the mean over the horizons."""
    seconds: float
    share: float = 1.0
    """Of the days learnt from, the newest: less than 1 for what a halving search dropped on the way."""
    chosen: bool = False
