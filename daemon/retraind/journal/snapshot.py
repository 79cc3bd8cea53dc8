"""The folded state beside the journal, so that starting and looking cost the same at a million events.

It is a cache: written when the daemon is idle, read with the events after it, rebuilt from the first event when it does not
fit (another version, another journal, damaged). Its first line holds the second one's sha256 and the hash of the last event
that is folded in it: a bit that fell over, or a journal that is another or was cut, is not taken for the state.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from retraind.core.binding import Mistakes, bind, unbind
from retraind.core.fold import apply
from retraind.core.state import VERSION, State
from retraind.journal import read
from retraind.journal.beside import snapshot_path as path_beside
from retraind.whole_file import whole

__all__ = ["Restored", "path_beside", "restore", "restored", "save"]

_TOLD_EVERY = 10_000
"""Events, a third of a second."""


class Restored(NamedTuple):
    """A state, and how much of it the snapshot knew."""

    state: State
    known: int
    """The last event that was not folded anew."""


def save(state: State, head: str, path: Path) -> None:
    """Replace the snapshot in one move."""
    folded = json.dumps(unbind(state, sparse=True), ensure_ascii=False, separators=(",", ":")).encode()
    first = {"version": VERSION, "head": head, "sha256": hashlib.sha256(folded).hexdigest()}
    with whole(path) as file:
        file.write(json.dumps(first).encode() + b"\n")
        file.write(folded)


def restore(connection: sqlite3.Connection, snapshot: Path) -> State:
    """The state after the journal's last event, for those who look. Events after the snapshot's are taken as they stand there."""
    state = _snapshot(connection, snapshot) or State()
    for record in read.records(connection, state.seq):
        apply(state, record)
    return state


def restored(journal: Path, told: Callable[[int], None] = lambda _: None) -> Restored:
    """The state after the journal's last event, for the daemon: each event that is folded anew is held against the one before.

    told: hears every so many events which it has come to. Raises RetraindError when the journal is damaged.
    """
    with read.opened(journal) as connection:
        state = _snapshot(connection, path_beside(journal)) or State()
        known = state.seq
        for record in read.followed(connection, journal, known):
            apply(state, record)
            if record.seq % _TOLD_EVERY == 0:
                told(record.seq)
    return Restored(state, known)


def _snapshot(connection: sqlite3.Connection, path: Path) -> State | None:
    collecting = gc.isenabled()
    gc.disable()  # all that is made here stays: to look for garbage in it costs a third of reading it
    try:
        first, _, folded = path.read_bytes().partition(b"\n")
        told = json.loads(first)
        if told["version"] != VERSION or told["sha256"] != hashlib.sha256(folded).hexdigest():
            return None
        state = bind(State, json.loads(folded), strict=False)
        row = connection.execute("SELECT hash FROM events WHERE seq = ?", (state.seq,)).fetchone()
    except (OSError, ValueError, KeyError, TypeError, Mistakes):
        return None
    finally:
        if collecting:
            gc.enable()
    return state if row and row[0] == told["head"] else None
