"""What is known of live errors, as policies read it: days of sums, pooled where rows are the same, and scored drops.

A figure is live when the target's day lies after the version's data end; the forecast job sees to that (POLICIES.md, rule
10). Here the sums of the journal's `forecast.scored` events are kept by forecaster, horizon and target date, and turned
into `Scores` over the days that all who are compared share, row for row (rule 4).

The sums are kept as plain lists, ten thousand of them must not slow down who looks: see `_PLACES`.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from retraind.core.events import ForecastScored, SliceCell
from retraind.core.figures import BASELINES, METRICS, RowSet, Scores, Sums, horizon_key
from retraind.core.policy.facts import Comparison, Slice

__all__ = ["KEPT_DAYS", "Live", "Scored", "add", "blind_drops", "comparison", "days", "forget", "scored_drops", "scores", "slices",
           "void"]  # fmt: skip

KEPT_SLICE_DAYS = 70
"""How long slices are kept, which are many: longer than a candidate's patience."""
KEPT_DAYS = 150
"""How long days are kept: longer than a champion is watched, its age limit and a candidate's patience."""
DROP_DATES, DROP_ROWS = 3, 60
"""Drops pool until they hold so many target dates and rows: that is one scored drop (rule 11)."""

_PLACES = ("rows", "digest", "error", "signed", "squared", "relative", "nonzero", "actual", "actual_squared", "unanswered")
"""What a day's list holds after the number of the event that first scored it."""


@dataclass
class Scored:
    """What one scoring event knew of the shortest horizon, by the rows that a naive forecast could be scored on."""

    seq: int
    dates: list[str]
    rows: int


@dataclass
class Live:
    """The live errors of one target."""

    days: dict[str, Any] = field(default_factory=dict)
    """Forecaster (a version's number or a baseline's name) -> `h7` -> ISO date -> [seq, sums in the order of _PLACES]."""
    scored: list[Scored] = field(default_factory=list)
    """Oldest first."""
    slices: dict[str, Any] = field(default_factory=dict)
    """Column -> version's number -> `h7` -> value -> [number of the scoring event, its target dates as [first, last] pairs, sums
    in the order of _PLACES], oldest first. The events' sums are over all their dates, so they pool event by event."""


# ---- for the fold ----


def add(live: Mapping[str, Live], event: ForecastScored, seq: int) -> None:
    """Take the cells of a scoring event in. live: by target, with an entry for each target of the event."""
    for cell in event.cells:
        by_date = live[cell.target].days.setdefault(cell.forecaster, {}).setdefault(horizon_key(cell.horizon), {})
        day, known = cell.date.isoformat(), [getattr(cell.sums, name) for name in _PLACES]
        before = by_date.get(day)
        by_date[day] = [seq, *known] if before is None else [before[0], *_joined(before[1:], known)]
    for part in event.slices:
        if event.sliced_by and part.target in live and part.observed and part.days and part.role != "baseline":
            _add_slice(live[part.target], event.sliced_by, part, seq)
    for target in {cell.target for cell in event.cells}:
        _note_scored(live[target], event, target, seq)
        _prune(live[target], max(c.date for c in event.cells if c.target == target))


def _add_slice(live: Live, column: str, part: SliceCell, seq: int) -> None:
    by_horizon = live.slices.setdefault(column, {}).setdefault(part.forecaster, {})
    days = [[spell.first.isoformat(), spell.last.isoformat()] for spell in part.days]
    by_horizon.setdefault(horizon_key(part.horizon), {}).setdefault(part.category, []).append(
        [seq, days, *(getattr(part.sums, name) for name in _PLACES)]
    )


def _joined(one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    digest = f"{(int(one[1], 16) + int(other[1], 16)) % 2**64:016x}"
    return [digest if i == 1 else a + b for i, (a, b) in enumerate(zip(one, other, strict=True))]


def _note_scored(live: Live, event: ForecastScored, target: str, seq: int) -> None:
    cells = [c for c in event.cells if c.target == target and c.forecaster == BASELINES[0]]
    if cells:
        nearest = [c for c in cells if c.horizon == min(x.horizon for x in cells)]
        live.scored.append(Scored(seq, sorted({c.date.isoformat() for c in nearest}), sum(c.sums.rows for c in nearest)))


def _prune(live: Live, newest: dt.date) -> None:
    oldest = (newest - dt.timedelta(days=KEPT_DAYS)).isoformat()
    live.scored = [s for s in live.scored if not s.dates or s.dates[-1] >= oldest]
    for horizons in live.days.values():
        for name, by_date in horizons.items():
            if by_date and min(by_date) < oldest:
                horizons[name] = {day: sums for day, sums in by_date.items() if day >= oldest}
    first = (newest - dt.timedelta(days=KEPT_SLICE_DAYS)).isoformat()
    _keep_slices(live, lambda kept: kept[1][-1][1] >= first)


def _keep_slices(live: Live, wanted: Callable[[Sequence[Any]], bool]) -> None:
    for by_version in live.slices.values():
        for horizons in by_version.values():
            for name, by_value in horizons.items():
                horizons[name] = {v: some for v, kept in by_value.items() if (some := [one for one in kept if wanted(one)])}


def forget(live: Live, keep: Collection[str]) -> None:
    """Drop the days of versions that nobody compares with any more."""
    live.days = {name: found for name, found in live.days.items() if name in keep or name in BASELINES}
    live.slices = {
        column: {name: found for name, found in by_version.items() if name in keep}
        for column, by_version in live.slices.items()
    }


def void(live: Live, first: dt.date, last: dt.date) -> None:
    """Forget what was scored against the days of a drop that was withdrawn."""
    for horizons in live.days.values():
        for name, by_date in horizons.items():
            horizons[name] = {day: sums for day, sums in by_date.items() if not first.isoformat() <= day <= last.isoformat()}
    _keep_slices(live, lambda kept: all(b < first.isoformat() or a > last.isoformat() for a, b in kept[1]))


# ---- for policies and people ----


def scored_drops(live: Live | None, after: int) -> list[frozenset[int]]:
    """The scored drops since event `after`, oldest first, each as the numbers of the scoring events it pools.

    Several files of one day count once; what does not fill a drop yet is left out.
    """
    done: list[frozenset[int]] = []
    seqs: set[int] = set()
    dates: set[str] = set()
    rows = 0
    for one in live.scored if live else ():
        if one.seq <= after:
            continue
        seqs.add(one.seq)
        dates.update(one.dates)
        rows += one.rows
        if len(dates) >= DROP_DATES and rows >= DROP_ROWS:
            done.append(frozenset(seqs))
            seqs, dates, rows = set(), set(), 0
    return done


def blind_drops(live: Live | None, forecaster: str, horizon: str, after: int) -> int:
    """Scored drops since event `after`, counted back from the newest, in which nothing of `forecaster` could be scored."""
    scored = {kept[0] for kept in days(live, forecaster, horizon).values()}
    blind = 0
    for drop in reversed(scored_drops(live, after)):
        if not scored.isdisjoint(drop):
            break
        blind += 1
    return blind


def days(live: Live | None, forecaster: str, horizon: str, seqs: Collection[int] | None = None) -> dict[str, list[Any]]:
    """ISO date -> [seq, sums], not to be changed; only days first scored by one of `seqs` where given."""
    found: dict[str, list[Any]] = live.days.get(forecaster, {}).get(horizon, {}) if live else {}
    return found if seqs is None else {day: sums for day, sums in found.items() if sums[0] in seqs}


def sums_of(day: Sequence[Any]) -> Sums:
    """A kept day as sums."""
    return Sums(**dict(zip(_PLACES, day[1:], strict=True)))


def comparison(
    live: Live | None,
    own: str,
    champion: str | None = None,
    previous: str | None = None,
    *,
    seqs: Collection[int] | None = None,
    scale: Mapping[str, float] | None = None,
) -> Comparison:
    """`own` beside its opponents on the days that they share row for row; an opponent that shares none has no scores.

    scale: by horizon, the naive error that MASE is relative to.
    """
    opponents = {name: name for name in BASELINES}
    opponents |= {role: name for role, name in (("champion", champion), ("previous", previous)) if name and name != own}
    found: dict[str, dict[str, list[Sequence[Any]]]] = {role: {} for role in ("own", *opponents)}
    for horizon in live.days.get(own, {}) if live else ():
        for role, shared in _shared(live, own, opponents, horizon, seqs).items():
            found[role][horizon] = shared
    made = {role: scores(by_horizon, scale) for role, by_horizon in found.items()}
    # nothing is due yet: nobody has figures, which is a wait and not an unknown
    present = {role: one for role, one in made.items() if one.rows or not made["own"].rows}
    return Comparison(
        own=made["own"],
        champion=made["own"] if champion == own else present.get("champion"),
        champion_version=int(champion) if champion else None,
        baselines={name: present[name] for name in BASELINES if name in present},
        previous=present.get("previous"),
        previous_version=int(previous) if previous else None,
    )


def _shared(
    live: Live | None, own: str, opponents: Mapping[str, str], horizon: str, seqs: Collection[int] | None
) -> dict[str, list[Sequence[Any]]]:
    """The days of each at one horizon. One who was never there at the same rows as `own` is left out, for a version that
    cannot be loaded must not take the comparison with doing nothing away."""
    mine = days(live, own, horizon, seqs)
    theirs = {role: days(live, name, horizon) for role, name in opponents.items()}
    same = {role: {d for d, sums in mine.items() if d in by and by[d][2] == sums[2]} for role, by in theirs.items()}
    there = [role for role in opponents if same[role]]
    common = sorted(set(mine).intersection(*(same[role] for role in there)))
    return {"own": [mine[d] for d in common]} | {role: [theirs[role][d] for d in common] for role in there if common}


def slices(live: Live | None, own: str, champion: str) -> dict[str, dict[str, Slice]]:
    """Column -> value -> the figures of both, over the scoring events in which they share the rows of the slice, row for row.
    A column without values: nothing of `own` was scored yet."""
    return {
        column: {
            value: _slice(by_version[own], by_version.get(champion, {}), value)
            for value in sorted({v for by_value in by_version.get(own, {}).values() for v, kept in by_value.items() if kept})
        }
        for column, by_version in (live.slices if live else {}).items()
    }


def _slice(own: Mapping[str, Any], champion: Mapping[str, Any], value: str) -> Slice:
    mine: dict[str, list[Any]] = {}
    theirs: dict[str, list[Any]] = {}
    for horizon, by_value in own.items():
        beside = {kept[0]: kept for kept in champion.get(horizon, {}).get(value, ())}
        shared = [kept for kept in by_value.get(value, ()) if kept[0] in beside and beside[kept[0]][3] == kept[3]]
        mine[horizon], theirs[horizon] = shared, [beside[kept[0]] for kept in shared]
    return Slice(_slice_scores(mine), _slice_scores(theirs))


def _slice_scores(by_horizon: Mapping[str, Sequence[Sequence[Any]]]) -> Scores:
    made = scores({h: [[kept[0], *kept[2:]] for kept in listed] for h, listed in by_horizon.items()})
    rows = {h: replace(r, dates=_dates(kept[1] for kept in by_horizon[h])) for h, r in made.rows.items()}
    return replace(made, rows=rows)


def _dates(spans: Iterable[Sequence[Sequence[str]]]) -> int:
    """Distinct dates of [first, last] pairs."""
    ends = [(dt.date.fromisoformat(a).toordinal(), dt.date.fromisoformat(b).toordinal()) for one in spans for a, b in one]
    return len({day for a, b in ends for day in range(a, b + 1)})


def scores(by_horizon: Mapping[str, Iterable[Sequence[Any]]], scale: Mapping[str, float] | None = None) -> Scores:
    """Figures over pooled days, by horizon. WAPE, MAPE and bias in percent; None where a figure is not defined."""
    rows: dict[str, RowSet] = {}
    values: dict[str, dict[str, float | None]] = {metric: {} for metric in METRICS}
    unanswered: dict[str, int] = {}
    for horizon, kept in by_horizon.items():
        listed = list(kept)
        if not listed:
            continue
        total = _pooled(listed)
        rows[horizon] = RowSet(total.rows, len(listed), total.digest)
        if total.unanswered:
            unanswered[horizon] = total.unanswered
        for metric, value in figures(total, (scale or {}).get(horizon)).items():
            values[metric][horizon] = value
    return Scores(rows, values, unanswered)


def _pooled(listed: Sequence[Sequence[Any]]) -> Sums:
    """The sums of some kept days. Asked for at every look of a policy, so a column at a time."""
    _, rows, digests, *sums = zip(*listed, strict=True)
    digest = f"{sum(int(d, 16) for d in digests) % 2**64:016x}"
    return Sums(sum(rows), digest, *map(sum, sums))


def figures(total: Sums, naive_error: float | None = None) -> dict[str, float | None]:
    """Every metric from sums; see jobs/training/evaluate.measure, whose definitions these are."""
    n = total.rows
    mae = total.error / n if n else None
    spread = total.actual_squared - total.actual**2 / n if n else 0.0
    return {
        "wape": 100 * total.error / total.actual if total.actual else None,
        "mape": 100 * total.relative / total.nonzero if total.nonzero else None,
        "rmse": math.sqrt(total.squared / n) if n else None,
        "mae": mae,
        "mase": mae / naive_error if naive_error and mae is not None else None,
        "r2": 1 - total.squared / spread if spread > 0 else None,
        "bias": 100 * total.signed / total.actual if total.actual else None,
    }
