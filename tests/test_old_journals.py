"""A journal that a release wrote is read and folded for ever, fields of a later release included.

tests/data/journal-RELEASE.sql is the dump of a journal, made by `python tests/test_old_journals.py` when a release is cut.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
from pathlib import Path

import pytest

from retraind import __version__
from retraind.core.events import KINDS
from retraind.core.fold import apply
from retraind.core.state import State
from retraind.journal.read import opened, records, verify

DATA = Path(__file__).parent / "data"
DUMPS = sorted(DATA.glob("journal-*.sql"))


def restored(dump: Path, folder: Path) -> Path:
    path = folder / "journal.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(dump.read_text("utf-8"))
    return path


def folded(path: Path) -> State:
    state = State()
    with opened(path) as connection:
        for record in records(connection):
            apply(state, record)
    return state


@pytest.mark.parametrize("dump", DUMPS, ids=lambda d: d.stem)
def test_a_journal_of_an_old_release_is_whole_and_folds(dump: Path, tmp_path: Path) -> None:
    path = restored(dump, tmp_path)
    with opened(path) as connection:
        count, _, flaw = verify(connection)
    assert flaw is None
    state = folded(path)
    assert state.seq == count
    models = state.flow("produce").models
    assert {name: model.champion for name, model in models.items()} == {"price": 1, "demand": 5}
    assert state.flow("produce").drops


@pytest.mark.parametrize("dump", DUMPS, ids=lambda d: d.stem)
def test_fields_that_a_later_release_added_change_nothing(dump: Path, tmp_path: Path) -> None:
    path = restored(dump, tmp_path)
    before = folded(path)
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT seq, body FROM events").fetchall()
        for seq, body in rows:
            wider = json.loads(body) | {"added_later": {"by": ["a", "release"]}}
            connection.execute("UPDATE events SET body = ? WHERE seq = ?", (json.dumps(wider), seq))
    assert folded(path) == before


def test_this_releases_journal_is_kept() -> None:
    assert (DATA / f"journal-{__version__}.sql").exists(), "run: python tests/test_old_journals.py"


def _write() -> None:
    from journals import a_year

    with tempfile.TemporaryDirectory() as folder:
        story = a_year(Path(folder))
        story.stop()
        with sqlite3.connect(story.journal.path) as connection:
            text = "\n".join(connection.iterdump())
    version = "PRAGMA user_version=1;\n"
    (DATA / f"journal-{__version__}.sql").write_text(version + text + "\n", "utf-8")
    seen = {kind for kind in KINDS if f"'{kind}'" in text}
    sys.stdout.write(f"{len(seen)} of {len(KINDS)} kinds of events\n")


if __name__ == "__main__":
    _write()
