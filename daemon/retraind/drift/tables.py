"""Holds two tables against each other, column by column: what people want of drift who have no daemon.

    from retraind.drift import compare_tables

    found = compare_tables("march.parquet", "april.csv")
    print([column.name for column in found.columns if column.changed])

A column changed when its change is real (Benjamini-Hochberg over the columns) and large, as `verdict` has it. On rows that
are not independent (a week's sales share a week's weather) "real" is found too easily, and no two tables alone can tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Literal

import numpy as np

from retraind.drift.damage import percent
from retraind.drift.files import Column, Kind, Source, Table, table_of
from retraind.drift.reference import CategoryReference, Difference, compare_counts, compare_sorted, prepare_sorted
from retraind.drift.statistics import Empirical, Floats, Sorted, sort_present, tails
from retraind.drift.stream import Summary, Tally, compare_summaries, sampled, summarize
from retraind.drift.verdict import FeatureVerdict, feature_verdicts

__all__ = ["ColumnChange", "TableComparison", "compare_tables"]

_AT_ONCE = 32 * 2**20
"""Bytes of columns read at once: a CSV file is parsed anew for each lot, so that one column a lot would be slow."""
EXACT_ROWS = 32_000_000
"""Rows up to which a column is held whole (256 MB); beyond, it is counted at the points of a summary."""
_MISSING_MOVED = 0.05
"""Change of the missing share from which a note tells it."""
_HEAVY, _TAIL_CHANCE, _LEAST_FOR_TAILS, _TESTED = 2.0, 1e-5, 500, 100_000
"""A tail is told when it holds more than twice what it should, more rarely by chance than this (in samples of more rows chance
explains no doubling), of references of at least so many rows."""
_FEW = 20
"""Distinct values up to which no column is taken for an identifier."""

Verdict = Literal[
    "changed", "missing values moved", "real but small", "large but perhaps chance", "no more than chance", "not comparable"
]  # fmt: skip


@dataclass(frozen=True)
class ColumnChange:
    """How one column of the current table differs from the reference's. NaN where a side holds no value."""

    name: str
    kind: Literal["number", "text"]
    distance: float
    """D of numbers (two-sample Kolmogorov-Smirnov); the total variation distance of texts. 0 to 1."""
    psi: float
    p_distance: float
    """Of D, or of Pearson's chi-squared."""
    p_psi: float
    p: float
    """Of both together, adjusted over all columns by Benjamini-Hochberg."""
    real: bool
    large: bool
    missing_reference: float
    """Share of rows without a value; NaN of no rows."""
    missing_current: float
    notes: tuple[str, ...]
    """What the figures do not show: values beyond the reference's range, new texts, a jump in missing values."""
    distance_error: float = 0.0
    """How far off `distance` may be: of a column that was too large to be held whole."""

    @property
    def changed(self) -> bool:
        """Real and large."""
        return self.real and self.large

    @property
    def verdict(self) -> Verdict:
        """In words."""
        if isnan(self.p):
            return "not comparable"
        if not self.changed and _missing_moved(self.missing_reference, self.missing_current):
            return "missing values moved"
        if self.real:
            return "changed" if self.large else "real but small"
        return "large but perhaps chance" if self.large else "no more than chance"


@dataclass(frozen=True)
class TableComparison:
    """Two tables held against each other."""

    reference_rows: int
    current_rows: int
    columns: tuple[ColumnChange, ...]
    """Those that changed first, then those whose missing values moved, then by distance; of columns that both tables have."""
    left_out: dict[str, str]
    """Column -> why it was not compared."""
    only_reference: tuple[str, ...]
    only_current: tuple[str, ...]


def compare_tables(
    reference: Source, current: Source, *, fdr: float = 0.01, ks: float = 0.1, psi: float = 0.1, bins: int = 10
) -> TableComparison:
    """Compare every column that both tables have.

    reference, current: a .parquet or .csv file, or columns by name. fdr: the false discovery rate at which a change is
    real. ks, psi: large is a distance or a PSI above these. bins: of PSI, the reference's quantiles. The order of rows
    does not matter. Columns are read a few at a time: at most about 32 MB of each file, or one column where that is more.
    A Parquet column of more than 32,000,000 rows is streamed, row group by row group, and its D known to `distance_error`.

    Raises OSError when a file cannot be opened, ValueError when it is no table or the tables share no column.
    """
    before, now = table_of(reference), table_of(current)
    both = [name for name in before.names if name in now.names]
    if not both:
        raise ValueError("the two tables have no column in common")
    found: list[_Held] = []
    left_out: dict[str, str] = {}
    rows = (0, 0)
    for lot in _lots(both, before, now):
        for name, held, *found_rows in _held(lot, before, now, bins):
            rows = (found_rows[0], found_rows[1])
            if isinstance(held, str):
                left_out[name] = held
            else:
                found.append(held)
    verdicts = feature_verdicts([held.difference for held in found], fdr=fdr, ks=ks, psi=psi)
    changes = [_change(held, verdict) for held, verdict in zip(found, verdicts, strict=True)]
    return TableComparison(
        *rows,
        tuple(sorted(changes, key=_place)),
        left_out,
        tuple(name for name in before.names if name not in now.names),
        tuple(name for name in now.names if name not in before.names),
    )


def _held(lot: Sequence[str], before: Table, now: Table, bins: int) -> Iterator[tuple[str, _Held | str, int, int]]:
    """Each column of a lot, or why it is left out, with the rows of both tables."""
    large: dict[str, _Held] = {}
    if max(before.rows, now.rows) > EXACT_ROWS:
        large = {name: held for name in lot if (held := _streamed(name, before, now, bins))}
    whole = [name for name in lot if name not in large]
    theirs, ours = before.read(whole), now.read(whole)
    for name in lot:
        if name in large:
            yield name, large[name], before.rows, now.rows
            continue
        a, b = theirs.pop(name), ours.pop(name)
        yield name, _hold(name, a, b, bins), a.rows, b.rows


def _streamed(name: str, before: Table, now: Table, bins: int) -> _Held | None:
    """A column of numbers that one side is too large to hold; None where it is none, or a side can only be read whole."""
    if not (before.chunks and now.chunks):
        return None
    if not all(next(chunks(name)).kind in ("number", "whole") for chunks in (before.chunks, now.chunks)):
        return None
    if before.rows <= EXACT_ROWS:
        values = _numbers(before.read([name])[name])
        theirs = summarize(prepare_sorted(sort_present(values, in_place=True), before.rows, bins=bins))
    else:
        points, edges = sampled((_numbers(part) for part in before.chunks(name)), before.rows, bins=bins)
        theirs = _tallied(before.chunks(name), points, edges)
    ours = _tallied(now.chunks(name), theirs.points, theirs.edges)
    difference = compare_summaries(theirs, ours)
    missing = _share(theirs.missing, before.rows)
    notes = [f"D is known to {difference.error:.1e}"] if difference.error else []
    if len(theirs.points) and ours.rows:
        notes += _outside(int(ours.below[0]), ours.rows - int(ours.up_to[-1]), ours.rows, theirs.points)
    return _Held(name, "number", difference, missing, (*notes, *_missing_note(missing, difference.missing)))


def _tallied(chunks: Iterator[Column], points: Floats, edges: Floats) -> Summary:
    tally = Tally(points, edges)
    for part in chunks:
        tally.add(_numbers(part))
    return tally.summary()


def _lots(names: Sequence[str], *tables: Table) -> Iterator[Sequence[str]]:
    size = max(1, _AT_ONCE // max(*(table.bytes_a_column for table in tables), 1))
    for start in range(0, len(names), size):
        yield names[start : start + size]


# ---- one column ----


@dataclass(frozen=True)
class _Held:
    """A column held against its reference, not judged yet: that takes all of them."""

    name: str
    kind: Literal["number", "text"]
    difference: Difference
    missing_reference: float
    notes: tuple[str, ...]


def _hold(name: str, before: Column, now: Column, bins: int) -> _Held | str:
    """The figures of one column, or why it is left out."""
    if why := _why_not(before, now):
        return why
    kinds: set[Kind] = {before.kind, now.kind}
    if "text" in kinds:
        return _hold_texts(name, _counts(before), _counts(now))
    return _hold_numbers(name, _numbers(before), _numbers(now), bins, whole=kinds == {"whole"})


def _why_not(before: Column, now: Column) -> str:
    kinds: set[Kind] = {before.kind, now.kind}
    if "date" in kinds:
        return "it is a date or a time"
    if "other" in kinds:
        return f"{(before if before.kind == 'other' else now).type} is not compared"
    if kinds == {"empty"}:
        return "it holds no value"
    if "text" in kinds and kinds & {"number", "whole"}:
        return f"its types differ: {before.type} and {now.type}"
    return ""


def _counts(column: Column) -> CategoryReference:
    return column.values if isinstance(column.values, CategoryReference) else CategoryReference({}, column.rows)


def _numbers(column: Column) -> Floats:
    return column.values if isinstance(column.values, np.ndarray) else np.full(column.rows, np.nan)


def _hold_texts(name: str, before: CategoryReference, now: CategoryReference) -> _Held | str:
    difference = compare_counts(before, now)
    missing = _share(before.missing, before.missing + sum(before.counts.values()))
    moved = _missing_note(missing, difference.missing)
    if len(before.counts.keys() | now.counts.keys()) < 2 and not moved:
        return "it is constant"
    if all(len(side.counts) > max(sum(side.counts.values()) / 2, _FEW) for side in (before, now)):
        return "it identifies rows"
    return _Held(name, "text", difference, missing, (*_new_texts(before, now), *moved))


def _hold_numbers(name: str, before: Floats, now: Floats, bins: int, *, whole: bool) -> _Held | str:
    rows = before.size, now.size
    reference = prepare_sorted(sort_present(before, in_place=True), rows[0], bins=bins)
    current = sort_present(now, in_place=True)
    difference = compare_sorted(reference, current, rows[1])
    missing = _share(reference.missing, rows[0])
    moved = _missing_note(missing, difference.missing)
    values = reference.sample.values
    ends = [side[[0, -1]] for side in (values, current) if len(side)]
    if not ends:
        return "it holds no value"
    if len(np.unique(ends)) < 2 and not moved:
        return "it is constant"
    if whole and len(values) == reference.sample.rows > _FEW and len(current) > _FEW and bool((np.diff(current) > 0).all()):
        return "it identifies rows"
    return _Held(name, "number", difference, missing, (*_beyond(values, current), *_tails(reference.sample, current), *moved))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


# ---- what the figures do not show ----


def _missing_moved(before: float, now: float) -> bool:
    return abs(now - before) > _MISSING_MOVED  # never of NaN


def _missing_note(before: float, now: float) -> tuple[str, ...]:
    if _missing_moved(before, now):
        return (f"missing {percent(before)} before, {percent(now)} now",)
    return ()


def _new_texts(before: CategoryReference, now: CategoryReference) -> tuple[str, ...]:
    new = sorted((text for text in now.counts if text not in before.counts), key=lambda text: (-now.counts[text], text))
    if not new or not before.counts:
        return ()
    share = _share(sum(now.counts[text] for text in new), sum(now.counts.values()))
    more = f" and {len(new) - 3} more" if len(new) > 3 else ""
    return (f"{percent(share)} in texts that the reference does not hold: {', '.join(new[:3])}{more}",)


def _beyond(before: Floats, now: Sorted) -> tuple[str, ...]:
    """Shares of the values below the reference's smallest and above its largest. before: its distinct values, ascending."""
    if not len(before) or not len(now):
        return ()
    below, above = int(now.searchsorted(before[0], "left")), len(now) - int(now.searchsorted(before[-1], "right"))
    return _outside(below, above, len(now), before)


def _tails(before: Empirical, now: Sorted) -> tuple[str, ...]:
    """Extreme quantiles beyond which far more values lie than should: a change in the tails that no limit on D or PSI finds."""
    found = tails(before, now, p_values=len(now) <= _TESTED)
    if found is None or before.rows < _LEAST_FOR_TAILS:
        return ()
    named = zip(found, ("below", "above"), ("1 %", "99 %"), strict=True)
    return tuple(
        f"{percent(tail.share)} {side} the reference's {q} quantile, {tail.limit:g}, where {percent(tail.expected)} are usual"
        for tail, side, q in named
        if tail.share > max(_HEAVY * tail.expected, tail.beyond_range)  # what lies beyond the range has its own note
        and (np.isnan(tail.p) or tail.p < _TAIL_CHANCE)
    )


def _outside(below: int, above: int, rows: int, before: Floats) -> tuple[str, ...]:
    notes = [(below, f"below the reference's smallest, {before[0]:g}"), (above, f"above the reference's largest, {before[-1]:g}")]
    return tuple(f"{percent(n / rows)} {where}" for n, where in notes if n)


def _place(change: ColumnChange) -> tuple[bool, bool, float, str]:
    return not change.changed, change.verdict != "missing values moved", -float(np.nan_to_num(change.distance)), change.name


def _change(held: _Held, verdict: FeatureVerdict) -> ColumnChange:
    d = held.difference
    return ColumnChange(held.name, held.kind, d.distance, d.psi, d.p_distance, d.p_psi, verdict.p, verdict.real, verdict.large,
                        held.missing_reference, d.missing, held.notes, d.error)  # fmt: skip
