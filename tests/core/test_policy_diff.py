"""An edit in words, and the promise of those words: what is called stricter never promotes what was not promoted before."""

# ruff: noqa: E501 (a row of a table is read as a row)

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy_made import NOW, approval, candidate, example, good, plain, scores, with_test
from retraind.core.policy.conditions import KINDS
from retraind.core.policy.decision import evaluate
from retraind.core.policy.diff import changes, compare, is_looser
from retraind.core.policy.document import Policy, bind_policy, unbind_policy
from retraind.core.policy.facts import Comparison, Facts, Significance, Slice

BASE = "examples/price-conservative"


def edited(name: str, *path: Any, to: Any) -> tuple[Policy, Policy]:
    """A shipped policy, and the same with one value put in place; a condition is named by its id."""
    old = example(name)
    value = unbind_policy(old)
    inner: Any = value
    for key in path[:-1]:
        inner = next(i for i in inner if i["id"] == key) if isinstance(inner, list) else inner[key]
    if to is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return old, bind_policy(value)


WHEN = ("production", "when")
BY_CATEGORY = "examples/demand-by-category"
EDITS: list[tuple[str, tuple[Any, ...], Any, str]] = [
    (BASE, (*WHEN, "better-at-a-week", "better", "by"), "1%", "looser production.better-at-a-week by 2% -> 1%"),
    (BASE, (*WHEN, "better-at-a-week", "better", "by"), 0.5, "other production.better-at-a-week by 2% -> 0.5"),
    (BASE, (*WHEN, "better-at-a-week", "better", "horizon"), 1, "other production.better-at-a-week horizon 7 -> 1"),
    (BASE, (*WHEN, "better-at-a-week", "better", "horizon"), [1, 7], "stricter production.better-at-a-week horizon 7 -> [1, 7]"),
    (BASE, (*WHEN, "better-at-a-week", "better", "metric"), "mape", "other production.better-at-a-week metric wape -> mape"),
    (BASE, (*WHEN, "is-significant", "significant", "alpha"), 0.01, "stricter production.is-significant alpha 0.05 -> 0.01"),
    (BASE, (*WHEN, "no-worse-anywhere", "no_worse", "within"), "2%", "looser production.no-worse-anywhere within 1% -> 2%"),
    (BASE, (*WHEN, "fresh", "fresh", "data_within"), "5d", "stricter production.fresh data_within 10d -> 5d"),
    (BASE, (*WHEN, "fresh", "fresh", "data_within"), None, "looser production.fresh data_within 10d -> (none)"),
    (BASE, (*WHEN, "soak", "soak", "for"), "3d", "stricter production.soak for (none) -> 3d"),
    (BASE, (*WHEN, "stable-inputs", "drift", "drifting_drops", "of"), 5, "stricter production.stable-inputs drifting_drops.of 3 -> 5"),
    (BASE, (*WHEN, "buyers-agree", "approval", "from"), ["ops"], "stricter production.buyers-agree from [pricing, ops] -> [ops]"),
    (BASE, (*WHEN, "buyers-agree", "approval", "valid_for"), "2w", "looser production.buyers-agree valid_for 1w -> 2w"),
    (BASE, (*WHEN, "buyers-agree", "dry_run"), True, "looser production.buyers-agree dry_run false -> true"),
    (BASE, ("production", "give_up_after"), "10w", "looser production give_up_after 8w -> 10w"),
    (BASE, ("production", "first"), "as_any", "stricter production.first lenient -> as_any"),
    (BASE, ("staging", "when", "beats-doing-nothing", "skill", "over"), ["persistence"], "looser staging.beats-doing-nothing over [persistence, seasonal_naive] -> [persistence]"),
    (BASE, ("rollback",), None, "looser rollback removed"),
    (BASE, ("rollback", "watch"), "8 drops", "stricter rollback watch 6 drops -> 8 drops"),
    (BASE, ("rollback", "through_freeze"), False, "looser rollback through_freeze true -> false"),
    (BASE, ("rollback", "when_any", "live-worse", "for"), "1 drop", "stricter rollback.live-worse for 2 drops -> 1 drop"),
    (BASE, ("rollback", "when_any", "live-worse", "worse", "by"), "20%", "looser rollback.live-worse by 15% -> 20%"),
    (BASE, ("rollback", "when_any", "no-better-than-nothing", "skill", "at_most"), "2%", "stricter rollback.no-better-than-nothing at_most 0% -> 2%"),
    (BASE, ("refresh",), None, "other refresh removed"),
    (BASE, ("freeze",), None, "looser freeze.spring-festival removed"),
    (BASE, ("freeze", "spring-festival", "to"), "2027-02-20", "other freeze.spring-festival to 2027-02-14 -> 2027-02-20"),
    (BASE, ("limits", "promotions", "at_most"), 2, "stricter limits promotions.at_most 4 -> 2"),
    (BASE, ("limits", "min_between"), "12h", "looser limits min_between 1d -> 12h"),
    (BASE, ("limits",), None, "looser limits promotions.at_most 4 -> (none)"),
    (BASE, ("mode",), "dry_run", "other mode enforce -> dry_run"),
    (BASE, ("models",), ["price", "price-*"], "other models [price] -> [price, price-*]"),
    (BY_CATEGORY, (*WHEN, "leaf-and-cabbage", "slices", "small"), "skip", "looser production.leaf-and-cabbage small hold -> skip"),
    (BY_CATEGORY, (*WHEN, "leaf-and-cabbage", "slices", "min_dates"), 40, "stricter production.leaf-and-cabbage min_dates 30 -> 40"),
    (BY_CATEGORY, (*WHEN, "every-category", "slices", "min_dates"), 40, "other production.every-category min_dates 30 -> 40"),
    (BY_CATEGORY, (*WHEN, "every-category", "slices", "small"), "hold", "stricter production.every-category small skip -> hold"),
    (BY_CATEGORY, (*WHEN, "every-category", "slices", "may_fail"), 0, "stricter production.every-category may_fail 1 -> 0"),
    (BY_CATEGORY, ("staging", "when", "not-lopsided", "limit", "at_most"), 5, "stricter staging.not-lopsided at_most 8 -> 5"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "path", "to", "words"), EDITS, ids=[e[3] for e in EDITS])
def test_an_edit_is_told_in_words(name: str, path: tuple[Any, ...], to: Any, words: str) -> None:
    assert words in changes(*edited(name, *path, to=to))


@pytest.mark.parametrize(("name", "path", "to", "words"), EDITS, ids=[e[3] for e in EDITS])
def test_the_contrary_edit_is_told_the_contrary_way(name: str, path: tuple[Any, ...], to: Any, words: str) -> None:
    old, new = edited(name, *path, to=to)
    contrary = {"stricter": "looser", "looser": "stricter", "other": "other"}
    assert sorted(contrary[c.verdict] for c in compare(old, new)) == sorted(c.verdict for c in compare(new, old))


def test_a_condition_that_goes_is_looser_and_one_that_comes_is_stricter() -> None:
    old = example(BASE)
    value = unbind_policy(old)
    gone = value["production"]["when"].pop(0)
    assert changes(old, bind_policy(value)) == ("looser production.no-worse-anywhere removed",)
    assert changes(bind_policy(value), old) == ("stricter production.no-worse-anywhere added",)
    value["production"]["when"].insert(0, {"id": gone["id"], "samples": {"measured": "live", "dates": 3}})
    assert changes(old, bind_policy(value)) == ("other production.no-worse-anywhere no_worse -> samples",)


def test_words_and_comments_are_no_change() -> None:
    old = example(BASE)
    value = unbind_policy(old)
    value["production"]["when"][0]["why"] = "because"
    value["freeze"][0]["why"] = "because"
    assert changes(old, bind_policy(value)) == ()


def test_only_an_edit_that_is_not_stricter_voids_approvals() -> None:
    looser = edited(BASE, *WHEN, "better-at-a-week", "better", "by", to="1%")
    stricter = edited(BASE, *WHEN, "better-at-a-week", "better", "by", to="3%")
    elsewhere = edited(BASE, "limits", "min_between", to="12h")
    assert is_looser(*looser)
    assert not is_looser(*stricter)
    assert not is_looser(*elsewhere)


def test_every_direction_of_the_table_names_a_parameter() -> None:
    for kind in KINDS.values():
        known = set(kind.asks.__dataclass_fields__)
        for key in kind.stricter:
            assert key.partition(".")[0] in known or f"{key}_" in known, (kind.name, key)


# ---- the promise, held against random facts ----

PARAMETERS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "better": {"by": st.sampled_from(["0%", "1%", "5%", 0, 0.1, 0.4]), "horizon": st.sampled_from([1, 7, [1, 7]]), "min_dates": st.sampled_from([1, 14, 60])},
    "no_worse": {"within": st.sampled_from(["0%", "1%", "5%", 0, 0.1, 0.4]), "horizon": st.sampled_from([1, 7, [1, 7]]), "min_dates": st.sampled_from([1, 14, 60])},
    "limit": {"at_most": st.sampled_from([2, 4.0, 6]), "horizon": st.sampled_from([1, 7, [1, 7]])},
    "skill": {"at_least": st.sampled_from(["0%", "5%", "30%"]), "over": st.sampled_from([["persistence"], ["seasonal_naive"], ["persistence", "seasonal_naive"]])},
    "significant": {"alpha": st.sampled_from([0.01, 0.05, 0.2])},
    "samples": {"dates": st.sampled_from([None, 1, 30, 100]), "rows": st.sampled_from([1, 1000])},
    "slices": {"within": st.sampled_from(["0%", "5%"]), "may_fail": st.sampled_from([0, 1, 2]), "small": st.sampled_from(["hold", "skip"]), "min_dates": st.sampled_from([1, 30, 60])},
    "fresh": {"trained_within": st.sampled_from(["1d", "3w"]), "data_within": st.sampled_from([None, "1d", "9d"])},
    "drift": {"drifting_drops": st.sampled_from([{"at_most": a, "of": o} for o in (1, 2, 3) for a in range(o)])},
    "soak": {"drops": st.sampled_from([1, 3, 9]), "for": st.sampled_from([None, "3d", "3w"])},
    "approval": {"from": st.sampled_from([["ops"], ["pricing"], ["ops", "pricing"]]), "count": st.sampled_from([1, 2]), "valid_for": st.sampled_from(["1d", "7d"])},
    "figure": {"at_most": st.sampled_from([0.1, 0.3, 0.9])},
}  # fmt: skip
FIXED: dict[str, dict[str, Any]] = {
    "better": {"metric": "wape", "measured": "test", "than": "champion"},
    "no_worse": {"metric": "wape", "measured": "live", "than": "champion"},
    "limit": {"metric": "wape", "measured": "test"},
    "skill": {"metric": "wape", "measured": "test", "horizon": 1},
    "significant": {"metric": "wape", "horizon": 1, "measured": "test", "than": "champion"},
    "samples": {"measured": "test"},
    "slices": {"by": "category_name", "metric": "wape", "horizon": 1, "measured": "test", "than": "champion"},
    "figure": {"name": "shap_share"},
}  # fmt: skip


@st.composite
def condition(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    parameters = {key: draw(values) for key, values in PARAMETERS[kind].items()}
    made: dict[str, Any] = {
        "id": "c",
        kind: {**FIXED.get(kind, {}), **{k: v for k, v in parameters.items() if v is not None}},
    }
    return {**made, "dry_run": True} if draw(st.integers(0, 5)) == 0 else made


@st.composite
def two_policies(draw: st.DrawFn) -> tuple[Policy, Policy]:
    kind = draw(st.sampled_from(sorted(PARAMETERS)))
    rest = [{"id": "rest", "figure": {"name": "shap_share", "at_most": 5}}]
    found = []
    for _ in range(2):
        when = [*rest, draw(condition(kind))] if draw(st.integers(0, 9)) else copy.deepcopy(rest)
        first = draw(st.sampled_from(["lenient", "as_any"]))
        patience = draw(st.sampled_from(["1w", "8w"]))
        limits = draw(st.sampled_from([{}, {"min_between": "24h"}, {"promotions": {"at_most": 1, "per": "30d"}}]))
        block = {"when": when, "give_up_after": patience, "first": first}
        found.append(bind_policy(plain(production=block, limits=limits)))
    return found[0], found[1]


@st.composite
def some_facts(draw: st.DrawFn, policy: Policy) -> Facts:
    wape = st.sampled_from([None, 2.0, 3.9, 4.0, 4.1, 4.6, 5.9])
    dates = st.sampled_from([0, 2, 13, 14, 30, 61, 200])
    test = scores(draw(wape), dates=draw(dates))
    made_candidate = candidate(test, shap_share=draw(st.sampled_from([0.05, 0.2, 0.5])))
    live = Comparison(scores(draw(wape), dates=draw(dates)), scores(4.0, dates=draw(dates)), 9)
    parts = {v: Slice(scores(draw(wape), dates=draw(dates)), scores(4.0, dates=200)) for v in "abc"}
    facts = replace(good(), candidate=made_candidate, live=live, test_slices={"category_name": parts})
    facts = with_test(facts, test, champion=scores(4.0, dates=draw(dates)))
    first = draw(st.booleans())
    people = [
        approval(f"p{i}", policy, made_candidate, groups=(draw(st.sampled_from(["ops", "pricing"])),)) for i in range(2)
    ]
    return replace(
        facts,
        champion=None if first else 9,
        approvals=tuple(people[: draw(st.integers(0, 2))]),
        significance={"wape.h1": Significance(draw(st.sampled_from([0.0001, 0.0007, 0.3])), 121)},
        drift=tuple(draw(st.lists(st.sampled_from([True, False, None]), max_size=3))),
        scored_drops=draw(st.sampled_from([None, 0, 3, 9])),
        promotions=draw(st.sampled_from([(), (NOW,), (NOW.replace(month=11),)])),
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(two_policies(), st.data())
def test_an_edit_called_stricter_never_promotes_what_was_not_promoted_before(
    policies: tuple[Policy, Policy], data: st.DataObject
) -> None:
    old, new = policies
    verdicts = {change.verdict for change in compare(old, new)}
    if len(verdicts) != 1 or verdicts == {"other"}:
        return
    stricter, looser = (new, old) if verdicts == {"stricter"} else (old, new)
    facts = data.draw(some_facts(looser))
    # approvals bind to the block they were shown; here the words are compared, so each policy gets its own
    rebound = replace(facts, approvals=tuple(replace(a, meaning=stricter.meaning) for a in facts.approvals))
    if evaluate(stricter, rebound, NOW).verdict == "promote":
        assert evaluate(looser, facts, NOW).verdict == "promote", changes(old, new)
