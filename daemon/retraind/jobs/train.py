"""The job `train`: features, fits, figures, versions.

For each target every recipe of the portfolio is fitted three times: on the training days, at the two shortest horizons, to
be ranked on the validation days; on all days before the test days, to be judged on them, once and beside persistence and
the champion's recipe; and on all days, which is what is registered. The champion's recipe is fitted here too, on days as
much older as its data really are (POLICIES.md, rule 3), so that no version is scored on days it has seen.

Everything is named by the request. A training that is asked for again finds its result in STATE/requests, or else its runs
and versions in MLflow, and finishes them: never a second version.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.metadata
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from skops.io import dump

import retraind
from retraind.core.binding import unbind
from retraind.core.figures import METRICS, Candidate, Scores, TargetResult, horizon_key
from retraind.core.steps import Champion, Failed, Impossible, Train, Trained, decode_outcome, encode_outcome
from retraind.failpoint import failpoint
from retraind.jobs import registry as mlflow_registry
from retraind.jobs.child import JobContext
from retraind.jobs.data.features import FeatureTable, build
from retraind.jobs.data.splits import Borders, borders, known_before
from retraind.jobs.data.store import main_frame
from retraind.jobs.registry import Registry
from retraind.jobs.training import portfolio, served_model
from retraind.jobs.training.evaluate import Ground, ground, relative_wape, scores
from retraind.jobs.training.portfolio import Fitted, Unfit

__all__ = ["TRAIN_POINTS", "train"]

TRAIN_POINTS = (
    "train.before_log",
    "train.logged",
    "train.before_register",
    "train.registered",
    "train.before_result",
    "train.result_saved",
)
"""Where a test may kill a training, in their order; all but the last two are reached once a candidate."""


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
            _write(result, json.dumps(encode_outcome(outcome), allow_nan=False))
            failpoint("train.result_saved")
        return outcome


@dataclass(frozen=True)
class _Task:
    """What every part of a training knows."""

    step: Train
    job: JobContext
    table: FeatureTable
    borders: Borders
    said: Callable[[str], None]
    """Called before each fit with what it is."""

    @property
    def horizons(self) -> tuple[int, ...]:
        return self.job.config.training.horizons

    def column(self, target: str) -> str:
        return self.job.config.contract.targets[target].column

    @property
    def near(self) -> tuple[int, ...]:
        """The two shortest horizons: what candidates are ranked by. They are what policies ask first, and each more costs
        a fit of every model."""
        return tuple(sorted(self.horizons)[:2])

    def fit(self, recipe: Mapping[str, Any], before: np.datetime64, what: str, near: bool = False) -> Fitted:
        horizons = self.near if near else self.horizons
        name = f"fitting {recipe['target']}, {recipe['algorithm']}, {what}"
        return portfolio.fit(
            recipe,
            self.table,
            {h: known_before(self.table.target_day(h), before) for h in horizons},
            self.job.threads,
            lambda h: self.said(f"{name}, {h} days ahead"),
        )


@dataclass(frozen=True)
class _Judged:
    """A recipe with its figures and the fit that is to be registered."""

    recipe: Mapping[str, Any]
    validation: Scores
    worth: float
    """Mean WAPE against persistence's on validation days at the two shortest horizons: what candidates are ranked by."""
    test: Scores
    fitted: Fitted
    seconds: float


def _train(step: Train, job: JobContext) -> Trained | Impossible:
    job.progress("reading the store", 0, 1)
    frame = main_frame(job.state, step.store, job.config.contract, step.data_end)
    days = frame[job.config.contract.date].nunique()
    needed = job.config.training.min_days
    if days < needed:
        return Impossible(
            step.request, f"the store holds {days} days of sales, a training needs {needed} (training.min_days)"
        )
    job.progress("building features", 0, 1)
    table = build(frame, job.config.contract, job.config.training.horizons)
    try:
        cut = borders(table.origin, job.config.training.split)
        task = _Task(step, job, table, cut, _counter(step, job))
        grounds = {target: _grounds(task, target) for target in step.targets}
        return _results(task, grounds)
    except Unfit as error:
        return Impossible(step.request, f"{error} (the store holds {days} days of sales)")
    except ValueError as error:
        if "dates leave a part empty" not in str(error):
            raise
        return Impossible(step.request, str(error))


def _counter(step: Train, job: JobContext) -> Callable[[str], None]:
    training = job.config.training
    horizons, candidates = len(training.horizons), len(training.models) * len(step.targets)
    of = candidates * (2 * horizons + min(2, horizons)) + horizons * len(step.champions)
    done = -1

    def said(stage: str) -> None:
        nonlocal done
        done += 1
        job.progress(stage, min(done, of), of)

    return said


def _grounds(task: _Task, target: str) -> tuple[Ground, Ground]:
    """The validation and the test rows of a target. Raises Unfit when a horizon has none."""
    cut, column = task.borders, task.column(target)
    made = []
    for name, start, end in (("validation", cut.validation, cut.test), ("test", cut.test, cut.end)):
        rows = ground(task.table, target, column, task.horizons, start, end)
        empty = [h for h in task.horizons if not rows.rows[horizon_key(h)].rows]
        if empty:
            days = int((end - start).astype(np.int64))
            raise Unfit(f"no {name} row of {target} {empty[0]} days ahead: the {name} part spans {days} days")
        made.append(rows)
    return made[0], made[1]


def _results(task: _Task, grounds: Mapping[str, tuple[Ground, Ground]]) -> Trained:
    registry = mlflow_registry.connect(task.job.settings.mlflow, task.job.root)
    step = task.step
    parent = mlflow_registry.open_run(
        registry,
        f"training {step.request}",
        {"request": step.request, "run": "training"},
        {**_data_tags(task), "causes": "; ".join(step.causes)[:500]},
    )
    notes: list[str] = []
    try:
        results = tuple(_target(task, registry, parent, target, *grounds[target], notes) for target in step.targets)
    except BaseException:
        mlflow_registry.fail_runs(registry, {"request": step.request})
        raise
    mlflow_registry.finish_run(registry, parent)
    return Trained(
        request=step.request,
        data_end=step.data_end,
        test_from=_date(task.borders.test),
        test_to=_date(task.borders.last),
        results=results,
        parent_run=parent,
        notes=tuple(notes),
    )


def _target(
    task: _Task,
    registry: Registry,
    parent: str,
    target: str,
    validation: Ground,
    test: Ground,
    notes: list[str],
) -> TargetResult:
    training = task.job.config.training
    recipes = [portfolio.recipe(a, target, task.table, task.horizons, training.seed) for a in training.models]
    baselines = {name: scores(test, forecasts) for name, forecasts in test.naive.items()}
    champion = task.step.champions.get(target)
    stand_in = _stand_in(task, target, champion, test, notes) if champion else None
    judged = sorted((_judge(task, r, validation, test) for r in recipes), key=lambda j: j.worth)
    notes.extend(_note_concentration(target, test))
    candidates = tuple(
        _publish(task, registry, parent, one, rank, baselines) for rank, one in enumerate(judged, start=1)
    )
    return TargetResult(
        target=target,
        model=task.job.settings.mlflow.name_of(task.job.pipeline, target),
        candidates=candidates,
        baselines=baselines,
        champion_version=champion.version if champion else None,
        champion=stand_in,
    )


def _judge(task: _Task, recipe: Mapping[str, Any], validation: Ground, test: Ground) -> _Judged:
    began = time.monotonic()
    cut = task.borders
    ranked = _scored(task, task.fit(recipe, cut.validation, "to be ranked", near=True), validation)
    tested = _scored(task, task.fit(recipe, cut.test, "to be judged"), test)
    fitted = task.fit(recipe, cut.end, "on all days")
    worth = relative_wape(ranked, scores(validation, validation.naive["persistence"]))
    return _Judged(recipe, ranked, worth, tested, fitted, time.monotonic() - began)


def _scored(task: _Task, fitted: Fitted, on: Ground) -> Scores:
    """On the horizons that were fitted."""
    fits = [h for h in task.horizons if horizon_key(h) in fitted.rows]
    return scores(on, {h: portfolio.forecast(fitted, task.table, h, on.marked[h]) for h in fits})


def _stand_in(task: _Task, target: str, champion: Champion, test: Ground, notes: list[str]) -> Scores | None:
    """The champion's recipe on the test days, fitted on days as much older as the champion's data are."""
    older = np.timedelta64(max((task.step.data_end - champion.data_end).days, 0), "D")
    try:
        covered = [h for h in task.horizons if h in champion.recipe.get("horizons", ())]
        if covered != list(task.horizons):
            raise Unfit("it has no estimator for every horizon asked for now")
        return _scored(task, task.fit(champion.recipe, task.borders.test - older, "the champion's recipe"), test)
    except (Unfit, KeyError) as error:
        notes.append(
            f"{target}: the recipe of the champion v{champion.version} cannot be fitted on these data: {error}"
        )
        return None


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


# ---- what is logged and registered ----


def _publish(
    task: _Task,
    registry: Registry,
    parent: str,
    one: _Judged,
    rank: int,
    baselines: Mapping[str, Scores],
) -> Candidate:
    """Log a candidate and register it; what an earlier try left is found by its tags and finished."""
    step, algorithm, target = task.step, str(one.recipe["algorithm"]), str(one.recipe["target"])
    model = task.job.settings.mlflow.name_of(task.job.pipeline, target)
    recipe_id = portfolio.recipe_id(one.recipe)
    key = {"request": step.request, "target": target, "algorithm": algorithm}
    tags = {**_data_tags(task), "recipe": recipe_id}
    failpoint("train.before_log")
    run = mlflow_registry.open_run(registry, f"{target} {algorithm}", {**key, "run": "candidate"}, tags, parent)
    mlflow_registry.log_run(registry, run, _params(one), _metrics(one), _files(task, one, baselines), {})
    uri = _log_model(task, registry, run, one)
    failpoint("train.logged")
    digest = mlflow_registry.model_digest(uri)
    version = mlflow_registry.version_of(registry, model, key)
    if version is None:
        failpoint("train.before_register")
        version = mlflow_registry.register(
            registry,
            model,
            uri,
            run,
            {**key, **tags, "stage": "None", "digest": digest},
        )
    mlflow_registry.finish_run(registry, run)
    failpoint("train.registered")
    figures = {f"validation_{m}_{h}": v for m in ("wape", "bias") for h, v in one.validation.values[m].items()}
    return Candidate(
        version=version.number,
        run_id=run,
        algorithm=algorithm,
        recipe=one.recipe,
        recipe_id=recipe_id,
        model_digest=digest,
        rank=rank,
        test=one.test,
        figures={**figures, "validation_against_persistence": one.worth},
    )


def _log_model(task: _Task, registry: Registry, run: str, one: _Judged) -> str:
    folder = task.job.folder / "models" / run
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(json.dumps(unbind(one.fitted.model), allow_nan=False))
    dump(dict(one.fitted.estimators), folder / "estimators.skops")
    parts = one.fitted.model["horizons"].values()
    words = sorted({w for part in parts for w in part["words"]})
    numbers = sorted({c for part in parts for c in part["columns"]} | {one.fitted.model["reference"]})
    return mlflow_registry.log_model(
        registry,
        run,
        f"{one.recipe['target']}-{one.recipe['algorithm']}",
        Path(served_model.__file__),
        {"model": folder / "model.json", "estimators": folder / "estimators.skops"},
        [*((c, False) for c in numbers), *((w, True) for w in words)],
        list(one.fitted.model["horizons"]),
    )


def _data_tags(task: _Task) -> dict[str, str]:
    files = ",".join(f.sha256 for f in task.step.store)
    return {
        "pipeline": task.job.pipeline,
        "data": hashlib.sha256(files.encode()).hexdigest()[:16],
        "data_end": task.step.data_end.isoformat(),
        "code": retraind.__version__,
    }


def _params(one: _Judged) -> dict[str, Any]:
    return {
        "algorithm": one.recipe["algorithm"],
        "target": one.recipe["target"],
        "seed": one.recipe["seed"],
        "transform": one.recipe["transform"]["kind"],
        "features": len(one.recipe["features"]),
        "horizons": ",".join(map(str, one.recipe["horizons"])),
        **one.recipe["params"],
    }


def _metrics(one: _Judged) -> dict[str, float]:
    return {
        f"{part}_{metric}_{h}": value
        for part, figures in (("test", one.test), ("validation", one.validation))
        for metric in METRICS
        for h, value in figures.values[metric].items()
        if value is not None
    }


def _files(task: _Task, one: _Judged, baselines: Mapping[str, Scores]) -> dict[str, Any]:
    training = task.job.config.training
    return {
        "evaluation.json": {
            "test": unbind(one.test),
            "validation": unbind(one.validation),
            "baselines": unbind(baselines),
            "validation_against_persistence": one.worth,
            "split": {name: str(getattr(task.borders, name)) for name in ("first", "validation", "test", "last")},
        },
        "feature_info.json": {
            "features": [
                {"name": m.name, "group": m.feature.group, "reads": m.feature.reads, "each_horizon": m.feature.ahead}
                for m in task.table.described
            ],
            "used": {h: part["columns"] for h, part in one.fitted.model["horizons"].items()},
        },
        "model_metadata.json": {
            "request": task.step.request,
            "recipe": dict(one.recipe),
            "seed": training.seed,
            "code": retraind.__version__,
            "data_end": task.step.data_end.isoformat(),
            "data": [{"table": f.table, "sha256": f.sha256, "rows": f.rows} for f in task.step.store],
            "rows_learnt": dict(one.fitted.rows),
            "seconds": round(one.seconds, 2),
            "threads": task.job.threads,
            "libraries": {
                name: importlib.metadata.version(name)
                for name in ("mlflow", "scikit-learn", "skops", "numpy", "pandas", "scipy", "holidays")
            },
        },
    }


def _date(day: np.datetime64) -> dt.date:
    return dt.date.fromisoformat(str(day.astype("datetime64[D]")))


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    beside = path.with_suffix(".part")
    with beside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
