"""The figures that a training measured, as the journal keeps them and policies read them.

A figure is named by metric and horizon (`wape`, `h7`) and counts only beside the rows it was measured on: `RowSet` names
them by digest, so that a comparison of figures from different rows is seen and refused (POLICIES.md, rule 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["BASELINES", "METRICS", "Candidate", "RowSet", "Scores", "Sums", "TargetResult", "horizon_key"]

Metric = Literal["wape", "mape", "rmse", "mae", "mase", "r2", "bias"]
METRICS: tuple[str, ...] = ("wape", "mape", "rmse", "mae", "mase", "r2", "bias")
BASELINES: tuple[str, ...] = ("persistence", "seasonal_naive", "moving_average")


def horizon_key(days: int) -> str:
    """7 -> `h7`, the horizon's name in every table of figures."""
    return f"h{days}"


@dataclass(frozen=True)
class RowSet:
    """The (item, origin) rows behind the figures of one horizon."""

    rows: int
    dates: int
    """Distinct target dates."""
    digest: str


@dataclass(frozen=True)
class Scores:
    """What one forecaster scored on the test days."""

    rows: Mapping[str, RowSet]
    """By horizon."""
    values: Mapping[str, Mapping[str, float | None]]
    """Metric -> horizon -> value; wape, mape and bias in percent, rmse and mae in the target's unit."""
    unanswered: Mapping[str, int] = field(default_factory=dict)
    """By horizon: rows the model could not answer, scored with the seasonal naive forecast."""


@dataclass(frozen=True)
class Candidate:
    """One version that a training registered. Its test figures are those of its recipe, fitted before the test days."""

    version: int
    run_id: str
    algorithm: str
    recipe: Mapping[str, Any]
    """Algorithm, parameters, transform, features: all that is needed to fit it again."""
    recipe_id: str
    """Digest of the recipe."""
    model_digest: str
    """Digest of the model's files, so that evidence is bound to the model and not to its number."""
    rank: int
    """1 is what the training itself would choose (on validation days)."""
    test: Scores
    figures: Mapping[str, float | None] = field(default_factory=dict)
    """Anything else the training logged, by name."""


@dataclass(frozen=True)
class TargetResult:
    """What a training found for one target."""

    target: str
    model: str
    """The registered name."""
    candidates: tuple[Candidate, ...]
    baselines: Mapping[str, Scores]
    champion_version: int | None = None
    """The champion the candidates were compared with, by its recipe; None when there was none."""
    champion: Scores | None = None


@dataclass(frozen=True)
class Sums:
    """What one forecaster's live errors add up to over some rows: sums pool over days, figures do not.

    The digest is the sum of the rows' hashes modulo 2**64 in 16 hex digits: the same rows give the same digest in whatever
    order and batches they came, so that forecasters are compared on equal rows only (POLICIES.md, rule 4).
    """

    rows: int = 0
    digest: str = "0" * 16
    error: float = 0.0
    """Sum of |forecast - actual|, in the target's unit; the next two likewise."""
    signed: float = 0.0
    """Sum of forecast - actual."""
    squared: float = 0.0
    """Sum of (forecast - actual)**2."""
    relative: float = 0.0
    """Sum of |forecast - actual| / |actual| over the rows whose actual is not 0."""
    nonzero: int = 0
    """How many rows those are."""
    actual: float = 0.0
    """Sum of |actual|."""
    actual_squared: float = 0.0
    """Sum of actual**2."""
    unanswered: int = 0
    """Rows the forecaster had no answer for, scored with the seasonal naive forecast."""
