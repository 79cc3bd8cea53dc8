"""What a person may say over the policies: who may outrank whom, and that it ends."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from journals import POLICY, START, Children, Story, first_days, good, kinds, result, trained, week
from retraind.core import events as e
from retraind.core import messages as m
from retraind.core.state import Model, Version

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Story, Children]]:
    """v1 is champion of both models; the next training brings v5, which its policy lets through."""
    story, children = first_days(tmp_path)
    children.trainings = [good] * 10
    story.work(children)
    yield story, children
    story.journal.close()


def price(story: Story) -> Model:
    return story.state.flow("produce").models["price"]


def v5(story: Story) -> Version:
    return price(story).versions["5"]


def train(story: Story, children: Children) -> None:
    """A person asks, and everything is worked off."""
    week(story, children, 1)
    story.append(e.RetrainAsked("ops-b", "", now=True))
    story.work(children)


def test_a_pinned_champion_stays_and_what_would_take_its_place_is_told(shop: tuple[Story, Children]) -> None:
    story, children = shop
    assert story.ask(m.Pin("price", "supplier dispute")) is None
    train(story, children)
    assert (price(story).champion, price(story).challenger) == (1, 5)
    assert (v5(story).verdict, v5(story).to, v5(story).would) == ("promote", "production", True)
    assert v5(story).words.endswith("but v1 is pinned by ops-a")
    assert story.state.flow("produce").models["demand"].champion == 5


def test_an_unpinned_model_goes_where_its_policy_says(shop: tuple[Story, Children]) -> None:
    story, children = shop
    story.ask(m.Pin("price"))
    train(story, children)
    assert story.ask(m.Unpin("price", "settled")) is None
    story.work(children)
    assert (price(story).champion, v5(story).would) == (5, False)


def test_a_freeze_holds_production_and_not_staging(shop: tuple[Story, Children]) -> None:
    story, children = shop
    end = story.now + dt.timedelta(days=30)
    story.ask(m.Freeze("price", "stocktaking", end))
    train(story, children)
    assert (v5(story).stage, v5(story).verdict) == ("Staging", "hold")
    assert v5(story).words == f'holds: frozen by ops-a until {shown(end)}: "stocktaking"'
    (frozen,) = (c for c in v5(story).conditions if c.kind == "freeze")
    assert (frozen.id, frozen.outcome, frozen.until) == ("frozen", "wait", end)


def shown(end: dt.datetime) -> str:
    return f"{end.astimezone(SHANGHAI):%Y-%m-%d %H:%M}"


def test_an_override_ends_by_itself_when_its_time_is_over(shop: tuple[Story, Children]) -> None:
    story, children = shop
    story.ask(m.Freeze(None, "stocktaking", story.now + dt.timedelta(days=9)))
    train(story, children)
    assert price(story).champion == 1
    story.wait(days=3)
    story.work(children)
    assert price(story).champion == 5
    (lifted,) = kinds(story, "override.lifted")
    assert lifted.event == e.OverrideLifted("freeze", "retraind", "its time is over")
    assert story.state.overrides == []


def test_overrides_of_a_kind_stand_beside_each_other_and_the_last_word_on_one_model_counts(
    shop: tuple[Story, Children],
) -> None:
    story, _ = shop
    story.ask(m.Freeze("price", "first"))
    story.ask(m.Freeze(None, "all"))
    story.ask(m.Freeze("price", "second"))
    assert [(o.model, o.reason) for o in story.state.overrides] == [(None, "all"), ("price", "second")]
    refused = story.ask(m.Unfreeze("demand"))
    assert refused is not None
    assert "with all the others" in refused.refused
    assert story.ask(m.Unfreeze("price")) is None
    assert [o.model for o in story.state.overrides] == [None]
    story.ask(m.Freeze("price", "third"))
    story.ask(m.Unfreeze())
    assert story.state.overrides == []


def test_lifting_what_is_not_set_is_a_success_that_says_so(shop: tuple[Story, Children]) -> None:
    story, _ = shop
    assert story.ask(m.Unpin("price")) == m.Answer(done="price was not pinned")
    assert story.ask(m.Unfreeze()) == m.Answer(done="it was not frozen")
    assert story.ask(m.Resume()) == m.Answer(done="it was not paused")


def test_what_has_no_champion_cannot_be_pinned(tmp_path: Path) -> None:
    story, children = first_days(tmp_path)
    children.trainings = [good]
    refused = story.ask(m.Pin("price"))
    assert refused is not None
    assert refused.refused == "there is no model price"
    story.ask(m.Freeze(None))
    story.work(children)
    refused = story.ask(m.Pin("price"))
    assert refused is not None
    assert refused.refused == "price has no champion to pin"
    story.journal.close()


def test_a_pin_waits_for_a_promotion_that_is_on_its_way(shop: tuple[Story, Children]) -> None:
    story, children = shop
    week(story, children, 1)
    story.append(e.RetrainAsked("ops-b", "", now=True, targets=("price",)))
    story.finish(story.settle()[0], good(story.settle()[0].step))  # type: ignore[arg-type]
    story.settle()
    assert price(story).intention is not None
    refused = story.ask(m.Pin("price"))
    assert refused is not None
    assert refused.refused == "price v5 is on its way to Staging this moment"


def test_a_blocked_version_goes_nowhere_until_it_is_unblocked(shop: tuple[Story, Children]) -> None:
    story, children = shop
    story.ask(m.Freeze("price"))
    train(story, children)
    assert story.ask(m.Block("price", 5, "wrong region")) is None
    story.ask(m.Unfreeze("price"))
    story.work(children)
    assert (v5(story).verdict, v5(story).words) == ("blocked", 'blocked: by ops-a: "wrong region"')
    assert (v5(story).stage, price(story).champion) == ("Archived", 1)


def test_a_version_that_is_unblocked_before_it_left_is_judged_again(shop: tuple[Story, Children]) -> None:
    story, children = shop
    week(story, children, 1)
    story.append(e.RetrainAsked("ops-b", "", now=True, targets=("price",)))
    (job,) = story.settle()
    story.ask(m.Pause())
    story.finish(job, good(job.step))  # type: ignore[arg-type]
    assert story.ask(m.Block("price", 5)) is None
    story.work(children)
    assert (v5(story).verdict, v5(story).stage) == ("blocked", "None")
    story.ask(m.Unblock("price", 5))
    story.work(children)
    assert v5(story).verdict == "promote"
    story.ask(m.Resume())
    story.work(children)
    assert (price(story).champion, v5(story).stage) == (5, "Production")


def test_a_block_that_makes_no_sense_is_refused_and_says_why(shop: tuple[Story, Children]) -> None:
    story, _ = shop
    for version, why in ((1, "price v1 is the champion"), (99, "there is no price v99")):
        refused = story.ask(m.Block("price", version))
        assert refused is not None
        assert refused.refused.startswith(why)
    assert story.ask(m.Unblock("price", 2)) == m.Answer(done="price v2 was not blocked")


def test_by_hand_goes_what_the_conditions_allow(shop: tuple[Story, Children]) -> None:
    story, children = shop
    story.ask(m.Freeze("price"))
    train(story, children)
    refused = story.ask(m.Promote("price", 5, "production"), "ops-c")
    assert refused is not None
    assert refused.refused == (
        "price v5 is not promoted by hand: holds: frozen by ops-a (frozen: frozen by ops-a)"
    )
    story.ask(m.Unfreeze("price"))
    assert story.ask(m.Promote("price", 5, "production", reason="now"), "ops-c") is None
    story.work(children)
    assert (price(story).champion, v5(story).forced, v5(story).policy) == (5, "", "by hand")
    assert v5(story).words == 'promote to production, says ops-c: "now" (by hand, as its policy allows)'
    assert price(story).tenures[-1].decision == v5(story).decision


def test_by_hand_a_no_stays_a_no_and_says_which_condition(shop: tuple[Story, Children]) -> None:
    story, children = shop
    children.trainings = [lambda step: trained(step, result("price", 5, (4.5, 4.6, 4.65, 4.66), 4.7, (1, 4.0)))]
    week(story, children, 1)
    story.append(e.RetrainAsked("ops-b", "", now=True, targets=("price",)))
    story.work(children)
    refused = story.ask(m.Promote("price", 5, "production"))
    assert refused is not None
    assert "no-worse-than-champion: WAPE" in refused.refused
    assert refused.remedy == (  # of whichever command asked: `runs promote` has no --force
        "a person outranks this with: retrainctl promote price 5 --to production --force --reason WHY"
    )
    assert story.ask(m.Freeze("price")) is None
    assert story.ask(m.Promote("price", 5, "production", True, "I insist")) is None
    words = kinds(story, "decision.made")[-1].event.words
    assert words.endswith("its policy holds: frozen by ops-a; besides it says no: no-worse-than-champion)")


def test_force_outranks_policy_and_freeze_and_is_told(shop: tuple[Story, Children]) -> None:
    story, children = shop
    story.ask(m.Freeze(None))
    assert story.ask(m.Promote("price", 3, "production", True, "the only one that knows leeks")) is None
    story.work(children)
    assert (price(story).champion, price(story).last_good) == (3, None)  # v1 served too shortly to be the way back
    assert price(story).versions["3"].forced == 'by ops-a: "the only one that knows leeks"'
    assert price(story).versions["1"].stage == "Archived"


def test_force_outranks_no_pause_no_pin_and_no_block_and_needs_a_reason(shop: tuple[Story, Children]) -> None:
    story, _ = shop
    to_production = m.Promote("price", 3, "production", True, "I insist")
    for override, lift, why in (
        (m.Pin("price"), m.Unpin("price"), "v1 of price is pinned by ops-a"),
        (m.Block("price", 3), m.Unblock("price", 3), "price v3 is blocked by ops-a"),
        (m.Pause(), m.Resume(), "paused by ops-a"),
    ):
        story.ask(override)
        refused = story.ask(to_production)
        assert refused is not None
        assert refused.refused == why
        story.ask(lift)
    refused = story.ask(m.Promote("price", 3, "production", force=True))
    assert refused is not None
    assert refused.refused == "force needs a reason"
    assert kinds(story, "promotion.intended")[-1].event.version == 1
    assert story.ask(to_production) is None


def test_a_version_forced_into_staging_stays_until_another_passes_it(shop: tuple[Story, Children]) -> None:
    story, children = shop
    story.put_in_force("price", POLICY.replace("at_least: 0.5%", "at_least: 50%"))
    refused = story.ask(m.Promote("price", 3, "staging"))
    assert refused is not None
    assert "rejected: beats-doing-nothing says no" in refused.refused
    assert story.ask(m.Promote("price", 3, "staging", True, "watch it")) is None
    story.work(children)
    story.wait(days=90)
    story.work(children)
    assert (price(story).challenger, price(story).versions["3"].stage) == (3, "Staging")
    story.put_in_force("price", POLICY)
    story.work(children)
    assert price(story).challenger == 3
    train(story, children)
    assert (price(story).champion, price(story).challenger) == (5, None)
    assert price(story).versions["3"].stage == "Archived"


def test_by_hand_what_is_so_already_is_a_success_and_the_champion_leaves_only_for_another(
    shop: tuple[Story, Children],
) -> None:
    story, _ = shop
    assert story.ask(m.Promote("price", 1, "production")) == m.Answer(done="price v1 is in Production already")
    refused = story.ask(m.Promote("price", 1, "staging", True, "down with it"))
    assert refused is not None
    assert refused.refused.startswith("price v1 is the champion")


@pytest.mark.parametrize("name", sorted(m.MESSAGES))
def test_no_field_of_a_message_is_taken_by_the_envelope(name: str) -> None:
    assert {f.name for f in dataclasses.fields(m.MESSAGES[name])} & {"version", "id", "message"} == set()


def test_a_message_comes_out_of_the_socket_as_it_went_in() -> None:
    for message in (m.Promote("price", 7, "production", True, "why"), m.Block("price", 6), m.Freeze(None, "", START)):
        envelope = m.Envelope("a1", message)
        assert m.decode(json.loads(json.dumps(m.encode(envelope)))) == envelope
