"""The kinds of condition that look at evidence and time: samples, freshness, drift, soak and people's approval."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar
from zoneinfo import ZoneInfo

from retraind.core.binding import Mistake, Mistakes
from retraind.core.policy.answers import Answer, Outcome, Question, badness, check
from retraind.core.policy.facts import Approval, evidence
from retraind.core.policy.terms import Measured, age, count
from retraind.core.units import Span

__all__ = [
    "Approvals", "Drift", "DriftingDrops", "Fresh", "Samples", "Soak", "judge_approval", "judge_drift", "judge_fresh",
    "judge_samples", "judge_soak", "why_void",
]

_DAY, _MIDNIGHT = dt.timedelta(days=1), dt.time()


# ---- samples ----


@dataclass(frozen=True)
class Samples:
    """Enough evidence: distinct dates and rows at the shortest horizon."""

    measured: Measured
    dates: int | None = None
    rows: int | None = None
    SOME_OF: ClassVar[tuple[str, ...]] = ("dates", "rows")

    def __post_init__(self) -> None:
        check(self, some_of=self.SOME_OF)

    @cached_property
    def needs(self) -> str:
        """`60 dates and 2,000 rows`."""
        return " and ".join(count(n, word) for n, word in ((self.dates, "date"), (self.rows, "row")) if n)


def _share(part: tuple[float, int | None]) -> float:
    """Of what is asked, how much there is."""
    have, asked = part
    return have / asked if asked else math.inf


def judge_samples(asks: Samples, q: Question) -> Answer:
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


# ---- fresh ----


@dataclass(frozen=True)
class Fresh:
    """Neither the model nor the newest data is stale."""

    trained_within: Span | None = None
    data_within: Span | None = None
    SOME_OF: ClassVar[tuple[str, ...]] = ("trained_within", "data_within")

    def __post_init__(self) -> None:
        check(self, some_of=self.SOME_OF)


def judge_fresh(asks: Fresh, q: Question) -> Answer:
    if asks.trained_within is None or asks.data_within is None:
        return _trained_within(asks.trained_within, q) if asks.trained_within else _data_within(asks.data_within, q)
    model, data = _trained_within(asks.trained_within, q), _data_within(asks.data_within, q)
    worst, words = min(model, data, key=badness), f"{model.words}, {data.words}"
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
        check(self)
        if not 0 <= self.at_most < self.of:
            raise Mistakes([Mistake(("at_most",), f"{self.at_most} of {self.of} is always or never so",
                                    "at_most is at least 0 and less than of")])  # fmt: skip


@dataclass(frozen=True)
class Drift:
    """The newest drops were not drifting by more than that."""

    drifting_drops: DriftingDrops


def judge_drift(asks: Drift, q: Question) -> Answer:
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
        check(self)


def judge_soak(asks: Soak, q: Question) -> Answer:
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
        check(self)

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


def judge_approval(asks: Approvals, q: Question) -> Answer:
    candidate, given = q.facts.candidate, q.facts.approvals
    figures = evidence(candidate) if given and candidate else None
    people = sorted({a.by for a in given if not why_void(asks, a, q, figures)})
    named = f" ({', '.join(people)})" if people else ""
    words = f"{len(people)} of {count(asks.count, 'approval')} from {' or '.join(asks.from_)}{named}"
    margin = float(len(people) - asks.count)
    outcome: Outcome = "yes" if margin >= 0 else "wait"
    return Answer(outcome, words, float(len(people)), float(asks.count), margin, person=outcome == "wait")
