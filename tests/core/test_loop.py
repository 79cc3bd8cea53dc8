"""The closed loop as `plan` decides it: soak, live figures, rollback, approval, blind flight, accuracy, refresh and search.

The children's figures are told by `journals.Children.live`: a version's live WAPE by name.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from journals import END, Children, Story, first_days, kinds, result, trained, week
from loop_shop import APPROVAL, CONFIG, POLICY, challenge, price, search, served_five_weeks, version
from retraind import settings
from retraind.core import events as e
from retraind.core import messages as m
from retraind.core import steps as s
from retraind.core.forecasting import _forecasters
from retraind.core.scene import Scene, World
from retraind.core.units import Span


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Story, Children]]:
    """Champions v1 of both targets that have served five weeks."""
    yield from served_five_weeks(tmp_path)


def outcomes(story: Story, number: int) -> dict[str, str]:
    return {c.id: c.outcome for c in version(story, number).conditions}


def test_a_challenger_soaks_in_the_shadow_and_takes_over_when_its_live_figures_hold(shop: tuple[Story, Children]) -> None:
    story, children = shop
    challenge(story, children)
    assert version(story, 2).stage == "Staging"
    assert outcomes(story, 2) == {"beats-doing-nothing": "yes", "better": "yes", "soak": "wait", "live-no-worse": "wait"}
    week(story, children, 6)
    assert price(story).champion == 1
    assert outcomes(story, 2)["live-no-worse"] == "yes"
    week(story, children, 7)
    assert price(story).champion == 2
    assert price(story).last_good == 1
    roles = {f.role: f.version for f in _newest_forecasters(story)}
    assert roles == {"champion": 2, "previous": 1}


def _newest_forecasters(story: Story) -> tuple[s.Forecaster, ...]:
    world = World(story.settings, story.policies, "0.1.0")
    scene = Scene(story.state, story.state.flow("produce"), "produce", story.settings.pipelines["produce"], world, story.times())
    return _forecasters(scene, "price")


def test_a_challenger_that_is_worse_on_live_days_waits_in_staging_and_is_given_up(shop: tuple[Story, Children]) -> None:
    story, children = shop
    children.live = {"price": {"2": 6.0}}
    challenge(story, children)
    for number in range(6, 9):
        week(story, children, number)
    assert price(story).champion == 1
    assert outcomes(story, 2)["live-no-worse"] == "no"
    assert version(story, 2).verdict == "hold"
    for number in range(9, 16):
        week(story, children, number)
    assert version(story, 2).stage == "Archived"


def _take_over(story: Story, children: Children) -> None:
    challenge(story, children)
    week(story, children, 6)
    week(story, children, 7)
    assert price(story).champion == 2


def test_two_bad_drops_roll_back_and_one_does_not(shop: tuple[Story, Children]) -> None:
    story, children = shop
    _take_over(story, children)
    children.live = {"price": {"2": 9.0}}
    week(story, children, 8)
    assert price(story).champion == 2
    week(story, children, 9)
    model = price(story)
    assert model.champion == 1
    (done,) = [r.event for r in kinds(story, "promotion.done") if r.event.to == "rollback"]
    assert (done.version, done.champion) == (1, 2)
    assert version(story, 2).stage == "Archived"
    assert "rolled back to v1" in version(story, 2).rolled_back
    assert [t.by_rollback for t in model.tenures] == [False, False, True]
    assert "live-worse" in kinds(story, "decision.made")[-1].event.words or any(
        r.event.verdict == "rollback" and "live-worse" in r.event.words for r in kinds(story, "decision.made")
    )
    roles = {f.role: f.version for f in _newest_forecasters(story)}
    assert roles == {"champion": 1}, "the bad one forecasts no more"
    made = kinds(story, "forecast.made")
    assert made[-1].seq > kinds(story, "promotion.done")[-1].seq, "the orders are made anew at once"


def test_after_a_rollback_nothing_is_promoted_for_the_cool_down_and_the_bad_one_never(shop: tuple[Story, Children]) -> None:
    story, children = shop
    _take_over(story, children)
    children.live = {"price": {"2": 9.0}}
    week(story, children, 8)
    week(story, children, 9)
    children.trainings = [search(3, 3.0, 1)]
    story.append(e.RetrainAsked("ops-a", "", now=True, search=True))
    story.work(children)
    assert version(story, 3).stage == "Staging"
    week(story, children, 10)
    assert outcomes(story, 3)["cooldown"] == "wait"
    for number in range(11, 13):
        week(story, children, number)
    assert price(story).champion == 3
    assert version(story, 2).stage == "Archived"
    refused = story.ask(m.Promote("price", 2, "production", True, "I like it"))
    assert refused is not None
    assert "rolled back" in refused.refused


def test_one_that_served_well_before_it_turned_bad_is_no_way_back(shop: tuple[Story, Children]) -> None:
    story, children = shop
    _take_over(story, children)
    for number in (8, 9):
        week(story, children, number)
    children.live = {"price": {"2": 9.0}}
    for number in (10, 11):
        week(story, children, number)
    assert price(story).champion == 1
    assert price(story).tenures[1].served == 4
    assert price(story).last_good is None


def test_an_ordinary_year_never_rolls_back(shop: tuple[Story, Children]) -> None:
    story, children = shop
    _take_over(story, children)
    for number in range(8, 40):
        children.live = {"price": {"2": 5.0 + 0.4 * (number % 3 - 1), "1": 5.0}}
        week(story, children, number)
    assert price(story).champion == 2
    assert not [r for r in kinds(story, "promotion.done") if r.event.to == "rollback"]


def test_a_pinned_champion_is_not_rolled_back_and_status_can_say_what_would_be(shop: tuple[Story, Children]) -> None:
    story, children = shop
    _take_over(story, children)
    story.ask(m.Pin("price"))
    children.live = {"price": {"2": 9.0}}
    week(story, children, 8)
    week(story, children, 9)
    assert price(story).champion == 2
    assert (version(story, 2).verdict, version(story, 2).would) == ("rollback", True)
    story.ask(m.Unpin("price"))
    story.work(children)
    assert price(story).champion == 1


def test_a_site_that_observes_decides_and_moves_nothing(tmp_path: Path) -> None:
    story, children = first_days(tmp_path)
    story.settings = settings.parse(story.config.read_text("utf-8").replace("mode: enforce", "mode: observe"))
    children.trainings = [search(1, 4.0)]
    story.work(children)
    assert (version(story, 1).verdict, version(story, 1).would) == ("promote", True)
    assert not kinds(story, "promotion.intended")
    story.journal.close()


def test_a_person_takes_the_champion_back_to_the_last_good_one_and_blocks_it(shop: tuple[Story, Children]) -> None:
    story, children = shop
    assert "no earlier version" in str(story.ask(m.Rollback("price")))
    _take_over(story, children)
    assert story.ask(m.Rollback("price", None, "buyers complain")) is None
    story.work(children)
    assert price(story).champion == 1
    assert "buyers complain" in version(story, 2).rolled_back
    assert "blocked" in str(story.ask(m.Rollback("price", 2)))


def test_a_version_that_cannot_be_loaded_makes_the_site_fly_blind_and_promotions_hold(shop: tuple[Story, Children]) -> None:
    story, children = shop
    children.silent = {("price", 1)}
    for number in range(6, 9):
        week(story, children, number)
    assert version(story, 1).unloadable
    challenge(story, children)
    assert outcomes(story, 2)["not-blind"] == "unknown" if version(story, 2).stage == "Staging" else True
    assert story.state.flow("produce").orders[0].source == "persistence"
    assert price(story).champion == 1, "no data is not evidence against the champion"


def test_a_champion_whose_files_come_back_is_looked_for_each_hour(shop: tuple[Story, Children]) -> None:
    story, children = shop
    children.silent = {("price", 1)}
    week(story, children, 6)
    assert version(story, 1).unloadable
    story.wait(minutes=50)
    assert story.settle() == ()
    children.silent = set()
    story.wait(minutes=11)
    story.work(children)
    assert not version(story, 1).unloadable
    assert {o.source for o in story.state.flow("produce").orders} == {"champion"}
    story.wait(hours=3)
    assert story.settle() == ()


def test_an_approval_counts_for_what_was_shown_and_by_whom_it_may(shop: tuple[Story, Children]) -> None:
    story, children = shop
    story.put_in_force("price", POLICY.replace("{more}", APPROVAL))
    story.settings = settings.parse(story.config.read_text("utf-8").replace("groups: {}", "groups: {pricing: [ops-a]}"))
    challenge(story, children)
    week(story, children, 6)
    week(story, children, 7)
    assert outcomes(story, 2)["buyers-agree"] == "wait"
    stranger = story.ask(m.Approve("price", 2), by="ops-z")
    assert stranger is not None
    assert "not among those who may approve" in stranger.refused
    shown = story.ask(m.Approve("price", 2, "other figures"))
    assert shown is not None
    assert "not those that you were shown" in shown.refused
    assert story.ask(m.Approve("price", 2), by="root (login ops-a)") is None, "who logged in counts, not the sudo"
    story.work(children)
    assert [a.by for a in version(story, 2).approvals] == ["ops-a"]
    assert price(story).champion == 2


def test_an_approval_is_void_when_the_production_block_is_edited(shop: tuple[Story, Children]) -> None:
    story, children = shop
    story.put_in_force("price", POLICY.replace("{more}", APPROVAL).replace("soak: {{drops: 2}}", "soak: {{drops: 3}}"))
    story.settings = settings.parse(story.config.read_text("utf-8").replace("groups: {}", "groups: {pricing: [ops-a]}"))
    challenge(story, children)
    assert story.ask(m.Approve("price", 2)) is None
    story.work(children)
    assert outcomes(story, 2)["buyers-agree"] == "yes"
    story.put_in_force("price", POLICY.replace("{more}", APPROVAL).replace("soak: {{drops: 2}}", "soak: {{drops: 1}}"))
    week(story, children, 6)
    assert outcomes(story, 2)["buyers-agree"] == "wait"
    assert price(story).champion == 1


def test_a_rejected_version_leaves_staging_and_does_not_come_back(shop: tuple[Story, Children]) -> None:
    story, children = shop
    challenge(story, children)
    assert story.ask(m.Reject("price", 2, "smells")) is None
    story.work(children)
    assert version(story, 2).stage == "Archived"
    assert "smells" in version(story, 2).words
    story.put_in_force("price", POLICY.replace("{more}", "").replace("by: 1%", "by: 0.5%"))
    week(story, children, 6)
    assert version(story, 2).stage == "Archived"


def test_errors_that_rise_against_doing_nothing_ask_for_a_refresh(shop: tuple[Story, Children]) -> None:
    story, children = shop
    children.live = {"price": {"1": 9.5}}
    children.trainings = [lambda step: trained(step, result("price", 2, (5.0,), 9.0, (1, 5.0)))]
    for number in range(6, 9):
        week(story, children, number)
    cause, *_ = [c for r in kinds(story, "retrain.requested") for c in r.event.causes if c.kind == "accuracy"]
    assert cause.key.startswith("accuracy:price:v1:h1:")
    assert "rose against persistence" in cause.words
    asked = [r.event for r in kinds(story, "retrain.requested")]
    assert [r.kind for r in asked][:2] == ["search", "refresh"]
    assert asked[1].targets == ("price", "demand"), "none grows older than the others unseen"


def test_a_model_that_no_training_renewed_for_too_long_asks_for_a_refresh(tmp_path: Path) -> None:
    story, children = first_days(tmp_path, config=CONFIG.replace("max_age: null", "max_age: 3w"))
    children.trainings = [search(1, 5.0), search(2, 5.0, 1), search(3, 5.0, 1)]
    story.work(children)
    for number in range(1, 7):
        week(story, children, number)
    asked = [(r.event.kind, [c.kind for c in r.event.causes]) for r in kinds(story, "retrain.requested")]
    assert asked == [("search", ["first"]), ("refresh", ["age"]), ("refresh", ["age"])]
    story.journal.close()


def test_a_target_without_a_champion_does_not_make_the_others_be_searched_for(tmp_path: Path) -> None:
    def only_demand(step: s.Train) -> s.Outcome:
        good, poor = result("demand", 1, (5.0,), 9.0), result("price", 1, (9.5,), 9.0)
        return trained(step, *(one for one in (poor, good) if one.target in step.targets))

    story, children = first_days(tmp_path, config=CONFIG)
    for target in ("price", "demand"):
        story.put_in_force(target, POLICY.replace("{more}", ""))
    children.trainings = [only_demand]
    story.work(children)
    children.trainings = [search(number, 9.5) for number in range(2, 6)]
    for number in range(1, 3):
        week(story, children, number)
    assert [c.cause.kind for c in story.state.flow("produce").causes] == ["first"], "held by its cool-down"
    story.append(e.RetrainAsked("ops-a", "", now=True, search=False))
    story.work(children)
    asked = [(r.event.kind, [c.kind for c in r.event.causes]) for r in kinds(story, "retrain.requested")]
    assert asked[0] == ("search", ["first"])
    assert asked[-1] == ("refresh", ["first", "operator"])
    story.journal.close()


def test_a_first_training_in_vain_says_how_often_and_rests_as_config_yaml_says(tmp_path: Path) -> None:
    story, children = first_days(tmp_path, config=CONFIG)
    for target in ("price", "demand"):
        story.put_in_force(target, POLICY.replace("{more}", ""))
    children.trainings = [search(number, 9.5) for number in range(1, 9)]
    story.work(children)
    for number in range(1, 9):
        week(story, children, number)
    held = list(dict.fromkeys(r.event.reason.split(" after")[0] for r in kinds(story, "retrain.held")))
    # the first was the quiet period, and a week after the first try there was a week's drop
    assert held[1:] == [f"tried in vain {times} times, again {rest}" for times, rest in ((2, "2w"), (3, "4w"), (4, "4w"))]
    (comment,) = [line.split("#")[1] for line in CONFIG.splitlines() if line.strip().startswith("cooldown:")]
    assert "while a first champion is sought in vain: 1w, 2w, then 4w" in comment
    story.journal.close()


def test_after_a_training_that_failed_the_next_rests_a_day_and_never_longer_than_the_cool_down(tmp_path: Path) -> None:
    for cooldown, rest in (("3w", "1d"), ("6h", "6h")):
        story, children = first_days(tmp_path / cooldown, config=CONFIG.replace("cooldown: 3w", f"cooldown: {cooldown}"))
        children.trainings = [lambda step: s.Failed("out of memory", "", False)]
        story.work(children)
        for name, table, role in (("wholesale", "wholesale", "companion"), ("sales", "sales", "main")):
            children.tables[story.drop(f"{name}.csv")] = (table, role, 301, END, END + dt.timedelta(days=1))
        story.work(children)
        story.append(e.CauseNoted(e.Cause("accuracy", "accuracy:price:v1:h1:2026-10-31", "errors rose")))
        story.wait(minutes=3)
        story.work(children)
        held = kinds(story, "retrain.held")[-1].event
        (failed,) = kinds(story, "retrain.failed")
        assert held.until == failed.times.site + Span.parse(rest).delta
        story.journal.close()


def test_a_candidate_meets_the_champion_that_came_back_under_it(shop: tuple[Story, Children]) -> None:
    story, children = shop
    _take_over(story, children)
    children.trainings = [search(3, 4.9, 2)]
    story.append(e.RetrainAsked("ops-a", "", now=True, search=True))
    story.work(children)
    assert version(story, 3).compared_with == 2
    assert story.ask(m.Rollback("price", 1, "bad")) is None
    story.work(children)
    told = [(r.event.target, r.event.champion_version) for r in kinds(story, "candidate.compared")]
    assert ("price", 1) in told
    assert price(story).results[version(story, 3).request].champion_version == 1


def test_nobody_is_judged_before_the_newest_figures_are_there(shop: tuple[Story, Children]) -> None:
    story, children = shop
    challenge(story, children)
    before = len(kinds(story, "decision.made"))
    story.wait(days=7)
    last = dt.date(2026, 10, 31) + dt.timedelta(days=42)
    for name, table, role in (("wholesale_prices", "wholesale", "companion"), ("daily_sales", "sales", "main")):
        children.tables[story.drop(f"{name}_{last}.csv")] = (table, role, 301, last - dt.timedelta(days=6), last)  # type: ignore[assignment]
    (examine,) = [j for j in story.settle() if j.name == "examine"]
    story.finish(examine, children(examine))
    (measure,) = story.settle()
    assert (measure.name, len(kinds(story, "decision.made"))) == ("measure", before)
    story.finish(measure, children(measure))
    assert [j.name for j in story.settle()] == ["forecast"]
    assert len(kinds(story, "decision.made")) == before
    story.work(children)
    assert len(kinds(story, "decision.made")) > before
