"""Policy tests: cases on virtual time that a policy must decide as its author expects (promtool's idea).

A case says what is given and what is expected; what it leaves out comes from a built-in case that passes this policy, made
from its own numbers, so that a test shows one thing and an edited number elsewhere does not break it. Time, drops, people
and windows are computed. `run` also says which conditions no test ever saw say no, or be unknown.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from zoneinfo import ZoneInfo

from retraind.core.binding import Mistake, Mistakes, Path, bind
from retraind.core.events import ConditionOutcome
from retraind.core.figures import BASELINES, METRICS, Candidate, RowSet, Scores, TargetResult, horizon_key
from retraind.core.policy.answers import horizons_of
from retraind.core.policy.decision import Decision, evaluate, scored_drop_days
from retraind.core.policy.document import Condition, Policy, conditions
from retraind.core.policy.facts import Approval, Comparison, Facts, Significance, Slice, evidence
from retraind.core.policy.lint import outlook
from retraind.core.policy.terms import PLACES, DropCount, Place
from retraind.core.units import Percent, Span

__all__ = ["CaseFile", "Failure", "Report", "bind_cases", "run"]

Figures = Mapping[str, Mapping[str, float | None]]
"""Metric -> horizon (`h7`) -> figure."""
Pace = Literal["daily", "weekly", "stopped"]
_DAYS: Mapping[str, int] = {"daily": 1, "weekly": 7}
_VERDICTS = {"roll back": "rollback", "gave up": "gave_up"}
_OUTCOMES = {"passing": "yes", "failing": "no", "wait": "wait", "unknown": "unknown", "not_needed": "not_needed"}
_FIGURE = re.compile(
    rf"((champion|{'|'.join(BASELINES)})\.)?(test|live)\.({'|'.join(METRICS)})\.h[1-9][0-9]{{0,2}}"
)  # fmt: skip
_VERSION = re.compile(r"v[1-9][0-9]*")
_GOOD = 1.25
"""How much farther than its policy asks the built-in case is on the good side."""


@dataclass(frozen=True)
class GivenSlice:
    """One slice of a candidate."""

    test: Figures = field(default_factory=dict)
    champion: Figures = field(default_factory=dict)
    dates: int = 121


@dataclass(frozen=True)
class GivenCandidate:
    """What is not left to the built-in case."""

    test: Figures = field(default_factory=dict)
    champion: Figures = field(default_factory=dict)
    """Of the champion's recipe, on the same test days."""
    live: Figures = field(default_factory=dict)
    champion_live: Figures = field(default_factory=dict)
    baselines: Mapping[str, Figures] = field(default_factory=dict)
    slices: Mapping[str, Mapping[str, GivenSlice]] = field(default_factory=dict)
    figures: Mapping[str, float | None] = field(default_factory=dict)
    p: float | None = 1e-6
    look: Span = Span(28 * 86400)
    dates: int | None = None
    rows: int | None = None


@dataclass(frozen=True)
class GivenApproval:
    """Somebody approves."""

    by: str
    at: dt.datetime
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Given:
    """The world of one case."""

    candidate: str | None = None
    """A name of `candidates`; without one the champion is asked about."""
    champion: str = "v9"
    """`none`: there is no champion."""
    stage: Literal["none", "staging"] = "staging"
    kind: Literal["search", "refresh"] = "search"
    trained: dt.datetime | None = None
    staged: dt.datetime | None = None
    drops: Pace | None = None
    drifting: tuple[bool | None, ...] = (False,) * 12
    """Verdicts of the newest drops, oldest first."""
    approvals: tuple[GivenApproval, ...] | None = None
    """Left out: as many people as the policy asks for."""
    promotions: tuple[dt.datetime, ...] = ()
    rollbacks: tuple[dt.datetime, ...] = ()
    blocked: bool = False
    set: Mapping[str, float | None] = field(default_factory=dict)
    """Single figures put in place, such as `champion.test.wape.h1: null`."""
    previous: str | None = None
    held: Mapping[str, DropCount] = field(default_factory=dict)
    """How many scored drops earlier champions held Production."""
    live: Mapping[str, Mapping[str, tuple[float | None, ...]]] = field(default_factory=dict)
    """`live.wape.h1: {v15: [32, 32], v18: [36, 36]}`: a figure a scored drop, of a version or a baseline."""

    def __post_init__(self) -> None:
        named = {"champion": self.champion, "previous": self.previous or "none", **{f"held.{n}": n for n in self.held}}
        out = [
            Mistake(tuple(key.split(".")), f'"{name}" is no version', "write v9, or none where there is no champion")
            for key, name in named.items()
            if not _VERSION.fullmatch(name) and (name != "none" or key.startswith("held"))
        ]
        if self.candidate is None and self.champion == "none":
            out.append(Mistake(("champion",), "there is nobody to ask about", "name a candidate or a champion"))
        times = {"trained": (self.trained,), "staged": (self.staged,), "promotions": self.promotions,
                 "rollbacks": self.rollbacks, "approvals": [a.at for a in self.approvals or ()]}  # fmt: skip
        out += [_no_zone(key) for key, moments in times.items() for at in moments if at is not None and not at.tzinfo]
        if out:
            raise Mistakes(out)


def _no_zone(key: str) -> Mistake:
    return Mistake((key,), "the time has no offset", 'write it as "2026-12-02T10:00+08:00"')


@dataclass(frozen=True)
class Expect:
    """What must come out; lists name at least these conditions."""

    decision: Literal["promote", "hold", "reject", "gave up", "superseded", "blocked", "roll back"]
    to: str | None = None
    passing: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    wait: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    not_needed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """One moment of a case."""

    expect: Expect
    at: dt.datetime | None = None
    after_scored_drops: int | None = None

    def __post_init__(self) -> None:
        if self.at is not None and not self.at.tzinfo:
            raise Mistakes([_no_zone("at")])


@dataclass(frozen=True)
class Case:
    """One test: a world, and a moment or several."""

    name: str
    given: Given
    at: dt.datetime | None = None
    expect: Expect | None = None
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        if (self.expect is None) == (not self.steps):
            raise Mistakes([Mistake((), "needs either expect or steps", "such as expect: {decision: hold}")])
        for i, step in enumerate(self.moments):
            path: Path = ("steps", i) if self.steps else ()
            key = "at" if self.given.candidate is not None else "after_scored_drops"
            if getattr(step, key) is None:
                raise Mistakes([Mistake(path, f"{key} is missing", f"say with {key} when the policy is asked")])

    @property
    def moments(self) -> tuple[Step, ...]:
        """The steps, or the only one."""
        return (Step(self.expect, self.at),) if self.expect is not None else self.steps


@dataclass(frozen=True)
class CaseFile:
    """One file of tests."""

    policy: str
    """The policy file, relative to this one."""
    tests: tuple[Case, ...]
    cadence: Literal["daily", "weekly"] = "daily"
    candidates: Mapping[str, GivenCandidate] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A moment that came out otherwise."""

    path: Path
    name: str
    expected: str
    got: str

    @property
    def mistake(self) -> Mistake:
        """As the loader tells it when it refuses an edit."""
        return Mistake(self.path, f'test "{self.name}" expects {self.expected} and gets {self.got}',
                       "mend the policy, or the test if it asks for the wrong thing")  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What came of all tests."""

    cases: int
    failures: tuple[Failure, ...]
    never_no: tuple[str, ...]
    """Conditions that can say no, and that no test saw do so."""
    never_unknown: tuple[str, ...]


def bind_cases(value: object) -> CaseFile:
    """The tests in a document's plain value. Raises Mistakes."""
    if isinstance(value, Mapping) and isinstance(value.get("tests"), list):
        value = {**value, "tests": [_undotted(test) for test in value["tests"]]}
    file = bind(CaseFile, value)
    out = [
        Mistake(("tests", i, "given", "candidate"), f'"{case.given.candidate}" is no candidate of this file',
                f"candidates here: {', '.join(file.candidates) or 'none'}")
        for i, case in enumerate(file.tests)
        if case.given.candidate is not None and case.given.candidate not in file.candidates
    ]  # fmt: skip
    out += [m for i, case in enumerate(file.tests) for m in _wrong_paths(case, ("tests", i, "given", "set"))]
    if out:
        raise Mistakes(out)
    return file


def _undotted(test: Any) -> Any:
    """`live.wape.h1: {...}` in given, as live: {wape.h1: {...}}."""
    if not isinstance(test, Mapping) or not isinstance(test.get("given"), Mapping):
        return test
    given = test["given"]
    live = {str(k).removeprefix("live."): v for k, v in given.items() if str(k).startswith("live.")}
    rest = {k: v for k, v in given.items() if not str(k).startswith("live.")}
    return {**test, "given": {**rest, **({"live": live} if live else {})}}


def _wrong_paths(case: Case, path: Path) -> Iterator[Mistake]:
    for name in case.given.set:
        if not _FIGURE.fullmatch(name):
            yield Mistake((*path, name), f'"{name}" is no figure', "such as champion.test.wape.h1 or live.wape.h7")


def run(policy: Policy, file: CaseFile) -> Report:
    """Asks `policy` at every moment of every case. Pure: no clock and no files."""
    failures = []
    seen: list[ConditionOutcome] = []
    for i, case in enumerate(file.tests):
        for j, step in enumerate(case.moments):
            decision = _decided(policy, file, case.given, step)
            seen += decision.conditions
            for expected, got in _differences(step.expect, decision):
                path: Path = ("tests", i, "steps", j) if case.steps else ("tests", i)
                failures.append(Failure(path, case.name, expected, got))
    names = [(place, c) for place in PLACES for c in conditions(policy, place)]
    never = {
        outcome: tuple(str(c.id) for place, c in names if not any(_is(o, place, c, outcome) for o in seen))
        for outcome in ("no", "unknown")
    }
    waits = {str(c.id) for _, c in names if c.kind in ("soak", "approval")}
    return Report(len(file.tests), tuple(failures), tuple(n for n in never["no"] if n not in waits), never["unknown"])


def _is(outcome: ConditionOutcome, place: Place, condition: Condition, wanted: str) -> bool:
    return (outcome.block, outcome.id, outcome.outcome) == (place, condition.id, wanted)


def _decided(policy: Policy, file: CaseFile, given: Given, step: Step) -> Decision:
    if given.candidate is None:
        return evaluate(policy, _champion(policy, file, given, step.after_scored_drops or 0), step.at or _SOME_DAY)
    assert step.at is not None
    return evaluate(policy, _candidate(policy, file, given, step.at), step.at)


def _differences(expect: Expect, decision: Decision) -> Iterator[tuple[str, str]]:
    verdict = _VERDICTS.get(expect.decision, expect.decision)
    goal = f"v{decision.target}" if decision.verdict == "rollback" else decision.to
    if verdict != decision.verdict or (expect.to is not None and expect.to != goal):
        to = f" to {expect.to}" if expect.to else ""
        yield f"{expect.decision}{to}", f"{decision.verdict.replace('_', ' ')}: {decision.words}"
        return
    for key, outcome in _OUTCOMES.items():
        for name in getattr(expect, key):
            found = [c for c in decision.conditions if c.id == name]
            if not any(c.outcome == outcome for c in found):
                got = "; ".join(f"{c.outcome}, {c.words}" for c in found) or "no such condition was asked"
                yield f"{name} {key}", got


# ---- the built-in case ----

_SOME_DAY = dt.datetime(2026, 1, 1, 4, tzinfo=dt.UTC)
Table = dict[str, dict[str, float | None]]


def _asked(policy: Policy) -> Iterator[tuple[Condition, str, str]]:
    """(condition, metric, horizon) of every figure that the policy asks for."""
    for place in PLACES:
        for condition in conditions(policy, place):
            for horizon in horizons_of(condition.asks):
                yield condition, condition.asks.metric, horizon_key(horizon)


def _own(policy: Policy) -> Table:
    """A candidate within every limit of the policy."""
    table: Table = {}
    for condition, metric, key in _asked(policy):
        value = table.setdefault(metric, {}).get(key) or {"bias": 1.0, "r2": 0.9}.get(metric, 30.0)
        if condition.kind == "limit" and condition.asks.measured == "test" and condition.asks.at_most is not None:
            value = min(value, condition.asks.at_most / _GOOD)
        table[metric][key] = value
    return table


def _worse_than(own: Figures, by: Mapping[str, float]) -> Table:
    """Figures that `own` beats by more than the shares in `by` (metric -> share), and by 1 unit at least."""
    table: Table = {}
    for metric, figures in own.items():
        share = min(by.get(metric, 0.0), 0.98)
        for key, value in figures.items():
            worse = None
            if value is not None:
                size = abs(value)
                worse = value / (1 + share) - 0.1 * size if metric == "r2" else (size / (1 - share)) * _GOOD + 1e-9
            table.setdefault(metric, {})[key] = worse
    return table


def _shares(policy: Policy, kind: str, key: str) -> dict[str, float]:
    """Metric -> the largest relative margin that conditions of that kind ask for."""
    out: dict[str, float] = {}
    for condition, metric, _ in _asked(policy):
        amount = getattr(condition.asks, key, None) if condition.kind == kind else None
        if isinstance(amount, Percent):
            out[metric] = max(out.get(metric, 0.0), amount.share)
    return out


def _absolute(policy: Policy) -> dict[str, float]:
    """Metric -> the largest margin in its own unit that a `better` asks for."""
    out: dict[str, float] = {}
    for condition, metric, _ in _asked(policy):
        amount = condition.asks.by if condition.kind == "better" else None
        if isinstance(amount, float):
            out[metric] = max(out.get(metric, 0.0), amount)
    return out


def _over(base: Figures, given: Figures) -> Table:
    """`base` with the given figures in its place."""
    table: Table = {metric: dict(figures) for metric, figures in base.items()}
    for metric, figures in given.items():
        table.setdefault(metric, {}).update(figures)
    return table


def _scores(table: Figures, digest: str, dates: Mapping[str, int], rows: int) -> Scores:
    keys = {key for figures in table.values() for key in figures} | {"h1"}
    sets = {key: RowSet(rows if dates.get(key, 0) else 0, dates.get(key, 0), f"{digest}-{key}") for key in keys}
    return Scores(sets, table)


@dataclass(frozen=True)
class _Tables:
    """Every figure of a case, by who and where."""

    test: Table
    live: Table
    others: dict[str, tuple[Table, Table]]
    """`champion` or a baseline -> (test, live)."""


def _tables(policy: Policy, spec: GivenCandidate, given: Given) -> _Tables:
    own = _over(_own(policy), spec.test)
    champion = _worse_than(own, _shares(policy, "better", "by"))
    for metric, margin in _absolute(policy).items():
        worse = -margin if metric == "r2" else margin
        champion[metric] = {k: None if v is None else v + worse for k, v in champion[metric].items()}
    champion = _over(champion, spec.champion)
    live = _over(own, spec.live)
    others = {"champion": (champion, _over(champion, spec.champion_live))}
    naive = _worse_than(own, _shares(policy, "skill", "at_least"))
    for name in BASELINES:
        table = _over(naive, spec.baselines.get(name, {}))
        others[name] = (table, _over(table, {}))
    tables = _Tables(own, live, others)
    for path, value in given.set.items():
        _put(tables, path, value)
    return tables


def _put(tables: _Tables, path: str, value: float | None) -> None:
    *who, measured, metric, key = path.split(".")
    own = {"test": tables.test, "live": tables.live}
    table = own[measured] if not who else tables.others[who[0]][measured == "live"]
    table.setdefault(metric, {})[key] = value


def _candidate(policy: Policy, file: CaseFile, given: Given, at: dt.datetime) -> Facts:
    spec = file.candidates[given.candidate or ""]
    pace = given.drops or file.cadence
    cadence = Span(_DAYS.get(pace, 1) * 86400)
    staged = given.staged or at - outlook(policy, cadence).promotion - dt.timedelta(days=1)
    trained = given.trained or staged
    days = _days_told(staged, at, pace) if given.stage == "staging" else 0
    champion = None if given.champion == "none" else int(given.champion.removeprefix("v"))
    version = (champion or 0) + 1
    tables = _tables(policy, spec, given)
    candidate, result = _training(policy, spec, tables, version, champion)
    facts = Facts(
        "model", version, champion, given.stage, given.kind, candidate, result, trained,
        timezone=policy.timezone or "UTC",
        newest_date=_newest(policy, staged, at, days, pace),
        cadence=cadence,
        staged_at=staged if given.stage == "staging" else None,
        scored_drops=days // scored_drop_days(cadence),
        live=replace(_live(tables, days, champion), slices=_live_slices(policy, tables, days)),
        test_slices=_slices(policy, spec, tables),
        significance={f"{m}.{k}": Significance(spec.p, _dates(policy, spec), 4) for _, m, k in _asked(policy)},
        look_days=spec.look.seconds / 86400,
        drift=given.drifting,
        promotions=given.promotions,
        rollbacks=given.rollbacks,
        blocked="by this test" if given.blocked else "",
    )  # fmt: skip
    return _with_people(policy, facts, given, at)


def _days_told(staged: dt.datetime, at: dt.datetime, pace: Pace) -> int:
    """Target dates that drops since Staging brought."""
    if pace == "stopped" or at < staged:
        return 0
    return (at - staged).days // _DAYS[pace] * _DAYS[pace]


def _newest(policy: Policy, staged: dt.datetime, at: dt.datetime, days: int, pace: Pace) -> dt.date:
    last = staged + dt.timedelta(days=days) if pace != "daily" else at
    return last.astimezone(ZoneInfo(policy.timezone or "UTC")).date() - dt.timedelta(days=1)


def _dates(policy: Policy, spec: GivenCandidate) -> int:
    asked = [c.asks.dates or 0 for p in PLACES for c in conditions(policy, p) if c.kind == "samples"]
    floors = [getattr(c.asks, "min_dates", None) or 0 for c, _, _ in _asked(policy) if c.asks.measured == "test"]
    return spec.dates if spec.dates is not None else max([121, *asked, *floors])


def _training(
    policy: Policy, spec: GivenCandidate, tables: _Tables, version: int, champion: int | None
) -> tuple[Candidate, TargetResult]:
    dates = _dates(policy, spec)
    asked = [c.asks.rows or 0 for p in PLACES for c in conditions(policy, p) if c.kind == "samples"]
    rows = spec.rows if spec.rows is not None else max([9874, *asked])
    keys = {f"h{h}": dates for h in range(1, 366)}
    figures = {**_logged(policy), **spec.figures}
    test = _scores(tables.test, "test", keys, rows)
    candidate = Candidate(version, "run", "given", {}, "recipe", "digest", 1, test, figures)
    others = {name: _scores(pair[0], "test", keys, rows) for name, pair in tables.others.items()}
    theirs = others.pop("champion")
    result = TargetResult("model", "model", (candidate,), others, champion, theirs if champion else None)
    return candidate, result


def _logged(policy: Policy) -> dict[str, float | None]:
    found = [c.asks for p in PLACES for c in conditions(policy, p) if c.kind == "figure"]
    return {asks.name: asks.at_most if asks.at_most is not None else asks.at_least for asks in found}


def _live(tables: _Tables, days: int, champion: int | None) -> Comparison:
    """A figure some days ahead is known that many days later."""
    dates = {f"h{h}": max(0, days - h + 1) for h in range(1, 366)}
    others = {name: _scores(pair[1], "live", dates, 40 * days) for name, pair in tables.others.items()}
    theirs = others.pop("champion")
    own = _scores(tables.live, "live", dates, 40 * days)
    return Comparison(own, theirs if champion else None, champion, others)


def _slices(policy: Policy, spec: GivenCandidate, tables: _Tables) -> dict[str, dict[str, Slice]]:
    """The slices that the policy names, or one called `all`, as good as the whole unless given otherwise."""
    out: dict[str, dict[str, Slice]] = {}
    for place in PLACES:
        for condition in conditions(policy, place):
            if condition.kind == "slices":
                values = [*(condition.asks.only or ("all",)), *spec.slices.get(condition.asks.by, {})]
                made = {v: _slice(tables, spec.slices.get(condition.asks.by, {}).get(v, GivenSlice())) for v in values}
                out.setdefault(condition.asks.by, {}).update(made)
    return out


def _live_slices(policy: Policy, tables: _Tables, days: int) -> dict[str, dict[str, Slice]]:
    """As good as the whole."""
    asked = [c.asks for p in PLACES for c in conditions(policy, p) if c.kind == "slices" and c.asks.measured == "live"]
    dates = {f"h{h}": max(0, days - h + 1) for h in range(1, 366)} if asked else {}
    one = Slice(_scores(tables.live, "slice", dates, 40 * days), _scores(tables.others["champion"][1], "slice", dates, 40 * days))
    return {asks.by: dict.fromkeys(asks.only or ("all",), one) for asks in asked}


def _slice(tables: _Tables, given: GivenSlice) -> Slice:
    dates = {f"h{h}": given.dates for h in range(1, 366)}
    own = _over(tables.test, given.test)
    theirs = _over(tables.others["champion"][0], given.champion)
    return Slice(_scores(own, "slice", dates, 40 * given.dates), _scores(theirs, "slice", dates, 40 * given.dates))


def _with_people(policy: Policy, facts: Facts, given: Given, at: dt.datetime) -> Facts:
    assert facts.candidate is not None
    shown = evidence(facts.candidate)
    people: Iterable[GivenApproval]
    if given.approvals is not None:
        people = given.approvals
    else:
        wanted = [c.asks for p in PLACES for c in conditions(policy, p) if c.kind == "approval"]
        people = [
            GivenApproval(f"person-{i}", at - dt.timedelta(hours=1), asks.from_)
            for asks in wanted
            for i in range(asks.count)
        ]
    approvals = tuple(Approval(p.by, p.groups, p.at, policy.meaning, shown) for p in people)
    return replace(facts, approvals=approvals)


def _champion(policy: Policy, file: CaseFile, given: Given, drops: int) -> Facts:
    """A champion after so many scored drops."""
    version = int(given.champion.removeprefix("v"))
    long_enough = [int(name.removeprefix("v")) for name, held in given.held.items() if held.drops >= 3]
    watched = tuple(_drop(policy, given, i) for i in range(drops))
    return Facts(
        "model", version, version, "production", timezone=policy.timezone or "UTC", watched=watched,
        cadence=Span(_DAYS[file.cadence] * 86400), last_good=max((v for v in long_enough if v != version), default=None),
    )  # fmt: skip


def _drop(policy: Policy, given: Given, i: int) -> Comparison:
    """The figures of scored drop `i`; the built-in ones are those of a champion that is fine."""
    own = _over(_own(policy), _of_drop(given, given.champion, i))
    previous = _over(own, _of_drop(given, given.previous or "", i))
    naive = _worse_than(own, {})
    dates = {f"h{h}": 3 for h in range(1, 366)}
    baselines = {
        name: _scores(_over(naive, _of_drop(given, name, i)), f"drop-{i}", dates, 120) for name in BASELINES
    }  # fmt: skip
    return Comparison(
        _scores(own, f"drop-{i}", dates, 120), None, None, baselines,
        _scores(previous, f"drop-{i}", dates, 120) if given.previous else None,
        int(given.previous.removeprefix("v")) if given.previous else None,
    )  # fmt: skip


def _of_drop(given: Given, who: str, i: int) -> Table:
    table: Table = {}
    for path, by in given.live.items():
        metric, _, key = path.partition(".")
        values = by.get(who, ())
        if i < len(values):
            table.setdefault(metric, {})[key] = values[i]
    return table
