"""Looks each minute at what others can change, without mlflow: aliases and versions, by SQLite read-only or the server's REST.

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
from typing import Any

from retraind.core.divergence import Registered

__all__ = ["AliasWatch", "AliasesSeen", "look"]

_EVERY = 60.0
_DEADLINE = 10.0
_PAGE = 1000
_DELETED = "Deleted_Internal"
"""MLflow's stage of a version that was deleted; the row stays."""
Seen = dict[str, Registered]
"""By model."""


@dataclass(frozen=True)
class AliasesSeen:
    """What the registry said."""

    models: Seen
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


def look(uri: str, root: Path, names: Iterable[str]) -> Seen | None:
    """Aliases and versions of these models. None where the registry does not answer."""
    try:
        return _sqlite(uri, root, names) if uri.startswith("sqlite:///") else _rest(uri, names)
    except (OSError, sqlite3.Error, ValueError, KeyError, TypeError):
        return None


def _sqlite(uri: str, root: Path, names: Iterable[str]) -> Seen:
    path = root / uri.removeprefix("sqlite:///")
    connection = sqlite3.connect(f"file:{urllib.parse.quote(str(path))}?mode=ro", uri=True, timeout=_DEADLINE)
    try:
        aliases = connection.execute("SELECT name, alias, version FROM registered_model_aliases").fetchall()
        versions = connection.execute("SELECT name, version, run_id FROM model_versions WHERE current_stage IS NOT ?",
                                      (_DELETED,)).fetchall()  # fmt: skip
    finally:
        connection.close()
    return {
        name: Registered({alias: int(number) for n, alias, number in aliases if n == name},
                         {int(number): run or "" for n, number, run in versions if n == name})
        for name in names
    }  # fmt: skip


def _rest(uri: str, names: Iterable[str]) -> Seen:
    base = f"{uri.rstrip('/')}/api/2.0/mlflow"
    return {name: Registered(_aliases(base, name), _versions(base, name)) for name in names}


def _aliases(base: str, name: str) -> dict[str, int]:
    try:
        model = _get(f"{base}/registered-models/get", {"name": name})["registered_model"]
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return {}
    return {a["alias"]: int(a["version"]) for a in model.get("aliases", [])}


def _versions(base: str, name: str) -> dict[int, str]:
    asked = {"filter": f"name = '{name}'", "max_results": str(_PAGE)}
    found: dict[int, str] = {}
    while True:
        page = _get(f"{base}/model-versions/search", asked)
        found |= {int(v["version"]): v.get("run_id", "") for v in page.get("model_versions", [])}
        if not page.get("next_page_token"):
            return found
        asked["page_token"] = page["next_page_token"]


def _get(address: str, query: dict[str, str]) -> Any:
    with urllib.request.urlopen(f"{address}?{urllib.parse.urlencode(query)}", timeout=_DEADLINE) as answer:  # noqa: S310 (the settings take http and https)
        return json.load(answer)
