"""Reading the journal, read-only, while the daemon runs, after it stopped or was killed.

Rows are chained: each carries sha256(hash of the row before, canonical JSON of the row). `records` checks nothing and is
quick; `followed` checks what it reads; `verify` checks everything.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from retraind.core.events import KINDS, Record, Times, decode
from retraind.errors import Place, RetraindError
from retraind.journal import beside

__all__ = ["COLUMNS", "FORMAT", "GENESIS", "HELD", "NAMES", "Flaw", "Row", "bodies", "chain", "damage", "damaged", "flaws",
           "followed", "is_held", "matching", "opened", "records", "row_of", "rows", "unreadable", "verify"]

FORMAT = 1
"""Of the table. To change it: raise it, let `append.Journal` migrate, keep a journal of the old format in tests/data/."""
GENESIS = "0" * 64
NAMES = ("seq", "pipeline", "kind", "wall", "site", "machine", "message", "body", "hash")
COLUMNS = ", ".join(NAMES)
HELD = "end what works on it, such as an SQLite shell in a transaction (lsof names it); nothing is lost meanwhile"
Row = tuple[int, str, str, str, str, str, str, str, str]


_LOOKED_AT_BY_A_START = 5_000
"""Rows, an eighth of a second: all of a young journal, of an old one the newest, which a bad end hits first. What a start folds
is checked as well, however much it is; the daily backup, `audit verify` and `doctor` read all of them."""


@dataclass(frozen=True)
class Flaw:
    """A row whose hash does not follow from the rows before it."""

    seq: int
    what: str


def chain(previous: str, fields: tuple[Any, ...]) -> str:
    """The hash of a row: fields are seq, pipeline, kind, wall, site, machine, message, body."""
    canonical = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(f"{previous}{canonical}".encode()).hexdigest()


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection. Raises RetraindError when there is no journal or it is none of ours."""
    if not path.exists():
        raise RetraindError("there is no journal yet", where=Place(str(path)), remedy="start the daemon: retraind")
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
        (written,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise unreadable(path, error) from error
    try:
        if written > FORMAT:
            raise RetraindError(f"was written by a newer retraind (format {written}, this one reads {FORMAT})",
                                where=Place(str(path)), remedy="update retraind")
        yield connection
    except sqlite3.DatabaseError as error:
        raise unreadable(path, error) from error
    finally:
        connection.close()


def is_held(error: sqlite3.Error) -> bool:
    """Whether another process works on the file: it is whole, and free again when that one lets go."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def unreadable(path: Path, error: sqlite3.Error) -> RetraindError:
    """What to say of a file that SQLite cannot read; retryable when it is only held by somebody."""
    if is_held(error):
        return RetraindError("another process holds the journal", where=Place(str(path)), remedy=HELD, retryable=True)
    return RetraindError(f"the journal cannot be read: {error}", where=Place(str(path)), remedy=beside.what_to_do(path))


def row_of(row: Row) -> Record:
    """The record in a row. Raises RetraindError for a kind that a newer release wrote, and for a row that is damaged."""
    seq, pipeline, kind, wall, site, machine, message, body, _ = row
    if kind not in KINDS:
        raise RetraindError(f"event {seq} is a {kind}, which this release does not know", remedy="update retraind")
    try:
        times = Times(*(dt.datetime.fromisoformat(t) for t in (wall, site, machine)))
        return Record(seq, pipeline, times, decode(kind, json.loads(body)), message)
    except (ValueError, TypeError) as error:
        raise RetraindError(f"event {seq} ({kind}) cannot be read: {error}", remedy="see: retrainctl audit verify") from error


def records(
    connection: sqlite3.Connection,
    after: int = 0,
    *,
    until: int | None = None,
    kinds: tuple[str, ...] = (),
    newest_first: bool = False,
) -> Iterator[Record]:
    """Events with after < seq <= until (None: to the end), of the given kinds or all."""
    order = "DESC" if newest_first else "ASC"
    last = (1 << 62) if until is None else until
    # who wants the newest of several kinds takes a few: the index would have all of them sorted first (+ forbids it)
    wanted = _of(kinds, "+kind" if newest_first and len(kinds) > 1 else "kind")
    query = f"SELECT {COLUMNS} FROM events WHERE seq > ? AND seq <= ?{wanted} ORDER BY seq {order}"  # noqa: S608
    for row in connection.execute(query, (after, last, *kinds)):
        yield row_of(row)


def matching(
    connection: sqlite3.Connection, kinds: tuple[str, ...], after: int = 0, *, until: int | None = None, **fields: str | int
) -> Iterator[Record]:
    """Events with after < seq <= until of those kinds whose fields hold exactly these values, oldest first.

    SQLite looks into the JSON, so that only what is found is decoded; into that of every event between, but for the field
    `drop`, by which there is an index.
    """
    last = (1 << 62) if until is None else until
    found = "".join(f" AND json_extract(body, '$.{name}') = ?" for name in fields)
    wanted = _of(kinds, "+kind" if "drop" in fields else "kind")
    query = f"SELECT {COLUMNS} FROM events WHERE seq > ? AND seq <= ?{wanted}{found} ORDER BY seq"  # noqa: S608 (names of ours)
    for row in connection.execute(query, (after, last, *kinds, *fields.values())):
        yield row_of(row)


def _of(kinds: tuple[str, ...], column: str = "kind") -> str:
    return f" AND {column} IN ({','.join('?' * len(kinds))})" if kinds else ""


def bodies(connection: sqlite3.Connection, pipeline: str, kind: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(seq, fields as they were written) of every event of a kind, oldest first: for events that hold hundreds of cells."""
    query = "SELECT seq, body FROM events WHERE kind = ? AND pipeline = ? ORDER BY seq"
    for seq, body in connection.execute(query, (kind, pipeline)):
        yield seq, json.loads(body)


def verify(connection: sqlite3.Connection) -> tuple[int, str, Flaw | None]:
    """(rows checked, hash of the last good row, the first flaw).

    Finds any row that was changed, removed from the middle or reordered. Not: rows cut off at the end, unless the head
    was noted elsewhere, nor a chain that somebody rewrote from a row on to its end.
    """
    return _followed(connection, 0, GENESIS)


def _followed(connection: sqlite3.Connection, after: int, previous: str) -> tuple[int, str, Flaw | None]:
    """The chain from the row after `after`, whose hash is `previous`: (last good row, its hash, the first flaw)."""
    last = after
    for row in rows(connection, after):
        if flaw := _flaw(row, last, previous):
            return last, previous, flaw
        last, previous = row[0], row[-1]
    return last, previous, None


def _flaw(row: Row, last: int, previous: str) -> Flaw | None:
    """Why a row does not follow from the one before it, whose number and hash are given."""
    if row[0] != last + 1:
        return Flaw(last + 1, f"event {last + 1} is missing")
    if chain(previous, tuple(row[:-1])) != row[-1]:
        return Flaw(row[0], f"event {row[0]} ({row[2]}) was changed")
    return None


def followed(connection: sqlite3.Connection, path: Path, after: int) -> Iterator[Record]:
    """Events after `after`, each held against the one before it. Raises RetraindError at the first that does not follow.

    path: where the journal lies, for the error.
    """
    last, previous = after, _hash_of(connection, after)
    for row in rows(connection, after):
        if flaw := _flaw(row, last, previous):
            raise damaged(path, flaw)
        last, previous = row[0], row[-1]
        yield row_of(row)


def damaged(path: Path, flaw: Flaw) -> RetraindError:
    """What to say of a journal that has a flaw."""
    return RetraindError(f"the journal is damaged: {flaw.what}", where=Place(str(path)), remedy=beside.what_to_do(path))


def _hash_of(connection: sqlite3.Connection, seq: int) -> str:
    """The hash that the row after `seq` is to follow from."""
    found = connection.execute("SELECT hash FROM events WHERE seq = ?", (seq,)).fetchone()
    return found[0] if found else GENESIS


def rows(connection: sqlite3.Connection, after: int = 0) -> Iterator[Row]:
    """The rows as they stand there, undecoded."""
    return connection.execute(f"SELECT {COLUMNS} FROM events WHERE seq > ? ORDER BY seq", (after,))  # noqa: S608


def damage(connection: sqlite3.Connection) -> Flaw | None:
    """The first flaw among the newest rows: what a start can look at in no time."""
    (last,) = connection.execute("SELECT max(seq) FROM events").fetchone()
    first = max(0, (last or 0) - _LOOKED_AT_BY_A_START)
    return _followed(connection, first, _hash_of(connection, first))[2]


def flaws(found: Iterable[Row]) -> Iterator[Flaw]:
    """Every row that is not what was written there, going on after each: changed, missing, or in the place of another.

    A row is held against the hash that stands before it, so that one changed row is one flaw, however many follow.
    """
    odd: list[tuple[str, Row]] = []
    previous, next_ = GENESIS, 1
    for row in found:
        if row[0] != next_:
            yield Flaw(next_, _missing(next_, row[0]))
        elif chain(previous, tuple(row[:-1])) != row[-1]:
            odd.append((previous, row))
        previous, next_ = row[-1], row[0] + 1
    known = _Known({row[-1] for _, row in odd}, {before for before, _ in odd} | {row[-1] for _, row in odd}, [r[0] for _, r in odd])
    for _, row in odd:
        what = _odd(row, known)
        if what:
            yield Flaw(row[0], what)


class _Known(NamedTuple):
    """What stands at and before the odd rows."""

    hashes: set[str]
    befores: set[str]
    seqs: list[int]


_TRIED = 30
"""Odd rows among which reordered ones are looked for: their number goes into the work three times."""


def _missing(first: int, found: int) -> str:
    which = f"event {first} is" if found == first + 1 else f"events {first} to {found - 1} are"
    return f"{which} missing, so event {found} cannot be checked"


def _odd(row: Row, known: _Known) -> str:
    """What is wrong with a row that does not follow from the hash before it. Empty: nothing, the row before it was moved."""
    seq, fields = row[0], tuple(row[1:-1])
    for other in known.seqs if len(known.seqs) <= _TRIED else ():
        made = {chain(before, (other, *fields)) for before in known.befores}
        if other == seq and row[-1] in made:
            return ""
        if other != seq and made & known.hashes:
            return f"event {seq} stands where another was written: it is event {other}"
    return f"event {seq} ({row[2]}) does not follow from event {seq - 1}: it was changed, or the other one with its hash"
