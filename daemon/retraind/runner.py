"""Runs jobs in child processes: limits, progress, outcome. It knows processes, not what the jobs do.

One thread watches each child: it reads the child's lines, holds it to its time and memory, and puts what it learns into the
daemon's queue. Memory is the resident set of the whole process tree, since RLIMIT_AS counts what numerical libraries only
map (docs/decisions/0003-memory-limits.md). A child ends by itself when the daemon's end of its standard input closes.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from retraind.core.binding import Mistakes, bind, unbind
from retraind.core.steps import Failed, JobRequest, Outcome, Progress, decode_outcome
from retraind.errors import RetraindError
from retraind.failpoint import failpoint

__all__ = ["ChildEnded", "ChildProgressed", "Ended", "Runner"]

Ended = Literal["done", "failed", "crashed", "killed", "timed_out", "out_of_memory"]
_LOOK_EVERY = 0.2
_LINE_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True)
class ChildProgressed:
    """A child says how far it is."""

    job: str
    progress: Progress


@dataclass(frozen=True)
class ChildEnded:
    """A child is gone."""

    job: str
    ended: Ended
    outcome: Outcome | None
    seconds: float
    peak_mb: int


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    started: float
    limit_seconds: float
    limit_bytes: int
    thread: threading.Thread | None = None
    peak: int = 0
    ended: Ended | None = None
    """Set before it is killed by us."""
    outcome: Any = None
    """As it was said: another's child may say anything."""
    rest: bytes = field(default=b"")


class Runner:
    """Starts children and tells `tell` what becomes of them."""

    def __init__(self, tell: Callable[[ChildProgressed | ChildEnded], None]) -> None:
        self._tell = tell
        self._children: dict[str, _Child] = {}

    def start(self, request: JobRequest, folder: Path, *, limit_seconds: float, limit_bytes: int) -> int:
        """Start a child; its pid. Raises RetraindError when the system does not give one."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "request.json"
        path.write_text(json.dumps(unbind(request), ensure_ascii=False), "utf-8")
        failpoint(f"runner.before_start.{request.name}")
        environment = os.environ | {
            "MLFLOW_DISABLE_TELEMETRY": "true", "RETRAIND_DAEMON_PID": str(os.getpid()), "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": str(request.threads), "OPENBLAS_NUM_THREADS": str(request.threads),
            "LOKY_MAX_CPU_COUNT": str(request.threads), "OMP_WAIT_POLICY": "PASSIVE",
        }  # fmt: skip
        try:
            with (folder / "log.txt").open("ab") as log:
                process = subprocess.Popen(
                    # -P: the site's folder holds names (mlflow/) that must not be imported
                    [sys.executable, "-P", "-m", "retraind.jobs", request.name, str(path)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=request.root, env=environment,
                    start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise RetraindError(f"a child cannot be started: {error}", retryable=True) from error
        failpoint(f"runner.started.{request.name}")
        child = _Child(process, time.monotonic(), limit_seconds, limit_bytes)
        child.thread = threading.Thread(target=self._watch, args=(request.job, child), name=f"job {request.job}")
        self._children[request.job] = child
        child.thread.start()
        return process.pid

    def stop(self, grace: float) -> None:
        """End every child: politely, after `grace` seconds by force. Returns when all are gone."""
        children = list(self._children.values())
        deadline = time.monotonic() + grace
        for child in children:
            child.ended = child.ended or "killed"
            _signal(child.process, signal.SIGTERM)
        for child in children:
            if child.thread:
                child.thread.join(max(0.0, deadline - time.monotonic()))
            _signal(child.process, signal.SIGKILL)
        for child in children:
            if child.thread:
                child.thread.join()

    def _watch(self, job: str, child: _Child) -> None:
        assert child.process.stdout
        stream = child.process.stdout.fileno()
        while True:
            ready, _, _ = select.select([stream], [], [], _LOOK_EVERY)
            if ready:
                chunk = os.read(stream, 1 << 16)
                if not chunk:
                    break
                self._take(job, child, chunk)
            self._hold_to_limits(child)
        self._wait_or_kill(child)
        _signal(child.process, signal.SIGKILL)  # whatever it forked
        for pipe in (child.process.stdin, child.process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._children.pop(job, None)
        self._tell(_ending(job, child))

    def _take(self, job: str, child: _Child, chunk: bytes) -> None:
        lines = (child.rest + chunk).split(b"\n")
        child.rest = lines.pop()
        if len(child.rest) > _LINE_LIMIT:
            child.rest = b""
        for line in lines:
            try:
                told = json.loads(line)
                if "progress" in told:
                    self._tell(ChildProgressed(job, bind(Progress, told["progress"], strict=False)))
                elif "outcome" in told:
                    child.outcome = told["outcome"]
            except (ValueError, TypeError, Mistakes):
                continue  # not one of our lines: the child's end tells what it was worth

    @staticmethod
    def _hold_to_limits(child: _Child) -> None:
        resident = _resident(child.process.pid)
        child.peak = max(child.peak, resident)
        if resident > child.limit_bytes:
            child.ended = child.ended or "out_of_memory"
        elif time.monotonic() - child.started > child.limit_seconds:
            child.ended = child.ended or "timed_out"
        else:
            return
        _signal(child.process, signal.SIGKILL)

    def _wait_or_kill(self, child: _Child) -> None:
        """It closed its standard output; give it a moment to end, hold it to its limits for the rest."""
        while True:
            try:
                child.process.wait(_LOOK_EVERY)
            except subprocess.TimeoutExpired:
                self._hold_to_limits(child)
            else:
                return


def _ending(job: str, child: _Child) -> ChildEnded:
    seconds = round(time.monotonic() - child.started, 3)
    outcome = _outcome(child)
    if outcome is not None and child.ended is None:
        ended: Ended = "failed" if isinstance(outcome, Failed) else "done"
    else:
        ended = child.ended or "crashed"
        outcome = Failed(_words(ended, child), "read the job's log", retryable=True)
    return ChildEnded(job, ended, outcome, seconds, child.peak // 1024**2)


def _outcome(child: _Child) -> Outcome | None:
    if child.outcome is None:
        return None
    try:
        return decode_outcome(child.outcome)
    except (KeyError, TypeError, AttributeError, Mistakes):
        return None


def _words(ended: Ended, child: _Child) -> str:
    code = child.process.returncode
    return {
        "out_of_memory": f"held more than {child.limit_bytes // 1024**2} MB of memory and was ended",
        "timed_out": f"took longer than {child.limit_seconds:.0f} s and was ended",
        "killed": "was ended because the daemon stops",
    }.get(ended, f"ended with {'signal ' + str(-code) if code < 0 else 'code ' + str(code)} and without an outcome")


def _resident(pid: int) -> int:
    """Resident bytes of a process and all below it."""
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for process in tree:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To the child's whole session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
