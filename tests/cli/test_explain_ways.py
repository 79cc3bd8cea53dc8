"""`explain` of what is not a version: a request for a training, and a drop."""

from __future__ import annotations

from pathlib import Path

import pytest

import journals
from command_line import Run, run_in


@pytest.fixture
def request_id(run: Run) -> str:
    """The second training, which drift asked for."""
    (_, second) = dict.fromkeys(v["request"] for v in run("versions", "list", "--json").json["versions"])
    return second


def test_a_request_is_explained_from_its_cause_to_what_was_decided(run: Run, request_id: str) -> None:
    data = run("explain", request_id, "--json").json
    assert (data["what"], data["state"], data["kind"]) == ("request", "finished", "refresh")
    assert [s["kind"] for s in data["way"]] == [
        "drift.measured", "retrain.held", "retrain.requested", "job.started", "training.finished", "job.ended",
    ]  # fmt: skip
    assert data["data"]["tables"]["sales"] == {
        "files": 6, "rows": 40497, "newest_drop": "89db805e", "first_date": "2023-11-01", "last_date": "2026-12-05",
    }  # fmt: skip
    assert [[v["version"] for v in m["versions"]] for m in data["models"]] == [[5, 6, 7, 8], [5, 6, 7, 8]]
    assert {(d["model"], d["verdict"]) for d in data["decisions"] if d["number"] == 5 and d["verdict"]} == {
        ("price", "reject"), ("demand", "promote"),
    }  # fmt: skip
    assert (data["run"], data["drops"]) == ({"run": "parentrun01", "page": None}, ["89db805e"])
    assert f"see: retrainctl explain {request_id}, retrainctl explain 89db805e" in run("explain", "demand", "5").out
    out = run("explain", request_id).out
    assert " BECAUSE  drop 89db805e drifted" in out
    assert "retraining held: quiet period" in out
    assert "demand v5 is in Production" in out


def test_a_drop_is_explained_from_its_arrival_to_the_training_it_caused(run: Run, request_id: str) -> None:
    data = run("explain", "89db", "--json").json
    assert (data["what"], data["state"], data["requests"]) == ("drop", "accepted", [request_id])
    assert [s["kind"] for s in data["way"]] == [
        "drop.arrived", "drop.accepted", "drop.filed", "drift.measured", "forecast.scored", "retrain.held", "retrain.requested",
    ]  # fmt: skip
    assert data["live"][0] == {
        "target": "price", "horizon": "h1", "days": 7,
        "wape": pytest.approx({"v1": 4.6, "persistence": 4.7, "seasonal_naive": 6.1, "moving_average": 5.9}),
    }  # fmt: skip
    assert [w["drifting"] for w in data["drift"]] == [True]
    assert "price v5" in data["trained"]
    assert f" CAUSED   request {request_id}; see: retrainctl explain {request_id}" in run("explain", "89db").out


def test_a_quarantined_drop_is_explained_with_its_reason_and_the_alert(run: Run) -> None:
    out = run("explain", "dc830e93").out
    assert "row 118, column quantity_kg: quantity_kg is -3.5, must be at least 0" in out
    assert " CAUSED   alert: daily_sales_broken.csv was not taken" in out
    assert run("explain", "dc830e93", "--json").json["live"] is None


def test_a_wrong_id_is_wrong_usage_with_the_nearest_right_one(run: Run, request_id: str) -> None:
    ran = run("explain", request_id[:-1] + "9")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f'error: there is no request "{request_id[:-1]}9"; did you mean {request_id[:-1]}')
    assert run("explain", "89db805f").err.startswith('error: there is no model "89db805f"')


def test_links_lead_to_the_runs_page_on_a_server_and_to_the_report_where_one_was_kept(tmp_path: Path) -> None:
    config = journals.ROOT.joinpath("config.yaml").read_text("utf-8")
    assert "sqlite:///mlflow/mlflow.db" in config
    story, children = journals.first_days(tmp_path, config=config.replace("sqlite:///mlflow/mlflow.db", "http://mlflow:5000/"))
    children.trainings = [journals.good]
    story.work(children)
    story.kill()
    run, (request,) = run_in(tmp_path), story.state.flow("produce").requests
    assert run("explain", request, "--json").json["report"] is None
    report = tmp_path / "state" / "reports" / f"{request}.html"
    report.parent.mkdir()
    report.touch()
    page = "http://mlflow:5000/#/runs/parentrun01"
    assert f" SEE      run parentrun01 · {page} · report state/reports/{request}.html" in run("explain", request).out
    assert f"/#/runs/run0001f3a9 · report state/reports/{request}.html" in run("explain", "price", "1").out
