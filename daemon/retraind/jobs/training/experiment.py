"""What every fit of a training or a comparison has in common: the features, the borders, the rows that are scored.

An experiment is opened on the store as it was listed by a step, and on the settings of the job: equal steps give equal
rows, to the digest, in whichever child they are made. The champion's stand-in is made here and nowhere else, so that a
comparison made later means the same as the one a training made (POLICIES.md, rules 3 and 4).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from retraind.core.figures import horizon_key
from retraind.core.steps import Champion, Compare, Train
from retraind.errors import RetraindError
from retraind.jobs.child import JobContext
from retraind.jobs.data.features import FeatureTable, build
from retraind.jobs.data.splits import Borders, borders, known_before, within
from retraind.jobs.data.store import main_frame
from retraind.jobs.training import portfolio, selection
from retraind.jobs.training.estimators import named
from retraind.jobs.training.evaluate import Answered, Ground, answered, ground
from retraind.jobs.training.portfolio import Fitted, Memo, Unfit
from retraind.jobs.training.selection import Choice

__all__ = ["Experiment", "chosen_features", "fit_before", "fits", "grounds", "open_experiment", "scored", "stand_in"]


@dataclass(frozen=True)
class Experiment:
    """Features and borders of one step."""

    job: JobContext
    data_end: dt.date
    table: FeatureTable
    borders: Borders
    days: int
    """Days with sales."""
    said: Callable[[str], None]
    """Called before each fit, explanation and registration with what it is."""
    memo: Memo = field(default_factory=dict, repr=False)
    """Of the parts that were fitted."""
    choices: dict[str, Choice] = field(default_factory=dict, repr=False)
    """Of features, by target, where there was one: see `chosen_features`."""

    @property
    def horizons(self) -> tuple[int, ...]:
        """Days ahead, as the settings name them."""
        return self.job.config.training.horizons

    @property
    def near(self) -> tuple[int, ...]:
        """The two shortest horizons: what candidates are ranked by. They are what policies ask first, and each more costs
        a fit of every model."""
        return tuple(sorted(self.horizons)[:2])

    @cached_property
    def split(self) -> list[dict[str, Any]]:
        """Each part with its days, items and categories, of the rows whose origin and nearest target's day lie in it."""
        cut, table = self.borders, self.table
        words = next(iter(table.panel.words.values()), None)
        parts = (("train", cut.first, cut.validation), ("validation", cut.validation, cut.test), ("test", cut.test, cut.end))
        made = []
        for name, start, end in parts:
            rows = within(table.origin, table.target_day(self.near[0]), start, end)
            made.append({
                "part": name, "from": _day(start), "to": _day(end - np.timedelta64(1, "D")),
                "days": len(np.unique(table.origin[rows])), "rows": int(rows.sum()), "items": len(set(table.entity[rows])),
                "categories": sorted(set(map(str, words[rows]))) if words is not None else [],
            })  # fmt: skip
        return made


def _day(day: np.datetime64) -> str:
    return str(day.astype("datetime64[D]"))


def open_experiment(step: Train | Compare, job: JobContext, said: Callable[[str], None]) -> Experiment:
    """The experiment of a step. Raises Unfit, with figures, when the store holds too little to split or to learn from."""
    job.progress("reading the store", 0, 1)
    contract, training = job.config.contract, job.config.training
    frame = main_frame(job.state, step.store, contract, step.data_end, excluded=step.excluded)
    days = frame[contract.date].nunique()
    if days < training.min_days:
        raise Unfit(f"the store holds {days} days of sales, a training needs {training.min_days} (training.min_days)")
    job.progress("building features", 0, 1)
    table = build(frame, contract, training.horizons, training.features)
    try:
        cut = borders(table.origin, training.split)
    except ValueError as error:
        raise Unfit(str(error)) from error
    return Experiment(job, step.data_end, table, cut, days, said)


def chosen_features(experiment: Experiment, target: str) -> Choice:
    """The features of new recipes for a target, chosen at the first call."""
    if target not in experiment.choices:
        experiment.job.progress(f"choosing features for {target}", 0, 1)
        kept, border = experiment.job.config.training.features_kept, experiment.borders.validation
        experiment.choices[target] = selection.choose(experiment.table, target, experiment.horizons, border, kept)
    return experiment.choices[target]


def grounds(experiment: Experiment, target: str) -> tuple[Ground, Ground]:
    """The validation and the test rows of a target. Raises Unfit when a horizon has none."""
    cut, horizons = experiment.borders, experiment.horizons
    column = experiment.job.config.contract.targets[target].column
    made = []
    for name, start, end in (("validation", cut.validation, cut.test), ("test", cut.test, cut.end)):
        rows = ground(experiment.table, target, column, horizons, start, end)
        empty = [h for h in horizons if not rows.rows[horizon_key(h)].rows]
        if empty:
            days = int((end - start).astype(np.int64))
            raise Unfit(
                f"no {name} row of {target} {empty[0]} days ahead: the {name} part spans {days} days "
                f"(the store holds {experiment.days} days of sales)"
            )
        made.append(rows)
    return made[0], made[1]


def fit_before(
    experiment: Experiment,
    recipe: Mapping[str, Any],
    border: np.datetime64,
    what: str,
    horizons: tuple[int, ...] | None = None,
) -> Fitted:
    """The recipe fitted on what was known before the border. what: in words, for the progress line."""
    table, name = experiment.table, f"fitting {recipe['target']}, {recipe['algorithm']}, {what}"
    return portfolio.fit(
        recipe,
        table,
        {h: known_before(table.target_day(h), border) for h in horizons or experiment.horizons},
        experiment.job.threads,
        lambda h: experiment.said(f"{name}, {h} days ahead"),
        experiment.memo,
    )


def scored(experiment: Experiment, fitted: Fitted, on: Ground) -> Answered:
    """What the fit says of those rows and scores on them, at the horizons it was fitted for."""
    there = [h for h in experiment.horizons if horizon_key(h) in fitted.rows]
    return answered(on, {h: portfolio.forecast(fitted, experiment.table, h, on.marked[h]) for h in there})


def fits(experiment: Experiment, recipe: Mapping[str, Any]) -> None:
    """Raises Unfit when the recipe of an older version cannot be fitted now at every horizon, or not at all."""
    missing = sorted(set(experiment.horizons) - set(_shared(experiment, recipe)))
    if missing:
        raise Unfit(f"it does not forecast {', '.join(map(str, missing))} days ahead")


def _shared(experiment: Experiment, recipe: Mapping[str, Any]) -> tuple[int, ...]:
    """The horizons asked for now that the recipe forecasts. Raises Unfit where there is none, or its algorithm or package is
    gone."""
    if "adopted" in recipe:
        raise Unfit("it was adopted: nobody here knows how it was made")
    shared = tuple(h for h in experiment.horizons if h in recipe.get("horizons", ()))
    if not shared:
        raise Unfit("it forecasts none of the horizons asked for now")
    algorithm = str(recipe.get("algorithm"))
    if algorithm not in portfolio.ALGORITHMS:
        if "." not in algorithm:
            raise Unfit(f"this release knows no algorithm {algorithm}")
        try:
            named(algorithm)
        except RetraindError as error:
            raise Unfit(str(error)) from error
    return shared


def stand_in(experiment: Experiment, champion: Champion, test: Ground) -> Answered:
    """The champion's recipe on the test days, fitted on days as much older as the champion's data really are, at the horizons
    that it forecasts.

    Raises Unfit when it cannot be fitted on these data.
    """
    horizons = _shared(experiment, champion.recipe)
    older = np.timedelta64(max((experiment.data_end - champion.data_end).days, 0), "D")
    border = experiment.borders.test - older
    return scored(experiment, fit_before(experiment, champion.recipe, border, "the champion's recipe", horizons), test)
