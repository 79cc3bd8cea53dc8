"""Recipes: which algorithm, with which parameters, on which transform and features; and their fits.

A recipe is plain JSON and says all that is needed to fit it again, years later and in the champion's place. A fit is a
`Fitted`: what `served_model` needs to forecast, on any rows it was asked to learn from. To add an algorithm: an entry in
`ALGORITHMS` and its name in `settings.Model`. All four forecast a log ratio: of a level to today's value, of a flow to its
14-day mean (DECISIONS.md: on the level itself all lose to persistence in price).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from retraind.core.figures import horizon_key
from retraind.jobs.data.features import FeatureTable, ahead_suffix
from retraind.jobs.training import served_model

__all__ = ["ALGORITHMS", "Algorithm", "Fitted", "Unfit", "fit", "forecast", "recipe", "recipe_id"]

WORDS = 30
"""At most so many words of a category column get a column of their own: the most frequent ones."""
MIN_ROWS = 30
"""Fewer rows are no fit."""


class Unfit(ValueError):  # noqa: N818 (a state of the data, not a defect)
    """The recipe cannot be fitted on these rows."""


@dataclass(frozen=True)
class Algorithm:
    """How to make an estimator, and what it can stand."""

    params: Mapping[str, Any]
    make: Callable[[Mapping[str, Any], int, int], Any]
    """(params, seed, threads) -> estimator."""
    tames: bool
    """Its inputs are clipped to their usual range and gaps filled with the median: a linear model follows a freak value
    without end, and knows no gap."""


def _linear(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


ALGORITHMS: dict[str, Algorithm] = {
    "linear_regression": Algorithm({}, lambda params, _seed, _threads: _linear(LinearRegression(**params)), tames=True),
    "ridge": Algorithm({"alpha": 100.0}, lambda params, _seed, _threads: _linear(Ridge(**params)), tames=True),
    "random_forest": Algorithm(
        {"n_estimators": 24, "max_leaf_nodes": 128, "min_samples_leaf": 5, "max_features": 0.2, "max_samples": 0.1},
        lambda params, seed, threads: RandomForestRegressor(**params, random_state=seed, n_jobs=threads),
        tames=False,
    ),
    "gradient_boosting": Algorithm(
        {
            "loss": "absolute_error",
            "learning_rate": 0.08,
            "max_iter": 80,
            "max_leaf_nodes": 15,
            "min_samples_leaf": 100,
            "l2_regularization": 1.0,
            "max_features": 0.25,
            "early_stopping": False,
        },
        lambda params, seed, _threads: HistGradientBoostingRegressor(**params, random_state=seed),
        tames=False,
    ),
}


def recipe(algorithm: str, target: str, table: FeatureTable, horizons: tuple[int, ...], seed: int) -> dict[str, Any]:
    """The recipe of an algorithm for a target, with every feature of the table (`*` stands for the horizon)."""
    chosen = ALGORITHMS[algorithm]
    features = [m.name + ("_ahead_*" if m.feature.ahead else "") for m in table.described]
    return {
        "algorithm": algorithm,
        "params": dict(chosen.params),
        "target": target,
        "transform": {"kind": "log_ratio", "reference": table.reference[target], "floor": table.floored[target]},
        "features": features,
        "horizons": list(horizons),
        "seed": seed,
    }


def recipe_id(recipe_: Mapping[str, Any]) -> str:
    """Digest of the recipe, 12 hex digits."""
    return hashlib.sha256(json.dumps(recipe_, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Fitted:
    """A recipe's fit for one target: all that `served_model` needs."""

    recipe: Mapping[str, Any]
    model: Mapping[str, Any]
    """What model.json holds."""
    estimators: Mapping[str, Any]
    """By horizon key."""
    rows: Mapping[str, int]
    """Rows learnt from, by horizon key."""


def fit(
    recipe_: Mapping[str, Any],
    table: FeatureTable,
    learn: Mapping[int, NDArray[np.bool_]],
    threads: int,
    said: Callable[[int], None] = lambda _horizon: None,
) -> Fitted:
    """Fit the recipe at each horizon on the rows that `learn` marks (shape (rows,) by horizon).

    Rows without a target, or without a reference value to set it against, are passed over. Calls `said` before each fit.
    Raises Unfit when fewer than MIN_ROWS are left, or the table lacks a feature of the recipe.
    """
    target, transform = recipe_["target"], recipe_["transform"]
    if transform["reference"] not in table.x.columns:
        raise Unfit(f"the column {transform['reference']} is not in the data")
    actuals = table.targets[target]
    floor = _floor(actuals, learn) if transform["floor"] else 0.0
    reference = table.x[transform["reference"]].to_numpy()
    parts: dict[str, Any] = {}
    estimators: dict[str, Any] = {}
    rows: dict[str, int] = {}
    for horizon, marked in learn.items():
        said(horizon)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.log((actuals[horizon] + floor) / (reference + floor))
        usable = marked & np.isfinite(ratio)
        key = horizon_key(horizon)
        rows[key] = int(usable.sum())
        if rows[key] < MIN_ROWS:
            raise Unfit(f"{rows[key]} rows to learn {target} {horizon} days ahead from, {MIN_ROWS} are needed")
        parts[key], estimators[key] = _fit_one(recipe_, table, horizon, usable, ratio[usable], threads)
    model = {
        "format": 1,
        "target": target,
        "algorithm": recipe_["algorithm"],
        "reference": transform["reference"],
        "floor": floor,
        "horizons": parts,
    }
    return Fitted(recipe_, model, estimators, rows)


def forecast(fitted: Fitted, table: FeatureTable, horizon: int, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Forecasts of the marked rows, in the target's unit; NaN where the model has no answer."""
    key = horizon_key(horizon)
    frame = table.x.loc[rows]
    if frame.empty:
        return np.empty(0)
    return np.asarray(
        served_model.forecast(
            cast("dict[str, Any]", fitted.model),
            fitted.model["horizons"][key],
            fitted.estimators[key],
            frame,
        )
    )


def _floor(actuals: Mapping[int, NDArray[np.float64]], learn: Mapping[int, NDArray[np.bool_]]) -> float:
    """What is added to an amount before its logarithm is taken: a hundredth of a usual one, so that 0 has one."""
    seen = np.concatenate([actuals[h][marked] for h, marked in learn.items()])
    seen = seen[seen > 0]
    return float(np.median(seen)) / 100 if len(seen) else 1.0


def _fit_one(
    recipe_: Mapping[str, Any],
    table: FeatureTable,
    horizon: int,
    usable: NDArray[np.bool_],
    ratio: NDArray[np.float64],
    threads: int,
) -> tuple[dict[str, Any], Any]:
    algorithm = ALGORITHMS[recipe_["algorithm"]]
    names = [f.replace("_ahead_*", ahead_suffix(horizon)) for f in recipe_["features"]]
    missing = [name for name in names if name not in table.x.columns]
    if missing:
        raise Unfit(f"the data no longer give {', '.join(missing[:3])}")
    x = table.x.loc[usable, names]
    texts = [c for c in names if x.dtypes[c].kind not in "fiub"]
    words = {c: sorted(x[c].value_counts().index[:WORDS]) for c in texts}
    numbers = [c for c in names if c not in texts]
    # a column without any value in these rows teaches nothing, and histogram boosting refuses it
    known = ~np.isnan(x[numbers].to_numpy()).all(axis=0)
    columns = [c for c, is_known in zip(numbers, known, strict=True) if is_known]
    answers = [float(ratio.min()), float(ratio.max())]
    part: dict[str, Any] = {"columns": columns, "words": words, "tame": None, "answers": answers}
    if algorithm.tames:
        part["tame"] = dict(zip(("low", "usual", "high"), _quantiles(x[columns].to_numpy()), strict=True))
    estimator = algorithm.make(recipe_["params"], int(recipe_["seed"]), threads)
    # more threads than cores that are free make boosting a hundred times slower, so the limit holds whoever calls
    with threadpool_limits(limits=threads):
        estimator.fit(served_model.matrix(part, x), ratio)
    if hasattr(estimator, "n_jobs"):
        estimator.n_jobs = 1  # a forest's threads add up in the order they end: other last digits each time
    return part, estimator


def _quantiles(x: NDArray[np.float64]) -> list[list[float]]:
    """The 0.5 %, 50 % and 99.5 % points of each column's known values (the nearest value, no interpolation)."""
    ordered = np.sort(x, axis=0)  # NaN goes last
    last = (~np.isnan(x)).sum(axis=0) - 1
    return [
        np.take_along_axis(ordered, np.rint(share * last).astype(np.int64)[None, :], axis=0)[0].tolist()
        for share in (0.005, 0.5, 0.995)
    ]
