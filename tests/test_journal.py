"""The journal: what is appended is there, in order, chained, and readable by whoever looks."""

from __future__ import annotations

import copy
import datetime as dt
import sqlite3
from pathlib import Path

import pytest

import journals
from retraind.core import events as e
from retraind.core.binding import unbind
from retraind.core.fold import _HANDLERS, apply
from retraind.core.state import State
from retraind.errors import RetraindError
from retraind.journal import read, snapshot
from retraind.journal.append import Journal
from retraind.journal.read import opened, records, verify

NOW = dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC)
TIMES = e.Times(NOW, NOW, NOW)


def arrival(number: int) -> e.DropArrived:
    return e.DropArrived(f"d{number}", f"drops/{number}.csv", f"{number}.csv", f"{number:064d}", 10, number)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state" / "journal.db")


def test_events_come_back_in_order_as_they_were(journal: Journal) -> None:
    written = [journal.append("produce", arrival(n), TIMES, message=f"m{n}") for n in range(20)]
    with opened(journal.path) as connection:
        assert list(records(connection)) == written
        assert list(records(connection, after=18)) == written[18:]


def test_what_is_folded_at_once_is_what_is_read_back_to_the_millisecond(journal: Journal) -> None:
    """The site's name in the registry is made of its first event's time: a restart must not give it another."""
    now = dt.datetime(2026, 11, 24, 9, 0, 0, 123456, tzinfo=dt.UTC)
    at_once = apply(State(), journal.append(e.SITE, e.DaemonStarted("0.1.0", 7), e.Times(now, now, now)))
    with opened(journal.path) as connection:
        (read_back,) = records(connection)
    assert apply(State(), read_back) == at_once


def test_events_that_belong_together_are_all_written_or_none(journal: Journal) -> None:
    journal.append("produce", arrival(1), TIMES)
    pair: list[tuple[str, e.Event]] = [("produce", arrival(2)), (e.SITE, e.DaemonStopped("SIGTERM"))]
    other = sqlite3.connect(journal.path, isolation_level=None)
    other.execute("CREATE TRIGGER full BEFORE INSERT ON events WHEN NEW.kind = 'daemon.stopped' BEGIN SELECT RAISE(ABORT, ''); END")
    with pytest.raises(sqlite3.Error):
        journal.together(pair, TIMES, "m2")
    with opened(journal.path) as connection:
        assert [r.seq for r in records(connection)] == [1]
    other.execute("DROP TRIGGER full")
    other.close()
    written = journal.together(pair, TIMES, "m2")
    assert [(r.seq, r.pipeline, r.message) for r in written] == [(2, "produce", ""), (3, e.SITE, "m2")]
    with opened(journal.path) as connection:
        assert list(records(connection, after=1)) == written
        assert verify(connection) == (3, journal.head, None)


def test_the_chain_holds_and_shows_a_change(journal: Journal) -> None:
    for n in range(5):
        journal.append("produce", arrival(n), TIMES)
    journal.close()
    with opened(journal.path) as connection:
        assert verify(connection) == (5, journal.head, None)
    tampered = sqlite3.connect(journal.path)
    tampered.execute("UPDATE events SET body = replace(body, '2.csv', '9.csv') WHERE seq = 3")
    tampered.commit()
    with opened(journal.path) as connection:
        count, _, flaw = verify(connection)
    assert count == 2
    assert flaw
    assert flaw.seq == 3


@pytest.mark.parametrize("change", ["DELETE FROM events WHERE seq = 2", "UPDATE events SET seq = 99 WHERE seq = 2"])
def test_the_chain_shows_a_missing_row(journal: Journal, change: str) -> None:
    for n in range(4):
        journal.append("produce", arrival(n), TIMES)
    journal.close()
    with sqlite3.connect(journal.path) as tampered:
        tampered.execute(change)
    with opened(journal.path) as connection:
        assert verify(connection)[2] is not None


def test_a_second_opening_goes_on_where_the_first_ended(journal: Journal) -> None:
    journal.append("produce", arrival(1), TIMES)
    journal.close()
    again = Journal(journal.path)
    again.append("produce", arrival(2), TIMES)
    with opened(again.path) as connection:
        assert verify(connection) == (2, again.head, None)


def test_a_stopped_journal_left_wal_mode_so_that_a_reader_needs_no_write_permission(journal: Journal) -> None:
    journal.append("produce", arrival(1), TIMES)
    assert journal.path.with_name("journal.db-wal").exists()
    journal.close()
    assert sorted(p.name for p in journal.path.parent.iterdir()) == ["journal.db"]
    with opened(journal.path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_journal_of_a_newer_format_is_refused(journal: Journal) -> None:
    journal.close()
    with sqlite3.connect(journal.path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(RetraindError, match="newer retraind"):
        Journal(journal.path)
    with pytest.raises(RetraindError, match="newer retraind"), opened(journal.path):
        pass


def test_a_file_that_is_no_database_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_text("this is no database, and it is long enough to look like one" * 20)
    with pytest.raises(RetraindError, match="cannot be read"):
        Journal(path)


def test_a_snapshot_and_the_events_after_it_give_the_folded_state(journal: Journal, tmp_path: Path) -> None:
    state = State()
    path = tmp_path / "snapshot.json"
    for n in range(10):
        apply(state, journal.append("produce", arrival(n), TIMES))
        if n == 6:
            snapshot.save(state, journal.head, path)
    with opened(journal.path) as connection:
        assert snapshot.restore(connection, path) == state
        for damage in ("{damaged", "", path.read_text().replace("6.csv", "8.csv"), path.read_text()[:-1]):
            path.write_text(damage)
            assert snapshot.restore(connection, path) == state


def test_a_snapshot_of_a_journal_that_was_cut_is_left_aside(journal: Journal) -> None:
    state = apply(State(), journal.append("produce", arrival(1), TIMES))
    later = apply(copy.deepcopy(state), journal.append("produce", arrival(2), TIMES))
    snapshot.save(later, journal.head, snapshot.path_beside(journal.path))
    journal.close()
    with sqlite3.connect(journal.path) as cut:
        cut.execute("DELETE FROM events WHERE seq = 2")
    assert snapshot.restored(journal.path) == (state, 0)


def test_every_event_that_a_start_folds_is_held_against_the_one_before(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the newest five thousand alone: after a month in which no snapshot could be saved it may be more."""
    state = State()
    for n in range(30):
        apply(state, journal.append("produce", arrival(n), TIMES))
        if n == 9:
            snapshot.save(state, journal.head, snapshot.path_beside(journal.path))
    heard: list[int] = []
    monkeypatch.setattr(snapshot, "_TOLD_EVERY", 10)
    assert snapshot.restored(journal.path, heard.append) == (state, 10)
    assert heard == [20, 30]
    journal.close()
    monkeypatch.setattr(read, "_LOOKED_AT_BY_A_START", 5)
    for seq, found in ((15, True), (5, False)):  # what the snapshot covers is for `audit verify` and the daily backup
        with sqlite3.connect(journal.path) as tampered:
            tampered.execute("UPDATE events SET body = replace(body, '.csv', '.CSV') WHERE seq = ?", (seq,))
        Journal(journal.path).close()
        if found:
            with pytest.raises(RetraindError, match=f"the journal is damaged: event {seq} "):
                snapshot.restored(journal.path)
        else:
            assert snapshot.restored(journal.path) == (state, 10)
        with sqlite3.connect(journal.path) as mended:
            mended.execute("UPDATE events SET body = replace(body, '.CSV', '.csv') WHERE seq = ?", (seq,))


def test_a_glance_at_a_snapshot_sees_what_the_daemon_sees_and_binds_only_what_it_looks_at(tmp_path: Path) -> None:
    story, children = journals.first_days(tmp_path)
    story.work(children)
    story.stop()
    path = tmp_path / "state" / "journal.db"
    with opened(path) as connection:
        whole = snapshot.restore(connection, snapshot.path_beside(path))
        seen = snapshot.restore(connection, snapshot.path_beside(path), glance=True)
    flow = seen.flow("produce")
    name = next(iter(flow.drops))
    snapshot.path_beside(path).write_bytes(b"a newer one took its place")
    assert flow.drops[name] == whole.flow("produce").drops[name]
    assert "nobody" not in flow.drops
    with pytest.raises(KeyError):
        flow.drops["nobody"]
    assert unbind(seen) == unbind(whole)
    del flow.drops[name]
    assert name not in flow.drops


def test_a_snapshot_of_another_journal_is_left_aside(journal: Journal, tmp_path: Path) -> None:
    other = Journal(tmp_path / "other.db")
    strange = State()
    apply(strange, other.append("produce", arrival(7), TIMES))
    snapshot.save(strange, other.head, tmp_path / "snapshot.json")
    mine = apply(State(), journal.append("produce", arrival(1), TIMES))
    with opened(journal.path) as connection:
        assert snapshot.restore(connection, tmp_path / "snapshot.json") == mine


def test_every_event_has_a_handler_and_every_handler_an_event() -> None:
    assert set(_HANDLERS) == set(e.KINDS.values())


def test_an_event_out_of_order_is_refused() -> None:
    with pytest.raises(ValueError, match="does not follow"):
        apply(State(), e.Record(5, "produce", TIMES, arrival(1)))


def test_an_event_with_fields_of_a_later_release_is_read() -> None:
    fields = e.encode(arrival(1)) | {"added_later": {"x": 1}}
    assert e.decode("drop.arrived", fields) == arrival(1)
