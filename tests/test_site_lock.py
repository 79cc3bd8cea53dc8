"""Two daemons never work on one site."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from retraind.errors import RetraindError
from retraind.site_lock import SiteLock

HOLD = """
import sys, time
from pathlib import Path
from retraind.site_lock import SiteLock
SiteLock(Path(sys.argv[1])).take()
print("held", flush=True)
time.sleep(600)
"""


def test_the_second_is_refused_at_once_and_told_who_holds_the_site_and_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state" / "retraind.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(RetraindError, match=f"retraind, pid {holder.pid} runs on this site already"):
        SiteLock(path).take()
    holder.send_signal(signal.SIGKILL)
    holder.wait(30)
    holder.stdout.close()
    lock = SiteLock(path)
    lock.take()
    lock.release()


def test_what_a_holder_left_running_does_not_hold_the_site(tmp_path: Path) -> None:
    """The lock is not inherited: an orphan ends by itself, and its successor need not wait for that."""
    path = tmp_path / "retraind.lock"
    lock = SiteLock(path)
    lock.take()
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)"], os.environ)
    try:
        lock.release()
        _take_within(path, seconds=10)  # another test's child may hold it from its fork to its exec
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _take_within(path: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            return SiteLock(path).take()
        except RetraindError:
            if time.monotonic() > end:
                raise


def test_a_second_daemon_on_a_site_ends_with_a_word_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text((Path(__file__).resolve().parents[1] / "config.yaml").read_text())
    lock = SiteLock(tmp_path / "state" / "retraind.lock")
    lock.take()
    done = subprocess.run([sys.executable, "-m", "retraind"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    lock.release()
    assert done.returncode == 1
    assert f"retraind, pid {os.getpid()} runs on this site already" in done.stderr
    assert "retrainctl status" in done.stderr
    assert not (tmp_path / "state" / "journal.db").exists()
