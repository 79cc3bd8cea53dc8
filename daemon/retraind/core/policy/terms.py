"""The words and units that conditions are made of, and how figures are shown to people."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal, get_args

from retraind.core.figures import Metric
from retraind.core.units import Percent

__all__ = [
    "LOSSES",
    "PERCENT_METRICS",
    "PLACES",
    "Amount",
    "Baseline",
    "Day",
    "DropCount",
    "Horizons",
    "Loss",
    "Measured",
    "Metric",
    "Name",
    "Place",
    "Stage",
    "TimeOfDay",
    "age",
    "count",
    "days_ahead",
    "label",
    "near",
    "number",
    "pair",
    "shown",
]

Place = Literal["staging", "production", "refresh", "rollback"]
PLACES: tuple[Place, ...] = get_args(Place)
Stage = Literal["staging", "production"]
Measured = Literal["test", "live"]
Loss = Literal["wape", "mape", "rmse", "mae", "mase"]
"""A metric that is at least 0 and better when smaller, so that skill over a baseline means something."""
LOSSES: tuple[str, ...] = get_args(Loss)
Baseline = Literal["persistence", "seasonal_naive", "moving_average"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
PERCENT_METRICS: tuple[str, ...] = ("wape", "mape", "bias")
Amount = Percent | float
"""`1%` is relative to the opponent's figure; a bare number is in the metric's own unit."""
Horizons = int | tuple[int, ...]

_LABELS = {"wape": "WAPE", "mape": "MAPE", "rmse": "RMSE", "mae": "MAE", "mase": "MASE", "r2": "R²", "bias": "bias"}


class Name(str):
    """A name as policies, conditions and windows bear it: `better-at-a-week`."""

    EXPECTED: ClassVar[str] = "write small letters, digits and single hyphens, such as better-at-a-week"
    PATTERN: ClassVar[str] = r"[a-z0-9]+(-[a-z0-9]+)*"
    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Name:
        """Raises ValueError."""
        if not re.fullmatch(cls.PATTERN, text):
            raise ValueError(f'"{text}" is not a name')
        return cls(text)


@dataclass(frozen=True, order=True)
class DropCount:
    """A number of scored drops: `3 drops`."""

    drops: int
    EXPECTED: ClassVar[str] = "write a whole number and the word, such as 1 drop or 3 drops"

    @classmethod
    def parse(cls, text: str) -> DropCount:
        """`3 drops` -> DropCount(3). Raises ValueError."""
        match = re.fullmatch(r"([1-9][0-9]{0,3}) drops?", text.strip())
        if not match:
            raise ValueError(f'"{text}" is not a number of drops')
        return cls(int(match[1]))

    def __str__(self) -> str:
        return count(self.drops, "drop")


@dataclass(frozen=True, order=True)
class TimeOfDay:
    """`08:00`; `24:00` is the end of the day."""

    minutes: int
    """Since midnight, 0 to 1440."""
    EXPECTED: ClassVar[str] = 'write hours and minutes in quotes, such as "08:00"'
    PATTERN: ClassVar[str] = r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00"

    @classmethod
    def parse(cls, text: str) -> TimeOfDay:
        """`08:00` -> TimeOfDay(480). Raises ValueError."""
        if not re.fullmatch(cls.PATTERN, text):
            raise ValueError(f'"{text}" is not a time of day')
        hours, minutes = text.split(":")
        return cls(int(hours) * 60 + int(minutes))

    def __str__(self) -> str:
        return f"{self.minutes // 60:02d}:{self.minutes % 60:02d}"


def number(value: float | None) -> float | None:
    """`value` if it is a number at all: NaN and infinities are missing figures, never figures."""
    return value if value is not None and math.isfinite(value) else None


def label(metric: str) -> str:
    """`wape` -> `WAPE`."""
    return _LABELS.get(metric, metric)


def days_ahead(days: int) -> str:
    """7 -> `7 days ahead`."""
    return "1 day ahead" if days == 1 else f"{days} days ahead"


def count(n: int, word: str) -> str:
    """(2, "drop") -> `2 drops`."""
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def shown(value: float, unlike: float | None = None, digits: int = 4) -> str:
    """A figure with as few digits as tell it from `unlike`: what differs must not look equal."""
    text = f"{value:.{digits}g}"
    if unlike is not None and value != unlike and digits < 15 and text == f"{unlike:.{digits}g}":
        return shown(value, unlike, digits + 1)
    return text if "e" not in text else f"{value:.0f}" if abs(value) >= 1 else text


def pair(one: float, other: float, digits: int = 4) -> tuple[str, str]:
    """Two figures that are compared, with as few digits as tell them apart."""
    texts = f"{one:.{digits}g}", f"{other:.{digits}g}"
    if texts[0] == texts[1] and one != other and digits < 15:
        return pair(one, other, digits + 1)
    return texts if "e" not in texts[0] + texts[1] else (shown(one, other, digits), shown(other, one, digits))


def near(percent: float, limit: float, decimals: int = 1) -> str:
    """A percentage with as few decimals as keep it apart from its limit: 0.4996 against 0.5 is `0.4996`, not `0.5`."""
    text = f"{percent:.{decimals}f}"
    if abs(percent - limit) < 1 and percent != limit and decimals < 6 and float(text) == round(limit, decimals):
        return near(percent, limit, decimals + 1)
    return text


def age(delta: timedelta) -> str:
    """`2 d 1 h`, `3 h 5 min`: two units, the largest that fit."""
    minutes = max(0, int(delta.total_seconds() // 60))
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{rest} min"
