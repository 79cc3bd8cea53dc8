"""`status`: the same words on every screen, from the journal alone or with what a running daemon adds."""

from __future__ import annotations

import datetime as dt
import difflib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import journals
from command_line import Run, run_in
from retrainctl.site import site_at
from retrainctl.text import Screen, rendered
from retrainctl.views import status, status_data
from retraind.core import events as e
from retraind.core.steps import Failed, Impossible

TEMPLATES = Path(__file__).parent / "templates"
NOW = dt.datetime(2026, 12, 15, 2, 14, tzinfo=dt.UTC)
TRAINING = {
    "jobs": [{"job": "000157-train", "step": "train", "subject": "390426-3", "attempt": 2, "seconds": 372.4,
              "progress": {"stage": "fitting demand, gradient_boosting, 7 days ahead", "done": 41, "of": 96}}],
    "waits": [], "next_schedules": {"half-yearly": "2026-12-21T01:00:00+00:00"}, "folder_trouble": "",
}  # fmt: skip


def shown(name: str, text: str) -> None:
    """Hold a screen to its template; RETRAIND_UPDATE_SCREENS=1 writes the templates anew, and git shows what moved."""
    path = TEMPLATES / f"{name}.txt"
    steady = re.sub(r"\b(version|price@|demand@) ?[0-9a-f]{8}\b", r"\1 POLICY", text) + "\n"
    if os.environ.get("RETRAIND_UPDATE_SCREENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(steady, "utf-8")
    wanted = path.read_text("utf-8")
    assert steady == wanted, "\n".join(difflib.unified_diff(wanted.splitlines(), steady.splitlines(), lineterm=""))


def gathered(live: status_data.Live) -> dict[str, object]:
    site = site_at("config.yaml")
    with site.opened() as (connection, state):
        return status_data.gather(site, state, connection, live, NOW)


@pytest.mark.parametrize("width", [80, 200, 100_000], ids=["80", "200", "piped"])
@pytest.mark.parametrize("live", [None, TRAINING], ids=["stopped", "training"])
def test_the_screen_is_as_its_template(
    year: Path, monkeypatch: pytest.MonkeyPatch, live: status_data.Live, width: int
) -> None:
    monkeypatch.chdir(year)
    text = rendered(status.drawn(gathered(live), Screen(width)), Screen(width))
    name = "piped" if width > 1000 else str(width)
    shown(f"status_{'training' if live else 'stopped'}_{name}", text)


def test_what_was_passed_over_in_the_drops_folder_is_told_with_what_to_do(year: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(year)
    live = {**TRAINING, "passed_over": {f"{month:02d}": "is a folder; put its files here, side by side" for month in range(1, 7)}}
    text = rendered(status.drawn(gathered(live), Screen(200)), Screen(200))
    assert "passed over in the drops folder: 01 is a folder; put its files here, side by side" in text
    assert "and 3 more passed over there" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_screen_but_for_a_word_that_is(
    year: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.chdir(year)
    lines = rendered(status.drawn(gathered(TRAINING), Screen(width)), Screen(width)).splitlines()
    assert [line for line in lines if len(line) > width] == []


def test_colour_adds_nothing_but_colour(year: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(year)
    plain, painted = Screen(100), Screen(100, colour=True)
    lines = status.drawn(gathered(TRAINING), plain)
    assert "\x1b[31m" in rendered(lines, painted)
    assert re.sub(r"\x1b\[[0-9]+m", "", rendered(lines, painted)) == rendered(lines, plain)


def test_a_screen_without_unicode_gets_ascii(year: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(year)
    text = rendered(status.drawn(gathered(TRAINING), Screen(100)), Screen(100, unicode=False))
    assert text.isascii()
    assert "----!-" in text


def test_json_has_its_keys_and_the_journals_word(run: Run) -> None:
    ran = run("status", "--json")
    assert ran.code == 0
    data = ran.json
    assert data["version"] == 1
    assert {"daemon", "targets", "drops", "drift", "pending", "next_schedule", "paused", "policy", "jobs", "failures",
            "journal", "clock"} <= set(data)  # fmt: skip
    assert data["daemon"] | {"running": False, "ended": "stopped", "release": journals.RELEASE} == data["daemon"]
    assert data["drops"] == {
        "waiting": 0,
        "accepted": 16,
        "quarantined": 1,
        "duplicate": 1,
        "discarded": 0,
        "withdrawn": 0,
    }
    assert set(data["targets"]) == {"price", "demand"}
    champion = data["targets"]["demand"]["champion"]
    assert {k: champion[k] for k in ("version", "algorithm", "stage")} == {
        "version": 5, "algorithm": "gradient_boosting", "stage": "Production",
    }  # fmt: skip
    assert champion["metrics"]["wape"]["h1"] == 31.4
    assert data["targets"]["price"]["challenger"] is None  # v5 was refused, so it left Staging
    assert data["policy"]["price.yaml"]["refused"]["mistakes"][0].startswith("price.yaml, line 26")
    assert data["policy"]["demand.yaml"]["refused"] is None
    assert data["drift"]["last"]["rank"] == 17
    assert data["next_schedule"]["name"] == "half-yearly"
    assert data["targets"]["demand"]["live"] == {
        "horizon": "h1", "days": 7, "from": "2026-12-06", "to": "2026-12-12", "wape": 33.0, "naive": 37.9,
    }  # fmt: skip
    assert data["targets"]["price"]["orders"] == {"target": "price", "source": "champion", "version": 1, "rows": 60, "filled": 0}
    assert data["orders"]["origin"] == "2026-12-12"
    assert data["journal"]["events"] > 100
    assert len(data["journal"]["head"]) == 64


def test_a_killed_daemon_is_told_from_a_stopped_one(tmp_path: Path) -> None:
    story, _ = journals.first_days(tmp_path)
    story.kill()
    ran = run_in(tmp_path)("status")
    assert ran.code == 0
    assert "the daemon is not running; this is the journal's word of Mon 2 Nov 09:0" in ran.out
    assert "It ended without a word" in ran.out
    assert run_in(tmp_path)("status", "--json").json["daemon"]["ended"] == "killed"


def test_a_model_for_which_no_policy_speaks_is_an_alarm(tmp_path: Path) -> None:
    story, _ = journals.first_days(tmp_path)
    story.put_in_force("price", journals.POLICY)
    story.put_in_force("demand", journals.POLICY)
    story.append(e.PolicyRemoved("price.yaml", "price"), e.SITE)
    story.kill()
    told = run_in(tmp_path)("status", columns=200).out
    assert "no POLICY speaks for price: nothing is promoted or rolled back by itself." in told
    assert "speaks for demand" not in told


def test_a_broken_config_blinds_nobody(tmp_path: Path) -> None:
    story, _ = journals.first_days(tmp_path)
    story.kill()
    text = story.config.read_text("utf-8")
    line = next(i for i, words in enumerate(text.splitlines(), 1) if "clock: wall" in words)
    story.config.write_text(text.replace("clock: wall", "clock: sundial"), "utf-8")
    run = run_in(tmp_path)
    ran = run("status", columns=200)
    assert ran.code == 0
    assert "config.yaml CANNOT BE TAKEN; until it can, the settings that were loaded last hold" in ran.out
    assert f'    line {line}, column 3: "sundial" is not one of wall, data' in ran.out
    data = run("status", "--json").json
    assert [m["where"]["line"] for m in data["config"]["mistakes"]] == [line]
    assert data["drops"]["accepted"] == 4
    assert run("drops", "list").code == 1


def test_a_state_of_before_is_brought_up_to_date(tmp_path: Path) -> None:
    story, children = journals.first_days(tmp_path)
    site = site_at(str(story.config))
    with site.opened() as (_, state):
        before = state
    children.trainings = [lambda step: journals.trained(step, journals.result("price", 1, (4.2,), 4.7))]
    story.work(children)
    data = status_data.document(site, before)
    assert data["targets"]["price"]["champion"]["version"] == 1
    data["now"] = ""
    assert data == status_data.document(site) | {"now": ""} | {k: data[k] for k in ("clock",)}


def test_before_the_first_start_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes((journals.ROOT / "config.yaml").read_bytes())
    ran = run_in(tmp_path)("status", columns=200)
    assert ran.code == 0
    assert f"Start it: retraind --config {tmp_path / 'config.yaml'}" in ran.out
    assert "no drops yet: rename a file into drops/" in ran.out
    data = run_in(tmp_path)("status", "--json").json
    assert (data["daemon"]["running"], data["journal"]["events"]) == (False, 0)
    assert data["targets"]["price"]["champion"] is None


def test_a_pause_stands_first_and_is_gone_when_its_time_is_over(tmp_path: Path) -> None:
    story, _ = journals.first_days(tmp_path)
    forever = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    story.append(e.OverrideSet("pause", "ops-a", "stocktaking", forever), e.SITE)
    story.kill()
    ran = run_in(tmp_path)("status", columns=200)
    first = next(line for line in ran.out.splitlines() if line.startswith(" !"))
    assert first.startswith(' !  PAUSED by ops-a until Fri 1 Jan 2100 08:00: "stocktaking".')
    site = site_at(str(tmp_path / "config.yaml"))
    with site.opened() as (connection, state):
        assert status_data.gather(site, state, connection, None, NOW)["paused"]["by"] == "ops-a"
        assert status_data.gather(site, state, connection, None, forever)["paused"] is None


def test_a_failure_is_shown_with_its_remedy_and_whether_it_is_tried_again(tmp_path: Path) -> None:
    story, _ = journals.first_days(tmp_path)
    train = story.settle()[0]
    story.finish(train, Failed("no space left on the disk", "free some space", retryable=True))
    run = run_in(tmp_path)
    told = f"train {train.subject} FAILED once, it is tried again: no space left on the disk; free some space"
    assert told in run("status").out
    for _ in range(story.settings.jobs.retries):
        story.wait(hours=2)
        story.finish(story.settle()[0], Failed("no space left on the disk", "free some space"))
    story.kill()
    assert f"train {train.subject} FAILED 4 times, it is not tried again" in run("status").out
    assert run("status", "--json").json["failures"][0]["count"] == 4


def test_mlflow_that_is_away_is_said_to_be_asked_again(tmp_path: Path) -> None:
    story, _ = journals.first_days(tmp_path)
    story.append(e.JobStarted("j", "prepare", "http://mlflow:5000", 7, 1))
    for _ in range(story.settings.jobs.retries + 1):
        story.append(e.JobEnded("j", "prepare", "http://mlflow:5000", "failed", 1.0, what="no answer", retryable=True))
    story.kill()
    assert "FAILED 4 times, it is asked again from time to time: no answer" in run_in(tmp_path)("status").out


def test_too_little_data_is_told_until_more_was_trained_on(tmp_path: Path) -> None:
    story, children = journals.first_days(tmp_path)
    children.trainings = [lambda step: Impossible(step.request, "the store holds 90 days"), journals.good]
    story.work(children)
    (request,) = story.state.flow("produce").requests
    told = f"request {request} waits for data: the store holds 90 days"
    assert told in " ".join(run_in(tmp_path)("status").out.partition("PENDING")[2].partition("SCHEDULE")[0].split())
    assert run_in(tmp_path)("status", "--json").json["pending"]["waits_for_data"] == {
        "request": request, "why": "the store holds 90 days"}  # fmt: skip
    journals.week(story, children, 1)
    story.kill()
    assert "nothing asks for a retraining" in run_in(tmp_path)("status").out
    assert run_in(tmp_path)("status", "--json").json["pending"]["waits_for_data"] is None


def test_what_is_asked_for_and_held_says_until_when(tmp_path: Path) -> None:
    story, children = journals.first_days(tmp_path)
    children.trainings = [lambda step: journals.trained(step, journals.result("price", 1, (4.2,), 4.7),
                                                        journals.result("demand", 1, (33.0,), 37.9))]  # fmt: skip
    story.work(children)
    story.wait(days=7)
    for name, table, role in (("wholesale_prices", "wholesale", "companion"), ("daily_sales", "sales", "main")):
        days = dt.date(2026, 11, 1), dt.date(2026, 11, 7)
        children.tables[story.drop(f"{name}.csv")] = (table, role, 301, *days)  # type: ignore[assignment]
    story.work(children)
    story.append(e.ScheduleAnchored("monthly", "every 4w", story.now))
    story.append(e.ScheduleDue("monthly", story.now))
    story.wait(minutes=3)
    story.settle()
    story.kill()
    out = run_in(tmp_path)("status").out
    assert "(held: cool-down of 3w after the last training, for data of 2026-11-21 until Sun 22 Nov" in out


def status_by_process(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "retrainctl", "--config", str(folder / "config.yaml"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": ""})


def test_the_quick_door_and_typer_say_the_same(year: Path, run: Run) -> None:
    quick = status_by_process(year, "status")
    assert quick.returncode == 0
    # the clock moves between the two
    steady = [re.sub(r"\d\d:\d\d CST", "TIME", text) for text in (quick.stdout, run("status").out)]
    assert steady[0] == steady[1]


def test_the_quick_door_tells_errors_as_typer_does(tmp_path: Path) -> None:
    quick = status_by_process(tmp_path, "status", "--json")
    slow = run_in(tmp_path)("status", "--json")
    assert (quick.returncode, quick.stdout, quick.stderr) == (2, slow.out, slow.err)


def test_a_piped_status_has_neither_colour_nor_boxes(year: Path) -> None:
    out = status_by_process(year, "status").stdout
    assert "\x1b" not in out
    assert not set(out) & set("│╭╮╰╯─━┃")


def test_a_challenger_that_waits_is_shown_with_what_it_waits_for(tmp_path: Path) -> None:
    story, children = journals.first_days(tmp_path)
    patient = journals.POLICY.replace("give_up_after: 8w", "give_up_after: 8w\n  first: as_any")
    patient += "    - id: two-drops\n      soak: {{drops: 2}}\n"
    for target in ("price", "demand"):
        story.put_in_force(target, patient)
    children.trainings = [lambda step: journals.trained(
        step, *(journals.result(target, 1, (4.2, 4.4, 4.5, 4.6), 4.7) for target in ("price", "demand"))
    )]  # fmt: skip
    story.work(children)
    story.stop()
    run = run_in(tmp_path)
    assert run("which", "price", "staging").out == "1\n"
    assert run("which", "price").code == 1
    line = next(line for line in run("status").out.splitlines() if line.startswith(" price "))
    assert "v1 in Staging" in line
    assert line.endswith("two-drops")
    challenger = run("status", "--json").json["targets"]["price"]["challenger"]
    assert (challenger["version"], challenger["stage"]) == (1, "Staging")


def test_time_left_is_told_once_the_time_so_far_says_something() -> None:
    def job(done: int, seconds: float | None = 60.0) -> dict[str, object]:
        return {"progress": {"stage": "fitting", "done": done, "of": 100}, "seconds": seconds}

    assert [status.time_left(job(done)) for done in (0, 1, 20, 50, 100)] == [
        "", "", "about 4 min left", "about 1 min left", "",
    ]  # fmt: skip
    assert status.time_left(job(90)) == "about 6 s left"
    assert status.time_left(job(50, None)) == ""
    assert status.time_left({"progress": None, "seconds": 3.0}) == ""
