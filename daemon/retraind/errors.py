"""Errors as data: what happened, where, what mends it, and whether trying again can help.

The screen, `--json`, the log and the journal say the same because they all read these fields. A program that catches a
`RetraindError` never parses its text. Nothing here imports anything heavy, so that the CLI can show any error cheaply.

    RetraindError          a person or time can mend it; shown without a traceback; exit code 1
    +-- Usage              wrong words on the command line or a wrong file named there; exit code 2
    +-- NotRunning         the daemon does not answer; exit code 3
    +-- OutOfTime          `wait` ran out of time; exit code 4
    +-- Several            what was asked for at once and refused one by one; exit code 1
        +-- Refused        a document (settings, policy) with all its mistakes at once; exit code 1
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NotRunning", "OutOfTime", "Place", "Refused", "RetraindError", "Several", "Usage", "told"]


@dataclass(frozen=True)
class Place:
    """Where something is wrong: a file, and in it a row and column of a table or a line and column of a text."""

    file: str
    row: int | None = None
    """Row of a table, the header not counted, from 1."""
    column: str | None = None
    line: int | None = None
    """Line of a text, from 1."""

    def __str__(self) -> str:
        parts = [self.file]
        if self.line is not None:
            parts.append(f"line {self.line}")
        if self.row is not None:
            parts.append(f"row {self.row}")
        if self.column is not None:
            parts.append(f"column {self.column}")
        return ", ".join(parts)


def told(what: str, remedy: str) -> str:
    """Both in one text: a remedy that is a sentence of its own follows a full stop, any other a semicolon."""
    if not remedy:
        return what
    end = "" if what.endswith((".", "?", "!")) else "." if remedy[0].isupper() else ";"
    return f"{what}{end} {remedy}"


class RetraindError(Exception):
    """What, where, remedy, and whether the same thing may succeed later without anybody acting."""

    exit_code = 1

    def __init__(self, what: str, *, where: Place | None = None, remedy: str = "", retryable: bool = False) -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        self.retryable = retryable
        super().__init__(str(self))

    def __str__(self) -> str:
        return (f"{self.where}: " if self.where else "") + told(self.what, self.remedy)


class Usage(RetraindError):
    """The words on the command line do not fit."""

    exit_code = 2


class NotRunning(RetraindError):
    """The daemon does not answer on its socket."""

    exit_code = 3


class OutOfTime(RetraindError):
    """Somebody waited for something that did not come in time."""

    exit_code = 4


class Several(RetraindError):
    """Of several things that were asked for at once, those that were refused: each is an error of its own."""

    def __init__(
        self, mistakes: list[RetraindError], what: str = "", *, where: Place | None = None, remedy: str = ""
    ) -> None:
        self.mistakes = mistakes
        super().__init__(what or "; ".join(map(str, mistakes)), where=where, remedy=remedy)


class Refused(Several):
    """A document that cannot be taken, with every mistake in it."""

    def __init__(self, file: str, mistakes: list[RetraindError]) -> None:
        first = mistakes[0]
        more = f" ({len(mistakes) - 1} more mistakes in this file)" if len(mistakes) > 1 else ""
        super().__init__(mistakes, first.what + more, where=first.where or Place(file), remedy=first.remedy)
