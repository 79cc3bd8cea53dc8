"""The folded state beside the journal, so that starting and looking cost the same at a million events.

It is a cache: written when the daemon is idle, read with the events after it, rebuilt from the first event when it does not
fit (another version, another journal, damaged). Its first line holds the sha256 of the rest and the hash of the last event
that is folded in it: a bit that fell over, or a journal that is another or was cut, is not taken for the state.

The second line holds all but what grows for ever (`_LONG`); that follows, an entry a line. The daemon binds all of it. Whoever
only glances binds the entries that it looks at: a person who asks about one version of 400 does not wait for 40,000 drops.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sqlite3
import typing
from collections.abc import Callable, Iterator, MutableMapping, MutableSequence, ValuesView
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from retraind.core.binding import Mistakes, bind, unbind
from retraind.core.fold import apply
from retraind.core.state import VERSION, Flow, Model, State
from retraind.journal import read
from retraind.journal.beside import snapshot_path as path_beside
from retraind.whole_file import whole

__all__ = ["Restored", "path_beside", "restore", "restored", "save"]

T = TypeVar("T")
_LONG: dict[Any, tuple[str, ...]] = {Flow: ("drops", "store", "files"), Model: ("versions", "results")}
"""Fields with an entry for each drop, file or training there ever was."""

_TOLD_EVERY = 10_000
"""Events, a third of a second."""


class Restored(NamedTuple):
    """A state, and how much of it the snapshot knew."""

    state: State
    known: int
    """The last event that was not folded anew."""


def save(state: State, head: str, path: Path) -> None:
    """Replace the snapshot in one move."""
    document = unbind(state, sparse=True)
    parts, body = [], b""
    for place, holder, field in _long(document):
        if field not in holder:
            continue
        held = holder.pop(field)
        named = isinstance(held, dict)
        lines = b"".join(_text(entry) + b"\n" for entry in (held.values() if named else held))
        parts.append([*place, field, list(held) if named else len(held), len(lines)])
        body += lines
    folded = _text({"parts": parts, "state": document}) + b"\n" + body
    with whole(path) as file:
        file.write(_text({"version": VERSION, "head": head, "sha256": hashlib.sha256(folded).hexdigest()}) + b"\n")
        file.write(folded)


def _long(document: dict[str, Any]) -> Iterator[tuple[list[str], dict[str, Any], str]]:
    """Where each of the long fields stands in a plain state: the names that lead there, who holds it, the field."""
    for pipeline, flow in document.get("flows", {}).items():
        yield from (([pipeline], flow, field) for field in _LONG[Flow])
        for name, model in flow.get("models", {}).items():
            yield from (([pipeline, name], model, field) for field in _LONG[Model])


def _text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def restore(connection: sqlite3.Connection, snapshot: Path, *, glance: bool = False) -> State:
    """The state after the journal's last event, for those who look. Events after the snapshot's are taken as they stand there.

    glance: for who looks at little of it and never hands it on.
    """
    state = _snapshot(connection, snapshot, glance=glance) or State()
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


def _snapshot(connection: sqlite3.Connection, path: Path, *, glance: bool = False) -> State | None:
    collecting = gc.isenabled()
    gc.disable()  # all that is made here stays: to look for garbage in it costs a third of reading it
    try:
        first, _, folded = path.read_bytes().partition(b"\n")
        told = json.loads(first)
        if told["version"] != VERSION or told["sha256"] != hashlib.sha256(folded).hexdigest():
            return None
        begin = folded.index(b"\n") + 1
        document = json.loads(folded[:begin])
        state = bind(State, document["state"], strict=False)
        row = connection.execute("SELECT hash FROM events WHERE seq = ?", (state.seq,)).fetchone()
        if not row or row[0] != told["head"]:
            return None
        _fill(state, document["parts"], folded, begin, glance)
    except (OSError, ValueError, KeyError, TypeError, Mistakes):
        return None
    finally:
        if collecting:
            gc.enable()
    return state


def _fill(state: State, parts: list[Any], written: bytes, at: int, glance: bool) -> None:
    """Puts the long fields back, which begin at that byte."""
    for pipeline, *model, field, keys, size in parts:
        flow = state.flows[pipeline]
        holder: Flow | Model = flow.models[model[0]] if model else flow
        lines, kind = partial(_lines, written, at, at + size), _kind(Model if model else Flow, field)
        held: Any = _LaterList(kind, keys, lines) if isinstance(keys, int) else _LaterDict(kind, keys, lines)
        setattr(holder, field, held if glance else held.all())
        at += size


def _lines(written: bytes, begin: int, end: int) -> list[bytes]:
    return written[begin:end].splitlines()


@cache
def _kind(holder: type[Flow] | type[Model], field: str) -> Any:
    """Of an entry of a long field."""
    return typing.get_args(typing.get_type_hints(holder)[field])[-1]


def _bound(kind: type[T], lines: list[bytes]) -> list[T]:
    return bind(list[kind], json.loads(b"[" + b",".join(lines) + b"]"), strict=False)  # type: ignore[valid-type]


class _LaterDict(MutableMapping[str, T]):
    """A dict whose entries are bound when they are first looked at."""

    def __init__(self, kind: type[T], keys: list[str], lines: Callable[[], list[bytes]]) -> None:
        self._kind, self._given, self._read = kind, keys, lines
        self._keys = dict.fromkeys(keys)
        self._held: dict[str, T] = {}

    @cached_property
    def _lines(self) -> dict[str, bytes]:
        return dict(zip(self._given, self._read(), strict=True))

    def all(self) -> dict[str, T]:
        """Everything, bound at once; what was looked at before is the same."""
        if len(self._held) < len(self._keys):
            fresh = dict(zip(self._given, _bound(self._kind, self._read()), strict=True))
            self._held = {key: self._held.get(key) or fresh[key] for key in self._keys}
        return self._held

    def values(self) -> ValuesView[T]:
        """Whoever looks at one after the other looks at all."""
        return self.all().values()

    def __getitem__(self, key: str) -> T:
        if key not in self._keys:
            raise KeyError(key)
        if key not in self._held:
            self._held[key] = bind(self._kind, json.loads(self._lines[key]), strict=False)
        return self._held[key]

    def __setitem__(self, key: str, value: T) -> None:
        self._keys[key] = None
        self._held[key] = value

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        self._held.pop(key, None)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class _LaterList(MutableSequence[T]):
    """A list that is bound, whole, when it is first looked at."""

    def __init__(self, kind: type[T], long: int, lines: Callable[[], list[bytes]]) -> None:
        self._kind, self._long, self._read = kind, long, lines
        self._held: list[T] | None = None

    def all(self) -> list[T]:
        """Everything, bound at once."""
        if self._held is None:
            self._held = _bound(self._kind, self._read())
        return self._held

    def __getitem__(self, place: Any) -> Any:
        return self.all()[place]

    def __setitem__(self, place: Any, value: Any) -> None:
        self.all()[place] = value

    def __delitem__(self, place: Any) -> None:
        del self.all()[place]

    def __iter__(self) -> Iterator[T]:
        return iter(self.all())

    def __len__(self) -> int:
        return self._long if self._held is None else len(self._held)

    def insert(self, index: int, value: T) -> None:
        """Before the place."""
        self.all().insert(index, value)
