"""Measures drift: holds the newest window of the main table against the windows before it, and ranks it among the past.

The history supplies the past: it is cut into windows aligned to the newest one, and each is held against the windows
before it in the same way. What a feature is, `data.drift_features` says; what a difference means, the drift library.

All that a window's figures depend on lies in its *span*: its own days, those of its reference, and as many again, which the
movements of the reference's rows look back to. Distances are kept under STATE/drift, each under a digest of that (the store's
files that reach the span, the contract, the windows' size, the code), so that a new drop measures its own window only, and
reads no more of the store than its span.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from math import isnan
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from retraind.core.events import DriftFeature, DriftMeasured, StoreFile
from retraind.core.steps import Measure, Measured
from retraind.drift import reference, statistics
from retraind.drift.reference import Difference, Reference, compare, distance, prepare_categories, prepare_numeric
from retraind.drift.saved import compare_saved
from retraind.drift.statistics import Floats
from retraind.drift.verdict import DropVerdict, FeatureVerdict, drop_rank, feature_verdicts, smallest_found
from retraind.jobs import drift_reference, drift_report, forecast_drift
from retraind.jobs.child import JobContext
from retraind.jobs.data import drift_features, store
from retraind.jobs.data.drift_features import Categories, DriftColumns, WindowCut, drift_columns
from retraind.jobs.data.store import main_table
from retraind.jobs.kept_distances import Distances, keep, kept, known
from retraind.settings import Contract, Drift

__all__ = ["measure"]

MOST_PAST = 110
"""Past windows that a drop is ranked among, the newest ones: about two years of weeks."""
QUANTILE = 0.9
"""Of a feature's past distances: what is large for it. Beside the median it finds more of every known change put into
the real sales (price x1.1: 94 % of weeks instead of 84) at as many alarms on the sales as they were."""
NOISE = 1.2238
"""The same quantile of sqrt(e) D between samples of one distribution, e = n m / (n + m) (Kolmogorov's law)."""


_EPOCH = dt.date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class _Window:
    """Days from `first` to `last`, both included, since 1970-01-01."""

    first: int
    last: int


def measure(step: Measure, job: JobContext) -> Measured:
    """How much the window of `step` moved, feature by feature, and whether that is more than past windows did.

    Raises RetraindError when the store cannot be read.
    """
    settings = job.config.drift
    window = _Window(_day(step.first_date), _day(step.last_date))
    past = _Past.of(step, job, window)
    held = _Held.of(step, job, [window, *past.unknown])
    columns = held.span(window)
    rows, before = _rows(columns, window), _rows(columns, _reference_of(window, settings))
    names = [*columns.numbers, *columns.categories]
    sides = {name: _sides(columns, name, window, settings) for name in names}
    differences = [compare(*side) for side in sides.values()]
    verdicts = feature_verdicts(differences, fdr=settings.fdr, ks=settings.ks, psi=settings.psi)
    distances = {name: d.distance for name, d in zip(names, differences, strict=True)}
    moved_before = past.measured(held, _known(distances, columns) if rows else {})
    table = _table(list(moved_before.values()), names)
    verdict = drop_rank(
        list(distances.values()),
        table,
        [v.changed for v in verdicts],
        rank=settings.rank.share,
        min_past=settings.min_past,
        quantile=QUANTILE,
        floor=NOISE * np.sqrt(1 / rows + 1 / before) if rows and before else 0.0,
    )
    features = _features(columns, names, differences, verdicts, verdict, _targets(job.config.contract, names))
    moved = forecast_drift.moved(step, job, settings)
    told = DriftMeasured(
        drop=step.drop,
        first_date=step.first_date,
        last_date=step.last_date,
        rows=rows,
        features=(*_since_training(features, columns, step, job.state, window), *moved.features),
        rank=verdict.rank,
        past=verdict.past,
        drifting=verdict.drifting,
        why=_why(verdict, names, differences, settings, before),
        finds=known(smallest_found(rows, before, len(names), fdr=settings.fdr, ks=settings.ks)),
        forecasts="" if verdict.drifting or (moved.late and step.drifted) else moved.words,
    )
    over_time = dict(zip((w.last for w in moved_before), table, strict=True))
    return Measured(drift_report.kept(told, job, sides, names, over_time))


def _targets(contract: Contract, names: list[str]) -> set[str]:
    """The features that are a target, or a movement of one."""
    columns = {target.column for target in contract.targets.values()}
    return {name for name in names if name.removesuffix(".change").removesuffix(".since_window") in columns}


def _since_training(
    features: tuple[DriftFeature, ...], columns: DriftColumns, step: Measure, state: Path, window: _Window
) -> tuple[DriftFeature, ...]:
    """The features with their distance from what the champion learned from, where its reference is kept."""
    learned, now = drift_reference.kept(state, step.learned), _slice(columns, window)
    values = {**columns.numbers, **columns.categories}
    return tuple(
        replace(f, since_training=known(compare_saved(learned[f.feature], values[f.feature][now]).distance))
        if f.feature in learned else f
        for f in features
    )  # fmt: skip


# ---- windows ----


def _day(date: dt.date) -> int:
    return date.toordinal() - _EPOCH


def _date(day: int) -> dt.date:
    return dt.date.fromordinal(max(day + _EPOCH, 1))


def _slice(columns: DriftColumns, window: _Window) -> slice:
    """The rows of a window: rows lie in the order of their days."""
    start, stop = np.searchsorted(columns.day, [window.first, window.last + 1])
    return slice(int(start), int(stop))


def _rows(columns: DriftColumns, window: _Window) -> int:
    rows = _slice(columns, window)
    return int(rows.stop - rows.start)


def _reference_of(window: _Window, settings: Drift) -> _Window:
    """The windows before it that a window is held against, as one."""
    return _Window(window.first - settings.reference * settings.days, window.first - 1)


def _span_of(window: _Window, settings: Drift) -> _Window:
    """All days that a window's figures depend on."""
    return _Window(window.first - 2 * settings.reference * settings.days, window.last)


def _past_windows(files: tuple[StoreFile, ...], main: str, window: _Window, settings: Drift) -> list[_Window]:
    """Whole windows before this one that have a whole reference before them, the newest first."""
    oldest = min((_day(f.first_date) for f in files if f.table == main and f.first_date), default=window.first)
    firsts = range(window.first - settings.days, oldest + settings.reference * settings.days - 1, -settings.days)
    return [_Window(first, first + settings.days - 1) for first in firsts[:MOST_PAST]]


@dataclass(frozen=True)
class _Held:
    """The joined rows of the main table, as many as are needed, and the columns of a window's span."""

    rows: pa.Table
    day: npt.NDArray[np.int64]
    """Of each row, ascending."""
    contract: Contract
    settings: Drift

    @classmethod
    def of(cls, step: Measure, job: JobContext, windows: list[_Window]) -> _Held:
        """What the spans of these windows hold."""
        contract, settings = job.config.contract, job.config.drift
        since = min(_span_of(w, settings).first for w in windows)
        rows = main_table(job.state, step.store, contract, since=_date(since), until=step.last_date, excluded=step.excluded)
        return cls(rows, rows.column(contract.date).cast(pa.int32()).to_numpy().astype(np.int64), contract, settings)

    def span(self, window: _Window) -> DriftColumns:
        """The drift features of a window's span."""
        span = _span_of(window, self.settings)
        start, stop = np.searchsorted(self.day, [span.first, span.last + 1])
        cut = WindowCut(window.first, self.settings.days, self.settings.reference * self.settings.days)
        return drift_columns(self.rows.slice(start, stop - start), self.contract, cut)


def _sides(columns: DriftColumns, name: str, window: _Window, settings: Drift) -> tuple[Reference, Floats | Categories]:
    """A column's reference before a window, and its values in the window."""
    now, before = _slice(columns, window), _slice(columns, _reference_of(window, settings))
    if name in columns.numbers:
        values = columns.numbers[name]
        return prepare_numeric(values[before]), values[now]
    return prepare_categories(columns.categories[name][before]), columns.categories[name][now]


# ---- the past, and what is kept of it ----


@dataclass(frozen=True)
class _Past:
    """Past windows, the newest first, and what is known of each."""

    file: Path
    keys: dict[_Window, str]
    """Of the past windows, and of the window that is measured now: it is the next one's past."""
    now: _Window
    kept: dict[str, Distances]
    progress: Callable[[str, int, int], None]

    @classmethod
    def of(cls, step: Measure, job: JobContext, now: _Window) -> _Past:
        """From the cache, where nothing that a window depends on has changed."""
        settings, contract = job.config.drift, job.config.contract
        windows = (now, *_past_windows(step.store, contract.main, now, settings))
        reads = f"{contract!r} {settings.days} {settings.reference} {_code()}"
        keys = {w: _key(step, contract, _span_of(w, settings), reads) for w in windows}
        file = job.state / "drift" / f"{job.pipeline}.json"
        return cls(file, keys, now, kept(file), job.progress)

    @property
    def unknown(self) -> list[_Window]:
        """Past windows that must be measured."""
        return [w for w, key in self.keys.items() if key not in self.kept and w != self.now]

    def measured(self, held: _Held, now: Distances) -> dict[_Window, Distances]:
        """The distances of every past window that holds rows; with those of the window `now` they are kept."""
        found = {key: self.kept.get(key, {}) for key in self.keys.values()}
        found[self.keys[self.now]] = now
        for i, w in enumerate(self.unknown):
            found[self.keys[w]] = _distances(held.span(w), w, held.settings)
            self.progress("measuring past windows", i + 1, len(self.unknown))
        if found != self.kept:
            keep(self.file, found)
        return {w: found[key] for w, key in self.keys.items() if w != self.now and found[key]}


def _distances(columns: DriftColumns, window: _Window, settings: Drift) -> Distances:
    if not _rows(columns, window):
        return {}
    measured = {n: distance(*_sides(columns, n, window, settings)) for n in (*columns.numbers, *columns.categories)}
    return _known(measured, columns)


def _known(distances: Distances, columns: DriftColumns) -> Distances:
    """Those that could be measured; what did not move in a whole span did not move in its window."""
    return {name: d for name, d in distances.items() if not isnan(d)} | dict.fromkeys(columns.still, 0.0)


def _table(past: list[Distances], names: list[str]) -> Floats:
    """Past distances, shape (windows, features); NaN where one could not be measured."""
    table = np.full((len(past), len(names)), np.nan)
    for row, distances in enumerate(past):
        table[row] = [distances.get(name, np.nan) for name in names]
    return table


def _key(step: Measure, contract: Contract, span: _Window, reads: str) -> str:
    """A digest of all that a window's distances depend on. reads: of this, what is the same for all windows."""
    first, last = _date(span.first), _date(span.last)
    lookups = {name for name, table in contract.tables.items() if table.role == "lookup"}
    reaching = [
        (f.table, f.sha256) for f in step.store
        if f.table in lookups or f.first_date is None or f.last_date is None or (f.first_date <= last and f.last_date >= first)
    ]  # fmt: skip
    without = [day for day in step.excluded if first <= day <= last]
    return hashlib.sha256(repr((reaching, without, span, reads)).encode()).hexdigest()


@cache
def _code() -> str:
    """A digest of the code that makes distances."""
    modules = (statistics, reference, drift_features, store)
    files = [Path(__file__), *(Path(str(module.__file__)) for module in modules)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


# ---- the outcome, in figures and in words ----


def _features(
    columns: DriftColumns,
    names: list[str],
    differences: list[Difference],
    verdicts: tuple[FeatureVerdict, ...],
    verdict: DropVerdict,
    targets: set[str],
) -> tuple[DriftFeature, ...]:
    """One row a feature; those that moved most by their own measure first."""
    rows = [
        DriftFeature(
            feature=name,
            psi=known(difference.psi),
            d=known(difference.distance) if name in columns.numbers else None,
            p=known(feature.p),
            changed=feature.changed,
            scaled=known(scaled),
            role="target" if name in targets else "feature",
            needed=known(needed),
        )
        for name, difference, feature, scaled, needed in zip(
            names, differences, verdicts, verdict.scaled, verdict.needed, strict=True
        )
    ]
    return tuple(sorted(rows, key=lambda row: -(row.scaled or 0)))


def _why(verdict: DropVerdict, names: list[str], differences: list[Difference], settings: Drift, before: int) -> str:
    """The verdict in words."""
    one, many = {1: ("day", "days"), 7: ("week", "weeks")}.get(settings.days, ("window", "windows"))
    if not before:
        return f"nothing to hold it against: the {settings.reference} {many} before hold no rows"
    if verdict.reason == "too little past":
        return f"too little past: {verdict.past} {many} of {settings.min_past}"
    if verdict.feature is None or verdict.rank is None:
        return "nothing to compare: no feature holds a value on both sides"
    if verdict.reason == "ordinary":
        return f"an ordinary {one}: {verdict.rank - 1} of {verdict.past} past {many} moved more"
    difference = differences[verdict.feature]
    figures = (
        f"{names[verdict.feature]}, D {difference.distance:.2f}, PSI {difference.psi:.2f}, "
        f"{verdict.scaled[verdict.feature]:.1f} times what 9 of 10 {many} stay below"
    )
    but = f" but {verdict.rank - 1}" if verdict.rank > 1 else ""
    moved = f"moved more than all{but} of {verdict.past} past {many}: {figures}"
    return moved if verdict.drifting else f"{moved}; not both real and large"
