"""The main table as dense grids of calendar days by entities, and the few operations that features are made of.

Windows and lags count calendar days, never rows: a row that is missing is a day without a sale. Every operation here
reads only the days up to its own, bit for bit (sums run forward in time), which is what makes features causal: see
`features`. Grids are float64 of shape (days, entities); NaN says that nothing is known. Grids are made where the past has
to be walked through; what follows is worked out at the rows alone, of which there are several times fewer than cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["MARKET", "Grid", "Panel", "Values", "carry", "panel", "ratio", "running", "shift", "window_max", "window_min"]

Grid = NDArray[np.float64]
Values = NDArray[np.float64]
"""By row."""
Places = NDArray[np.int64]
_NOISE = 1e-12
"""A variance below it is what sums leave in their last digits: the values are equal."""
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


def running(grid: Grid) -> Grid:
    """Sum of what is known up to each day; NaN counts as 0."""
    return np.cumsum(np.where(np.isnan(grid), 0.0, grid), axis=0)


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


def ratio(part: Values, whole: Values) -> Values:
    """part / whole, NaN where `whole` is not above 0."""
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


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
    numbers: Mapping[str, Values]
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

    # ---- from grids to rows ----

    @cached_property
    def _place(self) -> Places:
        """Where the rows lie in a grid of days by entities."""
        return self.row_day * len(self.entities) + self.row_entity

    def of_day(self, days: NDArray[np.float64]) -> Values:
        """What is the same for all entities of a day, shape (days,), at the rows."""
        return days[self.row_day]

    def rows(self, grid: Grid, back: int = 0) -> Values:
        """The grid's values at the rows, or so many days before them; NaN before the first day."""
        return self._take(grid, self._place, back, np.nan)

    def rows_on(self, grid: Grid, day: NDArray[np.int64], before: float = np.nan) -> Values:
        """The grid's values for the rows' entities on other days: `day` says for each day which, shape (days,).

        Days before the first have the value `before`.
        """
        there = day[self.row_day]
        out: Values = grid.ravel().take(there * len(self.entities) + self.row_entity, mode="clip")
        out[there < 0] = before
        return out

    def within(self, total: Grid, days: int, back: int = 0) -> Values:
        """Sums over the last `days` days, the row's own included (or up to `back` days before it), from a `running` sum."""
        return self.rows(total, back) - self._take(total, self._place, back + days, 0.0)

    def _take(self, grid: Grid, place: Places, back: int, before: float) -> Values:
        out: Values = grid.ravel().take(place - back * grid.shape[1], mode="clip")
        out[: np.searchsorted(self.row_day, back)] = before  # rows are in the order of their days
        return out

    def spread(self, values: Values) -> Grid:
        """Row values as a grid."""
        grid = np.full((self.days, len(self.entities)), np.nan)
        grid[self.row_day, self.row_entity] = values
        return grid

    # ---- grids ----

    def sold(self) -> Grid:
        """1 on days with a sale, else 0."""
        sale = np.ones(len(self.row_day)) if self.unsold is None else (~self.unsold).astype(np.float64)
        return self.once(("sold",), lambda: np.nan_to_num(self.spread(sale)))

    def value(self, column: str) -> Grid:
        """The column as it stands, NaN on days without a row."""
        return self.once(("value", column), lambda: self.spread(self.numbers[column]))

    def log(self, column: str) -> Grid:
        """Natural logarithm of the column; NaN where it is not above 0."""

        def make() -> Grid:
            values = self.numbers[column]
            return self.spread(np.log(values, out=np.full_like(values, np.nan), where=values > 0))

        return self.once(("log", column), make)

    def known(self, column: str) -> Grid:
        """The column's last known value."""
        return self.once(("known", column), lambda: carry(self.value(column)))

    def known_log(self, column: str) -> Grid:
        """The logarithm's last known value."""
        return self.once(("known_log", column), lambda: carry(self.log(column)))

    def totals(self, key: tuple[object, ...], grid: Callable[[], Grid]) -> tuple[Grid, Grid]:
        """Running sum of a grid, and of how many of its values are known."""
        total = self.once(("total", *key), lambda: running(grid()))
        return total, self.once(("count", *key), lambda: np.cumsum(~np.isnan(grid()), axis=0, dtype=np.float64))

    def _born(self) -> Grid:
        """The day of each entity's first sale, from that day on."""
        day = np.arange(self.days, dtype=np.float64)[:, None]
        return self.once(("born",), lambda: _first(np.where(self.sold() > 0, day, np.nan)))

    # ---- by row ----

    def last(self, column: str, back: int = 0) -> Values:
        """The column's last known value, as of so many days before."""
        return self.rows(self.known(column), back)

    def last_log(self, column: str, back: int = 0) -> Values:
        """The logarithm's last known value, as of so many days before."""
        return self.rows(self.known_log(column), back)

    def mean(self, column: str, days: int, back: int = 0) -> Values:
        """Mean of what is known in the last `days` calendar days; NaN where nothing is."""
        return self._mean(("value", column), lambda: self.value(column), days, back)

    def mean_log(self, column: str, days: int, back: int = 0) -> Values:
        """Mean of the logarithms known in the last `days` calendar days."""
        return self._mean(("log", column), lambda: self.log(column), days, back)

    def mean_carried(self, key: tuple[object, ...], grid: Callable[[], Grid], days: int) -> Values:
        """Mean over the last `days` calendar days of a grid that each day carries on."""
        return self._mean(("carried", *key), grid, days, 0)

    def ever(self, column: str) -> Values:
        """The logarithm's mean over all days so far."""
        return self.mean_log(column, self.days)

    def _mean(self, key: tuple[object, ...], grid: Callable[[], Grid], days: int, back: int) -> Values:
        total, count = self.totals(key, grid)
        return ratio(self.within(total, days, back), self.within(count, days, back))

    def per_day(self, column: str, days: int) -> Values:
        """Amount per calendar day over the last `days` days (or since the entity's first): a day without a row is 0."""
        total, _ = self.totals(("value", column), lambda: self.value(column))
        return np.clip(self.within(total, days), 0, None) / self.span(days)

    def spread_log(self, column: str, days: int) -> Values:
        """Standard deviation of the logarithms known in the last `days` calendar days; 0 for a single one."""
        # small numbers: the squares keep their digits
        centred = self.once(("centred", column), lambda: self.log(column) - _first(self.log(column)))
        mean = self._mean(("centred", column), lambda: centred, days, 0)
        square = self._mean(("squared", column), lambda: centred**2, days, 0)
        variance = square - mean**2
        return np.sqrt(np.where(variance < _NOISE, 0.0, variance))

    def age(self) -> Values:
        """Days since the entity's first row; NaN before it."""
        return self.row_day - self.rows(self._born())

    def span(self, days: int) -> Values:
        """So many days, or those since the entity's first row."""
        return np.minimum(self.age() + 1, days)

    def share(self, days: int) -> Values:
        """Share of the last `days` days (or since the entity's first) with a row."""
        return self.within(self.once(("total", "sold"), lambda: running(self.sold())), days) / self.span(days)

    # ---- groups ----

    def group(self, by: str) -> NDArray[np.int64]:
        """A number for the group of each row: by the row's own word in a category column, or one for all (MARKET)."""
        return self._groups[by]

    @cached_property
    def _groups(self) -> dict[str, NDArray[np.int64]]:
        numbers = {by: np.asarray(pd.factorize(words)[0], dtype=np.int64) for by, words in self.words.items()}
        return numbers | {MARKET: np.zeros(len(self.row_day), dtype=np.int64)}

    def group_sum(self, by: str, values: Values) -> Grid:
        """Row values summed by day and group, shape (days, groups); NaN counts as 0."""
        group = self.group(by)
        groups = int(group.max(initial=0)) + 1
        # bincount adds row by row in the order of time, so later rows cannot change a bit of an earlier sum
        flat = np.bincount(self.row_day * groups + group, weights=np.nan_to_num(values), minlength=self.days * groups)
        return np.asarray(flat.reshape(self.days, groups), dtype=np.float64)

    def of_group(self, by: str, grid: Grid, back: int = 0) -> Values:
        """The group's value at each row, from a grid of shape (days, groups), or so many days before it."""
        return self._take(grid, self.row_day * grid.shape[1] + self.group(by), back, np.nan)

    def of_group_on(self, by: str, grid: Grid, day: NDArray[np.int64]) -> Values:
        """The group's value on other days: `day` says for each day which, shape (days,). NaN before the first."""
        there = day[self.row_day]
        out: Values = grid.ravel().take(there * grid.shape[1] + self.group(by), mode="clip")
        out[there < 0] = np.nan
        return out

    def index(self, column: str, by: str) -> Grid:
        """Chained index of a level by group: log changes since each entity's previous sale, averaged and summed up."""

        def make() -> Grid:
            change = self.rows(self.log(column)) - self.last_log(column, 1)
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


def _first(grid: Grid) -> Grid:
    """Each entity's first known value, from that day on."""
    known = ~np.isnan(grid)
    first = known & (np.cumsum(known, axis=0) == 1)
    return carry(np.where(first, grid, np.nan))
