"""What is told of one candidate beside its figures: on what its forecasts rest, and its pictures.

A training is not lost for its explanation: what cannot be made is said in the notes, with its reason in the log.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retraind.jobs.training import plots
from retraind.jobs.training.evaluate import filled
from retraind.jobs.training.experiment import Experiment
from retraind.jobs.training.explanations import BRIEF, FULL, Explanation, explain
from retraind.jobs.training.findings import Found, Judged

__all__ = ["Portrait", "portrait"]

LINEAR = ("linear_regression", "ridge")
CATEGORIES = 12
"""At most so many are drawn."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Portrait:
    """Of one candidate."""

    explained: tuple[Explanation, ...] = ()
    """The shortest horizon first."""
    pictures: Mapping[str, str] = field(default_factory=dict)
    """Name -> SVG."""
    categories: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Category -> WAPE of the candidate and of persistence in percent, on the test days at the shortest horizon."""
    seconds: float = 0.0


def portrait(experiment: Experiment, found: Found, one: Judged, notes: list[str], *, in_full: bool) -> Portrait:
    """Explain and draw a candidate. in_full: SHAP values too, and at both of the shortest horizons; a linear model's cost
    next to nothing and are made always."""
    began, algorithm = time.monotonic(), str(one.recipe["algorithm"])
    experiment.said(f"explaining {found.target}, {algorithm}")
    effort = FULL if in_full or algorithm in LINEAR else BRIEF
    horizons = experiment.near if in_full else experiment.near[:1]
    try:
        on = found.validation if one.validation else found.test
        explained = tuple(explain(one.blind, experiment.table, on, h, effort) for h in horizons)
        forecast = filled(found.test, experiment.near[0], one.forecasts[experiment.near[0]])
        categories = _by_category(experiment, found, forecast)
        pictures = _pictures(experiment, found, one, forecast, explained, categories)
        return Portrait(explained, pictures, categories, time.monotonic() - began)
    except Exception as error:  # noqa: BLE001 (see above)
        traceback.print_exc()
        notes.append(f"{found.target}, {algorithm}: not explained: {type(error).__name__}: {error}")
        return Portrait()


def _by_category(experiment: Experiment, found: Found, forecast: Values) -> dict[str, tuple[float, float]]:
    """WAPE of the candidate and of persistence by the words of the first category column, the largest first."""
    h, words = experiment.near[0], next(iter(experiment.table.panel.words.values()), None)
    if words is None:
        return {}
    actual, naive = found.test.actual[h], found.test.naive["persistence"][h]
    said = words[found.test.marked[h]]
    amounts = {str(word): float(np.abs(actual[said == word]).sum()) for word in np.unique(said)}
    largest = sorted(((word, amount) for word, amount in amounts.items() if amount), key=lambda pair: -pair[1])
    errors = {word: (np.abs(forecast - actual)[said == word], np.abs(naive - actual)[said == word]) for word, _ in largest}
    return {
        word: (100 * float(errors[word][0].sum()) / amount, 100 * float(errors[word][1].sum()) / amount)
        for word, amount in largest[:CATEGORIES]
    }


def _pictures(
    experiment: Experiment,
    found: Found,
    one: Judged,
    forecast: Values,
    explained: tuple[Explanation, ...],
    categories: Mapping[str, tuple[float, float]],
) -> dict[str, str]:
    h, test = experiment.near[0], found.test
    target = experiment.job.config.contract.targets[found.target]
    name = f"{found.target}, {one.recipe['algorithm']}"
    ahead = f"{name}, {h} day{'s' * (h > 1)} ahead"
    days, actual, naive = experiment.table.target_day(h)[test.marked[h]], test.actual[h], test.naive["persistence"][h]
    is_flow = target.nature == "flow"
    made = {
        "forecast": plots.forecast_and_actual(
            days, actual, forecast, naive, title=ahead, unit=target.unit, adds_up=is_flow
        ),
        "residuals": plots.residuals(days, actual, forecast, title=ahead),
        "error_by_horizon": plots.by_horizon("wape", {name: one.test}, found.baselines, title=f"{name}, test days"),
    }
    if categories:
        made["error_by_category"] = plots.by_category("wape", categories, title=ahead)
    for told in explained:
        key = "importance" if told.horizon == h else f"importance_{told.horizon}"
        made[key] = plots.importance(told, title=f"{name}, {told.horizon} d ahead")
    if one.trials:
        made["trials"] = plots.trials(one.trials, title=name)
    return made
