"""LightGBM and mlforecast on the rows that bench/accuracy.py scores: what a forecaster would reach for instead of us.

LightGBM sees the same features as our candidates, at its default settings on the level, and tuned on the log ratio with an
absolute error (a grid, chosen on the validation days). mlforecast is used as its pages say for direct forecasts: log
differences, an absolute error, lags and rolling means of its own, one model a day ahead; it refuses series with gaps, so
the last value is carried over them. Nothing here sees a test day before it is scored.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMRegressor
from mlforecast import MLForecast
from mlforecast.lag_transforms import RollingMean
from mlforecast.target_transforms import Differences, GlobalSklearnTransformer
from numpy.typing import NDArray
from sklearn.preprocessing import FunctionTransformer

from retraind.jobs.data.features import FeatureTable
from retraind.jobs.data.splits import Borders, known_before
from retraind.jobs.training import portfolio, served_model
from retraind.jobs.training.evaluate import Ground

Values = NDArray[np.float64]
GRID = [
    {"num_leaves": leaves, "learning_rate": 0.05, "n_estimators": trees, "min_child_samples": least, "feature_fraction": 0.3}
    for leaves, trees, least in itertools.product((15, 31), (80, 160, 320), (40, 100))
]


def lightgbm(
    table: FeatureTable, cut: Borders, rows: Ground, validation: Ground, threads: int, seed: int
) -> dict[str, dict[int, Values]]:
    """Name -> horizon -> forecasts of the test rows, in the target's unit."""
    found: dict[str, dict[int, Values]] = {"lightgbm default": {}, "lightgbm tuned": {}}
    for h, marked in rows.marked.items():
        frame = _Frame(table, rows.target, h)
        before = known_before(table.target_day(h), cut.test)
        plain = frame.fitted({}, "level", before, threads, seed)
        found["lightgbm default"][h] = plain(marked)
        chosen = min(GRID, key=lambda one: frame.loss(one, cut, validation, threads, seed))
        found["lightgbm tuned"][h] = frame.fitted({**chosen, "objective": "l1"}, "log", before, threads, seed)(marked)
        print(f"  {rows.target} lightgbm, {h} days ahead: {chosen}", flush=True)
    return found


class _Frame:
    """One target's rows at one horizon, as a matrix."""

    def __init__(self, table: FeatureTable, target: str, horizon: int) -> None:
        self.table, self.horizon = table, horizon
        columns = table.columns(horizon)
        self.actual = table.targets[target][horizon]
        self.floor = 0.0
        if table.floored[target]:
            self.floor = float(np.nanmedian(self.actual[self.actual > 0])) / 100
        self.reference = table.x[table.reference[target]].to_numpy(np.float64) + self.floor
        entry = portfolio.inputs(table.x[columns], tamed=False)
        self.x = served_model.Matrices(entry, table.x).raw

    def fitted(
        self, params: Mapping[str, Any], scale: str, before: NDArray[np.bool_], threads: int, seed: int
    ) -> Callable[[NDArray[np.bool_]], Values]:
        """A fit on the rows before; what comes back forecasts marked rows."""
        usable = before & np.isfinite(self.actual) & (self.reference > 0) & (self.actual + self.floor > 0)
        learnt = served_model.towards(scale, (self.actual + self.floor)[usable], self.reference[usable])
        model = LGBMRegressor(**params, random_state=seed, n_jobs=threads, verbose=-1).fit(self.x[usable], learnt)

        def forecast(rows: NDArray[np.bool_]) -> Values:
            said = served_model.back(scale, model.predict(self.x[rows]), self.reference[rows])
            return np.maximum(said - self.floor, 0.0)

        return forecast

    def loss(self, params: Mapping[str, Any], cut: Borders, validation: Ground, threads: int, seed: int) -> float:
        """WAPE on the validation days."""
        before = known_before(self.table.target_day(self.horizon), cut.validation)
        said = self.fitted({**params, "objective": "l1"}, "log", before, threads, seed)(validation.marked[self.horizon])
        actual = validation.actual[self.horizon]
        return float(np.nansum(np.abs(said - actual)) / actual.sum())


def mlforecast(
    sales: pd.DataFrame, column: str, table: FeatureTable, cut: Borders, rows: Ground, threads: int
) -> dict[int, Values]:
    """Horizon -> forecasts of the test rows, in the target's unit; NaN for an item it did not know when it was fitted."""
    furthest, last = max(rows.marked), pd.Timestamp(cut.last)
    series = _carried(sales, column, last + pd.Timedelta(days=furthest))
    model = MLForecast(
        {"said": LGBMRegressor(objective="l1", n_estimators=200, learning_rate=0.05, n_jobs=threads, verbose=-1)},
        freq="D",
        lags=[1, 2, 7, 14, 28],
        lag_transforms={1: [RollingMean(7), RollingMean(28)]},
        date_features=["dayofweek", "month"],
        target_transforms=[GlobalSklearnTransformer(FunctionTransformer(np.log1p, np.expm1)), Differences([1])],
    )
    origins = int((last - pd.Timestamp(cut.test)).days) + 1
    print(f"  {rows.target} mlforecast: {furthest} models, {origins} origins", flush=True)
    said = model.cross_validation(
        series, n_windows=origins, h=furthest, step_size=1, refit=False, max_horizon=furthest, static_features=[]
    )
    said["days"] = (said["ds"] - said["cutoff"]).dt.days
    known = said.set_index(["unique_id", "cutoff", "days"])["said"]
    found = {}
    for h, marked in rows.marked.items():
        asked = pd.MultiIndex.from_arrays(
            [table.entity[marked], pd.to_datetime(table.origin[marked]), np.full(int(marked.sum()), h)]
        )
        found[h] = np.maximum(known.reindex(asked).to_numpy(np.float64), 0.0)
    return found


def _carried(sales: pd.DataFrame, column: str, last: pd.Timestamp) -> pd.DataFrame:
    """A value for each item and day from its first sale on; days after the data are there to be forecast, not read."""
    wide = sales.pivot_table(index="date", columns="item_code", values=column, aggfunc="last")
    wide = wide.reindex(pd.date_range(wide.index.min(), last)).ffill()
    tall = wide.rename_axis(index="ds", columns="unique_id").stack().rename("y").dropna().reset_index()
    return tall.sort_values(["unique_id", "ds"], ignore_index=True)
