"""The log of one training: what it did when, a line each, on standard error and kept for the run's artifacts.

The runner keeps a job's standard error as STATE/jobs/JOB/log.txt, where `retrainctl runs logs` reads it while it grows. The
clock is looked at for the reader alone: nothing that is trained depends on it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

__all__ = ["TrainingLog"]


class TrainingLog:
    """Passes progress on and writes a line for each new stage."""

    def __init__(self, progress: Callable[[str, int, int], None]) -> None:
        self._pass_on = progress
        self._stage = ""
        self._began = time.monotonic()
        self._lines: list[str] = []

    @property
    def seconds(self) -> float:
        """Since the training began."""
        return time.monotonic() - self._began

    @property
    def text(self) -> str:
        """What was said so far."""
        return "".join(f"{line}\n" for line in self._lines)

    def progress(self, stage: str, done: int, of: int) -> None:
        """As `JobContext.progress`."""
        if stage != self._stage:
            self._stage = stage
            self.say(stage)
        self._pass_on(stage, done, of)

    def say(self, what: str, **fields: object) -> None:
        """One line: a time in UTC, what happened, and fields as key=value."""
        told = "".join(f" {name}={_shown(value)}" for name, value in fields.items() if value is not None)
        line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {what}{told}"
        self._lines.append(line)
        sys.stderr.write(line + "\n")


def _shown(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f'"{text}"' if " " in text else text
