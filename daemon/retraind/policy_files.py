"""The policies folder: finds its files, says what became of them, and when to look again.

Only `*.yaml` and `*.yml` directly in the folder are policies; `examples/` and `tests/` are not. `changes` says as events what
became of the folder since it was read last, `Watch` when to look again. A file that is refused leaves its last good
version in force. Reading one is `strict_policy`'s work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from retraind import strict_yaml
from retraind.core.events import PolicyLoaded, PolicyRefused, PolicyRemoved
from retraind.core.policy.document import LoadedPolicy
from retraind.core.policy.lint import Site
from retraind.core.state import Refusal
from retraind.errors import Refused, RetraindError
from retraind.strict_policy import load_file

__all__ = ["Watch", "changes", "scan", "sha256"]


def scan(folder: Path) -> dict[str, tuple[int, int]]:
    """Name -> (mtime in ns, size) of the policy files in `folder`; empty where there is no such folder."""
    found: dict[str, tuple[int, int]] = {}
    try:
        entries = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return found
    for path in entries:
        if path.suffix not in (".yaml", ".yml") or path.name.startswith("."):
            continue
        try:
            seen = path.stat()
        except FileNotFoundError:  # an editor that replaces the file; the next scan sees the new one
            continue
        if path.is_file():
            found[path.name] = (seen.st_mtime_ns, seen.st_size)
    return found


def sha256(path: Path) -> str:
    """Of the file's text as it lies there, for the event of a refusal; of nothing when it cannot be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(strict_yaml.LIMIT + 1)
    except OSError:
        raw = b""
    return hashlib.sha256(raw).hexdigest()


def changes(
    folder: Path, loaded: Mapping[str, LoadedPolicy], refusals: Mapping[str, Refusal], *, site: Site | None = None
) -> Iterator[PolicyLoaded | PolicyRefused | PolicyRemoved]:
    """What became of the folder since `loaded` and `refusals` were true."""
    now = dict(loaded)
    there = scan(folder)
    moved = False
    for file in [f for f in dict.fromkeys((*loaded, *refusals)) if f not in there]:
        gone = now.pop(file, None)
        moved = True
        yield PolicyRemoved(file, gone.policy.id if gone else "")
    refused = {file: kept.sha256 for file, kept in refusals.items() if file in there}
    for file in there:
        digest = sha256(folder / file)
        before = now.get(file)
        if digest == (refused.get(file) or (before.sha256 if before else "")):
            continue
        event, taken = _try(folder / file, now, digest, site)
        if taken:
            now[file], moved = taken, True
            refused.pop(file, None)
        else:
            refused[file] = digest
        yield event
    # who was refused because of another file is asked again when another file changed
    for file, digest in refused.items() if moved else ():
        event, taken = _try(folder / file, now, digest, site)
        if taken:
            now[file] = taken
            yield event


def _try(
    path: Path, now: Mapping[str, LoadedPolicy], digest: str, site: Site | None
) -> tuple[PolicyLoaded | PolicyRefused, LoadedPolicy | None]:
    before = now.get(path.name)
    try:
        taken = load_file(path, now.values(), site=site)
    except RetraindError as error:
        told = error.mistakes if isinstance(error, Refused) else [error]
        return PolicyRefused(path.name, digest, tuple(map(str, told)), before.sha256 if before else None), None
    return taken.event(before), taken.loaded


class Watch:
    """Calls `touched` when something in the folder changes. Editors write in steps: the caller waits for quiet."""

    def __init__(self, folder: Path, touched: Callable[[], None]) -> None:
        self._folder, self._touched = folder, touched
        self._observer: BaseObserver | None = None

    def start(self) -> None:
        """Begin to watch. Without inotify the caller's own look each minute has to do."""
        handler = FileSystemEventHandler()
        handler.on_any_event = self._on_event  # type: ignore[method-assign]
        observer = Observer()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            observer.schedule(handler, str(self._folder), recursive=False)
            observer.start()
        except OSError:
            return
        self._observer = observer

    def stop(self) -> None:
        """End the watch."""
        if self._observer:
            self._observer.stop()

    def _on_event(self, event: FileSystemEvent) -> None:
        if event.event_type in ("created", "modified", "moved", "deleted", "closed"):
            self._touched()
