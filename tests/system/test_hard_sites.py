"""Sites on which something is wrong: the daemon says so, goes on with the rest, ends when it is idle, and loses no drop."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import psutil
import pytest

from real_site import ask, csv, drop_ends, events, make_site, rows, run_until_idle, running
from small_shop import EDITS, write_history, write_policies

SOON = {"settle: 3s": "settle: 1s"}


def test_a_file_that_took_the_place_of_an_accepted_one_is_examined_and_not_deleted(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", {**SOON, "after: move ": "after: delete "}, prepared=True)
    file = site / "drops" / "daily_sales.csv"
    file.write_text(csv(rows(5)))
    killed = run_until_idle(site, env={"RETRAIND_FAILPOINT": "journal.appended.drop.accepted"})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    file.write_text(csv(rows(5, day="2024-01-06")))
    run_until_idle(site)
    assert [r.event.file.last_date.day for r in events(site, "drop.accepted")] == [5, 6]
    assert not file.exists()


def test_a_file_that_cannot_be_put_away_arrives_once(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", SOON, prepared=True)
    (site / "done").write_text("somebody's file where the folder should be")
    (site / "drops" / "daily_sales.csv").write_text(csv(rows(5)))
    for _ in range(2):
        done = run_until_idle(site, seconds=60)
        assert "file cannot be put away" in done.stderr or _ == 1
    assert len(events(site, "drop.arrived")) == 1
    assert (site / "drops" / "daily_sales.csv").exists()


def test_a_disk_that_takes_nothing_stops_the_work_and_not_the_daemon_and_nothing_is_lost(tmp_path: Path) -> None:
    """By a limit on the size of files that the daemon may write, as strict as a full disk and as easy to lift."""
    site = make_site(tmp_path / "site", SOON, prepared=True)
    with running(site) as daemon:
        daemon.wait_for("schedule.anchored")  # the last thing that a start writes
        psutil.Process(daemon.process.pid).rlimit(psutil.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        (site / "drops" / "daily_sales.csv").write_text(csv(rows(5)))
        daemon.wait_for("journal cannot be written")
        psutil.Process(daemon.process.pid).rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        daemon.wait_for("drop.filed")
        psutil.Process(daemon.process.pid).rlimit(psutil.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        (site / "drops" / "daily_sales_2.csv").write_text(csv(rows(5, day="2024-01-06")))
        daemon.wait_for("journal cannot be written", times=2)
        assert daemon.stop() == 1, daemon.log  # it does not wait for a disk that nobody mends
        assert "make room on the disk" in daemon.log
        assert "Traceback" not in daemon.log
    assert run_until_idle(site).returncode == 0
    assert drop_ends(site) == {"daily_sales.csv": "accepted", "daily_sales_2.csv": "accepted"}


def test_a_retry_of_a_file_that_cannot_be_read_is_refused_and_the_daemon_goes_on(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", SOON, prepared=True)
    (site / "drops" / "daily_sales.csv").write_text(csv(rows(5, quantity="-1")))
    with running(site) as daemon:
        daemon.wait_for("drop.filed")
        (drop,) = drop_ends(site, by="id")
        bad = site / "quarantine" / "daily_sales.csv"
        bad.unlink()
        bad.symlink_to("/proc/self/mem")  # opens, and cannot be read
        answer = ask(site, {"version": 1, "id": "m1", "message": "drop_retry", "drop": drop})
        assert "cannot be read" in str(answer.get("refused")), answer
        assert daemon.process.poll() is None


def test_a_policies_folder_that_cannot_be_read_keeps_what_is_in_force(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", SOON, prepared=True)
    assert run_until_idle(site).returncode == 0
    policies = site / "policies"
    policies.rename(site / "elsewhere")
    policies.symlink_to("policies")  # leads to itself
    done = run_until_idle(site)
    assert done.returncode == 0, done.stderr
    assert "policies folder cannot be read" in done.stderr
    assert events(site, "policy.removed") == []


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    site = make_site(tmp_path / "site", EDITS | {"retries: 3 ": "retries: 0 ", "train: 2h": "train: 1s"}, prepared=True)
    write_policies(site)
    write_history(site / "drops")
    return site


def test_a_training_that_failed_for_good_is_said_once_by_the_exit_code(failing: Path) -> None:
    assert run_until_idle(failing).returncode == 1
    assert len(events(failing, "retrain.failed")) == 1
    assert run_until_idle(failing).returncode == 0
