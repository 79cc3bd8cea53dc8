"""The only writer of the journal: the supervisor's. An event is on the disk before anything acts on it.

WAL with synchronous=FULL costs 140 microseconds an event (docs/decisions). At a clean stop the file leaves WAL mode, so
that a reader without write permission can open it.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from retraind.core.events import Event, Record, Times, encode
from retraind.errors import Place, RetraindError
from retraind.failpoint import failpoint
from retraind.journal.read import COLUMNS, FORMAT, GENESIS, chain, unreadable

__all__ = ["Journal"]

_TABLE = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, pipeline TEXT NOT NULL, kind TEXT NOT NULL, wall TEXT NOT NULL, site TEXT NOT NULL,
    machine TEXT NOT NULL, message TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS events_kind ON events (kind, seq);
"""


class Journal:
    """Open for appending. One at a time: the caller holds the site's lock."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
            (written,) = self._db.execute("PRAGMA user_version").fetchone()
            if written > FORMAT:
                raise RetraindError(f"was written by a newer retraind (format {written})", where=Place(str(path)),
                                    remedy="update retraind")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_TABLE)
            self._db.execute(f"PRAGMA user_version={FORMAT}")
            last = self._db.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        except sqlite3.DatabaseError as error:
            raise unreadable(path, error) from error
        self.seq: int = last[0] if last else 0
        self.head: str = last[1] if last else GENESIS

    def append(self, pipeline: str, event: Event, times: Times, message: str = "") -> Record:
        """Write one event. Raises sqlite3.Error when the disk does not take it; then nothing happened."""
        body = json.dumps(encode(event), ensure_ascii=False, separators=(",", ":"))
        # as they can be read back: what is folded now and what is folded after a restart must be the same
        times = Times(*(t.replace(microsecond=t.microsecond // 1000 * 1000) for t in (times.wall, times.site, times.machine)))
        stamps = (t.isoformat(timespec="milliseconds") for t in (times.wall, times.site, times.machine))
        fields = (self.seq + 1, pipeline, event.KIND, *stamps, message, body)
        digest = chain(self.head, fields)
        failpoint("journal.before_append")
        self._db.execute(f"INSERT INTO events ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", (*fields, digest))  # noqa: S608
        self.seq, self.head = self.seq + 1, digest
        failpoint(f"journal.appended.{event.KIND}")
        return Record(self.seq, pipeline, times, event, message)

    def close(self) -> None:
        """Leave WAL mode and close."""
        try:
            self._db.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError:
            pass  # a reader holds it open: it stays in WAL mode, which readers can read too
        finally:
            self._db.close()
