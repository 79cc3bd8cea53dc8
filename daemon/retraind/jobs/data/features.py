"""The table of features, and their values for every (entity, origin day with a sale).

A feature is one line of `TABLE`: its name, its group, what it reads and how far back, and a function from the panel to a
grid. To add one, add a line; the causality test finds it by itself. Every feature of an origin day reads that day and
earlier ones only; what it says of the target's day it knows from the calendar alone. A level (a price) is described by
log ratios to today's value, a flow (an amount) by contrasts to its 14-day mean, so that one model serves dear and cheap,
big and small alike. Which features a model uses is the recipe's affair: see `training.portfolio`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retraind.jobs.data import feasts
from retraind.jobs.data.panel import MARKET, Grid, Panel, carry, panel, shift, window_max, window_min, window_sum
from retraind.jobs.data.store import UNSOLD
from retraind.settings import Contract

__all__ = ["TABLE", "Feature", "FeatureTable", "Roles", "ahead_suffix", "build", "describe", "roles"]

Over = Literal[
    "once", "level", "flow", "markup", "companion", "number", "lookup", "ready", "word", "group_level", "group_flow"
]
_BY_ROW = ("word", "group_level", "group_flow")
"""Roles whose functions give values by row, because an entity's group is its row's own word."""
Days = NDArray[np.datetime64]


@dataclass(frozen=True)
class Feature:
    """One line of the table."""

    name: str
    """With {c} for the column and {by} for the grouping column (or the companion, for `markup`) filled in."""
    group: str
    over: Over
    """What it is made for: once, or each column of a role."""
    reads: str
    """What it reads, and how far back."""
    make: Callable[..., Any]
    """(panel[, column[, by]][, days ahead]) -> Grid of shape (days,) or (days, entities), or values by row."""
    ahead: bool = False
    """Made once for each horizon, named with its suffix: it speaks of the target's day."""


def ahead_suffix(horizon: int) -> str:
    """The end of the name of a feature that speaks of the day so far ahead: 7 -> `_ahead_7`."""
    return f"_ahead_{horizon}"


def contrast(a: Grid, b: Grid) -> Grid:
    """(a - b) / (a + b): -1 to 1, 0 where both are 0; a log ratio's tame cousin for amounts that may be 0."""
    total = a + b
    return np.divide(a - b, total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > 0)


def _year(dates: Days) -> NDArray[np.float64]:
    """Angle of the day in its year."""
    return np.asarray(
        (dates - dates.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.float64) * 2 * np.pi / 365.25
    )


def _weekday(dates: Days) -> NDArray[np.float64]:
    return ((dates.astype("datetime64[D]").astype(np.int64) + 3) % 7).astype(np.float64)  # 1970-01-01 was a Thursday


def _month(dates: Days) -> NDArray[np.float64]:
    """Angle of the month in the year."""
    return (dates.astype("datetime64[M]").astype(np.int64) % 12).astype(np.float64) * np.pi / 6


def _since_sale_before(p: Panel) -> Grid:
    day = np.arange(p.days, dtype=np.float64)[:, None]
    return np.clip(day - shift(carry(np.where(p.sold() > 0, day, np.nan)), 1), 0, 60)


def _discounted(p: Panel, c: str) -> Grid:
    return p.known(c) - p.mean(c, 28)


def _change(p: Panel, c: str, days: int) -> Grid:
    return p.known_log(c) - shift(p.known_log(c), days)


def _over_weekday(p: Panel, c: str, h: int) -> Grid:
    """Mean of the target's weekday over the last 8 weeks against the mean of the last 14 days."""
    sums, counts = np.zeros_like(p.value(c)), np.zeros_like(p.value(c))
    for week in range(8):
        seen = shift(p.value(c), -h % 7 + 7 * week)
        sums += np.nan_to_num(seen)
        counts += ~np.isnan(seen)
    mean = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return contrast(mean, p.mean(c, 14))


def _last_year_level(p: Panel, c: str, h: int) -> Grid:
    if h > 364:
        return np.full_like(p.known_log(c), np.nan)
    return shift(p.known_log(c), 364 - h) - shift(p.known_log(c), 364)


def _last_year_flow(p: Panel, c: str, h: int) -> Grid:
    if h > 357:
        return np.full_like(p.value(c), np.nan)
    # the two weeks around the day a year before the target's end 7 days after it
    return contrast(shift(p.mean(c, 14), 357 - h), shift(p.mean(c, 14), 364))


def _index_change(p: Panel, c: str, by: str, days: int) -> NDArray[np.float64]:
    index = p.index(c, by)
    return p.of_group(by, index - shift(index, days))


def _index_last_year(p: Panel, c: str, by: str, h: int) -> NDArray[np.float64]:
    index = p.index(c, by)
    if h > 364:
        return np.full(len(p.row_day), np.nan)
    return p.of_group(by, shift(index, 364 - h) - shift(index, 364))


def _group_total(p: Panel, c: str, by: str) -> NDArray[np.float64]:
    total = p.group_sum(by, p.numbers[c])
    total[np.cumsum(total, axis=0) == 0] = np.nan
    week = _trailing_mean(total, 7)
    return p.of_group(by, contrast(week, _trailing_mean(total, 28)))


def _trailing_mean(grid: Grid, days: int) -> Grid:
    known = window_sum((~np.isnan(grid)).astype(np.float64), days)
    return np.divide(window_sum(grid, days), known, out=np.full_like(grid, np.nan), where=known > 0)


def _ready(p: Panel, c: str, lag: int) -> Grid:
    return p.value(c) if lag == 0 else shift(p.known(c), lag)


_CALENDAR = (
    Feature("weekday", "calendar", "once", "the origin's date", lambda p: _weekday(p.dates())),
    Feature("month_sin", "calendar", "once", "the origin's date", lambda p: np.sin(_month(p.dates()))),
    Feature("month_cos", "calendar", "once", "the origin's date", lambda p: np.cos(_month(p.dates()))),
    Feature("is_feast", "calendar", "once", "the origin's date", lambda p: feasts.is_feast(p.dates())),
    Feature(
        "spring_festival",
        "calendar",
        "once",
        "days from the nearest Spring Festival to the origin, 40 at most",
        lambda p: feasts.days_from_spring_festival(p.dates()),
    ),
    Feature("target_weekday", "target day", "once", "the target's date", lambda p, h: _weekday(p.dates(h)), ahead=True),
    Feature(
        "target_year_sin", "target day", "once", "the target's date", lambda p, h: np.sin(_year(p.dates(h))), ahead=True
    ),
    Feature(
        "target_year_cos", "target day", "once", "the target's date", lambda p, h: np.cos(_year(p.dates(h))), ahead=True
    ),
    Feature(
        "target_is_feast",
        "target day",
        "once",
        "the target's date",
        lambda p, h: feasts.is_feast(p.dates(h)),
        ahead=True,
    ),
    Feature(
        "target_to_feast",
        "target day",
        "once",
        "days from the target to the next feast, 15 at most",
        lambda p, h: feasts.days_to_feast(p.dates(h)),
        ahead=True,
    ),
    Feature(
        "target_spring_festival",
        "target day",
        "once",
        "days from the nearest Spring Festival to the target, 40 at most",
        lambda p, h: feasts.days_from_spring_festival(p.dates(h)),
        ahead=True,
    ),
)

_PRESENCE = (
    Feature("sold_share_7", "presence", "once", "rows of the last 7 days", lambda p: p.share(7)),
    Feature("sold_share_28", "presence", "once", "rows of the last 28 days", lambda p: p.share(28)),
    Feature("days_since_sale", "presence", "once", "rows before today, 60 days at most", _since_sale_before),
    Feature("age", "presence", "once", "the day of the entity's first row, in log days", lambda p: np.log1p(p.age())),
)

_LEVEL = (
    Feature("{c}_today", "level", "level", "the last known value", lambda p, c: p.known(c)),
    Feature("{c}_log", "level", "level", "the last known value", lambda p, c: p.known_log(c)),
    *(
        Feature(
            f"{{c}}_change_{n}",
            "momentum",
            "level",
            f"the value known today and {n} days ago",
            lambda p, c, n=n: _change(p, c, n),
        )
        for n in (1, 2, 3, 7, 14, 28)
    ),
    *(
        Feature(
            f"{{c}}_over_mean_{n}",
            "momentum",
            "level",
            f"values of the last {n} days",
            lambda p, c, n=n: p.known_log(c) - p.mean_log(c, n),
        )
        for n in (7, 14, 28)
    ),
    *(
        Feature(
            f"{{c}}_spread_{n}", "spread", "level", f"values of the last {n} days", lambda p, c, n=n: p.spread_log(c, n)
        )
        for n in (7, 28)
    ),
    Feature(
        "{c}_over_min_28",
        "spread",
        "level",
        "values of the last 28 days",
        lambda p, c: p.known_log(c) - window_min(p.log(c), 28),
    ),
    Feature(
        "{c}_under_max_28",
        "spread",
        "level",
        "values of the last 28 days",
        lambda p, c: p.known_log(c) - window_max(p.log(c), 28),
    ),
    Feature("{c}_over_ever", "history", "level", "all values so far", lambda p, c: p.known_log(c) - p.ever(c)),
    Feature(
        "{c}_over_carried_28",
        "history",
        "level",
        "the values known on each of the last 28 days",
        lambda p, c: p.known_log(c) - _trailing_mean(p.known_log(c), 28),
    ),
    Feature(
        "{c}_last_year",
        "history",
        "level",
        "the values known 364 days before origin and target",
        _last_year_level,
        ahead=True,
    ),
)

_FLOW = (
    Feature("{c}_mean_14", "flow", "flow", "values of the last 14 days", lambda p, c: p.mean(c, 14)),
    Feature("{c}_log_mean_14", "flow", "flow", "values of the last 14 days", lambda p, c: np.log1p(p.mean(c, 14))),
    Feature(
        "{c}_today",
        "flow",
        "flow",
        "the last known value against its 14-day mean",
        lambda p, c: contrast(p.known(c), p.mean(c, 14)),
    ),
    *(
        Feature(
            f"{{c}}_lag_{n}",
            "flow",
            "flow",
            f"the value known {n} days ago",
            lambda p, c, n=n: contrast(shift(p.known(c), n), p.mean(c, 14)),
        )
        for n in (1, 2, 7, 14)
    ),
    *(
        Feature(
            f"{{c}}_mean_{n}_over_14",
            "momentum",
            "flow",
            f"values of the last {n} days",
            lambda p, c, n=n: contrast(p.mean(c, n), p.mean(c, 14)),
        )
        for n in (7, 28)
    ),
    *(
        Feature(
            f"{{c}}_per_day_{n}",
            "flow",
            "flow",
            f"values of the last {n} days, 0 on a day without one",
            lambda p, c, n=n: contrast(p.per_day(c, n), p.mean(c, 14)),
        )
        for n in (7, 28)
    ),
    *(
        Feature(
            f"{{c}}_spread_{n}", "spread", "flow", f"values of the last {n} days", lambda p, c, n=n: p.spread_log(c, n)
        )
        for n in (14, 28)
    ),
    Feature(
        "{c}_max_28",
        "spread",
        "flow",
        "values of the last 28 days",
        lambda p, c: contrast(window_max(p.value(c), 28), p.mean(c, 14)),
    ),
    Feature(
        "{c}_over_ever",
        "history",
        "flow",
        "all values so far",
        lambda p, c: np.log1p(p.mean(c, 14)) - np.log1p(p.mean(c, p.days)),
    ),
    Feature(
        "{c}_weekday_8",
        "weekday",
        "flow",
        "values of the target's weekday in the last 8 weeks",
        _over_weekday,
        ahead=True,
    ),
    Feature(
        "{c}_last_year",
        "history",
        "flow",
        "14-day means 364 days before origin and target",
        _last_year_flow,
        ahead=True,
    ),
)

_OTHERS = (
    Feature(
        "{c}_over_{by}",
        "markup",
        "markup",
        "today's level and the last known companion value",
        lambda p, c, by: p.known_log(c) - p.known_log(by),
    ),
    Feature(
        "{c}_over_{by}_usual",
        "markup",
        "markup",
        "level and companion known on each of the last 28 days",
        lambda p, c, by: p.known_log(c) - p.known_log(by) - _trailing_mean(p.known_log(c) - p.known_log(by), 28),
    ),
    *(
        Feature(
            f"{{c}}_change_{n}",
            "companion",
            "companion",
            f"the value known today and {n} days ago",
            lambda p, c, n=n: _change(p, c, n),
        )
        for n in (1, 7, 28)
    ),
    Feature("{c}_known", "number", "number", "the last known value", lambda p, c: p.known(c)),
    Feature("{c}_over_mean_28", "number", "number", "values of the last 28 days", _discounted),
    Feature("{c}", "lookup", "lookup", "the lookup's value", lambda p, c: p.value(c)),
    Feature("{c}", "ready", "ready", "the column as it came, by its stated lag", _ready),
    Feature("{c}", "word", "word", "the row's own word", lambda p, c: p.words[c]),
)

_GROUPS = (
    *(
        Feature(
            f"{{c}}_index_{{by}}_{n}",
            "index",
            "group_level",
            f"changes of all of the group in the last {n} days",
            lambda p, c, by, n=n: _index_change(p, c, by, n),
        )
        for n in (7, 28)
    ),
    Feature(
        "{c}_index_{by}_last_year",
        "index",
        "group_level",
        "changes of the group 364 days before",
        _index_last_year,
        ahead=True,
    ),
    Feature("{c}_{by}_momentum", "index", "group_flow", "the group's totals of the last 28 days", _group_total),
)

TABLE: tuple[Feature, ...] = (*_CALENDAR, *_PRESENCE, *_LEVEL, *_FLOW, *_OTHERS, *_GROUPS)


@dataclass(frozen=True)
class Roles:
    """Which columns of a contract play which part in the features."""

    targets: Mapping[str, str]
    """Target -> column."""
    levels: tuple[str, ...]
    flows: tuple[str, ...]
    companions: tuple[str, ...]
    numbers: tuple[str, ...]
    """Other numeric columns of the main table."""
    lookups: tuple[str, ...]
    words: tuple[str, ...]
    ready: Mapping[str, int]
    """Ready-made feature columns -> lag in days."""

    @property
    def numeric(self) -> list[str]:
        """Every numeric column."""
        return [
            *dict.fromkeys((*self.levels, *self.flows, *self.companions, *self.numbers, *self.lookups, *self.ready))
        ]


def roles(contract: Contract, columns: Iterator[str] | None = None) -> Roles:
    """The parts that the contract's columns play; those of `columns` alone where they are given (some are optional)."""
    there = None if columns is None else set(columns)
    targets = {name: t.column for name, t in contract.targets.items()}
    parts: dict[str, list[str]] = {"main": [], "companion": [], "lookup": [], "word": []}
    ready: dict[str, int] = {}
    for table in contract.tables.values():
        for name, column in table.columns.items():
            if (there is not None and name not in there) or name in targets.values():
                continue
            numeric = column.type in ("number", "whole")
            if column.feature and numeric:
                ready[name] = column.lag or 0
            elif numeric:
                parts[table.role].append(name)
            elif column.type == "category":
                parts["word"].append(name)
    return Roles(
        targets=targets,
        levels=tuple(dict.fromkeys(t.column for t in contract.targets.values() if t.nature == "level")),
        flows=tuple(dict.fromkeys(t.column for t in contract.targets.values() if t.nature == "flow")),
        companions=tuple(parts["companion"]),
        numbers=tuple(parts["main"]),
        lookups=tuple(parts["lookup"]),
        words=tuple(parts["word"]),
        ready=ready,
    )


@dataclass(frozen=True)
class Made:
    """A feature of the table with its columns filled in."""

    name: str
    feature: Feature
    arguments: tuple[Any, ...]

    @property
    def everywhere(self) -> str:
        """Its name at every horizon: `*` stands for the days ahead. Recipes name it so."""
        return f"{self.name}_ahead_*" if self.feature.ahead else self.name

    def column(self, horizon: int) -> str:
        """Its column in the table at that horizon."""
        return self.name + ahead_suffix(horizon) if self.feature.ahead else self.name

    def values(self, p: Panel, horizon: int | None) -> Any:
        """Its values by row."""
        arguments = (*self.arguments, horizon) if horizon is not None else self.arguments
        made = self.feature.make(p, *arguments)
        by_row = made if self.feature.over in _BY_ROW else p.rows(made)
        # the last digits are an accident of the order of a sum; a tree that splits on them is one too
        return by_row if by_row.dtype == object else np.round(by_row, 12)


def describe(contract: Contract, columns: Iterator[str] | None = None) -> list[Made]:
    """The table's features with this contract's columns filled in."""
    part = roles(contract, columns)
    groups = (*part.words, MARKET)
    fillings: dict[str, list[tuple[Any, ...]]] = {
        "once": [()],
        "level": [(c,) for c in part.levels],
        "flow": [(c,) for c in part.flows],
        "markup": [(c, by) for c in part.levels for by in part.companions],
        "companion": [(c,) for c in part.companions],
        "number": [(c,) for c in part.numbers],
        "lookup": [(c,) for c in part.lookups],
        "ready": list(part.ready.items()),
        "word": [(c,) for c in part.words],
        "group_level": [(c, by) for c in part.levels for by in groups],
        "group_flow": [(c, by) for c in part.flows for by in groups],
    }
    return [
        Made(feature.name.format(c=(*filled, "")[0], by=(*filled, "", "")[1]), feature, filled)
        for feature in TABLE
        for filled in fillings[feature.over]
    ]


@dataclass(frozen=True)
class FeatureTable:
    """Features of every row of the main table, as an origin, with what is to be forecast from it."""

    x: pd.DataFrame
    """Numbers as float64, words as text. Rows by date and entity."""
    entity: NDArray[np.object_]
    origin: Days
    targets: Mapping[str, Mapping[int, NDArray[np.float64]]]
    """Target -> days ahead -> the value on that day, NaN where there is none."""
    reference: Mapping[str, str]
    """Target -> the column of `x` that its transform divides by: today's level, or the 14-day mean of a flow."""
    floored: Mapping[str, bool]
    """Target -> whether it may be 0, so that its logarithm needs a floor: flows."""
    panel: Panel
    described: tuple[Made, ...]

    def target_day(self, horizon: int) -> Days:
        """The day that each row is a forecast for."""
        return self.origin + np.timedelta64(horizon, "D")

    def columns(self, horizon: int, horizons: tuple[int, ...]) -> list[str]:
        """The features of one horizon: all but those that speak of another horizon's day."""
        others = tuple(ahead_suffix(h) for h in horizons if h != horizon)
        ahead = {m.name for m in self.described if m.feature.ahead}
        return [c for c in self.x.columns if not (c.endswith(others) and c.rpartition("_ahead_")[0] in ahead)]


def build(frame: pd.DataFrame, contract: Contract, horizons: tuple[int, ...]) -> FeatureTable:
    """Features and targets of every row of the main table (with its companions and lookups joined).

    frame: one row an (entity, date); those marked in a column UNSOLD are no sale and change nothing for the others. Raises
    ValueError when it is empty.
    """
    part = roles(contract, iter(frame.columns))
    unsold = UNSOLD if UNSOLD in frame.columns else None
    p = panel(frame, contract.entity, contract.date, part.numeric, list(part.words), unsold)
    made = describe(contract, iter(frame.columns))
    columns: dict[str, Any] = {}
    for one in made:
        if one.feature.ahead:
            columns |= {one.name + ahead_suffix(h): one.values(p, h) for h in horizons}
        else:
            columns[one.name] = one.values(p, None)
    with np.errstate(invalid="ignore"):
        targets = {name: {h: _ahead(p, c, h) for h in horizons} for name, c in part.targets.items()}
    natures = {name: t.nature for name, t in contract.targets.items()}
    return FeatureTable(
        x=pd.DataFrame(columns),
        entity=p.entities[p.row_entity],
        origin=p.start + p.row_day.astype("timedelta64[D]"),
        targets=targets,
        reference={t: f"{c}_today" if natures[t] == "level" else f"{c}_mean_14" for t, c in part.targets.items()},
        floored={t: nature == "flow" for t, nature in natures.items()},
        panel=p,
        described=tuple(made),
    )


def _ahead(p: Panel, column: str, horizon: int) -> NDArray[np.float64]:
    grid = p.value(column)
    later = np.full_like(grid, np.nan)
    later[: max(p.days - horizon, 0)] = grid[horizon:]
    return p.rows(later)
