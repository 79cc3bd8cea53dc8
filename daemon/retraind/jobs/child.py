"""The child's side of the contract with the daemon: read a request, do one job, say one outcome.

Standard output carries JSON lines and nothing else: {"progress": {"stage", "done", "of"}} as the job goes and
{"outcome": {"kind", ...}} once, last. Whatever a library prints lands on standard error, which the runner keeps as
the job's log. Standard input carries nothing: its end means that the daemon is gone, and ends the child with code 3, so
that an orphan never works beside its successor. Code 0: an outcome was said, `Failed` included. Code 2: wrong usage.

Only the module of the asked job is imported, after the thread limits are set: numerical libraries read them once.

`light` or `models` in the place of a job and its request does jobs of that kind one after another. Each is a line on standard
input that names both, as a JSON list; {"waiting": true} after an outcome says that the child can do another. It ends instead
where a job failed, or left it holding much memory, or a model's own code.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.abc import MetaPathFinder
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

import psutil

from retraind import settings as settings_module
from retraind.core import steps
from retraind.core.binding import Mistakes, bind
from retraind.core.steps import IN_TURN, JOBS, VERSION, Failed, JobRequest, Outcome, encode_outcome
from retraind.errors import RetraindError
from retraind.failpoint import failpoint
from retraind.settings import Pipeline, Settings

__all__ = ["FUNCTIONS", "JobContext", "main", "perform"]

FUNCTIONS = {
    "survey": "retraind.jobs.examine:survey",
    "examine": "retraind.jobs.examine:examine",
    "forecast": "retraind.jobs.forecast:forecast",
    "measure": "retraind.jobs.measure:measure",
    "prepare": "retraind.jobs.promote:prepare",
    "train": "retraind.jobs.train:train",
    "reproduce": "retraind.jobs.reproduce:reproduce",
    "compare": "retraind.jobs.compare:compare",
    "promote": "retraind.jobs.promote:promote",
    "adopt": "retraind.jobs.adopt:adopt",
    "archive": "retraind.jobs.archive:archive",
}
"""Job -> module:function."""

_IMPORTED_FIRST = {"light": (*(FUNCTIONS[name].partition(":")[0] for name in IN_TURN["light"]), "numpy.ma"), "models": ()}
"""What a child imports before its first job: all that light jobs need (numpy.ma when they first count values). What jobs with
models need differs from one to the next."""
_MOST_HELD = {"light": 256 * 1024**2, "models": 512 * 1024**2}
"""Bytes: a child that holds more after a job ends, so that the memory is given back."""
ORPHANED = 3
_PROGRESS_EVERY = 0.2  # seconds between lines of one stage: the daemon redraws no faster


@dataclass(frozen=True)
class JobContext:
    """What a job may know beside its step."""

    settings: Settings
    pipeline: str
    root: Path
    """The site's folder."""
    folder: Path
    """The job's own folder, beside its request; whatever is left in it may be deleted after the job."""
    threads: int
    progress: Callable[[str, int, int], None]
    """Says (stage in words, steps done, steps in all)."""

    @property
    def config(self) -> Pipeline:
        """The settings of the job's pipeline."""
        return self.settings.pipelines[self.pipeline]

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.root / self.settings.paths.state


class _Lines:
    """The real standard output, one JSON line at a time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._stage = ""
        self._said_at = 0.0

    def say(self, value: dict[str, Any]) -> None:
        line = json.dumps(value, allow_nan=False) + "\n"
        with self._lock:
            try:
                self._stream.write(line)
                self._stream.flush()
            except BrokenPipeError:
                os._exit(ORPHANED)  # nobody listens any more

    def progress(self, stage: str, done: int, of: int) -> None:
        now = time.monotonic()
        if stage == self._stage and done < of and now - self._said_at < _PROGRESS_EVERY:
            return
        self._stage, self._said_at = stage, now
        self.say({"progress": {"stage": stage, "done": done, "of": of}})


def main(arguments: list[str]) -> int:
    """Carry out one job, or those of a kind in turn. Returns the exit code."""
    in_turn = len(arguments) == 1 and arguments[0] in IN_TURN
    if not in_turn and (len(arguments) != 2 or arguments[0] not in FUNCTIONS):
        sys.stderr.write(f"usage: python -m retraind.jobs {'|'.join(FUNCTIONS)} REQUEST.json, or {'|'.join(IN_TURN)}\n")
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)  # ends at once and says nothing, even inside a long fit
    gc.disable()  # until the libraries are there: they stay, and looking through them for garbage takes a seventh of the time
    if arguments[0] in ("light", *IN_TURN["light"]):
        sys.meta_path.insert(0, _NoPandas())
    lines = _Lines(_keep_stdout())
    asked: SimpleQueue[list[str]] = SimpleQueue()
    threading.Thread(target=_listen_to_daemon, args=(asked.put,), name="daemon-watch", daemon=True).start()
    if in_turn:
        _do_in_turn(arguments[0], asked.get, lines)
    else:
        _do(arguments[0], Path(arguments[1]), lines)
    return 0


def _do(name: str, request: Path, lines: _Lines) -> Outcome:
    """Carry out a job and say its outcome."""
    outcome = perform(name, request, lines.progress)
    failpoint("job.before_outcome")
    lines.say({"outcome": encode_outcome(outcome)})
    failpoint("job.after_outcome")
    return outcome


def _do_in_turn(kind: str, asked: Callable[[], list[str]], lines: _Lines) -> None:
    """Until a job failed, or left more behind than the next one should meet."""
    for module in _IMPORTED_FIRST[kind]:
        importlib.import_module(module)
    # MLflow's store may be another file when the next job comes
    os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
    path = list(sys.path)
    while True:
        name, request = asked()
        _log_beside(Path(request))
        outcome = _do(name, Path(request), lines)
        brought_code = sys.path != path  # a model's own, whose modules another model's may be named like
        if isinstance(outcome, Failed) or brought_code or psutil.Process().memory_info().rss > _MOST_HELD[kind]:
            return
        lines.say({"waiting": True})


def perform(name: str, request_file: Path, progress: Callable[[str, int, int], None]) -> Outcome:
    """The outcome of the job in `request_file`; whatever goes wrong is a `Failed`."""
    try:
        request = _read_request(name, request_file)
        _limit_threads(request.threads)
        settings = _settings(request.config)
        step = bind(JOBS[name], request.step, strict=False)
        job = JobContext(settings, request.pipeline, Path(request.root), request_file.parent, request.threads, progress)
        if _needs_skops(step):
            # it looks for each of 800 functions in all modules that are there: after MLflow's that takes a second more
            importlib.import_module("skops.io")
        module, _, function = FUNCTIONS[name].partition(":")
        do = getattr(importlib.import_module(module), function)
        gc.enable()
        outcome: Outcome = do(step, job)
    except RetraindError as error:
        where = str(error.where) if error.where else ""
        return Failed(error.what, remedy=error.remedy, retryable=error.retryable, where=where)
    except Exception as error:  # noqa: BLE001 (a job may fail in any way, and the daemon must hear of it)
        traceback.print_exc()
        return Failed(f"{type(error).__name__}: {error}", retryable=True)
    return outcome


@lru_cache(1)
def _settings(text: str) -> Settings:
    """Read once for jobs in turn."""
    return settings_module.parse(text)


def _needs_skops(step: Any) -> bool:
    """Whether the job loads models, or comes with MLflow before one that does so in the same child."""
    if isinstance(step, steps.Forecast):
        return any(step.forecasters.values())
    return isinstance(step, steps.Train | steps.Compare | steps.Promote | steps.Archive | steps.Adopt)


class _NoPandas(MetaPathFinder):
    """Says that pandas is not installed: pyarrow looks for it wherever it takes a list, and in finding it spends a second.
    (None in sys.modules says so too, and pyarrow's C++ stumbles over it.)"""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        del path, target
        if fullname == "pandas":
            raise ModuleNotFoundError("this job does without pandas", name=fullname)


def _read_request(name: str, file: Path) -> JobRequest:
    try:
        request = bind(JobRequest, json.loads(file.read_bytes()), strict=False)
    except (OSError, ValueError, Mistakes) as error:
        raise RetraindError(f"the job's request cannot be read: {error}") from error
    if request.version != VERSION or request.name != name:
        raise RetraindError(
            f"the request is for {request.name} in version {request.version}, this is {name} in version {VERSION}",
            remedy="Restart the daemon, so that daemon and jobs are of one release",
        )
    return request


def _keep_stdout() -> TextIO:
    """The real standard output; from here on descriptor 1 leads to standard error.

    On the level of descriptors, because compiled libraries print past `sys.stdout`. The kept descriptor is not
    inherited: a grandchild must not hold the daemon's pipe open.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(kept, "w", encoding="utf-8")


def _log_beside(request: Path) -> None:
    """From here on what is printed lands in the log beside this request."""
    log = os.open(request.with_name("log.txt"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)


def _listen_to_daemon(ask: Callable[[list[str]], None]) -> None:
    """Take the jobs that it names; end when it does."""
    with contextlib.suppress(OSError), open(0, "rb", buffering=0, closefd=False) as told:
        for line in told:
            ask(json.loads(line))
    os._exit(ORPHANED)


def _limit_threads(threads: int) -> None:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
        os.environ[variable] = str(threads)
    # threads that spin while they wait for one another make a fit ten times slower beside one busy process
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
