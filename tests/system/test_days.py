"""Half-day exports, markers and withdrawals, with a real daemon and real commands."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from command_line import run_in
from real_site import drop_ends, events, make_site, running, state_of
from small_shop import EDITS, END, write_history, write_policies, write_week

NEXT = END + dt.timedelta(1)


def site_with(folder: Path, *, marker: str = "") -> Path:
    """On the wall clock with a history of 400 days; nobody is asked to train: that is another test's."""
    edits = {old: new for old, new in EDITS.items() if not old.startswith("clock")} | {"min_days: 180": "min_days: 5000"}
    if marker:
        edits['# marker: "{date}.complete"'] = f'marker: "{marker}"'
    site = make_site(folder / "site", edits, prepared=True)
    write_policies(site)
    write_history(site / "drops")
    return site


def day(site: Path, lines: slice, name: str) -> None:
    """Some of the items of the day after the history come in."""
    week = write_week(site, 1)
    week.with_name(week.name.replace("daily_sales", "wholesale_prices")).unlink()
    header, *rows = week.read_text("utf-8").splitlines()
    week.unlink()
    chosen = [row for row in rows if row.startswith(str(NEXT))][lines]
    (site / "drops" / f"{name}.new").write_text("\n".join([header, *chosen]) + "\n", "utf-8")
    (site / "drops" / f"{name}.new").rename(site / "drops" / name)


def test_a_half_day_is_left_out_completed_withdrawn_and_accepted(tmp_path: Path) -> None:
    site = site_with(tmp_path)
    run = run_in(site)
    with running(site) as daemon:
        daemon.wait_for("drop.filed", times=4)  # the history and its lookups
        day(site, slice(0, 4), "daily_sales_morning.csv")
        daemon.wait_for("day.incomplete")
        shown = run("status", "--json").json["incomplete"]
        morning = shown[0]["drop"]
        assert shown[0]["why"].startswith("4 items where 12 are usual of a Monday")
        day(site, slice(4, None), "daily_sales_evening.csv")
        daemon.wait_for("day.complete")
        evening = events(site, "drop.accepted")[-1].event.drop
        daemon.wait_for("job.ended", times=3)
        while "this moment" in (ran := run("drops", "withdraw", evening, "--yes", "--reason", "another shop's")).err:
            daemon.wait_for("job.ended", times=daemon.log.count("job.ended") + 1)
        assert (ran.code, ran.out) == (0, "withdrawn: it is out of the store, its file stays\n")
        daemon.wait_for("day.incomplete", times=2)
        ran = run("drops", "accept", morning, "--yes", "--reason", "stocktaking")
        assert (ran.code, ran.out) == (0, "accepted: its days count\n")
    flow = state_of(site).flow("produce")
    assert flow.incomplete == {}
    assert drop_ends(site)["daily_sales_evening.csv"] == "withdrawn"
    assert (site / "done" / "daily_sales_evening.csv").exists()
    assert flow.last_date("sales") == NEXT
    assert events(site, "alert.raised")[0].event.kind == "incomplete_day"


def test_a_marker_file_makes_its_day_count_and_is_no_drop(tmp_path: Path) -> None:
    site = site_with(tmp_path, marker="{date}.complete")
    with running(site) as daemon:
        daemon.wait_for("day.incomplete", times=14)  # the history's newest two weeks
        for back in range(14):
            (site / "drops" / f"{END - dt.timedelta(back)}.complete").touch()
        daemon.wait_for("day.complete", times=14)
        (site / "drops" / f"{NEXT}.complete").touch()
        daemon.wait_for("day.marked", times=15)
        day(site, slice(None), "daily_sales_next.csv")
        daemon.wait_for("drop.filed", times=5)
    flow = state_of(site).flow("produce")
    assert flow.incomplete == {}
    assert not any(name.endswith(".complete") for name in drop_ends(site))
    assert sum(path.suffix == ".complete" for path in (site / "done").iterdir()) == 15
    assert list((site / "drops").glob("*.complete")) == []


@pytest.mark.parametrize("point", ["drop.before_move", "drop.moved"])
def test_a_marker_that_a_killed_daemon_was_putting_away_is_told_once(tmp_path: Path, point: str) -> None:
    edits = {'# marker: "{date}.complete"': 'marker: "{date}.complete"', "settle: 3s": "settle: 0s"}
    site = make_site(tmp_path / "site", edits, prepared=True)
    (site / "drops" / "2026-01-02.complete").touch()
    with running(site, env={"RETRAIND_FAILPOINT": point}) as daemon:
        assert daemon.process.wait(30) == -9
    with running(site) as daemon:
        (site / "drops" / "2026-01-03.complete").touch()
        daemon.wait_for("2026-01-03")
    assert [str(r.event.date) for r in events(site, "day.marked")] == ["2026-01-02", "2026-01-03"]
    assert (site / "done" / "2026-01-02.complete").exists()
