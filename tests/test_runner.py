"""What a child says is taken for what it is worth, and whatever it does, its end is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import pytest

from retraind.core.steps import Failed, JobRequest
from retraind.runner import _IDLE, ChildEnded, ChildProgressed, Ended, Runner, _Child, _ending


@pytest.mark.parametrize("said", [None, "text", 7, [], {}, {"kind": "unheard of"}, {"kind": []}, {"kind": "failed"}])
def test_an_outcome_that_is_none_is_a_crash_and_never_the_end_of_the_watch(tmp_path: Path, said: object) -> None:
    """The thread that watches the child must always tell its end: the lane waits for it."""
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    process.wait(30)
    assert process.stdout
    process.stdout.close()
    child = _Child(process, 0.0, 1.0, 1, tmp_path / "log.txt", "")
    child.outcome = said
    ended = _ending("000001-train", child)
    assert ended.ended == "crashed"
    assert ended.outcome is not None


SAY = """import json, os, sys, time, signal, subprocess
say = lambda **what: print(json.dumps(what), flush=True)
good = lambda: say(outcome={"kind": "prepared", "tracking_uri": "sqlite:///x", "mlflow": "3"})
"""
HELD = 'held = [sys.executable, "-c", "import time; x = bytearray(120 << 20); time.sleep(600)"]\n'
MISBEHAVE: dict[str, tuple[str, Ended]] = {
    "says it well": ("good()", "done"),
    "noise between": ("os.write(1, os.urandom(100_000) + b'\\n'); good()", "done"),
    "numbers and lists": ("[print(x, flush=True) for x in ('5', '[]', '\"progress\"', 'null', '{\"progress\": 7}')]; good()",
                          "done"),
    "nested a million deep": ("print('[' * 1_000_000, flush=True); good()", "done"),
    "half a character": ("print('{\"outcome\": {\"kind\": \"failed\", \"what\": \"\\\\udcff\"}}', flush=True)", "crashed"),
    "a line that never ends": ("[os.write(1, b'x' * 65536) for _ in range(1500)]; print(); good()", "done"),
    "no outcome": ("pass", "crashed"),
    "an outcome of another job": ("say(outcome={'kind': 'no such'})", "crashed"),
    "killed as the kernel does when memory is short": ("os.kill(os.getpid(), signal.SIGKILL)", "crashed"),
    "a fault in compiled code": ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed"),
    "stops itself": ("os.kill(os.getpid(), signal.SIGSTOP)", "timed_out"),
    "hangs and ignores signals": ("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)", "timed_out"),
    "closes its output and hangs": ("os.close(1); time.sleep(600)", "timed_out"),
    "holds too much": ("x = bytearray(400 << 20); time.sleep(600)", "out_of_memory"),
    "forks what holds too much together": (HELD + "[subprocess.Popen(held) for _ in range(3)]; time.sleep(600)", "out_of_memory"),
    "forks what leaves its session": (HELD + "[subprocess.Popen(held, start_new_session=True) for _ in range(3)]; time.sleep(600)",
                                      "out_of_memory"),
    "leaves behind what holds its output": ("subprocess.Popen(['sleep', '600'], start_new_session=True); good()", "done"),
    "fills its log": ("[os.write(2, b'e' * (1 << 20)) for _ in range(100_000)]", "crashed"),
}  # fmt: skip


def alive(session: int) -> list[str]:
    """What lives in the child's session; the dead whom nobody buried yet are not counted."""
    told = subprocess.run(["ps", "-o", "stat=,args=", "-s", str(session)], capture_output=True, text=True, check=False).stdout
    return [line for line in told.splitlines() if line.strip() and not line.startswith("Z")]


def wait_for_end(session: int) -> None:
    """Until nothing of it lives."""
    deadline = time.monotonic() + 20
    while alive(session):
        assert time.monotonic() < deadline, alive(session)


@pytest.mark.parametrize("how", MISBEHAVE)
def test_whatever_a_child_does_its_end_is_told_and_nothing_of_it_lives_on(tmp_path: Path, how: str) -> None:
    script, expected = MISBEHAVE[how]
    told: SimpleQueue[ChildProgressed | ChildEnded] = SimpleQueue()
    runner = Runner(told.put, [sys.executable, "-c", SAY + script])
    request = JobRequest(1, "000001-prepare", "prepare", "produce", str(tmp_path), "", {}, 1)
    seconds = 3.0 if expected == "timed_out" else 100.0
    pid = runner.start(request, tmp_path / "job", limit_seconds=seconds, limit_bytes=300 << 20)
    message = told.get(timeout=120)
    assert isinstance(message, ChildEnded)
    assert message.ended == expected, message
    assert (expected == "done") != isinstance(message.outcome, Failed)
    if isinstance(message.outcome, Failed) and expected != "failed":
        setting = {"out_of_memory": "jobs.memory", "timed_out": "jobs.time_limits"}.get(expected, "")
        assert setting in message.outcome.remedy
        assert str(tmp_path / "job" / "log.txt") in message.outcome.remedy
    assert not runner._children
    wait_for_end(pid)
    assert (tmp_path / "job" / "log.txt").stat().st_size < 100 << 20


# ---- one child of a kind for jobs in turn ----

WAITS = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for line in sys.stdin:
    name, request = json.loads(line)
    assert sys.argv[1] == ("light" if name in ("examine", "measure") else "models")
    if "odd" in request: say(outcome={"kind": "no such"})
    elif "bad" not in request: good()
    if "last" in request or "bad" in request: break
    say(waiting=True)
"""


def examined(folder: Path) -> tuple[Runner, Callable[..., tuple[int, Ended]]]:
    """A runner, and what examines with it (or does the job of that name): the child's pid and how it ended."""
    told: SimpleQueue[ChildProgressed | ChildEnded] = SimpleQueue()
    runner = Runner(told.put, [sys.executable, "-c", SAY + WAITS])

    def examine(job: str, name: str = "examine") -> tuple[int, Ended]:
        request = JobRequest(1, job, name, "produce", str(folder), "", {}, 1)
        pid = runner.start(request, folder / job, limit_seconds=100, limit_bytes=300 << 20)
        message = told.get(timeout=120)
        assert isinstance(message, ChildEnded)
        assert message.job == job
        return pid, message.ended

    return runner, examine


def test_light_jobs_are_done_in_turn_by_one_child_that_ends_with_the_daemon(tmp_path: Path) -> None:
    runner, examine = examined(tmp_path)
    pid, ended = examine("000001-examine")
    assert ended == "done"
    assert [examine(job) for job in ("000002-examine", "000003-examine")] == [(pid, "done")] * 2
    assert alive(pid)
    runner.stop(1)
    assert not alive(pid)


def test_light_jobs_and_those_with_models_have_a_child_each(tmp_path: Path) -> None:
    runner, do = examined(tmp_path)
    light, _ = do("000001-examine")
    models, _ = do("000002-promote", "promote")
    assert models != light
    assert do("000003-forecast", "forecast")[0] == models
    assert do("000004-measure", "measure")[0] == light
    runner.stop(1)
    assert not alive(light)
    assert not alive(models)


def test_a_child_that_ends_after_its_job_is_followed_by_another(tmp_path: Path) -> None:
    runner, examine = examined(tmp_path)
    pid, ended = examine("000001-last")
    assert ended == "done"
    assert not alive(pid)
    other, ended = examine("000002-bad")
    assert (other != pid, ended) == (True, "crashed")
    assert not alive(other)
    assert examine("000003-examine")[1] == "done"
    runner.stop(1)


def test_a_child_that_says_no_outcome_of_ours_and_would_wait_is_ended(tmp_path: Path) -> None:
    runner, examine = examined(tmp_path)
    pid, ended = examine("000001-odd")
    assert ended == "crashed"
    assert not alive(pid)
    runner.stop(1)


def test_a_child_that_died_while_it_waited_costs_nothing(tmp_path: Path) -> None:
    runner, examine = examined(tmp_path)
    dead, _ = examine("000001-examine")
    os.kill(dead, signal.SIGKILL)
    wait_for_end(dead)
    pid, ended = examine("000002-examine")
    assert (pid != dead, ended) == (True, "done")
    runner.stop(1)


def test_a_child_that_nobody_needs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_IDLE, "light", 0.0)
    _, examine = examined(tmp_path)
    pid, _ = examine("000001-examine")
    wait_for_end(pid)
