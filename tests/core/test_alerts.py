"""What a person is told of, once each, and when an alert is tried again: the real core, the world told by events."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journals import END, RELEASE, ROOT, ROW_118, Children, Story, first_days, good, kinds
from retraind.core import alerts
from retraind.core import events as e
from retraind.core import steps as s
from retraind.core.fold import apply
from retraind.core.plan import plan
from retraind.core.scene import Scene, World
from retraind.core.settings import AlertKind
from retraind.core.state import State

CONFIG = (ROOT / "config.yaml").read_text("utf-8")
TOLD = CONFIG.replace("alerts: {}", 'alerts: {ops: {webhook: "http://localhost/"}, buyers: {command: [tell], kinds: [rollback]}}')
AT = dt.datetime(2026, 11, 2, 1, 0, tzinfo=dt.UTC)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Story, Children]]:
    """Champions for both targets stand."""
    story, children = first_days(tmp_path, config=TOLD)
    children.trainings = [good] * 5
    story.work(children)
    yield story, children
    story.journal.close()


def raised(story: Story, kind: str) -> list[e.AlertRaised]:
    return [r.event for r in kinds(story, "alert.raised") if r.event.kind == kind]


def test_an_ordinary_start_alarms_nobody(shop: tuple[Story, Children]) -> None:
    story, _ = shop
    assert kinds(story, "alert.raised") == []


def test_a_quarantined_drop_is_told_once_with_its_reason_to_those_who_want_it(shop: tuple[Story, Children]) -> None:
    story, children = shop
    bad = story.drop("daily_sales_broken.csv")
    children.bad[bad] = s.Quarantined(bad, (ROW_118,), 1)
    story.work(children)
    story.wait(days=3)
    story.work(children)
    (alert,) = raised(story, "quarantine")
    assert alert.words == "daily_sales_broken.csv was not taken: quantity_kg is -3.5, must be at least 0"
    assert alert.remedy == f"mend it and run: retrainctl drops retry {bad}"
    assert alert.channels == ("ops",)


def test_ten_quarantined_drops_are_raised_in_one_turn(shop: tuple[Story, Children]) -> None:
    story, children = shop
    for i in range(10):
        bad = story.drop(f"daily_sales_{i}.csv")
        children.bad[bad] = s.Quarantined(bad, (ROW_118,), 1)
    story.work(children)
    assert len(raised(story, "quarantine")) == 10
    seqs = [r.seq for r in kinds(story, "alert.raised")]
    assert seqs == list(range(seqs[0], seqs[0] + 10))


def test_a_rollback_is_told_to_all_with_what_the_bad_version_was(shop: tuple[Story, Children]) -> None:
    story, _ = shop
    story.append(e.PromotionIntended("price", 2, "rollback", 1, "decided", "price@abc", "digest"))
    story.append(e.PromotionDone("price", 2, "rollback", 1, None, "decided", (1,)))
    story.settle()
    (alert,) = raised(story, "rollback")
    assert alert.channels == ("ops", "buyers")
    assert alert.words.startswith("price: v1 was rolled back to v2")
    story.append(e.PromotionDone("price", 1, "rollback", 2, None, "decided", (2,)))
    story.settle()
    assert len({a.key for a in raised(story, "rollback")}) == 2  # the same way again is another rollback


def decided(version: int, *outcomes: tuple[str, str]) -> e.DecisionMade:
    conditions = tuple(e.ConditionOutcome(f"c{i}", kind, outcome, "", "production")  # type: ignore[arg-type]
                       for i, (kind, outcome) in enumerate(outcomes))  # fmt: skip
    return e.DecisionMade(f"d{version}", "price", version, "hold", None, "price@abc", conditions, "waits")


@pytest.mark.parametrize(
    ("outcomes", "is_wanted"),
    [
        ((("approval", "wait"), ("fresh", "yes")), True),
        ((("approval", "wait"), ("soak", "wait")), False),
        ((("approval", "wait"), ("fresh", "unknown")), False),
        ((("soak", "wait"),), False),
    ],
)
def test_approval_is_asked_for_when_nothing_else_is_missing(
    shop: tuple[Story, Children], outcomes: tuple[tuple[str, str], ...], is_wanted: bool
) -> None:
    story, _ = shop
    story.append(e.PromotionDone("price", 2, "staging", 1, None, "d"))
    story.append(decided(2, *outcomes))
    told = {n.event.kind for n in alerts.alerts(_scene(story))}
    assert ("approval" in told) == is_wanted


def _scene(story: Story) -> Scene:
    world = World(story.settings, story.policies, RELEASE)
    config = story.settings.pipelines[story.pipeline]
    return Scene(story.state, story.state.flow(story.pipeline), story.pipeline, config, world, story.times())


def test_an_incomplete_day_and_a_registry_that_diverges_twice_are_told(shop: tuple[Story, Children]) -> None:
    story, _ = shop
    story.append(e.DayIncomplete("ab", END, 8, 20.0, "8 items where 20 are usual"))
    story.append(e.RegistryDiverged("price", "champion", 1, 3))
    story.settle()
    story.append(e.RegistryAgreed("price"))
    story.settle()
    story.append(e.RegistryDiverged("price", "champion", 1, 3))
    story.settle()
    assert [a.key for a in raised(story, "incomplete_day")] == [f"incomplete_day:{END}"]
    assert len(raised(story, "diverged")) == 2


def test_a_marker_that_is_a_little_behind_its_drop_alarms_nobody(tmp_path: Path) -> None:
    config = TOLD.replace('# marker: "{date}.complete"', 'marker: "{date}.complete"')
    story, children = first_days(tmp_path, config=config)
    children.trainings = [good] * 2
    story.work(children)
    story.append(e.DayIncomplete("ab", END, 20, 20.0, "its marker has not come"))
    story.state.flow("produce").newest_main = story.now
    story.settle()
    assert raised(story, "incomplete_day") == []
    story.wait(hours=2, seconds=1)
    story.settle()
    assert len(raised(story, "incomplete_day")) == 1
    story.journal.close()


def test_a_training_that_failed_for_good_and_an_unloadable_champion_are_told(shop: tuple[Story, Children]) -> None:
    story, _ = shop
    request = next(iter(story.state.flow("produce").requests))
    story.append(e.RetrainFailed(request, "out of memory"))
    made = e.ForecastMade("k", END, None, (), unloadable=(e.Unloadable("price", 1, "its file is gone"),))
    story.append(made)
    told = {n.event.kind: n.event.words for n in alerts.alerts(_scene(story))}
    assert told["retrain_failed"] == f"training {request} failed for good: out of memory"
    assert told["unloadable"] == "price's champion v1 cannot be loaded: its file is gone"


# ---- when to try ----


class Desk:
    """Alerts on their way: events folded by hand, and the clock that the test moves."""

    def __init__(self, *channels: str) -> None:
        self.state, self.now, self.channels = State(), AT, channels

    def append(self, event: object) -> None:
        times = e.Times(self.now, self.now, self.now)
        apply(self.state, e.Record(self.state.seq + 1, "produce", times, event))

    def raise_(self, *keys: str) -> None:
        for key in keys:
            self.append(e.AlertRaised(key, "rollback", "words", channels=self.channels))

    def due(self, *under_way: str) -> list[tuple[str, str]]:
        return [(d.channel, d.alert.key) for d in alerts.due(self.state, self.channels, under_way, self.now)]

    def fail(self, key: str, channel: str = "ops") -> None:
        over = alerts.is_given_up(self.state.alerts[key], channel, self.now)
        self.append(e.AlertUndelivered(key, channel, "refused", over))

    def wait(self, **span: float) -> None:
        self.now += dt.timedelta(**span)


def test_each_channel_gets_one_alert_at_a_time_the_oldest_first() -> None:
    desk = Desk("ops", "buyers")
    desk.raise_("a", "b")
    assert desk.due() == [("ops", "a"), ("buyers", "a")]
    assert desk.due("ops") == [("buyers", "a")]
    desk.append(e.AlertDelivered("a", "ops"))
    assert desk.due() == [("ops", "b"), ("buyers", "a")]
    desk.append(e.AlertDelivered("b", "ops"))
    assert desk.due("buyers") == []


def test_a_channel_that_is_away_is_asked_ever_more_seldom_with_one_alert_whatever_waits() -> None:
    desk = Desk("ops")
    desk.raise_(*(f"k{i}" for i in range(50)))
    asked, began = 0, desk.now
    while desk.now < began + dt.timedelta(days=1):
        (found,) = desk.due()
        asked += 1
        desk.fail(found[1])
        assert desk.due() == []
        until = alerts.next_due(desk.state, ["ops"])
        assert until is not None
        assert until - desk.now <= dt.timedelta(hours=1)
        desk.now = until
    assert asked < 35  # ten until the wait is an hour, then one an hour
    desk.append(e.AlertDelivered("k40", "ops"))
    assert desk.due() != []  # back again: the others follow at once


def test_an_alert_that_nobody_takes_does_not_hold_up_the_others() -> None:
    desk = Desk("ops")
    desk.raise_("poison", "good", "better")
    desk.fail("poison")
    desk.wait(seconds=10)
    assert desk.due() == [("ops", "good")]
    desk.append(e.AlertDelivered("good", "ops"))
    assert desk.due() == [("ops", "better")]
    desk.append(e.AlertDelivered("better", "ops"))
    assert desk.due() == [("ops", "poison")]


def test_an_alert_is_tried_for_days_before_it_is_given_up() -> None:
    desk = Desk("ops")
    desk.raise_("a")
    while (until := alerts.next_due(desk.state, ["ops"])) or desk.state.alerts["a"].deliveries["ops"].tries == 0:
        desk.now = until or desk.now
        desk.fail("a")
    assert desk.now - AT > dt.timedelta(days=7)
    assert desk.state.alerts["a"].deliveries["ops"].state == "given_up"
    assert desk.due() == []


def test_a_daemon_that_was_down_for_a_month_tries_more_than_once() -> None:
    desk = Desk("ops")
    desk.raise_("a")
    desk.wait(days=30)
    desk.fail("a")
    assert desk.state.alerts["a"].deliveries["ops"].state == "waiting"


def test_a_channel_that_left_the_settings_is_asked_no_more_and_waits_for_its_return() -> None:
    desk = Desk("ops")
    desk.raise_("a")
    assert alerts.due(desk.state, (), (), desk.now) == ()
    assert desk.due() == [("ops", "a")]


@given(st.lists(st.tuples(st.sampled_from(["raise", "fail", "take", "wait"]), st.integers(1, 5000)), max_size=60))
def test_whatever_happens_every_alert_is_taken_once_or_still_waits(story: list[tuple[str, int]]) -> None:
    desk, taken = Desk("ops"), list[str]()
    for number, (what, seconds) in enumerate(story):
        if what == "raise":
            desk.raise_(f"k{number}")
        elif what == "wait":
            desk.wait(seconds=seconds)
        elif found := desk.due():
            key = found[0][1]
            if what == "fail":
                desk.fail(key)
            else:
                desk.append(e.AlertDelivered(key, "ops"))
                taken.append(key)
    assert len(taken) == len(set(taken))
    waiting = {key for key, alert in desk.state.alerts.items() if alert.deliveries["ops"].state == "waiting"}
    assert waiting | set(taken) == set(desk.state.alerts)
    if waiting:
        desk.wait(hours=1)
        assert desk.due() != []


def test_the_plan_raises_an_alert_before_it_starts_a_job(shop: tuple[Story, Children]) -> None:
    story, _ = shop
    story.append(e.RegistryDiverged("price", "champion", 1, 3))
    steps = plan(story.state, story.times(), World(story.settings, story.policies, RELEASE))
    assert [type(n.event) for n in steps.notes if isinstance(n, s.Note)] == [e.AlertRaised]
    assert steps.jobs == ()


def test_every_kind_of_alert_is_explained_and_nothing_else() -> None:
    page = (ROOT / "docs" / "drops.md").read_text("utf-8")
    table = page.split("| kind | raised when |", 1)[1].split("\n\n", 1)[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(get_args(AlertKind))
