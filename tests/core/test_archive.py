"""Which versions lose their files: what is past both bounds, and never who serves, may serve, or is the way back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from journals import Children, Story, first_days, kinds, stranger, week
from loop_shop import CONFIG, POLICY, search
from retraind.core import events as e
from retraind.core import messages as m
from retraind.core import steps as s
from retraind.core.archive import needed
from retraind.core.state import Model


class Removing(Children):
    """Removes what it is asked to, but for versions that somebody else's alias names."""

    blessed: tuple[int, ...] = ()

    def __call__(self, planned: object) -> s.Outcome:
        if isinstance(planned.step, s.Archive):  # type: ignore[attr-defined]
            asked = planned.step.versions  # type: ignore[attr-defined]
            bare = tuple(s.Bare(v.version, 1_000) for v in asked if v.version not in self.blessed)
            return s.Archived(bare, tuple(s.Spared(v.version, "alias lab names it") for v in asked if v.version in self.blessed))
        return super().__call__(planned)  # type: ignore[arg-type]


def with_archive(block: str) -> str:
    return POLICY.replace("{more}", "").replace("rollback:\n", f"archive: {{{{{block}}}}}\nrollback:\n")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Story, Removing]]:
    """Six champions of price one after the other, by force; v6 serves."""
    story, _ = first_days(tmp_path, config=CONFIG)
    children = Removing()
    children.tables |= _.tables
    story.put_in_force("price", POLICY.replace("{more}", ""))
    children.trainings = [search(1, 5.0)]
    story.work(children)
    for number in range(2, 7):
        week(story, children, number - 1)
        children.trainings = [search(number, 5.0 - 0.1 * number, number - 1)]
        story.append(e.RetrainAsked("ops-a", "", now=True, search=True, targets=("price",)))
        story.work(children)
        if price(story).champion != number:
            assert story.ask(m.Promote("price", number, "production", force=True, reason="next")) is None
        story.work(children)
    assert price(story).champion == 6
    yield story, children
    story.journal.close()


def price(story: Story) -> Model:
    return story.state.flow("produce").models["price"]


def bare(story: Story) -> list[int]:
    return [v.version for v in price(story).versions.values() if v.bare]


def test_without_the_block_everything_stays(shop: tuple[Story, Removing]) -> None:
    story, children = shop
    story.wait(days=400)
    story.work(children)
    assert bare(story) == []


def test_what_is_past_both_bounds_loses_its_files_oldest_first_and_only_once(shop: tuple[Story, Removing]) -> None:
    story, children = shop
    story.put_in_force("price", with_archive("keep_last: 2, older_than: 90d"))
    story.work(children)
    assert bare(story) == [], "too young"
    story.wait(days=91)
    story.work(children)
    assert bare(story) == [1, 2, 3], "v4 and v5 are the newest two archived ones"
    told = [r.event for r in kinds(story, "artifacts.removed")]
    assert [(t.version, t.bytes, t.policy.partition("@")[0]) for t in told] == [(n, 1_000, "price") for n in (1, 2, 3)]
    assert [j.name for j in story.settle()] == []


def test_the_way_back_the_champion_and_strangers_keep_theirs(shop: tuple[Story, Removing]) -> None:
    story, children = shop
    children.strangers[9] = stranger(9)
    for number in range(6, 11):
        week(story, children, number)
    story.ask(m.Adopt("price", 9, 1))
    story.work(children)
    story.ask(m.Rollback("price", 6))
    story.work(children)
    assert (price(story).champion, price(story).version(9).stage) == (6, "Archived")  # type: ignore[union-attr]
    story.put_in_force("price", with_archive("older_than: 1d"))
    story.wait(days=200)
    kept = {price(story).last_good}
    story.work(children)
    assert set(bare(story)) == {1, 2, 3, 4, 5} - kept


def test_a_version_that_others_name_is_spared_and_not_asked_about_again(shop: tuple[Story, Removing]) -> None:
    story, children = shop
    children.blessed = (2,)
    story.put_in_force("price", with_archive("keep_last: 3"))
    story.work(children)
    assert bare(story) == [1]
    assert price(story).version(2).spared == "alias lab names it"  # type: ignore[union-attr]
    assert story.settle() == ()


def test_a_version_without_files_is_neither_promoted_nor_gone_back_to(shop: tuple[Story, Removing]) -> None:
    story, children = shop
    story.put_in_force("price", with_archive("keep_last: 1"))
    story.work(children)
    for message in (m.Rollback("price", 1), m.Promote("price", 1, "production", force=True, reason="why not")):
        answer = story.ask(message)
        assert answer
        assert answer.refused.startswith("price v1 cannot be had: its files were removed by policy price@")


def test_a_dry_run_and_a_pause_remove_nothing(shop: tuple[Story, Removing]) -> None:
    story, children = shop
    story.put_in_force("price", with_archive("keep_last: 1").replace("mode: enforce", "mode: dry_run"))
    story.work(children)
    story.put_in_force("price", with_archive("keep_last: 1"))
    story.ask(m.Pause("audit"))
    story.work(children)
    assert bare(story) == []


def test_the_kept_files_that_forecasts_need_are_those_of_who_may_serve(shop: tuple[Story, Removing]) -> None:
    story, _ = shop
    versions = price(story).versions
    ours = needed(story.state.flow("produce"))
    # v1 of demand, which serves, bears the digest of price's v1 in these stories
    assert {n for n, v in versions.items() if v.candidate.model_digest in ours} == {"1", "4", "5", "6"}
