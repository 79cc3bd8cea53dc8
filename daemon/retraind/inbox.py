"""Watches the drops folder: events wake it, a scan decides what is there.

watchdog loses up to 65 % of a burst (docs/decisions), so an event only wakes the scan and tells that a file is complete
(it was closed after writing, or renamed in). A file that only the scan found must lie still for the settle time. Each
complete file is hashed here, in this thread, and told once. What lies there and is no file (a link, a pipe, a folder) is
never opened, and told as passed over.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from watchdog.events import FileClosedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyObserver

from retraind.core.steps import FileAway
from retraind.failpoint import failpoint

__all__ = ["FileComplete", "Inbox", "ScanEnded", "Seen", "digest_of", "put_away"]

_EVERY = 60.0
_SOON, _LOOK = 1.0, 5.0
_PATIENCE = 300.0
_HASHED = 1024**3
_LONGEST_NAME = 255
_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", ".swp")
Seen = tuple[int, int]
"""Size and mtime_ns."""


@dataclass(frozen=True)
class FileComplete:
    """A file lies in the folder, complete."""

    path: Path
    sha256: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class ScanEnded:
    """The folder was looked through."""

    unsettled: int
    """Files that may still be written."""
    trouble: str = ""
    """Why the folder could not be read."""
    watched_anew: bool = False
    """The folder is another than the one that was watched before."""
    passed_over: Mapping[str, str] = field(default_factory=dict)
    """What lies there and is no drop: name as it can be shown -> why and what to do."""


class _Wake(FileSystemEventHandler):
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def on_any_event(self, event: FileSystemEvent) -> None:
        if isinstance(event, FileClosedEvent):
            self._inbox.announce(os.fsdecode(event.src_path))
        elif isinstance(event, FileMovedEvent) and event.dest_path:
            self._inbox.announce(os.fsdecode(event.dest_path))
        elif event.event_type in ("created", "moved", "deleted"):  # each write is no news: the close is
            self._inbox.scan_soon()


class Inbox:
    """One folder. `tell` gets FileComplete and ScanEnded, from this object's thread."""

    def __init__(
        self, folder: Path, settle: float, known: dict[Path, Seen], tell: Callable[[FileComplete | ScanEnded], None]
    ) -> None:
        self._folder, self._settle, self._known, self._tell = folder, settle, known, tell
        self._announced: set[str] = set()
        self._still: dict[str, tuple[Seen, float]] = {}
        self._began: dict[str, float] = {}
        self._unread: dict[str, str] = {}
        self._passed_over: dict[str, str] = {}
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None
        # a test that lets a file grow for ever does not wait five minutes
        self._patience = float(os.environ.get("RETRAIND_PATIENCE", _PATIENCE))
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)

    def start(self) -> None:
        """Begin to watch; the first scan follows at once."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # the scan will say so
            self._watch()  # before anybody is told that the daemon is ready: what is closed from now on is an event
        self._wake.set()
        self._thread.start()

    def stop(self) -> None:
        """End the watch."""
        self._ended.set()
        self._wake.set()
        if self._observer:
            self._observer.stop()
        self._thread.join(5)

    def announce(self, path: str) -> None:
        """An event says that this file is complete."""
        self._announced.add(path)
        self._wake.set()

    def scan_soon(self) -> None:
        """Look again."""
        self._wake.set()

    def forget(self, path: Path) -> None:
        """The file was taken away; another of that name is a new one."""
        self._known.pop(path, None)

    def _watch(self) -> bool:
        """Watch the folder that lies there now: after it was removed and restored it is another. Whether it is."""
        folder, before = self._identity(), self._watched
        if folder == before and self._observer and self._observer.is_alive():
            return False
        if self._observer:
            self._observer.stop()
        self._observer = None
        with contextlib.suppress(OSError):  # no inotify left: the scan alone finds everything, a minute later
            # full events: only these tell a file that was renamed in from one that somebody begins to write
            observer = InotifyObserver(generate_full_events=True)
            observer.schedule(_Wake(self), str(self._folder), recursive=False)
            observer.start()
            self._observer, self._watched = observer, folder
        return before not in (None, folder)

    def _run(self) -> None:
        pause = _EVERY
        while not self._ended.is_set():
            self._wait(pause)
            self._wake.clear()
            if self._ended.is_set():
                return
            ended = self._scan()
            self._tell(ended)
            pause = _SOON if ended.trouble else _EVERY
            if ended.unsettled:
                pause = min(_EVERY, max(self._settle / 2, 0.05))

    def _wait(self, seconds: float) -> None:
        """Until it is time, something happens in the folder, or another folder or none lies there: that is no event."""
        end = time.monotonic() + seconds
        while not self._wake.wait(min(_LOOK, max(0.0, end - time.monotonic()))) and time.monotonic() < end:
            if self._watched and not self._is_watched():
                return

    def _is_watched(self) -> bool:
        try:
            return self._identity() == self._watched
        except OSError:
            return False

    def _identity(self) -> tuple[int, int]:
        status = self._folder.stat()
        return status.st_dev, status.st_ino

    def _scan(self) -> ScanEnded:
        unsettled = 0
        try:
            anew = self._watch()  # first: what comes while the folder is read is an event
            with os.scandir(self._folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)
            return ScanEnded(0, f"{self._folder}: {error.strerror}")
        names = {entry.path for entry in found}
        self._still = {path: value for path, value in self._still.items() if path in names}
        self._began = {path: since for path, since in self._began.items() if path in names}
        self._unread.clear()
        self._passed_over.clear()
        for path in [p for p in list(self._known) if str(p) not in names]:
            self._known.pop(path, None)  # taken away: put back, even with its old time, it is a new one
        for entry in found:
            if not self._ended.is_set() and not self._look(entry):
                unsettled += 1
        trouble = "; ".join(f"{path}: {why}" for path, why in self._unread.items())
        return ScanEnded(unsettled, trouble, anew, dict(self._passed_over))

    def _look(self, entry: os.DirEntry[str]) -> bool:
        """Tell a file when it is complete. False while it may still be written."""
        if entry.name.startswith(".") or entry.name.endswith(_UNFINISHED):
            return True
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            return True
        path, seen = Path(entry.path), (status.st_size, status.st_mtime_ns)
        if why := _no_drop(entry.name, status.st_mode):
            self._passed_over[_showable(entry.name)] = why
        if why or self._known.get(path) == seen:
            self._announced.discard(entry.path)
            return True
        if not self._complete(entry.path, seen):
            return self._written_for_ever(entry)
        try:
            digest = digest_of(path)
            after = path.lstat()
        except FileNotFoundError:
            return True  # taken away meanwhile
        except OSError as error:
            self._unread[entry.path] = error.strerror or str(error)
            return True
        if (after.st_size, after.st_mtime_ns) != seen:
            return False
        self._known[path] = seen
        self._still.pop(entry.path, None)
        self._began.pop(entry.path, None)
        self._tell(FileComplete(path, digest, seen[0], seen[1]))
        return True

    def _complete(self, path: str, seen: Seen) -> bool:
        if path in self._announced:
            self._announced.discard(path)
            return True
        before, since = self._still.get(path, (None, 0.0))
        if before != seen:
            self._still[path] = (seen, time.monotonic())
            return self._settle == 0
        return time.monotonic() - since >= self._settle

    def _written_for_ever(self, entry: os.DirEntry[str]) -> bool:
        """Whether a file has been written to for so long that nobody waits for its end. It is looked at all the same."""
        since = time.monotonic() - self._began.setdefault(entry.path, time.monotonic())
        if since < self._patience:
            return False
        self._passed_over[entry.name] = "is still written to; write to another name, then rename it"
        return True


def _no_drop(name: str, mode: int) -> str:
    """Why this is no drop, and what to do; nothing for a file."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8; rename it"
    kinds: dict[Callable[[int], bool], str] = {
        stat.S_ISLNK: "is a link; put the file itself here", stat.S_ISDIR: "is a folder; put its files here, side by side",
        stat.S_ISFIFO: "is a pipe; put a file here", stat.S_ISSOCK: "is a socket; put a file here",
    }  # fmt: skip
    if stat.S_ISREG(mode):
        return ""
    return next((why for is_one, why in kinds.items() if is_one(mode)), "is a device; put a file here")


def _showable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def digest_of(path: Path) -> str:
    """sha256 of a file's bytes, hex. Of those that it had when it was opened, should it grow; of a file that is larger than
    any examination reads, its beginning and its size. Raises OSError, for a link or a pipe too, which are not waited for.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        digest, left = hashlib.sha256(), min(status.st_size, _HASHED)
        while left and (chunk := file.read(min(left, 1 << 20))):
            digest.update(chunk)
            left -= len(chunk)
    if status.st_size > _HASHED:
        digest.update(str(status.st_size).encode())
    return digest.hexdigest()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def put_away(step: FileAway, root: Path, folders: dict[str, Path]) -> Path | None:
    """Put a drop's file where its end wants it; where it lies now, None when it is gone.

    Safe to do again: a file that was moved already is found by what stands in its place. Another file that took the
    drop's place meanwhile is a drop of its own and left where it lies. Raises OSError.
    """
    source = root / step.path
    if step.to == "leave" or _is_another(step, source):
        return source
    if step.to == "delete":
        failpoint("drop.before_delete")
        source.unlink(missing_ok=True)
        return None
    folder = folders[step.to]
    folder.mkdir(parents=True, exist_ok=True)
    if source.parent == folder:
        target = source
    else:
        taken, target = _last_and_free(folder, source.name)
        if not source.exists():  # moved by a daemon that was killed before it could say so, or taken by somebody
            return taken
    if step.to == "quarantine":  # first: a file that was moved has its reason beside it
        _reason_of(target).write_text(step.reason, "utf-8")
    if target != source:
        failpoint("drop.before_move")
        shutil.move(source, target)
        failpoint("drop.moved")
    if step.to != "quarantine":
        _reason_of(source).unlink(missing_ok=True)
    return target


def _reason_of(file: Path) -> Path:
    return file.with_name(_fitted(file.name, ".reason.txt"))


def _fitted(name: str, suffix: str) -> str:
    """The name with the suffix, cut where a file system takes no more."""
    room = _LONGEST_NAME - len(suffix.encode())
    return name.encode()[:room].decode(errors="ignore") + suffix


def _is_another(step: FileAway, file: Path) -> bool:
    """Size and time tell it at once; where they differ, the content does."""
    if not step.sha256:
        return False
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode):
            return True
        return (status.st_size, status.st_mtime_ns) != (step.bytes, step.mtime_ns) and digest_of(file) != step.sha256
    except FileNotFoundError:
        return False


def _last_and_free(folder: Path, name: str) -> tuple[Path | None, Path]:
    """Of `sales.csv`, `sales.2.csv`, ...: the last that is there, and the first that nobody has."""
    last, target, number = None, folder / name, 1
    while target.exists():
        number += 1
        stem, dot, suffix = name.partition(".")
        last, target = target, folder / _fitted(stem, f".{number}{dot}{suffix}")
    return last, target
