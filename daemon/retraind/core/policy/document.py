"""A policy file as frozen dataclasses, bound from plain values with every mistake of form at once.

What makes no sense though it is well formed is `lint`'s to say. To add a key: a field with a default here, its direction in
`diff`, a sentence in docs. VERSION rises only when an old file would be read with another meaning.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from retraind.core.binding import Mistake, Mistakes, Path, bind, nearest, unbind
from retraind.core.policy.conditions import KINDS
from retraind.core.policy.terms import PLACES, Day, DropCount, Name, Place, Stage, TimeOfDay
from retraind.core.units import Span

__all__ = [
    "VERSION",
    "Archive",
    "Condition",
    "Limits",
    "LoadedPolicy",
    "Policy",
    "Production",
    "Quota",
    "Refresh",
    "Rollback",
    "Staging",
    "Window",
    "bind_policy",
    "conditions",
    "glob_weight",
    "policy_for",
    "unbind_policy",
]

VERSION = 1
LISTS: Mapping[Place, str] = {
    "staging": "when",
    "production": "when",
    "refresh": "when",
    "rollback": "when_any",
}
_ENVELOPE = ("id", "why", "dry_run", "for")


@dataclass(frozen=True)
class Condition:
    """One entry of a list of conditions."""

    id: str
    kind: str
    """A key of `conditions.KINDS`."""
    asks: Any
    """The parameters: an instance of that kind's class."""
    why: str = ""
    dry_run: bool = False
    """Shown, not counted."""
    for_: DropCount = DropCount(1)
    """In rollback: must hold that many scored drops running."""


@dataclass(frozen=True)
class Staging:
    """What a version must show to enter Staging; asked again for Production."""

    when: tuple[Condition, ...]


@dataclass(frozen=True)
class Production:
    """What a version must show to become champion."""

    when: tuple[Condition, ...]
    give_up_after: Span
    first: Literal["lenient", "as_any"] = "lenient"
    """lenient: the very first champion needs no soak and no live figures."""


@dataclass(frozen=True)
class Refresh:
    """Stands in for production when the candidate is the champion's own recipe on newer data."""

    when: tuple[Condition, ...]


@dataclass(frozen=True)
class Rollback:
    """When a champion goes."""

    when_any: tuple[Condition, ...]
    to: Literal["last_good"]
    watch: DropCount
    cooldown: Span
    block: bool = True
    through_freeze: bool = True
    blind_after: DropCount | None = None


@dataclass(frozen=True)
class Archive:
    """How long the artifacts of archived versions are kept."""

    keep_last: int | None = None
    older_than: Span | None = None

    def __post_init__(self) -> None:
        if self.keep_last is not None and self.keep_last < 1:
            raise Mistakes([Mistake(("keep_last",), f"{self.keep_last} is less than 1", "write 1 or more")])


@dataclass(frozen=True)
class Window:
    """When promotions wait: weekly hours, or a stretch of dates (both included)."""

    id: Name
    why: str
    stages: tuple[Stage, ...]
    days: tuple[Day, ...] | None = None
    between: tuple[TimeOfDay, ...] | None = None
    from_: dt.date | None = None
    to: dt.date | None = None

    def __post_init__(self) -> None:
        out = []
        weekly, dated = (self.days, self.between), (self.from_, self.to)
        if (None in weekly) == (None in dated) or (any(weekly) and any(dated)):
            out.append(Mistake((), f"window {self.id} needs either days and between, or from and to",
                               'such as days: [mon, tue], between: ["02:00", "08:00"]'))  # fmt: skip
        if self.between is not None and (len(self.between) != 2 or self.between[0] == self.between[-1]):
            out.append(Mistake(("between",), "is not two different times", 'write ["02:00", "08:00"]'))
        if self.from_ and self.to and self.from_ > self.to:
            out.append(Mistake(("from",), f"from {self.from_} is after to {self.to}", "exchange them"))
        for key, items in (("stages", self.stages), ("days", self.days)):
            if items is not None and (not items or len(set(items)) < len(items)):
                out.append(Mistake((key,), "name each once, and at least one"))
        if out:
            raise Mistakes(out)


@dataclass(frozen=True)
class Quota:
    """At most so many promotions in a stretch of time."""

    at_most: int
    per: Span

    def __post_init__(self) -> None:
        if self.at_most < 1:
            raise Mistakes([Mistake(("at_most",), f"{self.at_most} is less than 1",
                                    "to stop promotions, pause the site or use mode: dry_run")])  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """How often Production may change."""

    promotions: Quota | None = None
    min_between: Span | None = None


@dataclass(frozen=True)
class Policy:
    """One policy file."""

    version: int
    policy: Name
    models: tuple[str, ...]
    """Registered names, or globs with * and ?."""
    mode: Literal["enforce", "dry_run"]
    staging: Staging
    production: Production
    timezone: str | None = None
    refresh: Refresh | None = None
    rollback: Rollback | None = None
    archive: Archive | None = None
    freeze: tuple[Window, ...] = ()
    limits: Limits | None = None
    tests: str | None = None

    def __post_init__(self) -> None:
        out = [*_wrong_head(self), *_twice([w.id for w in self.freeze], ("freeze",))]
        for place in PLACES:
            path = (place, LISTS[place])
            found = conditions(self, place)
            if not found and getattr(self, place) is not None:
                out.append(Mistake(path, "lists no condition", "give it at least one"))
            out += _twice([c.id for c in found], path)
        if out:
            raise Mistakes(out)

    @property
    def id(self) -> str:
        """The policy's name."""
        return str(self.policy)

    @cached_property
    def meaning(self) -> str:
        """Digest of what the blocks that lead to Production mean, their words left out: an approval binds to it."""
        blocks = unbind_policy(self)
        meant = {place: blocks.get(place) for place in ("production", "refresh")}
        for block in filter(None, meant.values()):
            block["when"] = [{k: v for k, v in c.items() if k != "why"} for c in block["when"]]
        return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()[:16]


def _wrong_head(policy: Policy) -> list[Mistake]:
    out = []
    if policy.version != VERSION:
        out.append(Mistake(("version",), f"version {policy.version} is not known", f"this release reads {VERSION}"))
    if not policy.models or len(set(policy.models)) < len(policy.models):
        out.append(Mistake(("models",), "name each model once, and at least one", "such as models: [price]"))
    for i, glob in enumerate(policy.models):
        if not glob or "[" in glob:
            out.append(Mistake(("models", i), f'"{glob}" is no glob', "letters as they are, * and ? for any"))
    if policy.freeze and policy.timezone is None:
        out.append(Mistake(("freeze",), "windows need a time zone", "add timezone: Asia/Shanghai"))
    if policy.timezone is not None and not _is_zone(policy.timezone):
        out.append(Mistake(("timezone",), f'"{policy.timezone}" is no time zone', "write an IANA name: Asia/Shanghai"))
    if policy.tests is not None and not policy.tests.endswith((".yaml", ".yml")):
        out.append(Mistake(("tests",), f'"{policy.tests}" is no YAML file', "such as tests: tests/price.yaml"))
    return out


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _twice(ids: Sequence[str], path: Path) -> list[Mistake]:
    return [
        Mistake((*path, i, "id"), f'the id "{name}" is used twice', "tests and explanations speak of it: rename one")
        for i, name in enumerate(ids)
        if name in ids[:i]
    ]


def conditions(policy: Policy, place: Place) -> tuple[Condition, ...]:
    """The conditions of one block; empty where the policy has no such block."""
    block = getattr(policy, place)
    return () if block is None else cast("tuple[Condition, ...]", getattr(block, LISTS[place]))


# ---- binding ----


def bind_policy(value: object) -> Policy:
    """The policy in a document's plain value. Raises Mistakes with every mistake of form."""
    if not isinstance(value, Mapping):
        what = "the file is empty" if value is None else "the file is no mapping"
        raise Mistakes([Mistake((), what, "start from policies/price.yaml")])
    out: list[Mistake] = []
    plain: dict[str, Any] = dict(value)
    for place, key in LISTS.items():
        block = plain.get(place)
        if isinstance(block, Mapping) and isinstance(block.get(key), list | tuple):
            path = (place, key)
            bound = [_condition(place, item, (*path, i), out) for i, item in enumerate(block[key])]
            plain[place] = {**block, key: bound}
    try:
        policy = bind(Policy, plain)
    except Mistakes as error:
        raise Mistakes([*out, *error.mistakes]) from None
    if out:
        raise Mistakes(out)
    return policy


def _condition(place: Place, value: object, path: Path, out: list[Mistake]) -> Condition:
    """The condition; when it is not one, `out` says why and what comes back is never seen."""
    broken = Condition(f"broken-{path[-1]}", "", None)
    if not isinstance(value, Mapping):
        out.append(Mistake(path, "is not a condition", "write - id: NAME and a kind under it"))
        return broken
    before = len(out)
    allowed = [kind.name for kind in KINDS.values() if place in kind.places]
    out += _unknown_keys(place, value, allowed, path)
    kinds = [key for key in value if key in KINDS]
    if len(kinds) != 1 and len(out) == before:
        what = f"has {len(kinds)} kinds ({', '.join(kinds)})" if kinds else "has no kind"
        out.append(Mistake(path, what, f"give it exactly one of {', '.join(allowed)}"))
    envelope = _bind_at(_envelope(place), {k: v for k, v in value.items() if k in _ENVELOPE}, path, out)
    asks = [_bind_at(KINDS[k].asks_in(place), value[k], (*path, k), out) for k in kinds if k in allowed]
    if len(out) > before:
        return Condition(str(value.get("id", broken.id)), "", None)
    return Condition(envelope.id, kinds[0], asks[0], envelope.why, envelope.dry_run, envelope.for_)


@dataclass(frozen=True)
class _Envelope:
    id: Name
    why: str = ""
    dry_run: bool = False
    for_: DropCount = DropCount(1)


@dataclass(frozen=True)
class _RollbackEnvelope:
    id: Name
    for_: DropCount
    why: str = ""
    dry_run: bool = False


def _envelope(place: Place) -> type[Any]:
    return _RollbackEnvelope if place == "rollback" else _Envelope


def _unknown_keys(place: Place, value: Mapping[Any, Any], allowed: Sequence[str], path: Path) -> list[Mistake]:
    out = []
    known = [key for key in _ENVELOPE if key != "for" or place == "rollback"]
    for key in value:
        if key in KINDS and key not in allowed:
            places = ", ".join(KINDS[key].places)
            out.append(Mistake((*path, key), f"{key} may not stand in {place}", f"it may stand in {places}"))
        elif key == "for" and place != "rollback":
            out.append(Mistake((*path, key), "for stands only in rollback", "leave it out, or ask for a soak"))
        elif key not in KINDS and key not in known:
            out.append(Mistake((*path, str(key)), f'unknown key "{key}"', nearest(str(key), [*known, *allowed])))
    return out


def _bind_at(kind: type[Any], value: object, path: Path, out: list[Mistake]) -> Any:
    try:
        return bind(kind, value)
    except Mistakes as error:
        out += [Mistake((*path, *m.path), m.problem, m.remedy) for m in error.mistakes]
        return None


def unbind_policy(policy: Policy) -> dict[str, Any]:
    """The plain value that `bind_policy` reads back; keys without a value are left out."""
    plain: dict[str, Any] = _pruned(unbind(policy))
    for place, key in LISTS.items():
        if place in plain:
            plain[place][key] = [_plain_condition(c, place) for c in conditions(policy, place)]
    return plain


def _plain_condition(condition: Condition, place: Place) -> dict[str, Any]:
    plain: dict[str, Any] = {"id": str(condition.id), "why": condition.why, "dry_run": condition.dry_run}
    plain = {k: v for k, v in plain.items() if v}
    if place == "rollback":
        plain["for"] = str(condition.for_)
    return plain | {condition.kind: _pruned(unbind(condition.asks))}


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _pruned(v) for k, v in value.items() if v is not None and v != []}
    return [_pruned(v) for v in value] if isinstance(value, list) else value


# ---- which policy speaks for a model ----


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy in force, and the file that it came from."""

    file: str
    """Its name in the policies folder: `price.yaml`."""
    sha256: str
    """Of the text."""
    policy: Policy

    @property
    def ref(self) -> str:
        """`price@7c1e09ab`: what decisions name."""
        return f"{self.policy.id}@{self.sha256[:8]}"


def glob_weight(glob: str) -> int:
    """Literal characters of a glob: the more, the closer it fits."""
    return sum(c not in "*?" for c in glob)


def policy_for(policies: Mapping[str, LoadedPolicy], model: str) -> LoadedPolicy | None:
    """The policy whose glob fits `model` with the most literal characters; None: no policy speaks for it.

    Ties are refused when a file is loaded; should one be here all the same, the file that comes first by name wins.
    """
    fitting = [
        (-glob_weight(glob), file)
        for file, loaded in policies.items()
        for glob in loaded.policy.models
        if fnmatchcase(model, glob)
    ]
    return policies[min(fitting)[1]] if fitting else None
