"""`retrainctl journal`: a backup by hand, and a damaged journal mended with it."""

from __future__ import annotations

import fcntl
import shutil
import sqlite3
from pathlib import Path

import pytest

from command_line import Run, run_in


@pytest.fixture
def site(year: Path, tmp_path: Path) -> Path:
    """A copy of the year's site, to be damaged."""
    return Path(shutil.copytree(year, tmp_path / "site"))


@pytest.fixture
def mend(site: Path) -> Run:
    """Run a command there."""
    return run_in(site)


def test_a_backup_by_hand_is_a_journal_that_was_read_to_its_end(mend: Run, site: Path) -> None:
    assert "no backup yet" in mend("journal", "list").out
    ran = mend("journal", "backup", "--json")
    assert ran.json["head"] == mend("audit", "verify", "--json").json["head"]
    assert Path(ran.json["file"]).parent == site / "state" / "backups"
    (row,) = mend("journal", "list", "--json").json["backups"]
    assert row["file"] == Path(ran.json["file"]).name
    elsewhere = site / "elsewhere.db"
    assert mend("journal", "backup", str(elsewhere)).code == 0
    again = mend("journal", "backup", str(elsewhere))
    assert (again.code, again.err) == (2, f"error: {elsewhere}: there is a file already; name another one\n")


def test_a_damaged_journal_is_put_back_from_the_newest_backup_and_its_drops_come_again(mend: Run, site: Path) -> None:
    head = mend("journal", "backup", "--json").json["head"]
    late = site / "done" / "late.csv"
    late.parent.mkdir(exist_ok=True)
    late.write_text("came after the backup")
    journal = site / "state" / "journal.db"
    with sqlite3.connect(journal) as damaged:
        damaged.execute("UPDATE events SET body = replace(body, 'accepted', 'rejected') WHERE seq = 20")
        damaged.execute("DELETE FROM events WHERE seq = 30")
    ran = mend("audit", "verify")
    assert (ran.code, ran.err.count("error: ")) == (1, 1)
    assert "retrainctl journal restore" in ran.err
    assert mend("journal", "restore").code == 2  # nobody can be asked
    told = mend("journal", "restore", "--yes", "--drops-again", "--json").json
    assert told["back_in_drops"] == ["late.csv"]
    assert (site / "drops" / "late.csv").exists()
    assert (Path(told["aside"]) / "journal.db").exists()
    assert mend("audit", "verify", "--json").json["head"] == head
    assert mend("status").code == 0


def test_nothing_is_restored_under_a_running_daemon_or_from_nowhere(mend: Run, site: Path) -> None:
    ran = mend("journal", "restore", "--yes")
    assert (ran.code, "there is no backup" in ran.err) == (1, True)
    assert mend("journal", "restore", "gone.db", "--yes").code == 2
    mend("journal", "backup")
    with (site / "state" / "retraind.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = mend("journal", "restore", "--yes")
    assert (ran.code, "the daemon runs on this site" in ran.err) == (1, True)
