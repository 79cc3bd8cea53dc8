"""The search for the models' parameters: which are tried, on which days, what each scored, and which is taken.

A trial is one set of parameters, fitted and scored on folds that lie one after another within the later half of the
training days: each learns from what was known before its first day and is scored on rows whose origin and target lie in it.
So the gap between the two is the horizon, and no item's future stands beside its past. Validation days then rank what the
search chose, and test days judge it: neither is seen here, and a model with many trials has no advantage over one with few.

All models are tried side by side, fold by fold, the newest first: what they learn from is laid out once for all, and a
search that its guard ends early has tried everything on the same days. Sets that differ in nothing but the number of
iterations or a ridge's penalty are answered for by one fit (`estimators.PATHS`).
"""

from __future__ import annotations

import itertools
import json
import math
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retraind.core.figures import horizon_key
from retraind.core.settings import Choices, Range, Search, Space, Training, fixed_of
from retraind.errors import RetraindError
from retraind.jobs.data.features import FeatureTable, ahead_suffix
from retraind.jobs.data.splits import Borders, known_before, within
from retraind.jobs.training import portfolio, served_model
from retraind.jobs.training.choice import balanced, worth
from retraind.jobs.training.estimators import PATHS, named
from retraind.jobs.training.experiment import Experiment
from retraind.jobs.training.portfolio import SCALES, Lesson, Part
from retraind.jobs.training.side_by_side import side_by_side

__all__ = ["Fold", "Searched", "Trial", "folds", "how_many", "search", "tried"]

ETA = 3
"""Of a halving search: a third goes on, to three times as many days."""
MIDDLE = 3
"""A grid takes so many points of a range."""

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
Params = Mapping[str, Any]


@dataclass(frozen=True)
class Trial:
    """One set of parameters of one model, and what it scored."""

    model: str
    """As `training.models` names it."""
    params: Params
    """The parameters that the search varies, `transform` among them; what is fixed is not repeated."""
    scores: Mapping[str, tuple[float, ...]]
    """Horizon key -> cost by fold, oldest first: errors against persistence's, balanced as `training.choose` says. 1 is doing
    nothing, lower is better. NaN where a fold holds no row."""
    mean: float
    """Of the costs over folds and horizons."""
    std: float
    """Over the folds, of the mean over the horizons."""
    seconds: float
    share: float = 1.0
    """Of the days learnt from, the newest: less than 1 for what a halving search dropped on the way."""
    chosen: bool = False


@dataclass(frozen=True)
class Searched:
    """What a search took for one model."""

    params: Params
    """In the place of the usual ones."""
    trials: tuple[Trial, ...] = ()
    """Empty where there was nothing to choose between."""
    cut_short: bool = False
    """By the guard: the same data and seed may choose otherwise."""


@dataclass(frozen=True)
class Fold:
    """What is scored: rows whose origin and target lie in [start, end)."""

    start: np.datetime64
    end: np.datetime64


def folds(origin: NDArray[np.datetime64], cut: Borders, number: int) -> list[Fold]:
    """The later half of the training days in so many stretches of equal length, oldest first."""
    days = np.unique(origin[origin < cut.validation])
    starts = [part[0] for part in np.array_split(days[len(days) // 2 :], number) if len(part)]
    return [Fold(start, end) for start, end in zip(starts, [*starts[1:], cut.validation], strict=False)]


# ---- what is tried ----


def tried(name: str, space: Space, search: Search, seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The parameters that are fixed, and the sets of those that are not, in the order of their trials.

    A grid that holds more than `search.trials` sets is thinned out by lot, and so is a random search's space where lists
    alone make it up. Draws depend on the seed and the model's name. With one trial nothing is searched: the usual values.
    """
    fixed = fixed_of(space)
    free = {k: c for k, c in space.items() if k not in fixed}
    lot = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if search.trials == 1:
        return fixed, [{}]
    listed = search.kind == "grid" or not any(isinstance(c, Range) for c in free.values())
    if not listed:
        return fixed, _drawn(free, search.trials, lot)
    sets = [dict(zip(free, values, strict=True)) for values in itertools.product(*map(_points, free.values()))]
    if len(sets) > search.trials:
        sets = [sets[i] for i in sorted(lot.choice(len(sets), search.trials, replace=False))]
    return fixed, sets


def _points(choices: Choices) -> Sequence[Any]:
    if not isinstance(choices, Range):
        assert isinstance(choices, tuple)
        return choices
    make = np.geomspace if choices.log else np.linspace
    return list(dict.fromkeys(_as(choices, float(value)) for value in make(choices.low, choices.high, MIDDLE)))


def _drawn(free: Space, trials: int, lot: np.random.Generator) -> list[dict[str, Any]]:
    sets = []
    for _ in range(trials):
        one = {}
        for key, choices in free.items():
            if isinstance(choices, Range):
                low, high = (math.log(c) if choices.log else c for c in (choices.low, choices.high))
                value = float(lot.uniform(low, high))
                one[key] = _as(choices, math.exp(value) if choices.log else value)
            else:
                assert isinstance(choices, tuple)
                one[key] = choices[int(lot.integers(len(choices)))]
        sets.append(one)
    return sets


def _as(choices: Range, value: float) -> int | float:
    """Whole between whole numbers; five digits are more than a search can tell apart."""
    whole = isinstance(choices.low, int) and isinstance(choices.high, int)
    return round(value) if whole else float(f"{value:.5g}")


def how_many(training: Training, near: int) -> int:
    """Fits that the search of one target makes."""
    fits = 0
    for name, space in training.spaces.items():
        sets = len(tried(name, space, training.search, training.seed)[1])
        if sets > 1:
            fits += sum(kept for kept, _ in _rungs(training.search, sets)) * training.search.folds * near
    return fits


def _rungs(search: Search, sets: int) -> list[tuple[int, float]]:
    """How many go on to each rung, and the share of days that they learn from there; one rung but for a halving search."""
    if search.kind != "halving":
        return [(sets, 1.0)]
    number = int(math.log(sets, ETA) + 1e-9) + 1
    return [(math.ceil(sets / ETA**i), ETA ** (i + 1.0 - number)) for i in range(number)]


# ---- the search ----


@dataclass
class _Race:
    """A model's trials while they run."""

    name: str
    fixed: Params
    sets: list[dict[str, Any]]
    rungs: list[tuple[int, float]]
    alive: list[int] = field(default_factory=list)
    costs: list[dict[str, list[float]]] = field(default_factory=list)
    """By set: horizon key -> cost by fold, of the last rung that it was in."""
    seconds: list[float] = field(default_factory=list)
    share: list[float] = field(default_factory=list)
    refused: str = ""
    """What a set said that could not be fitted."""


@dataclass(frozen=True)
class _Cell:
    """One horizon of one fold: what is learnt from, with what share of the days, and what is scored."""

    lesson: Lesson
    seen: served_model.Matrices
    """Of the scored rows."""
    actual: Values
    naive: Values
    reference: Values
    """Floor included."""
    floor: float

    @property
    def size(self) -> int:
        """Bytes that are learnt from."""
        return self.lesson.seen.raw.nbytes

    def forecast(self, one: dict[str, Any], answer: Values) -> Values:
        """From what the estimator of a part answers to the scored rows; persistence where it has none."""
        said = np.maximum(served_model.part_amount(one, answer, self.reference) - self.floor, 0.0)
        return np.where(np.isfinite(said), said, self.naive)


class _OutOfTime(Exception):  # noqa: N818 (not an error: a guard that was asked for)
    """The guard's seconds are over."""


def search(
    experiment: Experiment, target: str, notes: list[str], features: Sequence[str] | None = None
) -> Mapping[str, Searched]:
    """What to fit of each model of the settings: its parameters, and the trials that chose them.

    Appends to notes what a forecaster must know of it. Raises RetraindError when no set of a model's parameters can be
    fitted at all.
    """
    training = experiment.job.config.training
    found: dict[str, Searched] = {}
    races = []
    for name, space in training.spaces.items():
        fixed, sets = tried(name, space, training.search, training.seed)
        if len(sets) > 1:
            none: list[dict[str, list[float]]] = [{} for _ in sets]
            races.append(
                _Race(name, fixed, sets, _rungs(training.search, len(sets)), costs=none, seconds=[0.0] * len(sets),
                      share=[1.0] * len(sets))
            )  # fmt: skip
        found[name] = Searched({**fixed, **(sets[0] if len(sets) == 1 else {})})
    if not races:
        return found
    cut_short = _run(experiment, target, races, notes, features)
    return {**found, **{race.name: _found(race, training, target, notes, cut_short) for race in races}}


def _run(
    experiment: Experiment, target: str, races: list[_Race], notes: list[str], features: Sequence[str] | None
) -> bool:
    """Runs the races. Returns whether the guard ended them."""
    training = experiment.job.config.training
    guard = training.search.seconds
    until = time.monotonic() + guard if guard else math.inf
    for race in races:
        race.alive = list(range(len(race.sets)))
    for rung in range(max(len(race.rungs) for race in races)):
        running = [race for race in races if rung < len(race.rungs)]
        for race in running:
            race.alive = _best(race, training)[: race.rungs[rung][0]]
        done = 0
        try:
            for done, costs in enumerate(_by_fold(experiment, target, running, rung, until, features), start=1):
                for race in running if done == 1 else ():
                    for i in race.alive:
                        race.costs[i], race.share[i] = {}, race.rungs[rung][1]
                for race, i, horizon, cost in costs:
                    race.costs[i].setdefault(horizon, []).insert(0, cost)
        except _OutOfTime:
            notes.append(
                f"{target}: training.search.seconds ({guard} s) ended the search after {done} of {training.search.folds} "
                "folds; a training of the same data may choose other parameters"
            )
            return True
    return False


def _best(race: _Race, training: Training) -> list[int]:
    """Those still alive, the best so far first; at the start all, in their order."""
    if not any(race.costs):
        return race.alive
    return sorted(race.alive, key=lambda i: worth(training.choose, race.costs[i]).cost)


Cost = tuple[_Race, int, str, float]
"""Of one set at one horizon."""


def _by_fold(
    experiment: Experiment, target: str, races: list[_Race], rung: int, until: float, features: Sequence[str] | None
) -> Iterator[list[Cost]]:
    """The costs of a fold, the newest first. Raises _OutOfTime."""
    training = experiment.job.config.training
    table = experiment.table
    cut = folds(table.origin, experiment.borders, training.search.folds)
    naive = table.panel.rows(table.panel.known(experiment.job.config.contract.targets[target].column))
    for number, fold in reversed(list(enumerate(cut, start=1))):
        costs: list[Cost] = []
        for horizon in experiment.near:
            cells = {
                share: _cell(table, target, horizon, fold, share, naive, features)
                for share in {race.rungs[rung][1] for race in races}
            }
            tasks = [
                _Task(
                    race, group, cells[race.rungs[rung][1]], horizon_key(horizon),
                    [f"searching {target}, {race.name}, trial {i + 1} of {len(race.sets)}, fold {number} of {len(cut)}, "
                     f"{horizon} days ahead" for i in group],
                )
                for race in races for group in _groups(race)
            ]  # fmt: skip
            size = max((cell.size for cell in cells.values() if cell), default=0)
            for found in side_by_side(partial(_task_costs, experiment, until), tasks, experiment.job.threads, size):
                costs += found
        yield costs


@dataclass(frozen=True)
class _Task:
    """Sets of one model's parameters that may cost one fit together, at one horizon of one fold."""

    race: _Race
    group: list[int]
    cell: _Cell | None
    horizon: str
    said: list[str]


def _task_costs(experiment: Experiment, until: float, task: _Task, threads: int) -> list[Cost]:
    """What it costs. Raises _OutOfTime."""
    for words in task.said:
        experiment.said(words)
    if time.monotonic() > until:
        raise _OutOfTime
    costs = _costs(task.race, task.group, task.cell, experiment.job.config.training, threads)
    return [(task.race, i, task.horizon, cost) for i, cost in zip(task.group, costs, strict=True)]


def _cell(
    table: FeatureTable,
    target: str,
    horizon: int,
    fold: Fold,
    share: float,
    naive: Values,
    features: Sequence[str] | None,
) -> _Cell | None:
    """None where there is too little to learn from, or nothing to score."""
    column = table.reference[target]
    actual, day = table.targets[target][horizon], table.target_day(horizon)
    learn = known_before(day, fold.start) & ~np.isnan(actual)
    if share < 1:
        days = np.unique(table.origin[learn])
        learn &= table.origin >= days[int(len(days) * (1 - share))] if len(days) else False
    if not learn.any():
        return None
    floor = portfolio.floor_of({horizon: actual}, {horizon: learn}) if table.floored[target] else 0.0
    reference = table.x[column].to_numpy() + floor
    learn &= (actual + floor > 0) & (reference > 0)
    scored = within(table.origin, day, fold.start, fold.end) & ~np.isnan(actual) & ~np.isnan(naive)
    if learn.sum() < portfolio.MIN_ROWS or not scored.any():
        return None
    names = [
        f.replace("_ahead_*", ahead_suffix(horizon)) for f in features or [m.everywhere for m in table.described]
    ]
    x = table.x.loc[learn, names]
    entry = portfolio.inputs(x, tamed=True)
    lesson = Lesson(served_model.Matrices(entry, x), actual[learn] + floor, reference[learn])
    seen = served_model.Matrices(entry, table.x.loc[scored, names])
    return _Cell(lesson, seen, actual[scored], naive[scored], reference[scored], floor)


def _costs(race: _Race, group: Sequence[int], cell: _Cell | None, training: Training, threads: int) -> list[float]:
    """Of sets of parameters that may cost one fit together; infinite where one cannot be fitted."""
    if cell is None:
        return [math.nan] * len(group)
    began = time.monotonic()
    try:
        costs = [
            balanced(training.choose, cell.actual, said, cell.naive)
            for said in _forecasts(race, group, cell, training.seed, threads)
        ]
    except (ValueError, TypeError) as error:  # scikit-learn's own for parameters that do not go together
        if len(group) > 1:
            return [cost for i in group for cost in _costs(race, [i], cell, training, threads)]
        race.refused = race.refused or f"with {_shown(race.sets[group[0]])}: {str(error).splitlines()[0]}"
        return [math.inf]
    for i in group:
        race.seconds[i] += (time.monotonic() - began) / len(group)
    return costs


def _forecasts(race: _Race, group: Sequence[int], cell: _Cell, seed: int, threads: int) -> list[Values]:
    """Of the scored rows, by set; a row without an answer gets persistence."""
    kind, path, parts = named(race.name), PATHS.get(race.name), [_part(race, i) for i in group]
    if len(group) == 1 or path is None:
        fitted = [portfolio.fit_part(part, cell.lesson, seed, True, threads) for part in parts]
        return [cell.forecast(one, model.predict(cell.seen.matrix(bool(one["tamed"])))) for one, model in fitted]
    rest = {k: v for k, v in parts[0].params.items() if k != path.param}
    actual, reference = cell.lesson.actual, cell.lesson.reference
    learnt = served_model.towards(parts[0].scale, actual, reference)
    seen = [cell.lesson.seen.matrix(kind.tames), cell.seen.matrix(kind.tames)]
    values = [part.params[path.param] for part in parts]
    said: dict[Any, Values] = {}
    for value, (own, answer) in path.answers(
        lambda value: kind.make({**rest, path.param: value}, seed, threads), values, seen, learnt
    ):
        said[value] = cell.forecast(portfolio.described(parts[0], actual, reference, learnt, own), answer)
    return [said[value] for value in values]


def _part(race: _Race, i: int) -> Part:
    params = {**named(race.name).params, **race.fixed, **race.sets[i]}
    scale = SCALES[params.pop("transform", "log_ratio")]
    return Part(race.name, scale, params, 1.0)


def _groups(race: _Race) -> list[list[int]]:
    """The sets still alive, those together that one fit answers for."""
    path = PATHS.get(race.name)
    groups: dict[str, list[int]] = {}
    for i in race.alive:
        others = {k: v for k, v in race.sets[i].items() if path is None or k != path.param}
        groups.setdefault(json.dumps(others, sort_keys=True, default=str), []).append(i)
    found = []
    for group in groups.values():
        parts = [_part(race, i).params for i in group]
        rest = {k: v for k, v in parts[0].items() if path and k != path.param}
        together = path and path.holds(rest, [params.get(path.param) for params in parts])
        found += [group] if together else [[i] for i in group]
    return found


def _found(race: _Race, training: Training, target: str, notes: list[str], cut_short: bool) -> Searched:
    """The best of the sets that were tried to the end."""
    worths = [worth(training.choose, costs) for costs in race.costs]
    if race.refused:
        whole = "no set of parameters" if all(not math.isfinite(w.cost) for w in worths) else "not every set of parameters"
        said = f"{race.name}: {whole} of its search space can be fitted, {race.refused}"
        if whole.startswith("no "):
            raise RetraindError(f"training.models: {said}", remedy="Mend its search space in config.yaml")
        notes.append(f"{target}: {said}")
    trials = tuple(
        Trial(
            race.name,
            params,
            {h: tuple(by_fold) for h, by_fold in costs.items()},
            worths[i].mean,
            worths[i].std,
            round(race.seconds[i], 3),
            race.share[i],
        )
        for i, (params, costs) in enumerate(zip(race.sets, race.costs, strict=True))
    )
    best = min(race.alive, key=lambda i: worths[i].cost)
    if not math.isfinite(worths[best].cost):
        why = "the guard came before its first fold was over" if cut_short else "the training days are too few for its folds"
        notes.append(f"{target}: {race.name} was not searched, {why}; its usual parameters are used")
        return Searched(race.fixed, trials, cut_short)
    chosen = tuple(replace(trial, chosen=i == best) for i, trial in enumerate(trials))
    return Searched({**race.fixed, **race.sets[best]}, chosen, cut_short)


def _shown(params: Params) -> str:
    return ", ".join(f"{key} {value}" for key, value in params.items())
