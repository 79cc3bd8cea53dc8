"""The folded state beside the journal, so that starting and looking cost the same at a million events.

It is a cache: written when the daemon is idle, read with the events after it, rebuilt from the first event when it does not
fit (another version, another journal, damaged).
"""

from __future__ import annotations

import gc
import json
import os
import sqlite3
from pathlib import Path

from retraind.core.binding import Mistakes, bind, unbind
from retraind.core.fold import apply
from retraind.core.state import VERSION, State
from retraind.journal import read
from retraind.journal.beside import snapshot_path as path_beside

__all__ = ["path_beside", "restore", "save"]


def save(state: State, head: str, path: Path) -> None:
    """Replace the snapshot in one move."""
    temporary = path.with_suffix(".tmp")
    document = {"version": VERSION, "head": head, "state": unbind(state, sparse=True)}
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False, separators=(",", ":"))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def restore(connection: sqlite3.Connection, snapshot: Path) -> State:
    """The state after the journal's last event."""
    state = _snapshot(connection, snapshot) or State()
    for record in read.records(connection, state.seq):
        apply(state, record)
    return state


def _snapshot(connection: sqlite3.Connection, path: Path) -> State | None:
    collecting = gc.isenabled()
    gc.disable()  # all that is made here stays: to look for garbage in it costs a third of reading it
    try:
        document = json.loads(path.read_text("utf-8"))
        if document["version"] != VERSION:
            return None
        state = bind(State, document["state"], strict=False)
        row = connection.execute("SELECT hash FROM events WHERE seq = ?", (state.seq,)).fetchone()
    except (OSError, ValueError, KeyError, TypeError, Mistakes):
        return None
    finally:
        if collecting:
            gc.enable()
    return state if row and row[0] == document["head"] else None
