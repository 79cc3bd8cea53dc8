"""What a condition answers, and the pieces that several kinds of condition share.

Four outcomes (POLICIES.md, rule 1): *yes*, *no*, *wait* (time, drops or people may make it yes) and *unknown* (missing, not a
number, other rows, another champion). A figure that is not there never becomes a yes, whatever is asked of it.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import isfinite
from typing import Any, Literal, NamedTuple, Protocol

from retraind.core.binding import Mistake, Mistakes
from retraind.core.figures import Scores, horizon_key
from retraind.core.policy.facts import Comparison, Facts
from retraind.core.policy.terms import Horizons, Measured, Metric, Place, count, days_ahead, label, number, pair, shown

__all__ = [
    "MIN_DATES",
    "TOLERANCE",
    "Answer",
    "At",
    "Direction",
    "Duel",
    "Outcome",
    "Points",
    "Question",
    "Reading",
    "all_of",
    "badness",
    "check",
    "figure_of",
    "gain",
    "horizons_of",
    "met",
    "opponent_of",
    "reachable",
    "rounded_down",
    "rounded_up",
    "too_few",
]

Outcome = Literal["yes", "no", "wait", "unknown", "not_needed"]
Direction = Literal["more", "less", "superset", "subset", "yes", "other"]
"""Which change of a parameter is stricter: a larger value, a smaller one, a longer list, a shorter one, true, none."""

TOLERANCE = 1e-9
"""In percent or the metric's unit: 0.99 against 1 with `by: 1%` holds, though floats say 1 - 0.99 is less than 0.01."""

_NONE: Mapping[str, float | None] = {}
MIN_DATES: Mapping[str, int] = {"test": 14, "live": 3}
_LONGEST = 366
_MANY = 9999


class Answer(NamedTuple):
    """How a condition came out, and what would change it."""

    outcome: Outcome
    words: str
    value: float | None = None
    limit: float | None = None
    margin: float | None = None
    """How far the value is on the good side of the limit, in the unit of value; negative when it says no."""
    until: dt.datetime | None = None
    """Of a wait: when it may become yes at the earliest, where that is known."""
    final: bool = False
    """Of a no: nothing that happens later can change it."""
    figure: str = ""
    """Of a no: the figure that would have held."""
    parameter: str = ""
    """Of a no: the parameter that would have let it through."""
    drops: int = 0
    """Of a wait: scored drops still to come."""
    dates: int = 0
    """Of a wait: live target dates still to come."""
    person: bool = False
    """Of a wait: only people can end it."""

    def answer(self, more: str = "") -> Answer:
        """Itself, with more words."""
        return self._replace(words=self.words + more) if more else self


class Question(NamedTuple):
    """What a condition may look at: the facts, the moment, and the figures that `measured:` names."""

    facts: Facts
    now: dt.datetime
    place: Place
    test: Comparison | None
    live: Comparison | None
    meaning: str = ""
    """Digest of the production block, which approvals bind to."""

    def figures(self, measured: Measured) -> Comparison | None:
        """The comparison on test or live days."""
        return self.test if measured == "test" else self.live


class At(NamedTuple):
    """Which figure: metric, days ahead, test or live."""

    metric: str
    horizon: int
    measured: Measured
    key: str
    """The horizon's, in tables of figures."""
    name: str
    """`WAPE`."""
    when: str
    """`7 days ahead (test)`."""


class Points:
    """What asks for a metric at horizons, as the figures that it asks for."""

    metric: Metric
    horizon: Horizons
    measured: Measured

    @cached_property
    def points(self) -> tuple[At, ...]:
        """One for each horizon."""
        metric, measured = self.metric, self.measured
        return tuple(
            At(metric, h, measured, horizon_key(h), label(metric), f"{days_ahead(h)} ({measured})")
            for h in horizons_of(self)
        )


def horizons_of(asks: Any) -> tuple[int, ...]:
    """The horizons that a condition asks for; empty for kinds without one."""
    horizon: Horizons | None = getattr(asks, "horizon", None)
    return () if horizon is None else (horizon,) if isinstance(horizon, int) else horizon


def check(asks: Any, one_of: Sequence[str] = (), some_of: Sequence[str] = ()) -> None:
    """Checks of form that several kinds share. Raises Mistakes with every one."""
    out = [*_wrong_lists(asks), *_too_small(asks)]
    given = [key for key in one_of if getattr(asks, key) is not None]
    if one_of and len(given) != 1:
        out.append(Mistake((), f"needs exactly one of {' and '.join(one_of)}", "leave one of them in"))
    if some_of and all(getattr(asks, key) is None for key in some_of):
        out.append(Mistake((), f"needs {' or '.join(some_of)}", f"such as {some_of[0]}"))
    if out:
        raise Mistakes(out)


def _wrong_lists(asks: Any) -> list[Mistake]:
    out = []
    horizons = horizons_of(asks)
    if any(not 1 <= h <= _LONGEST for h in horizons):
        out.append(
            Mistake(("horizon",), f"a horizon is at least 1 day ahead, and at most {_LONGEST}", "write 1 or more")
        )
    if len(set(horizons)) < len(horizons) or (not horizons and hasattr(asks, "horizon")):
        out.append(Mistake(("horizon",), "name each horizon once, and at least one", "such as horizon: [1, 7]"))
    for key in ("over", "only", "from_"):
        items = getattr(asks, key, None)
        if items is not None and (not items or len(set(items)) < len(items)):
            out.append(Mistake((key.rstrip("_"),), "name each once, and at least one", "write it as [a, b]"))
    return out


def _too_small(asks: Any) -> list[Mistake]:
    out = []
    for least, keys in ((1, ("dates", "rows", "min_dates", "drops", "count", "of")), (0, ("by", "within", "may_fail"))):
        for key in keys:
            value = getattr(asks, key, None)
            if not isinstance(value, int | float) or isinstance(value, bool):
                continue
            if value < least:
                out.append(Mistake((key,), f"{value:g} is less than {least}", f"write {least} or more"))
            elif key in ("drops", "dates", "min_dates", "count") and value > _MANY:
                out.append(Mistake((key,), f"{value} is more than ever comes", f"write {_MANY} or less"))
    return out


def gain(metric: str, own: float, other: float) -> float:
    """How much better `own` is than `other`, in the metric's unit; negative when worse. Bias by its absolute value."""
    if metric == "r2":
        return own - other
    if metric == "bias":
        return abs(other) - abs(own)
    return other - own


def figure_of(scores: Scores | None, who: str | None, q: Question, at: At, min_dates: int) -> float | Answer:
    """One figure of `who` (None: of this version), or why there is none."""
    rows = scores.rows.get(at.key) if scores else None
    if scores is not None and rows is not None and rows.dates >= min_dates:
        value = number(scores.values.get(at.metric, _NONE).get(at.key))
        if value is not None:
            return value
    what = f"{at.name} of {who or f'v{q.facts.version}'} {at.when}"
    dates = rows.dates if rows else 0
    if scores is not None and dates < min_dates and (at.measured == "live" or rows):
        return too_few(f"{what}: ", dates, min_dates, at.measured)
    return Answer("unknown", f"{what} is missing")


def too_few(what: str, dates: int, min_dates: int, measured: Measured) -> Answer:
    """On test days nothing will add dates, on live days time does."""
    missing = min_dates - dates
    words = f"{what}{dates} of {count(min_dates, 'date')}"
    if measured == "test":
        return Answer("unknown", words, float(dates), float(min_dates), -float(missing))
    return Answer("wait", words, float(dates), float(min_dates), -float(missing), dates=missing)


class Duel(NamedTuple):
    """Two figures on the same rows."""

    own: float
    other: float
    who: str
    at: At

    def told(self) -> str:
        """`WAPE 31.4 against 32.1 of v15's recipe 1 day ahead (test)`."""
        own, other = pair(self.own, self.other)
        return f"{self.at.name} {own} against {other} of {self.who} {self.at.when}"


def met(q: Question, at: At, min_dates: int, own: Scores, other: Scores | None, who: str) -> Duel | Answer:
    """The figures of this version and of its opponent, or why they cannot be compared."""
    if other is None:
        return _why_not_met(q, at, min_dates, own, other, who)
    metric, key = at.metric, at.key
    try:
        mine, theirs = own.rows[key], other.rows[key]
        one, two = own.values[metric][key], other.values[metric][key]
    except KeyError:
        return _why_not_met(q, at, min_dates, own, other, who)
    same = mine.digest == theirs.digest and mine.dates >= min_dates <= theirs.dates
    if same and one is not None and two is not None and isfinite(one) and isfinite(two):
        return Duel(one, two, who, at)
    return _why_not_met(q, at, min_dates, own, other, who)


def _why_not_met(q: Question, at: At, min_dates: int, own: Scores, other: Scores | None, who: str) -> Answer:
    for scores, name in ((own, None), (other, who)):
        figure = figure_of(scores, name, q, at, min_dates)
        if isinstance(figure, Answer):
            return figure
    return Answer("unknown", f"v{q.facts.version} and {who} were not scored on the same rows {at.when}")


def opponent_of(asks: Any, q: Question) -> tuple[Scores, Scores, str] | Answer:
    comparison = q.figures(asks.measured)
    if comparison is None or comparison.own is None:
        return Answer("unknown", f"there are no {asks.measured} figures of v{q.facts.version}")
    if asks.than == "previous":
        who, scores = f"v{comparison.previous_version}", comparison.previous
        if scores is None:
            return Answer("unknown", "there are no live figures of the champion before")
        return comparison.own, scores, who
    champion, version = q.facts.champion, comparison.champion_version
    who = f"v{champion}'s recipe" if asks.measured == "test" else f"v{champion}"
    if version is not None and version != champion:
        return Answer("unknown", f"compared with v{version}, but v{champion} is champion now")
    if comparison.champion is None and version is not None and asks.measured == "test":
        return Answer("unknown", f"{who} cannot be fitted on these data, so nothing was compared: only promote --force outranks it")
    if comparison.champion is None or version is None:
        return Answer("unknown", f"not compared with {who}")
    return comparison.own, comparison.champion, who


_SEVERITY: Mapping[Outcome, int] = {"no": 0, "unknown": 1, "wait": 2, "yes": 3, "not_needed": 4}


class Reading(Protocol):
    """An answer whose words are not spelt out yet: of four horizons only one is told."""

    @property
    def outcome(self) -> Outcome: ...
    @property
    def margin(self) -> float | None: ...
    def answer(self, more: str = "") -> Answer: ...


def all_of(readings: Sequence[Reading], of: str) -> Answer:
    """One answer for several that must all hold: any no, else any unknown, else any wait, else yes. The worst is told."""
    if len(readings) == 1:
        return readings[0].answer()
    worst = min(readings, key=badness).answer(f"; worst of {len(readings)} {of}s")
    if worst.outcome != "no":
        return worst
    noes = [r.answer() for r in readings if r.outcome == "no"]
    parameter = worst.parameter if all(a.parameter for a in noes) else ""
    return worst._replace(figure=" and ".join(a.figure for a in noes if a.figure), parameter=parameter)


def badness(reading: Reading) -> tuple[int, float]:
    margin = reading.margin
    return _SEVERITY[reading.outcome], math.inf if margin is None else margin


def rounded_down(value: float, decimals: int = 2) -> float:
    if abs(value) > 1e15:  # has no decimals any more
        return value
    step: float = 10.0 ** min(decimals, 12)
    return math.floor(value * step) / step


def rounded_up(value: float, decimals: int = 2) -> float:
    return -rounded_down(-value, decimals)


def reachable(at: At, needed: float, own: float) -> str:
    """`WAPE 1 day ahead at most 31.77, that is 0.13 lower`, rounded to the safe side; empty where none could be so."""
    what = f"{at.name} {days_ahead(at.horizon)}"
    decimals = max(0, 3 - math.floor(math.log10(abs(needed)))) if needed else 4
    if at.metric == "r2":
        bound = rounded_up(needed, decimals)
        return f"{what} at least {bound:g}, that is {shown(bound - own)} higher"
    bound = rounded_down(needed, decimals)
    if bound < 0:
        return ""
    if at.metric == "bias":
        return f"{what} between {-bound:g} and {bound:g}"
    return f"{what} at most {bound:g}, that is {shown(own - bound)} lower"
