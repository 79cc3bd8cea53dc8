"""Copies of the journal: made by SQLite's own backup while the daemon goes on writing, and read event by event before they count.

The daemon has `python -m retraind.journal.backup` do it in a process of its own once a day: a million events take seconds of
work that no loop should wait for. `restore` puts one back in the place of a journal that is damaged.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from retraind.errors import Place, RetraindError
from retraind.journal import beside, read
from retraind.whole_file import to_disk

__all__ = ["KEPT", "Copy", "check", "main", "make", "prune", "restore"]

KEPT = 7
"""So many of the newest are kept, a week of days."""


@dataclass(frozen=True)
class Copy:
    """A copy that was read from its first event to its last."""

    path: Path
    events: int
    head: str
    last: dt.datetime | None
    """When its last event was written, wall."""


def make(journal: Path, target: Path) -> Copy:
    """Copy the journal to `target`, which is there only when it was read to its end. Raises RetraindError when it is damaged,
    OSError and sqlite3.Error when the disk does not take it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with _part_of(target) as part:
        with read.opened(journal) as source:
            _copied(source, part)
        copy = check(part)
        part.replace(target)
    to_disk(target.parent)
    return Copy(target, copy.events, copy.head, copy.last)


@contextmanager
def _part_of(target: Path) -> Iterator[Path]:
    """A name beside `target` for what is not whole yet; gone at the end, whatever happens."""
    part = target.with_name(f"{target.name}.part")
    _forget(part)
    try:
        yield part
    finally:
        _forget(part)


def _forget(database: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        database.with_name(database.name + end).unlink(missing_ok=True)


def _copied(source: sqlite3.Connection, target: Path) -> None:
    """All pages in one read of the source, so that a writer beside it does not make it begin again. A single file at the end."""
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
    finally:
        copy.close()
    to_disk(target)


def check(path: Path) -> Copy:
    """Read a journal or a backup from its first event to its last. Raises RetraindError at the first flaw."""
    with read.opened(path) as connection:
        events, head, flaw = read.verify(connection)
        if flaw:
            raise RetraindError(flaw.what, where=Place(str(path)), remedy="see: retrainctl audit verify")
        last = connection.execute("SELECT wall FROM events WHERE seq = ?", (events,)).fetchone()
    return Copy(path, events, head, dt.datetime.fromisoformat(last[0]) if last else None)


def prune(journal: Path) -> None:
    """Delete all but the newest."""
    for path in beside.backups(journal)[:-KEPT]:
        path.unlink(missing_ok=True)


def restore(backup: Path, journal: Path, aside: Path) -> Copy:
    """Put a backup in the journal's place; what lay there goes to the folder `aside`. The caller holds the site's lock.

    Raises RetraindError when the backup is damaged: then nothing was touched.
    """
    with _part_of(journal) as part:
        with read.opened(backup) as source:
            _copied(source, part)
        copy = check(part)
        aside.mkdir(parents=True)
        files = [journal.with_name(journal.name + end) for end in ("", "-wal", "-shm")]
        for path in (*files, beside.snapshot_path(journal)):
            if path.exists():
                path.rename(aside / path.name)
        part.replace(journal)
    to_disk(journal.parent)
    return Copy(journal, copy.events, copy.head, copy.last)


def main(arguments: list[str] | None = None) -> int:
    """`python -m retraind.journal.backup JOURNAL TARGET`: one backup, checked, the oldest ones pruned. 1 and a line on standard
    error when there is none."""
    parser = argparse.ArgumentParser("retraind.journal.backup")
    parser.add_argument("journal", type=Path)
    parser.add_argument("target", type=Path)
    asked = parser.parse_args(arguments)
    os.nice(10)
    try:
        copy = make(asked.journal, asked.target)
        prune(asked.journal)
    except (OSError, sqlite3.Error, RetraindError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{copy.events} {copy.head}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
