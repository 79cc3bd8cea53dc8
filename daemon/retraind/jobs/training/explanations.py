"""What a candidate's forecasts rest on: how much worse they get without a feature, and which way a feature moves them.

*Permutation importance* asks the model again with one feature's values shuffled among the rows (Breiman 2001): the rise of
the WAPE, in percent of it. Features that say nearly the same stand in for one another, so whole groups are shuffled too.
*SHAP values* say how far a feature moved each forecast from the mean one: of trees by the shap package (Lundberg et al. 2020),
of linear models coef * (z - mean z), their closed form. A blend's are its parts', weighted, all in logs of the forecast.
*Coefficients* are of standardised features, so that they can be compared.

All is measured on a sample of validation days by a fit that knows none of them; of a recipe that was not ranked there, as in
a refresh, on test days in the same way, since a fit for that alone would take longer than the rest. The reference value
(today's price, the 14-day mean of an amount) stays: what is explained is how a forecast differs from it. Nothing here chooses
anything.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retraind.core.figures import horizon_key
from retraind.jobs.data.features import FeatureTable, Made
from retraind.jobs.training import served_model
from retraind.jobs.training.evaluate import Ground
from retraind.jobs.training.portfolio import Fitted

__all__ = ["BRIEF", "FULL", "Effort", "Explanation", "FeatureWeight", "explain"]

TOP = 10
"""Features that a disagreement is told of: the first of either ranking."""
FAR = 3
"""A feature is ranked differently when one method has it among the first TOP and the other behind FAR times as many."""
CLEAR = 0.3
"""A rank correlation below this says no direction."""
_REFERENCE = "(reference)"
_BLOCK_ROWS = 20_000
"""Rows that are forecast at once: shuffled copies of the sample, some tens of MB."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Effort:
    """How much is spent on one candidate."""

    rows: int
    repeats: int
    shap: bool
    """SHAP values, coefficients and what follows from them too."""


FULL = Effort(rows=300, repeats=3, shap=True)
BRIEF = Effort(rows=120, repeats=2, shap=False)


@dataclass(frozen=True)
class FeatureWeight:
    """What one feature does to the forecasts of one horizon."""

    feature: str
    """Its column."""
    english: str
    chinese: str
    group: str
    rise: float
    """Of the WAPE when it is shuffled, in percent of it; mean over the repeats. Below 0: it did harm on these rows."""
    spread: float
    """Standard deviation of the rise over the repeats."""
    expected: int
    """The sign it is expected to have: 1, -1, or 0 when none is."""
    shap: float | None = None
    """Mean of |SHAP| over the rows, in percent of the forecast."""
    direction: float | None = None
    """Rank correlation of its value and its SHAP value, -1 to 1: above 0 more of it raises the forecast."""
    coefficient: float | None = None
    """Standardised, of the linear part; in logs of the forecast."""


@dataclass(frozen=True)
class Explanation:
    """Of one candidate at one horizon."""

    horizon: int
    rows: int
    """That it was measured on."""
    base: str
    """The reference value that the forecast starts from; it is not shuffled."""
    features: tuple[FeatureWeight, ...]
    """The most important first."""
    groups: Mapping[str, float]
    """Rise of the WAPE when the whole group is shuffled at once, in percent; the largest first."""
    agreement: float | None = None
    """Spearman's correlation of the two rankings; None without SHAP values."""
    remarks: tuple[str, ...] = ()
    """Where two methods, or a direction and the expected sign, disagree."""


def explain(fitted: Fitted, table: FeatureTable, on: Ground, horizon: int, effort: Effort) -> Explanation:
    """Explain the forecasts of a fit that knows none of the rows it is to be explained on."""
    sample = _sampled(fitted, table, on, horizon, effort.rows, int(fitted.recipe["seed"]))
    made = {one.column(horizon): one for one in table.made}
    rises = _rises(sample, {c: (c,) for c in sample.columns}, effort.repeats)
    groups: dict[str, list[str]] = {}
    for column in sample.columns:
        groups.setdefault(made[column].feature.group, []).append(column)
    by_group = _rises(sample, {g: tuple(columns) for g, columns in groups.items()}, effort.repeats)
    more = _shap(sample) if effort.shap and len(sample.frame) else _Shap()
    nature = "flow" if table.floored[str(fitted.recipe["target"])] else "level"
    weights = [_weight(made[c], c, nature, rises[c], more) for c in sample.columns]
    weights.sort(key=lambda w: (-w.rise, w.feature))
    ordered = sorted(((g, round(values[0], 4)) for g, values in by_group.items()), key=lambda pair: -pair[1])
    return Explanation(
        horizon,
        len(sample.frame),
        str(fitted.model["reference"]),
        tuple(weights),
        dict(ordered),
        _agreement(weights),
        (*more.remarks, *_disagreements(weights)),
    )


def _weight(made: Made, column: str, nature: str, rise: tuple[float, float], more: _Shap) -> FeatureWeight:
    return FeatureWeight(
        feature=column,
        english=made.name_en,
        chinese=made.name_zh,
        group=made.feature.group,
        rise=round(rise[0], 4),
        spread=round(rise[1], 4),
        expected=made.sign(nature),
        shap=more.sizes.get(column),
        direction=more.directions.get(column),
        coefficient=more.coefficients.get(column),
    )


# ---- the rows ----


@dataclass(frozen=True)
class _Sample:
    """Rows, and the fit that is asked about them."""

    model: dict[str, Any]
    """With the reference value in a column of its own, so that shuffling a feature leaves it where it is."""
    entry: dict[str, Any]
    estimators: dict[str, Any]
    frame: pd.DataFrame
    actual: Values
    seed: int

    @property
    def columns(self) -> list[str]:
        """What the estimators see, by feature."""
        return [*self.entry["columns"], *self.entry["words"]]

    def errors(self, frame: pd.DataFrame) -> Values:
        """|forecast - actual| of copies of the sample laid one behind another; shape (copies, rows)."""
        forecast = served_model.forecast(self.model, self.entry, self.estimators, frame).reshape(-1, len(self.actual))
        return np.asarray(np.abs(forecast - self.actual))


def _sampled(fitted: Fitted, table: FeatureTable, on: Ground, horizon: int, rows: int, seed: int) -> _Sample:
    key = horizon_key(horizon)
    model = {**cast("dict[str, Any]", fitted.model), "reference": _REFERENCE}
    reference = table.x[fitted.model["reference"]].to_numpy()
    marked = np.flatnonzero(on.marked[horizon])
    answerable = reference[marked] + model["floor"] > 0
    chosen = np.flatnonzero(answerable)
    if len(chosen) > rows:
        chosen = np.sort(np.random.default_rng([seed, horizon]).choice(chosen, rows, replace=False))
    entry = model["horizons"][key]
    frame = table.x.loc[marked[chosen], [*entry["columns"], *entry["words"]]].reset_index(drop=True)
    frame[_REFERENCE] = reference[marked[chosen]]
    return _Sample(model, entry, fitted.estimators[key], frame, on.actual[horizon][chosen], seed)


# ---- permutation importance ----


def _rises(sample: _Sample, what: Mapping[str, Sequence[str]], repeats: int) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of the WAPE's rise in percent, when each set of columns is shuffled."""
    base = float(sample.errors(sample.frame).sum()) if len(sample.frame) else 0.0
    if not base:
        return dict.fromkeys(what, (0.0, 0.0))
    tries = [(name, repeat) for name in what for repeat in range(repeats)]
    at_once = max(1, _BLOCK_ROWS // len(sample.frame))
    found: dict[str, list[float]] = {name: [] for name in what}
    for start in range(0, len(tries), at_once):
        some = tries[start : start + at_once]
        errors = sample.errors(_shuffled(sample, some, what)).sum(axis=1)
        for (name, _), error in zip(some, errors, strict=True):
            found[name].append(100 * (float(error) / base - 1))
    return {name: (float(np.mean(rises)), float(np.std(rises))) for name, rises in found.items()}


def _shuffled(
    sample: _Sample, tries: Sequence[tuple[str, int]], what: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """A copy of the sample for each try, one behind another, with its columns shuffled."""
    rows = len(sample.frame)
    copies = {c: np.tile(sample.frame[c].to_numpy(), len(tries)) for c in sample.frame.columns}
    for i, (name, repeat) in enumerate(tries):
        # the order is the feature's own, so that it does not depend on which other features there are
        order = np.random.default_rng([sample.seed, repeat, zlib.crc32(name.encode())]).permutation(rows)
        for column in what[name]:
            copies[column][i * rows : (i + 1) * rows] = sample.frame[column].to_numpy()[order]
    return pd.DataFrame(copies)


# ---- SHAP values and coefficients ----


@dataclass(frozen=True)
class _Shap:
    """By column; empty where nothing is known."""

    sizes: Mapping[str, float] = field(default_factory=dict)
    directions: Mapping[str, float] = field(default_factory=dict)
    coefficients: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def _shap(sample: _Sample) -> _Shap:
    total = np.zeros((len(sample.frame), len(sample.columns)))
    reference = sample.frame[_REFERENCE].to_numpy() + sample.model["floor"]
    coefficients: Values | None = None
    remarks = []
    seen = served_model.Matrices(sample.entry, sample.frame)
    for name, part in sample.entry["parts"].items():
        if not part["weight"]:
            continue
        x = seen.matrix(part["tamed"])
        estimator = sample.estimators[name]
        linear = _linear(estimator)
        try:
            values = _linear_shap(*linear, x) if linear else _tree_shap(estimator, x)
        except _Unexplained as error:
            remarks.append(f"the part {name} has no SHAP values: {error}")
            continue
        in_logs = part["weight"] * _log_slope(part["scale"], estimator.predict(x), reference)
        total += in_logs * _by_feature(sample.entry, values)
        if linear:
            coefficients = in_logs * _by_feature(sample.entry, linear[0].coef_[None, :])[0]
    known = dict(zip(sample.columns, range(len(sample.columns)), strict=True))
    numbers = {c: coefficients[i] for c, i in known.items() if c in sample.entry["columns"]} if coefficients is not None else {}
    return _Shap(
        {c: round(100 * float(np.abs(total[:, i]).mean()), 4) for c, i in known.items()},
        {c: round(d, 3) for c, d in _directions(sample, total)},
        {c: round(float(v), 6) for c, v in numbers.items()},
        tuple(remarks),
    )


class _Unexplained(Exception):  # noqa: N818 (a fact about an estimator)
    """The shap package does not know this kind of estimator."""


def _linear(estimator: Any) -> tuple[Any, Any] | None:
    """A standardised linear model and its scaler."""
    steps = [step for _, step in getattr(estimator, "steps", ())]
    if len(steps) != 2 or np.ndim(getattr(steps[-1], "coef_", 0.0)) != 1 or not hasattr(steps[0], "scale_"):
        return None
    return steps[-1], steps[0]


def _linear_shap(model: Any, scaler: Any, x: Values) -> Values:
    z = (x - scaler.mean_) / scaler.scale_
    return np.asarray(model.coef_ * (z - z.mean(axis=0)))


def _tree_shap(estimator: Any, x: Values) -> Values:
    import shap  # noqa: PLC0415 (0.6 s, and a refresh asks for none)

    try:
        explainer = shap.TreeExplainer(estimator)
    except Exception as error:
        if "not supported" in str(error) or "not yet supported" in str(error):
            raise _Unexplained(f"shap knows no {type(estimator).__name__}") from error
        raise
    return np.asarray(explainer.shap_values(x, check_additivity=False), dtype=np.float64)


def _log_slope(scale: str, answer: Values, reference: Values) -> float:
    """What one unit of a part's answer is in logs of its forecast, at a usual answer."""
    if scale == "log":
        return 1.0
    usual = np.abs(answer if scale == "sqrt" else served_model.back(scale, answer, reference)).mean()
    return (2.0 if scale == "sqrt" else 1.0) / float(usual) if usual else 0.0


def _by_feature(entry: Mapping[str, Any], by_column: Values) -> Values:
    """Columns of the estimators' matrix as features: the words of a category column together. Shape (rows, features)."""
    numbers, at = len(entry["columns"]), len(entry["columns"])
    out = [by_column[:, :numbers]]
    for known in entry["words"].values():
        out.append(by_column[:, at : at + len(known)].sum(axis=1, keepdims=True))
        at += len(known)
    return np.hstack(out)


def _directions(sample: _Sample, total: Values) -> Iterator[tuple[str, float]]:
    """Rank correlation of each number with its SHAP value; nothing for a constant."""
    for i, column in enumerate(sample.entry["columns"]):
        value = sample.frame[column].to_numpy()
        known = np.isfinite(value)
        if known.sum() >= 10 and (found := _rank_correlation(value[known], total[known, i])) is not None:
            yield column, found


def _rank_correlation(a: Values, b: Values) -> float | None:
    """Spearman's; None where one of them is constant."""
    x, y = (pd.Series(v).rank().to_numpy() for v in (a, b))
    spread = float(x.std() * y.std())
    return float(((x - x.mean()) * (y - y.mean())).mean() / spread) if spread else None


# ---- where they disagree ----


def _agreement(weights: Sequence[FeatureWeight]) -> float | None:
    if len(weights) < 2 or weights[0].shap is None:
        return None
    found = _rank_correlation(np.array([w.rise for w in weights]), np.array([w.shap or 0.0 for w in weights]))
    return None if found is None else round(found, 3)


def _disagreements(weights: Sequence[FeatureWeight]) -> Iterator[str]:
    """weights: the most important first by permutation."""
    if not weights or weights[0].shap is None:
        return
    by_shap = {w.feature: i for i, w in enumerate(sorted(weights, key=lambda w: (-(w.shap or 0.0), w.feature)), start=1)}
    for rank, weight in enumerate(weights, start=1):
        other = by_shap[weight.feature]
        if min(rank, other) <= TOP and max(rank, other) > FAR * TOP:
            yield f"{weight.english}: rank {rank} by permutation, {other} by SHAP"
        if min(rank, other) <= TOP:
            yield from _against_expectation(weight)


def _against_expectation(weight: FeatureWeight) -> Iterator[str]:
    word = {1: "raise", -1: "lower"}
    if weight.expected and weight.direction is not None and weight.direction * weight.expected < -CLEAR:
        yield (f"{weight.english}: expected to {word[weight.expected]} the forecast, more of it {word[-weight.expected]}s it "
               f"(rank correlation with its SHAP value {weight.direction:+.2f})")  # fmt: skip
