"""Binds plain values (what JSON and YAML hold) to frozen dataclasses and back, with every mistake at once.

One binder serves the three vocabularies, the settings and the policies, so that they agree on what a list, a date or a
missing field is. It is ours because the CLI starts in the blink of an eye (pydantic costs 70 ms to import) and because
people who write YAML want all mistakes of a file, each with its line and the nearest right word (msgspec stops at the
first). Strict: unknown keys are mistakes, for what people write. Lenient: unknown keys are passed over, for what a newer
release of ours wrote.

A class with a `parse(text)` class method binds from text (spans such as `14d`, shares such as `5%`) and back by `str`.
A field whose key is a word of Python has an underscore at its end: `from_` binds from `from`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import difflib
import math
import types
import typing
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

__all__ = ["Mistake", "Mistakes", "Path", "bind", "choices", "nearest", "unbind"]

Path = tuple[str | int, ...]
_MUTABLE = (list, MutableSequence)
_LISTS = (*_MUTABLE, Sequence)
_MAPPINGS = (dict, Mapping, MutableMapping)
T = TypeVar("T")


@dataclass(frozen=True)
class Mistake:
    """One thing wrong in a document: the path to it, what is wrong, and what would be right."""

    path: Path
    problem: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{dotted(self.path) or 'document'}: {self.problem}" + (f"; {self.remedy}" if self.remedy else "")


class Mistakes(ValueError):  # noqa: N818 (it is a collection, raised whole)
    """Every mistake of a document."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = list(mistakes)
        super().__init__("; ".join(map(str, mistakes)))


def dotted(path: Path) -> str:
    """`("tables", "sales", 2)` as `tables.sales[2]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def nearest(word: str, known: Sequence[str]) -> str:
    """`did you mean at_most?`, or the list of what is known when nothing is near."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"


def bind(kind: type[T], value: object, *, strict: bool = True) -> T:
    """`value` as a `kind`. Raises Mistakes with everything that does not fit."""
    asked: Any = kind
    try:
        return typing.cast("T", _quick(asked, strict)(value))
    except _Unfit:
        pass  # once more, slowly, for every mistake and its path
    mistakes: list[Mistake] = []
    bound = _bind(kind, value, (), strict, mistakes)
    if mistakes:
        raise Mistakes(mistakes)
    return typing.cast("T", bound)


def unbind(value: Any, *, sparse: bool = False) -> Any:
    """The plain value (dicts, lists, text, numbers) that `bind` would read back.

    NaN and infinities become None: JSON has no word for them, and a figure that is not a number is a missing figure.
    sparse: leaves out fields that hold their default.
    """
    if value is None or isinstance(value, str | int | bool):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return str(value) if hasattr(type(value), "parse") else _unbind_dataclass(value, sparse)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(k): unbind(v, sparse=sparse) for k, v in value.items()}
    if isinstance(value, Sequence | frozenset | set):
        return [unbind(v, sparse=sparse) for v in (sorted(value) if isinstance(value, frozenset | set) else value)]
    return str(value)


def _unbind_dataclass(value: Any, sparse: bool) -> dict[str, Any]:
    kind: Any = type(value)
    fields = ((key, getattr(value, name), default) for key, name, default in _written(kind))
    return {key: unbind(held, sparse=sparse) for key, held, default in fields if not sparse or held != default}


@cache
def _written(kind: Any) -> tuple[tuple[str, str, Any], ...]:
    """(key, name, default) of each field; a default that nothing equals where there is none."""
    missing = dataclasses.MISSING
    return tuple(
        (f.name.rstrip("_"), f.name, f.default if f.default is not missing
         else f.default_factory() if f.default_factory is not missing else missing)
        for f in dataclasses.fields(kind)
    )  # fmt: skip


def choices(kind: Any) -> tuple[str, ...]:
    """The words of a Literal type."""
    return tuple(str(a) for a in get_args(kind))


@cache
def _fields(kind: Any) -> dict[str, tuple[str, Any, bool]]:
    """Key -> (name, type, required)."""
    hints, missing = typing.get_type_hints(kind), dataclasses.MISSING
    return {
        f.name.rstrip("_"): (f.name, hints[f.name], f.default is missing and f.default_factory is missing)
        for f in dataclasses.fields(kind)
        if f.init
    }


# ---- what fits, quickly: a function for each type, made once; the first thing that does not fit ends it ----

_Quick = Callable[[Any], Any]


class _Unfit(Exception):  # noqa: N818 (nobody sees it)
    """Something does not fit."""


@cache
def _quick(kind: Any, strict: bool) -> _Quick:
    if hasattr(kind, "__supertype__"):
        return _quick(kind.__supertype__, strict)
    origin = get_origin(kind)
    if kind is Any or kind is object:
        return lambda value: value
    if origin is Literal:
        return _quick_literal(get_args(kind))
    if origin in (Union, types.UnionType):
        return _quick_union(kind, strict)
    if origin is tuple or origin in _LISTS:
        return _quick_sequence(kind, strict)
    if origin in _MAPPINGS:
        return _quick_mapping(kind, strict)
    if isinstance(kind, type) and hasattr(kind, "parse"):
        return _quick_parsed(kind)
    if dataclasses.is_dataclass(kind):
        return _quick_dataclass(kind, strict)
    return _SCALARS.get(kind, _slowly)


def _slowly(_: Any) -> Any:
    raise _Unfit


def _quick_literal(allowed: tuple[Any, ...]) -> _Quick:
    kinds = {word: type(word) for word in allowed}

    def bound(value: Any) -> Any:
        if isinstance(value, str | int) and kinds.get(value) is type(value):
            return value
        raise _Unfit

    return bound


def _quick_union(kind: Any, strict: bool) -> _Quick:
    members = [_quick(a, strict) for a in get_args(kind) if a is not type(None)]
    optional = len(members) < len(get_args(kind))

    def bound(value: Any) -> Any:
        if value is None and optional:
            return None
        for member in members[:-1]:
            try:
                return member(value)
            except _Unfit:
                continue
        return members[-1](value)

    return bound


def _quick_sequence(kind: Any, strict: bool) -> _Quick:
    item, of = _quick(get_args(kind)[0], strict), list if get_origin(kind) in _MUTABLE else tuple

    def bound(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise _Unfit
        return of([item(v) for v in value])

    return bound


def _quick_mapping(kind: Any, strict: bool) -> _Quick:
    item = _quick(get_args(kind)[1], strict)

    def bound(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _Unfit
        return {str(k): item(v) for k, v in value.items()}

    return bound


def _quick_parsed(kind: Any) -> _Quick:
    def bound(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        if not isinstance(value, str):
            raise _Unfit
        try:
            return kind.parse(value)
        except ValueError:
            raise _Unfit from None

    return bound


def _quick_dataclass(kind: Any, strict: bool) -> _Quick:
    fields = [(key, name, _quick(of, strict), required) for key, (name, of, required) in _fields(kind).items()]
    known = {key for key, *_ in fields}

    def bound(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        if not isinstance(value, Mapping) or (strict and not known.issuperset(value)):
            raise _Unfit
        given = {}
        for key, name, item, required in fields:
            if key in value:
                given[name] = item(value[key])
            elif required:
                raise _Unfit
        try:
            return kind(**given)
        except ValueError:  # Mistakes among them
            raise _Unfit from None

    return bound


def _quick_scalar(*kinds: type[Any]) -> _Quick:
    def bound(value: Any) -> Any:
        if type(value) in kinds:
            return value
        raise _Unfit

    return bound


def _quick_float(value: Any) -> float:
    if type(value) in (float, int):
        return float(value)
    raise _Unfit


def _quick_time(kind: Any) -> _Quick:
    def bound(value: Any) -> Any:
        if not isinstance(value, str):
            if isinstance(value, kind):
                return value
            raise _Unfit
        try:
            return kind.fromisoformat(value)
        except ValueError:
            raise _Unfit from None

    return bound


_SCALARS: dict[Any, _Quick] = {
    bool: _quick_scalar(bool), int: _quick_scalar(int), str: _quick_scalar(str), float: _quick_float,
    dt.datetime: _quick_time(dt.datetime), dt.date: _quick_time(dt.date),
}  # fmt: skip
"""Any other type, and a subclass of these, is for the slow way to judge."""


# ---- every mistake, slowly ----

_DEFECT = object()


def _bind(kind: Any, value: Any, path: Path, strict: bool, out: list[Mistake]) -> Any:
    if hasattr(kind, "__supertype__"):
        return _bind(kind.__supertype__, value, path, strict, out)
    origin = get_origin(kind)
    if kind is Any or kind is object:
        return value
    if origin is Literal:
        return _bind_literal(kind, value, path, out)
    if origin in (Union, types.UnionType):
        return _bind_union(kind, value, path, strict, out)
    if origin is tuple or origin in _LISTS:
        return _bind_sequence(kind, value, path, strict, out)
    if origin in _MAPPINGS:
        return _bind_mapping(kind, value, path, strict, out)
    if isinstance(kind, type) and hasattr(kind, "parse"):
        return _bind_parsed(kind, value, path, out)
    if dataclasses.is_dataclass(kind):
        return _bind_dataclass(kind, value, path, strict, out)
    return _bind_scalar(kind, value, path, out)


def _wrong(path: Path, out: list[Mistake], problem: str, remedy: str = "") -> Any:
    out.append(Mistake(path, problem, remedy))
    return _DEFECT


def _shown(value: object) -> str:
    return "nothing" if value is None else f'"{value}"' if isinstance(value, str) else f"{value}"[:80]


def _bind_literal(kind: Any, value: Any, path: Path, out: list[Mistake]) -> Any:
    allowed = get_args(kind)
    for word in allowed:
        if word == value and type(word) is type(value):
            return value
    remedy = nearest(value, [str(a) for a in allowed]) if isinstance(value, str) else ""
    return _wrong(path, out, f"{_shown(value)} is not one of {', '.join(map(str, allowed))}", remedy)


def _bind_union(kind: Any, value: Any, path: Path, strict: bool, out: list[Mistake]) -> Any:
    members = [a for a in get_args(kind) if a is not type(None)]
    if value is None and len(members) < len(get_args(kind)):
        return None
    if len(members) == 1:
        return _bind(members[0], value, path, strict, out)
    first: list[Mistake] = []
    for member in members:
        attempt: list[Mistake] = []
        bound = _bind(member, value, path, strict, attempt)
        if not attempt:
            return bound
        # the member whose shape fits gives the message that helps
        if not first or len(attempt[0].path) > len(first[0].path):
            first = attempt
    out.extend(first)
    return _DEFECT


def _bind_sequence(kind: Any, value: Any, path: Path, strict: bool, out: list[Mistake]) -> Any:
    if not isinstance(value, list | tuple):
        return _wrong(path, out, f"{_shown(value)} is not a list", "write it as [a, b]")
    item = get_args(kind)[0]
    bound = tuple(_bind(item, v, (*path, i), strict, out) for i, v in enumerate(value))
    return list(bound) if get_origin(kind) in _MUTABLE else bound


def _bind_mapping(kind: Any, value: Any, path: Path, strict: bool, out: list[Mistake]) -> Any:
    if not isinstance(value, Mapping):
        return _wrong(path, out, f"{_shown(value)} is not a mapping of names to values")
    item = get_args(kind)[1]
    return {str(k): _bind(item, v, (*path, str(k)), strict, out) for k, v in value.items()}


def _bind_parsed(kind: Any, value: Any, path: Path, out: list[Mistake]) -> Any:
    if isinstance(value, kind):
        return value
    if not isinstance(value, str):
        return _wrong(path, out, f"{_shown(value)} has no unit", str(getattr(kind, "EXPECTED", "write it as text")))
    try:
        return kind.parse(value)
    except ValueError as error:
        return _wrong(path, out, str(error), str(getattr(kind, "EXPECTED", "")))


def _bind_dataclass(kind: Any, value: Any, path: Path, strict: bool, out: list[Mistake]) -> Any:
    if isinstance(value, kind):
        return value
    fields = _fields(kind)
    if not isinstance(value, Mapping):
        return _wrong(path, out, f"{_shown(value)} is not a mapping", f"its keys: {', '.join(fields)}")
    before = len(out)
    for key in [k for k in value if strict and k not in fields]:
        _wrong((*path, str(key)), out, f'unknown key "{key}"', nearest(str(key), list(fields)))
    given: dict[str, Any] = {}
    for key, (name, field_kind, required) in fields.items():
        if key in value:
            given[name] = _bind(field_kind, value[key], (*path, key), strict, out)
        elif required:
            _wrong(path, out, f'"{key}" is missing', f"add {key}: and its value")
    if len(out) > before:
        return _DEFECT
    try:
        return kind(**given)
    except Mistakes as inner:  # raised by __post_init__ with paths of its own
        out.extend(Mistake((*path, *m.path), m.problem, m.remedy) for m in inner.mistakes)
    except ValueError as error:
        _wrong(path, out, str(error))
    return _DEFECT


def _bind_scalar(kind: Any, value: Any, path: Path, out: list[Mistake]) -> Any:
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind is str and isinstance(value, str):
        return value
    if kind in (dt.datetime, dt.date) and isinstance(value, str):
        try:
            return kind.fromisoformat(value)
        except ValueError:
            return _wrong(path, out, f"{_shown(value)} is not a date", "write it as 2026-11-24")
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", dt.date: "a date",
             dt.datetime: "a time", type(None): "nothing"}
    if isinstance(kind, type) and kind in (dt.datetime, dt.date) and isinstance(value, kind):
        return value
    remedy = f'write it in quotes: "{value}"' if kind is str and isinstance(value, int | float | bool | dt.date) else ""
    return _wrong(path, out, f"{_shown(value)} is not {names.get(kind, str(kind))}", remedy)
