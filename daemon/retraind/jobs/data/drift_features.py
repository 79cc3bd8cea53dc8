"""The per-row columns that drift is measured on, made from any contract's raw columns.

Each row of the main table says what it is: its numbers, how they moved against its entity's rows before, how a level
stands to its companions, what its entity is. All causal: a row's figures come from its own day and before. Movements are
(x - y) / (|x| + |y|), which for positive numbers is a monotone function of log(x / y); the statistics of drift see only
the order, so that logarithms are not needed, and zeros and negative numbers are no case of their own.

Some columns can never drift in a way that matters, and are left out with the reason: constant columns, identifiers,
functions of the date, columns that only grow. What is a change is `measure`'s. numpy and pyarrow alone: a measurement does not
wait for pandas.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retraind.drift.statistics import Floats
from retraind.settings import Column, Contract

__all__ = ["Categories", "DriftColumns", "WindowCut", "drift_columns", "relative_change"]

Days = npt.NDArray[np.int64]
Categories = npt.NDArray[np.object_]


@dataclass(frozen=True)
class DriftColumns:
    """Columns by name, each of shape (rows,), the rows in the order of their days."""

    day: Days
    """Days since 1970-01-01, ascending."""
    numbers: dict[str, Floats]
    """NaN is missing."""
    categories: dict[str, Categories]
    """None is missing."""
    left_out: dict[str, str]
    """Raw column -> why it is no drift feature."""
    still: tuple[str, ...] = ()
    """Features that have one value in all rows, and so did not move."""


@dataclass(frozen=True)
class WindowCut:
    """How time is cut into windows: of so many days each, one of them beginning on the day `first`."""

    first: int
    days: int
    back: int
    """A row is held against rows of its entity of so many days before it, and none before these."""


@dataclass(frozen=True)
class _Panel:
    """Rows by entity and, within one, by day."""

    entity: npt.NDArray[np.int64]
    day: Days
    cut: WindowCut

    @property
    def follows(self) -> npt.NDArray[np.bool_]:
        """Whether the row before is of the same entity."""
        return np.concatenate(([False], self.entity[1:] == self.entity[:-1])) if len(self.entity) else np.zeros(0, bool)

    def before(self, values: Floats) -> Floats:
        """The value of the entity's row before; NaN where none is near."""
        return self._at(np.arange(-1, len(self.day) - 1), values)

    def before_window(self, values: Floats) -> Floats:
        """The value of the entity's last row before the window in which the row lies; NaN where none is near."""
        return self._at(self._last_before_window, values)

    @cached_property
    def _last_before_window(self) -> npt.NDArray[np.int64]:
        start = self.day - (self.day - self.cut.first) % self.cut.days
        base = self.day.min(initial=0) - self.cut.days
        span = self.day.max(initial=0) - base + 1
        keys = self.entity * span + self.day - base
        return np.asarray(np.searchsorted(keys, self.entity * span + start - base) - 1, np.int64)

    def _at(self, row: npt.NDArray[np.int64], values: Floats) -> Floats:
        """The values of other rows, where these are of the same entity and not too long ago."""
        near = (row >= 0) & (self.entity[row] == self.entity) & (self.day - self.day[row] <= self.cut.back)
        return np.where(near, values[row], np.nan)


def relative_change(x: Floats, y: Floats) -> Floats:
    """(x - y) / (|x| + |y|), from -1 to 1, 0 where both are 0; of positive numbers it is tanh(log(x / y) / 2).

    Rounded to 1e-9, so that equal values of other roundings stay ties.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.abs(x) + np.abs(y)
        return np.where(size == 0, 0.0, np.round((x - y) / size, 9))


def drift_columns(rows: pa.Table, contract: Contract, cut: WindowCut) -> DriftColumns:
    """The drift features of a main table that is joined with its companions and lookups, one row a (date, entity).

    Of a number `x` that may move: `x` itself, `x.change` against its entity's row before, and `x.since_window` against
    the entity's last row before the window that the row lies in, which shows a lasting step as well as a slow one.
    """
    known = pc.unique(rows.column(contract.entity))
    entity = pc.index_in(rows.column(contract.entity), value_set=known).to_numpy().astype(np.int64)
    day = rows.column(contract.date).cast(pa.int32()).to_numpy().astype(np.int64)
    order = np.lexsort((day, entity))
    panel = _Panel(entity[order], day[order], cut)
    numbers: dict[str, Floats] = {}
    categories: dict[str, Categories] = {}
    left_out: dict[str, str] = {}
    held = _columns(rows, contract)
    for name, (column, role) in held.items():
        if column.type == "category":
            categories[name] = rows.column(name).to_numpy()[order]
            why = _why_no_category(categories[name])
        elif column.type in ("number", "whole"):
            numbers[name] = rows.column(name).cast(pa.float64(), safe=False).to_numpy()[order]
            why = _why_no_number(panel, numbers[name], whole=column.type == "whole", of_entity=role == "lookup")
        else:
            why = "it names things"
        if why:
            left_out[name] = why
    kept = {name: values for name, values in numbers.items() if left_out.get(name, _CONSTANT) == _CONSTANT}
    levels = [t.column for t in contract.targets.values() if t.nature == "level" and t.column in kept]
    companions = [name for name in kept if held[name][1] == "companion"]
    kept |= {f"{x}/{y}": _ratio(kept[x], kept[y]) for x in levels for y in companions}
    unmoved = {name for name, (column, role) in held.items() if role == "lookup" or column.feature}
    features = kept | _movements(panel, {name: values for name, values in kept.items() if name not in unmoved})
    moving = {name: values for name, values in features.items() if not _is_constant(values)}
    by_day = np.argsort(panel.day, kind="stable")
    return DriftColumns(
        panel.day[by_day],
        {name: values[by_day] for name, values in moving.items()},
        {name: values[by_day] for name, values in categories.items() if name not in left_out},
        left_out,
        tuple(name for name, values in features.items() if name not in moving and not np.isnan(values).all())
        + tuple(name for name in categories if left_out.get(name) == _CONSTANT),
    )


def _columns(rows: pa.Table, contract: Contract) -> dict[str, tuple[Column, str]]:
    """The contract's columns as the joined table names them, with their table's role; the main table first."""
    keys = {contract.entity, contract.date}
    found: dict[str, tuple[Column, str]] = {}
    for table_name, table in sorted(contract.tables.items(), key=lambda item: item[1].role != "main"):
        for column_name, column in table.columns.items():
            name = column_name if column_name not in found else f"{table_name}.{column_name}"
            if column_name not in keys and name in rows.column_names:
                found[name] = (column, table.role)
    return found


def _movements(panel: _Panel, numbers: dict[str, Floats]) -> dict[str, Floats]:
    """How the numbers moved, and how long each row's entity was away."""
    out: dict[str, Floats] = {}
    for name, values in numbers.items():
        out[f"{name}.change"] = relative_change(values, panel.before(values))
        out[f"{name}.since_window"] = relative_change(values, panel.before_window(values))
    out["days_since_last_row"] = panel.day - panel.before(panel.day.astype(np.float64))
    return out


def _ratio(x: Floats, y: Floats) -> Floats:
    """x / y; NaN where y is 0."""
    out: Floats = np.divide(x, y, out=np.full(len(x), np.nan), where=y != 0)
    return out


# ---- what can never drift ----

_CONSTANT = "it is constant"


def _is_constant(values: Floats) -> bool:
    present = values[~np.isnan(values)]
    return not present.size or bool((present == present[0]).all())


def _why_no_category(values: Categories) -> str:
    distinct = {v for v in values.tolist() if v is not None}
    if len(distinct) < 2:
        return _CONSTANT
    return "it identifies rows" if len(distinct) > max(len(values) / 2, 20) else ""


def _why_no_number(panel: _Panel, values: Floats, *, whole: bool, of_entity: bool) -> str:
    """Why a raw column of numbers is no drift feature; empty when it is one."""
    if _is_constant(values):
        return _CONSTANT
    if whole and _identifies(panel, values, of_entity=of_entity):
        return "it identifies rows"
    if of_entity:
        return ""
    if _is_of_date(panel, values):
        return "it is a function of the date"
    return "it only grows" if _only_grows(panel, values) else ""


def _identifies(panel: _Panel, values: Floats, *, of_entity: bool) -> bool:
    """Whole numbers of which no two rows (or entities) share one."""
    kept = values[~panel.follows] if of_entity else values
    return len(kept) > 20 and len(np.unique(kept)) == len(kept)


def _is_of_date(panel: _Panel, values: Floats) -> bool:
    """The same for all rows of a day, on every day."""
    present = ~np.isnan(values)
    order = np.argsort(panel.day[present], kind="stable")
    day, held = panel.day[present][order], values[present][order]
    starts = np.flatnonzero(np.append(True, day[1:] != day[:-1]))
    equal = np.minimum.reduceat(held, starts) == np.maximum.reduceat(held, starts)
    return bool(equal.all()) and len(starts) < len(held)


def _only_grows(panel: _Panel, values: Floats) -> bool:
    """Never falls from an entity's row to its next, and mostly rises."""
    step = (values - panel.before(values))[panel.follows]
    step = step[~np.isnan(step)]
    return bool(step.size) and bool((step >= 0).all()) and float((step > 0).mean()) > 0.5
