"""The only writer of the journal: the supervisor's. An event is on the disk before anything acts on it.

WAL with synchronous=FULL costs 140 microseconds an event (docs/decisions). At a clean stop the file leaves WAL mode, so
that a reader without write permission can open it.
"""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retraind.core.events import Event, Record, Times, encode
from retraind.errors import Place, RetraindError
from retraind.failpoint import failpoint
from retraind.journal import backup, beside
from retraind.journal.read import COLUMNS, FORMAT, GENESIS, HELD, chain, damage, damaged, is_held, unreadable

__all__ = ["Journal", "unwritable"]

_TABLE = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, pipeline TEXT NOT NULL, kind TEXT NOT NULL, wall TEXT NOT NULL, site TEXT NOT NULL,
    machine TEXT NOT NULL, message TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS events_kind ON events (kind, seq);
CREATE INDEX IF NOT EXISTS events_drop ON events (json_extract(body, '$.drop')) WHERE json_extract(body, '$.drop') IS NOT NULL;
"""


_PATIENCE = 5.0
"""Seconds to wait for another process that writes. None should, but people open what is SQLite in a shell."""


def unwritable(path: Path, error: sqlite3.Error) -> RetraindError:
    """What to say of a journal that takes nothing."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    remedy = HELD if is_held(error) else _READONLY if code == sqlite3.SQLITE_READONLY else "make room on the disk"
    return RetraindError(f"the journal cannot be written: {error}", where=Place(str(path)),
                         remedy=f"{remedy}; what is under way goes on at the next start", retryable=True)  # fmt: skip


_READONLY = "let the daemon's user write in the state folder"


class Journal:
    """Open for appending. One at a time: the caller holds the site's lock."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=_PATIENCE)
            (written,) = self._db.execute("PRAGMA user_version").fetchone()
            if written > FORMAT:
                raise RetraindError(f"was written by a newer retraind (format {written})", where=Place(str(path)),
                                    remedy="update retraind")
            self._db.execute("PRAGMA journal_mode=WAL")
            if 0 < written < FORMAT:
                self._keep_copy(written)
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_TABLE)
            if written != FORMAT:  # it would be written each time, and wait for whoever writes
                self._db.execute(f"PRAGMA user_version={FORMAT}")
            first = self._db.execute("SELECT wall FROM events ORDER BY seq LIMIT 1").fetchone()
            last = self._db.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
            flaw = damage(self._db)
        except sqlite3.DatabaseError as error:
            raise unreadable(path, error) from error
        if flaw:
            raise damaged(path, flaw)
        self.began = dt.datetime.fromisoformat(first[0]) if first else None
        """When its first event was written, wall."""
        self.seq: int = last[0] if last else 0
        self.head: str = last[1] if last else GENESIS

    def _keep_copy(self, written: int) -> None:
        """Of the old format, named by its last event: what an upgrade makes of it cannot be read by the release before."""
        last = self._db.execute("SELECT wall FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        if last:
            target = beside.backup_path(self.path, dt.datetime.fromisoformat(last[0]), f"format-{written}")
            backup.make(self.path, target)

    def append(self, pipeline: str, event: Event, times: Times, message: str = "") -> Record:
        """Write one event. Raises sqlite3.Error when the disk does not take it; then nothing happened."""
        (record,) = self.together([(pipeline, event)], times, message)
        return record

    def together(self, events: Sequence[tuple[str, Event]], times: Times, message: str = "") -> list[Record]:
        """Write events that belong together, (pipeline, event) each: all or none. The last one bears the message.

        Raises sqlite3.Error when the disk does not take them; then nothing happened.
        """
        # as they can be read back: what is folded now and what is folded after a restart must be the same
        times = Times(*(t.replace(microsecond=t.microsecond // 1000 * 1000) for t in (times.wall, times.site, times.machine)))
        stamps = [t.isoformat(timespec="milliseconds") for t in (times.wall, times.site, times.machine)]
        rows: list[tuple[Any, ...]] = []
        written: list[Record] = []
        digest = self.head
        for seq, (pipeline, event) in enumerate(events, self.seq + 1):
            bears = message if len(rows) == len(events) - 1 else ""
            body = json.dumps(encode(event), ensure_ascii=False, separators=(",", ":"))
            fields = (seq, pipeline, event.KIND, *stamps, bears, body)
            digest = chain(digest, fields)
            rows.append((*fields, digest))
            written.append(Record(seq, pipeline, times, event, bears))
        failpoint("journal.before_append")
        self._write(rows)
        self.seq, self.head = self.seq + len(rows), digest
        for record in written:
            failpoint(f"journal.appended.{record.event.KIND}")
        return written

    def _write(self, rows: list[tuple[Any, ...]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(f"INSERT INTO events ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", rows)  # noqa: S608
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:  # a disk that is full may refuse the commit too
                self._db.execute("ROLLBACK")

    def close(self) -> None:
        """Leave WAL mode and close."""
        try:
            self._db.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError:
            pass  # a reader holds it open: it stays in WAL mode, which readers can read too
        finally:
            self._db.close()
