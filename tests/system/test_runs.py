"""`retrainctl runs` on a site that really trained: the list, the table, the log, and the same figures once more."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from command_line import Run, run_in
from real_site import make_site, run_until_idle, running, state_of
from retrainctl import children
from retraind.core.binding import bind, unbind
from retraind.core.steps import Trained
from retraind.journal.read import opened, records
from small_shop import EDITS, write_history, write_policies


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose first champion is there. Read it, do not change it."""
    folder = make_site(tmp_path_factory.mktemp("shop"), EDITS)
    write_policies(folder)
    write_history(folder / "drops")
    ended = run_until_idle(folder, seconds=300)
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture
def run(site: Path) -> Run:
    return run_in(site)


@pytest.fixture
def request_id(site: Path) -> str:
    (one,) = state_of(site).flow("produce").requests.values()
    return one.id


def test_the_list_says_when_why_and_what_came_of_it(run: Run, request_id: str) -> None:
    (row,) = run("runs", "list", "--json").json["runs"]
    assert (row["request"], row["state"], row["targets"]) == (request_id, "finished", ["demand"])
    assert row["seconds"] > 0
    assert row["report"].endswith(f"state/reports/{request_id}.html")
    assert request_id in run("runs", "list").out


def test_a_training_is_shown_as_the_table_that_a_forecaster_knows(run: Run, request_id: str) -> None:
    shown = run("runs", "show")
    assert shown.code == 0
    for word in ("VALIDATION", "MAPE", "RMSE", "R²", "MOST IMPORTANT", "persistence", "seasonal naive", "moving average"):
        assert word in shown.out
    (result,) = run("runs", "show", request_id, "--json").json["results"]
    best = result["candidates"][0]
    assert f"{best['metrics']['mape']['h1']:.2f}" in shown.out
    assert len(best["importance"]) == 10
    assert best["importance"][0]["english"] in shown.out
    assert run("runs", "show", best["run_id"][:8], "--horizon", "7").out.count("7 d ahead") == 1


def test_what_is_no_training_or_no_horizon_is_refused(run: Run) -> None:
    assert run("runs", "show", "no-such-run").code == 2
    assert "name one of 1, 7" in run("runs", "show", "--horizon", "3").err


def test_the_log_tells_what_the_training_did(run: Run, request_id: str) -> None:
    said = run("runs", "logs", request_id)
    assert said.code == 0
    assert f"training {request_id} kind=search" in said.out
    assert "registered demand v1" in said.out
    (only,) = run("runs", "logs", "--json").json["tries"]
    assert only["lines"] == said.out.splitlines()
    assert run("runs", "logs", "-f").out == said.out  # it has ended, so there is nothing to wait for


def test_a_training_made_again_gives_the_same_figures_to_the_last_digit_and_leaves_nothing(
    site: Path, run: Run, request_id: str
) -> None:
    before = {p: p.stat().st_mtime_ns for p in (site / "state").rglob("*") if p.is_file()}
    made = run("runs", "reproduce", request_id, "--json")
    assert made.json["differences"] == []
    assert made.code == 0
    assert made.json["figures"] > 100
    assert made.json["changed"] == []
    assert {p: p.stat().st_mtime_ns for p in (site / "state").rglob("*") if p.is_file()} == before


def test_a_figure_that_comes_out_otherwise_is_told(site: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(site / "state" / "journal.db") as connection:
        (finished,) = records(connection, kinds=("training.finished",))
    fields: dict[str, Any] = {k: v for k, v in unbind(finished.event).items() if k != "seconds"}
    same = bind(Trained, fields, strict=False)
    fields["results"][0]["candidates"][0]["test"]["values"]["wape"]["h1"] += 1e-12
    other = replace(bind(Trained, fields, strict=False), parent_run="")
    monkeypatch.setattr(children, "outcome_of", lambda *_: same)
    assert run("runs", "reproduce").code == 0
    monkeypatch.setattr(children, "outcome_of", lambda *_: other)
    told = run("runs", "reproduce")
    assert told.code == 1
    assert "different: 1 of" in told.out
    assert "test values wape h1" in told.out


def test_a_command_that_waits_starts_a_daemon_where_none_runs_and_asks_the_one_that_does(
    site: Path, tmp_path: Path, request_id: str
) -> None:
    here = run_in(Path(shutil.copytree(site, tmp_path / "shop")))
    made = here("retrain", "--now", "--wait", "--reason", "a test", "--json")
    assert made.code == 0, made.err
    assert made.json["request"] != request_id
    assert state_of(tmp_path / "shop").flow("produce").requests[made.json["request"]].state == "finished"
    with running(tmp_path / "shop"):
        assert here("work", "--json").json["started"] is False
        promoted = here("runs", "promote", "--yes", "--json")  # its policy has done so: nothing is left to do
        assert promoted.code == 0, promoted.err
