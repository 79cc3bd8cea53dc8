"""Weighs the forecasters of one training against each other on their test rows: losses by date, tests, intervals, slices.

`significance` has the arithmetic. Here stands what a loss is, who is compared with whom, and what of it goes where: into the
journal for policies (`core.figures`), into evaluation.json for people. The losses by date are kept in STATE/requests, so that
a champion that comes later can be compared without fitting every candidate again (the job `compare`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retraind.core.figures import ITEM_AGE, RowSet, Significance, SliceFigures, horizon_key
from retraind.jobs.data.features import FeatureTable
from retraind.jobs.training import significance
from retraind.jobs.training.evaluate import Ground, filled, measure, row_set, smape
from retraind.settings import Contract
from retraind.whole_file import whole

__all__ = [
    "LOSSES",
    "PARTS",
    "Daily",
    "Parts",
    "Weighed",
    "against",
    "daily",
    "keep",
    "kept",
    "losses_of",
    "parts_of",
    "short",
    "sliced",
    "weigh",
]

Values = NDArray[np.float64]
Forecasts = Mapping[int, Values]
"""By horizon, of the marked rows."""

PARTS = ("rows", "error", "signed", "squared", "relative", "nonzero", "actual")
"""What errors add up to on a date; see `core.figures.Sums`."""
LOSSES = {"wape": "error", "mape": "relative", "rmse": "squared"}
"""What a gain in a metric is summed of; MAE has the loss of WAPE."""
SPENDABLE = 0.05
"""What a policy may spend at once at most: a quarter of the largest alpha."""
MOST_VALUES = 30
"""A column with more values than this is cut to those with the most rows."""
_AGES = {0: "under 4 weeks", 28: "4 to 13 weeks", 91: "3 to 12 months", 365: "over a year"}
"""Days since an item's first sale."""


# ---- losses by date ----


@dataclass(frozen=True)
class Daily:
    """One forecaster's errors summed by target date."""

    days: Mapping[int, NDArray[np.int64]]
    """By horizon: the dates, as days since 1970, increasing."""
    sums: Mapping[int, Values]
    """By horizon, shape (dates, PARTS)."""

    def loss(self, metric: str, horizon: int) -> Values:
        """Shape (dates,)."""
        return self.sums[horizon][:, PARTS.index(LOSSES[metric])]


def daily(on: Ground, forecasts: Forecasts) -> Daily:
    """The sums of a forecaster; a row without an answer counts with the seasonal naive forecast."""
    days: dict[int, NDArray[np.int64]] = {}
    sums: dict[int, Values] = {}
    for h, forecast in forecasts.items():
        days[h], place = np.unique(on.target_day[h].astype(np.int64), return_inverse=True)
        actual, error = on.actual[h], filled(on, h, forecast) - on.actual[h]
        size, there = np.abs(actual), actual != 0
        relative = np.divide(np.abs(error), size, out=np.zeros_like(error), where=there)
        columns = (np.ones_like(error), np.abs(error), error, error**2, relative, there.astype(np.float64), size)
        sums[h] = np.column_stack([np.bincount(place, c, len(days[h])) for c in columns])
    return Daily(days, sums)


# ---- against whom ----


def against(
    opponent: Daily, candidates: Mapping[str, Daily], searched: Sequence[str], seed: int, *, calibrate: bool = True
) -> dict[str, dict[str, Significance]]:
    """Each candidate's gain over the opponent: candidate -> `wape.h7` -> test.

    searched: who was picked from, and so is corrected for; another (the champion's own recipe) stands for itself. A test that
    cannot be made is left out. calibrate: resample the gains that a policy might find significant; takes a tenth of a second
    each.
    """
    found: dict[str, dict[str, Significance]] = {name: {} for name in candidates}
    for h in sorted(opponent.sums):
        drawn = significance.draws(len(opponent.days[h]), significance.block_of(h), seed)
        for metric in LOSSES:
            theirs = opponent.loss(metric, h)
            gains = {name: theirs - one.loss(metric, h) for name, one in candidates.items() if h in one.sums}
            made = {name: significance.tested(g, opponent.days[h], h, drawn) for name, g in gains.items()}
            adjusted = _adjusted({name: t.p for name, t in made.items() if t}, searched)
            for name, (p, among) in adjusted.items():
                found[name][f"{metric}.{horizon_key(h)}"] = _judged(
                    made[name], p, among, gains[name] if calibrate else None, h, seed
                )
    return found


def _adjusted(p: Mapping[str, float], searched: Sequence[str]) -> dict[str, tuple[float, int]]:
    """(adjusted p, of how many) of each. Who could not be tested counts among the searched with a p of 1."""
    among = [p.get(name, 1.0) for name in searched]
    of_searched = dict(zip(searched, significance.holm(among), strict=True))
    return {name: (of_searched.get(name, own), len(searched) if name in of_searched else 1) for name, own in p.items()}


def _judged(
    made: significance.Tested | None, adjusted: float, among: int, gains: Values | None, horizon: int, seed: int
) -> Significance:
    assert made
    calibrated, shares = True, None
    if gains is not None and adjusted <= SPENDABLE:
        shares = significance.rejected(gains, horizon, seed)
        calibrated = significance.is_calibrated(shares)
    return Significance(
        short(adjusted), made.dates, among, calibrated, short(made.p), short(made.bootstrap), shares or ()
    )


def short(value: float) -> float:
    """Five digits are more than a figure of a few months has, and a third of the length in the journal."""
    return float(f"{value:.5g}")


# ---- slices ----


@dataclass(frozen=True)
class Parts:
    """Test rows by the values of columns."""

    places: Mapping[str, Mapping[str, Mapping[int, NDArray[np.bool_]]]]
    """Column -> value -> horizon -> which of the marked rows."""
    rows: Mapping[str, Mapping[str, Mapping[str, RowSet]]]
    """The rows of the columns that policies may slice by, which are the contract's categories and `item_age`, by horizon key."""

    @property
    def policies(self) -> tuple[str, ...]:
        """Those columns. The others are for people."""
        return tuple(self.rows)


def parts_of(table: FeatureTable, on: Ground, contract: Contract) -> Parts:
    """The slices of test rows: by each category column of the data, item age, and month of the target's day."""
    named = tuple(sorted(set(contract.categories) & set(table.panel.words)))
    age = table.panel.age()
    words: dict[str, dict[int, NDArray[Any]]] = {
        "month": {h: days.astype("datetime64[M]").astype(str).astype(object) for h, days in on.target_day.items()},
        ITEM_AGE: {h: _ages(age[marked]) for h, marked in on.marked.items()},
        **{column: {h: table.panel.words[column][marked] for h, marked in on.marked.items()} for column in named},
    }
    places = {
        column: {v: {h: word == v for h, word in by_row.items()} for v in _most(by_row.values())}
        for column, by_row in words.items()
    }
    rows = {
        column: {
            v: {horizon_key(h): row_set(table, _narrowed(on.marked[h], mask), h) for h, mask in masks.items()}
            for v, masks in places[column].items()
        }
        for column in dict.fromkeys((*named, ITEM_AGE))
    }
    return Parts(places, rows)


def _most(columns: Iterable[NDArray[Any]]) -> list[str]:
    """The values with the most rows, by name."""
    words, counts = np.unique(np.concatenate([c.astype(str) for c in columns]), return_counts=True)
    order = np.lexsort((words, -counts))[:MOST_VALUES]
    return sorted(str(words[i]) for i in order)


def _ages(days: Values) -> NDArray[np.object_]:
    return np.array(list(_AGES.values()), dtype=object)[np.searchsorted(list(_AGES), days, side="right") - 1]


def _narrowed(marked: NDArray[np.bool_], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    out = marked.copy()
    out[marked] = mask
    return out


def sliced(on: Ground, forecasts: Forecasts, parts: Parts, columns: Sequence[str]) -> SliceFigures:
    """Every metric of a forecaster by slice. A slice in which it answers no row has no figures: it is lost, not naive."""
    return {
        column: {value: _figures(on, forecasts, masks) for value, masks in parts.places[column].items()}
        for column in columns
    }


def _figures(
    on: Ground, forecasts: Forecasts, masks: Mapping[int, NDArray[np.bool_]]
) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for h, mask in masks.items():
        if h not in forecasts or not mask.any() or not np.isfinite(forecasts[h][mask]).any():
            continue
        for metric, value in measure(on.actual[h][mask], filled(on, h, forecasts[h])[mask], on.naive_error).items():
            found.setdefault(metric, {})[horizon_key(h)] = None if value is None else short(value)
    return found


# ---- all of it ----


@dataclass(frozen=True)
class Weighed:
    """What was found out about one candidate beside the others."""

    significance: Mapping[str, Significance] = field(default_factory=dict)
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    slices: SliceFigures = field(default_factory=dict)
    """By the columns that policies may slice by."""
    figures: Mapping[str, float | None] = field(default_factory=dict)
    """Single numbers for the condition `figure`: `smape_h1`, `p_persistence_wape_h1`."""
    tables: Mapping[str, Any] = field(default_factory=dict)
    """For evaluation.json: tests against the baselines in full, and figures by month."""


def weigh(
    on: Ground,
    parts: Parts,
    forecasts: Mapping[str, Forecasts],
    searched: Sequence[str],
    champion: Daily | None,
    seed: int,
) -> dict[str, Weighed]:
    """Candidate -> what was found. forecasts: of the test rows, by candidate; searched: those that the champion is to be
    beaten by, of whom the best is picked; champion: its stand-in. All are compared with the baselines."""
    candidates = {name: daily(on, one) for name, one in forecasts.items()}
    beside = against(champion, candidates, searched, seed) if champion else {}
    naive = {
        name: against(daily(on, one), candidates, list(candidates), seed, calibrate=False) for name, one in on.naive.items()
    }
    people = [column for column in parts.places if column not in parts.policies]
    return {
        name: Weighed(
            significance=beside.get(name, {}),
            intervals=_intervals(candidates[name], seed),
            slices=sliced(on, one, parts, parts.policies),
            figures=dict(_single(on, one, {who: tests[name] for who, tests in naive.items()})),
            tables={
                "significance": {"champion": beside.get(name, {}), **{who: tests[name] for who, tests in naive.items()}},
                "by": sliced(on, one, parts, people),
            },
        )
        for name, one in forecasts.items()
    }


def _intervals(of: Daily, seed: int) -> dict[str, dict[str, tuple[float, float]]]:
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for h, sums in of.sums.items():
        drawn = significance.draws(len(sums), significance.block_of(h), seed)
        for metric, (low, high) in significance.intervals(sums, drawn).items():
            found.setdefault(metric, {})[horizon_key(h)] = (short(low), short(high))
    return found


def _single(
    on: Ground, forecasts: Forecasts, naive: Mapping[str, Mapping[str, Significance]]
) -> Iterator[tuple[str, float | None]]:
    for h, forecast in forecasts.items():
        value = smape(on.actual[h], filled(on, h, forecast))
        yield f"smape_{horizon_key(h)}", None if value is None else short(value)
    for who, tests in naive.items():
        for key, test in tests.items():
            yield f"p_{who}_{key.replace('.', '_')}", test.adjusted


# ---- for a champion that comes later ----


def losses_of(state: Path, request: str, target: str) -> Path:
    """Where the losses of a training's candidates lie."""
    return state / "requests" / f"{request}.{target}.losses.npz"


def keep(path: Path, forecasts: Mapping[str, Forecasts], on: Ground) -> None:
    """Write each candidate's sums by date, whole or not at all."""
    candidates = {name: daily(on, one) for name, one in forecasts.items()}
    arrays: dict[str, NDArray[Any]] = {"names": np.array(list(candidates))}
    for h in on.marked:
        arrays[f"rows {h}"] = np.array(on.rows[horizon_key(h)].digest)
        for i, one in enumerate(candidates.values()):
            arrays[f"days {h}"], arrays[f"sums {h} {i}"] = one.days[h], one.sums[h]
    with whole(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def kept(path: Path, on: Ground) -> dict[str, Daily] | None:
    """What `keep` wrote. None where nothing is, or where it was of other rows."""
    if not path.exists():
        return None
    with np.load(path) as arrays:
        names = arrays["names"].tolist()
        if any(f"rows {h}" not in arrays or str(arrays[f"rows {h}"]) != on.rows[horizon_key(h)].digest for h in on.marked):
            return None
        days = {h: arrays[f"days {h}"] for h in on.marked}
        return {name: Daily(days, {h: arrays[f"sums {h} {i}"] for h in on.marked}) for i, name in enumerate(names)}
