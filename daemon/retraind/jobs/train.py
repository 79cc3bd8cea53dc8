"""The job `train`: features, fits, figures, versions.

A *search* finds the parameters of the portfolio's models on folds of the training days (`search`), fits them and, beside
them, the champion's recipe; a *refresh* fits the champion's recipe alone. Every recipe is fitted on the training days, at
the two shortest horizons, to be ranked on the validation days by the rule of `training.choose` (unless it is alone; within
1 % of the best, the settings' order decides); on all days before the test
days, to be judged on them, once and beside persistence and the champion's stand-in; and on all days, which is what is
registered. So no version is scored on days it has seen (POLICIES.md, rule 3).

Everything is named by the request. A training that is asked for again finds its result in STATE/requests, or else its runs
and versions in MLflow, and finishes them: never a second version.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retraind.core.figures import horizon_key
from retraind.core.steps import Champion, Failed, Impossible, Train, Trained, decode_outcome, encode_outcome
from retraind.failpoint import failpoint
from retraind.jobs import registry as mlflow_registry
from retraind.jobs.child import JobContext
from retraind.jobs.training import blend, portfolio, selection
from retraind.jobs.training.choice import Worth, balanced, in_order, stretches, worth
from retraind.jobs.training.estimators import check
from retraind.jobs.training.evaluate import Answered, Ground, filled, measure, relative_wape, scores
from retraind.jobs.training.experiment import (
    Experiment,
    chosen_features,
    fit_before,
    fits,
    grounds,
    open_experiment,
    scored,
    stand_in,
)
from retraind.jobs.training.findings import Found, Judged
from retraind.jobs.training.portfolio import Fitted, Unfit
from retraind.jobs.training.publish import PUBLISH_POINTS, open_training, publish
from retraind.jobs.training.report import close_training
from retraind.jobs.training.search import how_many, search
from retraind.jobs.training.training_log import TrainingLog
from retraind.jobs.training.weighing import Parts, daily, parts_of, short, sliced, weigh
from retraind.whole_file import whole

__all__ = ["TRAIN_POINTS", "find", "fits_to_come", "train"]

TRAIN_POINTS = (*PUBLISH_POINTS, "train.before_result", "train.result_saved")
"""Where a test may kill a training, in their order; all but the last two are reached once a candidate."""

Values = NDArray[np.float64]
Grounds = Mapping[str, tuple[Ground, Ground]]
"""The validation and the test rows by target."""


@dataclass(frozen=True)
class _Ranked:
    """A recipe on the validation days."""

    fitted: Fitted
    """On the days before."""
    on: Ground
    forecasts: Mapping[int, Values]


def train(step: Train, job: JobContext) -> Trained | Impossible | Failed:
    """Train, evaluate and register candidates for every target of the step."""
    result = job.state / "requests" / f"{step.request}.json"
    with mlflow_registry.locked(result.with_suffix(".lock")):  # an orphan and its successor must not both register
        if result.exists():
            saved = decode_outcome(json.loads(result.read_text()))
            assert isinstance(saved, Trained)
            return saved
        outcome = _train(step, job)
        if isinstance(outcome, Trained):
            failpoint("train.before_result")
            with whole(result) as file:
                file.write(json.dumps(encode_outcome(outcome), allow_nan=False).encode())
            failpoint("train.result_saved")
        return outcome


def _train(step: Train, job: JobContext) -> Trained | Impossible:
    for name, space in job.config.training.spaces.items():
        if name != portfolio.BLEND:
            check(name, space)
    log = TrainingLog(job.progress)
    job = replace(job, progress=log.progress)
    log.say(f"training {step.request}", kind=step.kind, data_end=step.data_end, causes="; ".join(step.causes))
    try:
        experiment = open_experiment(step, job, fits_to_come(step, job))
        for part in experiment.split:
            told = {what: size for what, size in part.items() if what != "part"}
            log.say(f"{part['part']} days", **{**told, "categories": len(part["categories"])})
        return _results(step, experiment, {target: grounds(experiment, target) for target in step.targets}, log)
    except Unfit as error:
        log.say("impossible", why=str(error))
        return Impossible(step.request, str(error))


def fits_to_come(step: Train, job: JobContext) -> Callable[[str], None]:
    """Counts what is to come, for the progress line: fits of a horizon, and of each candidate its explanation and its
    registration."""
    models = job.config.training.spaces
    horizons, of = len(job.config.training.horizons), 0
    for target in step.targets:
        has_champion = target in step.champions
        if has_champion and step.kind == "refresh":
            of += 3 * horizons + 2
            continue
        of += how_many(job.config.training, min(2, horizons))
        near = min(2, horizons) if len(models) + has_champion > 1 else 0
        of += sum(2 * horizons + (horizons if name == portfolio.BLEND else near) for name in models)
        of += has_champion * (3 * horizons + near)
        of += 2 * (len(models) + has_champion)
    done = itertools.count()  # fits run beside one another

    def said(stage: str) -> None:
        job.progress(stage, min(next(done), of), of)

    return said


def _results(step: Train, experiment: Experiment, on: Grounds, log: TrainingLog) -> Trained:
    registry = mlflow_registry.connect(experiment.job.settings.mlflow, experiment.job.root)
    publisher = open_training(registry, step, experiment, log)
    notes: list[str] = []
    try:
        results = tuple(
            publish(publisher, find(step, experiment, target, *on[target], notes), notes) for target in step.targets
        )
    except BaseException:
        mlflow_registry.fail_runs(registry, {"request": step.request})
        raise
    cut = experiment.borders
    trained = Trained(
        request=step.request,
        data_end=step.data_end,
        test_from=_date(cut.test),
        test_to=_date(cut.last),
        results=results,
        parent_run=publisher.parent,
        notes=tuple(dict.fromkeys(notes)),
    )
    close_training(publisher, trained)
    return trained


def find(
    step: Train, experiment: Experiment, target: str, validation: Ground, test: Ground, notes: list[str]
) -> Found:
    """Fit and score every recipe of a target; nothing is published. notes: told to, in words."""
    champion = step.champions.get(target)
    judged = _judged(step, experiment, target, validation, test, notes)
    beside = _stand_in(experiment, target, champion, test, notes) if champion else None
    parts = parts_of(experiment.table, test, experiment.job.config.contract)
    judged = _weighed(step, experiment, judged, beside, test, parts)
    notes.extend(_note_concentration(target, test))
    return Found(
        target=target,
        judged=tuple(judged),
        validation=validation,
        test=test,
        baselines={name: scores(test, forecasts) for name, forecasts in test.naive.items()},
        champion_version=champion.version if champion else None,
        champion=beside.scores if beside else None,
        slice_rows=parts.rows,
        champion_slices=sliced(test, beside.forecasts, parts, parts.policies) if beside else {},
    )


def _weighed(
    step: Train, experiment: Experiment, judged: Sequence[Judged], beside: Answered | None, test: Ground, parts: Parts
) -> list[Judged]:
    """The same, each weighed beside the others."""
    champion = step.champions.get(test.target)
    own = portfolio.recipe_id(champion.recipe) if champion else ""
    forecasts = {portfolio.recipe_id(one.recipe): one.forecasts for one in judged}
    searched = [name for name in forecasts if name != own]
    seed = experiment.job.config.training.seed
    found = weigh(test, parts, forecasts, searched, daily(test, beside.forecasts) if beside else None, seed)
    return [replace(one, weighed=found[portfolio.recipe_id(one.recipe)]) for one in judged]


def _judged(
    step: Train, experiment: Experiment, target: str, validation: Ground, test: Ground, notes: list[str]
) -> list[Judged]:
    """The recipes of the target with their figures, the best on the validation days first."""
    champion = step.champions.get(target)
    training = experiment.job.config.training
    if champion and step.kind == "refresh":
        try:
            return [_judge(experiment, _recipe_of(champion, experiment), None, test)]
        except Unfit as error:
            notes.append(f"{_cannot(target, champion, error)}; the portfolio was searched instead")
            champion = None
    ranked_on = validation if len(training.spaces) + (champion is not None) > 1 else None
    features = chosen_features(experiment, target)
    notes.append(selection.told(features, target))
    judged = []
    for algorithm, found in search(experiment, target, notes, features.kept).items():
        recipe = portfolio.recipe(
            algorithm, target, experiment.table, experiment.horizons, training.seed, features.kept, found.params
        )
        one = (
            _judge_blend(experiment, recipe, validation, test)
            if algorithm == portfolio.BLEND
            else _judge(experiment, recipe, ranked_on, test)
        )
        judged.append(replace(one, trials=found.trials, cut_short=found.cut_short))
    if champion and portfolio.recipe_id(champion.recipe) not in {portfolio.recipe_id(one.recipe) for one in judged}:
        try:
            judged.append(_judge(experiment, _recipe_of(champion, experiment), ranked_on, test))
        except Unfit as error:
            notes.append(_cannot(target, champion, error))
    return _ranked(judged)


def _ranked(judged: Sequence[Judged]) -> list[Judged]:
    """The best on the validation days first; who is as good as tied with the best, in the order of the settings."""
    return [judged[i] for i in in_order([one.choice.cost if one.choice else 0.0 for one in judged])]


def _recipe_of(champion: Champion, experiment: Experiment) -> Mapping[str, Any]:
    fits(experiment, champion.recipe)
    return champion.recipe


def _judge(experiment: Experiment, recipe: Mapping[str, Any], validation: Ground | None, test: Ground) -> Judged:
    """A recipe's figures and its fit on all days. validation: None for a recipe that is not to be ranked."""
    began, ranked = time.monotonic(), None
    if validation:
        fitted = fit_before(experiment, recipe, experiment.borders.validation, "to be ranked", experiment.near)
        said = {h: portfolio.forecast(fitted, experiment.table, h, validation.marked[h]) for h in experiment.near}
        ranked = _Ranked(fitted, validation, said)
    return _fitted(experiment, recipe, ranked, test, began)


def _judge_blend(experiment: Experiment, recipe: Mapping[str, Any], validation: Ground, test: Ground) -> Judged:
    """A blend's figures and its fit on all days, with the weights that the validation days choose."""
    began = time.monotonic()
    fitted = fit_before(experiment, recipe, experiment.borders.validation, "to choose weights")
    choice = blend.chosen(fitted, experiment.table, validation)
    said = {h: choice.forecasts[h] for h in experiment.near}
    ranked = _Ranked(portfolio.reweighted(fitted, choice.recipe), validation, said)
    return _fitted(experiment, choice.recipe, ranked, test, began)


def _fitted(
    experiment: Experiment, recipe: Mapping[str, Any], ranked: _Ranked | None, test: Ground, began: float
) -> Judged:
    cut = experiment.borders
    on_validation, against, choice = None, None, None
    by_fold: tuple[Mapping[str, Mapping[str, float | None]], ...] = ()
    if ranked:
        on_validation = scores(ranked.on, ranked.forecasts)
        against = relative_wape(on_validation, scores(ranked.on, ranked.on.naive["persistence"]))
        choice, by_fold = _worth(experiment, ranked), _by_fold(experiment, ranked)
    before = fit_before(experiment, recipe, cut.test, "to be judged")
    tested = scored(experiment, before, test)
    fitted = fit_before(experiment, recipe, cut.end, "on all days")
    seconds = time.monotonic() - began
    return Judged(
        recipe, on_validation, against, tested.scores, fitted, ranked.fitted if ranked else before, seconds, choice=choice,
        forecasts=tested.forecasts, by_fold=by_fold,
    )  # fmt: skip


def _worth(experiment: Experiment, ranked: _Ranked) -> Worth:
    """What the forecasts cost on stretches of the validation days; a row without an answer gets the seasonal naive."""
    training = experiment.job.config.training
    costs: dict[str, list[float]] = {}
    validation = ranked.on
    for h, said in ranked.forecasts.items():
        forecast, persistence = filled(validation, h, said), validation.naive["persistence"][h]
        costs[horizon_key(h)] = [
            balanced(
                training.choose, validation.actual[h][rows], forecast[rows], persistence[rows]
            ) if rows.any() else np.nan
            for rows in _folds(experiment, validation, h)
        ]
    return worth(training.choose, costs)


def _folds(experiment: Experiment, validation: Ground, horizon: int) -> list[NDArray[np.bool_]]:
    """Which of the marked rows each stretch of the validation days holds, oldest first."""
    cut, folds = experiment.borders, experiment.job.config.training.search.folds
    return stretches(cut.validation, cut.test, folds, experiment.table.origin[validation.marked[horizon]])


def _by_fold(experiment: Experiment, ranked: _Ranked) -> tuple[Mapping[str, Mapping[str, float | None]], ...]:
    """Every figure on each stretch."""
    on = ranked.on
    found: list[dict[str, dict[str, float | None]]] = [{} for _ in range(experiment.job.config.training.search.folds)]
    for h, said in ranked.forecasts.items():
        forecast = filled(on, h, said)
        for one, rows in zip(found, _folds(experiment, on, h), strict=True):
            for metric, value in measure(on.actual[h][rows], forecast[rows], on.naive_error).items():
                one.setdefault(metric, {})[horizon_key(h)] = None if value is None else short(value)
    return tuple(found)


def _stand_in(experiment: Experiment, target: str, champion: Champion, test: Ground, notes: list[str]) -> Answered | None:
    try:
        return stand_in(experiment, champion, test)
    except Unfit as error:
        said = _cannot(target, champion, error)
        if not any(note.startswith(said) for note in notes):  # a refresh that became a search has said so, and more
            notes.append(said)
        return None


def _cannot(target: str, champion: Champion, error: Unfit) -> str:
    return f"{target}: the recipe of the champion v{champion.version} cannot be fitted on these data: {error}"


def _note_concentration(target: str, test: Ground) -> list[str]:
    """Say so where two rows carry a quarter of the squared error: an RMSE is then a statement about them."""
    said = []
    for h, actual in test.actual.items():
        squared = np.sort((test.naive["persistence"][h] - actual) ** 2)
        if len(squared) > 50 and squared[-2:].sum() > squared.sum() / 4:
            share = 100 * squared[-2:].sum() / squared.sum()
            said.append(
                f"{target}, {h} days ahead: 2 of {len(squared)} test rows carry {share:.0f} % of persistence's "
                "squared error, read its RMSE with that in mind"
            )
    return said


def _date(day: np.datetime64) -> dt.date:
    return dt.date.fromisoformat(str(day.astype("datetime64[D]")))
