"""A policy file, read strictly: refused with the line and remedy of every mistake, and by its own tests.

The daemon and `retrainctl policy` both read here, so that a check at the command line says what the daemon would say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from retraind import strict_yaml
from retraind.core.binding import Mistake, Mistakes
from retraind.core.events import PolicyLoaded
from retraind.core.policy import cases, diff
from retraind.core.policy.document import LoadedPolicy
from retraind.core.policy.lint import Site, accept
from retraind.core.state import LoadedText
from retraind.core.units import Span
from retraind.errors import Refused, RetraindError
from retraind.strict_yaml import Document

__all__ = ["LoadedFile", "in_force", "load_file", "load_text", "read_policy", "read_tests"]


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


def load_file(
    path: Path,
    others: Iterable[LoadedPolicy] = (),
    cadence: Span | None = None,
    *,
    site: Site | None = None,
    shown_as: str | None = None,
) -> LoadedFile:
    """The policy in a file that passes its own tests, beside those in force.

    others: what is in force, this file's own earlier version included or not. shown_as: the name in messages.
    Raises Refused with every mistake or every failed test, RetraindError when a file is unreadable.
    """
    taken = read_policy(path, others, site=site or Site(cadence), shown_as=shown_as)
    policy = taken.loaded.policy
    if policy.tests is not None:
        document, file = read_tests(path.parent / policy.tests, path, shown_as=policy.tests)
        failures = cases.run(policy, file).failures
        if failures:
            raise Refused(shown_as or path.name, document.refuse(f.mistake for f in failures).mistakes)
    return taken


def read_policy(
    path: Path, others: Iterable[LoadedPolicy] = (), *, site: Site | None = None, shown_as: str | None = None
) -> LoadedFile:
    """Like `load_file`, its tests left aside."""
    document = strict_yaml.read(path, shown_as=shown_as or path.name)
    return _take(document, path.name, tuple(others), site or Site())


def read_tests(path: Path, policy_path: Path, *, shown_as: str | None = None) -> tuple[Document, cases.CaseFile]:
    """A file of policy tests. Raises Refused when it is none or is another policy's, RetraindError when it is unreadable."""
    document = strict_yaml.read(path, shown_as=shown_as or path.name)
    try:
        file = cases.bind_cases(document.value)
    except Mistakes as error:
        raise document.refuse(error.mistakes) from error
    if (path.parent / file.policy).resolve() != policy_path.resolve():
        what = f'tests "{file.policy}" and not {policy_path.name}'
        raise document.refuse([Mistake(("policy",), what, "name the policy file from where the tests lie")])
    return document, file


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


def in_force(texts: Mapping[str, LoadedText]) -> dict[str, LoadedPolicy]:
    """The policies whose texts the journal says are in force, by file.

    A text that this release no longer takes is left out: its models hold, and the folder's next look refuses the file in words.
    """
    loaded = {file: _loaded(kept.text, file) for file, kept in texts.items()}
    return {file: policy for file, policy in loaded.items() if policy}


@lru_cache(maxsize=64)
def _loaded(text: str, file: str) -> LoadedPolicy | None:
    """Remembered: the daemon asks each minute, and YAML is slow to read."""
    try:
        return load_text(text, file).loaded
    except Refused:
        return None


def _take(document: Document, name: str, others: Sequence[LoadedPolicy], site: Site) -> LoadedFile:
    digest = hashlib.sha256(document.text.encode()).hexdigest()
    try:
        loaded, notes = accept(document.value, name, digest, others, site)
    except Mistakes as error:
        raise document.refuse(error.mistakes) from error
    told = document.refuse(note.mistake for note in notes).mistakes if notes else []
    return LoadedFile(loaded, document.text, tuple(told))
