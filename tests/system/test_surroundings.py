"""What the machine around a daemon does to it: a journal that another process holds, folders that take nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from held import held
from real_site import csv, drop_ends, events, make_site, rows, run_until_idle, running
from retraind import supervisor
from retraind.journal import append
from retraind.journal.append import Journal

SOON = {"settle: 3s": "settle: 1s"}
LONG_WAITS = [pytest.param(seconds, marks=pytest.mark.long) for seconds in (10, 60)]


# ---- a journal that another process holds; MLflow's store: tests/system/test_kills.py ----


@pytest.mark.parametrize("seconds", [1, *LONG_WAITS])
def test_a_journal_that_another_process_holds_costs_time_and_no_drop(
    tmp_path: Path, seconds: int, record_property: Callable[[str, object], None]
) -> None:
    site = make_site(tmp_path / "site", SOON, prepared=True)
    with running(site) as daemon:
        with held(site / "state" / "journal.db"):
            (site / "drops" / "daily_sales.csv").write_text(csv(rows(5)))
            time.sleep(seconds)  # how long it is held is what is tried
            assert daemon.process.poll() is None
        daemon.wait_for("drop.filed")
        assert ("journal cannot be written, trying again" in daemon.log) == (seconds > 5)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log
    assert drop_ends(site) == {"daily_sales.csv": "accepted"}
    record_property("tried", f"seconds that the journal was held by another process: {seconds}")


def test_a_start_waits_for_a_process_that_holds_the_journal_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.db"
    Journal(path).close()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(append, "_PATIENCE", 0.05)
    said: list[str] = []

    def say(what: str, error: object) -> None:
        said.append(f"{what}: {error}")
        holder.execute("ROLLBACK")

    monkeypatch.setattr(supervisor.log, "say", say)
    supervisor._opened(path).close()
    (line,) = said
    assert "another process holds the journal" in line
    assert "backup" not in line, "it is not damaged"


def test_a_stop_while_the_journal_is_held_says_what_holds_it_up(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    journal._db.execute("PRAGMA busy_timeout=50")
    with pytest.raises(sqlite3.OperationalError) as raised:
        journal._write([])
    told = str(append.unwritable(path, raised.value))
    assert "end what works on it" in told
    assert "make room" not in told


# ---- folders that take nothing ----


def read_only(folder: Path) -> list[str]:
    """The beginning of a command for which that folder is read-only, for root too. Skips the test where that cannot be."""
    if os.geteuid() != 0 or not shutil.which("unshare") or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        if os.environ.get("CI"):
            pytest.fail("CI must be root and may unshare mounts")
        pytest.skip("needs root and unshare")
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    return ["unshare", "-m", "sh", "-c", script, str(folder)]


def test_a_state_folder_that_takes_nothing_is_said_and_holds_all_when_it_is_mended(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", SOON)
    (site / "state").mkdir()
    Journal(site / "state" / "journal.db").close()
    (site / "drops" / "daily_sales.csv").write_text(csv(rows(5)))
    before = {path: path.read_bytes() for path in (site / "state").iterdir()}
    done = subprocess.run([*read_only(site / "state"), sys.executable, "-m", "retraind", "--until-idle"], cwd=site,
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 1
    assert "the state folder cannot be written: Read-only file system" in done.stderr
    assert "let the daemon's user write there" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in (site / "state").iterdir()} == before
    assert (site / "drops" / "daily_sales.csv").exists()


def test_a_drops_folder_that_lets_nothing_go_costs_no_drop_and_goes_on_when_it_is_mended(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", SOON, prepared=True)
    drops = site / "drops"
    with running(site, before=read_only(drops)) as daemon:
        (drops / "daily_sales_1.csv").write_text(csv(rows(5)))
        daemon.wait_for("drop.accepted")
        daemon.wait_for("file cannot be put away")
        subprocess.run(["nsenter", "-t", str(daemon.process.pid), "-m", "mount", "-o", "remount,rw,bind", str(drops)], check=True)
        (drops / "daily_sales_2.csv").write_text(csv(rows(5, day="2024-01-06")))
        daemon.wait_for("drop.filed", times=2)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log
    assert drop_ends(site) == {"daily_sales_1.csv": "accepted", "daily_sales_2.csv": "accepted"}
    assert len(events(site, "drop.arrived")) == 2
    assert [path.name for path in drops.iterdir()] == ["daily_sales_1.csv"], "for whoever could not let it go"
    assert (site / "done" / "daily_sales_2.csv").exists()


# ---- a clock that jumps ----


@pytest.mark.long
def test_a_clock_that_was_set_between_starts_costs_no_drop(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    site = make_site(tmp_path / "site", SOON | {"half-yearly: {every: 26w, asks: search}": 'nightly: {cron: "0 3 * * *"}'})
    clocks = ("2026-06-01T12:00+00:00", "2026-05-20T12:00+00:00", "2027-01-04T12:00+00:00", "2026-06-02T12:00+00:00")
    for day, wall in enumerate(clocks, 5):
        (site / "drops" / f"daily_sales_{day}.csv").write_text(csv(rows(5, day=f"2024-01-{day:02d}")))
        done = run_until_idle(site, env={"RETRAIND_CLOCK": wall}, seconds=600)
        assert done.returncode == 0, done.stderr
    assert list(drop_ends(site).values()) == ["accepted"] * len(clocks)
    told = events(site)
    assert [r.event.missed for r in told if r.event.KIND == "schedule.due"] == [228], "what was missed in 229 nights comes once"
    machine = [r.times.machine for r in told]
    assert machine == sorted(machine)
    record_property("tried", f"starts with a clock that was set back or forth by weeks: {len(clocks)}")
