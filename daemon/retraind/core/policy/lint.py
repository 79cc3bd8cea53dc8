"""Checks a well-formed policy for sense: what can never be reached, what rubber-stamps, what will surprise.

`refuse` keeps a file out of force; `note` is shown and lets it in. What depends on how often drops come is checked at the
site's cadence, and left out where nobody said one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from retraind.core.binding import Mistake, Mistakes, Path, nearest
from retraind.core.figures import ITEM_AGE
from retraind.core.policy.answers import MIN_DATES, horizons_of
from retraind.core.policy.comparing import Figure, Slices
from retraind.core.policy.decision import scored_drop_days
from retraind.core.policy.document import (
    LISTS,
    Condition,
    LoadedPolicy,
    Policy,
    Window,
    bind_policy,
    conditions,
    glob_weight,
)
from retraind.core.policy.logged import Named, meant, named
from retraind.core.policy.readiness import Fresh, Soak
from retraind.core.policy.terms import PERCENT_METRICS, PLACES, Place, count
from retraind.core.settings import Contract
from retraind.core.units import Span

__all__ = ["Finding", "Outlook", "Site", "accept", "lint", "outlook", "overlap", "refusals", "ties"]

WEEK = 7 * 1440
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Finding:
    """One thing that does not make sense."""

    path: Path
    severity: Literal["refuse", "note"]
    problem: str
    remedy: str = ""

    @property
    def mistake(self) -> Mistake:
        """The same as the loader tells it."""
        return Mistake(self.path, self.problem, self.remedy)


@dataclass(frozen=True)
class Site:
    """What the linter may know of the site; None where it is not known, and the checks that need it are left out."""

    cadence: Span | None = None
    """How often drops come."""
    models: tuple[str, ...] | None = None
    horizons: tuple[int, ...] | None = None
    clock: Literal["wall", "data"] | None = None
    folds: int | None = None
    """`search.folds`."""
    contract: Contract | None = None


def lint(policy: Policy, cadence: Span | None = None, site: Site | None = None) -> list[Finding]:
    """Everything that does not make sense in `policy`, at `cadence` (or the site's)."""
    site = site or Site(cadence)
    return [finding for check in _CHECKS for finding in check(policy, site)]


def refusals(findings: Sequence[Finding]) -> list[Mistake]:
    """Those that keep the file out of force."""
    return [f.mistake for f in findings if f.severity == "refuse"]


# ---- walking ----


def _each(policy: Policy, *places: Place) -> Iterator[tuple[Place, Path, Condition]]:
    for place in places or PLACES:
        for i, condition in enumerate(conditions(policy, place)):
            yield place, (place, LISTS[place], i), condition


def _live(condition: Condition) -> bool:
    return getattr(condition.asks, "measured", None) == "live"


def _live_days(condition: Condition, cadence: Span) -> int:
    """Days after a version's entry until its figures have the dates it needs, told by the drop that brings the last."""
    asks = condition.asks
    horizons = horizons_of(asks)
    dates = getattr(asks, "min_dates", None) or (MIN_DATES["live"] if condition.kind in ("better", "no_worse") else 1)
    if condition.kind == "samples":
        horizons, dates = (1,), asks.dates or 1
    step = max(1, cadence.seconds // 86400)
    return -(-(max(horizons) + dates - 1) // step) * step


def _soak_days(policy: Policy, place: Place, cadence: Span | None) -> float:
    """The longest soak of a block, in days; the part that drops decide needs a cadence."""
    days = 0.0
    for _, _, condition in _each(policy, place):
        if isinstance(condition.asks, Soak) and not condition.dry_run:
            drops = condition.asks.drops * scored_drop_days(cadence) if cadence else 0
            days = max(days, drops, condition.asks.for_.seconds / 86400 if condition.asks.for_ else 0)
    return days


def _days(span: Span) -> float:
    return span.seconds / 86400


def _longest_freeze(policy: Policy) -> tuple[Window, float] | None:
    lengths = [(w, ((w.to - w.from_).days + 1)) for w in policy.freeze if w.from_ and w.to and "production" in w.stages]
    return max(lengths, key=lambda item: item[1], default=None)


# ---- checks ----


def _evidence(policy: Policy, _site: Site) -> Iterator[Finding]:
    asked = [c for _, _, c in _each(policy, "staging", "production") if c.kind in ("skill", "limit") and not c.dry_run]
    first_too = [c for c in asked if not _live(c) or policy.production.first == "as_any"]
    if not first_too:
        what = "asks for no skill and no limit" if not asked else "asks for skill or limit on live days only"
        yield Finding(("staging", "when"), "refuse", f"{what}, so a first version would be promoted unseen",
                      "add skill: {metric: wape, horizon: 1, measured: test, over: [persistence], at_least: 0%}")  # fmt: skip
    if not any(c.kind == "better" and not c.dry_run for _, _, c in _each(policy, "production")):
        for _, path, condition in _each(policy, "production"):
            if condition.kind == "significant":
                yield Finding((*path, "significant"), "refuse", "significant without better promotes a gain of nothing",
                              "add a better condition that says how much is worth having")  # fmt: skip


def _figures(policy: Policy, site: Site) -> Iterator[Finding]:
    for place, path, condition in _each(policy):
        asks, inside = condition.asks, (*path, condition.kind)
        if place == "staging" and _live(condition):
            yield Finding((*inside, "measured"), "refuse", "a version has no live figures before Staging",
                          "move it to production, or write measured: test")  # fmt: skip
        if isinstance(asks, Slices) and asks.only is not None and asks.may_fail >= len(asks.only):
            yield Finding((*inside, "may_fail"), "refuse", f"{count(len(asks.only), 'slice')} of which {asks.may_fail} "
                          "may fail asks for nothing", f"write may_fail: {len(asks.only) - 1} or less")  # fmt: skip
        limit = getattr(asks, "at_most", None)
        if condition.kind == "limit" and asks.metric in PERCENT_METRICS and limit is not None and limit <= 1:
            yield Finding((*inside, "at_most"), "note", f"at_most: {limit:g} means {limit:g} % {asks.metric}",
                          f"if you meant a share, write at_most: {limit * 100:g}")  # fmt: skip
        yield from _not_forecast((*inside, "horizon"), horizons_of(asks), site)


def _not_forecast(path: Path, horizons: Sequence[int], site: Site) -> Iterator[Finding]:
    unknown = [h for h in horizons if site.horizons is not None and h not in site.horizons]
    if unknown:
        yield Finding(path, "note", f"no model forecasts {', '.join(map(str, unknown))} days ahead, so this stays unknown",
                      f"horizons here: {', '.join(map(str, site.horizons or ()))}")  # fmt: skip


def _logged(policy: Policy, site: Site) -> Iterator[Finding]:
    """Numbers that no training logs. Notes: a trainer of somebody else may log what it likes."""
    for place, path, condition in _each(policy):
        if isinstance(condition.asks, Figure):
            name, inside = condition.asks.name, (*path, "figure", "name")
            what = named(name)
            if what is not None:
                yield from _out_of_reach(inside, what, site)
                # the champion's recipe in a search comes by here too, and that one is ranked: so it is not refused
                if place == "refresh" and what.ranks:
                    yield Finding(inside, "note", f"a refresh ranks nothing and logs no {name}, so this stays unknown",
                                  "move it to production, or ask with limit or skill, measured: test")  # fmt: skip
            elif instead := _asked_otherwise(name):
                yield Finding(inside, "note", f"{name} is no figure that a policy can name, so this stays unknown", instead)
            else:
                yield Finding(inside, "note", f"no training logs a number named {name}, so this stays unknown",
                              meant(name, site.horizons or (1, 7), site.folds or 1))  # fmt: skip


def _out_of_reach(path: Path, what: Named, site: Site) -> Iterator[Finding]:
    """A name that some training logs, but none here."""
    near = sorted(site.horizons or ())[:2]
    if what.horizon is not None:
        yield from _not_forecast(path, (what.horizon,), site)
        if what.near and what.horizon not in near and what.horizon in (site.horizons or ()):
            yield Finding(path, "note", "validation days are forecast at the two shortest horizons only, so this stays "
                          "unknown", f"those are {' and '.join(map(str, near))} days ahead")  # fmt: skip
    if what.fold is not None and site.folds is not None and what.fold > site.folds:
        yield Finding(path, "note", f"there is no fold {what.fold}, so this stays unknown",
                      f"training.search.folds here: {site.folds}")  # fmt: skip


def _asked_otherwise(name: str) -> str:
    """Which condition asks for what a training logs but `figure` does not know; empty for any other name."""
    if name.startswith("test_smape_"):  # no condition knows this metric
        return f"write name: {name.removeprefix('test_')}"
    if name.startswith("test_"):
        return "ask with limit (or better, against the champion), measured: test"
    return "ask with significant" if name.startswith("p_champion_") else ""


def _slices(policy: Policy, site: Site) -> Iterator[Finding]:
    """Slices that nothing is measured by."""
    columns = None if site.contract is None else (*site.contract.categories, ITEM_AGE)
    for _, path, condition in _each(policy):
        if not isinstance(condition.asks, Slices):
            continue
        by, inside = condition.asks.by, (*path, "slices", "by")
        told_by = _told_live_by(site.contract)
        if _live(condition) and (by not in told_by if site.contract else by == ITEM_AGE):
            ways = ["measured: test"] if columns is None or by in columns else []
            ways += [f"by: {column}" for column in told_by[:1]]
            what = f"by {' or '.join(told_by)} only" if told_by else "by a category column only"
            yield Finding(inside, "note", f"live figures are told {what}, so this stays unknown",
                          f"write {' or '.join(ways or [f'measured: test and by: {ITEM_AGE}'])}")  # fmt: skip
        elif not _live(condition) and columns is not None and by not in columns:
            yield Finding(inside, "note", f'"{by}" is no category column of the contract, so this stays unknown',
                          nearest(by, columns))  # fmt: skip


def _told_live_by(contract: Contract | None) -> tuple[str, ...]:
    """The column that live figures are told by; several where the first ones are optional, which may be absent."""
    found: list[str] = []
    for column, always in contract.categories.items() if contract else ():
        found.append(column)
        if always:
            break
    return tuple(found)


def _upside_down(policy: Policy, _site: Site) -> Iterator[Finding]:
    """Limits that let bad figures through, or roll good ones back."""
    for place, path, condition in _each(policy):
        if condition.kind != "limit":
            continue
        larger_is_better, bounded_above = condition.asks.metric == "r2", condition.asks.at_most is not None
        if (larger_is_better == bounded_above) == (place != "rollback"):
            key, other = ("at_most", "at_least") if bounded_above else ("at_least", "at_most")
            what = "lets only bad figures through" if place != "rollback" else "rolls back on good figures"
            yield Finding((*path, "limit", key), "refuse", f"{condition.asks.metric} {key} {what}", f"write {other}")


def _reachable(policy: Policy, site: Site) -> Iterator[Finding]:
    """Waits that end after the candidate was given up."""
    patience = policy.production.give_up_after
    for place, path, condition in _each(policy, "production", "refresh"):
        inside = (*path, condition.kind)
        at = f" at a drop every {site.cadence}" if site.cadence else ""
        if condition.kind == "soak":
            days = _soak_days_of(condition, site.cadence)
            if days >= _days(patience):
                yield Finding(inside, "refuse", f"takes {days:g} days{at}, but a candidate is given up after {patience}",
                              f"raise production's give_up_after over {days:g}d, or soak less")  # fmt: skip
        elif _live(condition) and site.cadence:
            days = _live_days(condition, site.cadence)
            if days >= _days(patience):
                yield Finding(inside, "refuse", f"live figures need {days:g} days{at}, but a candidate is given up "
                              f"after {patience}", "ask for a shorter horizon or fewer dates")  # fmt: skip
        if place == "refresh" and condition.kind == "approval":
            yield Finding(inside, "note", "a refresh that waits for a person comes as seldom as the person")


def _soak_days_of(condition: Condition, cadence: Span | None) -> float:
    asks = condition.asks
    drops = asks.drops * scored_drop_days(cadence) if cadence else 0
    return max(drops, _days(asks.for_) if asks.for_ else 0)


def _stale(policy: Policy, site: Site) -> Iterator[Finding]:
    freeze = _longest_freeze(policy)
    for place, path, condition in _each(policy, "staging", "production", "refresh"):
        within = condition.asks.trained_within if isinstance(condition.asks, Fresh) else None
        if within is None:
            continue
        inside = (*path, "fresh", "trained_within")
        places: tuple[Place, ...] = ("production", "refresh") if place == "staging" else (place,)
        soak = max(_soak_days(policy, p, site.cadence) for p in places)
        if _days(within) <= soak:
            yield Finding(inside, "refuse", f"{within} is over before the soak of {soak:g} days ends",
                          f"write more than {soak:g}d, or soak less")  # fmt: skip
        if freeze and _days(within) < freeze[1]:
            yield Finding(inside, "note", f"candidates go stale in the freeze {freeze[0].id} of {freeze[1]:g} days")


def _people(policy: Policy, _site: Site) -> Iterator[Finding]:
    freeze = _longest_freeze(policy)
    for _, path, condition in _each(policy, "production", "refresh"):
        if condition.kind == "approval" and freeze and _days(condition.asks.valid_for) < freeze[1]:
            yield Finding((*path, "approval", "valid_for"), "note",
                          f"approvals given before the freeze {freeze[0].id} of {freeze[1]:g} days are void after it")  # fmt: skip


def _rollback(policy: Policy, site: Site) -> Iterator[Finding]:
    if policy.rollback is None:
        yield Finding((), "note", "nothing rolls a bad champion back", "add a rollback block: see policies/examples")
        return
    watch = policy.rollback.watch.drops
    for _, path, condition in _each(policy, "rollback"):
        if condition.kind != "worse":
            continue
        need = condition.for_.drops
        if need > watch:
            yield Finding((*path, "for"), "refuse", f"{condition.for_} running cannot come within the watch of "
                          f"{count(watch, 'drop')}", f"write for: {watch} drops or less, or watch longer")  # fmt: skip
        elif site.cadence and _first_drop(condition, site.cadence) + need - 1 > watch:
            first = _first_drop(condition, site.cadence)
            yield Finding((*path, "worse", "horizon"), "refuse", f"the first figure {max(horizons_of(condition.asks))} "
                          f"days ahead comes with scored drop {first}, and {condition.for_} of them do not fit into "
                          f"the watch of {count(watch, 'drop')}",
                          f"watch at least {first + need - 1} drops, or ask for a shorter horizon")  # fmt: skip


def _first_drop(condition: Condition, cadence: Span) -> int:
    """Which scored drop after a promotion is the first to hold figures of its horizon."""
    pooled = scored_drop_days(cadence)
    return 1 + -(-(max(horizons_of(condition.asks)) - 1) // pooled)


def _windows(policy: Policy, site: Site) -> Iterator[Finding]:
    for stage in ("staging", "production"):
        shut = [False] * WEEK
        for window in policy.freeze:
            if stage in window.stages:
                _shut(window, shut)
        if all(shut):
            yield Finding(("freeze",), "refuse", f"no minute of the week is left open for {stage}",
                          "leave days or hours out")  # fmt: skip
    for i, window in enumerate(policy.freeze):
        if site.clock == "data" and window.between is not None:
            yield Finding(("freeze", i, "between"), "note", "hours mean nothing on the data clock: the window is void")
        if window.from_ and window.to and (window.to - window.from_).days + 1 >= _days(policy.production.give_up_after):
            yield Finding(("freeze", i), "note", f"lasts longer than give_up_after {policy.production.give_up_after}: "
                          "what waits in Staging when it begins may be given up when it ends")  # fmt: skip


def _shut(window: Window, minutes: list[bool]) -> None:
    if window.days is None or window.between is None:
        return
    start, end = (t.minutes for t in window.between)
    for day in window.days:
        first = _DAYS.index(day) * 1440
        for minute in range(first + start, first + (end if end > start else end + 1440)):
            minutes[minute % WEEK] = True


def _models(policy: Policy, site: Site) -> Iterator[Finding]:
    for i, glob in enumerate(policy.models):
        if site.models is not None and not any(fnmatchcase(model, glob) for model in site.models):
            yield Finding(("models", i), "note", f'"{glob}" fits no model of this site',
                          f"models here: {', '.join(site.models)}")  # fmt: skip


_CHECKS: tuple[Callable[[Policy, Site], Iterator[Finding]], ...] = (
    _evidence,
    _figures,
    _logged,
    _slices,
    _upside_down,
    _reachable,
    _stale,
    _people,
    _rollback,
    _windows,
    _models,
)


# ---- several policies ----


def overlap(one: str, other: str) -> bool:
    """Whether some name fits both globs (* and ?): walks both at once, a star standing still or eating a letter."""
    seen: set[tuple[int, int]] = set()
    todo = [(0, 0)]
    while todo:
        i, j = todo.pop()
        if (i, j) == (len(one), len(other)):
            return True
        if (i, j) in seen:
            continue
        seen.add((i, j))
        todo += _steps(one, other, i, j)
    return False


def _steps(one: str, other: str, i: int, j: int) -> Iterator[tuple[int, int]]:
    mine, theirs = one[i : i + 1], other[j : j + 1]
    if mine == "*":
        yield i + 1, j
    if theirs == "*":
        yield i, j + 1
    if mine == "*" and theirs:
        yield i, j + 1
    if theirs == "*" and mine:
        yield i + 1, j
    if mine and theirs and "*" not in (mine, theirs) and (mine == theirs or "?" in (mine, theirs)):
        yield i + 1, j + 1


def ties(policy: Policy, file: str, others: Sequence[LoadedPolicy]) -> list[Mistake]:
    """Why `policy` cannot stand beside those in force: the same name, or a model that two files claim as closely."""
    out = []
    for other in others:
        if other.file == file:
            continue
        if other.policy.id == policy.id:
            out.append(Mistake(("policy",), f"{other.file} is named {policy.id} too", "give this one another name"))
        for i, mine in enumerate(policy.models):
            for theirs in other.policy.models:
                if glob_weight(mine) == glob_weight(theirs) and overlap(mine, theirs):
                    out.append(Mistake(("models", i), f'"{mine}" ties with "{theirs}" of {other.file}',
                                       "one model, one policy: name the model more closely in one of them"))  # fmt: skip
    return out


def accept(
    value: object, file: str, sha256: str, others: Sequence[LoadedPolicy], site: Site
) -> tuple[LoadedPolicy, list[Finding]]:
    """The policy in a document's plain value, and the linter's notes on it. Raises Mistakes with all that refuses it."""
    policy = bind_policy(value)
    findings = lint(policy, site=site)
    mistakes = [*refusals(findings), *ties(policy, file, others)]
    if mistakes:
        raise Mistakes(mistakes)
    return LoadedPolicy(file, sha256, policy), [f for f in findings if f.severity == "note"]


# ---- how soon ----


@dataclass(frozen=True)
class Outlook:
    """How soon things can happen at a cadence, counted from the end of a training and from a promotion."""

    promotion: dt.timedelta
    rollback: dt.timedelta | None
    """None: nothing rolls back."""


def outlook(policy: Policy, cadence: Span) -> Outlook:
    """The earliest possible promotion and rollback, people and freeze windows left aside."""
    days = _soak_days(policy, "production", cadence)
    for _, _, condition in _each(policy, "production"):
        if _live(condition) and not condition.dry_run:
            days = max(days, _live_days(condition, cadence))
    rollbacks = [
        (_first_drop(c, cadence) + c.for_.drops - 1) * scored_drop_days(cadence)
        for _, _, c in _each(policy, "rollback")
        if not c.dry_run
    ]
    return Outlook(dt.timedelta(days=days), dt.timedelta(days=min(rollbacks)) if rollbacks else None)
