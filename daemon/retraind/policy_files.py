"""The policies folder: finds files, reads one strictly, refuses it with the line and remedy of every mistake.

Only `*.yaml` and `*.yml` directly in the folder are policies; `examples/` and `tests/` are not. The supervisor calls `scan`
to see what changed and `load_file` to take it; what is in force and what to do about a refusal is the supervisor's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retraind import strict_yaml
from retraind.core.binding import Mistake, Mistakes, dotted
from retraind.core.events import PolicyLoaded
from retraind.core.policy import diff
from retraind.core.policy.document import LISTS, LoadedPolicy, bind_policy
from retraind.core.policy.lint import Site, lint, refusals, ties
from retraind.core.units import Span
from retraind.errors import Place, Refused, RetraindError
from retraind.strict_yaml import Document

__all__ = ["LoadedFile", "load_file", "load_text", "scan", "sha256"]


@dataclass(frozen=True)
class LoadedFile:
    """A policy file that may come into force."""

    loaded: LoadedPolicy
    text: str
    notes: tuple[RetraindError, ...] = ()
    """What the linter lets in but says, each with its line."""

    def event(self, before: LoadedPolicy | None = None) -> PolicyLoaded:
        """For the journal; `before` is what this file had in force until now."""
        policy = self.loaded.policy
        changes = diff.changes(before.policy, policy) if before else ()
        return PolicyLoaded(
            self.loaded.file, policy.id, self.loaded.sha256, self.text, policy.models, tuple(changes)
        )  # fmt: skip


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


def load_file(
    path: Path,
    others: Iterable[LoadedPolicy] = (),
    cadence: Span | None = None,
    *,
    site: Site | None = None,
    shown_as: str | None = None,
) -> LoadedFile:
    """The policy in a file, beside those in force. Raises Refused with every mistake, RetraindError when unreadable.

    others: what is in force, this file's own earlier version included or not. shown_as: the name in messages.
    """
    document = strict_yaml.read(path, shown_as=shown_as or path.name)
    return _take(document, path.name, tuple(others), site or Site(cadence))


def load_text(
    text: str,
    file: str,
    others: Iterable[LoadedPolicy] = (),
    cadence: Span | None = None,
    *,
    site: Site | None = None,
) -> LoadedFile:
    """The policy in a text, such as the journal keeps. Raises Refused."""
    return _take(strict_yaml.parse(text, file), file, tuple(others), site or Site(cadence))


def _take(document: Document, name: str, others: Sequence[LoadedPolicy], site: Site) -> LoadedFile:
    try:
        policy = bind_policy(document.value)
    except Mistakes as error:
        raise _refused(document, error.mistakes) from error
    findings = lint(policy, site=site)
    mistakes = [*refusals(findings), *ties(policy, name, others)]
    if mistakes:
        raise _refused(document, mistakes)
    digest = hashlib.sha256(document.text.encode()).hexdigest()
    notes = tuple(_told(document, f.mistake) for f in findings if f.severity == "note")
    return LoadedFile(LoadedPolicy(name, digest, policy), document.text, notes)


def _refused(document: Document, mistakes: Iterable[Mistake]) -> Refused:
    told = [_told(document, mistake) for mistake in mistakes]
    return Refused(document.file, sorted(told, key=lambda e: (e.where.line or 0) if e.where else 0))


def _told(document: Document, mistake: Mistake) -> RetraindError:
    """With its line, and the condition's id instead of its place in a list: people know it by that."""
    spot = _spot(document.value, mistake.path)
    where = Place(document.file, line=document.line(mistake.path))
    return RetraindError(f"{mistake.problem} ({spot})" if spot else mistake.problem, where=where, remedy=mistake.remedy)


def _spot(value: Any, path: tuple[str | int, ...]) -> str:
    """`production, condition h7-better` for paths inside a condition, else the dotted path."""
    if len(path) >= 3 and path[0] in LISTS and isinstance(path[2], int):
        item = value[path[0]][path[1]][path[2]]
        name = item.get("id") if isinstance(item, dict) else None
        if isinstance(name, str):
            return f"in {path[0]}, condition {name}"
    return f"in {dotted(path)}" if path else ""
