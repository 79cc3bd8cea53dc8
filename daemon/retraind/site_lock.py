"""One daemon a site: a lock on a file, free the moment its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from retraind.errors import Place, RetraindError

__all__ = ["SiteLock"]


class SiteLock:
    """Held from `take` to the process's end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self) -> None:
        """Raises RetraindError that names the holder when another daemon runs on this site, and for a folder that takes no file."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # not inherited by children: an orphan must not keep the site locked
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise RetraindError(f"the state folder cannot be written: {error.strerror}", where=Place(str(self._path.parent)),
                                remedy="let the daemon's user write there; nothing is lost meanwhile") from error  # fmt: skip
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(file)
            raise RetraindError(f"{holder} runs on this site already", where=Place(str(self._path)),
                                remedy="look at it with: retrainctl status", retryable=True) from None  # fmt: skip
        os.ftruncate(file, 0)
        os.pwrite(file, f"retraind, pid {os.getpid()}\n".encode(), 0)
        self._file = file

    def release(self) -> None:
        """Let another daemon run here."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
