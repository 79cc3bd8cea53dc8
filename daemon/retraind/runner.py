"""Runs jobs in child processes: limits, progress, outcome. It knows processes, not what the jobs do.

One thread watches each child: it reads the child's lines, holds it to its time and memory, and puts what it learns into the
daemon's queue. Memory is the resident set of the whole process tree, since RLIMIT_AS counts what numerical libraries only
map (docs/decisions/0003-memory-limits.md). A child ends by itself when the daemon's end of its standard input closes.

Some jobs follow one another (examine, measure; promote, forecast), and what they import takes longer than what they do. So
one child of a kind does them in turn: it says that it waits, and is named the next job; when none comes it is ended.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from retraind.core.binding import Mistakes, bind, unbind
from retraind.core.steps import IN_TURN, Failed, JobRequest, Outcome, Progress, decode_outcome
from retraind.errors import RetraindError
from retraind.failpoint import failpoint

__all__ = ["ChildEnded", "ChildProgressed", "Ended", "Runner"]

Ended = Literal["done", "failed", "crashed", "killed", "timed_out", "out_of_memory"]
_LOOK_EVERY = 0.2
_LINE_LIMIT = 64 * 1024 * 1024
_LOG_LIMIT, _LOG_KEPT = 64 * 1024 * 1024, 1024 * 1024
_IDLE = {"light": 120.0, "models": 10.0}
"""Seconds that a child of a kind waits for its next job: long enough for one to follow another, and not to hold memory for
nothing, which is some 100 MB with light jobs and 300 and more with models."""
_COMMAND = (sys.executable, "-P", "-m", "retraind.jobs")
"""-P: the site's folder holds names (mlflow/) that must not be imported."""


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
    log: Path
    kind: str
    """Of IN_TURN; empty where it does one job."""
    looked: float = 0.0
    """When it was last held to its limits: each look walks all processes."""
    thread: threading.Thread | None = None
    peak: int = 0
    ended: Ended | None = None
    """Set before it is killed by us."""
    talked_too_much: bool = False
    outcome: Any = None
    """As it was said: another's child may say anything."""
    waits: bool = False
    """It can do another job."""
    rest: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True)
class _Waiting:
    """A child that can do another job of its kind, and what ends it when none comes."""

    process: subprocess.Popen[bytes]
    idle: threading.Timer


class Runner:
    """Starts children and tells `tell` what becomes of them."""

    def __init__(
        self, tell: Callable[[ChildProgressed | ChildEnded], None], command: Sequence[str] = _COMMAND
    ) -> None:
        self._tell, self._command = tell, command
        self._children: dict[str, _Child] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._stopping = False
        self._lock = threading.Lock()

    def start(self, request: JobRequest, folder: Path, *, limit_seconds: float, limit_bytes: int) -> int:
        """Start a child; its pid. Raises RetraindError when the system does not give one."""
        folder.mkdir(parents=True, exist_ok=True)
        path, log = folder / "request.json", folder / "log.txt"
        path.write_text(json.dumps(unbind(request), ensure_ascii=False), "utf-8")
        log.touch()
        failpoint(f"runner.before_start.{request.name}")
        kind = next((kind for kind, names in IN_TURN.items() if request.name in names), "")
        try:
            process = self._in_turn(kind, request, path, log) if kind else (
                self._process(request, [request.name, str(path)], log)
            )
        except OSError as error:
            raise RetraindError(f"a child cannot be started: {error}", retryable=True) from error
        failpoint(f"runner.started.{request.name}")
        child = _Child(process, time.monotonic(), limit_seconds, limit_bytes, log, kind)
        child.thread = threading.Thread(target=self._watch, args=(request.job, child), name=f"job {request.job}")
        self._children[request.job] = child
        child.thread.start()
        return process.pid

    def _process(self, request: JobRequest, arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Raises OSError."""
        environment = os.environ | {
            "MLFLOW_DISABLE_TELEMETRY": "true", "RETRAIND_DAEMON_PID": str(os.getpid()), "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": str(request.threads), "OPENBLAS_NUM_THREADS": str(request.threads),
            "LOKY_MAX_CPU_COUNT": str(request.threads), "OMP_WAIT_POLICY": "PASSIVE",
        }  # fmt: skip
        with log.open("ab") as errors:
            return subprocess.Popen(
                [*self._command, *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=request.root, env=environment,
                start_new_session=True,
            )  # fmt: skip

    def _in_turn(self, kind: str, request: JobRequest, path: Path, log: Path) -> subprocess.Popen[bytes]:
        """A child that is told of this job: the one that waits, or a new one. Raises OSError."""
        line = json.dumps([request.name, str(path)]).encode() + b"\n"
        if process := self._taken(kind):
            if _told(process, line):
                return process
            _bury(process)
        process = self._process(request, [kind], log)
        _told(process, line)  # whether it died is for its watch to find
        return process

    def _taken(self, kind: str) -> subprocess.Popen[bytes] | None:
        """The child of that kind that waits, if one does; it waits no longer."""
        with self._lock:
            waiting = self._waiting.pop(kind, None)
        if waiting is None:
            return None
        waiting.idle.cancel()
        return waiting.process

    def _kept(self, child: _Child) -> bool:
        """Whether the child is to wait for another job."""
        if not child.waits or child.ended or _outcome(child) is None:
            return False
        with self._lock:
            if self._stopping or child.kind in self._waiting:
                return False
            idle = threading.Timer(_IDLE[child.kind], self._end_idle, [child.kind, child.process])
            idle.daemon = True
            self._waiting[child.kind] = _Waiting(child.process, idle)
            idle.start()
        return True

    def _end_idle(self, kind: str, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            waiting = self._waiting.get(kind)
            if waiting is None or waiting.process is not process:
                return
            del self._waiting[kind]
        _bury(process)

    def stop(self, grace: float) -> None:
        """End every child: politely, after `grace` seconds by force. Returns when all are gone."""
        with self._lock:
            self._stopping = True
        for kind in IN_TURN:
            if idle := self._taken(kind):
                _bury(idle)
        children = list(self._children.values())
        deadline = time.monotonic() + grace
        for child in children:
            child.ended = child.ended or "killed"
            _signal(child.process, signal.SIGTERM)
        for child in children:
            if child.thread:
                child.thread.join(max(0.0, deadline - time.monotonic()))
            _kill(child.process)
        for child in children:
            if child.thread:
                child.thread.join()

    def _watch(self, job: str, child: _Child) -> None:
        kept = False
        try:
            self._listen(job, child)
            kept = self._kept(child)
            if not kept and not child.waits:
                self._wait_or_kill(child)
        finally:  # whatever it said: its end is told, for its lane waits for it
            if not kept:
                _bury(child.process)  # and whatever it forked
            self._children.pop(job, None)
            self._tell(_ending(job, child))

    def _listen(self, job: str, child: _Child) -> None:
        """Until it waits for another job, or its standard output is closed, or it ended and what it forked holds that open and
        says nothing."""
        assert child.process.stdout
        stream = child.process.stdout.fileno()
        while True:
            ended = child.process.poll() is not None
            ready, _, _ = select.select([stream], [], [], 0 if ended else _LOOK_EVERY)
            chunk = os.read(stream, 1 << 16) if ready else b""
            if chunk:
                self._take(job, child, chunk)
                if child.waits:
                    return
            elif ready or ended:
                return
            if not ended and time.monotonic() - child.looked >= _LOOK_EVERY:
                self._hold_to_limits(child)

    def _take(self, job: str, child: _Child, chunk: bytes) -> None:
        child.rest += chunk
        if b"\n" not in chunk:
            if len(child.rest) > _LINE_LIMIT:
                child.rest.clear()
            return
        *lines, rest = bytes(child.rest).split(b"\n")
        child.rest = bytearray(rest)
        for line in lines:
            try:
                told = json.loads(line)
                if b"\\ud" in line.lower():
                    json.dumps(told, ensure_ascii=False).encode()  # half a character: the journal does not take it
                if "progress" in told:
                    self._tell(ChildProgressed(job, bind(Progress, told["progress"], strict=False)))
                elif "outcome" in told:
                    child.outcome = told["outcome"]
                elif "waiting" in told:
                    child.waits = child.outcome is not None
            except (ValueError, TypeError, RecursionError, Mistakes):
                continue  # not one of our lines: the child's end tells what it was worth

    @staticmethod
    def _hold_to_limits(child: _Child) -> None:
        child.looked = time.monotonic()
        resident = _resident(child.process.pid)
        child.peak = max(child.peak, resident)
        if resident > child.limit_bytes:
            child.ended = child.ended or "out_of_memory"
        elif time.monotonic() - child.started > child.limit_seconds:
            child.ended = child.ended or "timed_out"
        elif child.log.stat().st_size > _LOG_LIMIT:
            child.ended, child.talked_too_much = child.ended or "crashed", True
        else:
            return
        _kill(child.process)
        if child.talked_too_much:
            os.truncate(child.log, _LOG_KEPT)  # it may have filled the disk

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
        outcome = Failed(_words(ended, child), _remedy(ended, child), retryable=True)
    return ChildEnded(job, ended, outcome, seconds, child.peak // 1024**2)


def _outcome(child: _Child) -> Outcome | None:
    if child.outcome is None:
        return None
    try:
        return decode_outcome(child.outcome)
    except (KeyError, TypeError, AttributeError, RecursionError, Mistakes):
        return None


def _words(ended: Ended, child: _Child) -> str:
    code = child.process.returncode
    if child.talked_too_much:
        return f"wrote more than {_LOG_LIMIT // 1024**2} MB into its log and was ended"
    return {
        "out_of_memory": f"held more than {child.limit_bytes // 1024**2} MB of memory and was ended",
        "timed_out": f"took longer than {child.limit_seconds:.0f} s and was ended",
        "killed": "was ended because the daemon stops",
    }.get(ended, f"ended with {'signal ' + str(-code) if code < 0 else 'code ' + str(code)} and without an outcome")


def _remedy(ended: Ended, child: _Child) -> str:
    limits = {
        "out_of_memory": "raise jobs.memory in config.yaml where the machine has more; ",
        "timed_out": "raise jobs.time_limits in config.yaml where it only needs longer; ",
    }
    return f"{limits.get(ended, '')}its log: {child.log}"


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


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The child and all below it, those too that left its session while it lives."""
    below: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    _signal(process, signal.SIGKILL)
    for other in below:
        with contextlib.suppress(psutil.Error):
            other.kill()


def _told(process: subprocess.Popen[bytes], line: bytes) -> bool:
    """Whether it took a line: one that died does not."""
    assert process.stdin
    try:
        process.stdin.write(line)
        process.stdin.flush()
    except OSError:
        return False
    return True


def _bury(process: subprocess.Popen[bytes]) -> None:
    """End it and all below it, and wait for its end."""
    _kill(process)
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To the child's whole session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
