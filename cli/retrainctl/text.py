"""Lays text out: columns, labels with hanging indents, colour to a terminal. Plain strings, no rich: it costs 50 ms.

A line is a list of pieces, each a text and a style. Colour is never the only signal: every mark is a word or a symbol.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from unicodedata import east_asian_width

__all__ = [
    "Cell",
    "Line",
    "Screen",
    "clipped",
    "emit",
    "labelled",
    "print_json",
    "rendered",
    "screen",
    "table",
    "wide",
    "wrapped",
]

Style = Literal["", "bold", "dim", "red", "green", "yellow", "cyan"]
Piece = tuple[str, Style]
Line = list[Piece]
Cell = str | Piece

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_UNLIMITED = 100_000
_GLUED = "\N{NO-BREAK SPACE}%"
_ROOM = 26
"""What the last column of a table must have, or it goes below its row."""
_BARS = {bar: str(height) for height, bar in enumerate("▁▂▃▄▅▆▇█", 1)}
_PLAIN = str.maketrans({"·": "-", "▲": "!", "²": "2", "…": "...", "→": "->", **_BARS})


@dataclass(frozen=True)
class Screen:
    """What is drawn on: columns, and whether it takes colour and every letter."""

    width: int = 80
    colour: bool = False
    unicode: bool = True


def screen() -> Screen:
    """Standard output: a terminal's own width and colour; a pipe has no edge, so that a line stays a line for grep."""
    terminal = sys.stdout.isatty()
    told = os.environ.get("COLUMNS", "")
    width = int(told) if told.isdecimal() else os.get_terminal_size().columns if terminal else _UNLIMITED
    colour = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return Screen(max(width, 40), colour, "utf" in (sys.stdout.encoding or "").lower())


def wide(text: str) -> int:
    """Columns that `text` fills."""
    return len(text) if text.isascii() else sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, width: int) -> list[str]:
    """`text` broken at spaces into lines of at most `width` columns; a longer word stands alone."""
    lines: list[str] = []
    now = ""
    for word in text.replace(" %", _GLUED).split(" "):
        if now and wide(now) + 1 + wide(word) > width:
            lines.append(now)
            now = word
        else:
            now = f"{now} {word}" if now else word
    return [line.replace(_GLUED, " %") for line in (*lines, now)]


def clipped(text: str, width: int) -> str:
    """`text`, its end cut off where it is wider than `width`."""
    if wide(text) <= width:
        return text
    while wide(text) > width - 1:
        text = text[:-1]
    return text.rstrip() + "…"


def labelled(
    label: str, text: str, on: Screen, *, style: Style = "", mark: Style = "bold", indent: int = 10
) -> list[Line]:
    """`LABEL     text`, the text wrapped with its lines under one another."""
    out: list[Line] = []
    for i, part in enumerate(wrapped(text, on.width - indent)):
        head = f" {label}".ljust(indent) if i == 0 else " " * indent
        out.append([(head, mark), (part, style)])
    return out


def table(headers: Sequence[str], rows: Iterable[Sequence[Cell]], on: Screen) -> list[Line]:
    """Columns as wide as what they hold; the last takes what is left and wraps, below its row where little is left."""
    plain = [[_piece(cell) for cell in row] for row in rows]
    if not plain:
        return []
    fixed = len(headers) - 1
    widths = [max(wide(h), *(wide(row[i][0]) for row in plain)) for i, h in enumerate(headers[:fixed])]
    start = 1 + sum(widths) + 2 * fixed
    below = on.width - start < _ROOM and any(wide(row[-1][0]) > on.width - start for row in plain)
    indent = 3 + widths[0] if below else start
    head: Line = [(f" {_row(headers[:fixed], widths)}" + ("" if below else headers[-1]), "bold")]
    out: list[Line] = [[(head[0][0].rstrip(), "bold")]] if any(headers) else []
    for row in plain:
        line: Line = [(" ", "")]
        for (text, style), width in zip(row, widths, strict=False):
            line += [(text, style), (" " * (width - wide(text) + 2), "")]
        last, style = row[-1]
        parts = wrapped(last, max(on.width - indent, 20))
        if below:
            out.append(line)
            out += [[(" " * indent, ""), (part, style)] for part in parts if part]
        else:
            out.append([*line, (parts[0], style)])
            out += [[(" " * indent, ""), (part, style)] for part in parts[1:]]
    return out


def _piece(cell: Cell) -> Piece:
    return (cell, "") if isinstance(cell, str) else cell


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(cell + " " * (width - wide(cell) + 2) for cell, width in zip(cells, widths, strict=True))


def rendered(lines: Iterable[Line], on: Screen) -> str:
    """The lines as one text."""
    out = []
    for line in lines:
        kept = list(line)
        while kept and not kept[-1][0].strip():
            kept.pop()
        if kept:
            kept[-1] = (kept[-1][0].rstrip(), kept[-1][1])
        out.append("".join(_painted(text, style, on) for text, style in kept))
    text = "\n".join(out)
    return text if on.unicode else text.translate(_PLAIN).encode("ascii", "replace").decode()


def _painted(text: str, style: Style, on: Screen) -> str:
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style and on.colour and text.strip() else text


def print_json(document: dict[str, Any]) -> None:
    """One document on standard output; ASCII escapes only where the output cannot take more."""
    ascii_only = "utf" not in (sys.stdout.encoding or "").lower()
    sys.stdout.write(json.dumps(document, ensure_ascii=ascii_only, indent=2) + "\n")


def emit(lines: Iterable[Line], on: Screen | None = None) -> None:
    """Print the lines."""
    sys.stdout.write(rendered(lines, on or screen()) + "\n")
