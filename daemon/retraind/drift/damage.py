"""What is wrong with a sample that no change of the market explains: a damaged column, found without any past drops.

A shift moves a distribution; damage breaks it: a column holds nothing any more, prices are ten times what they were, a third
of the codes was never seen. Each check compares a share or a factor with a limit, and with chance where few rows could reach
the limit by chance alone. Numbers are held against what is usual of their own group (an item's median), since over all
groups together a factor of ten may hide within the range. numpy alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import exp, isnan, lgamma, log, log1p
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Damage", "Grouped", "Kind", "Limits", "chance_of_as_many", "damaged_numbers", "missing_values", "new_values"]

Kind = Literal["vanished", "missing", "new", "times", "beyond", "range"]
LEAST_REFERENCE, LEAST_ROWS = 100, 20
"""Rows below which nothing is said."""
_CHANCE = 1e-4
"""A share above its limit is damage when chance explains it less often."""
_LEAST_DAY = 10
"""Rows of a day that counts as one, when the worst day of the reference is looked for."""


@dataclass(frozen=True)
class Limits:
    """Beyond which a sample is damaged."""

    missing: float = 0.2
    """Rise of the share of missing values, 0 to 1."""
    new: float = 0.3
    """Share of rows whose text the reference does not hold, 0 to 1."""
    times: float = 5.0
    """So many times what is usual of the group, or that part of it."""
    middle: float = 5.0
    """The same of the middle value: where a column is steady, less says already that its unit is another."""
    beyond: float = 0.1
    """Share of such values above that of the reference's worst day; and of values far outside the reference's range."""


@dataclass(frozen=True)
class Damage:
    """One column that is damaged."""

    column: str
    kind: Kind
    value: float
    """What was found: a share, or for `times` a factor."""
    limit: float
    words: str


@dataclass(frozen=True)
class Grouped:
    """Numbers with the group and the day of each row; all of shape (rows,)."""

    values: npt.NDArray[np.float64]
    """NaN is missing."""
    group: npt.NDArray[np.int64]
    """From 0 on; -1 is a group that is not known."""
    day: npt.NDArray[np.int64]


def chance_of_as_many(found: int, of: int, share: float) -> float:
    """The chance of at least `found` among `of` independent rows of which each counts with chance `share` (binomial)."""
    if found <= 0 or share >= 1:
        return 1.0
    if share <= 0:
        return 0.0
    k = range(found, of + 1)
    logs = (lgamma(of + 1) - lgamma(i + 1) - lgamma(of - i + 1) + i * log(share) + (of - i) * log1p(-share) for i in k)
    return min(1.0, sum(exp(value) for value in logs))


def missing_values(
    column: str, before: tuple[int, int], now: tuple[int, int], limits: Limits, *, absent: bool = False
) -> Damage | None:
    """Whether values went missing. before, now: (missing, rows). absent: the sample has no such column at all."""
    rows_before, rows = before[1], now[1]
    if rows_before < LEAST_REFERENCE or not rows or before[0] == rows_before:
        return None
    was, is_ = before[0] / rows_before, now[0] / rows
    if is_ - was <= limits.missing or not _more_than_chance(now[0], rows, (before[0] + 1) / (rows_before + 2)):
        return None
    if now[0] == rows:
        what = "the column is not there" if absent else "the column holds no value"
        return Damage(column, "vanished", 1.0, was + limits.missing, f"{what}, {percent(was)} were missing before")
    words = f"{percent(is_)} of the values are missing, {percent(was)} before"
    return Damage(column, "missing", is_, was + limits.missing, words)


def new_values(column: str, known: Collection[str], counts: Mapping[str, int], limits: Limits, what: str) -> Damage | None:
    """Whether too many rows hold a text that the reference does not. counts: rows by text. what: `a category`, `an item`."""
    rows = sum(counts.values())
    if rows < LEAST_ROWS or not known:
        return None
    new = {text: n for text, n in counts.items() if text not in known}
    share = sum(new.values()) / rows
    if share <= limits.new or sum(new.values()) < 5:
        return None
    named = sorted(new, key=lambda text: (-new[text], text))
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    words = f"{percent(share)} of the rows are of {what} that was not there before: {', '.join(named[:3])}{more}"
    return Damage(column, "new", share, limits.new, words)


def damaged_numbers(column: str, reference: Grouped, current: Grouped, limits: Limits) -> Damage | None:
    """The worst that is wrong with a column of numbers: its size, some of its values, or its range."""
    there, now = ~np.isnan(reference.values), ~np.isnan(current.values)
    if there.sum() < LEAST_REFERENCE or now.sum() < LEAST_ROWS:
        return None
    # a column that is mostly zero, such as a discount, has no size of its own that is usual
    sized = np.count_nonzero(reference.values[there]) >= there.sum() / 2
    found = _other_size(column, _medians(reference), reference, current, limits) if sized else None
    return found or _far_outside(column, reference.values[there], current.values[now], limits)


def _other_size(column: str, usual: npt.NDArray[np.float64], reference: Grouped, current: Grouped, limits: Limits) -> Damage | None:
    """Values that are many times what is usual of their group, all of them or more than ever."""
    logs = _log_times(usual, current)
    known = ~np.isnan(logs)
    if known.sum() < LEAST_ROWS:
        return None
    middle = float(np.median(logs[known]))
    if abs(middle) >= log(limits.middle):
        how = f"{exp(middle):.3g} times" if middle > 0 else f"1/{exp(-middle):.3g} of"
        return Damage(column, "times", exp(abs(middle)), limits.middle, f"the values are {how} what is usual of the same items")
    limit = log(limits.times)
    off = np.abs(logs[known]) >= limit
    before = _log_times(usual, reference)
    worst = _worst_day(reference.day, np.abs(before) >= limit, ~np.isnan(before))
    share = float(off.mean())
    if share <= worst + limits.beyond or not _more_than_chance(int(off.sum()), len(off), worst + limits.beyond / 4):
        return None
    words = (f"{percent(share)} of the values are over {limits.times:g} times or under 1/{limits.times:g} of what is usual of "
             f"the same items, {percent(worst)} on the worst day before")  # fmt: skip
    return Damage(column, "beyond", share, worst + limits.beyond, words)


def _far_outside(
    column: str, reference: npt.NDArray[np.float64], current: npt.NDArray[np.float64], limits: Limits
) -> Damage | None:
    """Values that lie outside of all that the reference held by more than the width of its range."""
    low, high = float(reference.min()), float(reference.max())
    width = high - low
    if not width or not np.isfinite(width):  # a constant may begin to move: that is a shift
        return None
    outside = (current < low - width) | (current > high + width)
    share = float(outside.mean())
    if share <= limits.beyond or not _more_than_chance(int(outside.sum()), len(outside), 1 / len(reference)):
        return None
    words = f"{percent(share)} of the values lie far outside of what was held before, {low:g} to {high:g}"
    return Damage(column, "range", share, limits.beyond, words)


def _more_than_chance(found: int, of: int, share: float) -> bool:
    return of > 1000 or chance_of_as_many(found, of, share) < _CHANCE


def _medians(reference: Grouped) -> npt.NDArray[np.float64]:
    """Each group's median size, shape (groups,); NaN of a group without a value that is not zero."""
    size = np.abs(reference.values)
    kept = (size > 0) & (reference.group >= 0)
    group, size = reference.group[kept], size[kept]
    out = np.full(int(reference.group.max(initial=-1)) + 1, np.nan)
    order = np.lexsort((size, group))
    group, size = group[order], size[order]
    starts = np.flatnonzero(np.append(True, group[1:] != group[:-1])) if len(group) else np.zeros(0, np.intp)
    ends = np.append(starts[1:], len(group))
    out[group[starts]] = (size[(starts + ends - 1) // 2] + size[(starts + ends) // 2]) / 2
    return out


def _log_times(usual: npt.NDArray[np.float64], sample: Grouped) -> npt.NDArray[np.float64]:
    """Logarithm of each value over what is usual of its group; NaN of zeros, of missing values and unknown groups."""
    known = (sample.group >= 0) & (sample.group < len(usual))
    out = np.full(len(sample.values), np.nan)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        out[known] = np.log(np.abs(sample.values[known]) / usual[sample.group[known]])
    out[~np.isfinite(out)] = np.nan
    return out


def _worst_day(day: npt.NDArray[np.int64], off: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]) -> float:
    """The largest share of rows that are off on one day of the reference; over all of it where days hold few rows."""
    _, at = np.unique(day[known], return_inverse=True)
    rows = np.bincount(at)
    shares = np.bincount(at, weights=off[known])[rows >= _LEAST_DAY] / rows[rows >= _LEAST_DAY]
    return float(shares.max()) if len(shares) else float(off[known].mean()) if known.any() else 0.0


def percent(share: float) -> str:
    """`12.5 %`, for people."""
    if isnan(share):
        return "-"
    return "under 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"
