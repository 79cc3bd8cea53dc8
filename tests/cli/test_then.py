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
    assert (ran.code, ran.out) == (0, "price v5 is in no stage: rejected: no-worse-than-champion says no\n")
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


def test_why_nothing_is_trained_when_nobody_asks_and_what_would_hold_it_if_somebody_did(tmp_path: Path) -> None:
    story = journals.a_year(tmp_path)
    story.ask(m.Pause("stocktaking"))
    story.kill()
    data = run_in(tmp_path)("retrain", "--why-not", "--json").json
    assert (data["daemon"], data["request"], data["causes"]) == (False, None, [])
    assert data["holds"]["why"] == "nothing asks for a retraining"
    assert data["if_asked"]["why"] == 'paused by ops-a: "stocktaking"'
    out = run_in(tmp_path)("retrain", "--why-not").out.splitlines()
    assert out[0] == " !  the daemon is not running, so nothing is trained"
    assert [line.split()[0] for line in out[1:]] == ["ASKS", "HOLDS", "IF"]


def test_why_not_names_the_cause_that_waits_and_what_it_waits_for(tmp_path: Path) -> None:
    story, children = journals.first_days(tmp_path)
    children.trainings = [journals.good]
    story.work(children)
    journals.week(story, children, 1)
    story.append(e.RetrainAsked("ops-a", "new supplier"))
    story.settle()
    story.ask(m.Pause("power cut", dt.datetime(2199, 1, 1, tzinfo=dt.UTC)))
    story.kill()
    data = run_in(tmp_path)("retrain", "--why-not", "--json").json
    assert data["causes"] == ['ops-a asked: "new supplier"']
    assert data["holds"] == {"why": 'paused by ops-a: "power cut"', "until": "2199-01-01T00:00:00+00:00"}


def test_a_required_table_that_does_not_come_is_named_while_it_is_waited_for(tmp_path: Path) -> None:
    config = (journals.ROOT / "config.yaml").read_text("utf-8").replace("companion_wait: 2h", "companion_wait: 5000w")
    story, children = journals.Story(tmp_path, config=config), journals.Children()
    story.start()
    children.tables[story.drop("daily_sales.parquet")] = ("sales", "main", 10, journals.END, journals.END)
    story.work(children)
    story.append(e.RetrainAsked("ops-a", "try", now=True))
    story.settle()
    (held,) = journals.kinds(story, "retrain.held")
    assert held.event.reason == f"wholesale does not reach {journals.END}"
    story.kill()
    data = run_in(tmp_path)("retrain", "--why-not", "--json").json
    assert data["holds"] == {"why": held.event.reason, "until": held.event.until.isoformat()}
    status = " ".join(run_in(tmp_path)("status", columns=200).out.split())
    assert "data until 31 Oct · no wholesale yet" in status
    assert f'ops-a asked: "try" (held: {held.event.reason} until' in status


def test_why_not_of_a_request_that_is_under_way_names_it(tmp_path: Path) -> None:
    story, _ = journals.first_days(tmp_path)
    (job,) = story.settle()
    story.begin(job)
    story.kill()
    data = run_in(tmp_path)("retrain", "--why-not", "--json").json
    assert data["request"] == job.subject
    assert data["holds"]["why"] == f"nothing: request {job.subject} is being trained"
    assert data["if_asked"]["why"] == f"request {job.subject} is under way"
