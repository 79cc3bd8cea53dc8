"""The kinds of condition, one table entry each: parameters, where it may stand, what it means, which way is stricter.

A new kind is a class of parameters, a function that judges them, and an entry in KINDS; the loader, the schema, `diff`,
the linter's place check and the explanations follow the table. Four outcomes (POLICIES.md, rule 1): *yes*, *no*, *wait*
(time, drops or people may make it yes) and *unknown* (missing, not a number, other rows, another champion). A figure
that is not there never becomes a yes, whatever is asked of it.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any, ClassVar, Literal, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from retraind.core.binding import Mistake, Mistakes
from retraind.core.figures import BASELINES, Scores, horizon_key
from retraind.core.policy.facts import Approval, Comparison, Facts, evidence
from retraind.core.policy.terms import (
    PERCENT_METRICS,
    Amount,
    Baseline,
    Horizons,
    Loss,
    Measured,
    Metric,
    Place,
    age,
    count,
    days_ahead,
    label,
    near,
    number,
    pair,
    shown,
)
from retraind.core.units import Percent, Span

__all__ = [
    "KINDS",
    "TOLERANCE",
    "Answer",
    "Direction",
    "Kind",
    "Outcome",
    "Question",
    "Reading",
    "accrued_alpha",
    "all_of",
    "gain",
    "horizons_of",
    "judge",
    "why_void",
]

Outcome = Literal["yes", "no", "wait", "unknown", "not_needed"]
Direction = Literal["more", "less", "superset", "subset", "yes", "other"]
"""Which change of a parameter is stricter: a larger value, a smaller one, a longer list, a shorter one, true, none."""

TOLERANCE = 1e-9
"""In percent or the metric's unit: 0.99 against 1 with `by: 1%` holds, though floats say 1 - 0.99 is less than 0.01."""

_NONE: Mapping[str, float | None] = {}
MIN_DATES: Mapping[str, int] = {"test": 14, "live": 3}
SIGNIFICANT_DATES = 30
_DAY, _MIDNIGHT = dt.timedelta(days=1), dt.time()
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


@dataclass(frozen=True)
class Kind:
    """One entry of the table."""

    name: str
    asks: type[Any]
    """Its parameters."""
    places: tuple[Place, ...]
    judge: Callable[[Any, Question], Answer]
    holds: str
    """In a sentence: when it is yes."""
    no: str
    """What its no does to a candidate."""
    stricter: Mapping[str, Direction]
    """By parameter; a parameter that is not named compares as other."""
    in_rollback: type[Any] | None = None
    """Its parameters in rollback, where they differ."""
    waived_for_first: bool = False
    """A very first champion need not pass it, unless its policy says `first: as_any`."""
    timely: bool = False
    """Its answer may change with time alone; any other stays as long as the figures do."""

    def asks_in(self, place: Place) -> type[Any]:
        """The class of its parameters where it stands."""
        return self.in_rollback if place == "rollback" and self.in_rollback else self.asks


# ---- shared pieces ----


class _At(NamedTuple):
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


class _Points:
    """What asks for a metric at horizons, as the figures that it asks for."""

    metric: Metric
    horizon: Horizons
    measured: Measured

    @cached_property
    def points(self) -> tuple[_At, ...]:
        """One for each horizon."""
        metric, measured = self.metric, self.measured
        return tuple(
            _At(metric, h, measured, horizon_key(h), label(metric), f"{days_ahead(h)} ({measured})")
            for h in horizons_of(self)
        )


def horizons_of(asks: Any) -> tuple[int, ...]:
    """The horizons that a condition asks for; empty for kinds without one."""
    horizon: Horizons | None = getattr(asks, "horizon", None)
    return () if horizon is None else (horizon,) if isinstance(horizon, int) else horizon


def _check(asks: Any, one_of: Sequence[str] = (), some_of: Sequence[str] = ()) -> None:
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


def _figure(scores: Scores | None, who: str | None, q: Question, at: _At, min_dates: int) -> float | Answer:
    """One figure of `who` (None: of this version), or why there is none."""
    rows = scores.rows.get(at.key) if scores else None
    if scores is not None and rows is not None and rows.dates >= min_dates:
        value = number(scores.values.get(at.metric, _NONE).get(at.key))
        if value is not None:
            return value
    what = f"{at.name} of {who or f'v{q.facts.version}'} {at.when}"
    dates = rows.dates if rows else 0
    if scores is not None and dates < min_dates and (at.measured == "live" or rows):
        return _too_few(f"{what}: ", dates, min_dates, at.measured)
    return Answer("unknown", f"{what} is missing")


def _too_few(what: str, dates: int, min_dates: int, measured: Measured) -> Answer:
    """On test days nothing will add dates, on live days time does."""
    missing = min_dates - dates
    words = f"{what}{dates} of {count(min_dates, 'date')}"
    if measured == "test":
        return Answer("unknown", words, float(dates), float(min_dates), -float(missing))
    return Answer("wait", words, float(dates), float(min_dates), -float(missing), dates=missing)


class _Duel(NamedTuple):
    """Two figures on the same rows."""

    own: float
    other: float
    who: str
    at: _At

    def told(self) -> str:
        """`WAPE 31.4 against 32.1 of v15's recipe 1 day ahead (test)`."""
        own, other = pair(self.own, self.other)
        return f"{self.at.name} {own} against {other} of {self.who} {self.at.when}"


def _met(q: Question, at: _At, min_dates: int, own: Scores, other: Scores | None, who: str) -> _Duel | Answer:
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
        return _Duel(one, two, who, at)
    return _why_not_met(q, at, min_dates, own, other, who)


def _why_not_met(q: Question, at: _At, min_dates: int, own: Scores, other: Scores | None, who: str) -> Answer:
    for scores, name in ((own, None), (other, who)):
        figure = _figure(scores, name, q, at, min_dates)
        if isinstance(figure, Answer):
            return figure
    return Answer("unknown", f"v{q.facts.version} and {who} were not scored on the same rows {at.when}")


def _opponent(asks: Any, q: Question) -> tuple[Scores, Scores, str] | Answer:
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
    worst = min(readings, key=_badness).answer(f"; worst of {len(readings)} {of}s")
    if worst.outcome != "no":
        return worst
    noes = [r.answer() for r in readings if r.outcome == "no"]
    parameter = worst.parameter if all(a.parameter for a in noes) else ""
    return worst._replace(figure=" and ".join(a.figure for a in noes if a.figure), parameter=parameter)


def _badness(reading: Reading) -> tuple[int, float]:
    margin = reading.margin
    return _SEVERITY[reading.outcome], math.inf if margin is None else margin


def _down(value: float, decimals: int = 2) -> float:
    if abs(value) > 1e15:  # has no decimals any more
        return value
    step: float = 10.0 ** min(decimals, 12)
    return math.floor(value * step) / step


def _up(value: float, decimals: int = 2) -> float:
    return -_down(-value, decimals)


def _reachable(at: _At, needed: float, own: float) -> str:
    """`WAPE 1 day ahead at most 31.77, that is 0.13 lower`, rounded to the safe side; empty where none could be so."""
    what = f"{at.name} {days_ahead(at.horizon)}"
    decimals = max(0, 3 - math.floor(math.log10(abs(needed)))) if needed else 4
    if at.metric == "r2":
        bound = _up(needed, decimals)
        return f"{what} at least {bound:g}, that is {shown(bound - own)} higher"
    bound = _down(needed, decimals)
    if bound < 0:
        return ""
    if at.metric == "bias":
        return f"{what} between {-bound:g} and {bound:g}"
    return f"{what} at most {bound:g}, that is {shown(own - bound)} lower"


# ---- limit ----


@dataclass(frozen=True)
class Limit(_Points):
    """A figure within a limit, in the metric's unit."""

    metric: Metric
    horizon: Horizons
    measured: Measured
    at_most: float | None = None
    at_least: float | None = None
    ONE_OF: ClassVar[tuple[str, ...]] = ("at_most", "at_least")

    def __post_init__(self) -> None:
        _check(self, one_of=self.ONE_OF)


@dataclass(frozen=True)
class LiveLimit(Limit):
    """In rollback: the champion's live figure beyond what can be borne."""

    measured: Literal["live"]


def _limit(asks: Limit, q: Question) -> Answer:
    return all_of([_limit_at(asks, q, at) for at in asks.points], "horizon")


def _limit_at(asks: Limit, q: Question, at: _At) -> Answer:
    comparison = q.figures(asks.measured)
    value = _figure(comparison.own if comparison else None, None, q, at, 1)
    if isinstance(value, Answer):
        return value
    what = f"{at.name} {at.when}"
    size = abs(value) if asks.metric == "bias" else value
    unit = " %" if asks.metric in PERCENT_METRICS else ""
    return _within(asks, what, value, size, unit, final=asks.measured == "test")


def _within(asks: Limit | Figure, what: str, value: float, size: float, unit: str, *, final: bool) -> Answer:
    """`size` against a limit; `value` is what is shown."""
    limit = asks.at_most if asks.at_most is not None else asks.at_least
    assert limit is not None
    word = "at most" if asks.at_most is not None else "at least"
    margin = limit - size if asks.at_most is not None else size - limit
    words = f"{what} {shown(value, limit)}{unit}, {word} {limit:g}{unit}"
    if margin >= 0:
        return Answer("yes", words, value, limit, margin)
    bound = _up(size, 4) if asks.at_most is not None else _down(size, 4)
    parameter = f"{word.replace(' ', '_')}: {bound:.10g}"
    return Answer("no", words, value, limit, margin, None, final, f"{what} {word} {limit:g}{unit}", parameter)


# ---- skill ----


@dataclass(frozen=True)
class Skill(_Points):
    """1 - loss / baseline's loss, over each baseline, on the same rows."""

    metric: Loss
    horizon: Horizons
    measured: Measured
    over: tuple[Baseline, ...]
    at_least: Percent

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class LiveSkill(_Points):
    """In rollback: no better than one of the baselines on live days."""

    metric: Loss
    horizon: Horizons
    measured: Literal["live"]
    over: tuple[Baseline, ...]
    at_most: Percent

    def __post_init__(self) -> None:
        _check(self)


_BASELINE_NAMES: Mapping[str, str] = {name: name.replace("_", " ") for name in BASELINES}


def _skill(asks: Skill | LiveSkill, q: Question) -> Answer:
    comparison = q.figures(asks.measured)
    if comparison is None or comparison.own is None:
        return Answer("unknown", f"there are no {asks.measured} figures of v{q.facts.version}")
    readings = []
    for at in asks.points:
        over = [_skill_over(asks, q, at, name, comparison) for name in asks.over]
        # of several baselines the strongest decides; in rollback any one that is as good speaks against the champion
        spoken = [r for r in over if r.outcome == "yes"] if isinstance(asks, LiveSkill) else []
        readings.append(spoken[0] if spoken else min(over, key=_badness))
    return all_of(readings, "horizon")


def _skill_over(
    asks: Skill | LiveSkill, q: Question, at: _At, baseline: Baseline, comparison: Comparison
) -> _SkillReading | Answer:
    assert comparison.own is not None
    name = _BASELINE_NAMES[baseline]
    duel = _met(q, at, 1, comparison.own, comparison.baselines.get(baseline), name)
    if isinstance(duel, Answer):
        return duel
    skill = 100 * (1 - duel.own / duel.other) if duel.other > 0 else math.nan
    if not isfinite(skill):
        return Answer("unknown", f"{at.name} of {name} is {duel.other:g} {at.when}: there is no skill over that")
    margin = skill - asks.at_least.value if isinstance(asks, Skill) else asks.at_most.value - skill
    return _SkillReading("yes" if margin >= -TOLERANCE else "no", margin, asks, duel, skill)


class _SkillReading(NamedTuple):
    outcome: Outcome
    margin: float
    asks: Skill | LiveSkill
    duel: _Duel
    skill: float

    def answer(self, more: str = "") -> Answer:
        """With its words, and more."""
        outcome, margin, asks, duel, skill = self
        wanted, rule = (asks.at_most, "at most") if isinstance(asks, LiveSkill) else (asks.at_least, "needs")
        limit = wanted.value
        own, other = pair(duel.own, duel.other)
        words = (
            f"skill {near(skill, limit)} % over {duel.who} {days_ahead(duel.at.horizon)} "
            f"({duel.at.name} {own} against {other}, {duel.at.measured}), {rule} {limit:g} %{more}"
        )
        if outcome == "yes" or isinstance(asks, LiveSkill):
            return Answer(outcome, words, skill, limit, margin)
        figure = _reachable(duel.at, duel.other * (1 - limit / 100), duel.own)
        parameter = f"at_least: {_down(skill):g}%" if skill >= 0 else ""
        return Answer("no", words, skill, limit, margin, None, asks.measured == "test", figure, parameter)


# ---- better, no_worse, worse ----


@dataclass(frozen=True)
class Better(_Points):
    """Better than the champion by at least so much, on the same rows."""

    metric: Metric
    horizon: Horizons
    measured: Measured
    than: Literal["champion"]
    by: Amount
    min_dates: int | None = None

    def __post_init__(self) -> None:
        _check(self)

    @cached_property
    def rule(self) -> _Rule:
        """What it asks for."""
        return _rule(self.by, 1, "needs {}")


@dataclass(frozen=True)
class NoWorse(_Points):
    """Not worse than the champion by more than so much, on the same rows."""

    metric: Metric
    horizon: Horizons
    measured: Measured
    than: Literal["champion"]
    within: Amount
    min_dates: int | None = None

    def __post_init__(self) -> None:
        _check(self)

    @cached_property
    def rule(self) -> _Rule:
        """What it asks for."""
        return _rule(self.within, -1, "may be {} worse")


@dataclass(frozen=True)
class Worse(_Points):
    """In rollback: the champion is worse than the champion before by at least so much, on the same live rows."""

    metric: Metric
    horizon: Horizons
    measured: Literal["live"]
    than: Literal["previous"]
    by: Amount

    def __post_init__(self) -> None:
        _check(self)

    @cached_property
    def rule(self) -> _Rule:
        """What it asks for."""
        return _rule(self.by, -1, "too bad at {} worse")


class _Rule(NamedTuple):
    """The gain over the opponent that a condition turns on."""

    wanted: float
    """In percent of the opponent's figure when `relative`, else in the metric's unit; negative: a loss that may be."""
    relative: bool
    unit: str
    words: str


def _rule(amount: Amount, sign: int, words: str) -> _Rule:
    relative = isinstance(amount, Percent)
    size, unit = (amount.value, " %") if isinstance(amount, Percent) else (amount, "")
    return _Rule(sign * size, relative, unit, words.format(f"{size:g}{unit}"))


def _changed(value: float, rule: _Rule) -> str:
    """`2.2 % better`, `0.4 % worse`, with digits enough to tell it from what is asked."""
    size, bound = abs(value), abs(rule.wanted) if (value >= 0) == (rule.wanted >= 0) else math.nan
    digits = near(size, bound) if rule.relative else shown(size, bound)
    return f"{digits}{rule.unit} {'better' if value >= 0 else 'worse'}"


def _better(asks: Better | NoWorse, q: Question) -> Answer:
    return _gains(asks, q, asks.min_dates or MIN_DATES[asks.measured])


def _worse(asks: Worse, q: Question) -> Answer:
    return _gains(asks, q, 1)


def _gains(asks: Better | NoWorse | Worse, q: Question, min_dates: int) -> Answer:
    """The gain over the opponent at each horizon."""
    opponent = _opponent(asks, q)
    if isinstance(opponent, Answer):
        return opponent
    readings: list[Reading] = []
    for at in asks.points:
        duel = _met(q, at, min_dates, *opponent)
        readings.append(duel if isinstance(duel, Answer) else _gain_reading(asks, duel))
    return all_of(readings, "horizon")


def _gain_reading(asks: Better | NoWorse | Worse, duel: _Duel) -> _GainReading | Answer:
    rule = asks.rule
    gained = gain(duel.at.metric, duel.own, duel.other)
    if rule.relative:
        gained = 100 * gained / abs(duel.other) if duel.other else math.nan
    if not isfinite(gained):
        return Answer("unknown", f"{duel.told()}: nothing is relative to 0; give a number in the metric's own unit")
    margin = rule.wanted - gained if isinstance(asks, Worse) else gained - rule.wanted
    return _GainReading("yes" if margin >= -TOLERANCE else "no", margin, asks, duel, gained)


class _GainReading(NamedTuple):
    outcome: Outcome
    margin: float
    asks: Better | NoWorse | Worse
    duel: _Duel
    gained: float

    def answer(self, more: str = "") -> Answer:
        """With its words, and more."""
        outcome, margin, asks, duel, gained = self
        rule = asks.rule
        words = f"{duel.told()}: {_changed(gained, rule)}, {rule.words}{more}"
        if outcome == "yes" or isinstance(asks, Worse):
            return Answer(outcome, words, gained, rule.wanted, margin)
        needed = rule.wanted * abs(duel.other) / 100 if rule.relative else rule.wanted
        other = abs(duel.other) if duel.at.metric == "bias" else duel.other
        figure = _reachable(duel.at, other + needed if duel.at.metric == "r2" else other - needed, duel.own)
        key = "by" if isinstance(asks, Better) else "within"
        bound = _down(gained, 2 if rule.relative else 4)
        parameter = f"{key}: {abs(bound):g}{'%' if rule.relative else ''}" if key == "within" or bound >= 0 else ""
        return Answer("no", words, gained, rule.wanted, margin, None, asks.measured == "test", figure, parameter)


# ---- significant ----


@dataclass(frozen=True)
class Significant(_Points):
    """The gain over the champion is hardly chance. `alpha` is per year and accrues with time (POLICIES.md, rule 8)."""

    metric: Literal["wape", "mape", "mae", "rmse"]
    horizon: Horizons
    measured: Literal["test"]
    than: Literal["champion"]
    alpha: float

    def __post_init__(self) -> None:
        _check(self)
        if not 0 < self.alpha <= 0.2:
            raise Mistakes([Mistake(("alpha",), f"{self.alpha:g} is not above 0 and at most 0.2",
                                    "it is the share of years in which chance may promote: 0.05")])  # fmt: skip


def accrued_alpha(alpha: float, days: float) -> float:
    """What one look may spend: the yearly alpha's share of the days since the last look, at most a quarter of it."""
    return min(alpha * days / 365, alpha / 4)


def _significant(asks: Significant, q: Question) -> Answer:
    if q.facts.kind == "refresh":
        return Answer("unknown", "a refresh was selected by nobody and spends no alpha: a refresh block lets it through")
    opponent = _opponent(asks, q)
    if isinstance(opponent, Answer):
        return opponent
    return all_of([_significant_at(asks, q, at) for at in asks.points], "horizon")


def _significant_at(asks: Significant, q: Question, at: _At) -> Answer:
    test = q.facts.significance.get(f"{at.metric}.{at.key}")
    where = f"{at.name} {days_ahead(at.horizon)}"
    p = number(test.adjusted) if test else None
    days = number(q.facts.look_days)
    if test is None or p is None:
        return Answer("unknown", f"no p-value for {where}")
    if test.dates < SIGNIFICANT_DATES:
        return Answer("unknown", f"p of {where} rests on {test.dates} of {SIGNIFICANT_DATES} dates",
                      float(test.dates), float(SIGNIFICANT_DATES))  # fmt: skip
    if not test.calibrated:
        why = "resampled losses reject more than twice too often" if test.rejected else "too few dates to resample them"
        return Answer("unknown", f"p of {where} is not calibrated: {why}")
    if days is None or days < 0:
        return Answer("unknown", f"when {q.facts.model} was last looked at is not known, so no alpha accrued")
    limit = accrued_alpha(asks.alpha, days)
    words = (
        f"{where}: p {p:.2g} over {count(test.candidates, 'candidate')}, {test.dates} dates, at most {limit:.2g} "
        f"({asks.alpha:g} a year, {shown(days)} days since the last look)"
    )
    if p <= limit:
        return Answer("yes", words, p, limit, limit - p)
    parameter = f"alpha: {_up(p * asks.alpha / limit, 4):g}" if limit and p * asks.alpha / limit <= 0.2 else ""
    return Answer("no", words, p, limit, limit - p, None, True, "", parameter)


# ---- samples ----


@dataclass(frozen=True)
class Samples:
    """Enough evidence: distinct dates and rows at the shortest horizon."""

    measured: Measured
    dates: int | None = None
    rows: int | None = None
    SOME_OF: ClassVar[tuple[str, ...]] = ("dates", "rows")

    def __post_init__(self) -> None:
        _check(self, some_of=self.SOME_OF)

    @cached_property
    def needs(self) -> str:
        """`60 dates and 2,000 rows`."""
        return " and ".join(count(n, word) for n, word in ((self.dates, "date"), (self.rows, "row")) if n)


def _share(part: tuple[float, int | None]) -> float:
    """Of what is asked, how much there is."""
    have, asked = part
    return have / asked if asked else math.inf


def _samples(asks: Samples, q: Question) -> Answer:
    comparison = q.figures(asks.measured)
    live = asks.measured == "live"
    if comparison is None or comparison.own is None or not (comparison.own.rows or live):
        return Answer("unknown", f"there are no {asks.measured} figures of v{q.facts.version}")
    rows = comparison.own.rows
    have = rows[min(rows, key=lambda key: int(key[1:]))] if rows else None
    dates, n = (have.dates, have.rows) if have else (0, 0)
    words = f"{count(dates, 'date')} and {count(n, 'row')} ({asks.measured}), needs {asks.needs}"
    got, wanted = min(((float(dates), asks.dates), (float(n), asks.rows)), key=_share)
    assert wanted is not None
    if got >= wanted:
        return Answer("yes", words, got, float(wanted), got - wanted)
    asked = (("date", asks.dates, dates), ("row", asks.rows, n))
    short = [(w, float(a), float(h)) for w, a, h in asked if a and h < a]
    if live:
        return Answer("wait", words, got, wanted, got - wanted, dates=_dates_to_come(short, dates, n))
    figure = " and ".join(count(int(a), w) for w, a, _ in short)
    parameter = ", ".join(f"{w}s: {int(h)}" for w, _, h in short) if all(h >= 1 for _, _, h in short) else ""
    return Answer("no", words, got, wanted, got - wanted, None, True, figure, parameter)


def _dates_to_come(short: Sequence[tuple[str, float, float]], dates: int, rows: int) -> int:
    """Live target dates until there is enough, at as many rows a date as so far (a guess of one without any)."""
    rate = max(1.0, rows / dates) if dates else 1.0
    return max(math.ceil((wanted - have) / (rate if word == "row" else 1)) for word, wanted, have in short)


# ---- slices ----


@dataclass(frozen=True)
class Slices(_Points):
    """Every slice of a column is no worse than the champion's."""

    by: str
    metric: Metric
    horizon: Horizons
    measured: Measured
    than: Literal["champion"]
    within: Amount
    min_dates: int
    small: Literal["hold", "skip"]
    only: tuple[str, ...] | None = None
    may_fail: int = 0

    def __post_init__(self) -> None:
        _check(self)


def _slices(asks: Slices, q: Question) -> Answer:
    opponent = _opponent(asks, q)
    if isinstance(opponent, Answer):
        return opponent
    comparison = q.figures(asks.measured)
    slices = comparison.slices.get(asks.by, {}) if comparison else {}
    if not slices and asks.measured == "live" and comparison and asks.by in comparison.slices:
        return _too_few(f"by {asks.by}: ", 0, asks.min_dates, "live")
    if not slices:
        return Answer("unknown", f"there are no {asks.measured} figures by {asks.by}")
    values = asks.only if asks.only is not None else tuple(sorted(slices))
    judged = {value: _slice(asks, q, value) for value in values}
    skipped = [value for value, answer in judged.items() if answer.outcome == "not_needed"]
    counted = {value: answer for value, answer in judged.items() if answer.outcome != "not_needed"}
    if not counted:
        return Answer("unknown", f"no {asks.by} has {count(asks.min_dates, 'date')}, so there is nothing to compare")
    return _slices_answer(asks, counted, skipped)


def _slices_answer(asks: Slices, counted: Mapping[str, Answer], skipped: Sequence[str]) -> Answer:
    order = sorted(counted, key=lambda value: _badness(counted[value]))
    failed = [value for value in order if counted[value].outcome == "no"]
    # what `may_fail` forgives are the worst ones; the next one decides
    forgiven = failed if len(failed) <= asks.may_fail else []
    decisive = next((v for v in order if v not in forgiven), order[-1])
    answer = counted[decisive] if decisive not in forgiven else counted[decisive]._replace(outcome="yes")
    fine = sum(a.outcome == "yes" for a in counted.values())
    words = f"{fine} of {len(counted)} by {asks.by}; worst: {order[0]}, {counted[order[0]].words}"
    if decisive != order[0] and answer.outcome != "yes":
        words += f"; {decisive}: {answer.words}"
    if asks.may_fail:
        words += f"; {asks.may_fail} may fail"
    if skipped:
        words += f"; skipped: {', '.join(skipped)} (under {count(asks.min_dates, 'date')})"
    if answer.outcome != "no":
        return answer._replace(words=words)
    binding = counted[failed[asks.may_fail]]
    figure = " and ".join(f"{v}: {counted[v].figure}" for v in failed[asks.may_fail :])
    return answer._replace(words=words, figure=figure, parameter=binding.parameter)


def _slice(asks: Slices, q: Question, value: str) -> Answer:
    """One slice; not_needed: skipped because it is small."""
    comparison = q.figures(asks.measured)
    part = comparison.slices[asks.by].get(value) if comparison else None
    if part is None:
        return _small(asks, 0)
    if part.own is None:
        return Answer("unknown", f"v{q.facts.version} lost it")
    rows = [part.own.rows.get(at.key) for at in asks.points]
    dates = min((r.dates for r in rows if r), default=0)
    if None in rows and asks.measured == "test":
        return Answer("unknown", "its rows are missing")
    if None in rows:  # 30 days ahead is known 30 days later
        dates = 0
    if dates < asks.min_dates:
        return _small(asks, dates)
    inner = Comparison(part.own, part.champion, q.facts.champion if part.champion else None)
    test, live = (inner, None) if asks.measured == "test" else (None, inner)
    narrowed = Question(q.facts, q.now, q.place, test, live)
    inner_asks = NoWorse(asks.metric, asks.horizon, asks.measured, asks.than, asks.within, asks.min_dates)
    return _better(inner_asks, narrowed)


def _small(asks: Slices, dates: int) -> Answer:
    if asks.small == "skip":
        return Answer("not_needed", f"{dates} of {count(asks.min_dates, 'date')}")
    return _too_few("", dates, asks.min_dates, asks.measured)


# ---- fresh ----


@dataclass(frozen=True)
class Fresh:
    """Neither the model nor the newest data is stale."""

    trained_within: Span | None = None
    data_within: Span | None = None
    SOME_OF: ClassVar[tuple[str, ...]] = ("trained_within", "data_within")

    def __post_init__(self) -> None:
        _check(self, some_of=self.SOME_OF)


def _fresh(asks: Fresh, q: Question) -> Answer:
    if asks.trained_within is None or asks.data_within is None:
        return _trained_within(asks.trained_within, q) if asks.trained_within else _data_within(asks.data_within, q)
    model, data = _trained_within(asks.trained_within, q), _data_within(asks.data_within, q)
    worst, words = min(model, data, key=_badness), f"{model.words}, {data.words}"
    if worst.outcome != "no":
        return Answer(worst.outcome, words, worst.value, worst.limit, worst.margin)
    noes = [a for a in (model, data) if a.outcome == "no"]
    figure, parameter = (", ".join(texts) for texts in zip(*((a.figure, a.parameter) for a in noes), strict=True))
    return worst._replace(words=words, final=any(a.final for a in noes), figure=figure, parameter=parameter)


def _trained_within(within: Span, q: Question) -> Answer:
    if q.facts.trained_at is None:
        return Answer("unknown", "when it was trained is not known")
    return _aged("trained", q.now - q.facts.trained_at, within, "trained_within", final=True)


def _data_within(within: Span | None, q: Question) -> Answer:
    assert within is not None
    if q.facts.overdue:
        return Answer("unknown", f"data: {q.facts.overdue}")
    if q.facts.newest_date is None:
        return Answer("unknown", "the date of the newest data is not known")
    zone = ZoneInfo(q.facts.timezone)
    end = dt.datetime.combine(q.facts.newest_date + _DAY, _MIDNIGHT, zone)
    return _aged(f"data to {q.facts.newest_date},", q.now - end, within, "data_within", final=False)


def _aged(what: str, old: dt.timedelta, within: Span, key: str, *, final: bool) -> Answer:
    days, limit = old.total_seconds() / 86400, within.seconds / 86400
    words = f"{what} {age(old)} ago, at most {within}"
    if days <= limit:
        return Answer("yes", words, days, limit, limit - days)
    parameter = f"{key}: {math.ceil(days)}d"
    return Answer("no", words, days, limit, limit - days, None, final, f"{key} of {within}", parameter)


# ---- drift ----


@dataclass(frozen=True)
class DriftingDrops:
    """At most so many of the newest drops."""

    at_most: int
    of: int

    def __post_init__(self) -> None:
        _check(self)
        if not 0 <= self.at_most < self.of:
            raise Mistakes([Mistake(("at_most",), f"{self.at_most} of {self.of} is always or never so",
                                    "at_most is at least 0 and less than of")])  # fmt: skip


@dataclass(frozen=True)
class Drift:
    """The newest drops were not drifting by more than that."""

    drifting_drops: DriftingDrops


def _drift(asks: Drift, q: Question) -> Answer:
    allowed = asks.drifting_drops
    newest = q.facts.drift[-allowed.of :]
    drifting = sum(verdict is True for verdict in newest)
    known = sum(verdict is not None for verdict in newest)
    words = f"{drifting} of the newest {count(allowed.of, 'drop')} drifting, at most {allowed.at_most}"
    margin = float(allowed.at_most - drifting)
    if drifting > allowed.at_most:
        more = f"drifting_drops: {{at_most: {drifting}, of: {allowed.of}}}" if drifting < allowed.of else ""
        return Answer("no", words, float(drifting), float(allowed.at_most), margin, None, False, "", more)
    if known < allowed.of:
        return Answer("unknown", f"{words}; {allowed.of - known} without a verdict")
    return Answer("yes", words, float(drifting), float(allowed.at_most), margin)


# ---- soak ----


@dataclass(frozen=True)
class Soak:
    """So many scored drops and so long in Staging, without interruption."""

    drops: int
    for_: Span | None = None

    def __post_init__(self) -> None:
        _check(self)


def _soak(asks: Soak, q: Question) -> Answer:
    facts = q.facts
    if facts.stage != "staging" or facts.staged_at is None:
        if facts.stage == "staging":
            return Answer("unknown", "when it entered Staging is not known")
        return Answer("wait", "not in Staging yet")
    if facts.scored_drops is None:
        return Answer("unknown", "scored drops are not counted yet")
    spent = q.now - facts.staged_at
    words = f"{facts.scored_drops} of {count(asks.drops, 'scored drop')}"
    until = facts.staged_at + asks.for_.delta if asks.for_ else None
    if asks.for_:
        words += f" and {age(spent)} of {asks.for_}"
    margin = float(facts.scored_drops - asks.drops)
    if margin >= 0 and (until is None or q.now >= until):
        return Answer("yes", words, float(facts.scored_drops), float(asks.drops), margin)
    pending = until if until and q.now < until else None
    missing = max(0, asks.drops - facts.scored_drops)
    return Answer("wait", words, float(facts.scored_drops), float(asks.drops), margin, pending, drops=missing)


# ---- approval ----


@dataclass(frozen=True)
class Approvals:
    """Enough people said yes to this version, as it was shown to them."""

    from_: tuple[str, ...]
    count: int
    valid_for: Span

    def __post_init__(self) -> None:
        _check(self)

    @cached_property
    def listed(self) -> frozenset[str]:
        """Groups and people who may approve."""
        return frozenset(self.from_)


def why_void(asks: Approvals, approval: Approval, q: Question, figures: str | None) -> str:
    """Why an approval does not count for this condition now; empty when it does (POLICIES.md, rule 14).

    figures: the `evidence` of the version as it is now; None: nobody knows.
    """
    wall = q.facts.wall or q.now
    if approval.void:
        return approval.void
    if approval.by not in asks.listed and asks.listed.isdisjoint(approval.groups):
        return f"{approval.by} is not among {' or '.join(asks.from_)}"
    if approval.meaning != q.meaning:
        return "the policy was edited since"
    if approval.figures != figures:
        return "it was given for other figures"
    if not approval.at <= wall < approval.at + asks.valid_for.delta:
        return f"it is older than {asks.valid_for}"
    if approval.asked_for_training and asks.count > 1:
        return f"{approval.by} asked for this training"
    return ""


def _approval(asks: Approvals, q: Question) -> Answer:
    candidate, given = q.facts.candidate, q.facts.approvals
    figures = evidence(candidate) if given and candidate else None
    people = sorted({a.by for a in given if not why_void(asks, a, q, figures)})
    named = f" ({', '.join(people)})" if people else ""
    words = f"{len(people)} of {count(asks.count, 'approval')} from {' or '.join(asks.from_)}{named}"
    margin = float(len(people) - asks.count)
    outcome: Outcome = "yes" if margin >= 0 else "wait"
    return Answer(outcome, words, float(len(people)), float(asks.count), margin, person=outcome == "wait")


# ---- figure ----


@dataclass(frozen=True)
class Figure:
    """Any number that the training logged."""

    name: str
    at_most: float | None = None
    at_least: float | None = None
    ONE_OF: ClassVar[tuple[str, ...]] = ("at_most", "at_least")

    def __post_init__(self) -> None:
        _check(self, one_of=self.ONE_OF)


def _any_figure(asks: Figure, q: Question) -> Answer:
    value = number(q.facts.candidate.figures.get(asks.name)) if q.facts.candidate else None
    if value is None:
        return Answer("unknown", f"the training logged no number named {asks.name}")
    return _within(asks, asks.name, value, value, "", final=True)


# ---- the table ----

_ALL: tuple[Place, ...] = ("staging", "production", "refresh", "rollback")
_GATES: tuple[Place, ...] = ("staging", "production", "refresh")
_LATE: tuple[Place, ...] = ("production", "refresh")
_LIMITS: Mapping[str, Direction] = {"at_most": "less", "at_least": "more", "horizon": "superset"}
_REJECTS = "test: reject, live: hold"

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("limit", Limit, _ALL, _limit, "the figure is within the limit", _REJECTS, _LIMITS, LiveLimit),
        Kind("skill", Skill, _ALL, _skill, "1 - loss / loss of each baseline is at least that", _REJECTS,
             {"at_least": "more", "over": "superset", "horizon": "superset"}, LiveSkill),
        Kind("better", Better, ("production",), _better,
             "the candidate is better than the champion by that much, on the same rows", _REJECTS,
             {"by": "more", "horizon": "superset", "min_dates": "more"}),
        Kind("no_worse", NoWorse, _LATE, _better,
             "the candidate is not worse than the champion by more than that, on the same rows", _REJECTS,
             {"within": "less", "horizon": "superset", "min_dates": "more"}),
        Kind("worse", Worse, ("rollback",), _worse,
             "the champion is worse than the champion before by that much, on the same live rows", "", {"by": "less"}),
        Kind("significant", Significant, ("production",), _significant,
             "the gain over the champion is hardly chance; alpha is per year and accrues", "reject",
             {"alpha": "less", "horizon": "superset"}),
        Kind("samples", Samples, _GATES, _samples, "there are at least so many distinct dates and rows",
             "test: reject, live: wait", {"dates": "more", "rows": "more"}),
        Kind("slices", Slices, _LATE, _slices, "every slice is no worse than the champion's, but for may_fail",
             _REJECTS, {"within": "less", "may_fail": "less", "small": "other", "horizon": "superset"}),
        Kind("fresh", Fresh, _GATES, _fresh, "neither model nor data is stale", "model: reject, data: hold",
             {"trained_within": "less", "data_within": "less"}, timely=True),
        Kind("drift", Drift, _LATE, _drift, "the newest drops were not drifting by more than that", "hold",
             {"drifting_drops.at_most": "less", "drifting_drops.of": "more"}),
        Kind("soak", Soak, _LATE, _soak, "so many scored drops and so long in Staging, without interruption", "wait",
             {"drops": "more", "for": "more"}, waived_for_first=True, timely=True),
        Kind("approval", Approvals, _LATE, _approval, "enough valid approvals", "wait",
             {"from": "subset", "count": "more", "valid_for": "less"}, timely=True),
        Kind("figure", Figure, _GATES, _any_figure, "a number that the training logged is within the limit", "reject",
             {"at_most": "less", "at_least": "more"}),
    )
}  # fmt: skip


def judge(kind: str, asks: Any, q: Question, *, lenient_first: bool) -> Answer:
    """How one condition comes out. lenient_first: a very first champion needs no soak and no live figures."""
    if q.facts.champion is None:
        if getattr(asks, "than", None) == "champion":
            return Answer("not_needed", "not needed: first version, no champion to compare with")
        if lenient_first and (KINDS[kind].waived_for_first or getattr(asks, "measured", None) == "live"):
            return Answer("not_needed", "not needed: first version")
    return KINDS[kind].judge(asks, q)
