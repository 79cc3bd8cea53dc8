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

from retraind.drift.files import Column, Kind, Source, Table, table_of
from retraind.drift.reference import (
    CategoryReference,
    Difference,
    NumericReference,
    compare,
    compare_counts,
    prepare_numeric,
)
from retraind.drift.statistics import Floats
from retraind.drift.verdict import FeatureVerdict, feature_verdicts

__all__ = ["ColumnChange", "TableComparison", "compare_tables"]

_AT_ONCE = 32 * 2**20
"""Bytes of columns read at once: a CSV file is parsed anew for each lot, so that one column a lot would be slow."""
_MISSING_MOVED = 0.05
"""Change of the missing share from which a note tells it."""
_FEW = 20
"""Distinct values up to which no column is taken for an identifier."""

Verdict = Literal["changed", "real but small", "large but perhaps chance", "no more than chance", "not comparable"]


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

    @property
    def changed(self) -> bool:
        """Real and large."""
        return self.real and self.large

    @property
    def verdict(self) -> Verdict:
        """In words."""
        if isnan(self.p):
            return "not comparable"
        if self.real:
            return "changed" if self.large else "real but small"
        return "large but perhaps chance" if self.large else "no more than chance"


@dataclass(frozen=True)
class TableComparison:
    """Two tables held against each other."""

    reference_rows: int
    current_rows: int
    columns: tuple[ColumnChange, ...]
    """Those that changed first, then by distance; of columns that both tables have."""
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
        theirs, ours = before.read(lot), now.read(lot)
        for name in lot:
            a, b = theirs.pop(name), ours.pop(name)
            rows = (a.rows, b.rows)
            held = _hold(name, a, b, bins)
            if isinstance(held, str):
                left_out[name] = held
            else:
                found.append(held)
    verdicts = feature_verdicts([held.difference for held in found], fdr=fdr, ks=ks, psi=psi)
    changes = [_change(held, verdict) for held, verdict in zip(found, verdicts, strict=True)]
    return TableComparison(
        *rows,
        tuple(sorted(changes, key=lambda c: (not c.changed, -np.nan_to_num(c.distance), c.name))),
        left_out,
        tuple(name for name in before.names if name not in now.names),
        tuple(name for name in now.names if name not in before.names),
    )


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
    reference, ours = prepare_numeric(before, bins=bins), prepare_numeric(now, bins=bins)
    difference = compare(reference, now)
    missing = _share(reference.missing, before.size)
    moved = _missing_note(missing, difference.missing)
    ends = [side.sample.values[[0, -1]] for side in (reference, ours) if side.sample.rows]
    if not ends:
        return "it holds no value"
    if len(np.unique(ends)) < 2 and not moved:
        return "it is constant"
    if whole and all(len(side.sample.values) == side.sample.rows > _FEW for side in (reference, ours)):
        return "it identifies rows"
    return _Held(name, "number", difference, missing, (*_beyond(reference, ours), *moved))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


# ---- what the figures do not show ----


def _missing_note(before: float, now: float) -> tuple[str, ...]:
    if abs(now - before) > _MISSING_MOVED:  # never of NaN
        return (f"missing {_percent(before)} before, {_percent(now)} now",)
    return ()


def _new_texts(before: CategoryReference, now: CategoryReference) -> tuple[str, ...]:
    new = sorted((text for text in now.counts if text not in before.counts), key=lambda text: (-now.counts[text], text))
    if not new or not before.counts:
        return ()
    share = _share(sum(now.counts[text] for text in new), sum(now.counts.values()))
    more = f" and {len(new) - 3} more" if len(new) > 3 else ""
    return (f"{_percent(share)} in texts that the reference does not hold: {', '.join(new[:3])}{more}",)


def _beyond(before: NumericReference, now: NumericReference) -> tuple[str, ...]:
    """Shares of the values below the reference's smallest and above its largest."""
    if not before.sample.rows or not now.sample.rows:
        return ()
    least, most = float(before.sample.values[0]), float(before.sample.values[-1])
    below = int(now.sample.below[np.searchsorted(now.sample.values, least, side="left")])
    above = now.sample.rows - int(now.sample.below[np.searchsorted(now.sample.values, most, side="right")])
    notes = [(below, f"below the reference's smallest, {least:g}"), (above, f"above the reference's largest, {most:g}")]
    return tuple(f"{_percent(rows / now.sample.rows)} {where}" for rows, where in notes if rows)


def _percent(share: float) -> str:
    return "under 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"


def _change(held: _Held, verdict: FeatureVerdict) -> ColumnChange:
    d = held.difference
    return ColumnChange(held.name, held.kind, d.distance, d.psi, d.p_distance, d.p_psi, verdict.p, verdict.real, verdict.large,
                        held.missing_reference, d.missing, held.notes)  # fmt: skip
