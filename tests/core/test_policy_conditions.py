"""Every kind of condition, with each outcome it can have."""

# ruff: noqa: E501 (a row of a table is read as a row)

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from policy_made import NOW, approval, candidate, example, good, made, production, scores, staging, with_test
from retraind.core.events import ConditionOutcome
from retraind.core.figures import Scores
from retraind.core.policy.comparing import accrued_alpha
from retraind.core.policy.conditions import KINDS
from retraind.core.policy.decision import Decision, counterfactuals, evaluate
from retraind.core.policy.document import bind_policy, unbind_policy
from retraind.core.policy.facts import Comparison, Facts, Significance, Slice
from retraind.core.units import Span

DAY = dt.timedelta(days=1)


def asked(condition: dict[str, Any], facts: Facts, now: dt.datetime = NOW) -> ConditionOutcome:
    """The outcome of one condition of production (of rollback, when the version is champion)."""
    if facts.stage == "production":
        block = {"when_any": [{"id": "c0", **condition}], "to": "last_good", "watch": "6 drops", "cooldown": "7d"}
        decision = evaluate(made(rollback=block), facts, now)
    else:
        decision = evaluate(production(condition), facts, now)
    return next(c for c in decision.conditions if c.id == "c0")


def says(condition: dict[str, Any], facts: Facts) -> str:
    return asked(condition, facts).outcome


LIMIT = {"metric": "bias", "horizon": [1, 7], "measured": "test", "at_most": 8}
SKILL = {"metric": "wape", "horizon": [1, 7], "measured": "test", "over": ["persistence"], "at_least": "5%"}
BETTER = {"metric": "wape", "horizon": 7, "measured": "test", "than": "champion", "by": "1%"}
NO_WORSE = {"metric": "wape", "horizon": [1, 7], "measured": "test", "than": "champion", "within": "1%"}
LIVE_NO_WORSE = {**NO_WORSE, "measured": "live", "min_dates": 7}
SIGNIFICANT = {"metric": "wape", "horizon": 7, "measured": "test", "than": "champion", "alpha": 0.05}
SLICES = {
    "by": "category_name", "metric": "wape", "horizon": 1, "measured": "test", "than": "champion", "within": "2%",
    "min_dates": 30, "small": "hold",
}  # fmt: skip
LIVE_SLICES = {**SLICES, "measured": "live"}


def own(wape: float | None, **more: Any) -> Facts:
    """The good candidate with another WAPE."""
    return with_test(good(), scores(wape, bias=1.0, r2=0.95, **more))


def against(wape: float | None, **more: Any) -> Facts:
    """The good candidate against another champion."""
    return with_test(good(), scores(4.0, bias=1.0), champion=scores(wape, bias=1.0, **more))


def live(own_wape: float | None, other: float | None, dates: int = 20, other_digest: str = "live") -> Facts:
    return good(
        live=Comparison(
            scores(own_wape, digest="live", dates=dates), scores(other, digest=other_digest, dates=dates), 9
        )
    )


def sliced(**parts: Slice) -> Facts:
    return good(test_slices={"category_name": parts})


def live_by(**parts: Slice) -> Facts:
    found = good().live
    assert found
    return good(live=replace(found, slices={"category_name": parts}))


def part(wape: float | None, champion: float | None, dates: int = 60) -> Slice:
    return Slice(scores(wape, dates=dates), scores(champion, dates=dates))


NAN = float("nan")

TABLE: list[tuple[str, dict[str, Any], Facts, str]] = [
    ("a figure at its limit holds", {"limit": {**LIMIT, "at_most": 1}}, good(), "yes"),
    ("bias counts by its absolute value", {"limit": LIMIT}, with_test(good(), scores(4.0, bias=-9.0)), "no"),
    ("a limit on a figure that is missing", {"limit": LIMIT}, with_test(good(), scores(4.0)), "unknown"),
    ("a limit on NaN", {"limit": LIMIT}, with_test(good(), scores(4.0, bias=NAN)), "unknown"),
    ("a limit on infinity", {"limit": LIMIT}, with_test(good(), scores(4.0, bias=float("inf"))), "unknown"),
    ("a floor", {"limit": {"metric": "r2", "horizon": 1, "measured": "test", "at_least": 0.9}}, good(), "yes"),
    ("under the floor", {"limit": {"metric": "r2", "horizon": 1, "measured": "test", "at_least": 0.96}}, good(), "no"),
    ("a live limit before any live day", {"limit": {**LIMIT, "measured": "live"}}, good(live=Comparison(scores(4.0, dates=0))), "wait"),
    ("a live limit that nobody scores", {"limit": {**LIMIT, "measured": "live"}}, good(live=None), "unknown"),
    ("skill over a weaker baseline", {"skill": SKILL}, good(), "yes"),
    ("skill just at its floor", {"skill": {**SKILL, "at_least": "10%"}}, with_test(good(), scores(4.41)), "yes"),
    ("skill just short", {"skill": {**SKILL, "at_least": "10%"}}, own(4.42), "no"),
    ("skill over each baseline, one of which wins", {"skill": {**SKILL, "over": ["seasonal_naive", "persistence"]}}, own(5.0), "no"),
    ("skill over a baseline that was not scored", {"skill": SKILL}, with_test(good(), scores(4.0), baselines={}), "unknown"),
    ("skill on other rows", {"skill": SKILL}, with_test(good(), scores(4.0, digest="other")), "unknown"),
    ("skill over a perfect baseline", {"skill": SKILL}, with_test(good(), scores(4.0), baselines={"persistence": scores(0.0)}), "unknown"),
    ("skill over a baseline next to zero", {"skill": SKILL}, with_test(good(), scores(4.0), baselines={"persistence": scores(5e-324)}), "unknown"),
    ("skill over a baseline near zero", {"skill": SKILL}, with_test(good(), scores(4.0), baselines={"persistence": scores(1e-300)}), "no"),
    ("better than next to zero", {"better": BETTER}, against(5e-324), "unknown"),
    ("better than nearly nothing", {"better": {**BETTER, "by": "20%"}}, against(1e-300), "no"),
    ("better than astronomical", {"better": {**BETTER, "by": 1e300}}, with_test(good(), scores(9e307), champion=scores(9.1e307)), "yes"),
    ("better by more than asked", {"better": BETTER}, good(), "yes"),
    ("better by exactly what is asked", {"better": BETTER}, with_test(good(), scores(0.99), champion=scores(1.0)), "yes"),
    ("better, but not by enough", {"better": BETTER}, own(4.37), "no"),
    ("better by an amount of the metric", {"better": {**BETTER, "by": 0.3}}, good(), "yes"),
    ("not by that amount", {"better": {**BETTER, "by": 0.5}}, good(), "no"),
    ("better in r2 is larger", {"better": {**BETTER, "metric": "r2", "by": 0.01}}, good(), "yes"),
    ("better in bias is nearer to zero", {"better": {**BETTER, "metric": "bias", "by": 0.4}}, good(), "yes"),
    ("better than zero, relatively", {"better": BETTER}, against(0.0), "unknown"),
    ("better than a missing figure", {"better": BETTER}, against(None), "unknown"),
    ("better, itself missing", {"better": BETTER}, own(None), "unknown"),
    ("better than nobody compared with", {"better": BETTER}, with_test(good(), scores(4.0), champion=None), "unknown"),
    ("better than the champion of yesterday", {"better": BETTER}, good(champion=11), "unknown"),
    ("better on other rows", {"better": BETTER}, against(4.4, digest="other"), "unknown"),
    ("better on too few dates", {"better": BETTER}, with_test(good(), scores(4.0, dates=13), champion=scores(4.4, dates=13)), "unknown"),
    ("better on enough dates", {"better": BETTER}, with_test(good(), scores(4.0, dates=14), champion=scores(4.4, dates=14)), "yes"),
    ("better than nobody, in a first version", {"better": BETTER}, good(champion=None), "not_needed"),
    ("equal is no worse", {"no_worse": {**NO_WORSE, "within": "0%"}}, against(4.0), "yes"),
    ("a little worse", {"no_worse": NO_WORSE}, own(4.44), "yes"),
    ("too much worse", {"no_worse": NO_WORSE}, own(4.45), "no"),
    ("worse by an amount", {"no_worse": {**NO_WORSE, "within": 0.1}}, own(4.51), "no"),
    ("live, no worse", {"no_worse": LIVE_NO_WORSE}, good(), "yes"),
    ("live, too few dates", {"no_worse": LIVE_NO_WORSE}, live(4.0, 4.1, dates=6), "wait"),
    ("live, worse", {"no_worse": LIVE_NO_WORSE}, live(4.3, 4.1), "no"),
    ("live, missing", {"no_worse": LIVE_NO_WORSE}, live(None, 4.1), "unknown"),
    ("live, other rows", {"no_worse": LIVE_NO_WORSE}, live(4.0, 4.1, other_digest="other"), "unknown"),
    ("live, first version", {"no_worse": LIVE_NO_WORSE}, good(champion=None, live=None), "not_needed"),
    ("significant", {"significant": SIGNIFICANT}, good(), "yes"),
    ("by chance", {"significant": SIGNIFICANT}, good(significance={"wape.h7": Significance(0.01, 121, 4)}), "no"),
    ("no p-value", {"significant": SIGNIFICANT}, good(significance={}), "unknown"),
    ("p is NaN", {"significant": SIGNIFICANT}, good(significance={"wape.h7": Significance(NAN, 121)}), "unknown"),
    ("p on 29 dates", {"significant": SIGNIFICANT}, good(significance={"wape.h7": Significance(0.0001, 29)}), "unknown"),
    ("p that is not calibrated", {"significant": SIGNIFICANT}, good(significance={"wape.h7": Significance(0.0001, 121, 4, calibrated=False)}), "unknown"),
    ("p of another champion", {"significant": SIGNIFICANT}, good(champion=11), "unknown"),
    ("no look is known", {"significant": SIGNIFICANT}, good(look_days=None), "unknown"),
    ("looked at a moment ago", {"significant": SIGNIFICANT}, good(look_days=0.0), "no"),
    ("significant, first version", {"significant": SIGNIFICANT}, good(champion=None), "not_needed"),
    ("enough samples", {"samples": {"measured": "test", "dates": 121, "rows": 9874}}, good(), "yes"),
    ("too few dates", {"samples": {"measured": "test", "dates": 122}}, good(), "no"),
    ("too few rows", {"samples": {"measured": "test", "dates": 10, "rows": 9875}}, good(), "no"),
    ("samples of nothing", {"samples": {"measured": "test", "dates": 1}}, good(candidate=None), "unknown"),
    ("live samples come", {"samples": {"measured": "live", "dates": 21}}, good(), "wait"),
    ("live samples came", {"samples": {"measured": "live", "dates": 20}}, good(), "yes"),
    ("every slice", {"slices": SLICES}, sliced(a=part(4.0, 4.1), b=part(4.1, 4.1)), "yes"),
    ("one slice worse", {"slices": SLICES}, sliced(a=part(4.0, 4.1), b=part(4.3, 4.1)), "no"),
    ("one slice worse may be", {"slices": {**SLICES, "may_fail": 1}}, sliced(a=part(4.0, 4.1), b=part(4.3, 4.1)), "yes"),
    ("two slices worse may not", {"slices": {**SLICES, "may_fail": 1}}, sliced(a=part(4.5, 4.1), b=part(4.3, 4.1)), "no"),
    ("may_fail forgives no unknown", {"slices": {**SLICES, "may_fail": 1}}, sliced(a=part(4.0, 4.1), b=part(None, 4.1)), "unknown"),
    ("a small slice holds", {"slices": SLICES}, sliced(a=part(4.0, 4.1), b=part(4.0, 4.1, dates=29)), "unknown"),
    ("a small slice is skipped", {"slices": {**SLICES, "small": "skip"}}, sliced(a=part(4.0, 4.1), b=part(9.0, 4.1, dates=29)), "yes"),
    ("all slices skipped is no evidence", {"slices": {**SLICES, "small": "skip"}}, sliced(a=part(4.0, 4.1, dates=2)), "unknown"),
    ("only these slices", {"slices": {**SLICES, "only": ["a"]}}, sliced(a=part(4.0, 4.1), b=part(9.0, 4.1)), "yes"),
    ("a named slice is not there", {"slices": {**SLICES, "only": ["a", "x"]}}, sliced(a=part(4.0, 4.1)), "unknown"),
    ("a slice the candidate lost", {"slices": SLICES}, sliced(a=part(4.0, 4.1), b=Slice(None, scores(4.0))), "unknown"),
    ("no slices at all", {"slices": SLICES}, good(test_slices={}), "unknown"),
    ("live slices", {"slices": LIVE_SLICES}, live_by(a=part(4.0, 4.1)), "yes"),
    ("a live slice that is worse", {"slices": LIVE_SLICES}, live_by(a=part(4.5, 4.1)), "no"),
    ("a live slice that is small waits", {"slices": LIVE_SLICES}, live_by(a=part(4.0, 4.1, dates=29)), "wait"),
    ("a live slice without a figure that far ahead waits", {"slices": LIVE_SLICES}, live_by(a=Slice(Scores({}, {}))), "wait"),
    ("live slices before the first is scored", {"slices": LIVE_SLICES}, live_by(), "wait"),
    ("live slices by another column", {"slices": {**LIVE_SLICES, "by": "region"}}, live_by(a=part(4.0, 4.1)), "unknown"),
    ("a refresh is not asked whether it is chance", {"significant": SIGNIFICANT}, good(kind="refresh"), "unknown"),
    ("fresh", {"fresh": {"trained_within": "14d", "data_within": "1d"}}, good(), "yes"),
    ("trained too long ago", {"fresh": {"trained_within": "13d"}}, good(), "no"),
    ("trained nobody knows when", {"fresh": {"trained_within": "13d"}}, good(trained_at=None), "unknown"),
    ("data too old", {"fresh": {"data_within": "9h"}}, good(), "no"),
    ("a drop is overdue", {"fresh": {"data_within": "9d"}}, good(overdue="no drop for 3 d"), "unknown"),
    ("no data date", {"fresh": {"data_within": "9d"}}, good(newest_date=None), "unknown"),
    ("inputs are quiet", {"drift": {"drifting_drops": {"at_most": 1, "of": 4}}}, good(), "yes"),
    ("inputs drift", {"drift": {"drifting_drops": {"at_most": 0, "of": 4}}}, good(), "no"),
    ("too few verdicts", {"drift": {"drifting_drops": {"at_most": 1, "of": 5}}}, good(), "unknown"),
    ("a drop without a verdict", {"drift": {"drifting_drops": {"at_most": 1, "of": 3}}}, good(drift=(False, None, False)), "unknown"),
    ("drift beyond what a missing verdict could mend", {"drift": {"drifting_drops": {"at_most": 0, "of": 3}}}, good(drift=(True, None, False)), "no"),
    ("soaked", {"soak": {"drops": 6, "for": "14d"}}, good(), "yes"),
    ("too few drops", {"soak": {"drops": 7}}, good(), "wait"),
    ("too short", {"soak": {"drops": 6, "for": "15d"}}, good(), "wait"),
    ("drops are not counted", {"soak": {"drops": 1}}, good(scored_drops=None), "unknown"),
    ("soak, first version", {"soak": {"drops": 9}}, good(champion=None, scored_drops=None), "not_needed"),
    ("a logged number", {"figure": {"name": "shap_share", "at_most": 0.3}}, good(), "yes"),
    ("a logged number beyond", {"figure": {"name": "shap_share", "at_least": 0.31}}, good(), "no"),
    ("a number nobody logged", {"figure": {"name": "nope", "at_most": 1}}, good(), "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "facts", "outcome"), [pytest.param(*row[1:], id=row[0]) for row in TABLE])
def test_each_kind_comes_out_as_the_table_says(condition: dict[str, Any], facts: Facts, outcome: str) -> None:
    told = asked(condition, facts)
    assert told.outcome == outcome, told.words
    assert told.words


def test_the_table_above_shows_every_kind() -> None:
    shown = {kind for _, condition, _, _ in TABLE for kind in condition}
    assert shown | {"approval", "worse"} == set(KINDS)


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({}, True),
        ({"groups": ("sales",)}, False),
        ({"groups": (), "by": "ops"}, True),
        ({"at": NOW - 7 * DAY}, False),
        ({"at": NOW + DAY}, False),
        ({"meaning": "of another block"}, False),
        ({"figures": "of other figures"}, False),
        ({"void": "rejected since"}, False),
        ({"asked_for_training": True}, False),
        ({"by": "ops-a"}, False),
    ],
)
def test_an_approval_counts_only_while_it_is_bound_valid_and_of_another_person(
    change: dict[str, Any], *, counts: bool
) -> None:
    policy = production({"approval": {"from": ["ops"], "count": 2, "valid_for": "7d"}})
    facts = good(policy)
    assert facts.candidate
    second = approval("ops-b", policy, facts.candidate, **change)
    facts = replace(facts, approvals=(approval("ops-a", policy, facts.candidate), second))
    outcome = next(c for c in evaluate(policy, facts, NOW).conditions if c.kind == "approval")
    assert outcome.outcome == ("yes" if counts else "wait"), outcome.words


def test_who_asked_for_the_training_may_approve_alone_where_one_is_enough() -> None:
    policy = production({"approval": {"from": ["ops"], "count": 1, "valid_for": "7d"}})
    facts = good(policy)
    assert facts.candidate
    facts = replace(facts, approvals=(approval("ops-a", policy, facts.candidate, asked_for_training=True),))
    assert evaluate(policy, facts, NOW).verdict == "promote"


def test_approvals_age_on_the_peoples_clock() -> None:
    policy = production({"approval": {"from": ["ops"], "count": 2, "valid_for": "7d"}})
    facts = good(policy)
    long_ago = NOW - 1000 * DAY
    facts = replace(facts, wall=NOW, trained_at=long_ago, staged_at=long_ago)
    assert evaluate(policy, facts, long_ago).verdict == "promote"
    assert evaluate(policy, replace(facts, wall=NOW + 7 * DAY), long_ago).verdict == "hold"


def test_a_change_of_words_alone_keeps_the_meaning_of_the_production_block() -> None:
    policy = example("examples/price-conservative")
    plain = unbind_policy(policy)
    plain["production"]["when"][0]["why"] = "said better"
    assert bind_policy(plain).meaning == policy.meaning
    plain["production"]["when"][0]["no_worse"]["within"] = "2%"
    assert bind_policy(plain).meaning != policy.meaning


def test_a_stale_model_is_rejected_however_stale_the_data_is() -> None:
    policy = production({"fresh": {"trained_within": "13d", "data_within": "1h"}})
    decision = evaluate(policy, good(), NOW)
    assert decision.verdict == "reject"
    offered = [c.words for c in counterfactuals(policy, good(), NOW) if c.what == "policy"]
    assert offered == ["trained_within: 14d, data_within: 1d"]
    assert evaluate(production({"fresh": {"data_within": "1h"}}), good(), NOW).verdict == "hold"


def test_alpha_accrues_by_the_year_and_never_more_than_a_quarter_at_once() -> None:
    assert accrued_alpha(0.05, 7) == pytest.approx(0.05 * 7 / 365)
    assert accrued_alpha(0.05, 300) == pytest.approx(0.0125)


def test_words_never_make_what_differs_look_equal() -> None:
    facts = own(4.376)
    outcome = asked({"better": BETTER}, facts)
    assert outcome.outcome == "no"
    assert "0.55 % better, needs 1 %" in outcome.words or "0.5 % better, needs 1 %" in outcome.words
    tight = asked({"no_worse": {**NO_WORSE, "horizon": 1}}, own(4.4441))
    assert tight.outcome == "no"
    assert "1.002 % worse, may be 1 % worse" in tight.words


def test_of_four_horizons_the_worst_is_told() -> None:
    wape = {"h1": 4.0, "h7": 4.3, "h14": 4.6, "h30": 4.0}
    test = replace(scores(4.0), values={"wape": wape})
    told = asked({"no_worse": {**NO_WORSE, "horizon": [1, 7, 14, 30]}}, with_test(good(), test))
    assert told.outcome == "no"
    assert "14 days ahead" in told.words
    assert "worst of 4 horizons" in told.words


@pytest.mark.parametrize(
    "condition",
    [
        {"better": BETTER},
        {"better": {**BETTER, "by": 0.3}},
        {"better": {**BETTER, "metric": "r2", "by": "2%"}},
        {"better": {**BETTER, "metric": "bias", "by": "60%"}},
        {"no_worse": NO_WORSE},
        {"no_worse": {**NO_WORSE, "within": 0.02}},
        {"skill": {**SKILL, "at_least": "30%"}},
        {"limit": {"metric": "wape", "horizon": 1, "measured": "test", "at_most": 3.2}},
        {"limit": {"metric": "r2", "horizon": 1, "measured": "test", "at_least": 0.97}},
        {"samples": {"measured": "test", "dates": 200, "rows": 10000}},
        {"fresh": {"trained_within": "3d"}},
        {"fresh": {"trained_within": "6w", "data_within": "3h"}},
        {"drift": {"drifting_drops": {"at_most": 0, "of": 4}}},
        {"significant": {**SIGNIFICANT, "alpha": 0.001}},
        {"slices": {**SLICES, "within": "0.5%"}},
        {"figure": {"name": "shap_share", "at_most": 0.2}},
    ],
)
def test_the_parameter_that_explain_offers_lets_it_through(condition: dict[str, Any]) -> None:
    kind = next(iter(condition))
    facts = own(4.4712) if kind == "no_worse" else good()
    if kind == "slices":
        facts = sliced(a=part(4.0, 4.1), b=part(4.1432, 4.1))
    if kind == "better":
        facts = with_test(good(), scores(4.3777, bias=1.2, r2=0.9455))
    policy = production(condition)
    assert says(condition, facts) == "no"
    offered = next(c for c in counterfactuals(policy, facts, NOW) if (c.what, c.condition) == ("policy", "c0")).words
    key, _, value = offered.partition(": ")
    if kind == "drift":
        changed: dict[str, Any] = {"drift": {"drifting_drops": {"at_most": 1, "of": 4}}}
    elif kind == "samples":
        changed = {"samples": {"measured": "test", "dates": 121, "rows": 9874}}
    else:
        parsed: Any = value if value[-1] in "%d" else float(value)
        changed = {kind: {**condition[kind], key: parsed}}
    assert offered in ("drifting_drops: {at_most: 1, of: 4}", "dates: 121, rows: 9874") or key in condition[kind]
    assert says(changed, facts) == "yes", offered


@pytest.mark.parametrize("wape", [4.41, 4.5, 5.0, 9.9])
@pytest.mark.parametrize("kind", ["better", "no_worse", "skill"])
def test_the_figure_that_explain_names_would_have_held(kind: str, wape: float) -> None:
    condition: dict[str, Any] = {
        "better": {"better": BETTER},
        "no_worse": {"no_worse": {**NO_WORSE, "within": "0%"}},
        "skill": {"skill": {**SKILL, "at_least": "11%"}},
    }[kind]
    facts = own(wape)
    assert says(condition, facts) == "no"
    words = next(
        c for c in counterfactuals(production(condition), facts, NOW) if (c.what, c.condition) == ("model", "c0")
    ).words
    bound = float(words.partition("at most ")[2].partition(",")[0])
    assert bound < wape
    assert says(condition, own(bound)) == "yes", words


# ---- rollback ----


def champion(*drops: Comparison, **changes: Any) -> Facts:
    return good(**{"stage": "production", "champion": 18, "watched": drops, "last_good": 15, **changes})


def drop(own_wape: float | None, previous: float | None, naive: float = 4.6, digest: str = "d") -> Comparison:
    return Comparison(
        scores(own_wape, digest=digest, dates=3),
        None,
        None,
        {"persistence": scores(naive, digest=digest, dates=3), "seasonal_naive": scores(9.0, digest=digest, dates=3)},
        scores(previous, digest="d", dates=3),
        15,
    )


WORSE = {
    "for": "2 drops",
    "worse": {"metric": "wape", "horizon": 1, "measured": "live", "than": "previous", "by": "10%"},
}
BAD, FINE = drop(4.4, 4.0), drop(4.0, 4.0)
LIVE_SKILL = {
    "metric": "wape",
    "horizon": 1,
    "measured": "live",
    "over": ["persistence", "seasonal_naive"],
    "at_most": "0%",
}
LIVE_LIMIT = {"metric": "wape", "horizon": 1, "measured": "live", "at_least": 80}

ROLLBACKS: list[tuple[str, dict[str, Any], Facts, str]] = [
    ("two bad drops running", WORSE, champion(FINE, BAD, BAD), "yes"),
    ("one bad drop", WORSE, champion(FINE, FINE, BAD), "no"),
    ("a good drop between", WORSE, champion(BAD, BAD, FINE), "no"),
    ("too early", WORSE, champion(BAD), "wait"),
    ("one of them missing", WORSE, champion(BAD, drop(None, 4.0)), "unknown"),
    ("one of them on other rows", WORSE, champion(BAD, drop(4.4, 4.0, digest="x")), "unknown"),
    ("no shadow", WORSE, champion(BAD, replace(BAD, previous=None)), "unknown"),
    ("nobody scores", WORSE, good(stage="production", champion=18, watched=None), "unknown"),
    ("the watch is over", WORSE, champion(*[FINE] * 5, BAD, BAD), "not_needed"),
    ("beaten by doing nothing", {"for": "1 drop", "skill": LIVE_SKILL}, champion(drop(4.6, None)), "yes"),
    ("better than doing nothing", {"for": "1 drop", "skill": LIVE_SKILL}, champion(drop(4.5, None)), "no"),
    ("beyond what can be borne", {"for": "1 drop", "limit": LIVE_LIMIT}, champion(drop(80.0, None)), "yes"),
    ("within what can be borne", {"for": "1 drop", "limit": LIVE_LIMIT}, champion(drop(79.0, None)), "no"),
    ("borne or not, nobody knows", {"for": "1 drop", "limit": LIVE_LIMIT}, champion(drop(None, None)), "unknown"),
]


@pytest.mark.parametrize(("condition", "facts", "outcome"), [pytest.param(*row[1:], id=row[0]) for row in ROLLBACKS])
def test_each_condition_of_rollback_comes_out_as_the_table_says(
    condition: dict[str, Any], facts: Facts, outcome: str
) -> None:
    told = asked(condition, facts)
    assert told.outcome == outcome, told.words


def rolled(*drops: Comparison, **changes: Any) -> Decision:
    block = {"when_any": [{"id": "c0", **WORSE}], "to": "last_good", "watch": "6 drops", "cooldown": "7d"}
    return evaluate(made(rollback=block), champion(*drops, **changes), NOW)


def test_a_bad_champion_goes_back_to_the_last_good_version() -> None:
    decision = rolled(BAD, BAD)
    assert (decision.verdict, decision.target) == ("rollback", 15)
    assert rolled(FINE, BAD).verdict == "hold"


def test_nothing_rolls_back_on_an_unknown_or_to_nowhere() -> None:
    assert rolled(BAD, drop(float("nan"), 4.0)).verdict == "hold"
    nowhere = rolled(BAD, BAD, last_good=None)
    assert nowhere.verdict == "hold"
    assert "no version to go back to" in nowhere.words


def test_only_a_span_of_text_is_a_span() -> None:
    assert str(Span.parse("14d")) == "2w"
    policy = staging({"samples": {"measured": "test", "dates": 30}})
    first = replace(good(stage="none", champion=None), candidate=candidate(scores(4.0, dates=30)))
    assert evaluate(policy, first, NOW).verdict == "promote"


@pytest.mark.parametrize("name", ["price", "demand", "examples/price-conservative", "examples/demand-by-category"])
def test_only_the_kinds_that_say_so_change_their_answer_with_time_alone(name: str) -> None:
    """`earliest` asks no others again."""
    policy = example(name)
    facts = good(policy)
    later = replace(facts, newest_date=dt.date(2026, 12, 2), wall=NOW + 60 * DAY)
    told, then = (
        {(c.block, c.id): c for c in evaluate(policy, f, now).conditions if c.kind in KINDS}
        for f, now in ((facts, NOW), (later, NOW + 60 * DAY))
    )
    assert {c.kind for key, c in told.items() if then[key] != c} <= {n for n, kind in KINDS.items() if kind.timely}
    assert then != told


def test_a_champion_whose_recipe_cannot_be_fitted_is_told_with_what_outranks_it() -> None:
    facts = with_test(good(), scores(4.0, bias=1.0), champion=None)
    outcome = asked({"no_worse": NO_WORSE}, facts)
    assert outcome.outcome == "unknown"
    assert outcome.words == (
        "v9's recipe cannot be fitted on these data, so nothing was compared: only promote --force outranks it"
    )
