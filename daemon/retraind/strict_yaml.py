"""YAML 1.2 as we read it from people, for settings and policies alike: strict, and every key knows its line and column.

ruamel.yaml reads YAML 1.2 (`on`, `off`, `22:00` stay text) and refuses equal keys. We further refuse what a reader of the
file would not expect: aliases, tags, several documents, files over 256 KiB. Whole numbers with a leading zero and dates
stay text, so that what the file shows is what is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from retraind.core import binding
from retraind.core.binding import Mistake, Mistakes
from retraind.errors import Place, Refused, RetraindError

__all__ = ["LIMIT", "Document", "bind", "parse", "read"]

LIMIT = 256 * 1024
T = TypeVar("T")

_TAG = "tag:yaml.org,2002:"
_YAML = "look for an open bracket or quote, or a wrong indent, in this line or just before it"
_TAB = "YAML takes no tabs: indent with spaces"
_KINDS = ("", "null", "bool", "int", "float", "str", "timestamp")
_DEEPEST = 50
_BRACKETS = re.compile(r"[\[\]{}]")
_DASHES = re.compile(rf"(?:[-?:][ \t]+){{{_DEEPEST}}}")
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?[0-9]{1,18}(\.[0-9]*)?([eE][-+]?[0-9]{1,2})?")


class Mark(NamedTuple):
    """A place in a text; both count from 1."""

    line: int
    column: int = 1


_START = Mark(1)


@dataclass(frozen=True)
class Document:
    """A document's plain value, and where every key and item in it begins."""

    file: str
    text: str
    value: Any
    marks: dict[binding.Path, Mark]

    def mark(self, path: binding.Path) -> Mark:
        """Where `path` begins, or the nearest thing around it that the file holds."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, _START)

    def spot(self, path: binding.Path) -> str:
        """`path` for people, who know an item of a list by its id: `production, stable-inputs`."""
        value, named = self.value, ""
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                break
            if isinstance(part, int) and isinstance(value, dict) and isinstance(value.get("id"), str):
                named = value["id"]
        return f"{path[0]}, {named}" if named else binding.dotted(path)

    def refuse(self, mistakes: Iterable[Mistake]) -> Refused:
        """The error that tells all `mistakes` with their places, in the order of the file."""
        told = [
            _mistake(self.file, self.mark(m.path), f"{m.problem} (in {self.spot(m.path)})" if m.path else m.problem, m.remedy)
            for m in sorted(mistakes, key=lambda m: self.mark(m.path).line)
        ]
        return Refused(self.file, told)


def read(path: Path, *, shown_as: str | None = None) -> Document:
    """The document in a file. Raises Refused, or RetraindError when the file cannot be read."""
    name = shown_as or str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(LIMIT + 1)
    except OSError as error:
        raise RetraindError(f"cannot be read: {error.strerror}", where=Place(name)) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        mark = Mark(before.count(b"\n") + 1, len(before) - before.rfind(b"\n"))
        raise Refused(name, [_mistake(name, mark, "is not UTF-8", "save it as UTF-8")]) from error
    return parse(text, name)


def parse(text: str, file: str) -> Document:
    """The document in a text. Raises Refused."""
    if len(text.encode()) > LIMIT:
        raise Refused(file, [_mistake(file, _START, "is over 256 KiB", "that is no file that a person keeps")])
    if _is_abyss(text):
        raise Refused(file, [_mistake(file, _START, "is nested too deeply", "")])
    try:
        nodes = list(YAML(typ="rt", pure=True).compose_all(text))
    except MarkedYAMLError as error:
        found = error.problem_mark or error.context_mark
        what = str(error.problem or error.context)
        remedy = _TAB if "'\\t'" in what else _YAML
        raise Refused(file, [_mistake(file, _mark(found) if found else _START, f"is not YAML: {what}", remedy)]) from error
    except YAMLError as error:
        raise Refused(file, [_mistake(file, _START, f"is not YAML: {error}", "")]) from error
    except RecursionError as error:
        raise Refused(file, [_mistake(file, _START, "is nested too deeply", "")]) from error
    if len(nodes) > 1:
        raise Refused(file, [_mistake(file, _START, "holds several documents", "keep one and leave the --- lines out")])
    reader = _Reader(file)
    value = reader.plain(nodes[0], (), 0) if nodes and nodes[0] is not None else None
    if reader.mistakes:
        raise Refused(file, reader.mistakes)
    return Document(file, text, value, reader.marks)


def _is_abyss(text: str) -> bool:
    """Open brackets or dashes beyond all that a person writes: ruamel takes a second for a thousand, and longer for each more."""
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        depth = max(0, depth + (1 if bracket[0] in "[{" else -1))
        if depth > _DEEPEST:
            return True
    return _DASHES.search(text) is not None


def bind(kind: type[T], document: Document) -> T:
    """The document as a `kind`. Raises Refused with every mistake and its line."""
    try:
        return binding.bind(kind, document.value)
    except Mistakes as error:
        raise document.refuse(error.mistakes) from error


def _mark(of: Any) -> Mark:
    """From ruamel's, which counts from 0."""
    return Mark(of.line + 1, of.column + 1)


def _mistake(file: str, mark: Mark, what: str, remedy: str) -> RetraindError:
    return RetraindError(what, where=Place(file, line=mark.line, column=str(mark.column)), remedy=remedy)


class _Reader:
    """Turns nodes into plain values and remembers where they stand."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.marks: dict[binding.Path, Mark] = {}
        self.mistakes: list[RetraindError] = []
        self.seen: set[int] = set()

    def plain(self, node: Node, path: binding.Path, depth: int) -> Any:
        mark = _mark(node.start_mark)
        self.marks.setdefault(path, mark)
        if id(node) in self.seen or node.anchor:
            return self.refuse(mark, "uses an anchor or alias (& or *)", "write the value out where it is needed")
        self.seen.add(id(node))
        if depth > 20:
            return self.refuse(mark, "is nested too deeply", "")
        if isinstance(node, MappingNode):
            return self.mapping(node, path, depth)
        if isinstance(node, SequenceNode):
            return [self.plain(child, (*path, i), depth + 1) for i, child in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self.scalar(node, mark)
        return self.refuse(mark, "holds something that is neither text nor list nor mapping", "")

    def mapping(self, node: MappingNode, path: binding.Path, depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = _mark(key_node.start_mark)
            if not isinstance(key_node, ScalarNode):
                self.refuse(mark, "has a key that is not a word", "")
                continue
            key = key_node.value
            if key in out:
                first = self.marks[(*path, key)].line
                self.refuse(mark, f'has the key "{key}" twice (first in line {first})', "keep one of them")
            if key == "<<":
                self.refuse(mark, "merges with <<", "write the keys out")
            self.marks[(*path, key)] = mark
            out[key] = self.plain(value_node, (*path, key), depth + 1)
        return out

    def scalar(self, node: ScalarNode, mark: Mark) -> Any:
        tag = str(node.tag) if node.tag else ""
        text: str = node.value
        if tag.startswith("!") or (tag and not tag.startswith(_TAG)):
            return self.refuse(mark, f"has the tag {tag}", "leave it out")
        kind = tag.removeprefix(_TAG)
        if kind not in _KINDS:
            return self.refuse(mark, f"has the tag {tag}", "leave it out")
        if node.style in ("'", '"', "|", ">"):
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int" and _INT.fullmatch(text):
            return int(text)
        if kind == "float" and _FLOAT.fullmatch(text):
            return float(text)
        return text

    def refuse(self, mark: Mark, what: str, remedy: str) -> None:
        self.mistakes.append(_mistake(self.file, mark, what, remedy))
