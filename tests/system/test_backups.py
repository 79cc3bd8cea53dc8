"""The journal's automatic backup as the promise has it: made by the daemon itself, and what a damaged journal is mended with."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from command_line import run_in
from real_site import events, make_site, run_until_idle
from retraind.journal import backup, beside


def test_a_damaged_journal_is_refused_and_put_back_from_the_backup_that_the_daemon_made(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site")
    assert run_until_idle(site).returncode == 0
    journal = site / "state" / "journal.db"
    assert beside.backups(journal) == []
    first = events(site)[0].times.wall

    later = (first.replace(microsecond=0)).replace(year=first.year + 1).isoformat()
    ran = run_until_idle(site, env={"RETRAIND_CLOCK": later})
    assert ran.returncode == 0
    assert "journal is backed up path=state/backups/" in ran.stderr
    (kept,) = beside.backups(journal)
    known = backup.check(kept).events
    assert known < len(events(site))

    with sqlite3.connect(journal) as damaged:
        damaged.execute("DELETE FROM events WHERE seq = 2")
    ran = run_until_idle(site)
    assert ran.returncode == 1
    assert "the journal is damaged: event 2 is missing" in ran.stderr
    assert f"the newest backup is {kept.name}" in ran.stderr
    assert "Traceback" not in ran.stderr

    run = run_in(site)
    assert run("journal", "restore", "--yes").code == 0
    assert len(events(site)) == known
    assert run("audit", "verify").code == 0
    assert run_until_idle(site, env={"RETRAIND_CLOCK": later}).returncode == 0
