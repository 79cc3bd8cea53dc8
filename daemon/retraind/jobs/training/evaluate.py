"""Figures of forecasts on the same rows, and what may be compared with what.

The rows come from the store and never from a model: an (entity, origin) is scored at a horizon when its target's day has a
value and the entity had one at or before the origin. A row that a model cannot answer gets the seasonal naive forecast, and
is counted. Every figure stands beside the digest of its rows (POLICIES.md, rule 4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retraind.core.figures import MEASURED, RowSet, Scores, horizon_key
from retraind.jobs.data.features import FeatureTable
from retraind.jobs.data.splits import within
from retraind.jobs.training.baselines import BASELINES

__all__ = ["Answered", "Ground", "answered", "filled", "ground", "measure", "relative_wape", "row_set", "scores", "smape"]

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
Days = NDArray[np.datetime64]


def measure(actual: Values, forecast: Values, naive_error: float | None) -> dict[str, float | None]:
    """Every metric of `core.figures.MEASURED`; None where it is not defined.

    actual, forecast: shape (rows,), in the target's unit. naive_error: mean absolute error of persistence one day ahead on
    the days learnt from (MASE's scale, Hyndman & Koehler 2006). WAPE, MAPE, sMAPE, bias in percent, bias positive when too
    high; MAPE over rows whose actual is not 0.
    """
    if not len(actual):
        return dict.fromkeys(MEASURED)
    error = forecast - actual
    mae = float(np.abs(error).mean())
    total, spread = float(np.abs(actual).sum()), float(((actual - actual.mean()) ** 2).sum())
    there = actual != 0
    return {
        "wape": 100 * float(np.abs(error).sum()) / total if total else None,
        "mape": 100 * float(np.abs(error[there] / actual[there]).mean()) if there.any() else None,
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": mae,
        "mase": mae / naive_error if naive_error else None,
        "r2": 1 - float((error**2).sum()) / spread if spread else None,
        "bias": 100 * float(error.sum()) / total if total else None,
        "smape": smape(actual, forecast),
    }


def smape(actual: Values, forecast: Values) -> float | None:
    """Symmetric MAPE in percent, 0 to 200: mean of 2 |f - a| / (|a| + |f|) over the rows where that is defined (Makridakis
    1993). None without one."""
    size = np.abs(actual) + np.abs(forecast)
    there = size > 0
    return 200 * float((np.abs(forecast - actual)[there] / size[there]).mean()) if there.any() else None


@dataclass(frozen=True)
class Ground:
    """The rows on which forecasters of one target meet, by horizon, with what happened and the naive forecasts."""

    target: str
    marked: Mapping[int, Mask]
    """By horizon, over all rows of the table."""
    rows: Mapping[str, RowSet]
    actual: Mapping[int, Values]
    naive: Mapping[str, Mapping[int, Values]]
    """Baseline -> horizon -> forecasts of the marked rows."""
    naive_error: float | None
    target_day: Mapping[int, Days]
    """By horizon, of the marked rows."""


def ground(
    table: FeatureTable,
    target: str,
    column: str,
    horizons: tuple[int, ...],
    start: np.datetime64,
    end: np.datetime64,
) -> Ground:
    """The rows whose origin and target's day lie in [start, end)."""
    known = table.panel.rows(table.panel.known(column))
    marked, actual, rows = {}, {}, {}
    for h in horizons:
        value = table.targets[target][h]
        marked[h] = within(table.origin, table.target_day(h), start, end) & ~np.isnan(value) & ~np.isnan(known)
        actual[h] = value[marked[h]]
        rows[horizon_key(h)] = row_set(table, marked[h], h)
    naive = {
        name: {h: baseline(table.panel, column, h)[marked[h]] for h in horizons} for name, baseline in BASELINES.items()
    }
    days = {h: table.target_day(h)[marked[h]].astype("datetime64[D]") for h in horizons}
    return Ground(target, marked, rows, actual, naive, _naive_error(table, column, start), days)


def row_set(table: FeatureTable, marked: Mask, horizon: int) -> RowSet:
    """The marked rows by their digest, which entities and origins alone decide."""
    days = table.origin[marked].astype(np.int64)
    text = "\n".join(f"{entity}\t{day}\t{horizon}" for entity, day in zip(table.entity[marked], days, strict=True))
    return RowSet(int(marked.sum()), len(np.unique(days)), hashlib.sha256(text.encode()).hexdigest()[:16])


def _naive_error(table: FeatureTable, column: str, start: np.datetime64) -> float | None:
    grid = table.panel.value(column)[: int((start - table.panel.start).astype(np.int64))]
    change = np.abs(grid[1:] - table.panel.known(column)[: max(len(grid) - 1, 0)])
    return float(np.nanmean(change)) if np.isfinite(change).any() else None


def filled(on: Ground, horizon: int, forecast: Values) -> Values:
    """Forecasts of the marked rows; a row without an answer (NaN) has the seasonal naive forecast."""
    return np.where(np.isfinite(forecast), forecast, on.naive["seasonal_naive"][horizon])


def scores(on: Ground, forecasts: Mapping[int, Values]) -> Scores:
    """What a forecaster scored, from its forecasts of the marked rows by horizon; NaN is a row it cannot answer."""
    values: dict[str, dict[str, float | None]] = {metric: {} for metric in MEASURED}
    unanswered: dict[str, int] = {}
    for h, forecast in forecasts.items():
        missing = int((~np.isfinite(forecast)).sum())
        if missing:
            unanswered[horizon_key(h)] = missing
        for metric, value in measure(on.actual[h], filled(on, h, forecast), on.naive_error).items():
            values[metric][horizon_key(h)] = value
    return Scores({horizon_key(h): on.rows[horizon_key(h)] for h in forecasts}, values, unanswered)


@dataclass(frozen=True)
class Answered:
    """What a forecaster scored, with the forecasts behind it."""

    scores: Scores
    forecasts: Mapping[int, Values]
    """By horizon, of the marked rows; NaN where it has no answer."""


def answered(on: Ground, forecasts: Mapping[int, Values]) -> Answered:
    """Forecasts with their scores."""
    return Answered(scores(on, forecasts), forecasts)


def relative_wape(model: Scores, persistence: Scores) -> float | None:
    """Mean over the horizons of WAPE against persistence's: below 1 beats doing nothing. None where one is missing, or doing
    nothing is without error."""
    pairs = [(model.values["wape"][h], persistence.values["wape"][h]) for h in model.rows]
    ratios = [a / b for a, b in pairs if a is not None and b]
    return float(np.mean(ratios)) if ratios and len(ratios) == len(pairs) else None
