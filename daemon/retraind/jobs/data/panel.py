"""The main table as dense grids of calendar days by entities, and the few operations that features are made of.

Windows and lags count calendar days, never rows: a row that is missing is a day without a sale. Every operation here
reads only the days up to its own, bit for bit (sums run forward in time), which is what makes features causal: see
`features`. Arrays are float64 of shape (days, entities); NaN says that nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["MARKET", "Grid", "Panel", "carry", "panel", "shift", "window_max", "window_min", "window_sum"]

Grid = NDArray[np.float64]
MARKET = "market"
"""The group that holds every entity."""


def carry(grid: Grid) -> Grid:
    """The last known value of each entity at or before each day."""
    day = np.where(np.isnan(grid), 0, np.arange(len(grid))[:, None])
    return np.take_along_axis(grid, np.maximum.accumulate(day, axis=0), axis=0)


def shift(grid: Grid, days: int) -> Grid:
    """The grid as it was so many days before each day; NaN before the first day."""
    out = np.full_like(grid, np.nan)
    out[days:] = grid[: max(len(grid) - days, 0)]
    return out


def window_sum(grid: Grid, days: int) -> Grid:
    """Sum over the last `days` days, the day itself included; NaN counts as 0, days before the first as nothing."""
    total = np.cumsum(np.nan_to_num(grid), axis=0)
    out = total.copy()
    out[days:] -= total[: max(len(grid) - days, 0)]
    return out


def window_min(grid: Grid, days: int) -> Grid:
    """Smallest known value over the last `days` days; NaN where none is known."""
    return _window(grid, days, np.fmin)


def window_max(grid: Grid, days: int) -> Grid:
    """Largest known value over the last `days` days; NaN where none is known."""
    return _window(grid, days, np.fmax)


def _window(grid: Grid, days: int, pick: Callable[[Grid, Grid], Grid]) -> Grid:
    # two windows of a power of two overlap to any length: log2(days) passes instead of days
    out, length = grid, 1
    while length < days:
        step = min(length, days - length)
        out, length = pick(out, shift(out, step)), length + step
    return out


@dataclass(frozen=True)
class Panel:
    """Rows of the main table, ordered by day and entity, and grids made from them on demand (each once)."""

    start: np.datetime64
    """The first day."""
    days: int
    entities: NDArray[np.object_]
    row_day: NDArray[np.int64]
    """Day of each row, from 0."""
    row_entity: NDArray[np.int64]
    numbers: Mapping[str, NDArray[np.float64]]
    """Numeric columns by row."""
    words: Mapping[str, NDArray[np.object_]]
    """Category columns by row."""
    unsold: NDArray[np.bool_] | None = None
    """Rows that are no sale: asked for only, without values of their own."""
    memo: dict[tuple[object, ...], Grid] = field(default_factory=dict, repr=False, compare=False)

    def once(self, key: tuple[object, ...], make: Callable[[], Grid]) -> Grid:
        """The grid of that key, made at its first use."""
        if key not in self.memo:
            self.memo[key] = make()
        return self.memo[key]

    def dates(self, ahead: int = 0) -> NDArray[np.datetime64]:
        """The date of each day, or of the day so many days later; shape (days,)."""
        return self.start + np.arange(ahead, self.days + ahead).astype("timedelta64[D]")

    def rows(self, grid: Grid) -> NDArray[np.float64]:
        """The grid's values at the rows; a grid of shape (days,) is the same for all entities."""
        return grid[self.row_day] if grid.ndim == 1 else grid[self.row_day, self.row_entity]

    def spread(self, values: NDArray[np.float64]) -> Grid:
        """Row values as a grid."""
        grid = np.full((self.days, len(self.entities)), np.nan)
        grid[self.row_day, self.row_entity] = values
        return grid

    def sold(self) -> Grid:
        """1 on days with a sale, else 0."""
        sale = np.ones(len(self.row_day)) if self.unsold is None else (~self.unsold).astype(np.float64)
        return self.once(("sold",), lambda: np.nan_to_num(self.spread(sale)))

    def value(self, column: str) -> Grid:
        """The column as it stands, NaN on days without a row."""
        return self.once(("value", column), lambda: self.spread(self.numbers[column]))

    def log(self, column: str) -> Grid:
        """Natural logarithm of the column; NaN where it is not above 0."""
        return self.once(("log", column), lambda: _log(self.value(column)))

    def known(self, column: str) -> Grid:
        """The column's last known value."""
        return self.once(("known", column), lambda: carry(self.value(column)))

    def known_log(self, column: str) -> Grid:
        """The logarithm's last known value."""
        return self.once(("known_log", column), lambda: carry(self.log(column)))

    def mean(self, column: str, days: int) -> Grid:
        """Mean of what is known in the last `days` calendar days; NaN where nothing is."""
        return self.once(("mean", column, days), lambda: _mean(self.value(column), days))

    def mean_log(self, column: str, days: int) -> Grid:
        """Mean of the logarithms known in the last `days` calendar days."""
        return self.once(("mean_log", column, days), lambda: _mean(self.log(column), days))

    def per_day(self, column: str, days: int) -> Grid:
        """Amount per calendar day over the last `days` days (or since the entity's first): a day without a row is 0."""

        def make() -> Grid:
            span = np.minimum(self.age() + 1, days)
            return np.clip(window_sum(self.value(column), days), 0, None) / span

        return self.once(("per_day", column, days), make)

    def spread_log(self, column: str, days: int) -> Grid:
        """Standard deviation of the logarithms known in the last `days` calendar days; 0 for a single one."""

        def make() -> Grid:
            centred = self.log(column) - _first(self.log(column))  # small numbers: the squares keep their digits
            mean = _mean(centred, days)
            return np.sqrt(np.clip(_mean(centred**2, days) - mean**2, 0, None))

        return self.once(("spread_log", column, days), make)

    def ever(self, column: str) -> Grid:
        """The logarithm's mean over all days so far."""
        return self.once(("ever", column), lambda: _mean(self.log(column), self.days))

    def age(self) -> Grid:
        """Days since the entity's first row; NaN before it."""

        def make() -> Grid:
            day = np.arange(self.days, dtype=np.float64)[:, None]
            return day - carry(_first(np.where(self.sold() > 0, day, np.nan)))

        return self.once(("age",), make)

    def share(self, days: int) -> Grid:
        """Share of the last `days` days (or since the entity's first) with a row."""
        return self.once(("share", days), lambda: window_sum(self.sold(), days) / np.minimum(self.age() + 1, days))

    def group(self, by: str) -> NDArray[np.int64]:
        """A number for the group of each row: by the row's own word in a category column, or one for all (MARKET)."""
        if by == MARKET:
            return np.zeros(len(self.row_day), dtype=np.int64)
        return np.asarray(pd.factorize(self.words[by])[0], dtype=np.int64)

    def group_sum(self, by: str, values: NDArray[np.float64]) -> Grid:
        """Row values summed by day and group, shape (days, groups); NaN counts as 0."""
        group = self.group(by)
        groups = int(group.max(initial=0)) + 1
        # bincount adds row by row in the order of time, so later rows cannot change a bit of an earlier sum
        flat = np.bincount(self.row_day * groups + group, weights=np.nan_to_num(values), minlength=self.days * groups)
        return np.asarray(flat.reshape(self.days, groups), dtype=np.float64)

    def of_group(self, by: str, grid: Grid) -> NDArray[np.float64]:
        """The group's value at each row, from a grid of shape (days, groups)."""
        return np.asarray(grid[self.row_day, self.group(by)])

    def index(self, column: str, by: str) -> Grid:
        """Chained index of a level by group: log changes since each entity's previous sale, averaged and summed up."""

        def make() -> Grid:
            change = self.rows(self.log(column) - shift(self.known_log(column), 1))
            known = self.group_sum(by, (~np.isnan(change)).astype(np.float64))
            return np.cumsum(self.group_sum(by, change) / np.maximum(known, 1), axis=0)

        return self.once(("index", column, by), make)


def panel(
    frame: pd.DataFrame, entity: str, date: str, numbers: list[str], words: list[str], unsold: str | None = None
) -> Panel:
    """The panel of a main table that has one row an (entity, date).

    frame: `date` as datetime64, `entity` as text, each of `numbers` numeric, each of `words` text, `unsold` (where it is
    named) true for rows that are no sale. Raises ValueError for an empty frame.
    """
    if frame.empty:
        raise ValueError("an empty table has no days")
    ordered = frame.sort_values([date, entity], kind="stable", ignore_index=True)
    day = ordered[date].to_numpy().astype("datetime64[D]")
    entities, row_entity = np.unique(ordered[entity].to_numpy(dtype=object), return_inverse=True)
    return Panel(
        start=day[0],
        days=int((day[-1] - day[0]).astype(np.int64)) + 1,
        entities=entities,
        row_day=(day - day[0]).astype(np.int64),
        row_entity=np.asarray(row_entity, dtype=np.int64),
        numbers={c: ordered[c].to_numpy(dtype=np.float64, na_value=np.nan) for c in numbers},
        words={c: ordered[c].astype(object).where(ordered[c].notna(), "").to_numpy(dtype=object) for c in words},
        unsold=ordered[unsold].to_numpy(dtype=bool) if unsold else None,
    )


def _log(values: Grid) -> Grid:
    return np.log(values, out=np.full_like(values, np.nan), where=values > 0)


def _first(grid: Grid) -> Grid:
    """Each entity's first known value, from that day on."""
    known = ~np.isnan(grid)
    first = known & (np.cumsum(known, axis=0) == 1)
    return carry(np.where(first, grid, np.nan))


def _mean(grid: Grid, days: int) -> Grid:
    count = window_sum((~np.isnan(grid)).astype(np.float64), days)
    return np.divide(window_sum(grid, days), count, out=np.full_like(grid, np.nan), where=count > 0)
