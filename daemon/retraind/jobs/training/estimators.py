"""Estimators by name: scikit-learn's that come with us, and any other that works like one, by its dotted path.

A foreign estimator (`lightgbm.LGBMRegressor`) must be a regressor of an installed package, so that a version that holds it
loads wherever that package is, and skops must be able to save it of parts of that package, of scikit-learn and of plain
containers alone: what a file may hold when it is loaded is decided here, when it is written, and never by the file. To add
one of our own: an entry in ESTIMATORS, and its search space in `core.settings.SPACES`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_regressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from skops.io import dumps, get_untrusted_types

from retraind.core.binding import nearest
from retraind.core.settings import Space, fixed_of
from retraind.errors import RetraindError
from retraind.jobs.training.served_model import TRUSTED

__all__ = ["BOOSTING", "ESTIMATORS", "PATHS", "Estimator", "Path", "check", "distribution", "named", "trusted"]


@dataclass(frozen=True)
class Estimator:
    """How to make an estimator, and what it can stand."""

    params: Mapping[str, Any]
    """What it gets when nothing else is said."""
    make: Callable[[Mapping[str, Any], int, int], Any]
    """(params, seed, threads) -> estimator."""
    tames: bool
    """Its inputs are clipped to their usual range and gaps filled with the median: a linear model follows a freak value
    without end, and knows no gap."""


def _linear(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


_IN_PLACE: Mapping[str, Any] = {"copy_X": False}
"""What the scaler made is theirs alone."""
BOOSTING = {
    "loss": "absolute_error",
    "learning_rate": 0.08,
    "max_iter": 80,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 100,
    "l2_regularization": 1.0,
    "max_features": 0.25,
    "early_stopping": False,
}
ESTIMATORS: dict[str, Estimator] = {
    "linear_regression": Estimator(
        {}, lambda params, _seed, _threads: _linear(LinearRegression(**{**_IN_PLACE, **params})), tames=True
    ),
    "ridge": Estimator(
        {"alpha": 100.0}, lambda params, _seed, _threads: _linear(Ridge(**{**_IN_PLACE, **params})), tames=True
    ),
    "random_forest": Estimator(
        {"n_estimators": 24, "max_leaf_nodes": 128, "min_samples_leaf": 5, "max_features": 0.2, "max_samples": 0.1},
        lambda params, seed, threads: RandomForestRegressor(**params, random_state=seed, n_jobs=threads),
        tames=False,
    ),
    "gradient_boosting": Estimator(
        BOOSTING,
        lambda params, seed, _threads: HistGradientBoostingRegressor(**params, random_state=seed),
        tames=False,
    ),
}
Answers = Iterator[tuple[Any, list[NDArray[np.float64]]]]
"""A value of a path's parameter, and what is answered to each of some matrices with it."""


@dataclass(frozen=True)
class Path:
    """A parameter of an estimator whose values cost one fit together, and answer as if each were fitted alone."""

    param: str
    holds: Callable[[Mapping[str, Any], Sequence[Any]], bool]
    """(the other parameters, values of this one) -> whether that is so."""
    answers: Callable[[Callable[[Any], Any], Sequence[Any], Sequence[NDArray[np.float64]], NDArray[np.float64]], Answers]
    """(value -> estimator, values, matrices, learnt): learns from the first matrix."""


def _of_boosting(
    make: Callable[[Any], Any], values: Sequence[Any], seen: Sequence[NDArray[np.float64]], learnt: NDArray[np.float64]
) -> Answers:
    """Fewer iterations are the beginning of more."""
    model = make(max(values)).fit(seen[0], learnt)
    for number, answers in enumerate(zip(*map(model.staged_predict, seen), strict=True), start=1):
        if number in values:
            yield number, list(answers)


def _of_forest(
    make: Callable[[Any], Any], values: Sequence[Any], seen: Sequence[NDArray[np.float64]], learnt: NDArray[np.float64]
) -> Answers:
    """Fewer trees are the first of more."""
    model = make(max(values)).fit(seen[0], learnt)
    model.n_jobs = 1  # threads add up in the order they end
    trees = model.estimators_
    for number in values:
        model.estimators_ = trees[:number]
        yield number, [model.predict(x) for x in seen]


def _of_ridge(
    make: Callable[[Any], Any], values: Sequence[Any], seen: Sequence[NDArray[np.float64]], learnt: NDArray[np.float64]
) -> Answers:
    """Ridge takes a penalty for each column of what it learns, and forms the products of its inputs once."""
    model = make(np.array(values, dtype=np.float64)).fit(seen[0], np.column_stack([learnt] * len(values)))
    answers = [model.predict(x) for x in seen]
    for column, value in enumerate(values):
        yield value, [answer[:, column] for answer in answers]


def _whole(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int) and value > 0 for value in values)


PATHS: dict[str, Path] = {
    "gradient_boosting": Path(
        "max_iter",
        lambda params, values: _whole(values) and params.get("early_stopping") is False,
        _of_boosting,
    ),
    "random_forest": Path(
        "n_estimators", lambda params, values: _whole(values) and not params.get("oob_score"), _of_forest
    ),
    "ridge": Path(
        "alpha",
        lambda params, values: all(isinstance(v, int | float) and v > 0 for v in values)
        and set(params) <= {"fit_intercept"},
        _of_ridge,
    ),
}
_CONTAINERS = ("collections", "builtins", "numpy", "scipy", "sklearn")
"""What an estimator of any package may be made of."""


def named(name: str) -> Estimator:
    """The estimator of that name. Raises RetraindError when it is a dotted path that leads to none that can be served."""
    return ESTIMATORS[name] if name in ESTIMATORS else _foreign(name)


def check(name: str, space: Space) -> None:
    """Raises RetraindError when the estimator is not to be had, lacks a parameter of the space, or cannot be served."""
    model = named(name).make({}, 0, 1)
    known = sorted(_inner(model).get_params(deep=False))
    free = any(p.kind.name == "VAR_KEYWORD" for p in _signature(model))
    for key in space:
        if key not in known and key != "transform" and not free:
            raise RetraindError(
                f"training.models: {name} has no parameter {key}", remedy=f"{nearest(key, known)} Mend config.yaml"
            )
    if name not in ESTIMATORS:
        trusted(name, _probe(name, {key: value for key, value in fixed_of(space).items() if key != "transform"}))


def _probe(name: str, params: Mapping[str, Any]) -> Any:
    """Fitted on a few rows as the settings have it, so that it is as quiet as they ask."""
    rows = np.random.default_rng(0).normal(size=(60, 3))
    learnt = rows @ np.array([1.0, 2.0, 0.0])
    try:
        return named(name).make(params, 0, 1).fit(rows, learnt)
    except Exception:  # noqa: BLE001 (what suits a shop may ask too much of three columns; the search says what suits nothing)
        return named(name).make({}, 0, 1).fit(rows, learnt)


def trusted(name: str, fitted: Any) -> list[str]:
    """What the file of a foreign estimator may hold beside `served_model.TRUSTED`; empty for our own.

    Raises RetraindError when that is more than its package, scikit-learn and plain containers.
    """
    if name in ESTIMATORS:
        return []
    allowed = {name.partition(".")[0], *_CONTAINERS}
    types = sorted(set(get_untrusted_types(data=dumps(fitted))) - set(TRUSTED))
    odd = [t for t in types if t.partition(".")[0] not in allowed]
    if odd:
        raise RetraindError(
            f"training.models: {name} cannot be saved so that it loads safely: it holds {', '.join(odd)}",
            remedy="Take it out of training.models, or name an estimator without them",
        )
    return types


def distribution(name: str) -> str | None:
    """The installed package that a foreign estimator needs where it is loaded, as pip calls it; None for our own."""
    package = name.partition(".")[0]
    if name in ESTIMATORS or "." not in name or package == "sklearn":
        return None
    return importlib.metadata.packages_distributions()[package][0]


@cache
def _foreign(name: str) -> Estimator:
    module, _, attribute = name.rpartition(".")
    package = name.partition(".")[0]
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, OSError) as error:  # OSError: a shared library that it wants is not there
        raise RetraindError(
            f"training.models names {name}, which cannot be imported: {error}",
            remedy=f"Install it where the daemon runs ({_install(package)}), mend the path, or take it out of config.yaml",
        ) from error
    if package not in importlib.metadata.packages_distributions():
        raise RetraindError(
            f"training.models names {name}, which is of no installed package: a version with it would load nowhere else",
            remedy="Install it as a package, or take it out of training.models",
        )
    try:
        probe = kind()
        fits = is_regressor(probe) and callable(probe.predict)
    except (TypeError, AttributeError):
        fits = False
    if not fits:
        raise RetraindError(
            f"training.models names {name}, which is no regressor that works like scikit-learn's",
            remedy="Name a class with fit, predict and get_params whose parameters all have defaults",
        )
    given = probe.get_params(deep=False)
    gaps = bool(get_tags(probe).input_tags.allow_nan)

    def make(params: Mapping[str, Any], seed: int, threads: int) -> Any:
        own = {k: v for k, v in (("random_state", seed), ("n_jobs", threads)) if k in given}
        model = kind(**{**own, **params})
        return model if gaps else _linear(model)

    return Estimator({}, make, tames=not gaps)


def _install(package: str) -> str:
    return "pip install 'retraind[lightgbm]'" if package == "lightgbm" else f"pip install {package}"


def _inner(model: Any) -> Any:
    """Without the scaling in front of it."""
    return model[-1] if hasattr(model, "steps") else model


def _signature(model: Any) -> list[Any]:
    import inspect  # noqa: PLC0415 (one look a job)

    return list(inspect.signature(type(_inner(model)).__init__).parameters.values())
