"""The plan: level-triggered, at rest sooner or later, and never twice the same.

Children's outcomes are told (`journals.Story`), everything that decides is real.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from journals import (
    END,
    POLICY,
    RELEASE,
    ROOT,
    Children,
    Ended,
    Story,
    accepted,
    first_days,
    good,
    kinds,
    result,
    trained,
    week,
)
from retraind.core import events as e
from retraind.core import messages as m
from retraind.core import steps as s
from retraind.core.binding import bind, unbind
from retraind.core.fold import apply
from retraind.core.plan import PlannedJob, plan
from retraind.core.scene import World
from retraind.core.state import State
from retraind.journal.read import opened, records

CONFIG = (ROOT / "config.yaml").read_text("utf-8")
ON_DATA_CLOCK = CONFIG.replace("clock: wall ", "clock: data ")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Story, Children]]:
    """Champions for both targets stand; ten more trainings may come."""
    story, children = first_days(tmp_path)
    children.trainings = [good] * 10
    story.work(children)
    yield story, children
    story.journal.close()


def test_the_first_drops_train_once_and_promote_one_version_a_target(shop: tuple[Story, Children]) -> None:
    story, _ = shop
    assert len(kinds(story, "retrain.requested")) == 1
    done = [(r.event.model, r.event.version, r.event.to) for r in kinds(story, "promotion.done")]
    assert sorted(done) == [(m, 1, to) for m in ("demand", "price") for to in ("production", "staging")]
    models = story.state.flow("produce").models
    assert {m.champion for m in models.values()} == {1}
    assert all(m.versions["2"].verdict == "superseded" for m in models.values())


def test_nothing_is_planned_when_nothing_happened(shop: tuple[Story, Children]) -> None:
    story, _ = shop
    before = story.state.seq
    story.wait(minutes=1)
    assert story.settle() == ()
    assert story.state.seq == before


def test_drift_retrains_and_the_better_version_takes_over(shop: tuple[Story, Children]) -> None:
    story, children = shop
    week(story, children, 1)
    week(story, children, 2)
    week(story, children, 3, drifting=True)
    causes = [c.kind for r in kinds(story, "retrain.requested") for c in r.event.causes]
    assert causes == ["first", "drift"]
    model = story.state.flow("produce").models["price"]
    assert (model.champion, model.last_good) == (5, 1)
    assert model.versions["1"].stage == "Archived"


def test_drift_asks_when_so_many_of_the_last_windows_drift_as_the_settings_say(tmp_path: Path) -> None:
    config = CONFIG.replace("      drifting: 1 ", "      drifting: 2 ").replace("      of: 1 ", "      of: 3 ")
    story, children = first_days(tmp_path, config=config)
    children.trainings = [good] * 10
    story.work(children)
    for number, drifting in enumerate((False, False, True, False, True), start=1):
        week(story, children, number, drifting=drifting)
        assert len(kinds(story, "retrain.requested")) == (2 if number == 5 else 1)
    (declined,) = kinds(story, "retrain.declined")
    assert declined.event.reason == "1 of the last 3 windows drifted, a training is asked for from 2 on"
    story.journal.close()


def test_drift_that_the_cool_down_holds_is_not_forgotten_when_the_next_window_is_calm(shop: tuple[Story, Children]) -> None:
    story, children = shop
    week(story, children, 1)
    week(story, children, 2, drifting=True)
    assert "cool-down of 3w" in kinds(story, "retrain.held")[-1].event.reason
    week(story, children, 3)
    assert [[c.kind for c in r.event.causes] for r in kinds(story, "retrain.requested")] == [["first"], ["drift"]]


def test_a_verdict_is_told_before_models_take_their_time(shop: tuple[Story, Children]) -> None:
    story, children = shop
    before = len(kinds(story, "job.started"))
    week(story, children, 1)
    steps = [r.event.step for r in kinds(story, "job.started")][before:]
    assert steps[-2:] == ["measure", "forecast"]


def test_drift_right_after_a_training_asks_for_nothing_and_says_why(shop: tuple[Story, Children]) -> None:
    story, children = shop
    week(story, children, 1, drifting=True)
    assert len(kinds(story, "retrain.requested")) == 1
    (declined,) = kinds(story, "retrain.declined")
    assert "1 measured window ago" in declined.event.reason


def test_causes_that_come_together_are_one_request_after_the_quiet_period(shop: tuple[Story, Children]) -> None:
    story, children = shop
    week(story, children, 1)
    story.wait(days=3)
    story.append(e.RetrainAsked("ops-a", "new supplier"))
    story.settle()
    story.append(e.RetrainAsked("ops-b", "me too"))
    story.settle()
    assert kinds(story, "retrain.held")[-1].event.reason.startswith("quiet period")
    story.wait(minutes=3)
    story.settle()
    assert [c.words for c in kinds(story, "retrain.requested")[-1].event.causes] == [
        'ops-a asked: "new supplier"', 'ops-b asked: "me too"',
    ]  # fmt: skip


def test_the_same_data_is_not_trained_twice_unless_a_person_asks(shop: tuple[Story, Children]) -> None:
    story, children = shop
    story.wait(days=3)
    story.append(e.CauseNoted(e.Cause("accuracy", "accuracy:price:v1:h1", "errors rose")))
    story.work(children)
    assert "nothing changed since request" in kinds(story, "retrain.declined")[-1].event.reason
    story.append(e.RetrainAsked("ops-a", "I insist", now=True))
    story.work(children)
    assert len(kinds(story, "training.finished")) == 2


def test_a_schedule_that_is_due_before_new_data_waits_for_them(shop: tuple[Story, Children]) -> None:
    story, children = shop
    story.wait(days=20)
    story.append(e.ScheduleAnchored("monthly", "every 2w", story.now))
    for _ in range(2):
        story.append(e.ScheduleDue("monthly", story.now))
        story.work(children)
        story.wait(days=14)
    (_, held) = kinds(story, "retrain.held")  # the first one was the first champion's
    assert held.event.reason.startswith("a schedule waits for new data: nothing changed since request")
    assert kinds(story, "retrain.declined") == []
    for number in range(1, 4):
        week(story, children, number)
    assert [[c.kind for c in r.event.causes] for r in kinds(story, "retrain.requested")] == [["first"], ["schedule"]]


def test_a_cool_down_holds_and_says_until_when(shop: tuple[Story, Children]) -> None:
    story, children = shop
    week(story, children, 1)
    story.append(e.RetrainAsked("ops-a", ""))  # a person need not wait for it
    story.wait(minutes=3)
    story.work(children)
    week(story, children, 2)
    story.append(e.ScheduleAnchored("monthly", "every 4w", story.now))
    story.append(e.ScheduleDue("monthly", story.now))
    story.wait(minutes=3)
    story.work(children)
    held = kinds(story, "retrain.held")[-1].event
    assert held.reason.startswith("cool-down of 3w")
    assert held.until is not None
    assert held.until > story.now
    story.now = held.until
    story.work(children)
    assert len(kinds(story, "training.finished")) == 2, "nothing new came: there is nothing to learn"
    for number in (3, 4):
        week(story, children, number)
    assert [r.event.data_end for r in kinds(story, "training.finished")][1:] == [END + dt.timedelta(days=n) for n in (7, 28)]
    assert len(kinds(story, "training.finished")) == 3


def test_who_asks_before_the_first_drop_is_examined_is_kept_and_told_why_until_there_is_data(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.start()
    assert story.ask(m.Retrain("impatient", ("price",), now=True)) is None
    story.settle()
    assert [r.event.reason for r in kinds(story, "retrain.held")] == ["there is no data to train on yet"]
    children = Children(good)
    children.tables = {
        story.drop("sales.csv"): ("sales", "main", 38992, END - dt.timedelta(days=900), END),
        story.drop("wholesale.csv"): ("wholesale", "companion", 47517, END - dt.timedelta(days=900), END),
    }
    story.work(children)
    (requested,) = (r.event for r in kinds(story, "retrain.requested"))
    assert [(c.kind, c.words) for c in requested.causes] == [
        ("operator", 'ops-a asked: "impatient"'), ("first", "price and demand have no champion yet")]  # fmt: skip
    assert len(kinds(story, "training.finished")) == 1
    assert kinds(story, "retrain.declined") == []
    story.journal.close()


def test_a_pause_stops_training_and_promotion_until_it_is_lifted(tmp_path: Path) -> None:
    story, children = first_days(tmp_path)
    children.trainings = [good]
    story.append(e.OverrideSet("pause", "ops-a", "stocktaking"), e.SITE)
    story.work(children)
    assert kinds(story, "training.finished") == []
    assert 'paused by ops-a: "stocktaking"' in kinds(story, "retrain.held")[-1].event.reason
    story.append(e.OverrideLifted("pause", "ops-a"), e.SITE)
    story.work(children)
    assert len(kinds(story, "promotion.done")) == 4
    story.journal.close()


def test_a_candidate_that_could_never_get_from_staging_to_production_is_not_staged(shop: tuple[Story, Children]) -> None:
    story, children = shop

    def worse(step: s.Train) -> s.Trained:
        return trained(step, result("price", 5, (4.5, 4.6, 4.65, 4.66), 4.7, (1, 4.0)))

    children.trainings = [worse]
    week(story, children, 1)
    before = len(kinds(story, "promotion.intended"))
    story.append(e.RetrainAsked("ops-a", "", now=True, targets=("price",)))
    story.work(children)
    model = story.state.flow("produce").models["price"]
    assert {(v.verdict, v.stage) for n, v in model.versions.items() if int(n) >= 5} == {("reject", "None")}
    said = {c.id: (c.block, c.outcome) for c in model.versions["5"].conditions}
    assert said["no-worse-than-champion"] == ("production", "no")
    assert said["enough-evidence"] == ("staging", "yes")
    assert "fresh" not in said, "what only waits or holds is asked in Staging"
    assert len(kinds(story, "promotion.intended")) == before
    assert (model.champion, model.challenger) == (1, None)


def test_a_version_in_staging_that_a_stricter_policy_rejects_is_archived(shop: tuple[Story, Children]) -> None:
    story, children = shop
    soak = "    - id: fresh\n"
    story.put_in_force("price", POLICY.replace(soak, f"    - id: soak\n      soak: {{{{drops: 2}}}}\n{soak}"))
    children.trainings = [lambda step: trained(step, result("price", 5, (3.9,), 4.7, (1, 4.0)))]
    week(story, children, 1)
    story.append(e.RetrainAsked("ops-a", "", now=True, targets=("price",)))
    story.work(children)
    model = story.state.flow("produce").models["price"]
    assert (model.versions["5"].stage, model.challenger) == ("Staging", 5)
    story.put_in_force("price", POLICY.replace("at_least: 0.5%", "at_least: 50%"))
    story.work(children)
    assert (model.versions["5"].verdict, model.versions["5"].stage) == ("reject", "Archived")
    assert (model.champion, model.challenger) == (1, None)


def test_a_training_that_fails_for_good_leaves_the_champion_and_lets_the_next_cause_ask(
    shop: tuple[Story, Children],
) -> None:
    story, children = shop
    week(story, children, 1)
    children.trainings = [lambda _: s.Failed("disk full", "make room")] * 4 + [good]
    story.append(e.RetrainAsked("ops-a", "", now=True))
    for _ in range(6):
        story.work(children)
        story.wait(minutes=10)
    story.settle()
    assert [r.event.what for r in kinds(story, "retrain.failed")] == ["disk full"]
    assert story.state.flow("produce").models["price"].champion == 1
    story.append(e.RetrainAsked("ops-a", "mended", now=True))
    story.work(children)
    assert story.state.flow("produce").models["price"].champion != 1


def test_too_little_history_waits_for_data_and_is_no_failure(tmp_path: Path) -> None:
    story, children = first_days(tmp_path)
    children.trainings = [lambda step: s.Impossible(step.request, "90 days of 180"), good]
    story.work(children)
    assert kinds(story, "retrain.failed") == []
    assert story.settle() == ()
    week(story, children, 1)
    assert len(kinds(story, "training.finished")) == 1
    story.journal.close()


def test_on_the_datas_clock_drops_go_in_the_order_of_their_dates(tmp_path: Path) -> None:
    story = Story(tmp_path, config=ON_DATA_CLOCK)
    story.start()
    dates = {"b.csv": dt.date(2026, 1, 7), "a.csv": dt.date(2026, 1, 14), "c.csv": dt.date(2026, 1, 1)}
    drops = {story.drop(name): day for name, day in dates.items()}
    seen: list[dt.date] = []

    def child(planned: PlannedJob) -> s.Outcome:
        match planned.step:
            case s.Survey() as step:
                return s.Surveyed(tuple(s.Dated(d.drop, "sales", drops[d.drop]) for d in step.drops))
            case s.Examine() as step:
                assert len(step.drops) == 1
                seen.extend(drops[d.drop] for d in step.drops)
                return s.Examined(tuple(accepted(d.drop, "sales", "main", 9, drops[d.drop], drops[d.drop]) for d in step.drops))
            case s.Prepare() as step:
                return s.Prepared(step.tracking_uri, "3")
            case s.Forecast():
                return s.Forecasted(None, ())
            case s.Train() as step:
                return s.Impossible(step.request, "too little history")
        raise AssertionError(planned)

    story.work(child)
    assert seen == sorted(drops.values())
    story.journal.close()


def test_on_the_datas_clock_a_week_whose_companion_goes_on_longer_is_worked_off_before_the_next(tmp_path: Path) -> None:
    story = Story(tmp_path, config=ON_DATA_CLOCK)
    story.start()
    tables = {story.drop(f"{table}_{day}.csv"): (table, role, dt.date(2026, 1, day)) for table, role, day in (
        ("wholesale", "companion", 7), ("sales", "main", 6),  # the shop was closed on the 7th
        ("wholesale", "companion", 11), ("sales", "main", 11),
    )}  # fmt: skip
    origins: list[dt.date] = []

    def child(planned: PlannedJob) -> s.Outcome:
        match planned.step:
            case s.Survey() as step:
                return s.Surveyed(tuple(s.Dated(d.drop, tables[d.drop][0], tables[d.drop][2]) for d in step.drops))
            case s.Examine() as step:
                return s.Examined(tuple(accepted(d.drop, table, role, 9, day, day)
                                        for d in step.drops for table, role, day in [tables[d.drop]]))  # fmt: skip
            case s.Prepare() as step:
                return s.Prepared(step.tracking_uri, "3")
            case s.Forecast() as step:
                origins.append(step.newest)
                return s.Forecasted(None, ())
            case s.Train() as step:
                return s.Impossible(step.request, "too little history")
        raise AssertionError(planned)

    story.work(child)
    assert origins == [dt.date(2026, 1, 6), dt.date(2026, 1, 11)]
    story.journal.close()


def test_an_examination_that_kills_its_child_is_narrowed_to_the_drop_that_does_it(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.start()
    children = Children()
    poison = story.drop("daily_sales_poison.csv")
    for n in range(3):
        children.tables[story.drop(f"daily_sales_{n}.csv")] = ("sales", "main", 9, END, END)

    def child(planned: PlannedJob) -> s.Outcome:
        step = planned.step
        if isinstance(step, s.Examine) and any(d.drop == poison for d in step.drops):
            return Ended()
        return children(planned)

    for _ in range(12):
        story.work(child)
        story.wait(minutes=10)
    ends = {d.name: d.state for d in story.state.flow("produce").drops.values()}
    assert ends.pop("daily_sales_poison.csv") == "quarantined"
    assert set(ends.values()) == {"accepted"}
    story.journal.close()


steps_of_a_week = st.lists(
    st.sampled_from([
        "week", "drift", "ask", "ask now", "pause", "resume", "fail", "duplicate", "hours", "days",
        "pin", "unpin", "freeze", "unfreeze", "freeze an hour", "block", "unblock", "by hand", "force", "force staging",
    ]),
    max_size=12,
)


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps_of_a_week)
def test_whatever_happens_the_story_holds_together(happenings: list[str]) -> None:
    """At any point: state from the journal equals the state in memory, and plans the same; no data is trained twice
    without a person; one training at a time; each promotion was intended; the champion was promoted."""
    with tempfile.TemporaryDirectory() as folder:
        story, children = first_days(Path(folder))
        children.trainings = [good] * 50
        story.work(children)
        number = 0
        for happening in happenings:
            number += happening in ("week", "drift")
            _happen(story, children, happening, number)
            _holds_together(story)
        story.journal.close()


def _happen(story: Story, children: Children, happening: str, number: int) -> None:
    match happening:
        case "week" | "drift":
            week(story, children, number, drifting=happening == "drift")
        case "ask" | "ask now":
            story.append(e.RetrainAsked("ops-a", "", now=happening == "ask now"))
        case "pause":
            story.append(e.OverrideSet("pause", "ops-a", ""), e.SITE)
        case "fail":
            children.trainings.insert(0, lambda _: s.Failed("out of memory"))
        case "duplicate":
            story.drop("again.csv", "daily_sales_history.parquet")
        case "hours":
            story.wait(hours=3)
        case "days":
            story.wait(days=5)
        case _:
            _override(story, happening)
    story.work(children)


def _override(story: Story, happening: str) -> None:
    newest = max(int(v) for v in story.state.flow("produce").models["price"].versions)
    messages: dict[str, m.Message] = {
        "by hand": m.Promote("price", newest, "production"), "force": m.Promote("price", newest - 1, "production", True, "!"),
        "force staging": m.Promote("price", 2, "staging", True, "!"),
        "resume": m.Resume(),
        "block": m.Block("price", newest - 3), "unblock": m.Unblock("price", newest - 3),
        "pin": m.Pin("price"), "unpin": m.Unpin("price"), "freeze": m.Freeze(), "unfreeze": m.Unfreeze(),
        "freeze an hour": m.Freeze("demand", until=story.now + dt.timedelta(hours=1)),
    }  # fmt: skip
    story.ask(messages[happening])


def _overrides_are_kept(state: State, record: e.Record) -> None:
    """Before `record` is folded: what overrides forbid was not intended."""
    if record.event.KIND != "promotion.intended" or record.event.to != "production":
        return
    model, wall = record.event.model, record.times.wall
    held = [o.kind for o in state.overrides if o.holds(wall) and o.model in (None, model)]
    version = state.flow("produce").models[model].versions[str(record.event.version)]
    forced = version.forced and version.decision == record.event.decision
    assert held == [] or (forced and set(held) == {"freeze"})
    assert not version.blocked


def _holds_together(story: Story) -> None:
    with opened(story.journal.path) as connection:
        events = list(records(connection))
    state = State()
    for record in events:
        _overrides_are_kept(state, record)
        apply(state, record)
    assert state == story.state
    assert bind(State, unbind(state), strict=False) == state
    world = World(story.settings, story.policies, RELEASE)
    assert plan(state, story.times(), world) == plan(story.state, story.times(), world)
    flow = state.flow("produce")
    free = [r.fingerprint for r in flow.requests.values() if all(c.kind != "operator" for c in r.causes)]
    assert len(free) == len(set(free))
    assert sum(r.state == "waiting" for r in flow.requests.values()) <= 1
    intended, done = (
        [(v.model, v.version, v.to, v.decision) for v in (r.event for r in events) if isinstance(v, kind)]
        for kind in (e.PromotionIntended, e.PromotionDone)
    )
    assert len(set(done)) == len(done)
    assert set(done) <= set(intended)
    for model in flow.models.values():
        stages = [v.version for v in model.versions.values() if v.stage == "Production"]
        assert stages == ([model.champion] if model.champion else [])
        assert model.challenger is None or model.versions[str(model.challenger)].stage == "Staging"


def test_plan_changes_nothing_that_it_is_shown(shop: tuple[Story, Children]) -> None:
    story, children = shop
    week(story, children, 1, drifting=True)
    before = unbind(story.state)
    plan(story.state, story.times(), World(story.settings, story.policies, RELEASE))
    assert unbind(story.state) == before


def test_another_site_names_its_requests_otherwise(tmp_path: Path) -> None:
    one, _ = first_days(tmp_path / "one")
    two = dataclasses.replace(one.state, site_id="")
    apply(two, e.Record(two.seq + 1, e.SITE, e.Times(*[story_time(1)] * 3), e.DaemonStarted(RELEASE, 7)))
    assert one.state.site_id
    assert two.site_id != one.state.site_id
    one.journal.close()


def story_time(hours: int) -> dt.datetime:
    return dt.datetime(2026, 1, 1, hours, tzinfo=dt.UTC)
