"""What a training found before any of it is published: recipes with their figures and fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retraind.core.figures import RowSet, Scores, SliceFigures
from retraind.jobs.training.choice import Worth
from retraind.jobs.training.evaluate import Ground
from retraind.jobs.training.portfolio import Fitted
from retraind.jobs.training.search import Trial
from retraind.jobs.training.weighing import Weighed

__all__ = ["Found", "Judged"]


@dataclass(frozen=True)
class Judged:
    """A recipe with its figures and the fit that is to be registered."""

    recipe: Mapping[str, Any]
    validation: Scores | None
    """None when there was nothing to rank it against."""
    worth: float | None
    """Mean WAPE against persistence's on validation days at the two shortest horizons."""
    test: Scores
    fitted: Fitted
    blind: Fitted
    """What it is explained by: a fit that knows nothing of the validation days, or of the test days when it was not ranked."""
    seconds: float
    trials: tuple[Trial, ...] = ()
    """What the search tried on the way to the recipe, in its order; empty where nothing was searched."""
    cut_short: bool = False
    """The search was, by its guard: the same data and seed may choose otherwise."""
    choice: Worth | None = None
    """What candidates are put in order by, on stretches of the validation days; None when there was nothing to rank against."""
    forecasts: Mapping[int, NDArray[np.float64]] = field(default_factory=dict, repr=False)
    """Of the test rows, by horizon."""
    by_fold: tuple[Mapping[str, Mapping[str, float | None]], ...] = ()
    """Every figure on each stretch of the validation days that `choice` looks at: metric -> horizon -> value."""
    weighed: Weighed = field(default_factory=Weighed)


@dataclass(frozen=True)
class Found:
    """What a training found for one target, before any of it is published."""

    target: str
    judged: tuple[Judged, ...]
    """The best on the validation days first."""
    validation: Ground
    test: Ground
    baselines: Mapping[str, Scores]
    champion_version: int | None = None
    champion: Scores | None = None
    """Of the champion's recipe on the test days; None when there is none or it cannot be fitted."""
    slice_rows: Mapping[str, Mapping[str, Mapping[str, RowSet]]] = field(default_factory=dict)
    champion_slices: SliceFigures = field(default_factory=dict)
