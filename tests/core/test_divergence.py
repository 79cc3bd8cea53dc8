"""What somebody else did to the registry: seen, reported once, never overwritten, and over when it is undone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

from journals import ROOT, Children, Story, first_days, kinds, result, trained
from retraind.core import events as e
from retraind.core import messages as m
from retraind.core.divergence import ABSENT, Registered, Told, divergence, ways_out
from retraind.core.steps import Promote, Train, Trained


def good(step: Train) -> Trained:
    return trained(step, *(result(t, 1, (4.0, 4.2, 4.4, 4.6), 4.7) for t in step.targets))


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    story, children = first_days(tmp_path)
    children.trainings = [good]
    story.work(children)
    yield story
    story.journal.close()


def seen(story: Story, gone: Collection[int] = (), *, runs: Mapping[int, str] | None = None, **aliases: int) -> list[Told]:
    """What is told of a look at price: these aliases, and every version that was registered but those that are gone."""
    known = story.state.flow("produce").models["price"].versions.values()
    versions = {v.version: v.candidate.run_id for v in known if v.version not in gone} | dict(runs or {})
    named = {k.replace("_", "-"): v for k, v in aliases.items()}
    return divergence(story.state.flow("produce"), {"price": Registered(named, versions)})


def test_a_registry_that_agrees_says_nothing(story: Story) -> None:
    assert seen(story, champion=1) == []


@pytest.mark.parametrize("aliases", [{"champion": 3}, {}, {"champion": 1, "challenger": 2}, {"champion": 1, "last_good": 2}])
def test_a_moved_alias_is_reported_once_and_holds_the_model(story: Story, aliases: dict[str, int]) -> None:
    (told,) = seen(story, **aliases)
    story.append(told)
    assert isinstance(told, e.RegistryDiverged)
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
    assert divergence(story.state.flow("produce"), {"somebody-elses": Registered({"champion": 9}, {9: ""})}) == []


def test_a_version_that_was_deleted_is_told_once_and_holds_nobody(story: Story) -> None:
    assert seen(story, gone=[2, 3], champion=1) == [e.VersionGone("price", 2, ABSENT), e.VersionGone("price", 3, ABSENT)]
    story.append(*seen(story, gone=[2], champion=1))
    assert seen(story, gone=[2], champion=1) == []
    model = story.state.flow("produce").models["price"]
    assert (model.version(2).gone, model.diverged) == (ABSENT, "")  # type: ignore[union-attr]
    assert seen(story, champion=1) == [e.VersionReturned("price", 2)]


def test_another_model_under_a_known_number_counts_as_gone(story: Story) -> None:
    (told,) = seen(story, runs={2: "another"}, champion=1)
    assert isinstance(told, e.VersionGone)
    assert told.why == "MLflow's v2 is another model, of run another"


def test_a_champion_that_was_deleted_holds_its_model_and_a_person_can_say_who_comes(story: Story) -> None:
    gone, moved = seen(story, gone=[1])
    for event in (gone, moved):
        story.append(event)
    model = story.state.flow("produce").models["price"]
    assert model.diverged == f"alias champion names nothing, the journal says v1 (v1: {ABSENT})"
    assert ways_out(model) == "say who is champion: retrainctl adopt price VERSION"
    assert story.ask(m.Adopt("price", 1)) == m.Answer(
        refused=f"price v1 cannot be had: {ABSENT}", remedy="see: retrainctl versions list price"
    )
    assert story.ask(m.Adopt("price", 2, reason="the other is deleted")) is None
    story.work(Children())
    assert (model.champion, model.diverged, model.tenures[-1].version) == (2, "", 2)


def test_a_person_sets_the_alias_back_and_nobody_elses_tenure_begins(story: Story) -> None:
    story.append(*seen(story, champion=3))
    model = story.state.flow("produce").models["price"]
    assert ways_out(model) == "retrainctl adopt price 1 sets it back · retrainctl adopt price 3 takes theirs"
    refused = story.ask(m.Promote("price", 2, "production", force=True, reason="why not"))
    assert refused is not None
    assert refused.remedy == ways_out(model)
    assert story.ask(m.Adopt("price", 1, reason="a slip")) is None
    (job,) = story.settle()
    assert isinstance(job.step, Promote)
    assert (job.step.champion, job.step.found, job.step.settles) == (1, 3, True)
    story.work(Children())
    assert (model.champion, model.diverged, len(model.tenures)) == (1, "", 1)
    assert [(r.event.verdict, r.event.by) for r in kinds(story, "decision.made") if r.event.policy == "by hand"] == [
        ("hold", "ops-a")
    ]


def test_a_person_takes_what_the_others_chose(story: Story) -> None:
    story.append(*seen(story, champion=3))
    assert story.ask(m.Adopt("price", 3, reason="they know better")) is None
    story.work(Children())
    model = story.state.flow("produce").models["price"]
    assert (model.champion, model.diverged) == (3, "")
    assert model.serving
    assert model.serving.adopted == 'by ops-a: "they know better"'


def test_where_the_settings_say_so_the_version_that_others_chose_is_adopted_and_a_reason_asked_for(tmp_path: Path) -> None:
    config = (ROOT / "config.yaml").read_text("utf-8").replace("on_foreign_change: hold", "on_foreign_change: adopt")
    story, children = first_days(tmp_path, config=config)
    children.trainings = [good]
    story.work(children)
    story.append(*seen(story, champion=3))
    story.work(children)
    model = story.state.flow("produce").models["price"]
    assert (model.champion, model.diverged) == (3, "")
    (told,) = [r.event for r in kinds(story, "alert.raised")]
    assert (told.kind, told.remedy) == ("diverged", "say why: retrainctl adopt price 3 --reason WHY")
    assert story.ask(m.Adopt("price", 3, reason="tried by the buyers")) is None
    assert model.serving
    assert model.serving.adopted == 'by ops-a: "tried by the buyers"'
    story.journal.close()


@pytest.mark.parametrize("word", [m.Pause("audit"), m.Pin("price", "contract")])
def test_what_others_chose_is_not_adopted_over_a_pause_or_a_pin(tmp_path: Path, word: m.Pause | m.Pin) -> None:
    config = (ROOT / "config.yaml").read_text("utf-8").replace("on_foreign_change: hold", "on_foreign_change: adopt")
    story, children = first_days(tmp_path, config=config)
    children.trainings = [good]
    story.work(children)
    assert story.ask(word) is None
    story.append(*seen(story, champion=3))
    story.work(children)
    model = story.state.flow("produce").models["price"]
    assert model.champion == 1
    assert model.diverged
    story.journal.close()


def _waits(story: Story) -> tuple[object, ...]:
    from journals import RELEASE
    from retraind.core.plan import plan
    from retraind.core.scene import World

    story.settle()  # its alert
    return plan(story.state, story.times(), World(story.settings, story.policies, RELEASE)).waits
