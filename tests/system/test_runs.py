"""`retrainctl runs` on a site that really trained: the list, the table, the log, and the same figures once more."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from command_line import Run, run_in
from real_site import aliases, copy_site, events, make_site, running, state_of, tags
from retrainctl import children, daemons
from retrainctl.site import site_at
from retrainctl.views import reproduced
from retrainctl.views import runs as view
from retraind.core import messages as m
from retraind.core.binding import bind, unbind
from retraind.core.steps import Trained
from retraind.journal.read import opened, records
from small_shop import EDITS, write_history, write_policies, write_week


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose first champion is there. Read it, do not change it."""
    folder = make_site(tmp_path_factory.mktemp("shop"), EDITS, prepared=True)
    write_policies(folder)
    write_history(folder / "drops")
    waited = run_in(folder)("retrain", "--now", "--wait", "--reason", "a test", "--json")  # no daemon runs: it starts one
    assert waited.code == 0, waited.err
    (folder / "waited.json").write_text(waited.out)
    return folder


@pytest.fixture
def run(site: Path) -> Run:
    return run_in(site)


@pytest.fixture
def request_id(site: Path) -> str:
    *_, newest = state_of(site).flow("produce").requests.values()
    return newest.id


def test_the_list_says_when_why_and_what_came_of_it(run: Run, request_id: str) -> None:
    *_, row = run("runs", "list", "--json").json["runs"]
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


def test_costs_are_shown_with_what_they_vary_by_and_under_the_name_that_forecasters_look_for(
    site: Path, run: Run, request_id: str
) -> None:
    (report,) = json.loads((site / "state" / "reports" / f"{request_id}.json").read_text())["targets"]
    shown = run("runs", "show", columns=100).out
    assert " VALIDATION     CV " in shown
    for candidate in report["candidates"]:
        assert f"{candidate['choice']['cost']:.3f} ± {candidate['choice']['std']:.3f}" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_one_fold_varies_by_nothing_and_shows_no_deviation() -> None:
    assert view._cost({"search_cost": 0.822, "search_std": 0.0}, "search") == "0.822"
    assert view._cost({"search_cost": 0.822, "search_std": 0.0171}, "search") == "0.822 ± 0.017"
    assert view._cost({"search_cost": None, "search_std": None}, "search") == "-"


def test_importance_says_which_horizon_it_is_of_whatever_the_figures_are_of(run: Run) -> None:
    shown = run("runs", "show", "--horizon", "7", columns=100).out
    assert "DEMAND, 7 d ahead" in shown
    assert "MOST IMPORTANT, 1 d ahead" in shown


def test_each_part_of_the_split_has_a_line(site: Path, run: Run, request_id: str) -> None:
    train, validation, test = run("runs", "show", "--json").json["split"]
    shown = run("runs", "show", columns=100).out.splitlines()
    for label, part in (("TRAIN", train), ("VALIDATE", validation), ("TEST", test)):
        (line,) = [one for one in shown if one.startswith(f" {label} ")]
        assert f"{part['from']} to {part['to']}: {part['days']} days, {part['rows']:,} rows, {part['items']} items" in line
    with opened(site / "state" / "journal.db") as connection:
        data = view.show(site_at(str(site / "config.yaml")), state_of(site).flow("produce").requests[request_id], connection)
    assert [label for label, _ in view._split(data | {"split": []})] == ["TEST"]  # its report is gone


def test_a_note_that_another_repeats_with_more_is_shown_once() -> None:
    said = "price: the recipe of v1 cannot be fitted"
    more = f"{said}; the portfolio was searched instead"
    assert view._once([more, "another", said, "another"]) == [more, "another"]


def test_what_is_no_training_or_no_horizon_is_refused(run: Run) -> None:
    assert run("runs", "show", "no-such-run").code == 2
    assert "name one of 1, 7" in run("runs", "show", "--horizon", "3").err


def test_the_log_tells_what_the_training_did(run: Run, request_id: str) -> None:
    said = run("runs", "logs", request_id)
    assert said.code == 0
    assert f"training {request_id} kind=" in said.out
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
        *_, finished = records(connection, kinds=("training.finished",))
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


def test_a_figure_that_an_older_release_did_not_measure_is_no_difference(
    site: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(site / "state" / "journal.db") as connection:
        *_, finished = records(connection, kinds=("training.finished",))
    fields: dict[str, Any] = {k: v for k, v in unbind(finished.event).items() if k != "seconds"}
    fields["results"][0]["candidates"][0]["figures"]["measured_since"] = 1.0
    monkeypatch.setattr(children, "outcome_of", lambda *_: bind(Trained, fields, strict=False))
    told = run("runs", "reproduce")
    assert told.code == 0
    assert "1 figure beside them that the release of then did not measure" in told.out
    fields["results"][0]["candidates"].append({**fields["results"][0]["candidates"][0], "algorithm": "oracle"})
    assert run("runs", "reproduce").code == 1  # a candidate more is one


@pytest.mark.parametrize("when", ["then", "now"])
def test_differences_are_shown_and_allowed_where_the_guard_cut_the_search_short(
    site: Path, run: Run, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    with opened(site / "state" / "journal.db") as connection:
        *_, finished = records(connection, kinds=("training.finished",))
    whole: dict[str, Any] = {k: v for k, v in unbind(finished.event).items() if k != "seconds"}
    cut = copy.deepcopy(whole)
    cut["results"][0]["candidates"][0]["figures"]["search_cut_short"] = 1.0
    cut["results"][0]["candidates"][0]["test"]["values"]["wape"]["h1"] += 1e-12
    then, now = (cut, whole) if when == "then" else (whole, cut)
    monkeypatch.setattr(reproduced, "finished", lambda *_: bind(Trained, then, strict=False))
    monkeypatch.setattr(children, "outcome_of", lambda *_: bind(Trained, now, strict=False))
    told = run("runs", "reproduce")
    assert told.code == 0
    assert "different: " in told.out
    assert "test values wape h1" in told.out
    assert "the guard training.search.seconds cut the search short, so differences are allowed" in told.out
    assert run("runs", "reproduce", "--json").json["same"] is False


def test_a_command_that_waits_starts_a_daemon_where_none_runs_and_tells_what_came_of_it(site: Path, request_id: str) -> None:
    assert json.loads((site / "waited.json").read_text())["request"] == request_id
    assert [r.event.reason for r in events(site, "retrain.asked")] == ["a test"]
    assert events(site, "daemon.stopped")[0].event.reason == "idle"


def test_a_command_that_waits_asks_the_daemon_that_runs(site: Path, run: Run) -> None:
    with running(site):
        assert run("work", "--json").json["started"] is False
        promoted = run("runs", "promote", "--yes", "--json")
    assert promoted.json["versions"] == {}  # its policy has done so


def test_a_training_that_cannot_be_says_why_and_the_champion_stays_and_is_ordered_by(site: Path, tmp_path: Path) -> None:
    copy = copy_site(site, tmp_path / "site")
    run, orders = run_in(copy), copy / "orders" / "orders.csv"
    before = (aliases(copy), tags(copy, "retraind.stage"), orders.read_bytes())
    config = copy / "config.yaml"
    config.write_text(config.read_text("utf-8").replace("min_days: 180", "min_days: 5000"), "utf-8")
    asked = run("retrain", "--now", "--wait", "--reason", "a test")
    why = "the store holds 400 days of sales, a training needs 5000 (training.min_days)"
    assert asked.code == 1
    (told,) = events(copy, "training.impossible")
    assert told.event.why == why
    assert f"error: {told.event.request} is impossible: {why}" in asked.err
    assert run("status", "--json").json["pending"]["waits_for_data"] == {"request": told.event.request, "why": why}
    assert before == (aliases(copy), tags(copy, "retraind.stage"), orders.read_bytes())
    assert before[0] == {("demand", "champion"): 1}
    write_week(copy / "drops", 1)
    assert run("work", "--json").json["champions"] == {"demand": 1}
    ordered = pd.read_csv(orders, dtype=str)
    assert set(zip(ordered.source, ordered.version, ordered.data_until, strict=True)) == {("champion", "1", "2024-02-11")}


def test_a_daemon_that_was_started_to_be_asked_is_not_idle_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One with nothing to do would be gone before whoever started it has looked whether it answers."""
    monkeypatch.setattr(daemons, "_LOOK_EVERY", 3.0)
    site = make_site(tmp_path / "site", prepared=True)
    with daemons.daemon_of(site_at(str(site / "config.yaml"))) as daemon:
        daemon.ask(m.Pause("stocktaking"))
        daemon.rest(quietly=True)
    assert [r.event.until_idle for r in events(site, "daemon.started")] == [True]
    assert [r.event.reason for r in events(site, "daemon.stopped")] == ["idle"]
    assert [r.event.reason for r in events(site, "override.set")] == ["stocktaking"]
