"""The report of a training: one document of plain values, one HTML page, both kept in STATE/reports and in MLflow.

The document (REQUEST.json) is for programs and for `retrainctl runs show`; the page (REQUEST.html) is the same for people, with
the pictures in it, and asks nothing of the network. VERSION is raised when a key changes its meaning; keys are added freely.
Made again, by a training that was killed, they are the same files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import retraind
from retraind.core.binding import unbind
from retraind.core.figures import Candidate
from retraind.core.steps import Train, Trained
from retraind.jobs import drift_reference
from retraind.jobs import registry as mlflow_registry
from retraind.jobs.training import plots
from retraind.jobs.training.experiment import Experiment
from retraind.jobs.training.findings import Judged
from retraind.jobs.training.made_with import libraries
from retraind.jobs.training.portraits import Portrait
from retraind.jobs.training.publish import Page, Publisher
from retraind.jobs.training.report_page import Pictures, page
from retraind.source import source_digest
from retraind.whole_file import whole

__all__ = ["VERSION", "close_training", "document", "folder_of"]

VERSION = 1
TOP = 20
"""Features of each candidate that the document holds; the run's explanations.json has all."""


def close_training(publisher: Publisher, trained: Trained) -> None:
    """Write the report, log what is the whole training's, and end its run."""
    log, step = publisher.log, publisher.step
    for note in trained.notes:
        log.say(note)
    log.say("trained", seconds=round(log.seconds, 2))
    told = unbind(document(publisher, trained))
    shown = page(told, _pictures(publisher))
    text = json.dumps(told, ensure_ascii=False, indent=1, allow_nan=False)
    folder = folder_of(publisher.experiment.job.state)
    for name, words in ((f"{step.request}.json", text), (f"{step.request}.html", shown)):
        with whole(folder / name) as file:
            file.write(words.encode())
    mlflow_registry.log_run(
        publisher.registry,
        publisher.parent,
        {"targets": ",".join(step.targets), "kind": step.kind, "store_files": len(step.store)},
        {"seconds": log.seconds},
        {"report.html": shown, "report.json": text, f"logs/training_{step.request}.log": log.text, **_drift(publisher)},
        {},
        publisher.data,
    )
    mlflow_registry.finish_run(publisher.registry, publisher.parent)


def _drift(publisher: Publisher) -> dict[str, str | bytes]:
    """What later windows are held against, and the page of the drift that asked for this training."""
    step, job = publisher.step, publisher.experiment.job
    files: dict[str, str | bytes] = {drift_reference.NAME: drift_reference.prepare(step, job)}
    asked = any("drifted" in cause for cause in step.causes)
    if asked and (told := drift_reference.newest_page(job.state, step.data_end)):
        files["drift.html"] = told
    return files


def folder_of(state: Path) -> Path:
    """Where reports lie."""
    return state / "reports"


def document(publisher: Publisher, trained: Trained) -> dict[str, Any]:
    """What was trained, why, on which data, and what came of it."""
    step, experiment = publisher.step, publisher.experiment
    return {
        "version": VERSION,
        "request": step.request,
        "kind": step.kind,
        "causes": list(step.causes),
        "pipeline": experiment.job.pipeline,
        "data_end": step.data_end.isoformat(),
        "parent_run": publisher.parent,
        "tracking_uri": publisher.registry.uri,
        "seconds": round(publisher.log.seconds, 2),
        "seed": experiment.job.config.training.seed,
        "choose": unbind(experiment.job.config.training.choose),
        "code": retraind.__version__,
        "source": source_digest(),
        "libraries": libraries(c.algorithm for one in trained.results for c in one.candidates),
        "threads": experiment.job.threads,
        "notes": list(trained.notes),
        "split": experiment.split,
        "features": len(experiment.table.described),
        "store": [{"table": f.table, "sha256": f.sha256, "rows": f.rows} for f in step.store],
        "excluded": [day.isoformat() for day in step.excluded],
        "near": list(experiment.near),
        "targets": [_target(step, experiment, one) for one in publisher.pages],
    }


def _target(step: Train, experiment: Experiment, one: Page) -> dict[str, Any]:
    target, result = experiment.job.config.contract.targets[one.found.target], one.result
    naive = next(iter(result.baselines.values()))
    by_recipe = {c.recipe_id: c for c in result.candidates}
    judged = zip(result.candidates, one.found.judged, strict=True)
    champion = step.champions.get(one.found.target)
    best = one.portraits[result.candidates[0].recipe_id] if by_recipe else Portrait()
    return {
        "target": result.target,
        "model": result.model,
        "unit": target.unit,
        "nature": target.nature,
        "test_rows": unbind(naive.rows),
        "candidates": [_candidate(c, j, one.portraits[c.recipe_id]) for c, j in judged],
        "baselines": {name: unbind(scores.values) for name, scores in result.baselines.items()},
        "champion": {
            "version": champion.version,
            "data_end": champion.data_end.isoformat(),
            "test": unbind(result.champion.values) if result.champion else None,
        } if champion else None,
        "categories": {name: list(pair) for name, pair in best.categories.items()},
    }  # fmt: skip


def _candidate(candidate: Candidate, judged: Judged, told: Portrait) -> dict[str, Any]:
    recipe = candidate.recipe
    return {
        "version": candidate.version,
        "run_id": candidate.run_id,
        "algorithm": candidate.algorithm,
        "rank": candidate.rank,
        "recipe_id": candidate.recipe_id,
        "model_digest": candidate.model_digest,
        "params": recipe["params"],
        "transform": recipe["transform"],
        "features": len(recipe["features"]),
        "rows_learnt": dict(judged.fitted.rows),
        "seconds": round(judged.seconds, 2),
        "worth": judged.worth,
        "choice": unbind(judged.choice) if judged.choice else None,
        "search": _search(judged),
        "validation": None if judged.validation is None else unbind(judged.validation.values),
        "test": unbind(candidate.test.values),
        "unanswered": dict(candidate.test.unanswered),
        "intervals": unbind(judged.weighed.intervals),
        "significance": unbind(candidate.significance),
        "slices": unbind(judged.weighed.slices),
        "explained": [
            {**unbind(e), "features": [unbind(w) for w in e.features[:TOP]], "of": len(e.features)} for e in told.explained
        ],
    }  # fmt: skip


def _search(judged: Judged) -> dict[str, Any] | None:
    """Cost of the parameters that a search chose, over its folds; None where nothing was searched."""
    best = next((trial for trial in judged.trials if trial.chosen), None)
    if best is None:
        return None
    return {"trials": len(judged.trials), "mean": best.mean, "std": best.std, "cut_short": judged.cut_short}


def _pictures(publisher: Publisher) -> Pictures:
    """Target -> name -> SVG, of each target's best candidate; and its error beside all the others'."""
    made: dict[str, Mapping[str, str]] = {}
    for one in publisher.pages:
        best = one.portraits[one.result.candidates[0].recipe_id]
        made[one.result.target] = {**best.pictures, "together": _together(one)}
    return made


def _together(one: Page) -> str:
    models = {f"v{c.version} {c.algorithm}": c.test for c in one.result.candidates}
    return plots.by_horizon("wape", models, one.result.baselines, title=f"{one.result.target}: all candidates, test days")
