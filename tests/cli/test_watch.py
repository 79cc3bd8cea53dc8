"""`status --watch`, as a real process: lines into a pipe, a screen on a terminal, and a clean end at Ctrl-C."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import journals
from command_line import Run
from retraind.core import events as e

DEADLINE = 30.0


@contextmanager
def watching(folder: Path, out: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "retrainctl", "--config", str(folder / "config.yaml"), "status", "--watch"]
    process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | {"TERM": "xterm", "COLUMNS": "100"})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def read_until(source: int, wanted: str) -> str:
    """What comes until it holds `wanted`. Fails at the deadline with what came."""
    text, end = "", time.monotonic() + DEADLINE
    while wanted not in text:
        ready, _, _ = select.select([source], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"no {wanted!r} in time, but: {text}"
        chunk = os.read(source, 65536)
        assert chunk, f"it ended without {wanted!r}: {text}"
        text += chunk.decode()
    return text


def test_without_a_terminal_each_change_is_a_line_and_ctrl_c_ends_it_well(tmp_path: Path) -> None:
    story, _ = journals.first_days(tmp_path)
    source, out = os.pipe()
    with watching(tmp_path, out) as process:
        os.close(out)
        first = read_until(source, "\n")
        assert f"watching {tmp_path} from event {story.state.seq} on" in first
        story.append(e.RetrainAsked("ops-a", "new supplier"))
        line = read_until(source, "\n")
        assert line.endswith('ops-a asked for a retraining: "new supplier"\n')
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
        assert os.read(source, 65536) == b""
    os.close(source)
    story.kill()


def test_a_watch_is_for_people(run: Run) -> None:
    ran = run("status", "--watch", "--json")
    assert (ran.code, ran.json["error"]["what"]) == (2, "--watch and --json do not go together")


def test_on_a_terminal_the_screen_stays_and_ctrl_c_ends_it_well(year: Path) -> None:
    source, terminal = pty.openpty()
    with watching(year, terminal) as process:
        os.close(terminal)
        text = read_until(source, "Ctrl-C ends the watch")
        assert "CHAMPION" in text
        assert "in QUARANTINE" in text
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
    os.close(source)
