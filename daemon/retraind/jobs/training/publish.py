"""What a training leaves in MLflow and in the model cache: runs, figures, files, versions.

Everything bears the tags of its request, its target and its recipe, so that what an earlier try left is found and finished.
The files that a version serves are kept a second time, in STATE/models/DIGEST, where the daemon's own forecasts read them
without MLflow.
"""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skops.io import dump

import retraind
from retraind.core.binding import unbind
from retraind.core.figures import Candidate, TargetResult
from retraind.core.steps import Train
from retraind.failpoint import failpoint
from retraind.jobs import registry as mlflow_registry
from retraind.jobs.registry import DataInput, Registry
from retraind.jobs.training import model_cache, portfolio, served_model
from retraind.jobs.training.estimators import distribution
from retraind.jobs.training.experiment import Experiment
from retraind.jobs.training.findings import Found, Judged
from retraind.jobs.training.made_with import libraries
from retraind.jobs.training.portfolio import Fitted
from retraind.jobs.training.portraits import Portrait, portrait
from retraind.jobs.training.search import Trial
from retraind.jobs.training.training_log import TrainingLog
from retraind.jobs.training.weighing import keep, losses_of
from retraind.source import source_digest

__all__ = ["PUBLISH_POINTS", "Found", "Judged", "Page", "Publisher", "candidate_of", "open_training", "publish"]

PUBLISH_POINTS = ("train.before_log", "train.logged", "train.cached", "train.before_register", "train.registered")
"""Where a test may kill it, in their order, once a candidate."""
TRIALS = "trials.json"
_MLFLOW_TYPES = {"date": "datetime", "text": "string", "category": "string", "number": "double", "whole": "long"}


@dataclass(frozen=True)
class Page:
    """A target as it is reported."""

    found: Found
    result: TargetResult
    portraits: Mapping[str, Portrait]
    """By recipe id."""


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
    """Explain, draw, log and register the candidates of a target. notes: told to, in words."""
    forecasts = {portfolio.recipe_id(one.recipe): one.forecasts for one in found.judged}
    keep(losses_of(publisher.experiment.job.state, publisher.step.request, found.target), forecasts, found.test)
    portraits: dict[str, Portrait] = {}
    candidates = []
    was_searched = publisher.step.kind == "search" or len(found.judged) > 1  # a refresh has seconds
    for rank, one in enumerate(found.judged, start=1):
        in_full = rank == 1 and was_searched
        told = portrait(publisher.experiment, found, one, notes, in_full=in_full)
        portraits[portfolio.recipe_id(one.recipe)] = told
        candidates.append(_publish(publisher, found, one, rank, told))
    result = TargetResult(
        target=found.target,
        model=publisher.model(found.target),
        candidates=tuple(candidates),
        baselines=found.baselines,
        champion_version=found.champion_version,
        champion=found.champion,
        slice_rows=found.slice_rows,
        champion_slices=found.champion_slices,
        rule=str(publisher.experiment.job.config.training.choose) if len(found.judged) > 1 else "",
    )
    publisher.pages.append(Page(found, result, portraits))
    return result


def _publish(publisher: Publisher, found: Found, one: Judged, rank: int, told: Portrait) -> Candidate:
    """Log a candidate, keep its files, register it; what an earlier try left is finished."""
    registry, step = publisher.registry, publisher.step
    algorithm, target = str(one.recipe["algorithm"]), str(one.recipe["target"])
    publisher.experiment.said(f"registering {target}, {algorithm}")
    recipe_id = portfolio.recipe_id(one.recipe)
    key = {"request": step.request, "target": target, "recipe": recipe_id}
    tags = {**_data_tags(step, publisher.experiment), "algorithm": algorithm, "kind": step.kind}
    failpoint("train.before_log")
    run = mlflow_registry.open_run(
        registry, f"{target} {algorithm}", {**key, "run": "candidate"}, tags, publisher.parent
    )
    documents = _documents(publisher, found, one, told)
    files: dict[str, str | bytes] = {name: _json(value) for name, value in documents.items()}
    files |= {f"plots/{name}.svg": picture for name, picture in told.pictures.items()}
    if publisher.experiment.job.config.training.pickle and rank == 1:
        files["best_model.pkl"] = _pickled(one.fitted)
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
            registry, publisher.model(target), uri, run, key, {**tags, "stage": "None", "digest": digest}
        )
    mlflow_registry.finish_run(registry, run)
    parameters = None if algorithm == portfolio.BLEND else json.dumps(one.recipe["params"])
    publisher.log.say(f"registered {version.model} v{version.number}", algorithm=algorithm, parameters=parameters, rank=rank,
                      validation_against_persistence=one.worth, seconds=one.seconds, run=run)  # fmt: skip
    failpoint("train.registered")
    return candidate_of(one, rank, version=version.number, run=run, digest=digest)


def candidate_of(one: Judged, rank: int, *, version: int = 0, run: str = "", digest: str = "") -> Candidate:
    """What the journal says of a candidate. version 0: it was not registered."""
    return Candidate(
        version=version,
        run_id=run,
        algorithm=str(one.recipe["algorithm"]),
        recipe=one.recipe,
        recipe_id=portfolio.recipe_id(one.recipe),
        model_digest=digest,
        rank=rank,
        test=one.test,
        figures=_figures(one),
        significance=one.weighed.significance,
        intervals=one.weighed.intervals,
        slices=one.weighed.slices,
    )


def _figures(one: Judged) -> dict[str, float | None]:
    figures: dict[str, float | None] = {}
    if one.validation is not None:
        values = one.validation.values
        figures |= {f"validation_{metric}_{h}": v for metric, by_horizon in values.items() for h, v in by_horizon.items()}
        figures["validation_against_persistence"] = one.worth
    if one.choice:
        figures |= {"validation_cost": one.choice.cost, "validation_std": one.choice.std}
    best = next((trial for trial in one.trials if trial.chosen), None)
    if best:
        figures |= {"search_trials": len(one.trials), "search_cost": best.mean, "search_std": best.std}
    if one.cut_short:
        figures["search_cut_short"] = 1.0
    figures |= {
        f"fold_{i}_{metric}_{h}": value
        for i, fold in enumerate(one.by_fold, start=1) for metric, by_horizon in fold.items() for h, value in by_horizon.items()
    }  # fmt: skip
    return figures | dict(one.weighed.figures)


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
    """Every figure of a candidate, by the name it is found under in MLflow."""
    figures = _figures(one)
    for metric, by_horizon in one.test.values.items():
        figures |= {f"test_{metric}_{h}": value for h, value in by_horizon.items()}
    for metric, by_key in one.weighed.intervals.items():
        for h, (low, high) in by_key.items():
            figures |= {f"test_{metric}_{h}_low": low, f"test_{metric}_{h}_high": high}
    for loss, test in one.weighed.significance.items():
        figures[f"p_champion_{loss.replace('.', '_')}"] = test.adjusted
    return {name: value for name, value in figures.items() if value is not None and math.isfinite(value)}


def _pickled(fitted: Fitted) -> bytes:
    """What model.json and estimators.skops hold, as plain values and stock estimators: none of our code is needed to read it."""
    return pickle.dumps({"model": unbind(fitted.model), "estimators": dict(fitted.estimators)})


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
    return json.dumps(unbind(value), ensure_ascii=False, indent=2, allow_nan=False)


def _feature_list(experiment: Experiment, target: str) -> list[dict[str, Any]]:
    """What a recipe for the target may use."""
    nature = experiment.job.config.contract.targets[target].nature
    return [
        {
            "name": m.name,
            "name_en": m.name_en,
            "name_zh": m.name_zh,
            "group": m.feature.group,
            "reads": m.feature.reads,
            "each_horizon": m.feature.ahead,
            "sign": m.sign(nature),
        }
        for m in experiment.table.described
    ]


def _documents(publisher: Publisher, found: Found, one: Judged, told: Portrait) -> dict[str, Any]:
    """Name -> what the run of a candidate holds as JSON."""
    step, experiment = publisher.step, publisher.experiment
    return {
        **({TRIALS: _trials(one.trials)} if one.trials else {}),
        "explanations.json": told.explained,
        "evaluation.json": {
            "test": one.test,
            "validation": one.validation,
            "baselines": found.baselines,
            "validation_against_persistence": one.worth,
            "intervals": one.weighed.intervals,
            "slices": one.weighed.slices,
            "folds": one.by_fold,
            **one.weighed.tables,
            "split": {name: str(getattr(experiment.borders, name)) for name in ("first", "validation", "test", "last")},
        },
        "feature_info.json": {
            "features": _feature_list(experiment, str(one.recipe["target"])),
            "used": {h: part["columns"] for h, part in one.fitted.model["horizons"].items()},
            "choice": experiment.choices.get(str(one.recipe["target"])),
        },
        "model_metadata.json": {
            "request": step.request,
            "recipe": dict(one.recipe),
            "kind": step.kind,
            "seed": one.recipe["seed"],
            "code": retraind.__version__,
            "source": source_digest(),
            "data_end": step.data_end.isoformat(),
            "data": [{"table": f.table, "sha256": f.sha256, "rows": f.rows} for f in step.store],
            "excluded": [day.isoformat() for day in step.excluded],
            "rows_learnt": dict(one.fitted.rows),
            "seconds": {
                "searching": round(sum(trial.seconds for trial in one.trials), 2),
                "fitting": round(one.seconds, 2),
                "explaining": round(told.seconds, 2),
            },
            "threads": experiment.job.threads,
            "libraries": libraries([str(one.recipe["algorithm"])]),
        },
    }
