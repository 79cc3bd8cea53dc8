"""What `evaluate` decides: precedence, first versions, windows and limits, and what holds for any policy and any facts."""

# ruff: noqa: E501 (a row of a table is read as a row)

from __future__ import annotations

import copy
import datetime as dt
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_made import HORIZONS, NOW, candidate, example, good, made, plain, production, scores, staging, with_test
from retraind.core.binding import bind, unbind
from retraind.core.figures import RowSet, Scores, TargetResult
from retraind.core.policy.answers import horizons_of
from retraind.core.policy.decision import Decision, counterfactuals, evaluate, same_answer, scored_drop_days
from retraind.core.policy.document import Policy, bind_policy, conditions
from retraind.core.policy.facts import Comparison, Facts, Significance, Slice
from retraind.core.units import Span

DAY = dt.timedelta(days=1)
SHIPPED = ("price", "demand", "examples/price-conservative", "examples/demand-by-category", "examples/demand-fast")
RANK = {"reject": 0, "gave_up": 1, "hold": 2, "promote": 3}


def first(facts: Facts, **changes: Any) -> Facts:
    """The same candidate where there is no champion."""
    assert facts.result
    result = replace(facts.result, champion=None, champion_version=None)
    return replace(facts, champion=None, result=result, live=None, scored_drops=None, **changes)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_good_candidate_passes_every_shipped_policy(name: str) -> None:
    policy = example(name)
    facts = good(policy)
    assert evaluate(policy, replace(facts, stage="none", staged_at=None), NOW).to == "staging"
    decision = evaluate(policy, facts, NOW)
    assert (decision.verdict, decision.to) == ("promote", "production"), decision.words


@pytest.mark.parametrize("name", ["price", "demand"])
def test_the_shipped_policies_promote_a_first_version_that_has_skill_and_need_no_person(name: str) -> None:
    policy = example(name)
    fresh = first(good(), stage="none", staged_at=None)
    assert evaluate(policy, fresh, NOW).to == "staging"
    assert evaluate(policy, replace(fresh, stage="staging", staged_at=NOW), NOW).to == "production"


@pytest.mark.parametrize("name", SHIPPED)
def test_no_shipped_policy_promotes_a_first_version_that_loses_to_doing_nothing(name: str) -> None:
    facts = first(with_test(good(), scores(6.1, bias=0.0)), stage="none")
    decision = evaluate(example(name), facts, NOW)
    assert decision.verdict == "reject"
    assert "beats-doing-nothing" in decision.words


def test_production_asks_the_conditions_of_staging_again() -> None:
    decision = evaluate(example("price"), with_test(good(), scores(4.89)), NOW)
    assert decision.verdict == "reject"
    assert {c.block for c in decision.conditions} == {"staging", "production"}


def test_a_first_version_soaks_all_the_same_where_the_policy_says_as_any() -> None:
    lenient = production({"soak": {"drops": 2}})
    strict = production({"soak": {"drops": 2}}, first="as_any")
    facts = first(good())
    assert evaluate(lenient, facts, NOW).verdict == "promote"
    assert evaluate(strict, facts, NOW).verdict == "hold"
    assert evaluate(strict, replace(facts, scored_drops=2), NOW).verdict == "promote"


def test_a_refresh_goes_by_its_own_block_and_by_production_where_there_is_none() -> None:
    policy = example("examples/price-conservative")
    without = replace(policy, refresh=None)
    facts = replace(good(), kind="refresh", approvals=(), significance={})
    assert evaluate(policy, facts, NOW).verdict == "promote"
    assert evaluate(without, facts, NOW).verdict == "hold"
    assert evaluate(policy, first(facts), NOW).conditions[-1].block == "production"


# ---- precedence ----


def frozen_policy(*conditions: dict[str, Any], **blocks: Any) -> Policy:
    window = {
        "id": "audit",
        "why": "the books are open",
        "stages": ["production"],
        "from": "2026-12-01",
        "to": "2026-12-05",
    }
    when = [{"id": f"c{i}", **c} for i, c in enumerate(conditions)]
    return made(timezone="Asia/Shanghai", freeze=[window], production={"when": when, "give_up_after": "8w"}, **blocks)


NO: dict[str, Any] = {"figure": {"name": "shap_share", "at_most": 0}}
UNKNOWN: dict[str, Any] = {"figure": {"name": "nope", "at_most": 0}}
WAIT: dict[str, Any] = {"soak": {"drops": 99}}
YES: dict[str, Any] = {"figure": {"name": "shap_share", "at_most": 1}}
SOFT_NO: dict[str, Any] = {"drift": {"drifting_drops": {"at_most": 0, "of": 4}}}


@pytest.mark.parametrize(
    ("conditions", "verdict"),
    [
        ([YES], "promote"),
        ([YES, WAIT], "hold"),
        ([WAIT, UNKNOWN], "hold"),
        ([SOFT_NO, UNKNOWN, WAIT], "hold"),
        ([UNKNOWN, WAIT, NO], "reject"),
        ([SOFT_NO, NO], "reject"),
        ([{**NO, "dry_run": True}, YES], "promote"),
    ],
)
def test_a_no_speaks_over_an_unknown_over_a_wait(conditions: list[dict[str, Any]], verdict: str) -> None:
    decision = evaluate(production(*conditions), good(), NOW)
    assert decision.verdict == verdict
    assert decision.words


def test_an_active_freeze_speaks_over_a_no_and_a_block_over_the_freeze() -> None:
    policy = frozen_policy(NO)
    assert evaluate(policy, good(), NOW).verdict == "hold"
    assert evaluate(policy, good(), NOW + 4 * DAY).verdict == "reject"
    assert evaluate(policy, good(blocked="rolled back on 1 Dec"), NOW).verdict == "blocked"
    assert evaluate(policy, good(superseded_by=19), NOW).verdict == "superseded"


def test_a_freeze_says_until_when_and_holds_only_the_stage_it_names() -> None:
    policy = frozen_policy(YES)
    decision = evaluate(policy, good(), NOW)
    assert decision.earliest == dt.datetime(2026, 12, 6, tzinfo=ZoneInfo("Asia/Shanghai"))
    assert "the books are open" in decision.conditions[-1].words
    assert evaluate(policy, good(stage="none"), NOW).verdict == "promote"


def test_limits_hold_the_promotion_until_they_end() -> None:
    limits = {"promotions": {"at_most": 2, "per": "30d"}, "min_between": "24h"}
    policy = made(limits=limits)
    assert evaluate(policy, good(promotions=(NOW - 2 * DAY,)), NOW).verdict == "promote"
    lately = evaluate(policy, good(promotions=(NOW - DAY / 2,)), NOW)
    assert (lately.verdict, lately.earliest) == ("hold", NOW + DAY / 2)
    often = evaluate(policy, good(promotions=(NOW - 40 * DAY, NOW - 20 * DAY, NOW - 10 * DAY)), NOW)
    assert (often.verdict, often.earliest) == ("hold", NOW + 10 * DAY)
    assert evaluate(policy, good(stage="none", promotions=(NOW,)), NOW).verdict == "promote"


def test_a_rollback_cools_down_and_twice_as_long_the_second_time() -> None:
    policy = example("examples/demand-fast")
    facts = good()
    assert evaluate(policy, replace(facts, rollbacks=(NOW - 2 * DAY,)), NOW).verdict == "promote"
    once = evaluate(policy, replace(facts, rollbacks=(NOW - DAY / 2,)), NOW)
    assert (once.verdict, once.earliest) == ("hold", NOW + DAY / 2)
    twice = evaluate(policy, replace(facts, rollbacks=(NOW - 20 * DAY, NOW - DAY / 2)), NOW)
    assert (twice.verdict, twice.earliest) == ("hold", NOW + 1.5 * DAY)


def test_flying_blind_holds_promotions() -> None:
    policy = example("examples/price-conservative")
    assert evaluate(policy, good(policy, blind_drops=3), NOW).verdict == "promote"
    decision = evaluate(policy, good(policy, blind_drops=4), NOW)
    assert decision.verdict == "hold"
    assert "not-blind" in decision.words


def test_who_waits_too_long_is_given_up_but_not_when_it_would_pass() -> None:
    policy = production(WAIT, give_up_after="2w")
    assert evaluate(policy, good(), NOW - DAY / 2).verdict == "hold"
    assert evaluate(policy, good(), NOW).verdict == "gave_up"
    assert evaluate(production(YES, give_up_after="2w"), good(), NOW + DAY).verdict == "promote"


def test_a_dry_run_decides_the_same_and_moves_nothing() -> None:
    policy = example("price")
    would = evaluate(replace(policy, mode="dry_run"), good(), NOW)
    assert would == replace(evaluate(policy, good(), NOW), would=True)


# ---- windows ----


def at(text: str, zone: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def weekly(zone: str, days: list[str], start: str, end: str) -> Policy:
    window = {"id": "hours", "why": "w", "stages": ["production"], "days": days, "between": [start, end]}
    return made(timezone=zone, freeze=[window], production={"when": [{"id": "c", **YES}], "give_up_after": "8w"})


ALL = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


@pytest.mark.parametrize(
    ("zone", "days", "between", "moment", "shut"),
    [
        ("Asia/Shanghai", ALL, ("02:00", "08:00"), "2026-12-02T02:00", True),
        ("Asia/Shanghai", ALL, ("02:00", "08:00"), "2026-12-02T07:59", True),
        ("Asia/Shanghai", ALL, ("02:00", "08:00"), "2026-12-02T08:00", False),
        ("Asia/Shanghai", ["tue"], ("22:00", "06:00"), "2026-12-02T05:00", True),  # began on Tuesday
        ("Asia/Shanghai", ["wed"], ("22:00", "06:00"), "2026-12-02T05:00", False),
        ("Asia/Shanghai", ["wed"], ("12:00", "24:00"), "2026-12-02T23:59", True),
        ("Asia/Shanghai", ["wed"], ("12:00", "24:00"), "2026-12-03T00:00", False),
        # 29 March 2026: 02:00 becomes 03:00, so the window's start moves forward
        ("Europe/Berlin", ALL, ("02:30", "04:00"), "2026-03-29T03:15", False),
        ("Europe/Berlin", ALL, ("02:30", "04:00"), "2026-03-29T03:45", True),
        ("Europe/Berlin", ALL, ("01:00", "02:30"), "2026-03-29T03:15", True),
        # 25 October 2026: 02:00 to 03:00 comes twice and is inside both times
        ("Europe/Berlin", ALL, ("02:15", "02:45"), "2026-10-25T02:30", True),
        ("Europe/Berlin", ALL, ("02:15", "02:45"), "2026-10-25T02:30 again", True),
        ("Europe/Berlin", ALL, ("02:15", "02:45"), "2026-10-25T02:50 again", False),
    ],
)
def test_hours_are_the_zones_and_daylight_saving_moves_them_as_documented(
    zone: str, days: list[str], between: tuple[str, str], moment: str, *, shut: bool
) -> None:
    now = at(moment.removesuffix(" again"), zone).replace(fold=moment.endswith("again"))
    facts = good(trained_at=now, staged_at=now, newest_date=now.date())
    decision = evaluate(weekly(zone, days, *between), facts, now.astimezone(dt.UTC))
    assert decision.verdict == ("hold" if shut else "promote")
    assert (decision.earliest is not None) == shut


def test_on_the_data_clock_hours_are_void_and_dates_test_the_newest_date() -> None:
    now = at("2026-12-02T03:00", "Asia/Shanghai")
    facts = good(clock="data")
    assert evaluate(weekly("Asia/Shanghai", ALL, "02:00", "08:00"), facts, now).verdict == "promote"
    policy = frozen_policy(YES)
    assert evaluate(policy, replace(facts, newest_date=dt.date(2026, 11, 30)), now).verdict == "promote"
    assert evaluate(policy, replace(facts, newest_date=dt.date(2026, 12, 5)), now).verdict == "hold"
    assert evaluate(policy, replace(facts, newest_date=dt.date(2026, 12, 6)), now).verdict == "promote"


# ---- earliest ----


def test_the_earliest_promotion_is_after_the_soak_and_outside_the_window() -> None:
    policy = example("examples/demand-by-category")
    staged = at("2026-12-01T04:00", "Asia/Shanghai")
    now = staged + DAY / 4
    facts = good(staged_at=staged, trained_at=staged, scored_drops=1, newest_date=dt.date(2026, 11, 30))
    decision = evaluate(policy, facts, now)
    # the soak of 3 days and the second scored drop end on Friday at 04:00 and 10:00
    assert decision.earliest == now + 3 * DAY
    early = evaluate(policy, replace(facts, scored_drops=2), now)
    assert early.earliest == at("2026-12-04T08:00", "Asia/Shanghai")


def test_no_earliest_time_is_promised_where_people_or_unknowns_decide() -> None:
    policy = example("examples/price-conservative")
    assert evaluate(policy, good(), NOW).earliest is None
    unknown = evaluate(policy, good(policy, look_days=None), NOW)
    assert unknown.verdict == "hold"
    assert unknown.earliest is None
    nobody_knows_when_drops_come = good(policy, scored_drops=0, cadence=None)
    assert evaluate(policy, nobody_knows_when_drops_come, NOW).earliest is None


def test_no_earliest_time_beyond_the_end_of_patience() -> None:
    policy = production({"soak": {"drops": 3, "for": "40d"}}, give_up_after="30d")
    assert evaluate(policy, good(), NOW).earliest is None


@pytest.mark.parametrize(("cadence", "days"), [("24h", 3), ("26h", 3), ("2d", 4), ("3d", 3), ("7d", 7), ("8d", 8)])
def test_a_scored_drop_takes_three_target_dates(cadence: str, days: int) -> None:
    assert scored_drop_days(Span.parse(cadence)) == days


def test_a_decision_is_the_same_answer_while_only_numbers_move() -> None:
    policy = example("price")
    one = evaluate(policy, good(), NOW)
    moved = evaluate(policy, with_test(good(), scores(4.01)), NOW)
    assert one != moved
    assert same_answer(one, moved)
    assert not same_answer(one, evaluate(policy, with_test(good(), scores(4.9)), NOW))


def test_counterfactuals_come_smallest_first_and_end_with_a_person() -> None:
    policy = example("examples/price-conservative")
    facts = with_test(good(policy), scores(4.42))
    found = counterfactuals(policy, facts, NOW)
    assert found[0].what == "model"
    assert found[-1].what == "person"
    better = [c for c in found if c.condition == "better-at-a-week"]
    assert better[0].words == "WAPE 7 days ahead at most 4.312, that is 0.108 lower"
    assert "no parameter of better" in better[1].words
    assert counterfactuals(policy, good(policy), NOW) == ()


# ---- any policy, any facts ----

figures = st.one_of(
    st.none(), st.sampled_from([0.0, 3.9, 4.0, 4.4, 4.41, 5.0, 6.0, math.nan, math.inf, -2.0]), st.floats(0, 50)
)
digests = st.sampled_from(["rows", "rows", "rows", "rows", "other"])
METRICS = ("wape", "bias", "r2")


@st.composite
def any_scores(draw: st.DrawFn) -> Scores:
    dates = draw(st.sampled_from([0, 2, 13, 14, 29, 30, 60, 200]))
    digest = draw(digests)
    known = draw(st.sampled_from([HORIZONS, HORIZONS, (1, 7)]))
    rows = {f"h{h}": RowSet(dates * 40, dates, f"{digest}{h}") for h in known}
    values = {m: {f"h{h}": draw(figures) for h in known} for m in METRICS}
    return Scores(rows, values)


@st.composite
def any_comparison(draw: st.DrawFn) -> Comparison:
    maybe = st.one_of(st.none(), any_scores())
    return Comparison(
        draw(maybe), draw(maybe), draw(st.sampled_from([None, 9, 9, 11])),
        draw(st.dictionaries(st.sampled_from(["persistence", "seasonal_naive"]), any_scores())), draw(maybe), 15,
    )  # fmt: skip


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    made_candidate = candidate(draw(any_scores()), **draw(st.dictionaries(st.just("shap_share"), st.floats(0, 1))))
    comparison = draw(any_comparison())
    result = TargetResult(
        "price", "price", (made_candidate,), comparison.baselines, comparison.champion_version, comparison.champion
    )
    ago = st.one_of(st.none(), st.integers(0, 90).map(lambda d: NOW - d * DAY))
    slices = st.builds(Slice, st.one_of(st.none(), any_scores()), st.one_of(st.none(), any_scores()))
    columns = st.dictionaries(st.just("category_name"), st.dictionaries(st.sampled_from(["a", "b", "Cabbage"]), slices))
    drops = st.one_of(st.none(), st.lists(any_comparison(), max_size=4).map(tuple))
    p = st.builds(Significance, st.sampled_from([None, 0.0002, 0.2, math.nan]), st.sampled_from([20, 121]))
    return Facts(
        "price", 18, draw(st.sampled_from([None, 9, 9, 9])),
        draw(st.sampled_from(["none", "staging", "staging", "production", "archived"])),
        draw(st.sampled_from(["search", "refresh"])),
        draw(st.sampled_from([made_candidate, made_candidate, made_candidate, None])),
        draw(st.sampled_from([result, result, result, None])),
        trained_at=draw(ago), newest_date=draw(st.sampled_from([None, dt.date(2026, 12, 1), dt.date(2026, 11, 1)])),
        overdue=draw(st.sampled_from(["", "", "", "no drop for 3 d"])), cadence=draw(st.sampled_from([None, Span(93600)])),
        staged_at=draw(ago), scored_drops=draw(st.sampled_from([None, 0, 3, 9])),
        live=draw(st.one_of(st.none(), any_comparison())), test_slices=draw(columns),
        significance={"wape.h1": draw(p), "wape.h7": draw(p)}, look_days=draw(st.sampled_from([None, 0.0, 7.0, 90.0])),
        drift=tuple(draw(st.lists(st.sampled_from([True, False, False, None]), max_size=4))),
        promotions=tuple(draw(st.lists(st.integers(0, 40).map(lambda d: NOW - d * DAY), max_size=3))),
        blind_drops=draw(st.sampled_from([0, 0, 5])), watched=draw(drops),
        last_good=draw(st.sampled_from([None, 15])),
    )  # fmt: skip


test_metric = st.sampled_from(["wape", "bias"])
horizon = st.sampled_from([1, 7, [1, 7], [1, 7, 14, 30]])
percent = st.sampled_from(["0%", "1%", "5%", "20%"])
measured = st.sampled_from(["test", "test", "live"])
than = {"than": st.just("champion")}
CONDITIONS = st.one_of(
    st.fixed_dictionaries({"limit": st.fixed_dictionaries({"metric": test_metric, "horizon": horizon, "measured": measured, "at_most": st.sampled_from([2, 5, 40])})}),
    st.fixed_dictionaries({"skill": st.fixed_dictionaries({"metric": st.just("wape"), "horizon": horizon, "measured": measured, "over": st.sampled_from([["persistence"], ["persistence", "seasonal_naive"]]), "at_least": percent})}),
    st.fixed_dictionaries({"better": st.fixed_dictionaries({"metric": st.sampled_from(METRICS), "horizon": horizon, "measured": measured, **than, "by": st.one_of(percent, st.sampled_from([0, 0.1]))})}),
    st.fixed_dictionaries({"no_worse": st.fixed_dictionaries({"metric": st.sampled_from(METRICS), "horizon": horizon, "measured": measured, **than, "within": st.one_of(percent, st.sampled_from([0, 0.1]))})}),
    st.fixed_dictionaries({"significant": st.fixed_dictionaries({"metric": st.just("wape"), "horizon": st.sampled_from([1, 7]), "measured": st.just("test"), **than, "alpha": st.sampled_from([0.01, 0.2])})}),
    st.fixed_dictionaries({"samples": st.fixed_dictionaries({"measured": measured, "dates": st.sampled_from([1, 30])})}),
    st.fixed_dictionaries({"slices": st.fixed_dictionaries({"by": st.just("category_name"), "metric": st.just("wape"), "horizon": st.sampled_from([1, [1, 7]]), "measured": st.just("test"), **than, "within": percent, "min_dates": st.sampled_from([1, 30]), "small": st.sampled_from(["hold", "skip"]), "may_fail": st.sampled_from([0, 1])})}),
    st.fixed_dictionaries({"fresh": st.fixed_dictionaries({"trained_within": st.sampled_from(["1d", "7w"]), "data_within": st.sampled_from(["1d", "10d"])})}),
    st.fixed_dictionaries({"drift": st.fixed_dictionaries({"drifting_drops": st.sampled_from([{"at_most": 0, "of": 1}, {"at_most": 1, "of": 3}])})}),
    st.fixed_dictionaries({"soak": st.fixed_dictionaries({"drops": st.sampled_from([1, 4])})}),
    st.fixed_dictionaries({"figure": st.fixed_dictionaries({"name": st.just("shap_share"), "at_most": st.sampled_from([0.2, 1])})}),
)  # fmt: skip


@st.composite
def any_policy(draw: st.DrawFn) -> Policy:
    if draw(st.integers(0, 3)) == 0:
        return example(draw(st.sampled_from(SHIPPED)))
    when = [{"id": f"c{i}", **c} for i, c in enumerate(draw(st.lists(CONDITIONS, min_size=1, max_size=3)))]
    blocks: dict[str, Any] = {"production": {"when": when, "give_up_after": draw(st.sampled_from(["2w", "20w"]))}}
    if draw(st.booleans()):
        blocks["rollback"] = draw(st.sampled_from(ROLLBACKS))
    return bind_policy(plain(**blocks))


ROLLBACKS = [
    {
        "to": "last_good", "watch": "4 drops", "cooldown": "7d", "blind_after": "3 drops",
        "when_any": [{"id": "r", "for": f"{n} drops", **kind}],
    }
    for n in (1, 2)
    for kind in (
        {"worse": {"metric": "wape", "horizon": 1, "measured": "live", "than": "previous", "by": "10%"}},
        {"skill": {"metric": "wape", "horizon": 1, "measured": "live", "over": ["persistence", "seasonal_naive"], "at_most": "0%"}},
        {"limit": {"metric": "wape", "horizon": [1, 7], "measured": "live", "at_least": 5}},
    )
]  # fmt: skip
EXAMPLES = 40


@settings(max_examples=EXAMPLES, deadline=None)
@given(any_policy(), any_facts())
def test_every_policy_gives_every_facts_a_decision_with_reasons(policy: Policy, facts: Facts) -> None:
    decision = evaluate(policy, facts, NOW)
    assert decision.words
    assert all(c.words and "None" not in c.words for c in decision.conditions), decision
    assert (decision.verdict == "promote") == (decision.to is not None)
    assert (decision.verdict == "rollback") == (decision.target is not None)
    if decision.verdict == "promote":
        assert all(c.outcome in ("yes", "not_needed") for c in decision.conditions if not c.dry_run)
    if decision.verdict == "reject":
        assert any(c.outcome == "no" for c in decision.conditions)
    if decision.earliest is not None:
        assert decision.verdict == "hold"
        assert decision.earliest > NOW
    counterfactuals(policy, facts, NOW)


@settings(max_examples=EXAMPLES, deadline=None)
@given(any_policy(), any_facts())
def test_the_journaled_facts_give_the_same_decision_to_the_letter(policy: Policy, facts: Facts) -> None:
    journaled = json.loads(json.dumps(unbind(facts)))
    assert evaluate(policy, bind(Facts, journaled), NOW) == evaluate(policy, facts, NOW)


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every figure and fact that may be absent: numbers and whole parts that can be None."""
    if path == ("champion",) or (path and path[0] in ("blind_drops", "promotions", "kind", "stage", "clock")):
        return
    if path and path[-1] in ("previous_version", "version", "cadence", "wall", "superseded_by"):
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
        if path in (("candidate",), ("result",), ("live",), ("result", "champion")):
            yield path
    elif isinstance(value, list) and path[0] != "result" and path[0] != "candidate":
        for i, inner in enumerate(value):
            yield from leaves(inner, (*path, i))
    elif "values" in path or path[-1] in (
        "adjusted", "look_days", "shap_share", "trained_at", "newest_date", "staged_at", "scored_drops",
    ) or path[0] == "drift":  # fmt: skip
        yield path


def without(value: Any, path: tuple[str | int, ...], put: float | None) -> Any:
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = put
    return changed


@settings(max_examples=EXAMPLES, deadline=None)
@given(any_policy(), any_facts(), st.data())
def test_taking_any_figure_away_never_promotes_and_never_rolls_back(
    policy: Policy, facts: Facts, data: st.DataObject
) -> None:
    before = evaluate(policy, facts, NOW)
    whole = unbind(facts)
    paths = list(leaves(whole))
    if not paths:
        return
    path = data.draw(st.sampled_from(paths))
    after = evaluate(policy, bind(Facts, without(whole, path, None)), NOW)
    for verdict in ("promote", "rollback"):
        assert before.verdict == verdict or after.verdict != verdict, path


def asked_figures(policy: Policy) -> Iterator[tuple[str, str, str]]:
    """(condition, metric, horizon) of each test figure that a policy asks for."""
    for place in ("staging", "production"):
        for condition in conditions(policy, place):
            if getattr(condition.asks, "measured", "") == "test" and condition.kind in (
                "skill",
                "better",
                "no_worse",
                "limit",
            ):
                for h in horizons_of(condition.asks):
                    yield str(condition.id), condition.asks.metric, f"h{h}"


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("put", [None, math.nan, math.inf, -math.inf])
def test_a_figure_that_is_no_number_holds_and_names_the_condition(name: str, put: float | None) -> None:
    policy = example(name)
    facts = good(policy)
    assert facts.candidate
    asked = list(asked_figures(policy))
    assert asked
    for condition, metric, key in asked:
        values = {**facts.candidate.test.values, metric: {**facts.candidate.test.values[metric], key: put}}
        decision = evaluate(policy, with_test(facts, replace(facts.candidate.test, values=values)), NOW)
        assert decision.verdict == "hold"
        assert condition in [c.id for c in decision.conditions if c.outcome == "unknown"]


def improved(facts: Facts, data: st.DataObject) -> Facts:
    """The same facts with a better candidate: one figure nearer to perfect."""
    assert facts.candidate
    metric = data.draw(st.sampled_from(METRICS))
    key = f"h{data.draw(st.sampled_from(HORIZONS))}"
    share = data.draw(st.floats(0, 1))

    def nearer(scored: Scores | None) -> Scores | None:
        value = scored.values.get(metric, {}).get(key) if scored else None
        if scored is None or value is None or not math.isfinite(value):
            return scored
        better = (
            value + (1 - value) * share if metric == "r2" and value < 1 else value * share if metric != "r2" else value
        )
        return replace(scored, values={**scored.values, metric: {**scored.values[metric], key: better}})

    test = nearer(facts.candidate.test)
    assert test
    live = replace(facts.live, own=nearer(facts.live.own)) if facts.live else None
    slices = {c: {v: replace(s, own=nearer(s.own)) for v, s in parts.items()} for c, parts in facts.test_slices.items()}
    return replace(facts, candidate=replace(facts.candidate, test=test), live=live, test_slices=slices)


@settings(max_examples=EXAMPLES, deadline=None)
@given(any_policy(), any_facts().filter(lambda f: f.candidate is not None and f.stage != "production"), st.data())
def test_a_better_candidate_is_never_treated_worse(policy: Policy, facts: Facts, data: st.DataObject) -> None:
    before = evaluate(policy, facts, NOW)
    after = evaluate(policy, improved(facts, data), NOW)
    if before.verdict in RANK:
        assert RANK[after.verdict] >= RANK[before.verdict]


def test_facts_that_nobody_collected_hold_and_never_promote() -> None:
    nothing = Facts("price", 18, 9)
    for name in SHIPPED:
        for stage in ("none", "staging"):
            decision: Decision = evaluate(example(name), replace(nothing, stage=stage), NOW)
            assert decision.verdict == "hold"
            assert decision.earliest is None


def test_a_condition_of_staging_needs_no_champion() -> None:
    policy = staging(
        {"samples": {"measured": "test", "dates": 30}},
        {"limit": {"metric": "wape", "horizon": 1, "measured": "test", "at_most": 5}},
    )
    assert evaluate(policy, first(good(), stage="none"), NOW).verdict == "promote"
