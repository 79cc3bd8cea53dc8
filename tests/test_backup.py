"""Backups of the journal: made while it is written to, whole or not there, and put back in the place of a damaged one."""

from __future__ import annotations

import datetime as dt
import sqlite3
from pathlib import Path
from queue import SimpleQueue

import pytest

from retraind.backups import BackupEnded, Backups
from retraind.core import events as e
from retraind.errors import RetraindError
from retraind.journal import append, backup, beside, read
from retraind.journal.append import Journal
from retraind.journal.read import flaws, opened, rows, verify

NOW = dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def arrival(number: int) -> e.DropArrived:
    return e.DropArrived(f"d{number}", f"drops/{number}.csv", f"{number}.csv", f"{number:064d}", 10, number)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Nine events, a minute apart, open for more."""
    made = Journal(tmp_path / "state" / "journal.db")
    for n in range(9):
        at = NOW + dt.timedelta(minutes=n)
        made.append("produce", arrival(n), e.Times(at, at, at))
    return made


def alter(path: Path, *statements: str) -> None:
    """What somebody with the file and SQLite can do."""
    with sqlite3.connect(path, isolation_level=None) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_a_backup_made_while_the_journal_is_open_holds_every_event_in_one_file(journal: Journal) -> None:
    target = beside.backup_path(journal.path, NOW)
    copy = backup.make(journal.path, target)
    assert (copy.events, copy.head, copy.last) == (9, journal.head, NOW + dt.timedelta(minutes=8))
    journal.append("produce", arrival(9), e.Times(NOW, NOW, NOW))
    assert backup.check(target).events == 9
    assert [p.name for p in target.parent.iterdir()] == ["journal-2026-11-24T090000Z.db"]
    assert beside.made_at(target) == NOW


def test_a_damaged_journal_is_not_backed_up_and_leaves_nothing_behind(journal: Journal) -> None:
    alter(journal.path, "UPDATE events SET body = replace(body, '2.csv', '9.csv') WHERE seq = 3")
    target = beside.backup_path(journal.path, NOW)
    with pytest.raises(RetraindError, match="event 3"):
        backup.make(journal.path, target)
    assert list(target.parent.iterdir()) == []


def test_only_the_newest_seven_are_kept(journal: Journal) -> None:
    for day in range(9):
        backup.make(journal.path, beside.backup_path(journal.path, NOW + day * DAY))
    backup.prune(journal.path)
    assert [beside.made_at(p) for p in beside.backups(journal.path)] == [NOW + day * DAY for day in range(2, 9)]


def test_the_daemon_makes_one_a_day_in_a_child(journal: Journal) -> None:
    queue: SimpleQueue[BackupEnded] = SimpleQueue()
    backups = Backups(journal.path, NOW, queue.put)
    backups.look(NOW + DAY / 2)
    assert not backups.running
    backups.look(NOW + DAY)
    told = queue.get(timeout=60)
    assert (told.why, backup.check(told.path).head) == ("", journal.head)
    backups.ended(told)
    backups.look(NOW + 1.5 * DAY)
    assert not backups.running
    assert not Backups(journal.path, NOW, queue.put).running  # after a restart it goes by the newest one
    Backups(journal.path, NOW - 9 * DAY, queue.put).look(NOW + 1.5 * DAY)
    assert queue.empty()


def test_a_backup_that_failed_is_told_with_its_reason_and_tried_again_in_an_hour(journal: Journal) -> None:
    (journal.path.parent / "backups").write_text("no folder")
    queue: SimpleQueue[BackupEnded] = SimpleQueue()
    backups = Backups(journal.path, NOW - DAY, queue.put)
    backups.look(NOW)
    told = queue.get(timeout=60)
    assert "File exists" in told.why
    backups.ended(told)
    backups.look(NOW + DAY / 48)
    assert not backups.running
    backups.look(NOW + DAY / 24)
    assert backups.running
    queue.get(timeout=60)


def test_a_new_format_keeps_a_copy_of_the_old_one(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.close()
    for module in (append, read):
        monkeypatch.setattr(module, "FORMAT", 2)
    Journal(journal.path).close()
    (kept,) = beside.backups(journal.path)
    assert kept.name == "journal-2026-11-24T090800Z-format-1.db"
    assert beside.made_at(kept) == NOW + dt.timedelta(minutes=8)
    assert backup.check(kept).events == 9


def test_a_damaged_journal_is_refused_at_the_start_with_the_newest_backup_named(journal: Journal) -> None:
    backup.make(journal.path, beside.backup_path(journal.path, NOW))
    journal.close()
    alter(journal.path, "DELETE FROM events WHERE seq = 4")
    with pytest.raises(RetraindError, match="event 4 is missing") as refused:
        Journal(journal.path)
    assert "journal-2026-11-24T090000Z.db" in refused.value.remedy
    assert "retrainctl journal restore" in refused.value.remedy


def test_a_torn_file_is_refused_with_the_same_advice(journal: Journal) -> None:
    backup.make(journal.path, beside.backup_path(journal.path, NOW))
    journal.close()
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    with pytest.raises(RetraindError, match="journal cannot be read") as refused:
        Journal(journal.path)
    assert "retrainctl journal restore" in refused.value.remedy


def test_a_restored_journal_is_the_backup_and_what_lay_there_is_kept(journal: Journal, tmp_path: Path) -> None:
    target = beside.backup_path(journal.path, NOW)
    head = backup.make(journal.path, target).head
    beside.snapshot_path(journal.path).write_text("{}")
    journal.close()
    journal.path.write_text("damaged")
    backup.restore(target, journal.path, tmp_path / "aside")
    assert sorted(p.name for p in (tmp_path / "aside").iterdir()) == ["journal.db", "snapshot.json"]
    again = Journal(journal.path)
    assert (again.seq, again.head) == (9, head)


def test_a_damaged_backup_replaces_nothing(journal: Journal, tmp_path: Path) -> None:
    target = beside.backup_path(journal.path, NOW)
    backup.make(journal.path, target)
    journal.close()
    alter(target, "UPDATE events SET kind = 'drop.filed' WHERE seq = 5")
    with pytest.raises(RetraindError, match="event 5"):
        backup.restore(target, journal.path, tmp_path / "aside")
    assert backup.check(journal.path).events == 9
    assert not (tmp_path / "aside").exists()


# ---- which event it was ----

_SWAP = (
    "CREATE TEMP TABLE kept AS SELECT * FROM events WHERE seq IN (3, 6)", "DELETE FROM events WHERE seq IN (3, 6)",
    "UPDATE kept SET seq = 9 - seq", "INSERT INTO events SELECT * FROM kept",
)  # fmt: skip
_SWAP_BUT_HASHES = (
    "CREATE TEMP TABLE kept AS SELECT * FROM events WHERE seq IN (3, 6)",
    """UPDATE events SET (wall, site, machine, body) = (SELECT wall, site, machine, body FROM kept WHERE seq = 9 - events.seq)
       WHERE seq IN (3, 6)""",
)


@pytest.mark.parametrize(
    ("done", "seqs", "words"),
    [
        (("UPDATE events SET body = replace(body, '4.csv', '9.csv') WHERE seq = 5",), [5], "event 5 (drop.arrived) does not"),
        (("UPDATE events SET wall = '2026-11-25T09:00:00.000+00:00' WHERE seq IN (2, 7)",), [2, 7], "event 2"),
        (("DELETE FROM events WHERE seq IN (4, 5)",), [4], "events 4 to 5 are missing, so event 6 cannot be checked"),
        (("DELETE FROM events WHERE seq = 1",), [1], "event 1 is missing"),
        (_SWAP, [3, 6], "event 3 stands where another was written: it is event 6"),
        (_SWAP_BUT_HASHES, [3, 6], "event 3 stands where another was written: it is event 6"),
    ],
)
def test_each_event_that_was_changed_removed_or_reordered_is_named_and_no_other(
    journal: Journal, done: tuple[str, ...], seqs: list[int], words: str
) -> None:
    journal.close()
    alter(journal.path, *done)
    with opened(journal.path) as connection:
        found = list(flaws(rows(connection)))
        assert verify(connection)[2] is not None
    assert [f.seq for f in found] == seqs
    assert found[0].what.startswith(words)


def test_a_row_whose_hash_was_made_anew_shows_by_the_next_one(journal: Journal) -> None:
    journal.close()
    with sqlite3.connect(journal.path) as tampered:
        before = tampered.execute("SELECT hash FROM events WHERE seq = 3").fetchone()[0]
        row = next(rows(tampered, 3))
        fields = (*row[:-2], row[-2].replace("3.csv", "9.csv"))
        tampered.execute("UPDATE events SET body = ?, hash = ? WHERE seq = 4", (fields[-1], read.chain(before, fields)))
    with opened(journal.path) as connection:
        (found,) = flaws(rows(connection))
    assert (found.seq, "event 4: it was changed, or the other one with its hash" in found.what) == (5, True)
