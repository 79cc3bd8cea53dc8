"""Features of every (entity, origin day with a sale): the table of `definitions` with a contract's columns filled in.

The table of values holds all of them, and beside them the columns as they came: what a model of another time or another
setting learnt from must be there when it forecasts. Which of them a new model may use is `described`; which it does use is
the recipe's affair: see `training.selection`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retraind.jobs.data.definitions import AS_IT_CAME, TABLE, Feature, Sign
from retraind.jobs.data.panel import MARKET, Panel, panel
from retraind.jobs.data.store import UNSOLD
from retraind.jobs.memory import give_back
from retraind.settings import Contract, FeatureSource

__all__ = ["Feature", "FeatureTable", "Made", "Roles", "ahead_suffix", "build", "describe", "roles"]

Days = NDArray[np.datetime64]


def ahead_suffix(horizon: int) -> str:
    """The end of the name of a feature that speaks of the day so far ahead: 7 -> `_ahead_7`."""
    return f"_ahead_{horizon}"


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
    name_en: str
    name_zh: str
    feature: Feature
    arguments: tuple[Any, ...]

    @property
    def everywhere(self) -> str:
        """Its name at every horizon: `*` stands for the days ahead. Recipes name it so."""
        return f"{self.name}_ahead_*" if self.feature.ahead else self.name

    def column(self, horizon: int) -> str:
        """Its column in the table at that horizon."""
        return self.name + ahead_suffix(horizon) if self.feature.ahead else self.name

    def sign(self, nature: str) -> Sign:
        """Which way the forecast of a target of that nature (level, flow) is expected to go when the feature rises."""
        return self.feature.sign[nature == "flow"]

    def values(self, p: Panel, horizon: int | None) -> Any:
        """Its values by row."""
        arguments = (*self.arguments, horizon) if horizon is not None else self.arguments
        made = self.feature.make(p, *arguments)
        by_row = p.rows(made) if made.ndim == 2 else made
        # the last digits are an accident of the order of a sum; a tree that splits on them is one too
        return by_row if by_row.dtype == object else np.round(by_row, 12)


def describe(contract: Contract, columns: Iterator[str] | None = None, source: FeatureSource = "built") -> list[Made]:
    """The features of a source with this contract's columns filled in; those of `columns` alone where they are given."""
    part = roles(contract, columns)
    groups = (*part.words, MARKET)
    fillings: dict[str, list[tuple[Any, ...]]] = {
        "once": [()],
        "level": [(c,) for c in part.levels],
        "flow": [(c,) for c in part.flows],
        "level and flow": [(c, by) for c in part.levels for by in part.flows],
        "level and companion": [(c, by) for c in part.levels for by in part.companions],
        "companion": [(c,) for c in part.companions],
        "number": [(c,) for c in part.numbers],
        "lookup": [(c,) for c in part.lookups],
        "level and lookup": [(c, by) for c in part.levels for by in part.lookups],
        "flow and lookup": [(c, by) for c in part.flows for by in part.lookups],
        "ready": list(part.ready.items()),
        "word": [(c,) for c in part.words],
        "level by group": [(c, by) for c in part.levels for by in groups],
        "flow by group": [(c, by) for c in part.flows for by in groups],
        "column": [(c,) for c in (*part.levels, *part.flows, *part.companions, *part.numbers)],
    }
    table = TABLE if source == "built" else AS_IT_CAME
    return [_filled(feature, filled, contract) for feature in table for filled in fillings[feature.over]]


def _filled(feature: Feature, arguments: tuple[Any, ...], contract: Contract) -> Made:
    columns = [a for a in arguments if isinstance(a, str)]

    def fill(pattern: str, *, zh: bool | None = None) -> str:
        words = columns if zh is None else [_called(contract, column, zh=zh) for column in columns]
        return pattern.format(c=(*words, "")[0], by=(*words, "", "")[1])

    return Made(fill(feature.name), fill(feature.en, zh=False), fill(feature.zh, zh=True), feature, arguments)


def _called(contract: Contract, column: str, *, zh: bool) -> str:
    """What the contract calls a column; its own name where it does not say."""
    if column == MARKET:
        return "全部品种" if zh else "all items"
    spoken = contract.names.get(column)
    return (spoken.zh if zh else spoken.en) if spoken else column.replace("_", " ")


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
    """What a new recipe may use."""
    made: tuple[Made, ...]
    """What else it holds too, by name once: an older recipe may use it."""

    def target_day(self, horizon: int) -> Days:
        """The day that each row is a forecast for."""
        return self.origin + np.timedelta64(horizon, "D")

    def columns(self, horizon: int) -> list[str]:
        """The columns of what a new recipe may use at a horizon."""
        return [made.column(horizon) for made in self.described]


def build(
    frame: pd.DataFrame, contract: Contract, horizons: tuple[int, ...], source: FeatureSource = "built"
) -> FeatureTable:
    """Features and targets of every row of the main table (with its companions and lookups joined).

    frame: one row an (entity, date); those marked in a column UNSOLD are no sale and change nothing for the others.
    source: which features a new recipe may use. Raises ValueError when the frame is empty.
    """
    part = roles(contract, iter(frame.columns))
    unsold = UNSOLD if UNSOLD in frame.columns else None
    p = panel(frame, contract.entity, contract.date, part.numeric, list(part.words), unsold)
    built = describe(contract, iter(frame.columns), "built")
    came = describe(contract, iter(frame.columns), "from_drop")
    mine = built if source == "built" else came
    made = {one.name: one for one in (*built, *came, *mine)}  # where both have one, it is described as the source does
    columns: dict[str, Any] = {}
    for one in made.values():
        if one.feature.ahead:
            columns |= {one.column(h): one.values(p, h) for h in horizons}
        else:
            columns[one.name] = one.values(p, None)
    p.memo.clear()  # grids by the dozen, and the fits need the room
    with np.errstate(invalid="ignore"):
        targets = {name: {h: _ahead(p, c, h) for h in horizons} for name, c in part.targets.items()}
    natures = {name: t.nature for name, t in contract.targets.items()}
    x = pd.DataFrame(columns)
    columns.clear()
    give_back()
    return FeatureTable(
        x=x,
        entity=p.entities[p.row_entity],
        origin=p.start + p.row_day.astype("timedelta64[D]"),
        targets=targets,
        reference={t: f"{c}_today" if natures[t] == "level" else f"{c}_mean_14" for t, c in part.targets.items()},
        floored={t: nature == "flow" for t, nature in natures.items()},
        panel=p,
        described=tuple(mine),
        made=tuple(made.values()),
    )


def _ahead(p: Panel, column: str, horizon: int) -> NDArray[np.float64]:
    grid = p.value(column)
    later = np.full_like(grid, np.nan)
    later[: max(p.days - horizon, 0)] = grid[horizon:]
    return p.rows(later)
