"""An edit of a policy in words: which condition became stricter, looser, or other.

*Stricter* promises that nothing is promoted that was not before (in rollback: that a bad champion goes no later). *Looser*
is the contrary, *other* is everything that has no order: another metric, another slice, the way of a list in rollback.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from retraind.core.policy.answers import Direction
from retraind.core.policy.conditions import KINDS
from retraind.core.policy.document import LISTS, Policy, unbind_policy
from retraind.core.policy.terms import PLACES, DropCount, Place
from retraind.core.units import Percent, Span

__all__ = ["Change", "changes", "compare", "is_looser"]

Verdict = Literal["stricter", "looser", "other"]
_OPPOSITE: Mapping[Verdict, Verdict] = {"stricter": "looser", "looser": "stricter", "other": "other"}

_BLOCKS: Mapping[str, Mapping[str, Direction]] = {
    "production": {"give_up_after": "less"},
    "rollback": {"watch": "more", "cooldown": "more", "block": "yes", "through_freeze": "yes", "blind_after": "less"},
    "limits": {"promotions.at_most": "less", "promotions.per": "more", "min_between": "more"},
    "archive": {},
}


class Change(tuple[Verdict, str, str]):
    """(verdict, place and id, what changed)."""

    __slots__ = ()

    @property
    def verdict(self) -> Verdict:
        """stricter, looser or other."""
        return self[0]

    def __str__(self) -> str:
        return " ".join(part for part in self if part)


def changes(old: Policy, new: Policy) -> tuple[str, ...]:
    """The edit in words: `stricter better-at-a-week by 1% -> 2%`."""
    return tuple(str(change) for change in compare(old, new))


def is_looser(old: Policy, new: Policy, block: str = "production") -> bool:
    """Whether something in `block` became looser or other, which voids approvals."""
    return any(c.verdict != "stricter" for c in compare(old, new) if c[1].startswith(f"{block}.") or c[1] == block)


def compare(old: Policy, new: Policy) -> list[Change]:
    """Every change, in the order of the file."""
    before, after = unbind_policy(old), unbind_policy(new)
    out: list[Change] = []
    for key in ("policy", "models", "mode", "timezone", "tests"):
        if before.get(key) != after.get(key):
            out.append(_change("other", key, f"{_shown(before.get(key))} -> {_shown(after.get(key))}"))
    for place in PLACES:
        out += _block(place, before.get(place), after.get(place))
    out += _freeze(before.get("freeze", []), after.get("freeze", []))
    for name in ("limits", "archive"):
        out += _parameters(name, _BLOCKS[name], _flat(before.get(name, {})), _flat(after.get(name, {})))
    return out


def _change(verdict: Verdict, where: str, what: str) -> Change:
    return Change((verdict, where, what))


def _block(place: Place, before: dict[str, Any] | None, after: dict[str, Any] | None) -> Iterator[Change]:
    if before is None or after is None:
        if before is not after:
            # a refresh block is another way to Production and not a harder one
            verdict: Verdict = "other" if place == "refresh" else "stricter" if after is not None else "looser"
            yield _change(verdict, place, "added" if after is not None else "removed")
        return
    key = LISTS[place]
    plain = [{k: v for k, v in block.items() if k != key} for block in (before, after)]
    first = [block.pop("first", "lenient") for block in plain]
    if first[0] != first[1]:
        yield _change("stricter" if first[1] == "as_any" else "looser", f"{place}.first", f"{first[0]} -> {first[1]}")
    yield from _parameters(place, _BLOCKS.get(place, {}), *plain)
    old, new = ({c["id"]: c for c in block[key]} for block in (before, after))
    for name in [*old, *(n for n in new if n not in old)]:
        yield from _condition(place, name, old.get(name), new.get(name))


def _condition(
    place: Place, name: str, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> Iterator[Change]:
    where = f"{place}.{name}"
    if before is None or after is None:
        there = after if before is None else before
        counts = not (there or {}).get("dry_run", False)
        verdict: Verdict = "other" if not counts else "stricter" if before is None else "looser"
        yield _change(verdict, where, "added" if before is None else "removed")
        return
    kinds = [next(k for k in c if k in KINDS) for c in (before, after)]
    if kinds[0] != kinds[1]:
        yield _change("other", where, f"{kinds[0]} -> {kinds[1]}")
        return
    dry = [bool(c.get("dry_run")) for c in (before, after)]
    if dry[0] != dry[1]:
        yield _change("looser" if dry[1] else "stricter", where, f"dry_run {_shown(dry[0])} -> {_shown(dry[1])}")
    if before.get("for") != after.get("for"):
        verdict = _direct("less", before["for"], after["for"])
        yield _change(verdict, where, f"for {before['for']} -> {after['for']}")
    flat = [_flat(c[kinds[0]]) for c in (before, after)]
    counted = not (dry[0] and dry[1])
    for change in _parameters(where, _directions(place, kinds[0], flat[0], flat[1]), flat[0], flat[1]):
        yield change if counted else _change("other", change[1], change[2])


def _directions(place: Place, kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Direction]:
    if place == "rollback":  # to roll back sooner is stricter; lists have no order there
        return {"at_most": "more", "at_least": "less", "by": "less"}
    directions = dict(KINDS[kind].stricter)
    if kind == "slices" and old.get("small") == new.get("small") == "hold":
        directions["min_dates"] = "more"
    return directions


def _parameters(
    where: str, directions: Mapping[str, Direction], old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[Change]:
    for key in [*old, *(k for k in new if k not in old)]:
        before, after = old.get(key), new.get(key)
        if before != after:
            verdict = _direct(directions.get(key, "other"), before, after)
            if key == "small":
                verdict = "stricter" if after == "hold" else "looser"
            yield _change(verdict, where, f"{key} {_shown(before)} -> {_shown(after)}")


def _direct(direction: Direction, before: Any, after: Any) -> Verdict:
    """Whether going from `before` to `after` is stricter; an absent bound is the loosest."""
    if direction == "other":
        return "other"
    if before is None or after is None:
        return "stricter" if before is None else "looser"
    if direction == "yes":
        return "stricter" if after else "looser"
    if direction in ("superset", "subset"):
        old, new = (set(v) if isinstance(v, list) else {v} for v in (before, after))
        grown: Verdict = "stricter" if old < new else "looser" if new < old else "other"
        return grown if direction == "superset" else _OPPOSITE[grown]
    sizes = _size(before), _size(after)
    if sizes[0][0] != sizes[1][0] or sizes[0][1] == sizes[1][1]:
        return "other"
    return "stricter" if (sizes[1][1] > sizes[0][1]) == (direction == "more") else "looser"


def _size(value: Any) -> tuple[str, float]:
    """(unit, size): values of different units have no order."""
    if isinstance(value, int | float):
        return "", float(value)
    for unit in (Percent, Span, DropCount):
        try:
            parsed = unit.parse(str(value))
        except ValueError:
            continue
        return unit.__name__, float(
            getattr(parsed, {"Percent": "value", "Span": "seconds"}.get(unit.__name__, "drops"))
        )
    return str(value), 0.0


def _flat(value: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as dotted keys."""
    out: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            out |= {f"{key}.{k}": v for k, v in inner.items()}
        else:
            out[key] = inner
    return out


def _freeze(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Iterator[Change]:
    old, new = ({w["id"]: w for w in windows} for windows in (before, after))
    for name in [*old, *(n for n in new if n not in old)]:
        if name not in old or name not in new:
            yield _change(
                "looser" if name in old else "stricter", f"freeze.{name}", "removed" if name in old else "added"
            )
        else:
            keys = [k for k in {**old[name], **new[name]} if k != "why" and old[name].get(k) != new[name].get(k)]
            for key in keys:
                words = f"{key} {_shown(old[name].get(key))} -> {_shown(new[name].get(key))}"
                yield _change("other", f"freeze.{name}", words)


def _shown(value: Any) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
