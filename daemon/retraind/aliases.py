"""Looks each minute at the aliases that others can move, without mlflow: SQLite read-only, or the server's REST.

It only tells what it saw; what that means is `core.divergence`'s. A registry that does not answer is told by nobody here:
the jobs that need it say so.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["AliasWatch", "AliasesSeen", "look"]

_EVERY = 60.0
_DEADLINE = 10.0
Aliases = dict[str, dict[str, int]]
"""Model -> alias -> version."""


@dataclass(frozen=True)
class AliasesSeen:
    """What the registry said."""

    aliases: Aliases
    began: float
    """time.monotonic() before it was asked: an answer older than a move of ours says nothing."""


class AliasWatch:
    """Tells what `look` saw, from its own thread."""

    def __init__(self, uri: str, root: Path, names: Callable[[], Iterable[str]], tell: Callable[[AliasesSeen], None]):
        self._uri, self._root, self._names, self._tell = uri, root, names, tell
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aliases", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more. A look under way is not waited for: it changes nothing."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            names, began = list(self._names()), time.monotonic()
            seen = look(self._uri, self._root, names) if names else None
            if seen is not None:
                self._tell(AliasesSeen(seen, began))
            self._ended.wait(_EVERY)


def look(uri: str, root: Path, names: Iterable[str]) -> Aliases | None:
    """The aliases of these models. None where the registry does not answer."""
    try:
        return _sqlite(uri, root, names) if uri.startswith("sqlite:///") else _rest(uri, names)
    except (OSError, sqlite3.Error, ValueError, KeyError, TypeError):
        return None


def _sqlite(uri: str, root: Path, names: Iterable[str]) -> Aliases:
    path = root / uri.removeprefix("sqlite:///")
    connection = sqlite3.connect(f"file:{urllib.parse.quote(str(path))}?mode=ro", uri=True, timeout=_DEADLINE)
    try:
        rows = connection.execute("SELECT name, alias, version FROM registered_model_aliases").fetchall()
    finally:
        connection.close()
    found: Aliases = {name: {} for name in names}
    for name, alias, version in rows:
        if name in found:
            found[name][alias] = int(version)
    return found


def _rest(uri: str, names: Iterable[str]) -> Aliases:
    found: Aliases = {}
    for name in names:
        query = urllib.parse.urlencode({"name": name})
        address = f"{uri.rstrip('/')}/api/2.0/mlflow/registered-models/get?{query}"
        try:
            with urllib.request.urlopen(address, timeout=_DEADLINE) as answer:  # noqa: S310 (the settings take http and https)
                model = json.load(answer)["registered_model"]
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            model = {}
        found[name] = {a["alias"]: int(a["version"]) for a in model.get("aliases", [])}
    return found
