"""What was, asked afterwards, and what is not yet, waited for."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import journals
from command_line import Run, run_in
from retrainctl.options import when
from retraind.core import events as e
from retraind.core import messages as m
from retraind.errors import Usage

NOW = dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")


def test_which_tells_who_was_champion_then(run: Run) -> None:
    change = run("history", "demand", "--json").json["tenures"][1]["since"]
    before = (dt.datetime.fromisoformat(change) - dt.timedelta(seconds=1)).isoformat()
    assert (run("which", "demand", "--at", before).out, run("which", "demand", "--at", change).out) == ("1\n", "5\n")
    assert run("which", "demand", "--at", "2026-12-01", "--json").json["at"] == "2026-11-30T16:00:00+00:00"
    ran = run("which", "demand", "--at", "2026-01-01")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: demand had no version in production")
    assert run("which", "demand", "staging", "--at", "2026-12-01").code == 2


def test_history_at_a_time_is_the_one_tenure_of_then(run: Run) -> None:
    assert [t["number"] for t in run("history", "demand", "--at", "2026-12-01", "--json").json["tenures"]] == [1]
    assert run("history", "demand", "--at", "2026-12-01").out.splitlines()[1].split()[0] == "v1"
    assert run("history", "demand", "--at", "2025-01-01").out == "demand had no champion at Wed 1 Jan 2025 00:00\n"


@pytest.mark.parametrize(
    ("text", "meant"),
    [("3h", NOW - dt.timedelta(hours=3)), ("2026-11-04T18:00", dt.datetime(2026, 11, 4, 10, tzinfo=dt.UTC)),
     ("2026-11-04", dt.datetime(2026, 11, 3, 16, tzinfo=dt.UTC))],
)  # fmt: skip
def test_at_is_a_span_before_now_or_a_time_in_the_sites_zone(text: str, meant: dt.datetime) -> None:
    assert when(text, NOW, SHANGHAI) == meant


def test_at_is_refused_when_it_is_unreadable() -> None:
    with pytest.raises(Usage, match="neither a span nor a time"):
        when("yesterday", NOW, SHANGHAI)


def test_waiting_ends_at_once_when_it_is_so_or_can_never_be(run: Run) -> None:
    assert run("wait", "demand", "5", "--for", "production").code == 0
    assert run("wait", "demand", "1", "--for", "production").code == 0  # it was
    ran = run("wait", "price", "5", "--for", "production")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: price v5 does not come to Production: rejected: no-worse-than-champion says no")
    ran = run("wait", "price", "v5")
    assert (ran.code, ran.out) == (0, "price v5 is Archived: rejected: no-worse-than-champion says no\n")
    assert run("wait", "price", "5", "--json").json["verdict"] == "reject"
    assert run("wait", "price", "5", "--for", "god").code == 2
    assert run("wait", "price", "5", "--timeout", "soon").code == 2


def test_waiting_ends_with_its_time(tmp_path: Path) -> None:
    story, children = journals.first_days(tmp_path)
    children.trainings = [journals.good, journals.good]
    story.work(children)
    story.ask(m.Freeze("price"))
    journals.week(story, children, 1)
    story.append(e.RetrainAsked("ops-a", "", now=True, targets=("price",)))
    story.work(children)
    story.kill()
    for words in (["--for", "production"], ["--for", "decision"]):
        ran = run_in(tmp_path)("wait", "price", "5", *words, "--timeout", "0s", "--json")
        assert ran.code == 4
        assert ran.json["error"]["what"] == "price v5: holds: frozen by ops-a"
