"""Draws panels with axes as SVG text: what `plots` needs and no more.

A plotting library takes a quarter to half a second a figure (measured: matplotlib, 1.65 s for the six plots of one candidate; this
0.02 s), and a refresh has only seconds. Text stays text, so that a name in any script is drawn by whoever looks, with the
fonts that are there. The same figures give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLUE", "GREEN", "GREY", "INK", "MODELS", "RED", "Panel", "Scale", "clipped", "svg"]

BLUE, ORANGE, GREEN, RED, GREY, INK = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#8a8f98", "#24292f"
MODELS = (BLUE, ORANGE, GREEN, "#cc79a7", RED, "#56b4e9", "#b59f00")
"""Okabe and Ito's colours, which the colour-blind can tell apart."""
_GRID = "#e6e8eb"
_FONTS = "system-ui, 'Segoe UI', 'Noto Sans', 'Noto Sans CJK SC', 'Microsoft YaHei', 'PingFang SC', sans-serif"
_LETTER = 6.0
"""Width of a usual letter, in pixels: no font is measured."""
_MONTHS = (1, 2, 3, 6, 12, 24, 60)

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """Values to pixels."""

    low: float
    high: float
    log: bool = False
    dates: bool = False
    """Values are days since 1970."""
    words: tuple[str, ...] = ()
    """Values are places in this list."""

    @classmethod
    def of(cls, *values: Iterable[float], log: bool = False, dates: bool = False, zero: bool = False) -> Scale:
        """One that holds all the values. zero: and 0."""
        known = np.concatenate([np.asarray(list(v), dtype=np.float64) for v in values])
        known = known[np.isfinite(known) & ((known > 0) | (not log))]
        low, high = (float(known.min()), float(known.max())) if len(known) else (1.0, 10.0)
        low, high = (min(low, 0.0), max(high, 0.0)) if zero else (low, high)
        if log:
            return cls(low / 1.2, high * 1.2, log=True)
        room = 0.5 if dates else (0.04 * (high - low) or abs(high) or 1.0)
        return cls(low - (0 if zero and low == 0 else room), high + (0 if zero and high == 0 else room), dates=dates)

    def at(self, values: Iterable[float], start: float, end: float) -> Values:
        """Pixels between start and end."""
        v = np.asarray(list(values), dtype=np.float64)
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        share = ((np.log(np.maximum(v, self.low)) if self.log else v) - low) / ((high - low) or 1.0)
        return np.asarray(start + np.clip(share, 0, 1) * (end - start))

    def ticks(self) -> list[tuple[float, str]]:
        """Where a reader expects a mark, and what stands there."""
        if self.words:
            return [(float(i), clipped(word)) for i, word in enumerate(self.words)]
        if self.dates:
            return _months(self.low, self.high)
        if self.log:
            return [(v, _number(v)) for v in _decades(self.low, self.high)]
        step = _step((self.high - self.low) / 4)
        first = math.ceil(self.low / step - 1e-9)
        return [(i * step, _number(i * step)) for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _step(rough: float) -> float:
    """The next of 1, 2, 5, 10, ..."""
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    return next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)


def _decades(low: float, high: float) -> list[float]:
    fine = high / low < 300
    found = [m * 10.0**p for p in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
             for m in ((1, 2, 5) if fine else (1,))]  # fmt: skip
    return [v for v in found if low <= v <= high]


def _months(low: float, high: float) -> list[tuple[float, str]]:
    first, last = (np.datetime64(int(v), "D").astype("datetime64[M]").astype(int) for v in (low, high))
    every = next((m for m in _MONTHS if (last - first) / m <= 6), _MONTHS[-1])
    marks = [np.datetime64(int(m), "M") for m in range(first, last + 2) if m % every == 0]
    days = [(float(m.astype("datetime64[D]").astype(int)), str(m)) for m in marks]
    inside = [(day, text) for day, text in days if low <= day <= high]
    return inside or [(low + 0.5, str(np.datetime64(int(low + 0.5), "D")))]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@dataclass
class Panel:
    """A pair of axes with what is drawn in it; pixels, the origin above left."""

    x: float
    y: float
    width: float
    height: float
    across: Scale
    up: Scale
    parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        bottom = self.y + self.height
        for at, (_, text) in zip(self._across([v for v, _ in self.across.ticks()]), self.across.ticks(), strict=True):
            self.parts.append(_line(at, self.y, at, bottom, _GRID) + _text(at, bottom + 14, text, "middle"))
        for at, (_, text) in zip(self._up([v for v, _ in self.up.ticks()]), self.up.ticks(), strict=True):
            self.parts.append(_line(self.x, at, self.x + self.width, at, _GRID) + _text(self.x - 6, at + 4, text, "end"))
        self.parts.append(_line(self.x, bottom, self.x + self.width, bottom, GREY))

    def _across(self, values: Iterable[float]) -> Values:
        return self.across.at(values, self.x, self.x + self.width)

    def _up(self, values: Iterable[float]) -> Values:
        return self.up.at(values, self.y + self.height, self.y)

    def label(self, title: str, across: str = "", up: str = "") -> None:
        """Title above, names of the axes."""
        self.parts.append(_text(self.x, self.y - 12 - 13 * bool(up), title, weight="600", size=12))
        if across:
            self.parts.append(_text(self.x + self.width / 2, self.y + self.height + 30, across, "middle", GREY))
        if up:
            self.parts.append(_text(self.x, self.y - 9, up, colour=GREY))

    def line(self, across: Iterable[float], up: Iterable[float], colour: str, width: float = 1.5, dash: str = "") -> None:
        """A line through the points."""
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(self._across(across), self._up(up), strict=True))
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"{dashed}/>')

    def dots(self, across: Iterable[float], up: Iterable[float], colour: str, size: float = 2, opacity: float = 1) -> None:
        """A dot a point."""
        dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{size}"/>'
                       for a, b in zip(self._across(across), self._up(up), strict=True))  # fmt: skip
        self.parts.append(f'<g fill="{colour}" fill-opacity="{opacity}">{dots}</g>')

    def columns(self, across: Iterable[float], up: Iterable[float], wide: float, colour: str, below: str = "") -> None:
        """A bar from 0 to each value, `wide` in units of the axis. below: the colour under 0."""
        (zero,), middle, tops = self._up([0.0]), list(across), self._up(up)
        lefts, rights = self._across(m - wide / 2 for m in middle), self._across(m + wide / 2 for m in middle)
        for left, right, top in zip(lefts, rights, tops, strict=True):
            self.parts.append(_box(left, min(top, zero), right - left, abs(top - zero), below if top > zero and below else colour))

    def bars(self, across: Iterable[float], up: Iterable[float], wide: float, colours: Sequence[str]) -> None:
        """A bar from 0 to each value across, `wide` in units of the other axis."""
        (zero,), middle, ends = self._across([0.0]), list(up), self._across(across)
        lows, highs = self._up(m - wide / 2 for m in middle), self._up(m + wide / 2 for m in middle)
        for low, high, end, colour in zip(lows, highs, ends, colours, strict=True):
            self.parts.append(_box(min(end, zero), high, abs(end - zero), low - high, colour))

    def whiskers(self, across: Sequence[float], up: Sequence[float], spread: Sequence[float], *, flat: bool) -> None:
        """A spread to both sides of each point. flat: of the value across."""
        low, high = ([v + sign * s for v, s in zip(across if flat else up, spread, strict=True)] for sign in (-1, 1))
        ends = (self._across(low), self._across(high), self._up(up), self._up(up)) if flat else (
            self._across(across), self._across(across), self._up(low), self._up(high))  # fmt: skip
        for x1, x2, y1, y2 in zip(*ends, strict=True):
            self.parts.append(_line(x1, y1, x2, y2, GREY))

    def legend(self, entries: Sequence[tuple[str, str, str]], *, x: float, y: float, beside: bool = False) -> None:
        """(name, colour, dash) from that place on, downwards or beside one another."""
        for name, colour, dash in entries:
            dashed = f' stroke-dasharray="{dash}"' if dash else ""
            self.parts.append(f'<line x1="{x:.0f}" y1="{y:.0f}" x2="{x + 18:.0f}" y2="{y:.0f}" stroke="{colour}" '
                              f'stroke-width="3"{dashed}/>{_text(x + 23, y + 4, name)}')  # fmt: skip
            x, y = (x + 40 + _LETTER * len(name), y) if beside else (x, y + 16)


def svg(width: float, height: float, panels: Iterable[Panel], title: str) -> str:
    """One picture of the panels."""
    inner = "".join("".join(panel.parts) for panel in panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="{_FONTS}" font-size="11" fill="{INK}" role="img">'
        f'<title>{escape(title)}</title><rect width="100%" height="100%" fill="#ffffff"/>{inner}</svg>\n'
    )


def clipped(text: str, at_most: int = 40) -> str:
    """Its end cut off where it is longer."""
    return text if len(text) <= at_most else text[: at_most - 1] + "…"


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = INK, weight: str = "", size: int = 0) -> str:
    more = (f' font-weight="{weight}"' if weight else "") + (f' font-size="{size}"' if size else "")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{more}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" fill="{colour}"/>'
