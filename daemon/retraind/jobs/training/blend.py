"""How much each part of a blend weighs, chosen on validation days and on nothing else.

No part is best at everything: the absolute error wins on WAPE and MAPE, squared errors on RMSE. So weights minimise the
*worst* of the three ratios (WAPE, MAPE, RMSE against the better of persistence and the part that forecasts the level, which
is the usual recipe), with a little of their mean to break ties. The cost is the mean over blocks of the validation days, so
that one odd month does not decide, and weights are pulled to equal ones. Bias is no part of it: each part is
without bias on the days it learnt from, and what the validation days are above those is mostly their season (a cost on it
chose ridge alone for demand, which is 8 % worse on the test days).

Weights are found by exchange: a fixed step is moved from one part to another as long as that helps, then a smaller one. It
has no random start and no tolerance that depends on the machine. For a level (a price) the last value is a part of its own:
what it weighs is damping. A level's blend gets a guard too, see `served_model.blended`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retraind.core.figures import horizon_key
from retraind.jobs.data.features import FeatureTable
from retraind.jobs.training import portfolio, served_model
from retraind.jobs.training.evaluate import Ground
from retraind.jobs.training.portfolio import Fitted

__all__ = ["Chosen", "chosen", "exchange"]

BLOCKS = 6
"""Validation days are cut into so many stretches of equal length."""
STEPS = (0.25, 0.1, 0.05, 0.02)
"""What is moved from one part to another."""
TIE = 0.1
"""What the mean of the three ratios counts beside the worst of them."""
PULL = {"level": 0.02, "flow": 0.1}
"""What the squared distance from equal weights costs. The parts of a price differ by a fifth, and validation days tell
which is better; those of an amount differ by a few percent, and validation days tell mostly their own luck."""
LIMITS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)
"""Of a guard, in logs."""
GUARD_COST = 1.003
"""A guard may cost so much on validation days."""

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Chosen:
    """A blend's recipe with its weights, and what the same fit forecasts with weights it was not chosen by."""

    recipe: dict[str, Any]
    forecasts: Mapping[int, Values]
    """By horizon, of the marked validation rows: each block of days with the weights that the other blocks choose. So a blend
    is ranked beside the other algorithms without having seen the days it is ranked on."""


@dataclass(frozen=True)
class _Rows:
    """What a choice looks at; shape (rows,) each, floor included except in `actual`."""

    actual: Values
    reference: Values
    amounts: Mapping[str, Values]
    persistence: Values
    floor: float

    def of(self, mask: Mask) -> _Rows:
        said = {name: values[mask] for name, values in self.amounts.items()}
        return replace(
            self,
            actual=self.actual[mask],
            reference=self.reference[mask],
            amounts=said,
            persistence=self.persistence[mask],
        )


def chosen(fitted: Fitted, table: FeatureTable, validation: Ground) -> Chosen:
    """Choose weights and guards from a fit of all parts that knows none of the validation days."""
    weights: dict[str, Any] = {}
    guards: dict[str, Any] = {}
    forecasts = {}
    flow = bool(fitted.recipe["transform"]["floor"])
    for horizon, marked in validation.marked.items():
        key = horizon_key(horizon)
        entry = fitted.model["horizons"][key]
        said, reference = portfolio.amounts(fitted, table, horizon, marked)
        rows = _Rows(
            validation.actual[horizon],
            reference,
            said,
            validation.naive["persistence"][horizon],
            float(fitted.model["floor"]),
        )
        answered = np.isfinite(reference) & (reference > 0)
        blocks = [block for block in _blocks(table.origin[marked]) if (block & answered).any()]
        weights[key], guards[key] = _choose([rows.of(block & answered) for block in blocks], flow)
        crossed = np.full(len(reference), np.nan)
        for block in blocks:
            others = [rows.of(other & answered) for other in blocks if other is not block]
            crossed[block] = _forecast(entry, rows.of(block), *_choose(others, flow))
        forecasts[horizon] = crossed
    params = {**fitted.recipe["params"], "weights": weights, "guards": guards}
    return Chosen({**fitted.recipe, "params": params}, forecasts)


def _blocks(origin: NDArray[np.datetime64]) -> list[Mask]:
    return [np.isin(origin, days) for days in np.array_split(np.unique(origin), BLOCKS)]


def _forecast(entry: Mapping[str, Any], rows: _Rows, weights: Mapping[str, float], guard: Any) -> Values:
    parts = {name: {**part, "weight": weights[name]} for name, part in entry["parts"].items()}
    blended = served_model.blended({"parts": parts, "guard": guard}, dict(rows.amounts), rows.reference)
    return np.asarray(np.maximum(blended - rows.floor, 0.0))


def _choose(blocks: Sequence[_Rows], flow: bool) -> tuple[dict[str, float], dict[str, Any] | None]:
    """Weights by part, and the guard."""
    names = list(blocks[0].amounts)
    costs = [_Cost(rows, names) for rows in blocks]
    size, pull = len(names) + (not flow), PULL["flow" if flow else "level"]

    def cost_of(weights: Values) -> float:
        return float(
            np.mean([cost(weights[: len(names)]) for cost in costs]) + pull * ((weights - 1 / size) ** 2).sum()
        )

    found = exchange(cost_of, size)
    weights = {name: round(float(w), 2) for name, w in zip(names, found, strict=False)}
    return weights, None if flow or "level" not in names else _guard(costs, np.array([weights[n] for n in names]))


def exchange(cost: Any, parts: int) -> Values:
    """Weights, not negative and of sum 1, that no exchange of the last of STEPS makes cheaper. cost: (weights) -> float."""
    weights = np.full(parts, 1 / parts)
    best = cost(weights)
    for step in STEPS:
        while True:
            tries = []
            for giver in range(parts):
                moved = min(step, weights[giver])
                for taker in range(parts):
                    if taker != giver and moved > 0:
                        one = weights.copy()
                        one[giver] -= moved
                        one[taker] += moved
                        tries.append((cost(one), one))
            cheapest, one = min(tries, key=lambda t: t[0])
            if not cheapest < best - 1e-6:
                break
            best, weights = cheapest, one
    return weights


class _Cost:
    """The cost of weights on some rows, with what does not depend on them worked out once."""

    def __init__(self, rows: _Rows, names: Sequence[str]) -> None:
        self.rows = rows
        self.start = np.log(rows.reference)
        self.logs = np.column_stack([np.log(np.maximum(rows.amounts[n], 1e-9)) for n in names]) - self.start[:, None]
        self.there = rows.actual > 0
        rivals = [_figures(rows.actual, rows.persistence, self.there)]
        if "level" in rows.amounts:
            self.level = np.log(np.maximum(rows.amounts["level"], 1e-9))
            rivals.append(_figures(rows.actual, np.maximum(rows.amounts["level"] - rows.floor, 0.0), self.there))
        self.rival = np.maximum(np.min(rivals, axis=0), 1e-9)

    def forecast(self, weights: Values, limit: float = np.inf) -> Values:
        mean = self.start + self.logs @ weights
        if np.isfinite(limit):
            mean = np.clip(mean, self.level - limit, self.level + limit)
        return np.maximum(np.exp(mean) - self.rows.floor, 0.0)

    def ratios(self, weights: Values, limit: float = np.inf) -> Values:
        """WAPE, MAPE and RMSE against the better rival's."""
        figures = _figures(self.rows.actual, self.forecast(weights, limit), self.there)
        return np.asarray((figures + 1e-9) / self.rival)

    def __call__(self, weights: Values) -> float:
        ratios = self.ratios(weights)
        return float(ratios.max() + TIE * ratios.mean())


def _figures(actual: Values, forecast: Values, there: Mask) -> Values:
    """WAPE and MAPE, as shares, and RMSE."""
    error = forecast - actual
    total = float(np.abs(actual).sum()) or 1.0
    size = np.abs(error)
    relative = float((size[there] / actual[there]).mean()) if there.any() else 0.0
    return np.array([size.sum() / total, relative, np.sqrt((error**2).mean())])


def _guard(costs: Sequence[_Cost], weights: Values) -> dict[str, Any] | None:
    """The narrowest guard that costs next to nothing on validation days."""
    free = np.mean([cost.ratios(weights) for cost in costs], axis=0)
    for limit in LIMITS:
        if (np.mean([cost.ratios(weights, limit) for cost in costs], axis=0) <= free * GUARD_COST).all():
            return {"part": "level", "limit": limit}
    return None
