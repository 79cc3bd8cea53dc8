"""What a check found, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "note", "ok", "wrong"]

Verdict = Literal["ok", "note", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's. note: nothing to mend now, but worth to know."""

    check: str
    verdict: Verdict
    words: str
    remedy: str = ""


def ok(check: str, words: str) -> Finding:
    """As it should be."""
    return Finding(check, "ok", words)


def note(check: str, words: str, remedy: str = "") -> Finding:
    """Worth to know."""
    return Finding(check, "note", words, remedy)


def wrong(check: str, words: str, remedy: str) -> Finding:
    """Somebody has to mend it, and how."""
    return Finding(check, "wrong", words, remedy)
