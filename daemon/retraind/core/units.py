"""Spans of time and shares, as people write them: `14d`, `26h`, `0.5%`. Bare numbers are refused: a unit is a meaning."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

__all__ = ["Percent", "Size", "Span"]

_SPAN = re.compile(r"(\d+)(s|m|h|d|w)")
_CENTURY = 100 * 366 * 86400
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, order=True)
class Span:
    """A length of time."""

    seconds: int
    EXPECTED: ClassVar[str] = "write a whole number and s, m, h, d or w, such as 30m, 26h or 14d"

    @classmethod
    def parse(cls, text: str) -> Span:
        """`14d` -> Span(1209600). Raises ValueError."""
        match = _SPAN.fullmatch(text.strip())
        if not match:
            raise ValueError(f'"{text}" is not a span of time')
        if len(match[1]) > 10 or int(match[1]) * _SECONDS[match[2]] > _CENTURY:
            raise ValueError(f'"{text}" is longer than 100 years')
        return cls(int(match[1]) * _SECONDS[match[2]])

    def __str__(self) -> str:
        for unit in ("w", "d", "h", "m"):
            if self.seconds and self.seconds % _SECONDS[unit] == 0:
                return f"{self.seconds // _SECONDS[unit]}{unit}"
        return f"{self.seconds}s"

    @property
    def delta(self) -> timedelta:
        """The same as a timedelta."""
        return timedelta(seconds=self.seconds)


@dataclass(frozen=True, order=True)
class Percent:
    """A share written with its sign: `0.5%`."""

    value: float
    """In percent: 0.5 for `0.5%`."""
    EXPECTED: ClassVar[str] = "write a number and a percent sign, such as 5% or 0.5%"

    @classmethod
    def parse(cls, text: str) -> Percent:
        """`0.5%` -> Percent(0.5). Raises ValueError."""
        match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*%", text.strip())
        if not match:
            raise ValueError(f'"{text}" is not a percentage')
        return cls(float(match[1]))

    def __str__(self) -> str:
        return f"{self.value:g}%"

    @property
    def share(self) -> float:
        """As a fraction of 1."""
        return self.value / 100


@dataclass(frozen=True, order=True)
class Size:
    """An amount of memory or disk: `700MB`, `4GB` (powers of 1024)."""

    bytes: int
    EXPECTED: ClassVar[str] = "write a whole number and KB, MB or GB, such as 700MB"

    @classmethod
    def parse(cls, text: str) -> Size:
        """`700MB` -> Size(734003200). Raises ValueError."""
        match = re.fullmatch(r"(\d+)\s*(KB|MB|GB)", text.strip())
        if not match:
            raise ValueError(f'"{text}" is not a size')
        return cls(int(match[1]) * 1024 ** (1 + ("KB", "MB", "GB").index(match[2])))

    def __str__(self) -> str:
        for power, unit in ((3, "GB"), (2, "MB")):
            if self.bytes % 1024**power == 0 and self.bytes:
                return f"{self.bytes // 1024**power}{unit}"
        return f"{self.bytes // 1024}KB"
