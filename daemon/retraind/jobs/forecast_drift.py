"""Whether the champion's forecasts moved: a distribution that moves while its inputs do not is a model that broke.

What is held against the windows before is each forecast relative to doing nothing from the same origin, (f - p) / (|f| + |p|),
so that a level which all forecasts follow is no movement. How far it moved before is kept window by window in STATE/drift,
and told is only what moved further than nine of ten past windows did: the forecasts of one day share that day's mood.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from pathlib import Path

import numpy as np
import pandas as pd

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


def moved(step: Measure, job: JobContext, settings: Drift) -> Moved:
    """Each target's forecasts at its two shortest horizons, as `forecast.TARGET.hH`. Nothing where none were made.

    Raises RetraindError when a file that the journal names cannot be read.
    """
    rows = _against_naive(forecasts.read(job.state, "forecasts", step.forecasts)) if step.forecasts else None
    if rows is None or rows.empty:
        return Moved((), "")
    first, last = np.datetime64(step.first_date), np.datetime64(step.last_date)
    window = (rows["origin_date"] >= first) & (rows["origin_date"] <= last)
    oldest = first - np.timedelta64(settings.reference * settings.days, "D")
    before = (rows["origin_date"] < first) & (rows["origin_date"] >= oldest)
    names, differences, versions = [], [], []
    for target in job.config.contract.targets:
        for horizon in sorted(job.config.training.horizons)[:2]:
            chosen = (rows["target"] == target) & (rows["horizon_days"] == horizon)
            now, then = rows[chosen & window], rows[chosen & before]
            names.append(f"forecast.{target}.h{horizon}")
            differences.append(compare(prepare_numeric(_moves(then)), _moves(now)))
            versions.append(f"v{'/v'.join(sorted(now['version'].unique()))} after v{'/v'.join(sorted(then['version'].unique()))}"
                            if set(now["version"]) != set(then["version"]) and len(then) and len(now) else "")  # fmt: skip
    return _judged(names, differences, versions, job.state / "drift" / f"{job.pipeline}-forecasts.json", step, settings)


def _moves(rows: pd.DataFrame) -> Floats:
    return relative_change(rows["forecast"].to_numpy(), rows["naive"].to_numpy())


def _against_naive(rows: pd.DataFrame) -> pd.DataFrame:
    """The champion's newest forecast of each item, origin and horizon beside persistence's."""
    key = ["target", "item_code", "origin_date", "horizon_days"]
    ours = rows[rows["role"] == "champion"].drop_duplicates(key, keep="last")
    naive = rows[rows["version"] == _NAIVE].drop_duplicates(key, keep="last")
    return ours.merge(naive[[*key, "forecast"]].rename(columns={"forecast": "naive"}), on=key)


def _judged(
    names: list[str], differences: list[Difference], versions: list[str], file: Path, step: Measure, settings: Drift
) -> Moved:
    past = {last: found for last, found in kept(file).items() if last < step.last_date.isoformat()}
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
    keep(file, dict(sorted({**past, step.last_date.isoformat(): now}.items())[-_KEPT:]))
    return Moved(tuple(features), f"the forecasts moved while the inputs did not: {'; '.join(unusual)}" if unusual else "")
