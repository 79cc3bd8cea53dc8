"""What somebody else did to the registry: seen, reported once, never overwritten, and over when it is undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from journals import Story, first_days, result, trained
from retraind.core import events as e
from retraind.core.divergence import divergence
from retraind.core.steps import Train, Trained


def good(step: Train) -> Trained:
    return trained(step, *(result(t, 1, (4.0, 4.2, 4.4, 4.6), 4.7) for t in step.targets))


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    story, children = first_days(tmp_path)
    children.trainings = [good]
    story.work(children)
    yield story
    story.journal.close()


def seen(story: Story, **aliases: int) -> list[e.RegistryDiverged | e.RegistryAgreed]:
    return divergence(story.state.flow("produce"), {"price": {k.replace("_", "-"): v for k, v in aliases.items()}})


def test_a_registry_that_agrees_says_nothing(story: Story) -> None:
    assert seen(story, champion=1) == []


@pytest.mark.parametrize("aliases", [{"champion": 3}, {}, {"champion": 1, "challenger": 2}, {"champion": 1, "last_good": 2}])
def test_a_moved_alias_is_reported_once_and_holds_the_model(story: Story, aliases: dict[str, int]) -> None:
    (told,) = seen(story, **aliases)
    story.append(told)
    assert story.state.flow("produce").models["price"].diverged == told.words
    assert seen(story, **aliases) == []
    assert any("price" in w.why for w in _waits(story))


def test_an_alias_that_is_set_back_lets_the_model_go_on(story: Story) -> None:
    story.append(*seen(story, champion=3))
    (told,) = seen(story, champion=1)
    story.append(told)
    assert told == e.RegistryAgreed("price")
    assert story.state.flow("produce").models["price"].diverged == ""
    assert seen(story, champion=1) == []


def test_what_we_are_moving_ourselves_is_no_divergence(story: Story) -> None:
    story.append(e.PromotionIntended("price", 2, "production", 1, "d1", "p@1", "digest"))
    assert seen(story, champion=2) == []


def test_a_model_that_is_not_ours_is_nobodys_business(story: Story) -> None:
    assert divergence(story.state.flow("produce"), {"somebody-elses": {"champion": 9}}) == []


def _waits(story: Story) -> tuple[object, ...]:
    from journals import RELEASE
    from retraind.core.plan import plan
    from retraind.core.scene import World

    story.settle()  # its alert
    return plan(story.state, story.times(), World(story.settings, story.policies, RELEASE)).waits
