"""Which days count, and what a withdrawn drop takes with it: the real core, the examinations' outcomes are told."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journals import END, RELEASE, ROOT, Children, Story, accepted, first_days, good, kinds
from retraind import settings
from retraind.core import days, withdrawal
from retraind.core import events as e
from retraind.core import messages as m
from retraind.core import steps as s
from retraind.core.fold import apply
from retraind.core.orders import done, order
from retraind.core.plan import PlannedJob
from retraind.core.scene import Scene, World
from retraind.core.settings import Drops
from retraind.core.state import Flow, State
from retraind.core.steps import DayLook

CONFIG = (ROOT / "config.yaml").read_text("utf-8")


def scene(story: Story) -> Scene:
    world = World(story.settings, story.policies, RELEASE)
    config = story.settings.pipelines[story.pipeline]
    return Scene(story.state, flow(story), story.pipeline, config, world, story.times())


def flow(story: Story) -> Flow:
    return story.state.flow(story.pipeline)


def told(story: Story, message: m.Message) -> m.Answer:
    """Ask as the CLI does, and append what comes of it."""
    events = order(story.state, flow(story), message, "ops-a", ("price", "demand"))
    if isinstance(events, m.Answer):
        return events
    for event in events:
        story.append(event)
    return m.Answer(done=done(events[-1]))


def day(number: int) -> dt.date:
    """So many days after the history."""
    return END + dt.timedelta(number)


class Looking:
    """The first training's children, and an examination that sees of each day what it is told to."""

    def __init__(self, children: Children) -> None:
        self.children = children
        self.small: dict[dt.date, str] = {}
        self.examined: list[s.Examine] = []

    def __call__(self, planned: PlannedJob) -> s.Outcome:
        outcome = self.children(planned)
        if not isinstance(planned.step, s.Examine) or not isinstance(outcome, s.Examined):
            return outcome
        self.examined.append(planned.step)
        touched = {d: a.drop for a in outcome.accepted if a.role == "main" and a.file.last_date == a.file.first_date
                   and (d := a.file.last_date)}  # fmt: skip
        touched |= dict.fromkeys(planned.step.look, "again")
        looks = [DayLook(drop, d, 8 if d in self.small else 20, 20.0, d not in self.small, self.small.get(d, ""))
                 for d, drop in touched.items()]  # fmt: skip
        return dataclasses.replace(outcome, days=tuple(looks))

    def take(self, story: Story, number: int, part: str = "") -> str:
        """A day's sales come in and are worked off."""
        drop = story.drop(f"daily_sales_{day(number)}{part}.csv")
        self.children.tables[drop] = ("sales", "main", 20, day(number), day(number))
        whole = story.drop(f"wholesale_prices_{day(number)}{part}.csv")
        self.children.tables[whole] = ("wholesale", "companion", 20, day(number), day(number))
        story.work(self)
        return drop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Story, Looking]]:
    yield from opened(tmp_path, CONFIG)


def opened(root: Path, config: str) -> Iterator[tuple[Story, Looking]]:
    story, children = first_days(root, config=config)
    children.trainings = [good] * 10
    story.work(children)
    yield story, Looking(children)
    story.journal.close()


def test_an_incomplete_day_is_left_out_of_everything_until_its_rest_comes(shop: tuple[Story, Looking]) -> None:
    story, looking = shop
    looking.small[day(1)] = "8 items where 20 are usual"
    looking.take(story, 1, "_morning")
    assert flow(story).incomplete == {str(day(1)): "8 items where 20 are usual"}
    assert days.excluded(scene(story)) == (day(1),)
    assert days.newest_complete(scene(story)) == END
    looking.small.clear()
    looking.take(story, 1, "_evening")
    assert looking.examined[-1].incomplete == (day(1),)
    assert days.newest_complete(scene(story)) == day(1)
    assert [r.event.date for r in kinds(story, "day.complete")] == [day(1)]


def test_a_person_says_that_a_day_is_real_and_later_drops_do_not_change_that(shop: tuple[Story, Looking]) -> None:
    story, looking = shop
    looking.small[day(1)] = "8 items where 20 are usual"
    drop = looking.take(story, 1)
    assert told(story, m.DropAccept(drop, "lockdown")).done
    assert days.newest_complete(scene(story)) == day(1)
    assert kinds(story, "day.complete")[-1].event.why == 'ops-a says it is real: "lockdown"'
    looking.take(story, 1, "_corrected")
    assert flow(story).incomplete == {}
    assert len(kinds(story, "day.incomplete")) == 1
    assert told(story, m.DropAccept(drop)).done == f"no day of {drop} is incomplete"


def test_with_a_marker_a_day_counts_when_its_marker_came_and_not_before(tmp_path: Path) -> None:
    config = CONFIG.replace("      settle: 3s ", '      marker: "{date}.complete"\n      settle: 3s ')
    for story, looking in opened(tmp_path, config):
        drops = story.settings.pipelines["produce"].drops
        looking.take(story, 1)
        assert flow(story).incomplete == {str(day(1)): f"its marker {day(1)}.complete has not come"}
        date = days.marker_of(drops, f"{day(1)}.complete")
        assert date == day(1)
        for event in days.marked(flow(story), date, f"drops/{date}.complete"):
            story.append(event)
        assert days.newest_complete(scene(story)) == day(1)
        assert days.marked(flow(story), date, f"drops/{date}.complete") == []
        for event in days.marked(flow(story), day(2), f"drops/{day(2)}.complete"):  # before its drop
            story.append(event)
        looking.take(story, 2)
        assert days.newest_complete(scene(story)) == day(2)


@pytest.mark.parametrize(
    ("name", "date"),
    [("2026-11-01.complete", dt.date(2026, 11, 1)), ("20261101.complete", dt.date(2026, 11, 1)),
     ("2026-13-01.complete", None), ("2026-11-01.complete.csv", None), ("x2026-11-01.complete", None),
     ("2026-11-01xcomplete", None)],
)  # fmt: skip
def test_a_marker_is_known_by_its_whole_name(name: str, date: dt.date | None) -> None:
    assert days.marker_of(Drops(marker="{date}.complete"), name) == date
    assert days.marker_of(Drops(), name) is None


def test_a_look_that_a_crash_cut_off_is_made_up_for_before_the_day_counts(shop: tuple[Story, Looking]) -> None:
    story, looking = shop
    drop = story.drop("daily_sales_today.csv")
    planned = next(job for job in story.settle() if job.name == "examine")
    job = story.begin(planned)
    good_one = accepted(drop, "sales", "main", 20, day(1), day(1))
    story.append(e.DropAccepted(drop, good_one.file, "main", 20, 0))  # and the daemon is killed
    story.append(e.JobEnded(job, "examine", planned.subject, "lost", 0.0))
    assert days.excluded(scene(story)) == (day(1),)
    looking.small[day(1)] = "8 items where 20 are usual"
    story.work(looking)
    assert [(step.drops, step.look) for step in looking.examined] == [((), (day(1),))]
    assert list(flow(story).incomplete) == [str(day(1))]


# ---- withdrawn ----


def test_a_withdrawn_drop_leaves_the_store_and_marks_what_was_trained_on_it(shop: tuple[Story, Looking]) -> None:
    story, looking = shop
    drop = looking.take(story, 1)
    sha256 = next(f.sha256 for f in flow(story).store if f.drop == drop)
    story.wait(days=3)
    story.append(e.RetrainAsked("ops-a", "", now=True))
    story.work(looking)
    model = flow(story).models["price"]
    newest = max(model.versions.values(), key=lambda v: v.version)
    assert told(story, m.DropWithdraw(drop, "prices of another shop")).done
    assert sha256 not in {f.sha256 for f in flow(story).store}
    assert flow(story).drops[drop].state == "withdrawn"
    assert days.newest_complete(scene(story)) == END
    assert newest.tainted == f'trained on drop {drop}, withdrawn by ops-a: "prices of another shop"'
    assert model.versions["1"].tainted == ""
    story.work(looking)
    assert told(story, m.DropWithdraw(drop)).done == f"{drop} was withdrawn before"


def test_content_that_was_withdrawn_may_come_again_and_is_right_then(shop: tuple[Story, Looking]) -> None:
    story, looking = shop
    drop = looking.take(story, 1)
    told(story, m.DropWithdraw(drop))
    again = looking.take(story, 1)
    assert again == f"{drop}-2"
    assert flow(story).drops[again].state == "accepted"


def test_days_that_other_drops_hold_too_are_looked_at_again_after_a_withdrawal(shop: tuple[Story, Looking]) -> None:
    story, looking = shop
    looking.take(story, 1, "_morning")
    rest = looking.take(story, 1, "_evening")
    looking.small[day(1)] = "8 items where 20 are usual"
    told(story, m.DropWithdraw(rest))
    assert days.excluded(scene(story)) == (day(1),)
    story.work(looking)
    assert looking.examined[-1].look == (day(1),)
    assert list(flow(story).incomplete) == [str(day(1))]
    assert flow(story).look_again == {}


def test_an_incomplete_day_goes_with_the_only_drop_that_held_it(shop: tuple[Story, Looking]) -> None:
    story, looking = shop
    looking.small[day(1)] = "8 items where 20 are usual"
    drop = looking.take(story, 1)
    told(story, m.DropAccept(drop, "lockdown"))
    told(story, m.DropWithdraw(drop))
    assert (flow(story).incomplete, flow(story).vouched) == ({}, {})


def test_only_an_accepted_drop_is_withdrawn_and_never_while_jobs_tell_of_the_store(shop: tuple[Story, Looking]) -> None:
    story, looking = shop
    drop = looking.take(story, 1)
    waiting = story.drop("daily_sales_later.csv")
    assert "only an accepted drop" in told(story, m.DropWithdraw(waiting)).refused
    planned = next(job for job in story.settle() if job.name == "examine")
    story.begin(planned)
    assert told(story, m.DropWithdraw(drop)).remedy == "try again in a minute"


# ---- overdue ----


def test_a_drop_that_does_not_come_is_told_once_and_the_next_one_ends_it(tmp_path: Path) -> None:
    for story, looking in opened(tmp_path, CONFIG.replace("      settle: 3s ", "      expect: 26h\n      settle: 3s ")):
        looking.take(story, 1)
        (wait,) = days.overdue(scene(story))[1]
        assert wait.clock == "people"
        assert wait.until is not None
        story.now = wait.until
        note, _ = days.overdue(scene(story))
        assert note is not None
        story.append(note.event)
        assert flow(story).overdue == day(1)
        assert days.overdue(scene(story)) == (None, [])
        looking.take(story, 2)
        assert flow(story).overdue is None


def test_on_the_datas_clock_no_drop_is_waited_for(shop: tuple[Story, Looking]) -> None:
    story, looking = shop
    looking.take(story, 1)
    story.wait(days=9)
    expecting = CONFIG.replace("      settle: 3s ", "      expect: 26h\n      settle: 3s ")
    for clock, is_told in (("data", False), ("wall", True)):
        story.settings = settings.parse(expecting.replace("clock: wall ", f"clock: {clock} "))
        assert (days.overdue(scene(story))[0] is not None) == is_told


# ---- whatever comes ----


@given(
    first=st.integers(0, 40),
    length=st.integers(0, 40),
    newest=st.integers(0, 90),
)
def test_only_days_of_the_newest_two_weeks_are_judged(first: int, length: int, newest: int) -> None:
    found = withdrawal.judged(day(first), day(first + length), day(max(newest, first + length)))
    assert all(day(first) <= d <= day(first + length) for d in found)
    assert all((day(max(newest, first + length)) - d).days < 14 for d in found)
    assert found == sorted(found)
    assert (day(max(newest, first + length)) - day(first + length)).days >= 14 or day(first + length) in found


@given(
    looks=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12),
    people=st.sets(st.integers(0, 3), max_size=2),
)
def test_looks_tell_only_what_changes_and_the_last_one_holds(looks: list[tuple[int, bool]], people: set[int]) -> None:
    story = _Fold()
    for number in people:
        story.append(e.DayComplete(day(number), "ops-a says it is real", "ops-a"))
    for number, complete in looks:
        look = DayLook("d", day(number), 20 if complete else 8, 20.0, complete, "" if complete else "too little")
        events = days.looked_at([look], story.flow, None)
        assert len(events) <= 1
        for event in events:
            story.append(event)
        assert days.looked_at([look], story.flow, None) == []
    last = dict(looks)
    assert set(story.flow.incomplete) == {str(day(n)) for n, complete in last.items() if not complete and n not in people}


class _Fold:
    """Events folded into a flow, without a journal."""

    def __init__(self) -> None:
        self.state = State()

    @property
    def flow(self) -> Flow:
        return self.state.flow("produce")

    def append(self, event: object) -> None:
        at = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)
        apply(self.state, e.Record(self.state.seq + 1, "produce", e.Times(at, at, at), event))


def test_a_plan_with_a_failing_look_still_examines_what_waits(shop: tuple[Story, Looking]) -> None:
    story, looking = shop
    looking.take(story, 1, "_morning")
    told(story, m.DropWithdraw(looking.take(story, 1, "_evening")))
    while not (planned := story.settle()[0]).subject.startswith("days of"):
        story.finish(planned, looking(planned))
    story.finish(planned, s.Failed("the store is damaged", retryable=False))
    story.drop("daily_sales_later.csv")
    assert [job.name for job in story.settle() if job.name == "examine"] == ["examine"]


# ---- drops that look damaged ----

DAMAGE = (e.DropDamage("avg_price_rmb_kg", "times", 10.0, 5.0, "the values are 10 times what is usual of the same items"),)


class Breaking(Looking):
    """An examination that finds the drops it is told to find damaged."""

    at: frozenset[dt.date] = frozenset()

    def __call__(self, planned: PlannedJob) -> s.Outcome:
        outcome = super().__call__(planned)
        if not isinstance(outcome, s.Examined):
            return outcome
        bad = tuple(s.Damaged(a.drop, DAMAGE) for a in outcome.accepted if a.role == "main" and a.file.first_date in self.at)
        gone = {b.drop for b in bad}
        return dataclasses.replace(outcome, damaged=bad, days=tuple(d for d in outcome.days if d.drop not in gone))


@pytest.fixture
def broken_shop(tmp_path: Path) -> Iterator[tuple[Story, Breaking]]:
    for story, looking in opened(tmp_path, CONFIG):
        breaking = Breaking(looking.children)
        breaking.at = frozenset({day(1)})
        yield story, breaking


def test_a_damaged_drop_is_as_if_it_had_not_come_and_a_person_is_told(broken_shop: tuple[Story, Breaking]) -> None:
    story, looking = broken_shop
    drop = looking.take(story, 1)
    assert [r.event.drop for r in kinds(story, "drop.damaged")] == [drop]
    assert flow(story).drops[drop].state == "accepted"
    assert all(f.drop != drop for f in flow(story).store)
    assert days.newest_complete(scene(story)) == END
    assert not flow(story).look_again
    alert = story.state.alerts[f"damage:{drop}"]
    assert alert.kind == "damage"
    assert "10 times what is usual" in alert.words
    assert f"drops accept {drop}" in alert.remedy


def test_what_comes_after_it_goes_on_without_it(broken_shop: tuple[Story, Breaking]) -> None:
    story, looking = broken_shop
    drop = looking.take(story, 1)
    after = looking.take(story, 2)
    assert days.newest_complete(scene(story)) == day(2)
    story.append(e.RetrainAsked("ops-a", "now", now=True))
    story.work(looking)
    asked = kinds(story, "retrain.requested")[-1].event
    mains = {f.sha256 for f in flow(story).store if f.drop == after}
    assert mains <= set(asked.store)
    assert flow(story).damaged[drop].file.sha256 not in asked.store


def test_a_person_says_that_it_is_real_and_it_takes_its_place(broken_shop: tuple[Story, Breaking]) -> None:
    story, looking = broken_shop
    drop = looking.take(story, 1)
    looking.take(story, 2)
    assert "in the store now" in told(story, m.DropAccept(drop, "a typhoon")).done
    assert not flow(story).damaged
    sales = [f for f in flow(story).store if f.table == "sales"]
    assert [f.first_date for f in sales][-2:] == [day(1), day(2)]
    assert flow(story).vouched[str(day(1))] == 'ops-a says it is real: "a typhoon"'
    assert 'ops-a says it is real: "a typhoon"' in flow(story).drops[drop].notes
    story.work(looking)
    assert days.newest_complete(scene(story)) == day(2)
    assert told(story, m.DropAccept(drop)).done == f"no day of {drop} is incomplete"


def test_a_damaged_drop_that_is_withdrawn_takes_nothing_with_it(broken_shop: tuple[Story, Breaking]) -> None:
    story, looking = broken_shop
    drop = looking.take(story, 1)
    sha256 = flow(story).damaged[drop].file.sha256
    assert told(story, m.DropWithdraw(drop, "yuan and fen")).done
    assert not flow(story).damaged
    assert flow(story).drops[drop].state == "withdrawn"
    assert sha256 in flow(story).withdrawn
    assert not flow(story).look_again
    assert not any(v.tainted for model in flow(story).models.values() for v in model.versions.values())


def test_nothing_is_said_of_it_while_the_store_is_being_read(broken_shop: tuple[Story, Breaking]) -> None:
    story, looking = broken_shop
    drop = looking.take(story, 1)
    story.append(e.JobStarted("1-forecast", "forecast", "x", 1))
    assert told(story, m.DropAccept(drop)).refused == "drops are being examined or forecast from this moment"
