"""The figures that a training measured, as the journal keeps them and policies read them.

A figure is named by metric and horizon (`wape`, `h7`) and counts only beside the rows it was measured on: `RowSet` names
them by digest, so that a comparison of figures from different rows is seen and refused (POLICIES.md, rule 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "BASELINES", "ITEM_AGE", "MEASURED", "METRICS", "Candidate", "Foreign", "RowSet", "Scores", "Significance", "SliceFigures",
    "Sums", "TargetResult", "horizon_key",
]  # fmt: skip

Metric = Literal["wape", "mape", "rmse", "mae", "mase", "r2", "bias"]
METRICS: tuple[str, ...] = ("wape", "mape", "rmse", "mae", "mase", "r2", "bias")
"""What policies ask for, of test days and of live ones."""
MEASURED = (*METRICS, "smape")
"""What a training measures. sMAPE is for people: live errors are kept as sums, and it is none of them."""
BASELINES: tuple[str, ...] = ("persistence", "seasonal_naive", "moving_average")
ITEM_AGE = "item_age"
"""What test figures are told by besides the category columns: the time since an item's first sale."""


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
    """Metric -> horizon -> value; wape, mape, smape and bias in percent, rmse and mae in the target's unit."""
    unanswered: Mapping[str, int] = field(default_factory=dict)
    """By horizon: rows the model could not answer, scored with the seasonal naive forecast."""


@dataclass(frozen=True)
class Significance:
    """Whether a candidate's gain over the champion's recipe is more than chance, on the losses of the test days summed by
    date (POLICIES.md, rule 8; jobs/training/significance.py)."""

    adjusted: float | None
    """One-sided p of Diebold-Mariano after Holm over the searched candidates."""
    dates: int
    """Distinct test dates behind it."""
    candidates: int = 1
    """How many were searched."""
    calibrated: bool = True
    """False where resampled real losses reject more than twice as often as they should, or cannot be resampled. Not asked
    where p is above all that a policy may spend: such a gain is not significant however p is calibrated."""
    p: float | None = None
    """Before Holm."""
    bootstrap: float | None = None
    """One-sided p of a paired block bootstrap, before Holm."""
    rejected: tuple[float, ...] = ()
    """The share of resamples without a gain that the test rejects at 1 % and at 0.1 %."""


SliceFigures = Mapping[str, Mapping[str, Mapping[str, Mapping[str, float | None]]]]
"""Column -> value -> metric -> horizon -> figure."""


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
    significance: Mapping[str, Significance] = field(default_factory=dict)
    """Against the champion's recipe, by loss and horizon: `wape.h7`."""
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    """Metric -> horizon -> 95 % interval of the test figure, by resampled dates."""
    slices: SliceFigures = field(default_factory=dict)
    """Test figures by a column's values, on the rows of the result's `slice_rows`."""


@dataclass(frozen=True)
class Foreign:
    """How a model that nobody here trained is asked: it stands in its recipe, under `adopted`."""

    inputs: tuple[str, ...]
    """Columns of our features, as it wants them."""
    answers: Mapping[str, str]
    """Horizon (`h7`) -> the column of its answer, empty for the only one."""
    whole_rows: bool = False
    """It answers no row in which a feature is missing."""


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
    slice_rows: Mapping[str, Mapping[str, Mapping[str, RowSet]]] = field(default_factory=dict)
    """Column -> value -> horizon -> the test rows."""
    champion_slices: SliceFigures = field(default_factory=dict)
    """Of the champion's recipe."""
    rule: str = ""
    """What put the candidates in order, in words; empty when there was one."""


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
