"""Whether the champion's forecasts moved: a distribution that moves while its inputs do not is a model that broke.

What is held against the windows before is each forecast relative to doing nothing from the same origin, (f - p) / (|f| + |p|),
so that a level which all forecasts follow is no movement. How far it moved before is kept window by window in STATE/drift,
and told is only what moved further than nine of ten past windows did: the forecasts of one day share that day's mood.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retraind.core.events import DriftFeature
from retraind.core.steps import Measure
from retraind.drift.reference import Difference, compare, prepare_numeric
from retraind.drift.statistics import Floats
from retraind.drift.verdict import feature_verdicts
from retraind.jobs.child import JobContext
from retraind.jobs.data import forecasts
from retraind.jobs.data.drift_features import relative_change
from retraind.jobs.kept_distances import keep, kept, known
from retraind.settings import Drift

__all__ = ["MIN_PAST", "Moved", "moved"]

MIN_PAST, _KEPT, _QUANTILE = 8, 110, 0.9
"""Windows that must be known before a movement is called unusual; those that are kept; what is large among them."""
_NAIVE = "persistence"


@dataclass(frozen=True)
class Moved:
    """What the forecasts did in a window."""

    features: tuple[DriftFeature, ...]
    words: str
    """What moved further than usual; empty when nothing did."""
    late: bool = False
    """They are the forecasts of the window before: those of this one are still to come."""


def moved(step: Measure, job: JobContext, settings: Drift) -> Moved:
    """Each target's forecasts at its two shortest horizons, as `forecast.TARGET.hH`. Nothing where none were made.

    A window is measured before it is forecast from; so the newest window of origins that have forecasts is held against those
    before it, with weekly drops the window before. Raises RetraindError when a file that the journal names cannot be read.
    """
    oldest = step.first_date - dt.timedelta(days=(settings.reference + 1) * settings.days)
    reaching = [f for f in step.forecasts if f.last_date > oldest]  # a target's day lies after its origin
    rows = _between(forecasts.load(job.state, "forecasts", reaching), oldest, step.last_date) if reaching else None
    last = _newest_origin(rows) if rows is not None else None
    if rows is None or last is None or last < step.first_date - dt.timedelta(days=settings.days):
        return Moved((), "")
    first = last - dt.timedelta(days=settings.days - 1)
    rows = _between(rows, first - dt.timedelta(days=settings.reference * settings.days), last)
    names, differences, versions = [], [], []
    for target in job.config.contract.targets:
        for horizon in sorted(job.config.training.horizons)[:2]:
            wanted = pc.and_(pc.equal(rows.column("target"), target), pc.equal(rows.column("horizon_days"), horizon))
            against = _against_naive(rows.filter(wanted))
            inside = against.origin >= (first - dt.date(1970, 1, 1)).days
            now, then = _part(against, inside), _part(against, ~inside)
            names.append(f"forecast.{target}.h{horizon}")
            differences.append(compare(prepare_numeric(then.moves), now.moves))
            versions.append(_another({*now.version}, {*then.version}))
    told = _judged(names, differences, versions, job.state / "drift" / f"{job.pipeline}-forecasts.json", last, settings)
    return replace(told, late=last < step.first_date)


def _newest_origin(rows: pa.Table) -> dt.date | None:
    """Of the champion's forecasts."""
    newest: dt.date | None = pc.max(rows.filter(pc.equal(rows.column("role"), "champion")).column("origin_date")).as_py()
    return newest


def _another(now: set[str], then: set[str]) -> str:
    """Whose forecasts these are, where they were another's before."""
    return f"v{'/v'.join(sorted(now))} after v{'/v'.join(sorted(then))}" if now and then and now != then else ""


def _between(rows: pa.Table, first: dt.date, last: dt.date) -> pa.Table:
    """Forecasts of these origins, both included."""
    origin = rows.column("origin_date")
    return rows.filter(pc.and_(pc.greater_equal(origin, first), pc.less_equal(origin, last)))


@dataclass(frozen=True)
class _Against:
    """The champion's forecasts, each beside persistence's of the same item and origin; all of shape (forecasts,)."""

    moves: Floats
    """(f - p) / (|f| + |p|)."""
    origin: npt.NDArray[np.int64]
    """Days since 1970-01-01."""
    version: npt.NDArray[np.object_]


def _against_naive(rows: pa.Table) -> _Against:
    """rows: of one target and horizon. Of several forecasts of one item and origin the newest counts."""
    ours, naive = (rows.filter(pc.equal(rows.column(c), v)) for c, v in (("role", "champion"), ("version", _NAIVE)))
    items = pc.unique(rows.column("item_code"))
    (our_keys, our_rows), (their_keys, their_rows) = _newest(ours, items), _newest(naive, items)
    _, here, there = np.intersect1d(our_keys, their_keys, assume_unique=True, return_indices=True)
    ours, naive = ours.take(pa.array(our_rows[here])), naive.take(pa.array(their_rows[there]))
    moves = relative_change(*(side.column("forecast").to_numpy() for side in (ours, naive)))
    return _Against(moves, _days(ours), ours.column("version").to_numpy())


def _newest(rows: pa.Table, items: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A number for each item and origin, ascending, and the last row of it."""
    item = pc.index_in(rows.column("item_code"), value_set=items).to_numpy().astype(np.int64)
    keys, from_behind = np.unique((_days(rows) * len(items) + item)[::-1], return_index=True)
    return keys, rows.num_rows - 1 - from_behind


def _days(rows: pa.Table) -> npt.NDArray[np.int64]:
    days: npt.NDArray[np.int64] = rows.column("origin_date").cast(pa.int32()).to_numpy().astype(np.int64)
    return days


def _part(against: _Against, side: npt.NDArray[np.bool_]) -> _Against:
    return _Against(against.moves[side], against.origin[side], against.version[side])


def _judged(
    names: list[str], differences: list[Difference], versions: list[str], file: Path, last_date: dt.date, settings: Drift
) -> Moved:
    past = {last: found for last, found in kept(file).items() if last < last_date.isoformat()}
    verdicts = feature_verdicts(differences, fdr=settings.fdr, ks=settings.ks, psi=settings.psi)
    features, unusual = [], []
    for name, difference, verdict, version in zip(names, differences, verdicts, versions, strict=True):
        before = [found[name] for found in past.values() if name in found]
        usual = float(np.quantile(before, _QUANTILE)) if len(before) >= MIN_PAST else float("nan")
        scaled = difference.distance / usual if usual > 0 else float("nan")
        features.append(DriftFeature(name, known(difference.psi), known(difference.distance), known(verdict.p),
                                     verdict.changed, known(scaled), "forecast", known(usual)))  # fmt: skip
        if verdict.changed and scaled > 1:
            by = f", {version}" if version else ""
            unusual.append(f"{name.removeprefix('forecast.')} (D {difference.distance:.2f}, {scaled:.1f} times what 9 of 10 "
                           f"windows stayed below{by})")  # fmt: skip
    now = {name: d.distance for name, d in zip(names, differences, strict=True) if not isnan(d.distance)}
    keep(file, dict(sorted({**past, last_date.isoformat(): now}.items())[-_KEPT:]))
    return Moved(tuple(features), f"the forecasts moved while the inputs did not: {'; '.join(unusual)}" if unusual else "")
