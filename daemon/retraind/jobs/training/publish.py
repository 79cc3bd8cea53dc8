"""What a training leaves in MLflow and in the model cache: runs, figures, files, versions.

Everything bears the tags of its request, its target and its recipe, so that what an earlier try left is found and finished.
The files that a version serves are kept a second time, in STATE/models/DIGEST, where the daemon's own forecasts read them
without MLflow.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skops.io import dump

import retraind
from retraind.core.binding import unbind
from retraind.core.figures import METRICS, Candidate, Scores
from retraind.core.steps import Train
from retraind.failpoint import failpoint
from retraind.jobs import registry as mlflow_registry
from retraind.jobs.registry import Registry
from retraind.jobs.training import model_cache, portfolio, served_model
from retraind.jobs.training.experiment import Experiment
from retraind.jobs.training.portfolio import Fitted
from retraind.jobs.training.search import Trial

__all__ = ["PUBLISH_POINTS", "Judged", "Publisher", "open_training", "publish"]

PUBLISH_POINTS = ("train.before_log", "train.logged", "train.cached", "train.before_register", "train.registered")
"""Where a test may kill it, in their order, once a candidate."""


@dataclass(frozen=True)
class Judged:
    """A recipe with its figures and the fit that is to be registered."""

    recipe: Mapping[str, Any]
    validation: Scores | None
    """None when there was nothing to rank it against."""
    worth: float | None
    """Mean WAPE against persistence's on validation days at the two shortest horizons: what candidates are ranked by."""
    test: Scores
    fitted: Fitted
    seconds: float
    trials: tuple[Trial, ...] = ()
    """What the search tried on the way to the recipe, in its order; empty where nothing was searched."""


@dataclass(frozen=True)
class Publisher:
    """A training whose run is open."""

    registry: Registry
    step: Train
    experiment: Experiment
    parent: str
    """Its run."""

    def model(self, target: str) -> str:
        """The registered name."""
        job = self.experiment.job
        return job.settings.mlflow.name_of(job.pipeline, target)


def open_training(registry: Registry, step: Train, experiment: Experiment) -> Publisher:
    """Open the run that the candidates' runs are nested in."""
    parent = mlflow_registry.open_run(
        registry,
        f"training {step.request}",
        {"request": step.request, "run": "training"},
        {**_data_tags(step, experiment), "causes": "; ".join(step.causes)[:500]},
    )
    return Publisher(registry, step, experiment, parent)


def publish(publisher: Publisher, one: Judged, rank: int, baselines: Mapping[str, Scores]) -> Candidate:
    """Log a candidate, keep its files, register it; what an earlier try left is finished."""
    registry, step = publisher.registry, publisher.step
    algorithm, target = str(one.recipe["algorithm"]), str(one.recipe["target"])
    recipe_id = portfolio.recipe_id(one.recipe)
    key = {"request": step.request, "target": target, "recipe": recipe_id}
    tags = {**_data_tags(step, publisher.experiment), "algorithm": algorithm, "kind": step.kind}
    failpoint("train.before_log")
    run = mlflow_registry.open_run(
        registry, f"{target} {algorithm}", {**key, "run": "candidate"}, tags, publisher.parent
    )
    mlflow_registry.log_run(registry, run, _params(one), _metrics(one), _files(publisher, one, baselines), {})
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
        figures=_figures(one),
    )


def _figures(one: Judged) -> dict[str, float | None]:
    if one.validation is None:
        return {}
    values = one.validation.values
    figures = {f"validation_{m}_{h}": v for m in ("wape", "bias") for h, v in values[m].items()}
    return {**figures, "validation_against_persistence": one.worth}


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
        f"{one.recipe['target']}-{one.recipe['algorithm']}",
        Path(served_model.__file__),
        {"model": folder / model_cache.MODEL, "estimators": folder / model_cache.ESTIMATORS},
        [*((c, False) for c in numbers), *((w, True) for w in words)],
        list(one.fitted.model["horizons"]),
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


def _files(publisher: Publisher, one: Judged, baselines: Mapping[str, Scores]) -> dict[str, Any]:
    step, experiment = publisher.step, publisher.experiment
    return {
        "evaluation.json": {
            "test": unbind(one.test),
            "validation": None if one.validation is None else unbind(one.validation),
            "baselines": unbind(baselines),
            "validation_against_persistence": one.worth,
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
