"""Policy tests: what the format says, what the built-in case is, and that the shipped tests hold their policies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from policy_made import POLICIES, example, production
from retraind import strict_yaml
from retraind.core.binding import Mistakes
from retraind.core.policy.cases import CaseFile, bind_cases, run
from retraind.core.policy.document import Policy, bind_policy, conditions, unbind_policy

FILES = sorted([*(POLICIES / "tests").glob("*.yaml"), *(POLICIES / "examples" / "tests").glob("*.yaml")])
AT = "2026-12-02T10:00+08:00"


def both(path: Path) -> tuple[Policy, CaseFile]:
    file = bind_cases(strict_yaml.read(path).value)
    return bind_policy(strict_yaml.read(path.parent / file.policy).value), file


def test_each_shipped_policy_has_tests() -> None:
    tested = {(p.parent / both(p)[1].policy).resolve() for p in FILES}
    assert tested == {p.resolve() for p in [*POLICIES.glob("*.yaml"), *(POLICIES / "examples").glob("*.yaml")]}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_shipped_tests_pass(path: Path) -> None:
    report = run(*both(path))
    assert [f.mistake.problem for f in report.failures] == []
    assert report.cases >= 8


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_shipped_tests_see_every_condition_say_no(path: Path) -> None:
    policy, file = both(path)
    assert set(run(policy, file).never_no) == set()


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_removing_any_counted_condition_breaks_a_shipped_test(path: Path) -> None:
    """So the tests hold each condition, and an edit that drops one does not slip through."""
    policy, file = both(path)
    plain = unbind_policy(policy)
    for place, key in (("staging", "when"), ("production", "when"), ("refresh", "when"), ("rollback", "when_any")):
        for i, condition in enumerate(conditions(policy, place)):  # type: ignore[arg-type]
            rest = [c for j, c in enumerate(plain[place][key]) if j != i]
            if rest and not condition.dry_run:
                without = bind_policy({**plain, place: {**plain[place], key: rest}})
                assert run(without, file).failures, condition.id


def one(policy: Policy, given: dict[str, Any], expect: dict[str, Any], **more: Any) -> list[str]:
    """The failures of one case."""
    test = {"name": "t", "given": given, "expect": expect, "at": AT, **more}
    candidates = more.pop("candidates", {"good": {}})
    file = bind_cases({"policy": "p.yaml", "candidates": candidates, "tests": [test]})
    return [f.mistake.problem for f in run(policy, file).failures]


@pytest.mark.parametrize("name", ["price", "demand", "examples/price-conservative", "examples/demand-fast"])
def test_the_built_in_case_passes_whatever_the_numbers_of_a_policy_are(name: str) -> None:
    """A forecaster changes a number; the tests that are about something else go on passing."""
    text = (POLICIES / f"{name}.yaml").read_text(encoding="utf-8")
    for old, new in (
        ("0.5%", "45%"),
        ("at_least: 5%", "at_least: 60%"),
        ("by: 2%", "by: 30%"),
        ("dates: 21", "dates: 300"),
    ):
        policy = bind_policy(strict_yaml.parse(text.replace(old, new), "p.yaml").value)
        assert one(policy, {"candidate": "good"}, {"decision": "promote", "to": "production"}) == []
        assert one(policy, {"candidate": "good", "stage": "none"}, {"decision": "promote", "to": "staging"}) == []


@pytest.mark.parametrize(
    "condition",
    [
        {"better": {"metric": "mae", "horizon": 7, "measured": "test", "than": "champion", "by": 3.5}},
        {"better": {"metric": "r2", "horizon": 7, "measured": "test", "than": "champion", "by": "5%"}},
        {"better": {"metric": "r2", "horizon": 7, "measured": "test", "than": "champion", "by": 0.2}},
        {"better": {"metric": "bias", "horizon": 7, "measured": "test", "than": "champion", "by": "20%"}},
        {"limit": {"metric": "wape", "horizon": 7, "measured": "test", "at_most": 3}},
        {"figure": {"name": "anything", "at_least": 17}},
        {"drift": {"drifting_drops": {"at_most": 0, "of": 9}}},
        {"no_worse": {"metric": "mape", "horizon": [1, 30], "measured": "live", "than": "champion", "within": "0%"}},
    ],
)  # fmt: skip
def test_the_built_in_case_passes_every_kind(condition: dict[str, Any]) -> None:
    assert one(production(condition), {"candidate": "good"}, {"decision": "promote"}) == []


def test_a_failure_says_what_was_expected_and_what_came() -> None:
    policy = example("examples/demand-by-category")
    (told,) = one(policy, {"candidate": "good", "staged": AT}, {"decision": "promote", "to": "production"})
    assert told == 'test "t" expects promote to production and gets hold: holds: waiting: soak, live-no-collapse'
    (told,) = one(policy, {"candidate": "good", "staged": AT}, {"decision": "hold", "unknown": ["soak"]})
    assert told == 'test "t" expects soak unknown and gets wait, 0 of 2 scored drops and 0 min of 3d'
    (told,) = one(policy, {"candidate": "good"}, {"decision": "promote", "passing": ["soaked"]})
    assert "no such condition was asked" in told


def test_lists_name_at_least_these_conditions() -> None:
    policy = example("examples/demand-by-category")
    assert one(policy, {"candidate": "good", "staged": AT}, {"decision": "hold", "wait": ["soak"]}) == []


BAD: list[tuple[dict[str, Any], str]] = [
    ({"candidate": "god"}, '"god" is no candidate of this file'),
    ({"candidate": "good", "set": {"champion.wape.h1": None}}, "is no figure"),
    ({"candidate": "good", "set": {"somebody.test.wape.h1": None}}, "is no figure"),
    ({"candidate": "good", "stagged": AT}, 'unknown key "stagged"'),
    ({"candidate": "good", "staged": "2026-13-01"}, "is not a date"),
    ({"candidate": "good", "staged": "2026-12-01T09:00"}, "the time has no offset"),
    ({"candidate": "good", "champion": "nine"}, '"nine" is no version'),
    ({"champion": "none"}, "there is nobody to ask about"),
    ({"champion": "v1"}, "after_scored_drops is missing"),
]


@pytest.mark.parametrize(("given", "problem"), BAD, ids=[b[1] for b in BAD])
def test_a_broken_file_of_tests_says_where(given: dict[str, Any], problem: str) -> None:
    test = {"name": "t", "given": given, "expect": {"decision": "hold"}, "at": AT}
    with pytest.raises(Mistakes) as caught:
        bind_cases({"policy": "p.yaml", "candidates": {"good": {}}, "tests": [test]})
    assert any(problem in m.problem for m in caught.value.mistakes), caught.value


def test_a_test_needs_a_moment_and_an_expectation() -> None:
    bare: dict[str, Any] = {"name": "t", "given": {"candidate": "good"}}
    expecting = {**bare, "expect": {"decision": "hold"}}
    for test in (bare, expecting, {**expecting, "at": "2026-12-02T10:00"}):
        with pytest.raises(Mistakes):
            bind_cases({"policy": "p.yaml", "candidates": {"good": {}}, "tests": [test]})


def test_coverage_names_the_conditions_that_no_test_saw_fail() -> None:
    policy, file = both(POLICIES / "tests" / "price.yaml")
    few = replace(file, tests=file.tests[:1])
    assert set(run(policy, few).never_no) == {
        "enough-evidence",
        "beats-doing-nothing",
        "no-worse-than-champion",
        "fresh",
        "live-no-worse",
        "refresh-no-worse",
        "refresh-no-collapse",
        "worse-than-before",
    }
    assert "beats-doing-nothing" in run(policy, few).never_unknown
