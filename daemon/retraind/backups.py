"""The journal's daily backup, made by a child so that the loop goes on. `journal.backup` copies and checks; this starts it when it
is due and tells how it went.

Due: a day after the newest backup, or after the journal's first event where there is none yet. One that failed is tried again
an hour later; `retrainctl doctor` says when the newest is too old.
"""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from retraind.journal import backup, beside

__all__ = ["BackupEnded", "Backups"]

_EVERY, _AGAIN = dt.timedelta(days=1), dt.timedelta(hours=1)
_LIMIT = 600.0
"""Seconds: a million events take 20 on one core."""


@dataclass(frozen=True)
class BackupEnded:
    """The child is gone."""

    path: Path
    why: str
    """Why there is no backup; empty when there is one."""


class Backups:
    """One at a time, told from a thread that waits for the child."""

    def __init__(self, journal: Path, began: dt.datetime | None, tell: Callable[[BackupEnded], None]) -> None:
        self._journal, self._tell = journal, tell
        newest = beside.backups(journal)[-1:]
        self._last = (beside.made_at(newest[0]) if newest else None) or began
        self._child: subprocess.Popen[str] | None = None

    @property
    def running(self) -> bool:
        """A child is at work, or what came of it was not taken yet."""
        return self._child is not None

    def look(self, wall: dt.datetime) -> None:
        """Start one when it is due. wall: now."""
        if self._last is None:
            self._last = wall
        if self._child is not None or wall < self._last + _EVERY:
            return
        self._last = wall
        target = beside.backup_path(self._journal, wall)
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-m", backup.__name__, str(self._journal), str(target)], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
            )  # fmt: skip
        except OSError as error:
            self._tell(BackupEnded(target, str(error)))
            return
        threading.Thread(target=self._wait, args=(self._child, target), name="backup", daemon=True).start()

    def _wait(self, child: subprocess.Popen[str], target: Path) -> None:
        try:
            _, said = child.communicate(timeout=_LIMIT)
        except subprocess.TimeoutExpired:
            child.kill()
            said = f"it took more than {_LIMIT:.0f} s\n{child.communicate()[1]}"
        lines = said.strip().splitlines()
        self._tell(BackupEnded(target, "" if child.returncode == 0 else lines[-1] if lines else f"exit code {child.returncode}"))

    def ended(self, told: BackupEnded) -> None:
        """Taken note of by the loop."""
        self._child = None
        if told.why and self._last:
            self._last += _AGAIN - _EVERY

    def stop(self) -> None:
        """End a child at work: it leaves nothing but a part that the next one removes."""
        if self._child is not None:
            self._child.kill()
