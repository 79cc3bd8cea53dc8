"""The job `forecast`: forecasts of every origin day that is new, scores of what became known, and the orders file.

All that it knows comes from the step and from files: which forecasts are missing and which can be scored is found anew each
time, so that a job that was killed and is done again makes the same files. A version that cannot be loaded is told and
costs nothing else: the last good one stands in for the champion, a naive forecast for both, and the orders file says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from retraind.core.events import ForecastFile, OrderSource, Unloadable
from retraind.core.figures import BASELINES as NAIVE
from retraind.core.steps import Failed, Forecast, Forecasted, Forecaster
from retraind.failpoint import failpoint
from retraind.jobs.child import JobContext
from retraind.jobs.data import forecasts as files
from retraind.jobs.data import scoring
from retraind.jobs.data.features import FeatureTable, build
from retraind.jobs.data.scoring import Actuals, Scoring
from retraind.jobs.data.store import main_frame
from retraind.jobs.training import served
from retraind.jobs.training.baselines import BASELINES
from retraind.settings import Contract

__all__ = ["FORECAST_POINTS", "forecast"]

ASSORTMENT = 28
"""An item sold in so many days up to the newest one is forecast from it, sold on that day or not."""
DIGITS = 6
"""Significant digits of a forecast in the orders file."""
FORECAST_POINTS = (
    "forecast.before_file",
    "forecast.file_written",
    "forecast.before_scores",
    "forecast.scores_written",
    "forecast.before_orders",
    "forecast.order_replaced",
    "forecast.orders_replaced",
)
"""Where a test may kill the job, in their order; the last but one is reached once a file of the orders folder."""

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


def forecast(step: Forecast, job: JobContext) -> Forecasted | Failed:
    """Forecast, score and renew the orders file."""
    contract, horizons = job.config.contract, job.config.training.horizons
    job.progress("reading the store", 0, 1)
    frame = main_frame(job.state, step.store, contract, step.newest, excluded=step.excluded, assortment=ASSORTMENT)
    if frame.empty:
        return Failed(f"the store holds no rows up to {step.newest}", retryable=False)
    job.progress("building features", 0, 1)
    task = _Task(step, job, build(frame, contract, horizons))
    made = files.read(job.state, "forecasts", step.made)
    fresh = _forecasts(task, made)
    orders, sources = _orders(task, frame)
    file = _write_forecasts(task, fresh)
    result = _score(task, made, fresh)
    scored = _write_scores(task, result)
    _write_orders(task, orders)
    return Forecasted(
        made=file,
        orders=sources,
        unloadable=tuple(task.unloadable.values()),
        scored=scored,
        cells=scoring.cells(result.rows),
        slices=scoring.slices(result.rows),
        corrected=result.corrected,
        expired=result.expired,
        sliced_by=_category(contract, task.table.panel.words) or "",
    )


@dataclass(frozen=True)
class _Task:
    """What every part of the job knows, and the versions that it loaded so far."""

    step: Forecast
    job: JobContext
    table: FeatureTable
    loaded: dict[tuple[str, int], served.Served] = field(default_factory=dict)
    unloadable: dict[tuple[str, int], Unloadable] = field(default_factory=dict)

    @property
    def contract(self) -> Contract:
        return self.job.config.contract

    @property
    def horizons(self) -> tuple[int, ...]:
        return self.job.config.training.horizons

    @property
    def newest(self) -> np.datetime64:
        return np.datetime64(self.step.newest, "D")

    @property
    def newest_rows(self) -> NDArray[np.int64]:
        """The rows of the table that the orders file tells of."""
        return np.flatnonzero(self.table.origin == self.newest)

    def model(self, target: str) -> str:
        """The registered name."""
        return self.job.settings.mlflow.name_of(self.job.pipeline, target)

    def answers(self, target: str, who: Forecaster, horizon: int, rows: NDArray[np.int64]) -> Values | None:
        """A version's forecasts from those rows of the table, NaN where it has none; None when it cannot be loaded."""
        key = (target, who.version)
        if key in self.unloadable:
            return None
        try:
            if key not in self.loaded:
                self.job.progress(f"loading {target} v{who.version}", 0, 1)
                self.loaded[key] = served.load(
                    self.job.state,
                    self.job.root,
                    self.job.settings.mlflow,
                    self.model(target),
                    who,
                )
            return served.forecast(self.loaded[key], self.table.x.iloc[rows], horizon)
        except Exception as error:  # noqa: BLE001 (whatever keeps it from answering is told, and another stands in)
            why = str(getattr(error, "what", error)).strip() or type(error).__name__
            self.unloadable[key] = Unloadable(self.model(target), who.version, why.splitlines()[0])
            return None

    def naive(self, target: str, name: str, horizon: int, rows: NDArray[np.int64]) -> Values:
        """A naive forecast from those rows of the table."""
        return BASELINES[name](self.table.panel, self.contract.targets[target].column, horizon)[rows]

    def can(self, target: str, who: Forecaster) -> bool:
        """The version loads, and the table has what it learnt from."""
        return self.answers(target, who, min(self.horizons), self.newest_rows) is not None


# ---- forecasts ----


def _forecasts(task: _Task, made: pd.DataFrame) -> pd.DataFrame:
    """Those that were not made yet, by all who can, ordered."""
    since = max(scoring.open_from(task.step.newest, made), task.newest - np.timedelta64(scoring.OPEN_DAYS, "D"))
    wanted = [_by_each(task, t, _wanted(task, t, h, since)) for t in task.contract.targets for h in task.horizons]
    fresh = scoring.unmade(pd.concat(wanted, ignore_index=True), made)
    values = np.full(len(fresh), np.nan)
    groups = fresh.groupby(["target", "version", "horizon_days"], sort=True).indices
    for i, (name, places) in enumerate(groups.items()):
        target, version, horizon = cast("tuple[str, str, int]", name)
        task.job.progress(f"forecasting {target}, {_called(version)}", i, len(groups))
        rows = fresh["row"].to_numpy()[places]
        if version in NAIVE:
            values[places] = task.naive(target, version, int(horizon), rows)
            continue
        found = task.answers(target, _who(task, target, version), int(horizon), rows)
        values[places] = np.nan if found is None else found
    fresh["forecast"] = values
    gone = {(t, str(n)) for t, n in task.unloadable}
    unanswerable = np.array([pair in gone for pair in zip(fresh["target"], fresh["version"], strict=True)], dtype=bool)
    fresh = fresh.loc[~unanswerable]
    return fresh.sort_values(["target", "version", "horizon_days", "origin_date", "item_code"], ignore_index=True)


def _called(version: str) -> str:
    return version.replace("_", " ") if version in NAIVE else f"v{version}"


def _who(task: _Task, target: str, version: str) -> Forecaster:
    return next(f for f in task.step.forecasters[target] if str(f.version) == version)


def _wanted(task: _Task, target: str, horizon: int, since: np.datetime64) -> pd.DataFrame:
    """The rows of the table that matter at a horizon: target days from `since` on."""
    table = task.table
    day = table.target_day(horizon)
    rows = np.flatnonzero(day >= since)
    unsold = table.panel.unsold
    return pd.DataFrame(
        {
            "target": target,
            "item_code": table.entity[rows],
            "origin_date": table.origin[rows].astype("datetime64[s]"),
            "target_date": day[rows].astype("datetime64[s]"),
            "horizon_days": horizon,
            "origin_observed": True if unsold is None else ~unsold[rows],
            "issued": day[rows] > task.newest,
            "made_at": task.step.at,
            "row": rows,
        }
    )


def _by_each(task: _Task, target: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows once for each naive forecast and each version; a version's lie after its data's end."""
    parts = [rows.assign(model="", version=name, role="baseline") for name in NAIVE]
    day = rows["target_date"].to_numpy(dtype="datetime64[D]")
    for who in _roster(task, target):
        after = rows.loc[day > np.datetime64(who.data_end, "D")]
        parts.append(after.assign(model=task.model(target), version=str(who.version), role=who.role))
    return pd.concat(parts, ignore_index=True)


def _roster(task: _Task, target: str) -> Iterable[Forecaster]:
    """The versions that forecast: the last good one only where the champion does not load."""
    everyone = task.step.forecasters.get(target, ())
    champion = next((f for f in everyone if f.role == "champion"), None)
    stands_in = champion is not None and not task.can(target, champion)
    return [f for f in everyone if f.role != "last_good" or stands_in]


def _write_forecasts(task: _Task, fresh: pd.DataFrame) -> ForecastFile | None:
    if fresh.empty:
        return None
    failpoint("forecast.before_file")
    file = files.write(task.job.state, "forecasts", files.table_of(fresh, files.FORECASTS))
    failpoint("forecast.file_written")
    return file


# ---- scores ----


def _score(task: _Task, made: pd.DataFrame, fresh: pd.DataFrame) -> Scoring:
    task.job.progress("scoring", 0, 1)
    columns = [c for c in files.FORECASTS.names if c != "made_at"]
    return scoring.score(
        pd.concat([made[columns], fresh[columns]], ignore_index=True),
        files.read(task.job.state, "scores", task.step.scored),
        _actuals(task),
        task.step.newest,
        scoring.open_from(task.step.newest, made),
        {(target, str(f.version)): f.data_end for target, who in task.step.forecasters.items() for f in who},
    )


def _actuals(task: _Task) -> Actuals:
    columns = {name: target.column for name, target in task.contract.targets.items()}
    return scoring.actuals_of(task.table.panel, columns, _category(task.contract, task.table.panel.words))


def _category(contract: Contract, there: Mapping[str, Any]) -> str | None:
    """The first category column of a lookup, or else of the main table."""
    return next((column for column in contract.categories if column in there), None)


def _write_scores(task: _Task, result: Scoring) -> ForecastFile | None:
    if result.rows.empty:
        return None
    failpoint("forecast.before_scores")
    file = files.write(task.job.state, "scores", files.table_of(result.rows, files.SCORES))
    failpoint("forecast.scores_written")
    return file


# ---- orders ----


def _orders(task: _Task, frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[OrderSource, ...]]:
    """The newest day's forecasts of every item in the assortment, and whose they are."""
    names = _names(task.contract, frame)
    parts, sources = [], []
    for target in task.contract.targets:
        who = _source(task, target)
        kind = who.role if who else task.step.naive[target]
        rows = pd.concat([_order_rows(task, target, h, who, kind) for h in task.horizons], ignore_index=True)
        filled = int((rows["source"] != kind).sum())
        sources.append(OrderSource(target, kind, who.version if who else None, len(rows), filled))
        parts.append(rows)
    orders = pd.concat(parts, ignore_index=True).sort_values(["target", "item_code", "horizon_days"], ignore_index=True)
    orders["forecast"] = [float(f"{value:.{DIGITS}g}") for value in orders["forecast"]]
    orders["item_name"] = [names.get(item, "") for item in orders["item_code"]]
    return orders.assign(made_at=task.step.at, stale=task.step.stale), tuple(sources)


def _order_rows(task: _Task, target: str, horizon: int, who: Forecaster | None, kind: str) -> pd.DataFrame:
    """One target's rows at one horizon; where the version has no answer the naive forecast stands, under its own name."""
    table, rows, naive = task.table, task.newest_rows, task.step.naive[target]
    forecasts = task.naive(target, naive, horizon, rows)
    found = task.answers(target, who, horizon, rows) if who else None
    answered = np.isfinite(found) if found is not None else np.zeros(len(rows), dtype=bool)
    return pd.DataFrame(
        {
            "target": target,
            "item_code": table.entity[rows],
            "origin_date": table.origin[rows].astype("datetime64[s]"),
            "target_date": table.target_day(horizon)[rows].astype("datetime64[s]"),
            "horizon_days": horizon,
            "forecast": forecasts if found is None else np.where(answered, found, forecasts),
            "unit": task.contract.targets[target].unit,
            "source": np.where(answered, kind, naive),
            "version": np.where(answered, str(who.version) if who else "", ""),
            "data_until": table.origin[rows].astype("datetime64[s]"),
        }
    )


def _source(task: _Task, target: str) -> Forecaster | None:
    """The champion, or else the last good version, whichever loads first; None leaves it to the naive forecast."""
    everyone = task.step.forecasters.get(target, ())
    champion = next((f for f in everyone if f.role == "champion"), None)
    if champion and task.can(target, champion):
        return champion
    named = task.step.last_good.get(target)
    good = next((f for f in everyone if f.role == "last_good" or f.version == named), None)
    return replace(good, role="last_good") if good and task.can(target, good) else None


def _names(contract: Contract, frame: pd.DataFrame) -> Mapping[str, str]:
    """Item -> its name for people: the first text column of a lookup that is called a name."""
    found = [
        c
        for table in contract.tables.values()
        if table.role == "lookup"
        for c, kind in table.columns.items()
        if kind.type == "text" and c.endswith("name") and c in frame.columns
    ]
    if not found:
        return {}
    last = frame.drop_duplicates(contract.entity, keep="last")
    named = last[found[0]].notna()
    return dict(zip(last.loc[named, contract.entity], last.loc[named, found[0]], strict=True))


def _write_orders(task: _Task, orders: pd.DataFrame) -> None:
    """Renew the folder of the orders, with the newest day's features for whoever asks a model himself."""
    task.job.progress("writing the orders file", 0, 1)
    rows = task.newest_rows
    features = task.table.x.iloc[rows].assign(item_code=task.table.entity[rows], date=task.step.newest)
    failpoint("forecast.before_orders")
    files.write_orders(
        task.job.root / task.job.settings.paths.orders,
        files.table_of(orders, files.ORDERS),
        pa.Table.from_pandas(features, preserve_index=False),
        lambda _: failpoint("forecast.order_replaced"),
    )
    failpoint("forecast.orders_replaced")
