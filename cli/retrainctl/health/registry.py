"""MLflow beside a site: it answers, its release is one that works, and it holds what the journal says. Asked by a child."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from retrainctl.health.finding import Finding, note, ok, wrong
from retrainctl.site import Site, models_of
from retrainctl.views.times import count
from retraind.core.state import Flow, Model, State

__all__ = ["compared", "registry"]

_PATIENCE = 120
_OLDEST = (3, 0)
"""Of servers: the logged models that versions are made from came with it."""


def registry(site: Site, state: State) -> Iterator[Finding]:
    """All that is found."""
    mlflow = site.settings.mlflow
    file = site.root / mlflow.tracking_uri.removeprefix("sqlite:///")
    if mlflow.tracking_uri.startswith("sqlite:///") and not file.exists():
        if state.registry:
            yield wrong("mlflow", f"{file} is gone; it held every run and version", "put it back from a copy, and start the daemon")
        else:
            yield note("mlflow", f"{file} is not there yet; the daemon makes it before the first training")
        return
    question = json.dumps({"config": site.config.read_text("utf-8"), "root": str(site.root), "site": state.site_id})
    try:
        ran = subprocess.run([sys.executable, "-m", "retraind.jobs.checkup"], input=question, capture_output=True, text=True,
                             timeout=_PATIENCE, check=False)  # fmt: skip
        seen = json.loads(ran.stdout.splitlines()[-1]) if ran.returncode == 0 and ran.stdout else None
    except (subprocess.TimeoutExpired, ValueError) as error:
        yield wrong("mlflow", f"{mlflow.tracking_uri} did not answer: {error}", "start the server, or mend mlflow.tracking_uri")
        return
    if seen is None:
        last = (ran.stderr.strip().splitlines() or ["no reason was given"])[-1]
        yield wrong("mlflow", f"mlflow cannot be loaded: {last}", "install retraind again: pip install retraind")
        return
    yield from compared(site, state, seen)


def compared(site: Site, state: State, seen: Mapping[str, Any]) -> Iterator[Finding]:
    """What the registry says, held against the journal."""
    uri = site.settings.mlflow.tracking_uri
    if seen["why"]:
        yield wrong("mlflow", f"{uri} cannot be read: {seen['why']}", "start the server, or mend mlflow.tracking_uri")
        return
    yield _release(uri, seen)
    if seen["experiment"] == "deleted":
        name = site.settings.mlflow.experiment
        yield wrong("mlflow", f'the experiment "{name}" was deleted', "restore it: mlflow experiments restore --experiment-id ID")
    flow = state.flow(site.pipeline)
    models = models_of(site, flow)  # the child asks for no others
    found = [*_orphan_runs(uri, flow, seen), *_versions(flow, models, seen), *_aliases(models, seen)]
    yield from found
    if not found:
        yield ok("registry", f"{count(len(seen['versions']), 'version')}, as the journal says; no run is left RUNNING")


def _release(uri: str, seen: Mapping[str, Any]) -> Finding:
    words = f"{uri} answers, mlflow {seen['client']}" + (f", its server {seen['server']}" if seen["server"] else "")
    told = (seen["server"] or "").split(".")[:2]
    if all(part.isdecimal() for part in told) and len(told) == 2 and tuple(map(int, told)) < _OLDEST:
        return wrong("mlflow", words, f"update the server to {_OLDEST[0]}.{_OLDEST[1]} or later")
    return ok("mlflow", words)


def _orphan_runs(uri: str, flow: Flow, seen: Mapping[str, Any]) -> Iterator[Finding]:
    """Runs that are RUNNING though no training is under way."""
    at_work = {j.subject for j in flow.jobs.values() if j.step == "train"}
    for run in seen["running"]:
        request = flow.requests.get(run["request"])
        if run["request"] in at_work or (request and request.state == "waiting"):
            continue
        mend = f"python -c \"import mlflow; mlflow.MlflowClient('{uri}').set_terminated('{run['run']}', 'FAILED')\""
        yield wrong("registry", f"run {run['run']} of {run['request']} is RUNNING, and nobody works on it", mend)


def _versions(flow: Flow, models: list[Model], seen: Mapping[str, Any]) -> Iterator[Finding]:
    there = {(v["model"], v["number"]): v for v in seen["versions"]}
    known = {(m.name, v.version): v for m in models for v in m.versions.values()}
    for model, number in sorted(known.keys() - there.keys()):
        serves = flow.models[model].champion == number
        what = f"{model} v{number}{', the champion,' if serves else ''} is not in MLflow any more"
        if serves:
            yield wrong("registry", what, f"restore it there, or: retrainctl rollback {model}")
        else:
            yield note("registry", what)
    under_way = {r.id for r in flow.requests.values() if r.state == "waiting"}
    for (model, number), version in sorted(there.items()):
        ours = version["request"] and (model, number) not in known and version["request"] not in under_way
        if ours and version["request"].split("-")[0] in {r.split("-")[0] for r in flow.requests}:
            what = f"{model} v{number} was registered for {version['request']}; the journal does not know it"
            yield wrong("registry", what, "a journal that was put back forgets. Delete the version in MLflow, or leave it: unused")


def _aliases(models: list[Model], seen: Mapping[str, Any]) -> Iterator[Finding]:
    for model in models:
        named = seen["aliases"].get(model.name, {}).get("champion")
        if named != model.champion and not model.intention:
            yield wrong("registry", f"alias champion of {model.name} names {f'v{named}' if named else 'nothing'}, the journal says "
                                    f"{f'v{model.champion}' if model.champion else 'nothing'}",
                        "set it back in MLflow; until then nothing is automatic for that model")  # fmt: skip
