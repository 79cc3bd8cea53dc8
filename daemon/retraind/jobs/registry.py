"""MLflow, and nothing else calls it: the store, runs, versions, aliases and tags.

What a training makes is named by the request it serves, in tags set at creation; done again, it finds what is there and
finishes it. Names and tags that do not start with our prefix are never touched. Stages are a tag of ours, aliases the
truth for consumers (POLICIES.md, its last section). A busy SQLite store answers TEMPORARILY_UNAVAILABLE after 20 s: that
code alone is tried again, a few times.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import os
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # a daemon in somebody's warehouse must not phone home
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}.items():
    os.environ.setdefault(_name, _value)  # MLflow reads them when it is imported

import mlflow  # noqa: E402
import mlflow.pyfunc  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelStatus, Metric, Param, RunTag  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.models.signature import ModelSignature  # noqa: E402
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: E402
from mlflow.types import ColSpec, DataType, Schema  # noqa: E402

from retraind.errors import RetraindError  # noqa: E402
from retraind.settings import Mlflow  # noqa: E402

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "LAST_GOOD",
    "RELEASE",
    "DataInput",
    "Registry",
    "Version",
    "alias",
    "aliases",
    "connect",
    "digest_of",
    "downloaded",
    "drop_alias",
    "existing",
    "fail_runs",
    "finish_run",
    "inputs_of",
    "kind_of",
    "loaded",
    "loads",
    "locked",
    "log_model",
    "log_run",
    "model_digest",
    "named_by",
    "open_run",
    "register",
    "remove_files",
    "running",
    "set_alias",
    "tag_version",
    "tracking_uri",
    "version",
    "version_of",
    "versions",
]

CHAMPION, CHALLENGER, LAST_GOOD = "champion", "challenger", "last-good"
"""The three aliases; no others are ever set."""

PATIENCE = (0.5, 1.0, 2.0, 4.0)
"""Seconds between tries of a busy store."""
_ABSENT = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
_LONGEST = 6000
"""Letters that MLflow takes for the value of a parameter, since 2.8."""
_NOT_OURS = ("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "registered_model_meta")
_SQLITE = "sqlite:///"

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Registry:
    """A store that answers, and the experiment in it."""

    client: Any
    uri: str
    experiment: str
    prefix: str

    def key(self, name: str) -> str:
        """Our tag of that name: `request` -> `retraind.request`."""
        return f"{self.prefix}.{name}"

    def keys(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Our tags of those names."""
        return {self.key(name): value for name, value in tags.items()}


@dataclass(frozen=True)
class Version:
    """A version of a registered model."""

    model: str
    number: int
    run_id: str
    ready: bool
    tags: Mapping[str, str]
    """Ours, without the prefix."""


# ---- the store ----


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among the processes of this machine that take the same lock; waits for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def tracking_uri(settings: Mlflow, root: Path) -> str:
    """The store's address, a SQLite file's path made absolute under the site's folder."""
    if not settings.tracking_uri.startswith(_SQLITE):
        return settings.tracking_uri
    return f"{_SQLITE}{root.resolve() / settings.tracking_uri.removeprefix(_SQLITE)}"


def connect(settings: Mlflow, root: Path) -> Registry:
    """The registry, its store and experiment made when they are not there.

    A new SQLite store is made under our own lock: MLflow has none, and of four clients that open one at once three fail.
    Raises RetraindError when a server does not answer, or the experiment was deleted.
    """
    uri = tracking_uri(settings, root)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    if not uri.startswith(_SQLITE):
        _must_answer(uri)
        return _with_experiment(settings, uri, location=None)
    database = Path(uri.removeprefix(_SQLITE))
    artifacts = root.resolve() / settings.artifacts
    artifacts.mkdir(parents=True, exist_ok=True)
    with locked(database.parent / ".lock"):
        return _with_experiment(settings, uri, location=artifacts.as_uri())


def _with_experiment(settings: Mlflow, uri: str, location: str | None) -> Registry:
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    found = patiently(client.get_experiment_by_name, settings.experiment)
    if found is None:
        try:
            made = patiently(client.create_experiment, settings.experiment, artifact_location=location)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            made = patiently(client.get_experiment_by_name, settings.experiment).experiment_id
        return Registry(client, uri, str(made), settings.tag_prefix)
    if found.lifecycle_stage != "active":
        raise RetraindError(
            f'the experiment "{settings.experiment}" was deleted in MLflow',
            remedy=f"Restore it with `mlflow experiments restore --experiment-id {found.experiment_id}`, "
            "or name another one under mlflow.experiment",
        )
    return Registry(client, uri, str(found.experiment_id), settings.tag_prefix)


def _must_answer(uri: str) -> None:
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=20) as answer:  # noqa: S310 (settings allow http)
            answer.read()
    except urllib.error.HTTPError as error:
        if error.code < 500:
            return  # a proxy that guards /health still answers
        raise _silent(uri, f"HTTP {error.code}") from error
    except OSError as error:
        raise _silent(uri, str(getattr(error, "reason", error))) from error


def _silent(uri: str, why: str) -> RetraindError:
    return RetraindError(
        f"the MLflow server at {uri} does not answer ({why})",
        remedy="Start it, or mend mlflow.tracking_uri",
        retryable=True,
    )


def patiently(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The call's result, asked again while the store is busy, at most len(PATIENCE) times."""
    for pause in PATIENCE:
        try:
            return call(*args, **kwargs)
        except MlflowException as error:
            if error.error_code != "TEMPORARILY_UNAVAILABLE":
                raise
            time.sleep(pause)
    return call(*args, **kwargs)


# ---- runs ----


def open_run(registry: Registry, name: str, key: Mapping[str, str], tags: Mapping[str, str], parent: str = "") -> str:
    """The id of the run that bears our tags `key`, RUNNING; made with `tags` beside them when it is not there."""
    run = _only_run(registry, key)
    if run is None:
        all_tags = registry.keys({**key, **tags}) | ({"mlflow.parentRunId": parent} if parent else {})
        made = patiently(registry.client.create_run, registry.experiment, tags=all_tags, run_name=name)
        run = _only_run(registry, key) or made
    if run.info.status != "RUNNING":
        patiently(registry.client.update_run, run.info.run_id, status="RUNNING")
    return str(run.info.run_id)


def _only_run(registry: Registry, key: Mapping[str, str]) -> Any:
    """The run that bears our tags `key`, if there is one. MLflow's client sends a request again when its answer is lost, also one
    that makes something: what came of that beside it is ended and deleted."""
    found = patiently(registry.client.search_runs, [registry.experiment], _bearing(registry, key))
    for twin in found[1:]:
        patiently(registry.client.set_terminated, twin.info.run_id, "FAILED")
        patiently(registry.client.delete_run, twin.info.run_id)
    return found[0] if found else None


@dataclass(frozen=True)
class DataInput:
    """A table that a run read, as MLflow shows it among a run's data sets."""

    name: str
    digest: str
    """Of what it held; at most 36 letters."""
    location: str
    """A URI."""
    rows: int
    columns: Sequence[tuple[str, str]]
    """Name and MLflow's type."""


def log_run(
    registry: Registry,
    run_id: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    files: Mapping[str, str | bytes],
    tags: Mapping[str, str],
    data: Sequence[DataInput] = (),
    tables: Sequence[str] = (),
) -> None:
    """Params, metrics, files (path -> content), tags and inputs of a run; done again it changes nothing.

    tables: the files that hold {"columns", "data"} and are shown as tables by MLflow.
    """
    now = int(time.time() * 1000)
    patiently(
        registry.client.log_batch,
        run_id,
        metrics=[Metric(k, float(v), now, 0) for k, v in metrics.items()],
        params=[Param(k, _no_longer(str(v))) for k, v in params.items()],
        tags=[*(RunTag(registry.key(k), v) for k, v in tags.items()), *_shown_as_tables(tables)],
    )
    if data:
        patiently(registry.client.log_inputs, run_id, [_input(one) for one in data])
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        patiently(registry.client.log_artifacts, run_id, folder)


def _no_longer(value: str) -> str:
    """As MLflow takes it: what is cut off ends visibly so."""
    return value if len(value) <= _LONGEST else f"{value[:_LONGEST - 1]}…"


def _shown_as_tables(names: Sequence[str]) -> list[Any]:
    listed = [{"path": name, "type": "table"} for name in names]
    return [RunTag("mlflow.loggedArtifacts", json.dumps(listed))] if listed else []


def _input(one: DataInput) -> Any:
    schema = [{"name": name, "type": kind, "required": False} for name, kind in one.columns]
    dataset = Dataset(
        name=one.name,
        digest=one.digest,
        source_type="local",
        source=json.dumps({"uri": one.location}),
        schema=json.dumps({"mlflow_colspec": schema}),
        profile=json.dumps({"num_rows": one.rows}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def finish_run(registry: Registry, run_id: str) -> None:
    """The run has ended well."""
    patiently(registry.client.set_terminated, run_id, "FINISHED")


def fail_runs(registry: Registry, key: Mapping[str, str]) -> None:
    """Whatever still runs under our tags `key` has failed; doing it again opens the same runs again."""
    for run in patiently(registry.client.search_runs, [registry.experiment], _bearing(registry, key)):
        if run.info.status == "RUNNING":
            patiently(registry.client.set_terminated, run.info.run_id, "FAILED")


def _bearing(registry: Registry, key: Mapping[str, str]) -> str:
    """The search for our tags."""
    return " and ".join(f"tags.`{registry.key(k)}` = '{v}'" for k, v in key.items())


# ---- models ----


def log_model(
    registry: Registry,
    run_id: str,
    name: str,
    script: Path,
    artifacts: Mapping[str, Path],
    inputs: Sequence[tuple[str, bool]],
    outputs: Sequence[str],
    also: Sequence[str] = (),
) -> str:
    """The URI of the run's model, logged when it is not there yet whole.

    script: the models-from-code file. artifacts: name -> file, as the script knows them. inputs: (column, is text);
    outputs: numeric columns. also: packages that it needs beside the usual ones.
    """
    there = patiently(
        registry.client.search_logged_models,
        [registry.experiment],
        f"source_run_id = '{run_id}'",
    )
    for model in there:
        if model.status == LoggedModelStatus.READY:
            return str(model.model_uri)
    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.string if text else DataType.double, column) for column, text in inputs]),
        outputs=Schema([ColSpec(DataType.double, column) for column in outputs]),
    )
    with mlflow.start_run(run_id=run_id), warnings.catch_warnings():
        # the signature is given: an example would only infer it again, 100 times slower
        warnings.filterwarnings("ignore", message=".*input example was not provided")
        info = patiently(
            mlflow.pyfunc.log_model,
            name=name,
            python_model=str(script),
            artifacts={k: str(v) for k, v in artifacts.items()},
            signature=signature,
            pip_requirements=requirements(also),
        )
    return str(info.model_uri)


def requirements(also: Sequence[str] = ()) -> list[str]:
    """What a model of ours needs, at the versions it was made with."""
    names = ("mlflow", "scikit-learn", "skops", "numpy", "pandas", *also)
    return [f"{name}=={importlib.metadata.version(name)}" for name in names]


@contextlib.contextmanager
def downloaded(uri: str) -> Iterator[Path]:
    """A model's folder, for reading only; a server's is fetched and removed again."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(patiently(mlflow.artifacts.download_artifacts, artifact_uri=uri, dst_path=folder))


def model_digest(uri: str) -> str:
    """Digest of what a model consists of: its code and its artifacts, not what MLflow writes about it."""
    with downloaded(uri) as folder:
        return digest_of(folder)


def digest_of(folder: Path) -> str:
    """`model_digest` of a model's folder."""
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        if file.name not in _NOT_OURS and file.suffix != ".pyc":
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()[:16]


def register(
    registry: Registry, model: str, uri: str, run_id: str, key: Mapping[str, str], tags: Mapping[str, str]
) -> Version:
    """The version of `model` made from a logged model; it bears our tags `key`, and `tags` beside them."""
    try:
        patiently(registry.client.create_registered_model, model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = patiently(
        registry.client.create_model_version,
        model,
        uri,
        run_id=run_id,
        tags=registry.keys({**key, **tags}),
        model_id=uri.removeprefix("models:/"),
        await_creation_for=60,
    )
    return version_of(registry, model, key) or version(registry, model, int(made.version))


def version_of(registry: Registry, model: str, key: Mapping[str, str]) -> Version | None:
    """The version that bears our tags `key`, if there is one. As with runs, one that was made twice is there once afterwards."""
    search = f"name = '{model}' and {_bearing(registry, key)}"
    found = sorted(patiently(registry.client.search_model_versions, search), key=lambda v: int(v.version))
    for twin in found[1:]:
        patiently(registry.client.delete_model_version, model, twin.version)
    return _version(registry, found[0]) if found else None


def version(registry: Registry, model: str, number: int) -> Version:
    """That version. Raises RetraindError when it is not there."""
    try:
        return _version(registry, patiently(registry.client.get_model_version, model, str(number)))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise RetraindError(f"{model} has no version {number} in MLflow") from error


def _version(registry: Registry, found: Any) -> Version:
    start = registry.key("")
    ours = {k.removeprefix(start): str(v) for k, v in found.tags.items() if k.startswith(start)}
    return Version(str(found.name), int(found.version), str(found.run_id), str(found.status) == "READY", ours)


def loads(model: str, number: int) -> None:
    """Load the version as a consumer would. Raises whatever keeps it from loading."""
    mlflow.pyfunc.load_model(f"models:/{model}/{number}")


def loaded(folder: Path) -> Any:
    """The model in that folder as a pyfunc. Raises whatever keeps it from loading."""
    return mlflow.pyfunc.load_model(str(folder))


def inputs_of(model: Any) -> tuple[str, ...]:
    """The columns that a pyfunc wants: by its signature, or by what scikit-learn noted when it was fitted. Empty where
    nobody says."""
    schema = model.metadata.get_input_schema()
    if schema is not None and schema.has_input_names():
        return tuple(map(str, schema.input_names()))
    try:
        raw = model.get_raw_model()
    except (MlflowException, NotImplementedError, AttributeError):
        return ()
    return tuple(map(str, getattr(raw, "feature_names_in_", ())))


def kind_of(model: Any) -> str:
    """What a pyfunc is underneath, for people: the class of a scikit-learn model, or its flavour."""
    flavors = [name for name in model.metadata.flavors if name != "python_function"]
    try:
        raw = model.get_raw_model() if flavors else None
    except (MlflowException, NotImplementedError, AttributeError):
        raw = None
    return type(raw).__name__ if raw is not None else flavors[0] if flavors else "pyfunc"


def named_by(registry: Registry, model: str, number: int) -> list[str]:
    """The aliases that name a version, ours and others'."""
    return list(patiently(registry.client.get_model_version, model, str(number)).aliases)


def remove_files(registry: Registry, model: str, number: int) -> int:
    """Remove what a version's model consists of, wherever MLflow keeps it; the version, its run and their figures stay.

    Returns the bytes that it held. Done again it removes what is left, and nothing is no error.
    """
    source = str(patiently(registry.client.get_model_version, model, str(number)).source)
    if source.startswith("models:/"):
        source = str(patiently(registry.client.get_logged_model, source.removeprefix("models:/")).artifact_location)
    store = get_artifact_repository(source)
    held = _bytes_in(store, "")
    if held:
        patiently(store.delete_artifacts)
    return held


def _bytes_in(store: Any, folder: str) -> int:
    files = patiently(store.list_artifacts, folder or None)
    return sum(_bytes_in(store, f.path) if f.is_dir else int(f.file_size or 0) for f in files)


# ---- aliases and tags ----


def alias(registry: Registry, model: str, name: str) -> int | None:
    """The version that an alias names, None where there is no such alias.

    An absent alias answers with the code of a malformed request, so it counts as absent only where the registered model
    itself is there and does not list it. Raises RetraindError when the registered model is not there.
    """
    try:
        return int(patiently(registry.client.get_model_version_by_alias, model, name).version)
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
    try:
        listed = patiently(registry.client.get_registered_model, model).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise RetraindError(f'MLflow has no registered model "{model}"') from error
    return int(listed[name]) if name in listed else None


def set_alias(registry: Registry, model: str, name: str, number: int) -> None:
    """The alias names that version from here on."""
    patiently(registry.client.set_registered_model_alias, model, name, str(number))


def drop_alias(registry: Registry, model: str, name: str) -> None:
    """The alias names nothing any more."""
    patiently(registry.client.delete_registered_model_alias, model, name)


def tag_version(registry: Registry, model: str, number: int, tags: Mapping[str, str]) -> None:
    """Set tags of ours on a version."""
    for key, value in registry.keys(tags).items():
        patiently(registry.client.set_model_version_tag, model, str(number), key, value)


# ---- looking, for who must not make anything ----

RELEASE = mlflow.__version__
"""Of the client."""


def existing(settings: Mlflow, root: Path) -> tuple[Registry, str] | None:
    """The registry as it is and its experiment's stage, `active` or `deleted`. None: there is no experiment yet."""
    uri = tracking_uri(settings, root)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    found = patiently(client.get_experiment_by_name, settings.experiment)
    return None if found is None else (Registry(client, uri, str(found.experiment_id), settings.tag_prefix), found.lifecycle_stage)


def running(registry: Registry, start: str) -> dict[str, str]:
    """Run -> request, of the runs that are RUNNING for a request whose name begins so."""
    asked = f"attributes.status = 'RUNNING' and tags.`{registry.key('request')}` LIKE '{start}%'"
    found = patiently(registry.client.search_runs, [registry.experiment], asked)
    return {str(run.info.run_id): str(run.data.tags[registry.key("request")]) for run in found}


def versions(registry: Registry, model: str) -> list[Version]:
    """Every version of a registered model, ours or not; none where there is no such model."""
    found: list[Version] = []
    token = None
    while True:
        page = patiently(registry.client.search_model_versions, f"name = '{model}'", max_results=1000, page_token=token)
        found += [_version(registry, one) for one in page]
        token = page.token
        if not token:
            return found


def aliases(registry: Registry, model: str) -> dict[str, int]:
    """Alias -> version; empty where there is no such model."""
    found = patiently(registry.client.search_registered_models, f"name = '{model}'")
    return {name: int(number) for one in found for name, number in one.aliases.items()}
