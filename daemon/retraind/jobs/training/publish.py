"""What a training leaves in MLflow and in the model cache: runs, figures, files, versions.

Everything bears the tags of its request, its target and its recipe, so that what an earlier try left is found and finished.
The files that a version serves are kept a second time, in STATE/models/DIGEST, where the daemon's own forecasts read them
without MLflow.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import pickle
import shutil
import traceback
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skops.io import dump

import retraind
from retraind.core.binding import unbind
from retraind.core.figures import METRICS, Candidate, RowSet, Scores, SliceFigures, TargetResult
from retraind.core.steps import Train, Trained
from retraind.failpoint import failpoint
from retraind.jobs import registry as mlflow_registry
from retraind.jobs.registry import DataInput, Registry
from retraind.jobs.training import model_cache, portfolio, served_model
from retraind.jobs.training.choice import Worth
from retraind.jobs.training.estimators import distribution
from retraind.jobs.training.evaluate import Ground
from retraind.jobs.training.experiment import Experiment
from retraind.jobs.training.explanations import BRIEF, FULL, Explanation, explain
from retraind.jobs.training.portfolio import Fitted
from retraind.jobs.training.search import Trial
from retraind.jobs.training.training_log import TrainingLog
from retraind.jobs.training.weighing import Weighed, keep, losses_of

__all__ = ["PUBLISH_POINTS", "Found", "Judged", "Page", "Publisher", "close_training", "open_training", "publish"]

PUBLISH_POINTS = ("train.before_log", "train.logged", "train.cached", "train.before_register", "train.registered")
"""Where a test may kill it, in their order, once a candidate."""
LINEAR = ("linear_regression", "ridge")
TRIALS = "trials.json"
_MLFLOW_TYPES = {"date": "datetime", "text": "string", "category": "string", "number": "double", "whole": "long"}


@dataclass(frozen=True)
class Judged:
    """A recipe with its figures and the fit that is to be registered."""

    recipe: Mapping[str, Any]
    validation: Scores | None
    """None when there was nothing to rank it against."""
    worth: float | None
    """Mean WAPE against persistence's on validation days at the two shortest horizons."""
    test: Scores
    fitted: Fitted
    seconds: float
    trials: tuple[Trial, ...] = ()
    """What the search tried on the way to the recipe, in its order; empty where nothing was searched."""
    cut_short: bool = False
    """The search was, by its guard: the same data and seed may choose otherwise."""
    choice: Worth | None = None
    """What candidates are put in order by, on stretches of the validation days; None when there was nothing to rank against."""
    forecasts: Mapping[int, NDArray[np.float64]] = field(default_factory=dict, repr=False)
    """Of the test rows, by horizon."""
    weighed: Weighed = field(default_factory=Weighed)


@dataclass(frozen=True)
class Found:
    """What a training found for one target, before any of it is published."""

    target: str
    judged: tuple[Judged, ...]
    """The best on the validation days first."""
    validation: Ground
    test: Ground
    baselines: Mapping[str, Scores]
    champion_version: int | None = None
    champion: Scores | None = None
    """Of the champion's recipe on the test days; None when there is none or it cannot be fitted."""
    slice_rows: Mapping[str, Mapping[str, Mapping[str, RowSet]]] = field(default_factory=dict)
    champion_slices: SliceFigures = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """A target as it is reported."""

    found: Found
    explained: Mapping[str, tuple[Explanation, ...]]
    """By recipe id; the shortest horizon first."""
    result: TargetResult | None = None
    """None until its candidates are registered."""


@dataclass(frozen=True)
class Publisher:
    """A training whose run is open."""

    registry: Registry
    step: Train
    experiment: Experiment
    log: TrainingLog
    parent: str
    """Its run."""
    data: tuple[DataInput, ...]
    """The tables that it reads."""
    pages: list[Page] = field(default_factory=list)
    """Of the targets that are done."""

    def model(self, target: str) -> str:
        """The registered name."""
        job = self.experiment.job
        return job.settings.mlflow.name_of(job.pipeline, target)


def open_training(registry: Registry, step: Train, experiment: Experiment, log: TrainingLog) -> Publisher:
    """Open the run that the candidates' runs are nested in."""
    parent = mlflow_registry.open_run(
        registry,
        f"training {step.request}",
        {"request": step.request, "run": "training"},
        {**_data_tags(step, experiment), "causes": "; ".join(step.causes)[:500]},
    )
    return Publisher(registry, step, experiment, log, parent, _data(step, experiment))


def _data(step: Train, experiment: Experiment) -> tuple[DataInput, ...]:
    """Each table of the store as one input, named by the hashes of its files: nothing is read or copied for it."""
    contract, state = experiment.job.config.contract, experiment.job.state
    inputs = []
    for name, table in contract.tables.items():
        files = [f for f in step.store if f.table == name]
        if files:
            digest = hashlib.sha256(",".join(f.sha256 for f in files).encode()).hexdigest()[:16]
            columns = [(c, _MLFLOW_TYPES[kind.type]) for c, kind in table.columns.items()]
            rows = sum(f.rows for f in files)
            inputs.append(DataInput(name, digest, (state.resolve() / "store").as_uri(), rows, columns))
    return tuple(inputs)


def publish(publisher: Publisher, found: Found, notes: list[str]) -> TargetResult:
    """Explain, log and register the candidates of a target. notes: told to, in words."""
    explained = {}
    for rank, one in enumerate(found.judged, start=1):
        made = _explained(publisher, found, one, rank, notes)
        if made:
            explained[portfolio.recipe_id(one.recipe)] = made
    page = Page(found, explained)
    forecasts = {portfolio.recipe_id(one.recipe): one.forecasts for one in found.judged}
    keep(losses_of(publisher.experiment.job.state, publisher.step.request, found.target), forecasts, found.test)
    candidates = tuple(_publish(publisher, page, one, rank) for rank, one in enumerate(found.judged, start=1))
    result = TargetResult(
        target=found.target,
        model=publisher.model(found.target),
        candidates=candidates,
        baselines=found.baselines,
        champion_version=found.champion_version,
        champion=found.champion,
        slice_rows=found.slice_rows,
        champion_slices=found.champion_slices,
    )
    publisher.pages.append(replace(page, result=result))
    return result


def _explained(
    publisher: Publisher, found: Found, one: Judged, rank: int, notes: list[str]
) -> tuple[Explanation, ...]:
    """The best in full, a linear model too, which costs next to nothing; a refresh and the others without SHAP values."""
    experiment, algorithm = publisher.experiment, str(one.recipe["algorithm"])
    experiment.job.progress(f"explaining {found.target}, {algorithm}", 1, 1)
    is_full = publisher.step.kind == "search" and (rank == 1 or algorithm in LINEAR)
    horizons = experiment.near if is_full and rank == 1 else experiment.near[:1]
    try:
        return tuple(
            explain(experiment, one.recipe, found.validation, h, FULL if is_full else BRIEF) for h in horizons
        )
    except Exception as error:  # noqa: BLE001 (a training is not lost for its explanation; the note and the log say so)
        traceback.print_exc()
        notes.append(f"{found.target}, {algorithm}: not explained: {type(error).__name__}: {error}")
        return ()


def close_training(publisher: Publisher, trained: Trained) -> None:
    """Log what is the whole training's, and end its run."""
    step, log = publisher.step, publisher.log
    log.say("trained", seconds=log.seconds)
    mlflow_registry.log_run(
        publisher.registry,
        publisher.parent,
        {"targets": ",".join(step.targets), "kind": step.kind, "store_files": len(step.store)},
        {"seconds": log.seconds},
        {"training.json": _json(unbind(trained)), f"logs/training_{step.request}.log": log.text},
        {},
        publisher.data,
    )
    mlflow_registry.finish_run(publisher.registry, publisher.parent)


def _publish(publisher: Publisher, page: Page, one: Judged, rank: int) -> Candidate:
    """Log a candidate, keep its files, register it; what an earlier try left is finished."""
    registry, step = publisher.registry, publisher.step
    algorithm, target = str(one.recipe["algorithm"]), str(one.recipe["target"])
    publisher.experiment.job.progress(f"registering {target}, {algorithm}", 1, 1)
    recipe_id = portfolio.recipe_id(one.recipe)
    key = {"request": step.request, "target": target, "recipe": recipe_id}
    tags = {**_data_tags(step, publisher.experiment), "algorithm": algorithm, "kind": step.kind}
    failpoint("train.before_log")
    run = mlflow_registry.open_run(
        registry, f"{target} {algorithm}", {**key, "run": "candidate"}, tags, publisher.parent
    )
    files = _files(publisher, page, one, rank)
    tables = [TRIALS] if TRIALS in files else []
    mlflow_registry.log_run(registry, run, _params(one), _metrics(one), files, {}, publisher.data, tables)
    uri = _log_model(publisher, run, one)
    failpoint("train.logged")
    with mlflow_registry.downloaded(uri) as folder:
        digest = mlflow_registry.digest_of(folder)
        model_cache.keep(publisher.experiment.job.state, digest, folder)
    failpoint("train.cached")
    version = mlflow_registry.version_of(registry, publisher.model(target), key)
    if version is None:
        failpoint("train.before_register")
        version = mlflow_registry.register(
            registry, publisher.model(target), uri, run, {**key, **tags, "stage": "None", "digest": digest}
        )
    mlflow_registry.finish_run(registry, run)
    figures = _figures(one)
    publisher.log.say(f"registered {version.model} v{version.number}", algorithm=algorithm, rank=rank,
                      validation_against_persistence=one.worth, seconds=one.seconds, run=run)  # fmt: skip
    failpoint("train.registered")
    return Candidate(
        version=version.number,
        run_id=run,
        algorithm=algorithm,
        recipe=one.recipe,
        recipe_id=recipe_id,
        model_digest=digest,
        rank=rank,
        test=one.test,
        figures={**figures, **one.weighed.figures},
        significance=one.weighed.significance,
        intervals=one.weighed.intervals,
        slices=one.weighed.slices,
    )


def _figures(one: Judged) -> dict[str, float | None]:
    figures: dict[str, float | None] = {}
    if one.validation is not None:
        values = one.validation.values
        figures |= {f"validation_{m}_{h}": v for m in ("wape", "bias") for h, v in values[m].items()}
        figures["validation_against_persistence"] = one.worth
    if one.choice:
        figures |= {"validation_cost": one.choice.cost, "validation_std": one.choice.std}
    best = next((trial for trial in one.trials if trial.chosen), None)
    if best:
        figures |= {"search_trials": len(one.trials), "search_cost": best.mean, "search_std": best.std}
    if one.cut_short:
        figures["search_cut_short"] = 1.0
    return figures


def _log_model(publisher: Publisher, run: str, one: Judged) -> str:
    # named by the run, so that what a killed try left here is overwritten by the next and removed
    folder = publisher.experiment.job.state / "models" / f"{run}.part"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / model_cache.MODEL).write_text(json.dumps(unbind(one.fitted.model), allow_nan=False))
    # a third of the size; more of it gains 4 % and takes twice as long
    dump(
        dict(one.fitted.estimators),
        folder / model_cache.ESTIMATORS,
        compression=zipfile.ZIP_DEFLATED,
        compresslevel=1,
    )
    parts = one.fitted.model["horizons"].values()
    words = sorted({w for part in parts for w in part["words"]})
    numbers = sorted({c for part in parts for c in part["columns"]} | {one.fitted.model["reference"]})
    uri = mlflow_registry.log_model(
        publisher.registry,
        run,
        f"{one.recipe['target']}-{one.recipe['algorithm']}".replace(".", "-"),  # a dotted path: MLflow wants no dots
        Path(served_model.__file__),
        {"model": folder / model_cache.MODEL, "estimators": folder / model_cache.ESTIMATORS},
        [*((c, False) for c in numbers), *((w, True) for w in words)],
        list(one.fitted.model["horizons"]),
        [package] if (package := distribution(str(one.recipe["algorithm"]))) else [],
    )
    shutil.rmtree(folder)
    return uri


def _data_tags(step: Train, experiment: Experiment) -> dict[str, str]:
    files = ",".join([*(f.sha256 for f in step.store), *(day.isoformat() for day in step.excluded)])
    return {
        "pipeline": experiment.job.pipeline,
        "data": hashlib.sha256(files.encode()).hexdigest()[:16],
        "data_end": step.data_end.isoformat(),
        "code": retraind.__version__,
    }


def _params(one: Judged) -> dict[str, Any]:
    return {
        "algorithm": one.recipe["algorithm"],
        "target": one.recipe["target"],
        "seed": one.recipe["seed"],
        "transform": one.recipe["transform"]["kind"],
        "features": len(one.recipe["features"]),
        "horizons": ",".join(map(str, one.recipe["horizons"])),
        **one.recipe["params"],
    }


def _metrics(one: Judged) -> dict[str, float]:
    return {
        f"{part}_{metric}_{h}": value
        for part, figures in (("test", one.test), ("validation", one.validation))
        if figures is not None
        for metric in METRICS
        for h, value in figures.values[metric].items()
        if value is not None
    }


def _files(publisher: Publisher, page: Page, one: Judged, rank: int) -> dict[str, str | bytes]:
    """Path -> content of what the run of a candidate holds."""
    files: dict[str, str | bytes] = {name: _json(value) for name, value in _documents(publisher, page, one).items()}
    if one.trials:
        files[TRIALS] = _json(_trials(one.trials))
    if publisher.experiment.job.config.training.pickle and rank == 1:
        files["best_model.pkl"] = pickle.dumps({"model": unbind(one.fitted.model), "estimators": dict(one.fitted.estimators)})
    return files


def _trials(trials: Sequence[Trial]) -> dict[str, Any]:
    """As a table of MLflow's: a row a trial, a column a parameter."""
    params = list(dict.fromkeys(name for trial in trials for name in trial.params))
    rows = [
        [t.model, *(_cell(t.params.get(name)) for name in params), t.mean, t.std, _cell(unbind(t.scores)), t.seconds, t.share,
         t.chosen] for t in trials
    ]  # fmt: skip
    return {"columns": ["model", *params, "mean", "std", "scores", "seconds", "share", "chosen"], "data": rows}


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str) else json.dumps(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _documents(publisher: Publisher, page: Page, one: Judged) -> dict[str, Any]:
    step, experiment = publisher.step, publisher.experiment
    explained = page.explained.get(portfolio.recipe_id(one.recipe), ())
    return {
        "explanations.json": [unbind(explanation) for explanation in explained],
        "evaluation.json": {
            "test": unbind(one.test),
            "validation": None if one.validation is None else unbind(one.validation),
            "baselines": unbind(page.found.baselines),
            "validation_against_persistence": one.worth,
            "intervals": unbind(one.weighed.intervals),
            "slices": unbind(one.weighed.slices),
            **unbind(one.weighed.tables),
            "split": {name: str(getattr(experiment.borders, name)) for name in ("first", "validation", "test", "last")},
        },
        "feature_info.json": {
            "features": [
                {"name": m.name, "group": m.feature.group, "reads": m.feature.reads, "each_horizon": m.feature.ahead}
                for m in experiment.table.described
            ],
            "used": {h: part["columns"] for h, part in one.fitted.model["horizons"].items()},
        },
        "model_metadata.json": {
            "request": step.request,
            "recipe": dict(one.recipe),
            "kind": step.kind,
            "seed": one.recipe["seed"],
            "code": retraind.__version__,
            "data_end": step.data_end.isoformat(),
            "data": [{"table": f.table, "sha256": f.sha256, "rows": f.rows} for f in step.store],
            "excluded": [day.isoformat() for day in step.excluded],
            "rows_learnt": dict(one.fitted.rows),
            "seconds": round(one.seconds, 2),
            "threads": experiment.job.threads,
            "libraries": {
                name: importlib.metadata.version(name)
                for name in ("mlflow", "scikit-learn", "skops", "numpy", "pandas", "scipy", "holidays")
            },
        },
    }
