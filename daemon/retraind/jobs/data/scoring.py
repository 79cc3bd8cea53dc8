"""Which forecasts are still to be made, which can be scored, and what they add up to: joins and sums, nothing else.

A forecast is named by KEY, and each is made once and scored once. The rows that count come from the store and never from a
forecaster (POLICIES.md, rule 4): an item and origin day is scored at a horizon when the target's day has a value and the
item had one at or before the origin, which is where the seasonal naive forecast has an answer. That one also stands in
where a version has none. No version is scored on a day up to its data's end.

Frames have the columns of `forecasts.FORECASTS` and `forecasts.SCORES`; days are datetime64.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retraind.core.events import ForecastRole, LiveCell, SliceCell, Spell
from retraind.core.figures import Sums
from retraind.jobs.data.panel import Grid, Panel

__all__ = [
    "KEY",
    "OPEN_DAYS",
    "Actuals",
    "Scoring",
    "actuals_of",
    "cells",
    "open_from",
    "row_hashes",
    "score",
    "slices",
    "unmade",
]

KEY = ("target", "version", "item_code", "origin_date", "horizon_days")
OPEN_DAYS = 30
"""So long after its target's day a forecast waits for its actual; then it expires."""
STAND_IN = "seasonal_naive"
"""Whose forecast a row is scored with that a version had no answer for."""

Days = NDArray[np.datetime64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Actuals:
    """What the store says of each item and day."""

    start: np.datetime64
    items: NDArray[np.object_]
    """Sorted."""
    values: Mapping[str, Grid]
    """By target, shape (days, items); NaN on days without a value."""
    sold: Grid
    """1 on days with a row, else 0."""
    category: NDArray[np.object_]
    """Of each item; '' where the contract has none."""

    def at(self, grid: Grid, item: NDArray[np.object_], day: Days) -> NDArray[np.float64]:
        """The grid's values; NaN for an item or a day that it does not hold."""
        d = (day.astype("datetime64[D]") - self.start).astype(np.int64)
        i, known = self.place(item)
        known = known & (d >= 0) & (d < len(grid))
        found = np.full(len(item), np.nan)
        found[known] = grid[d[known], i[known]]
        return found

    def place(self, item: NDArray[np.object_]) -> tuple[NDArray[np.int64], Mask]:
        """The place of each item, and whether it is there at all."""
        i = np.searchsorted(self.items, item)
        i[i == len(self.items)] = 0
        known = self.items[i] == item if len(self.items) else np.zeros(len(item), dtype=bool)
        return i, known


def actuals_of(panel: Panel, columns: Mapping[str, str], category: str | None) -> Actuals:
    """From the panel of the store. columns: target -> column. category: the column that tells an item's category."""
    newest = np.full(len(panel.entities), "", dtype=object)
    if category:
        newest[panel.row_entity] = panel.words[category]  # rows are in the order of their days: the last one wins
    values = {target: panel.value(column) for target, column in columns.items()}
    return Actuals(panel.start, panel.entities, values, panel.sold(), newest)


# ---- what is to be made ----


def open_from(newest: dt.date, made: pd.DataFrame) -> np.datetime64:
    """The first target day that matters: OPEN_DAYS before the newest day of the last time forecasts were made.

    Of the last time and not of today's, so that a store that leaps ahead loses no forecast that the leap made known.
    """
    last = made["origin_date"].max() if len(made) else pd.NaT
    return np.datetime64(newest if pd.isna(last) else last.date(), "D") - OPEN_DAYS


def unmade(wanted: pd.DataFrame, made: pd.DataFrame) -> pd.DataFrame:
    """The rows of `wanted` (with KEY's columns) that `made` does not hold, each once."""
    ours, theirs = _codes(wanted, made)
    fresh = ~np.isin(ours, theirs) & ~pd.Series(ours).duplicated().to_numpy()
    return wanted.loc[fresh].reset_index(drop=True)


def _codes(*frames: pd.DataFrame, key: Sequence[str] = KEY) -> list[NDArray[np.int64]]:
    """A number a row that is the same exactly for rows with the same key, whichever frame holds them."""
    lengths = np.cumsum([len(f) for f in frames])[:-1]
    total = np.zeros(sum(len(f) for f in frames), dtype=np.int64)
    for column in key:
        part, known = pd.factorize(np.concatenate([_plain(f[column]) for f in frames]))
        # renumbered after each column, so that the product stays far below 2**63
        total = np.asarray(pd.factorize(total * max(len(known), 1) + part)[0], dtype=np.int64)
    return np.split(total, lengths)


def _plain(column: pd.Series[Any]) -> NDArray[Any]:
    if column.dtype.kind == "M":
        return column.to_numpy(dtype="datetime64[D]").astype(np.int64)
    return column.to_numpy(dtype=np.int64 if column.dtype.kind in "iu" else object)


# ---- what can be scored ----


@dataclass(frozen=True)
class Scoring:
    """What became known."""

    rows: pd.DataFrame
    """Columns of `forecasts.SCORES`, ordered; corrections among them."""
    corrected: int
    """Actuals (target, item, day) that are not what they were when they were scored."""
    expired: int
    """Forecasts whose actual will not be waited for any longer."""


def score(
    forecasts: pd.DataFrame,
    scored: pd.DataFrame,
    actuals: Actuals,
    newest: dt.date,
    since: np.datetime64,
    data_end: Mapping[tuple[str, str], dt.date],
) -> Scoring:
    """Score every forecast whose actual is known, that was not scored before and that its version did not learn from.

    forecasts: all that were made, the new ones among them. scored: rows scored before, in the order in which they were.
    since: `open_from`. data_end: by (target, version), of the versions that forecast now; the others' forecasts were made
    for days after it.
    """
    ours, theirs = _codes(forecasts, scored)
    day = _days(forecasts["target_date"])
    open_ = (
        ~np.isin(ours, theirs)
        & ~pd.Series(ours).duplicated().to_numpy()
        & (day >= since)
        & _unseen(forecasts, data_end)
    )
    waiting = forecasts.loc[open_].reset_index(drop=True)
    waiting["actual"] = _actual(waiting, actuals)
    waiting["stand_in"] = _stand_in(waiting, forecasts)
    day = _days(waiting["target_date"])
    missing = waiting["actual"].isna().to_numpy()
    known = ~missing & (day <= np.datetime64(newest, "D")) & np.isfinite(waiting["stand_in"].to_numpy())
    expired = missing & (day < np.datetime64(newest, "D") - np.timedelta64(OPEN_DAYS, "D"))
    changed = _changed(scored, actuals, since)
    rows = pd.concat([_scored(waiting.loc[known], actuals), changed], ignore_index=True)
    rows = rows.sort_values([*KEY, "corrected"], kind="stable", ignore_index=True)
    distinct = changed.drop_duplicates(["target", "item_code", "target_date"])
    return Scoring(rows, len(distinct), int(expired.sum()))


def _days(column: pd.Series[Any]) -> Days:
    return column.to_numpy(dtype="datetime64[D]")


def _unseen(rows: pd.DataFrame, data_end: Mapping[tuple[str, str], dt.date]) -> Mask:
    """Rows whose target's day lies after their version's data."""
    unseen = np.ones(len(rows), dtype=bool)
    day = _days(rows["target_date"])
    for (target, version), end in data_end.items():
        mine = ((rows["target"] == target) & (rows["version"] == version)).to_numpy()
        unseen &= ~mine | (day > np.datetime64(end, "D"))
    return unseen


def _actual(rows: pd.DataFrame, actuals: Actuals) -> NDArray[np.float64]:
    found = np.full(len(rows), np.nan)
    item, day, target = rows["item_code"].to_numpy(dtype=object), _days(rows["target_date"]), rows["target"].to_numpy()
    for name, grid in actuals.values.items():
        mine = target == name
        found[mine] = actuals.at(grid, item[mine], day[mine])
    return found


def _stand_in(rows: pd.DataFrame, forecasts: pd.DataFrame) -> NDArray[np.float64]:
    """The seasonal naive forecast of each row's target, item, origin and horizon; NaN where there is none."""
    naive = forecasts.loc[(forecasts["version"] == STAND_IN).to_numpy()]
    key = [c for c in KEY if c != "version"]
    ours, theirs = _codes(rows, naive, key=key)
    found = pd.Series(naive["forecast"].to_numpy(), index=theirs)
    return found[~found.index.duplicated()].reindex(ours).to_numpy(dtype=np.float64)


def _scored(rows: pd.DataFrame, actuals: Actuals) -> pd.DataFrame:
    answered = np.isfinite(rows["forecast"].to_numpy(dtype=np.float64))
    item = rows["item_code"].to_numpy(dtype=object)
    place, _ = actuals.place(item)
    return rows.assign(
        forecast=np.where(answered, rows["forecast"], rows["stand_in"]),
        answered=answered,
        # by the store and not by what was known when it was made: the same rows for all forecasters
        origin_observed=actuals.at(actuals.sold, item, _days(rows["origin_date"])) == 1,
        category=actuals.category[place] if len(rows) else np.empty(0, dtype=object),
        corrected=False,
    ).drop(columns=["stand_in"])


def _changed(scored: pd.DataFrame, actuals: Actuals, since: np.datetime64) -> pd.DataFrame:
    """Scored rows whose actual is not what was last known of it, with the one of now."""
    (code,) = _codes(scored)
    last = scored.loc[~pd.Series(code).duplicated(keep="last").to_numpy() & (_days(scored["target_date"]) >= since)]
    now, then = _actual(last, actuals), last["actual"].to_numpy(dtype=np.float64)
    other = (now != then) & ~(np.isnan(now) & np.isnan(then))
    changed: pd.DataFrame = last.loc[other].assign(actual=now[other], corrected=True)
    return changed


# ---- what it adds up to ----


def row_hashes(item: NDArray[np.object_], origin: Days, horizon: NDArray[np.int64]) -> NDArray[np.uint64]:
    """64 bits for each (item, origin, horizon), the same on every machine and for ever.

    BLAKE2b of the item's text, little-endian, then origin (days since 1970) and horizon by the finisher of SplitMix64
    (Steele et al. 2014): mix(item + mix(origin * 2**16 + horizon)).
    """
    distinct, place = np.unique(item.astype(str), return_inverse=True)
    texts = [int.from_bytes(hashlib.blake2b(t.encode(), digest_size=8).digest(), "little") for t in distinct.tolist()]
    days = origin.astype("datetime64[D]").astype(np.int64).astype(np.uint64)
    when = (days << np.uint64(16)) + horizon.astype(np.uint64)
    return _mix(np.array(texts, dtype=np.uint64)[place] + _mix(when))


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def cells(rows: pd.DataFrame) -> tuple[LiveCell, ...]:
    """Sums of rows whose origin had a sale, by target, forecaster, role, horizon, target date, and issued or not."""
    kept = rows.loc[(rows["origin_observed"] & ~rows["corrected"]).to_numpy(dtype=bool)]
    by = ["target", "version", "role", "horizon_days", "target_date", "issued"]
    return tuple(
        LiveCell(target, version, _role(role), int(horizon), _date(day), bool(issued), sums)
        for (target, version, role, horizon, day, issued), sums in _sums(kept, by)
    )


def slices(rows: pd.DataFrame) -> tuple[SliceCell, ...]:
    """Sums by target, forecaster, role, horizon and category; of rows whose origin had no sale all categories together."""
    kept = rows.loc[~rows["corrected"].to_numpy(dtype=bool)]
    observed = kept["origin_observed"].to_numpy(dtype=bool)
    kept = kept.assign(category=np.where(observed, kept["category"], ""))
    by = ["target", "version", "role", "horizon_days", "category", "origin_observed"]
    days = _days_of(kept, by)
    return tuple(
        SliceCell(target, version, _role(role), int(horizon), category, bool(seen), sums, days[name])
        for name, sums in _sums(kept, by)
        for target, version, role, horizon, category, seen in (name,)
    )


def _days_of(rows: pd.DataFrame, by: list[str]) -> dict[tuple[Any, ...], tuple[Spell, ...]]:
    """The target dates of each group, as stretches without a gap."""
    distinct = rows[[*by, "target_date"]].drop_duplicates().sort_values([*by, "target_date"], kind="stable")
    found: dict[tuple[Any, ...], list[Spell]] = {}
    for *name, at in distinct.itertuples(index=False, name=None):
        spells, day = found.setdefault(tuple(name), []), _date(at)
        if spells and spells[-1].last + dt.timedelta(days=1) == day:
            spells[-1] = Spell(spells[-1].first, day)
        else:
            spells.append(Spell(day, day))
    return {name: tuple(spells) for name, spells in found.items()}


def _role(text: str) -> ForecastRole:
    assert text in get_args(ForecastRole)
    return text  # type: ignore[return-value]


def _date(day: Any) -> dt.date:
    return dt.date.fromisoformat(str(np.datetime64(day, "D")))


def _sums(rows: pd.DataFrame, by: list[str]) -> list[tuple[tuple[Any, ...], Sums]]:
    """The groups in the order of their names. Rows are added in the order of their keys, whatever order they came in."""
    if rows.empty:
        return []
    ordered = rows.sort_values([*by, "item_code", "origin_date"], kind="stable", ignore_index=True)
    (code,) = _codes(ordered, key=by)
    starts = np.flatnonzero(np.append(True, code[1:] != code[:-1]))
    forecast, actual = (ordered[c].to_numpy(dtype=np.float64) for c in ("forecast", "actual"))
    error, there = np.abs(forecast - actual), actual != 0
    parts: dict[str, NDArray[Any]] = {
        "rows": np.ones(len(ordered), dtype=np.int64),
        "error": error,
        "signed": forecast - actual,
        "squared": error**2,
        "relative": np.divide(error, np.abs(actual), out=np.zeros_like(error), where=there),
        "nonzero": there.astype(np.int64),
        "actual": np.abs(actual),
        "actual_squared": actual**2,
        "unanswered": (~ordered["answered"].to_numpy(dtype=bool)).astype(np.int64),
    }
    totals = {name: np.add.reduceat(values, starts).tolist() for name, values in parts.items()}
    hashes = row_hashes(
        ordered["item_code"].to_numpy(dtype=object),
        _days(ordered["origin_date"]),
        ordered["horizon_days"].to_numpy(dtype=np.int64),
    )
    digests = np.add.reduceat(hashes, starts).tolist()
    names = ordered.loc[starts, by].itertuples(index=False, name=None)
    return [
        (name, Sums(digest=f"{digests[i]:016x}", **{k: _short(v[i]) for k, v in totals.items()}))
        for i, name in enumerate(names)
    ]


def _short(total: float) -> Any:
    """Twelve digits are far beyond what was measured, and half the length in the journal."""
    return total if isinstance(total, int) else float(f"{total:.12g}")
