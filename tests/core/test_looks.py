"""What a policy knows of chance and of slices: looks and the alpha between them, p-values, comparisons made again.

And that what a journal says was decided is decided again from what it says was known.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from journals import RELEASE, Children, Story, a_year, first_days, kinds, week
from loop_shop import APPROVAL, CONFIG, POLICY, challenge, price, search, served_five_weeks, version
from retraind.core import events as e
from retraind.core import steps as s
from retraind.core.binding import unbind
from retraind.core.evidence import facts_of
from retraind.core.figures import RowSet, Significance
from retraind.core.fold import apply
from retraind.core.plan import plan
from retraind.core.policy.facts import Facts
from retraind.core.scene import Scene, World
from retraind.core.state import State
from retraind.strict_policy import in_force

SIGNIFICANT = POLICY.replace("{more}", """    - id: is-significant
      significant: {{metric: wape, horizon: 1, measured: test, than: champion, alpha: 0.05}}
""")  # fmt: skip
BY_CATEGORY = POLICY.replace("{more}", """    - id: every-category
      slices: {{by: category_name, metric: wape, horizon: 1, measured: test, than: champion, within: 5%, min_dates: 21,
                small: skip}}
""")  # fmt: skip
CATEGORIES = ("Cabbage", "Solanum")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Story, Children]]:
    """Champions v1 of both targets that have served five weeks, under a policy that asks for significance."""
    yield from served_five_weeks(tmp_path, SIGNIFICANT)


def facts(story: Story, number: int) -> Facts:
    world = World(story.settings, story.policies, RELEASE)
    scene = Scene(story.state, story.state.flow("produce"), "produce", story.settings.pipelines["produce"], world, story.times())
    return facts_of(scene, price(story), version(story, number))


def gaining(first: int, h1: float, p: float, **more: object) -> Callable[[s.Train], s.Outcome]:
    """A search whose only candidate has that p beside v1."""
    def outcome(step: s.Train) -> s.Outcome:
        found = search(first, h1, 1)(step)
        assert isinstance(found, s.Trained)
        test = Significance(p, 60, 4, p=p / 4, **more)  # type: ignore[arg-type]
        results = [replace(r, candidates=(replace(r.candidates[0], significance={"wape.h1": test}),)) for r in found.results]
        return replace(found, results=tuple(results))

    return outcome


def ask(story: Story, children: Children, training: Callable[[s.Train], s.Outcome], *, search: bool = True) -> None:
    children.trainings = [training]
    story.append(e.RetrainAsked("ops-a", "", now=True, search=search))
    story.work(children)


def outcome(story: Story, number: int, condition: str = "is-significant") -> str:
    return next(c.outcome for c in version(story, number).conditions if c.id == condition)


def refreshed(first: int) -> Callable[[s.Train], s.Outcome]:
    """The champion's own recipe on newer data."""
    def outcome(step: s.Train) -> s.Outcome:
        found = search(first, 5.0, 1)(step)
        assert isinstance(found, s.Trained)
        results = [replace(r, candidates=(replace(r.candidates[0], recipe_id="recipe-1"),)) for r in found.results]
        return replace(found, results=tuple(results))

    return outcome


# ---- looks ----


def test_alpha_accrues_from_one_compared_search_to_the_next_and_a_refresh_is_no_look(shop: tuple[Story, Children]) -> None:
    story, children = shop
    assert price(story).look_days == {}, "the first training compared nobody"
    began = version(story, 1).trained_site
    ask(story, children, gaining(2, 4.99, 0.5))
    first = version(story, 2).trained_site
    assert facts(story, 2).look_days == pytest.approx((first - began).total_seconds() / 86400)
    week(story, children, 6)
    ask(story, children, refreshed(3), search=False)
    assert facts(story, 3).kind == "refresh"
    assert facts(story, 3).look_days is None
    week(story, children, 7)
    ask(story, children, gaining(4, 4.99, 0.5))
    since = (version(story, 4).trained_site - first).total_seconds() / 86400
    assert 14 < since < 15
    assert facts(story, 4).look_days == pytest.approx(since)
    assert facts(story, 2).look_days == pytest.approx((first - began).total_seconds() / 86400), "it stays what it was"


@pytest.mark.parametrize(
    ("p", "more", "expected"),
    [(1e-6, {}, "yes"), (0.04, {}, "no"), (1e-6, {"calibrated": False, "rejected": (0.09, 0.02)}, "unknown")],
)
def test_a_gain_is_significant_when_the_accrued_alpha_covers_its_p(
    shop: tuple[Story, Children], p: float, more: Mapping[str, object], expected: str
) -> None:
    story, children = shop
    ask(story, children, gaining(2, 4.0, p, **more))
    assert outcome(story, 2) == expected
    decision = kinds(story, "decision.made")[-1].event
    assert decision.look_days == pytest.approx(facts(story, 2).look_days)
    assert ("rejected: is-significant" in version(story, 2).words) == (expected == "no")


def test_who_meets_another_champion_must_have_been_significant_beside_both(shop: tuple[Story, Children]) -> None:
    story, children = shop
    ask(story, children, gaining(2, 4.0, 0.0005))
    request, recipe, looks = version(story, 2).request, version(story, 2).candidate.recipe_id, dict(price(story).look_days)
    compared = e.CandidateCompared(request, "price", 7, version(story, 1).candidate.test)

    def again(p: float | None) -> float | None:
        tests = {} if p is None else {recipe: {"wape.h1": Significance(p, 60, 4)}}
        story.append(replace(compared, significance=tests))
        found = facts(story, 2).significance.get("wape.h1")
        return found.adjusted if found else None

    assert [again(0.00001), again(0.002), again(0.001)] == [0.0005, 0.002, 0.002]
    assert facts(story, 2).significance["mae.h1"].adjusted == 0.002, "MAE has the loss of WAPE"
    assert price(story).look_days == looks, "the look was spent once"
    assert again(None) is None, "without the losses of then nobody knows"


def test_a_search_that_meets_its_first_champion_later_is_a_look_then(tmp_path: Path) -> None:
    story, children = first_days(tmp_path, config=CONFIG)
    children.trainings = [search(1, 5.0)]
    story.work(children)
    request = version(story, 1).request
    story.append(e.CandidateCompared(request, "price", 7, version(story, 1).candidate.test))
    assert set(price(story).look_days) == {request}
    assert price(story).last_look == story.times().site
    story.journal.close()


# ---- slices ----


def sliced(step: s.Train, wape: Mapping[str, float]) -> s.Outcome:
    """v2 by category beside v1's recipe, which has 5 everywhere; a category that is not named is lost."""
    found = search(2, 4.0, 1)(step)
    assert isinstance(found, s.Trained)
    rows = {"category_name": {c: {"h1": RowSet(600, 60, f"rows of {c}")} for c in CATEGORIES}}
    theirs = {"category_name": {c: {"wape": {"h1": 5.0}} for c in CATEGORIES}}
    own = {"category_name": {c: {"wape": {"h1": w}} for c, w in wape.items()}}
    results = [
        replace(r, candidates=(replace(r.candidates[0], slices=own),), slice_rows=rows, champion_slices=theirs)
        for r in found.results
    ]
    return replace(found, results=tuple(results))


@pytest.mark.parametrize(
    ("wape", "expected"),
    [({"Cabbage": 4.0, "Solanum": 5.2}, "yes"), ({"Cabbage": 3.0, "Solanum": 5.5}, "no"), ({"Cabbage": 4.0}, "unknown")],
)
def test_a_candidate_is_judged_by_each_category_on_its_own_rows(
    shop: tuple[Story, Children], wape: Mapping[str, float], expected: str
) -> None:
    story, children = shop
    story.put_in_force("price", BY_CATEGORY)
    ask(story, children, lambda step: sliced(step, wape))
    assert outcome(story, 2, "every-category") == expected
    assert set(facts(story, 2).test_slices["category_name"]) == set(CATEGORIES)


# ---- to the letter ----


def a_loop(root: Path) -> Story:
    """A challenger that takes over, is bad and is rolled back; approvals, a search that is refused, one that is blocked."""
    story, children = first_days(root, config=CONFIG)
    for target in ("price", "demand"):
        story.put_in_force(target, POLICY.replace("{more}", APPROVAL if target == "demand" else ""))
    children.trainings = [search(1, 5.0)]
    story.work(children)
    for number in range(1, 6):
        week(story, children, number)
    challenge(story, children)
    for number in range(6, 9):
        week(story, children, number)
    children.live = {"price": {"2": 9.0}}
    for number in range(9, 12):
        week(story, children, number)
    ask(story, children, gaining(3, 4.9, 0.2))
    return story


@pytest.mark.parametrize("told", [a_year, a_loop])
def test_what_the_journal_says_was_known_gives_what_it_says_was_decided_to_the_letter(
    told: Callable[[Path], Story], tmp_path: Path
) -> None:
    story = told(tmp_path)
    records, state, decided = kinds(story, *e.KINDS), State(), 0
    verdicts = set()
    for record in records:
        if isinstance(record.event, e.DecisionMade) and not record.event.by:
            assert _again(story, state, record) == _text(record.event)
            verdicts.add(record.event.verdict)
            decided += 1
        apply(state, record)
    assert decided > 8
    assert verdicts > {"promote"}
    story.journal.close()


def _again(story: Story, state: State, record: e.Record) -> str:
    """What `plan` decides from the state before; its clock was read a second before the event was written."""
    before = record.times.wall - dt.timedelta(seconds=1)
    found = plan(state, e.Times(before, before, before), World(story.settings, in_force(state.policies), RELEASE))
    (note,) = found.notes
    assert isinstance(note, s.Note)
    return _text(note.event)


def _text(event: object) -> str:
    return json.dumps(unbind(event), sort_keys=True)
