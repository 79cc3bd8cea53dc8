"""From a policy, facts and a moment to a decision that carries its reasons. Pure: asked again, it answers the same.

Who may speak over whom (POLICIES.md): blocked, then an active freeze, then a no, an unknown, a wait, the limits; what is
left is a promotion. Pause and pin stand above all of it and are the caller's: a paused site does not ask. A version in
Production is asked the other way round: whether it must go (`rollback`), where nothing but a yes can roll back.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from retraind.core.events import ConditionOutcome, Counterfactual
from retraind.core.people import quoted
from retraind.core.policy.answers import Answer, Outcome, Question, all_of
from retraind.core.policy.conditions import KINDS, judge
from retraind.core.policy.document import Condition, Policy, Window, conditions
from retraind.core.policy.facts import Comparison, Facts
from retraind.core.policy.terms import Place, Stage, count
from retraind.core.units import Span

__all__ = [
    "NO_POLICY",
    "Counterfactual",
    "Decision",
    "Verdict",
    "counterfactuals",
    "evaluate",
    "same_answer",
    "scored_drop_days",
]

Verdict = Literal["promote", "hold", "reject", "gave_up", "superseded", "rollback", "blocked", "no_policy"]

_BY_PEOPLE = ("frozen", "all-frozen")
"""How a freeze by a person is named beside the windows: of this model, of all."""
SCORED_DROP_DATES = 3
"""Target dates that pool to one scored drop (POLICIES.md, rule 11)."""


@dataclass(frozen=True)
class Decision:
    """What to do with a version, and why."""

    verdict: Verdict
    to: Stage | None
    """Where to, for promote."""
    conditions: tuple[ConditionOutcome, ...]
    """In the order of the file; then freeze, limits and cool-down where they speak."""
    words: str
    earliest: dt.datetime | None = None
    """For a hold: when it may be promoted if all goes well; None when that is not known or hangs on people."""
    target: int | None = None
    """For rollback: the version to go back to."""
    would: bool = False
    """Dry run: decided, not to be carried out."""


NO_POLICY = Decision("no_policy", None, (), "holds: no policy speaks for this model")


class _Asked(NamedTuple):
    """A condition with its answer."""

    place: Place
    condition: Condition
    answer: Answer

    @property
    def counts(self) -> bool:
        return not self.condition.dry_run


def same_answer(one: Decision, other: Decision) -> bool:
    """Whether nothing changed that the journal should say: verdict, goal, or an outcome; numbers may move."""
    return _gist(one) == _gist(other)


def _gist(decision: Decision) -> tuple[object, ...]:
    outcomes = tuple((c.block, c.id, c.outcome) for c in decision.conditions)
    return decision.verdict, decision.to, decision.target, decision.would, outcomes


def evaluate(policy: Policy, facts: Facts, now: dt.datetime) -> Decision:
    """What `policy` says about the version that `facts` describe, at `now` on the site's clock (aware)."""
    if facts.stage == "production":
        decision = _champion(policy, facts, now)
    else:
        decision, asked = _candidate(policy, facts, now)
        if decision.verdict == "hold":
            decision = replace(decision, earliest=_earliest(policy, facts, now, decision, asked))
    return decision if policy.mode == "enforce" else replace(decision, would=True)


# ---- a candidate ----


def _candidate(policy: Policy, facts: Facts, now: dt.datetime) -> tuple[Decision, list[_Asked]]:
    if facts.blocked:
        return Decision("blocked", None, (), f"blocked: {facts.blocked}"), []
    if facts.superseded_by is not None:
        return Decision("superseded", None, (), f"superseded by v{facts.superseded_by}"), []
    to: Stage = "production" if facts.stage == "staging" else "staging"
    asked = _ask(policy, facts, now, to)
    return _settled(policy, facts, now, to, asked), asked


def _settled(policy: Policy, facts: Facts, now: dt.datetime, to: Stage, asked: Sequence[_Asked]) -> Decision:
    """What the answers come to, once freezes and limits have spoken too."""
    outcomes = list(map(_told, asked))
    if to == "production":
        outcomes += _blind(policy, facts)
    outcomes += _until_later(policy, facts, now, to)
    return _decide(policy, facts, now, to, tuple(outcomes), asked)


def _ask(policy: Policy, facts: Facts, now: dt.datetime, to: Stage) -> list[_Asked]:
    """Staging's conditions, and for Production its own after them.

    Of a version on its way to Staging those of Production speak only where nothing can change their no: it would be staged,
    forecast with and archived in vain.
    """
    test = facts.comparison("test")
    late: Place = "refresh" if facts.kind == "refresh" and policy.refresh and facts.champion else "production"
    after = _ask_list(policy, facts, now, late, test)
    asked = [*_ask_list(policy, facts, now, "staging", test)]
    return [*asked, *(a for a in after if to == "production" or (a.answer.outcome == "no" and a.answer.final and a.counts))]


def _ask_list(
    policy: Policy, facts: Facts, now: dt.datetime, place: Place, test: Comparison | None
) -> Iterator[_Asked]:
    question = Question(facts, now, place, test, facts.live, policy.meaning)
    lenient = policy.production.first == "lenient"
    for condition in conditions(policy, place):
        yield _Asked(place, condition, judge(condition.kind, condition.asks, question, lenient_first=lenient))


def _holds_later(policy: Policy, facts: Facts, at: dt.datetime, asked: Sequence[_Asked]) -> bool:
    """Whether all that counts will hold at a later moment, asked of answers without a no or an unknown: what waited is taken
    to have ended well, and only what a clock moves is asked again."""
    test, lenient = facts.comparison("test"), policy.production.first == "lenient"
    for one in asked:
        place, condition, answer = one
        if one.counts and KINDS[condition.kind].timely:
            question = Question(facts, at, place, test, facts.live, policy.meaning)
            later = judge(condition.kind, condition.asks, question, lenient_first=lenient).outcome
            if later not in ("yes", "not_needed") and not answer.outcome == later == "wait":
                return False
    return True


def _told(asked: _Asked) -> ConditionOutcome:
    place, condition, answer = asked
    return ConditionOutcome(
        condition.id, condition.kind, answer.outcome, answer.words, place, answer.value, answer.limit, answer.margin,
        answer.until, condition.dry_run,
    )  # fmt: skip


def _decide(
    policy: Policy,
    facts: Facts,
    now: dt.datetime,
    to: Stage,
    outcomes: tuple[ConditionOutcome, ...],
    asked: Sequence[_Asked],
) -> Decision:
    counted = [o.outcome for o in outcomes if not o.dry_run]
    spoken = set(counted)
    if "wait" in spoken and any(o.kind == "freeze" for o in outcomes):
        return Decision("hold", None, outcomes, f"holds: {_frozen_words(outcomes)}")
    if "no" in spoken and any(a.counts and a.answer.outcome == "no" and a.answer.final for a in asked):
        return Decision("reject", None, outcomes, f"rejected: {_saying_no(asked)}")
    if spoken <= {"yes", "not_needed"}:
        waived = counted.count("not_needed")
        more = f", {waived} not needed for a first version" if waived else ""
        held = count(len(counted) - waived, "condition")
        return Decision("promote", to, outcomes, f"promote to {to}: {held} hold{more}")
    since = facts.staged_at if to == "production" else facts.trained_at
    patience = policy.production.give_up_after
    if since is not None and now >= since + patience.delta:
        return Decision("gave_up", None, outcomes, f"gave up after {patience}: {_pending(outcomes)}")
    return Decision("hold", None, outcomes, f"holds: {_pending(outcomes)}")


def _saying_no(asked: Sequence[_Asked]) -> str:
    ids = [a.condition.id for a in asked if a.counts and a.answer.outcome == "no"]
    return f"{', '.join(ids)} {'says' if len(ids) == 1 else 'say'} no"


def _why(outcomes: Sequence[ConditionOutcome], outcome: Outcome, kinds: Sequence[str] = ()) -> str:
    return ", ".join(
        o.id for o in outcomes if o.outcome == outcome and not o.dry_run and (not kinds or o.kind in kinds)
    )


def _frozen_words(outcomes: Sequence[ConditionOutcome]) -> str:
    """A person's freeze in full, windows by their ids."""
    people = [o.words for o in outcomes if o.kind == "freeze" and o.id in _BY_PEOPLE]
    windows = [o.id for o in outcomes if o.kind == "freeze" and o.id not in _BY_PEOPLE]
    return "; ".join(people + ([f"frozen, {', '.join(windows)}"] if windows else []))


def _pending(outcomes: Sequence[ConditionOutcome]) -> str:
    """`live no: a; unknown: b; waiting: c, d`."""
    named: tuple[tuple[Outcome, str], ...] = (("no", "no for now"), ("unknown", "unknown"), ("wait", "waiting"))
    parts = [f"{word}: {_why(outcomes, outcome)}" for outcome, word in named if _why(outcomes, outcome)]
    return "; ".join(parts)


# ---- freeze, limits, cool-down ----


def _zone(policy: Policy, facts: Facts) -> ZoneInfo:
    return ZoneInfo(policy.timezone or facts.timezone)


def _until_later(policy: Policy, facts: Facts, now: dt.datetime, to: Stage) -> Iterator[ConditionOutcome]:
    """Freezes and limits that hold now."""
    yield from _frozen(policy, facts, now, to)
    if to == "production":
        yield from _limits(policy, facts, now)


def _frozen(policy: Policy, facts: Facts, now: dt.datetime, to: Stage) -> Iterator[ConditionOutcome]:
    if to == "production":
        yield from _frozen_by_people(policy, facts, now)
    for window in policy.freeze:
        if to in window.stages:
            until = _dates_until(window, policy, facts, now) or _hours_until(window, policy, facts, now)
            if until is not None:
                words = f"until {until:%Y-%m-%d %H:%M}: {window.why}"
                yield ConditionOutcome(window.id, "freeze", "wait", words, "freeze", until=until)


def _frozen_by_people(policy: Policy, facts: Facts, now: dt.datetime) -> Iterator[ConditionOutcome]:
    """Ends on the people's clock; on the data's nobody can say which date that will be."""
    for freeze in facts.frozen:
        if freeze.until is None or freeze.until > (facts.wall or now):
            end = f" until {freeze.until.astimezone(_zone(policy, facts)):%Y-%m-%d %H:%M}" if freeze.until else ""
            yield ConditionOutcome(
                _BY_PEOPLE[freeze.site], "freeze", "wait", f"frozen by {freeze.by}{end}{quoted(freeze.reason)}", "freeze",
                until=freeze.until if facts.clock == "wall" else None,
            )  # fmt: skip


def _dates_until(window: Window, policy: Policy, facts: Facts, now: dt.datetime) -> dt.datetime | None:
    """The end of a window of dates that holds now; on the data clock the newest date itself is tested."""
    if window.from_ is None or window.to is None:
        return None
    zone = _zone(policy, facts)
    on_data = facts.clock == "data" and facts.newest_date is not None
    today = facts.newest_date if on_data else now.astimezone(zone).date()
    if today is None or not window.from_ <= today <= window.to:
        return None
    after = window.to + dt.timedelta(days=2 if on_data else 1)
    return dt.datetime.combine(after, dt.time(), zone)


def _hours_until(window: Window, policy: Policy, facts: Facts, now: dt.datetime) -> dt.datetime | None:
    """The end of a window of hours that holds now, on the people's clock; void on the data clock."""
    if window.days is None or window.between is None or facts.clock == "data":
        return None
    zone = _zone(policy, facts)
    wall = (facts.wall or now).astimezone(zone)
    start, end = (t.minutes for t in window.between)
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    for back in (1, 0):
        day = wall.date() - dt.timedelta(days=back)
        if names[day.weekday()] in window.days:
            opens = _at(day, start, zone, fold=0)
            closes = _at(day, end if end > start else end + 1440, zone, fold=1)
            if opens <= wall.astimezone(dt.UTC) < closes:
                return closes.astimezone(zone)
    return None


def _at(day: dt.date, minutes: int, zone: ZoneInfo, fold: Literal[0, 1]) -> dt.datetime:
    """A wall time as UTC. A skipped one moves forward; of a repeated one, fold 0 is the first and 1 the second."""
    day += dt.timedelta(days=minutes // 1440)
    local = dt.datetime.combine(day, dt.time(minutes % 1440 // 60, minutes % 60), zone)
    first, second = local.astimezone(dt.UTC), local.replace(fold=1).astimezone(dt.UTC)
    if second < first:  # in a gap the two folds come in the other order, and both read forward with fold 0
        return first
    return second if fold else first


def _limits(policy: Policy, facts: Facts, now: dt.datetime) -> Iterator[ConditionOutcome]:
    limits, done = policy.limits, sorted(facts.promotions)
    if limits and limits.min_between and done:
        yield from _until("min-between", done[-1] + limits.min_between.delta, now,
                          f"{limits.min_between} between promotions")  # fmt: skip
    if limits and limits.promotions:
        quota = limits.promotions
        recent = [at for at in done if at > now - quota.per.delta]
        if len(recent) >= quota.at_most:
            yield from _until("promotions", recent[-quota.at_most] + quota.per.delta, now,
                              f"{len(recent)} of at most {quota.at_most} promotions in {quota.per}")  # fmt: skip
    if policy.rollback and facts.rollbacks:
        yield from _until("cooldown", _cool(policy.rollback.cooldown, facts), now, "cool-down after a rollback")


def _cool(cooldown: Span, facts: Facts) -> dt.datetime:
    """When the cool-down ends: doubled for a second rollback within 30 days."""
    done = sorted(facts.rollbacks)
    again = len(done) > 1 and done[-1] - done[-2] <= dt.timedelta(days=30)
    return done[-1] + cooldown.delta * (2 if again else 1)


def _until(name: str, until: dt.datetime, now: dt.datetime, words: str) -> Iterator[ConditionOutcome]:
    if now < until:
        yield ConditionOutcome(
            name, "limits", "wait", f"{words}, until {until:%Y-%m-%d %H:%M %Z}", "limits", until=until
        )


def _blind(policy: Policy, facts: Facts) -> list[ConditionOutcome]:
    after = policy.rollback.blind_after if policy.rollback else None
    if after is None or facts.champion is None or facts.blind_drops < after.drops:
        return []
    words = f"flying blind: no figure of v{facts.champion} for {count(facts.blind_drops, 'scored drop')}"
    return [ConditionOutcome("not-blind", "blind_after", "unknown", words, "rollback")]


# ---- the earliest promotion ----


def scored_drop_days(cadence: Span) -> int:
    """Days from one scored drop to the next: drops pool until they hold 3 target dates."""
    days = max(1, cadence.seconds // 86400)
    return -(-SCORED_DROP_DATES // days) * days


def _earliest(
    policy: Policy, facts: Facts, now: dt.datetime, decision: Decision, asked: Sequence[_Asked]
) -> dt.datetime | None:
    """Asks again at each known boundary, with the waits that time and drops end taken to have ended well."""
    if any(o.outcome in ("no", "unknown") for o in decision.conditions if not o.dry_run):
        return None
    waiting = [a for a in asked if a.counts and a.answer.outcome == "wait"]
    ends = [_expected(a.answer, facts, now) for a in waiting]
    at = max([now, *(end for end in ends if end is not None)])
    if None in ends:
        return None
    to: Stage = "production" if facts.stage == "staging" else "staging"
    since = facts.staged_at if facts.stage == "staging" else facts.trained_at
    for _ in range(60):
        if since is not None and at >= since + policy.production.give_up_after.delta:
            return None
        then = _projected(facts, now, at)
        held = list(_until_later(policy, then, at, to))
        if not held and _holds_later(policy, then, at, asked):
            return at
        boundaries = [o.until for o in held if o.until and o.until > at]
        if not boundaries:
            return None
        at = max(boundaries)
    return None


def _expected(answer: Answer, facts: Facts, now: dt.datetime) -> dt.datetime | None:
    """When a wait may end; None: it hangs on people, or on drops of which nobody knows when they come."""
    if answer.person or ((answer.drops or answer.dates) and facts.cadence is None):
        return None
    days = 0
    if facts.cadence is not None:
        step = max(1, facts.cadence.seconds // 86400)
        days = max(answer.drops * scored_drop_days(facts.cadence), -(-answer.dates // step) * step)
    if (not days and answer.until is None) or days > 36_600:
        return None
    return max(now + dt.timedelta(days=days), answer.until or now)


def _projected(facts: Facts, now: dt.datetime, at: dt.datetime) -> Facts:
    """The facts at a later moment, if drops go on coming."""
    days = (at - now).days if facts.cadence else 0
    then = copy(facts)  # `replace` of forty fields takes a tenth of the whole decision
    vars(then).update(
        newest_date=facts.newest_date + dt.timedelta(days=days) if facts.newest_date else None,
        wall=(facts.wall or now) + (at - now),
    )
    return then


# ---- a champion ----


def _champion(policy: Policy, facts: Facts, now: dt.datetime) -> Decision:
    block = policy.rollback
    if block is None:
        return Decision("hold", None, (), "stays champion: the policy has no rollback")
    judged = [(c, _running(c, block.watch.drops, policy, facts, now)) for c in block.when_any]
    outcomes = tuple(_told(_Asked("rollback", c, answer)) for c, answer in judged)
    speaking = [c.id for c, answer in judged if answer.outcome == "yes" and not c.dry_run]
    if not speaking:
        return Decision("hold", None, outcomes, f"stays champion: {_champion_words(outcomes)}")
    because = ", ".join(speaking)
    frozen = () if block.through_freeze else tuple(_frozen(policy, facts, now, "production"))
    if frozen:
        return Decision("hold", None, (*outcomes, *frozen), f"would roll back ({because}), but is frozen")
    if facts.last_good is None:
        return Decision("hold", None, outcomes, f"would roll back ({because}), but there is no version to go back to")
    return Decision("rollback", None, outcomes, f"roll back to v{facts.last_good}: {because}", target=facts.last_good)


def _champion_words(outcomes: Sequence[ConditionOutcome]) -> str:
    unknown = _why(outcomes, "unknown")
    return f"unknown: {unknown}" if unknown else "no condition of rollback holds"


def _running(condition: Condition, watch: int, policy: Policy, facts: Facts, now: dt.datetime) -> Answer:
    """Whether a condition of rollback held on each of the last `for` scored drops."""
    if facts.watched is None:
        return Answer("unknown", f"no live figures of v{facts.version} yet")
    if condition.kind == "worse" and len(facts.watched) > watch:
        return Answer("not_needed", f"the watch of {count(watch, 'drop')} is over")
    n = condition.for_.drops
    newest = facts.watched[-n:]
    if len(newest) < n:
        return Answer("wait", f"{len(newest)} of {count(n, 'scored drop')}", drops=n - len(newest))
    answers = [_on_drop(condition, drop, policy, facts, now) for drop in newest]
    held = sum(a.outcome == "yes" for a in answers)
    worst = all_of(answers, "drop")
    return worst._replace(words=f"{answers[-1].words}; {held} of {count(n, 'drop')} running", until=None)


def _on_drop(condition: Condition, drop: Comparison, policy: Policy, facts: Facts, now: dt.datetime) -> Answer:
    question = Question(facts, now, "rollback", None, drop, policy.meaning)
    return judge(condition.kind, condition.asks, question, lenient_first=False)


# ---- what would have changed it ----


def counterfactuals(policy: Policy, facts: Facts, now: dt.datetime) -> tuple[Counterfactual, ...]:
    """What would have let a candidate through, smallest first: the model's figures, the policy's numbers, a person.

    Exact, because all-of has one smallest set of reasons: the conditions that failed. A condition without a distance
    (significance, drift, an unknown) says so instead of guessing.
    """
    if facts.stage == "production":
        return ()
    decision, asked = _candidate(policy, facts, now)
    if decision.verdict in ("promote", "superseded"):
        return ()
    failing = [a for a in asked if a.counts and a.answer.outcome in ("no", "unknown", "wait")]
    failing.sort(key=_distance)
    out = [c for a in failing for c in _of_model(a)]
    out += [_of_policy(a, failing) for a in failing if a.answer.outcome == "no"]
    if decision.verdict in ("reject", "gave_up", "blocked") or any(a.answer.outcome == "no" for a in failing):
        out.append(Counterfactual("person", "", "only by force, with a reason; an approval never overrules a no"))
    return tuple(out)


def _distance(asked: _Asked) -> float:
    """How far, relative to the limit; what has no distance comes last."""
    margin, limit = asked.answer.margin, asked.answer.limit
    if margin is None or asked.answer.outcome == "unknown":
        return float("inf")
    return abs(margin) / abs(limit) if limit else abs(margin)


def _of_model(asked: _Asked) -> Iterator[Counterfactual]:
    name, answer = str(asked.condition.id), asked.answer
    if answer.outcome == "no":
        yield Counterfactual("model", name, answer.figure or f"no figure to reach: {answer.words}")
    else:
        yield Counterfactual("fact", name, f"{'waits' if answer.outcome == 'wait' else 'is unknown'}: {answer.words}")


def _of_policy(asked: _Asked, failing: Sequence[_Asked]) -> Counterfactual:
    name, parameter = str(asked.condition.id), asked.answer.parameter
    others = [str(a.condition.id) for a in failing if a is not asked]
    if not parameter:
        return Counterfactual("policy", name, f"no parameter of {asked.condition.kind} lets it through")
    alone = f" alone changes nothing, {', '.join(others)} would still hold it back" if others else ""
    return Counterfactual("policy", name, f"{parameter}{alone}")
