"""Nothing is lost and nothing is stuck: each state that plan can reach has a way out, without anybody's surgery."""

from __future__ import annotations

import datetime as dt
import re
from itertools import pairwise
from pathlib import Path

import pytest

from journals import END, ROOT, Children, Ended, Story, first_days, good, kinds, result, trained, week
from retraind import settings
from retraind.core import events as e
from retraind.core import messages as m
from retraind.core import steps as s
from retraind.core.arrivals import arrived
from retraind.core.orders import FoundFile, order
from retraind.core.plan import PlannedJob, plan
from retraind.core.scene import World

CONFIG = (ROOT / "config.yaml").read_text("utf-8")
DAY = dt.date(2026, 10, 31)


def sales(children: Children, drop: str) -> None:
    children.tables[drop] = ("sales", "main", 9, DAY, DAY)


# ---- drops ----


def test_a_copy_of_a_drop_that_still_waits_is_examined_too(tmp_path: Path) -> None:
    """`cp -p` sets the time after it closed the file, and people rename: the first may be gone when its turn comes."""
    story = Story(tmp_path)
    story.start()
    first, second = story.drop("daily_sales.csv", "rows"), story.drop("daily_sales.csv", "rows")
    assert first != second
    assert {d.state for d in story.state.flow("produce").drops.values()} == {"waiting"}
    story.journal.close()


def test_a_drop_that_was_given_up_is_examined_again_when_a_person_asks(tmp_path: Path) -> None:
    story, children = Story(tmp_path), Children()
    story.start()
    drop = story.drop("daily_sales.csv")
    sales(children, drop)
    broken = True

    def child(planned: PlannedJob) -> s.Outcome:
        return Ended() if broken and planned.name == "examine" else children(planned)

    for _ in range(6):
        story.work(child)
        story.wait(minutes=10)
    flow = story.state.flow("produce")
    assert flow.drops[drop].state == "quarantined"
    broken = False
    children.trainings = [lambda step: s.Impossible(step.request, "too little history")]
    story.append(e.DropRetried(drop, "ops-a"))
    story.work(child)
    assert flow.drops[drop].state == "accepted"
    story.journal.close()


def test_one_drop_that_kills_its_child_does_not_slow_those_that_come_later(tmp_path: Path) -> None:
    story, children = Story(tmp_path), Children()
    story.start()
    children.trainings = [lambda step: s.Impossible(step.request, "too little history")] * 9
    poison = story.drop("daily_sales_poison.csv")
    sales(children, story.drop("daily_sales_1.csv"))
    batches: list[int] = []

    def child(planned: PlannedJob) -> s.Outcome:
        if isinstance(planned.step, s.Examine):
            batches.append(len(planned.step.drops))
            if any(d.drop == poison for d in planned.step.drops):
                return Ended()
        return children(planned)

    for _ in range(8):
        story.work(child)
        story.wait(minutes=10)
    for n in range(2, 5):
        sales(children, story.drop(f"daily_sales_{n}.csv"))
    story.work(child)
    assert batches[-1] == 3
    assert not [f for f in story.state.flow("produce").failures.values() if f.step == "examine"]
    story.journal.close()


def test_a_full_disk_is_no_drops_fault_and_all_are_taken_once_there_is_room(tmp_path: Path) -> None:
    story, children = Story(tmp_path), Children()
    story.start()
    children.trainings = [lambda step: s.Impossible(step.request, "too little history")] * 9
    drops = [story.drop(f"daily_sales_{n}.csv") for n in range(5)]
    full, tried = True, 0

    def child(planned: PlannedJob) -> s.Outcome:
        nonlocal tried
        if planned.name == "examine" and full:
            tried += 1
            return s.Failed("the store cannot be written: No space left on device")
        return children(planned)

    for n in range(48):
        story.work(child)
        story.wait(minutes=30)
        if n in (3, 7):
            drops.append(story.drop(f"daily_sales_later_{n}.csv"))
    flow = story.state.flow("produce")
    assert {d.state for d in flow.drops.values()} == {"waiting"}
    assert len([f for f in flow.failures.values() if f.step == "examine"]) == 1
    assert tried < 40, "asked once an hour at most"
    (stuck,) = [a for a in story.state.alerts.values() if a.kind == "stuck"]
    assert "No space left on device" in stuck.words
    full = False
    for drop in drops:
        sales(children, drop)
    story.wait(hours=1)
    story.work(child)
    assert [flow.drops[d].state for d in drops] == ["accepted"] * 7
    assert not flow.failures
    story.journal.close()


def test_a_drop_that_brings_its_child_down_is_found_by_halves_and_the_others_go_ahead(tmp_path: Path) -> None:
    story, children = Story(tmp_path), Children()
    story.start()
    children.trainings = [lambda step: s.Impossible(step.request, "too little history")] * 9
    drops = [story.drop(f"daily_sales_{n:03d}.csv") for n in range(200)]
    poison = drops[137]
    for drop in drops:
        sales(children, drop)
    batches: list[int] = []

    def child(planned: PlannedJob) -> s.Outcome:
        if isinstance(planned.step, s.Examine) and planned.step.drops:
            batches.append(len(planned.step.drops))
            if any(d.drop == poison for d in planned.step.drops):
                return Ended()
        return children(planned)

    for _ in range(3):  # before the last try of the one that is to blame
        story.work(child)
        story.wait(minutes=1)
    flow = story.state.flow("produce")
    assert {d.id for d in flow.waiting()} == {poison}
    assert len(batches) < 24
    story.wait(minutes=10)
    story.work(child)
    story.wait(minutes=10)
    story.work(child)
    assert flow.drops[poison].state == "quarantined"
    assert not [f for f in flow.failures.values() if f.step == "examine"]
    story.journal.close()


def test_a_job_with_which_the_daemon_dies_each_time_waits_and_is_given_up_at_last(tmp_path: Path) -> None:
    story, children = Story(tmp_path), Children()
    story.start()
    children.trainings = [lambda step: s.Impossible(step.request, "too little history")] * 9
    poison = story.drop("daily_sales.csv")
    began: list[dt.datetime] = []

    def child(planned: PlannedJob) -> s.Outcome:
        if planned.name == "examine":
            began.append(story.now)
            return Ended("the daemon died first", ended="lost")
        return children(planned)

    for _ in range(400):
        story.work(child)
        story.wait(seconds=20)
    gaps = [int((b - a).total_seconds()) for a, b in pairwise(began)]
    assert gaps[0] < 90, "once is nobody's fault"
    assert gaps[3] > gaps[2] > gaps[1]
    assert len(began) == 21
    flow = story.state.flow("produce")
    assert flow.drops[poison].state == "quarantined"
    story.journal.close()


def test_a_retry_of_a_file_that_waits_already_is_refused_in_words(tmp_path: Path) -> None:
    story, children = Story(tmp_path), Children()
    story.start()
    old = story.drop("daily_sales.csv", "bad")
    children.bad[old] = s.Quarantined(old, (e.ContractProblem("changed while waiting", "", ""),), 1)
    story.work(children)
    flow = story.state.flow("produce")
    new = FoundFile("daily_sales.csv", "5e" * 32, 9, 77)
    path = flow.drops[old].path
    for event in arrived(flow, path, new.name, new.sha256, new.bytes, new.mtime_ns):
        story.append(event)
    told = order(story.state, flow, m.DropRetry(old), "ops-a", ["price"], new)
    assert isinstance(told, m.Answer)
    assert "waits" in told.refused
    story.journal.close()


# ---- promotions ----


class _Away:
    """A registry that does not answer while `away`."""

    def __init__(self, children: Children, model: str = "") -> None:
        self.children, self.model, self.away = children, model, True

    def __call__(self, planned: PlannedJob) -> s.Outcome:
        if self.away and isinstance(planned.step, s.Promote) and self.model in planned.step.model:
            return s.Failed("the MLflow server does not answer", retryable=True)
        return self.children(planned)


def test_a_promotion_outlasts_a_registry_that_is_away_for_hours(tmp_path: Path) -> None:
    story, children = first_days(tmp_path)
    children.trainings = [good]
    child = _Away(children)
    for _ in range(20):
        story.work(child)
        story.wait(minutes=30)
    assert kinds(story, "promotion.aborted") == []
    child.away = False
    story.wait(hours=1)
    story.work(child)
    assert {name: model.champion for name, model in story.state.flow("produce").models.items()} == {"price": 1, "demand": 1}
    assert not story.state.flow("produce").failures
    story.journal.close()


def test_a_promotion_that_fails_does_not_hold_up_another_models(tmp_path: Path) -> None:
    story, children = first_days(tmp_path)
    children.trainings = [good]
    child = _Away(children, "price")
    for _ in range(4):
        story.work(child)
        story.wait(minutes=10)
    models = story.state.flow("produce").models
    assert models["demand"].champion == 1
    assert models["price"].champion is None
    story.journal.close()


def test_a_version_that_cannot_be_promoted_leaves_its_place_to_the_next_best(tmp_path: Path) -> None:
    story, children = first_days(tmp_path)
    children.trainings = [good]

    def child(planned: PlannedJob) -> s.Outcome:
        if isinstance(planned.step, s.Promote) and planned.step.version == 1 and planned.step.to == "production":
            return s.Unmoved("v1 does not load")
        return children(planned)

    story.work(child)
    assert {m.champion for m in story.state.flow("produce").models.values()} == {2}
    story.journal.close()


def test_a_target_whose_only_candidate_cannot_be_promoted_is_trained_on_the_next_data(tmp_path: Path) -> None:
    story, children = first_days(tmp_path)
    children.trainings = [
        lambda step: trained(step, result("price", 1, (4.0,), 4.7), result("demand", 1, (33.0,), 37.9)), good,
    ]  # fmt: skip

    def child(planned: PlannedJob) -> s.Outcome:
        if isinstance(planned.step, s.Promote) and planned.step.version == 1:
            return s.Unmoved("v1 does not load")
        return children(planned)

    story.work(child)
    assert {m.champion for m in story.state.flow("produce").models.values()} == {None}
    week(story, children, 1)
    assert [c.kind for r in kinds(story, "retrain.requested") for c in r.event.causes] == ["first", "first"]
    story.journal.close()


def test_a_training_starts_only_when_no_promotion_is_under_way(tmp_path: Path) -> None:
    """Else its candidates would be held against a champion that is none any more when they are judged."""
    story, children = first_days(tmp_path)
    children.trainings = [good, good]
    while not any(j.name == "promote" for j in story.settle()):
        job = story.settle()[0]
        story.finish(job, children(job))
    story.append(e.RetrainAsked("ops-a", "", now=True))
    assert [j.name for j in story.settle()] == ["promote"]
    story.work(children)
    for version in story.state.flow("produce").models["price"].versions.values():
        if version.version > 4:
            assert version.compared_with == 1
    story.journal.close()


# ---- clocks ----


def test_a_wall_clock_that_was_set_back_does_not_make_new_versions_old(tmp_path: Path) -> None:
    story, children = first_days(tmp_path)
    story.wait(days=3650)
    children.trainings = [good, good]
    story.work(children)
    story.wait(days=-3650)
    story.append(e.RetrainAsked("ops-a", "", now=True))
    story.work(children)
    assert story.state.flow("produce").models["price"].champion == 5
    story.journal.close()


def test_a_site_without_back_off_asks_a_registry_that_is_away_no_more_than_twice_a_minute(tmp_path: Path) -> None:
    """Its daemon would otherwise start children without end, and `--until-idle` would never be."""
    story = Story(tmp_path, config=CONFIG.replace("backoff: 30s", "backoff: 0s"))
    story.start()
    for _ in range(4):
        (job,) = story.settle()
        story.finish(job, s.Failed("the MLflow server does not answer"))
    assert story.settle() == ()
    story.wait(seconds=31)
    assert [job.name for job in story.settle()] == ["prepare"]
    story.journal.close()


def test_a_clock_set_forward_does_not_make_a_registry_that_is_away_a_busy_loop(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.start()
    for _ in range(4):
        (job,) = story.settle()
        story.finish(job, s.Failed("the MLflow server does not answer"))
        story.wait(minutes=4)
    story.settle()
    ahead = story.now + dt.timedelta(days=1)
    now = e.Times(ahead, ahead, story.state.machine_time or ahead)
    (wait,) = plan(story.state, now, World(story.settings, story.policies, "0.1.0")).waits
    assert wait.until is not None
    assert wait.until > now.wall
    story.journal.close()


# ---- names ----


@pytest.mark.parametrize("pipeline", ["produce", "shop"])
def test_no_two_pipelines_give_a_request_the_same_name(tmp_path: Path, pipeline: str) -> None:
    """A request's name is the name of its result on the disk and of its runs in MLflow."""
    story, children = first_days(tmp_path, config=CONFIG.replace("  produce:", f"  {pipeline}:"))
    other = story.state.flow("another")
    asked = e.RetrainRequested("x-1", (), (), (), DAY, "f")
    story.append(asked, "another")
    assert "x-1" in other.requests
    children.trainings = [good]
    story.settle()
    (request,) = story.state.flow(pipeline).requests
    assert request == f"{story.state.site_id}-2"
    story.journal.close()


# ---- settings that changed between two runs ----


def test_a_target_that_left_the_settings_is_not_trained_any_more(tmp_path: Path) -> None:
    story, children = first_days(tmp_path)
    children.trainings = [good, good]
    story.work(children)
    story.append(e.RetrainAsked("ops-a", "", True, ("demand",)))
    story.settings = settings.parse(re.sub(r" +demand: .*\n", "", CONFIG))
    story.work(children)
    assert "demand" in kinds(story, "retrain.declined")[-1].event.reason
    story.append(e.RetrainAsked("ops-a", "", True, ("demand", "price")))
    (job,) = story.settle()
    assert isinstance(job.step, s.Train)
    assert job.step.targets == ("price",)
    story.journal.close()


def test_an_open_request_goes_on_without_the_target_that_left_the_settings(tmp_path: Path) -> None:
    story, children = first_days(tmp_path)
    story.settle()
    story.settings = settings.parse(re.sub(r" +demand: .*\n", "", CONFIG))
    (forecast,) = story.settle()
    story.finish(forecast, children(forecast))
    (job,) = story.settle()
    assert isinstance(job.step, s.Train)
    assert job.step.targets == ("price",)
    story.journal.close()


def test_a_cool_down_that_another_clock_began_does_not_hold_for_years(tmp_path: Path) -> None:
    """The site's clock was switched to the data's, or a wall clock that was years ahead was mended."""
    story, children = first_days(tmp_path)
    children.trainings = [good, good]
    story.work(children)
    story.wait(days=-900)
    story.append(e.RetrainAsked("ops-a", ""))
    story.wait(minutes=3)
    story.work(children)
    assert len(kinds(story, "training.finished")) == 2
    story.journal.close()


def test_another_registry_that_numbers_anew_does_not_overwrite_what_the_journal_knows(tmp_path: Path) -> None:
    story, children = first_days(tmp_path)
    children.trainings = [good, lambda step: trained(step, result("price", 1, (3.0, 3.1), 4.7, (1, 4.0)))]
    story.work(children)
    first = story.state.flow("produce").models["price"].versions["1"].request
    story.append(e.RetrainAsked("ops-a", "", True, ("price",)))
    story.work(children)
    model = story.state.flow("produce").models["price"]
    assert (model.champion, model.versions["1"].request) == (1, first)
    (told,) = kinds(story, "training.impossible")
    assert "another registry" in told.event.why
    story.journal.close()


# ---- windows ----


def test_a_week_whose_last_day_the_shop_was_closed_is_measured_with_the_next(tmp_path: Path) -> None:
    story, children = first_days(tmp_path)
    children.trainings = [good]
    story.work(children)
    for first, last in ((1, 6), (8, 14)):  # days after END; nothing was sold on the seventh
        story.wait(days=7)
        days = END + dt.timedelta(days=first), END + dt.timedelta(days=last)
        for name, table, role in (("wholesale_prices", "wholesale", "companion"), ("daily_sales", "sales", "main")):
            children.tables[story.drop(f"{name}_{last}.csv")] = (table, role, 301, *days)
        story.work(children)
    measured = [r.event for r in kinds(story, "drift.measured")]
    assert [(m.last_date - END).days for m in measured] == [7, 14]
    assert len({m.drop for m in measured}) == 2
    story.journal.close()


def test_a_target_that_no_model_serves_is_tried_ever_less_often_whatever_the_others_do(tmp_path: Path) -> None:
    story, children = first_days(tmp_path)

    def child(step: s.Train) -> s.Trained:
        n = 10 * int(step.request.rsplit("-", 1)[1])
        return trained(step, *(result(t, n, (9.0 if t == "price" else 3.0,), 4.7) for t in step.targets))

    children.trainings = [child] * 20
    story.work(children)
    for number in range(1, 9):
        week(story, children, number)
    flow = story.state.flow("produce")
    assert flow.models["price"].champion is None
    assert flow.models["demand"].champion is not None
    asked = [(r.event.data_end - END).days // 7 for r in kinds(story, "retrain.requested")
             if any(c.kind == "first" for c in r.event.causes)]  # fmt: skip
    assert asked == [0, 1, 3, 7], "after one week, two and four"
    story.journal.close()
