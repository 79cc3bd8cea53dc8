"""Recipes: which algorithm, with which parameters, on which transform and features; and their fits.

A recipe is plain JSON and says all that is needed to fit it again, years later and in the champion's place. A fit is a
`Fitted`: what `served_model` needs to forecast, on any rows it was asked to learn from. A recipe has one part or, as a
blend, several, whose weights `blend` chooses. Single algorithms forecast a log ratio: of a level to today's value,
of a flow to its 14-day mean (DECISIONS.md: on the level itself all lose to persistence in price), unless a search finds
another transform better. What an algorithm is made of is `estimators`' business.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retraind.core.figures import horizon_key
from retraind.jobs.data.features import FeatureTable, ahead_suffix
from retraind.jobs.training import served_model
from retraind.jobs.training.estimators import BOOSTING, ESTIMATORS, named, trusted
from retraind.jobs.training.side_by_side import side_by_side

__all__ = [
    "ALGORITHMS",
    "BLEND",
    "Fitted",
    "Lesson",
    "Memo",
    "Part",
    "Unfit",
    "amounts",
    "dealt",
    "described",
    "fit",
    "fit_part",
    "floor_of",
    "forecast",
    "inputs",
    "parts_of",
    "recipe",
    "recipe_id",
    "reweighted",
]

WORDS = 30
"""At most so many words of a category column get a column of their own: the most frequent ones."""
MIN_ROWS = 30
"""Fewer rows are no fit."""
Memo = dict[str, tuple[dict[str, Any], Any]]
"""Parts that were fitted: by what they are and what they learnt from."""
UNBIASED_FROM = 0.01
"""A mean of logs, or a median, is below the mean: forecasts are multiplied by what the days they learnt from say (Duan's
smearing, 1983). Not for less than this: most prices of tomorrow are those of today, and each would be moved."""
BLEND = "blend"


class Unfit(ValueError):  # noqa: N818 (a state of the data, not a defect)
    """The recipe cannot be fitted on these rows."""


ALGORITHMS = (*ESTIMATORS, BLEND)
"""What comes with us; a dotted path is an algorithm too."""
SCALES = {"log_ratio": "log", "root_ratio": "sqrt", "difference": "difference", "level": "level"}
"""What `training.models` calls a transform, and what `served_model` calls it."""

_SQUARED = {**BOOSTING, "loss": "squared_error", "min_samples_leaf": 60}
Share = tuple[int, int]
"""(which, of how many): the share of the rows that a part of a blend learns from; `dealt` deals them out."""
_ALL, _ONE, _OTHER = (0, 1), (0, 2), (1, 2)
SHARED_FROM = 10_000
"""Where rows are fewer, each part learns from all of them."""
_OF_LEVEL: dict[str, tuple[str, str, dict[str, Any], Share]] = {
    "absolute": ("gradient_boosting", "log", BOOSTING, _ALL),
    "level": (
        "gradient_boosting",
        "level",
        {
            **_SQUARED,
            "learning_rate": 0.1,
            "max_iter": 100,
            "max_leaf_nodes": 31,
            "min_samples_leaf": 20,
            "max_features": 0.5,
        },
        _ALL,
    ),
    "ridge": ("ridge", "log", {"alpha": 100.0}, _ALL),
}
_COARSE: dict[str, Any] = {"max_bins": 63}
_OF_FLOW: dict[str, tuple[str, str, dict[str, Any], Share]] = {
    "absolute": ("gradient_boosting", "log", {**BOOSTING, **_COARSE}, _ONE),
    "root": ("gradient_boosting", "sqrt", {**_SQUARED, **_COARSE}, _OTHER),
    "level": ("gradient_boosting", "level", {**_SQUARED, **_COARSE, "learning_rate": 0.15, "max_iter": 40}, _ONE),
    "ridge": ("ridge", "log", {"alpha": 10_000.0}, _ALL),
}
"""The blend's parts: name -> estimator, scale, parameters, rows (docs/decisions/0006-the-blend.md says how they were chosen)."""


def recipe(
    algorithm: str,
    target: str,
    table: FeatureTable,
    horizons: tuple[int, ...],
    seed: int,
    features: Sequence[str] | None = None,
    found: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The recipe of an algorithm for a target.

    features: those it uses, as `Made.everywhere` names them; None for every feature of the table. found: parameters
    that a search found, `transform` among them, in the place of the usual ones. A blend's weights are equal until
    `blend.chosen` has looked at validation days.
    """
    found = dict(found or {})
    transform = found.pop("transform", "log_ratio")
    flow = table.floored[target]
    if algorithm == BLEND:
        parts = {
            name: {"estimator": estimator, "scale": scale, "params": dict(chosen), "rows": list(share)}
            for name, (estimator, scale, chosen, share) in (_OF_FLOW if flow else _OF_LEVEL).items()
        }
        equal = {name: 1 / len(parts) for name in parts}
        params: dict[str, Any] = {"parts": parts, "weights": {horizon_key(h): equal for h in horizons}, "guards": {}}
    else:
        params = {**named(algorithm).params, **found}
    return {
        "algorithm": algorithm,
        "params": params,
        "target": target,
        "transform": {
            "kind": "by part" if algorithm == BLEND else transform,
            "reference": table.reference[target],
            "floor": flow,
            "unbiased": True,
        },
        "features": [m.everywhere for m in table.described] if features is None else list(features),
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


@dataclass(frozen=True)
class Part:
    """A part of a recipe at one horizon."""

    estimator: str
    scale: str
    params: Mapping[str, Any]
    weight: float
    share: Share = _ALL


def parts_of(recipe_: Mapping[str, Any], key: str) -> dict[str, Part]:
    """What has to be fitted at that horizon: the parts that weigh something, and the guard."""
    params = recipe_["params"]
    if recipe_["algorithm"] != BLEND:
        return {recipe_["algorithm"]: Part(recipe_["algorithm"], SCALES[recipe_["transform"]["kind"]], params, 1.0)}
    weights, guard = params["weights"][key], params["guards"].get(key)
    return {
        name: Part(part["estimator"], part["scale"], part["params"], weights[name], tuple(part.get("rows", _ALL)))
        for name, part in params["parts"].items()
        if weights[name] or (guard and guard["part"] == name)
    }


def fit(
    recipe_: Mapping[str, Any],
    table: FeatureTable,
    learn: Mapping[int, NDArray[np.bool_]],
    threads: int,
    said: Callable[[int], None] = lambda _horizon: None,
    memo: Memo | None = None,
) -> Fitted:
    """Fit the recipe at each horizon on the rows that `learn` marks (shape (rows,) by horizon).

    Rows without a target, or without a reference value to set it against, are passed over. Calls `said` before each fit;
    horizons are fitted beside one another, on so many threads in all.
    memo: of earlier fits on the same table; a part that another recipe has too is fitted once for both (a blend's with
    gradient boosting, the champion's blend with the new one). Raises Unfit when fewer than MIN_ROWS are left, or the table
    lacks a feature of the recipe.
    """
    target, transform = recipe_["target"], recipe_["transform"]
    if transform["reference"] not in table.x.columns:
        raise Unfit(f"the column {transform['reference']} is not in the data")
    actuals = table.targets[target]
    floor = floor_of(actuals, learn) if transform["floor"] else 0.0
    reference = table.x[transform["reference"]].to_numpy() + floor

    def one(horizon: int, cores: int) -> tuple[int, dict[str, Any], dict[str, Any]]:
        said(horizon)
        actual = actuals[horizon] + floor
        usable = learn[horizon] & (actual > 0) & (reference > 0)
        rows = int(usable.sum())
        if rows < MIN_ROWS:
            raise Unfit(f"{rows} rows to learn {target} {horizon} days ahead from, {MIN_ROWS} are needed")
        told = _fit_horizon(
            recipe_, table, horizon, usable, actual[usable], reference[usable], cores, {} if memo is None else memo
        )
        return rows, *told

    size = max(int(marked.sum()) for marked in learn.values()) * len(recipe_["features"]) * 8 if learn else 0
    keys = [horizon_key(h) for h in learn]
    made = dict(zip(keys, side_by_side(one, learn, threads, size), strict=True))
    horizons = {key: entry for key, (_, entry, _) in made.items()}
    estimators = {key: by_part for key, (_, _, by_part) in made.items()}
    model = {
        "format": served_model.FORMAT,
        "target": target,
        "algorithm": recipe_["algorithm"],
        "reference": transform["reference"],
        "floor": floor,
        "horizons": horizons,
        "trusted": _trusted(recipe_, estimators),
    }
    return Fitted(recipe_, model, estimators, {key: rows for key, (rows, _, _) in made.items()})


def _trusted(recipe_: Mapping[str, Any], estimators: Mapping[str, Mapping[str, Any]]) -> list[str]:
    algorithm = str(recipe_["algorithm"])
    if algorithm in ALGORITHMS:
        return []
    return sorted({word for by_part in estimators.values() for word in trusted(algorithm, by_part[algorithm])})


def forecast(fitted: Fitted, table: FeatureTable, horizon: int, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Forecasts of the marked rows, in the target's unit; NaN where the model has no answer."""
    key = horizon_key(horizon)
    frame = table.x.loc[rows]
    if frame.empty:
        return np.empty(0)
    model = cast("dict[str, Any]", fitted.model)
    return np.asarray(served_model.forecast(model, model["horizons"][key], fitted.estimators[key], frame))


def amounts(
    fitted: Fitted, table: FeatureTable, horizon: int, rows: NDArray[np.bool_]
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    """What each part says of the marked rows, and their reference value; all with the floor added, shape (rows,)."""
    key, frame = horizon_key(horizon), table.x.loc[rows]
    model = cast("dict[str, Any]", fitted.model)
    return served_model.amounts(model, model["horizons"][key], fitted.estimators[key], frame)


def reweighted(fitted: Fitted, recipe_: Mapping[str, Any]) -> Fitted:
    """The fit of a blend with the weights and guards of another recipe of the same parts."""
    weights, guards = recipe_["params"]["weights"], recipe_["params"]["guards"]
    horizons = {
        key: {
            **entry,
            "guard": guards.get(key),
            "parts": {name: {**part, "weight": weights[key][name]} for name, part in entry["parts"].items()},
        }
        for key, entry in fitted.model["horizons"].items()
    }
    return replace(fitted, recipe=recipe_, model={**fitted.model, "horizons": horizons})


def floor_of(actuals: Mapping[int, NDArray[np.float64]], learn: Mapping[int, NDArray[np.bool_]]) -> float:
    """What is added to an amount before its logarithm is taken: a hundredth of a usual one, so that 0 has one."""
    seen = np.concatenate([actuals[h][marked] for h, marked in learn.items()])
    seen = seen[seen > 0]
    return float(np.median(seen)) / 100 if len(seen) else 1.0


def _fit_horizon(
    recipe_: Mapping[str, Any],
    table: FeatureTable,
    horizon: int,
    usable: NDArray[np.bool_],
    actual: NDArray[np.float64],
    reference: NDArray[np.float64],
    threads: int,
    memo: Memo,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One horizon's entry in model.json, and its estimators by part."""
    names = [f.replace("_ahead_*", ahead_suffix(horizon)) for f in recipe_["features"]]
    missing = [name for name in names if name not in table.x.columns]
    if missing:
        raise Unfit(f"the data no longer give {', '.join(missing[:3])}")
    parts = parts_of(recipe_, horizon_key(horizon))
    x = table.x.loc[usable, names]
    entry = inputs(x, any(named(p.estimator).tames for p in parts.values()))
    entry["guard"] = recipe_["params"].get("guards", {}).get(horizon_key(horizon))
    entry["parts"] = {}
    estimators = {}
    rows = Lesson(served_model.Matrices(entry, x), actual, reference)
    del x
    unbiased, seed = bool(recipe_["transform"].get("unbiased")), int(recipe_["seed"])
    where = [
        recipe_["target"],
        horizon,
        names,
        seed,
        unbiased,
        hashlib.sha256(usable.tobytes()).hexdigest(),
        reference[0],
    ]
    for name, part in parts.items():
        key = json.dumps([*where, part.estimator, part.scale, part.params, part.share], sort_keys=True)
        if key not in memo:
            memo[key] = fit_part(part, rows, seed, unbiased, threads)
        entry["parts"][name], estimators[name] = {**memo[key][0], "weight": part.weight}, memo[key][1]
    return entry, estimators


@dataclass(frozen=True)
class Lesson:
    """What the parts of one horizon learn from."""

    seen: served_model.Matrices
    actual: NDArray[np.float64]
    """Floor added, as in `reference`."""
    reference: NDArray[np.float64]


def fit_part(part: Part, rows: Lesson, seed: int, unbiased: bool, threads: int) -> tuple[dict[str, Any], Any]:
    """What model.json says of the part, but for its weight; and its estimator."""
    kind = named(part.estimator)
    x, actual, reference = _shared(part, rows.seen.matrix(kind.tames), rows.actual, rows.reference)
    estimator = kind.make(part.params, seed, threads)
    learnt = served_model.towards(part.scale, actual, reference)
    estimator.fit(x, learnt)
    if hasattr(estimator, "n_jobs"):
        estimator.n_jobs = 1  # a forest's threads add up in the order they end: other last digits each time
    return described(part, actual, reference, learnt, estimator.predict(x) if unbiased else None), estimator


def dealt(share: Share, rows: int) -> NDArray[np.intp]:
    """Which of so many rows a share is, in their order: all of few. They are dealt out at random, since every other one would be
    the same items each day in a shop whose assortment stays."""
    which, of = share
    if of == 1 or rows < SHARED_FROM:
        return np.arange(rows)
    return np.flatnonzero(np.random.default_rng(0).permutation(rows) % of == which)


def _shared(part: Part, *learnt: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """What a part learns from, of a matrix (column by column in memory, as it is here) and of others of as many rows: its share.
    Where that has no value of a column, which histogram boosting refuses, it is all of them."""
    mine = dealt(part.share, len(learnt[0]))
    if len(mine) == len(learnt[0]):
        return list(learnt)
    shared = [values.T.take(mine, axis=-1).T for values in learnt]
    return list(learnt) if np.isnan(shared[0]).all(axis=0).any() else shared


def described(
    part: Part,
    actual: NDArray[np.float64],
    reference: NDArray[np.float64],
    learnt: NDArray[np.float64],
    answer: NDArray[np.float64] | None,
) -> dict[str, Any]:
    """What model.json says of a part, but for its weight.

    actual, reference: of the rows that its estimator learnt from; learnt: what it learnt there; answer: what it answers to the
    same rows, to be put right where that is biased.
    """
    answers = [float(learnt.min()), float(learnt.max())]
    one = {"scale": part.scale, "tamed": named(part.estimator).tames, "answers": answers, "factor": 1.0}
    if answer is not None:
        factor = float(actual.sum() / served_model.part_amount(one, answer, reference).sum())
        one["factor"] = factor if abs(factor - 1) > UNBIASED_FROM else 1.0
    return one


def inputs(x: pd.DataFrame, tamed: bool) -> dict[str, Any]:
    """Which columns and words the estimators of a horizon see, and the usual range of each column."""
    texts = [c for c in x.columns if x.dtypes[c].kind not in "fiub"]
    words = {c: sorted(x[c].value_counts().index[:WORDS]) for c in texts}
    numbers = [c for c in x.columns if c not in texts]
    # a column without any value in these rows teaches nothing, and histogram boosting refuses it
    columns = [c for c in numbers if x[c].notna().any()]
    tame = dict(zip(("low", "usual", "high"), _quantiles(x[columns]), strict=True)) if tamed else None
    return {"columns": columns, "words": words, "tame": tame}


def _quantiles(x: pd.DataFrame) -> list[list[float]]:
    """The 0.5 %, 50 % and 99.5 % points of each column's known values (the nearest value, no interpolation)."""
    found = []
    for column in x:  # one at a time: a sorted copy of all of them is half a gigabyte in a large shop
        known = x[column].to_numpy(dtype=np.float64)
        known = known[~np.isnan(known)]
        places = [round(share * (len(known) - 1)) for share in (0.005, 0.5, 0.995)]
        found.append(np.partition(known, places)[places].tolist())
    return [list(points) for points in zip(*found, strict=True)] if found else [[], [], []]
