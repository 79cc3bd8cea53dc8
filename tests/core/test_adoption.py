"""A version of somebody else's as champion: looked at, decided, intended; judged by live figures; test comparisons unknown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from journals import Children, Story, first_days, kinds, stranger, week
from loop_shop import price, search, served_five_weeks
from retraind.core import events as e
from retraind.core import messages as m
from retraind.core import steps as s
from retraind.core.figures import Foreign

THEIRS = 7


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Story, Children]]:
    """Champions v1 of both targets that have served five weeks, and v7 of price, which somebody else registered."""
    yield from served_five_weeks(tmp_path, strangers={THEIRS: stranger(THEIRS)})


def refusal(story: Story, message: m.Message) -> str:
    answer = story.ask(message)
    assert answer is not None
    return answer.refused


def test_somebody_elses_version_becomes_champion_and_the_journal_says_who_and_why(shop: tuple[Story, Children]) -> None:
    story, children = shop
    assert story.ask(m.Adopt("price", THEIRS, 1, "the lab's model"), by="ops-a") is None
    story.work(children)
    model = price(story)
    version = model.version(THEIRS)
    assert version
    assert (model.champion, model.last_good, model.adoption) == (THEIRS, 1, None)
    assert version.adopted == 'by ops-a: "the lab\'s model"'
    (decision,) = [r.event for r in kinds(story, "decision.made") if r.event.version == THEIRS and r.event.by]
    assert decision.words == 'adopt v7 as champion, says ops-a: "the lab\'s model"'
    assert model.tenures[-1].decision == decision.decision
    (intended,) = [r.event for r in kinds(story, "promotion.intended") if r.event.version == THEIRS]
    assert (intended.champion, intended.settles, intended.found) == (1, True, 1)


def test_it_forecasts_in_its_own_way_from_the_next_day_on(shop: tuple[Story, Children]) -> None:
    story, children = shop
    asked: list[s.Forecast] = []

    def watched(job: object) -> s.Outcome:
        if isinstance(job.step, s.Forecast):  # type: ignore[attr-defined]
            asked.append(job.step)  # type: ignore[attr-defined]
        return children(job)  # type: ignore[arg-type]

    story.ask(m.Adopt("price", THEIRS, 1))
    story.work(watched)
    roles = {f.role: f for f in asked[-1].forecasters["price"]}
    assert roles["champion"].foreign == Foreign(("price_now", "price_mean_7"), {"h1": ""})
    assert roles["champion"].data_end == asked[-1].newest, "nobody knows what it learnt from"
    assert (roles["previous"].version, roles["previous"].foreign) == (1, None)


def test_its_live_figures_take_it_back_when_it_is_bad(shop: tuple[Story, Children]) -> None:
    story, children = shop
    story.ask(m.Adopt("price", THEIRS, 1))
    story.work(children)
    children.live = {"price": {str(THEIRS): 9.0}}
    for number in (6, 7, 8):
        week(story, children, number)
    model = price(story)
    assert model.champion == 1
    assert model.versions[str(THEIRS)].rolled_back.startswith("rolled back to v1 (live-worse")
    assert refusal(story, m.Adopt("price", THEIRS, 1)).startswith("price v7 is blocked since it was rolled back")


def test_beside_it_test_comparisons_are_unknown_and_hold(shop: tuple[Story, Children]) -> None:
    story, children = shop
    story.ask(m.Adopt("price", THEIRS, 1))
    story.work(children)

    def beside(step: s.Train) -> s.Outcome:
        assert step.champions["price"].version == THEIRS
        made = search(8, 4.0)(step)
        assert isinstance(made, s.Trained)  # without the champion's figures: its recipe cannot be fitted
        return replace(made, results=tuple(replace(r, champion_version=THEIRS) for r in made.results))

    children.trainings = [beside]
    story.append(e.RetrainAsked("ops-a", "", now=True, search=True))
    story.work(children)
    week(story, children, 6)
    week(story, children, 7)
    candidate = price(story).version(8)
    assert candidate
    assert (candidate.stage, candidate.verdict) == ("Staging", "hold")
    assert {c.id: c.outcome for c in candidate.conditions}["better"] == "unknown"
    assert price(story).champion == THEIRS


def test_a_version_that_cannot_be_champion_is_refused_and_nothing_changes(shop: tuple[Story, Children]) -> None:
    story, children = shop
    assert story.ask(m.Adopt("price", 99)) is None
    story.work(children)
    (told,) = [r.event for r in kinds(story, "adoption.refused")]
    assert told.why == "price has no version 99 in MLflow"
    assert (price(story).champion, price(story).adoption, price(story).version(99)) == (1, None, None)


def test_a_registry_that_stays_away_ends_the_adoption(shop: tuple[Story, Children]) -> None:
    story, children = shop
    story.ask(m.Adopt("price", THEIRS, 1))

    def away(job: object) -> s.Outcome:
        return s.Failed("the MLflow server does not answer") if isinstance(job.step, s.Adopt) else children(job)  # type: ignore[attr-defined,arg-type]

    for _ in range(6):
        story.work(away)
        story.wait(hours=1)
    (told,) = [r.event for r in kinds(story, "adoption.refused")]
    assert told.why == "the MLflow server does not answer"
    assert story.state.flow("produce").failures == {}


def test_a_site_that_trained_nothing_yet_takes_somebody_elses_version(tmp_path: Path) -> None:
    story, children = first_days(tmp_path)
    children.strangers[THEIRS] = stranger(THEIRS)
    assert refusal(story, m.Adopt("cabbage", THEIRS)) == "cabbage is no model of this site"
    assert story.ask(m.Adopt("price", 98)) is None
    story.work(lambda job: s.Impossible(job.step.request, "too little") if isinstance(job.step, s.Train) else children(job))
    assert "price" not in story.state.flow("produce").models, "one that was refused leaves nothing"
    assert story.ask(m.Adopt("price", THEIRS, 1)) is None
    story.work(children)
    assert price(story).champion == THEIRS
    story.journal.close()


def test_what_outranks_force_outranks_an_adoption(shop: tuple[Story, Children]) -> None:
    story, _ = shop
    story.ask(m.Pin("price", "contract"))
    assert refusal(story, m.Adopt("price", THEIRS)) == "v1 of price is pinned by ops-a"
    story.ask(m.Unpin("price"))
    story.ask(m.Pause("audit"))
    assert refusal(story, m.Adopt("price", THEIRS)) == "paused by ops-a"
    story.ask(m.Resume())
    assert story.ask(m.Adopt("price", THEIRS)) is None
    assert "is on its way this moment" in refusal(story, m.Adopt("price", THEIRS))
    assert "is being adopted" in refusal(story, m.Rollback("price", 1))


def test_our_own_version_is_promoted_and_not_adopted(shop: tuple[Story, Children]) -> None:
    story, children = shop
    children.trainings = [search(2, 4.0, 1)]
    story.append(e.RetrainAsked("ops-a", "", now=True, search=True))
    story.work(children)
    answer = story.ask(m.Adopt("price", 2))
    assert answer
    assert answer.remedy == "promote it: retrainctl promote price 2 --to production --force"
    assert story.ask(m.Adopt("price", 1)) == m.Answer(done="price v1 is the champion already")
