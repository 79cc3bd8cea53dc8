"""Schedules: due once, also after a long absence, in the zone's own hours."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retraind import clock
from retraind.core.events import ScheduleAnchored, ScheduleDue
from retraind.core.settings import Schedule
from retraind.core.state import ScheduleState
from retraind.core.units import Span
from retraind.schedule import check, due, next_due

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def test_a_new_schedule_counts_from_now_and_is_not_due() -> None:
    now = at("2026-11-24T09:00+00:00")
    schedules = {"weekly": Schedule(every=Span(7 * 86400))}
    assert list(due(schedules, {}, now, BERLIN)) == [ScheduleAnchored("weekly", "every 1w", now)]


def test_what_was_missed_happens_once_on_return() -> None:
    schedules = {"nightly": Schedule(cron="0 3 * * *")}
    states = {"nightly": ScheduleState("cron 0 3 * * *", at("2026-11-01T00:00+00:00"))}
    told = list(due(schedules, states, at("2026-11-10T12:00+00:00"), BERLIN))
    assert told == [ScheduleDue("nightly", at("2026-11-10T02:00+00:00"), missed=9)]
    states["nightly"].last = told[0].due_at  # type: ignore[union-attr]
    assert list(due(schedules, states, at("2026-11-10T12:00+00:00"), BERLIN)) == []


def test_an_edited_schedule_counts_from_its_edit() -> None:
    states = {"s": ScheduleState("every 1d", at("2026-11-01T00:00+00:00"))}
    now = at("2026-11-10T12:00+00:00")
    assert list(due({"s": Schedule(cron="0 3 * * *")}, states, now, BERLIN)) == [
        ScheduleAnchored("s", "cron 0 3 * * *", now)
    ]


def test_the_night_the_clock_skips_an_hour_is_due_once_and_the_one_it_repeats_too() -> None:
    spec = Schedule(cron="30 2 * * *")
    for start, days in (("2026-03-27T12:00+00:00", 4), ("2026-10-23T12:00+00:00", 4)):
        state = ScheduleState(spec.spec, at(start))
        fired = []
        while (following := next_due(spec, state, BERLIN)) and following < at(start) + dt.timedelta(days=days):
            fired.append(following)
            state = ScheduleState(spec.spec, state.anchor, following)
        assert len({f.astimezone(BERLIN).date() for f in fired}) == len(fired)
        assert len(fired) >= days - 1


def test_a_cron_line_in_the_sites_zone() -> None:
    state = ScheduleState("cron 0 3 * * 1", at("2026-11-24T00:00+00:00"))
    shanghai = ZoneInfo("Asia/Shanghai")
    following = next_due(Schedule(cron="0 3 * * 1"), state, shanghai)
    assert following
    assert following.astimezone(shanghai).isoformat() == "2026-11-30T03:00:00+08:00", "cron's 1 is Monday"


def test_a_clock_that_was_years_ahead_and_is_mended_does_not_silence_a_schedule() -> None:
    spec = Schedule(every=Span.parse("4w"))
    ahead = {"monthly": ScheduleState(spec.spec, at("2026-01-01T00:00+00:00"), at("2036-01-01T00:00+00:00"))}
    now = at("2026-11-24T00:00+00:00")
    assert list(due({"monthly": spec}, ahead, now, BERLIN)) == [ScheduleAnchored("monthly", spec.spec, now)]


def test_a_cron_line_that_cannot_be_read_says_why() -> None:
    assert check(Schedule(cron="61 3 * * *"), BERLIN)
    assert check(Schedule(cron="0 3 * *"), BERLIN)
    assert check(Schedule(cron="0 3 30 2 *"), BERLIN) == "no such day ever comes"
    assert not check(Schedule(cron="0 3 29 2 *"), BERLIN)
    assert not check(Schedule(cron="0 3 * * *"), BERLIN)


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Cairo", "Pacific/Chatham",
         "Asia/Shanghai")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("cron", ["30 0 * * *", "30 1 * * *", "30 2 * * *", "15 3 * * *"])
def test_a_nightly_schedule_is_due_once_a_night_all_year_in_every_zone(zone: str, cron: str) -> None:
    """Lord Howe's clock moves by half an hour, Santiago's and Cairo's at midnight. A night whose hour is skipped may go without."""
    spec, here = Schedule(cron=cron), ZoneInfo(zone)
    state, fired = ScheduleState(spec.spec, at("2026-01-01T12:00+00:00")), []
    while (following := next_due(spec, state, here)) and following < at("2027-01-01T12:00+00:00"):
        assert following > (state.last or state.anchor)
        fired.append(following)
        state = ScheduleState(spec.spec, state.anchor, following)
    days = [f.astimezone(here).date() for f in fired]
    assert len(set(days)) == len(days)
    assert len(days) >= 363


@given(st.lists(st.integers(-40 * 86400, 40 * 86400), min_size=2, max_size=12), st.sampled_from(ZONES), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_clock_that_jumps_back_and_forth_makes_nothing_due_twice(jumps: list[int], zone: str, far: bool) -> None:
    """What was due is in the journal: a clock that comes back to a night it had seen finds it done. One that was set back by more
    than a day counts from there, or one that was years ahead would silence the schedule: it may have a night a second time."""
    schedules, here = {"nightly": Schedule(cron="0 3 * * *")}, ZoneInfo(zone)
    states: dict[str, ScheduleState] = {}
    now, told = at("2026-06-01T00:00+00:00"), []
    newest = now
    for jump in jumps:
        for event in due(schedules, states, now, here):
            if isinstance(event, ScheduleAnchored):
                states["nightly"] = ScheduleState(event.spec, event.at)
            else:
                states["nightly"].last = event.due_at
                told.append(event.due_at)
                assert event.due_at <= now
        assert list(due(schedules, states, now, here)) == [], "asked again at once, nothing is due"
        newest = max(newest, now)
        now += dt.timedelta(seconds=jump)
        if not far:
            now = max(now, newest - dt.timedelta(days=1))
    assert far or len(set(told)) == len(told)


def test_machine_time_goes_on_while_the_wall_clock_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quiet periods and back-offs are counted by it: a clock that is set makes none longer and none shorter."""
    wall = [at("2026-06-01T12:00+00:00")]
    monkeypatch.setattr(clock, "_system", lambda: wall[0])
    began = clock.Clock()
    first = began.machine()
    for days in (40, -80, 3):
        wall[0] += dt.timedelta(days=days)
        assert began.wall() == wall[0]
        assert dt.timedelta() <= began.machine() - first < dt.timedelta(hours=1)
    assert clock.Clock(not_before=first).machine() >= first, "a restart with a clock that was set back"
