"""Incomplete days, withdrawn drops and alerts as people see them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

import journals
from command_line import Run, run_in
from journals import END, first_days, good, week
from retraind.core import events as e


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day that is half there, a champion that learned from a withdrawn drop, and alerts that were and were not taken."""
    folder = tmp_path_factory.mktemp("days")
    config = (journals.ROOT / "config.yaml").read_text("utf-8")
    config = config.replace("alerts: {}", 'alerts: {ops: {webhook: "http://127.0.0.1:9/"}, desk: {command: ["true"]}}')
    made, children = first_days(folder, config=config)
    children.trainings = [good] * 3
    made.work(children)
    week(made, children, 1)
    last = next(f.drop for f in reversed(made.state.flow("produce").store) if f.table == "sales")
    made.append(e.DayIncomplete(last, END + dt.timedelta(7), 8, 20.0, "8 items where 20 are usual of a Saturday, less than 50%"))
    made.settle()
    key = next(iter(made.state.alerts))
    made.append(e.AlertDelivered(key, "desk"))
    made.append(e.AlertUndelivered(key, "ops", "Connection refused"))
    first = next(d.id for d in made.state.flow("produce").drops.values() if d.name == "daily_sales_history.parquet")
    made.append(e.DropWithdrawn(first, "ops-a", "prices of another shop"))
    made.stop()
    return folder


@pytest.fixture
def run(story: Path) -> Run:
    return run_in(story)


def test_status_tells_an_incomplete_day_with_the_command_that_says_it_is_real(run: Run) -> None:
    data = run("status", "--json").json["incomplete"]
    assert [one["why"] for one in data] == ["8 items where 20 are usual of a Saturday, less than 50%"]
    out = " ".join(run("status", columns=200).out.split())
    assert "7 Nov is INCOMPLETE and does not count: 8 items where 20 are usual of a Saturday, less than 50%." in out
    assert f"say that it is real: retrainctl drops accept {data[0]['drop']}" in out
    assert "1 ALERT not taken by ops: Connection refused. See: retrainctl alerts list" in out


def test_a_version_that_learned_from_a_withdrawn_drop_is_marked_wherever_it_is_shown(run: Run) -> None:
    why = 'TAINTED: trained on drop'
    assert why in " ".join(run("status", columns=200).out.split())
    assert why in run("explain", "price", "1").out
    assert "TAINTED, trained on drop" in run("versions", "show", "price", "1").out
    assert all(v["tainted"].endswith('withdrawn by ops-a: "prices of another shop"')
               for v in run("versions", "list", "--json").json["versions"])  # fmt: skip


def test_a_request_that_read_a_withdrawn_drop_tells_what_it_read_and_what_is_gone_since(run: Run) -> None:
    request = run("versions", "list", "--json").json["versions"][-1]["request"]
    data = run("explain", request, "--json").json["data"]
    assert data["withdrawn"] == 1
    assert data["tables"]["sales"]["first_date"] == "2023-11-01"
    assert data["files"] == sum(table["files"] for table in data["tables"].values())
    assert "1 file of these withdrawn since" in " ".join(run("explain", request).out.split())


def test_a_withdrawn_drop_shows_who_took_it_out_and_why(run: Run) -> None:
    (drop,) = run("drops", "list", "--state", "withdrawn", "--json").json["drops"]
    out = run("drops", "show", drop["drop"]).out
    assert "withdrawn" in out
    assert 'withdrawn by ops-a: "prices of another shop"' in out


def test_a_dry_run_of_a_withdrawal_names_what_would_be_marked(run: Run) -> None:
    newest = run("drops", "list", "--state", "accepted", "--json").json["drops"][-1]
    out = run("drops", "withdraw", newest["drop"], "--dry-run").out
    assert out == f"would take 301 rows of {newest['name']} ({newest['drop']}) out of the store\n"
    withdrawn = run("drops", "list", "--state", "withdrawn", "--json").json["drops"][0]["drop"]
    ran = run("drops", "withdraw", withdrawn, "--dry-run")
    assert (ran.code, ran.err) == (1, f"error: {withdrawn} is withdrawn: only an accepted drop is in the store\n")


def test_a_dry_run_of_accepting_names_the_days(run: Run) -> None:
    drop = run("status", "--json").json["incomplete"][0]["drop"]
    assert run("drops", "accept", drop, "--dry-run").out.startswith("would count 2026-11-07 (8 items where 20 are usual")
    other = next(d["drop"] for d in run("drops", "list", "--json").json["drops"] if d["name"] == "items.csv")
    assert run("drops", "accept", other, "--dry-run").out == f"would do nothing: no day of {other} is incomplete\n"


def test_alerts_are_listed_with_who_took_them_and_who_did_not(run: Run) -> None:
    (alert,) = run("alerts", "list", "--json").json["alerts"]
    assert alert["key"] == f"incomplete_day:{END + dt.timedelta(7)}"
    assert {name: one["state"] for name, one in alert["deliveries"].items()} == {"ops": "waiting", "desk": "delivered"}
    assert "ops waiting: Connection refused" in run("alerts", "list", columns=200).out


def test_without_alerts_the_list_says_so(tmp_path: Path) -> None:
    made, _ = first_days(tmp_path)
    made.stop()
    assert run_in(tmp_path)("alerts", "list").out == "no alert was raised yet\n"


def test_a_damaged_drop_is_told_everywhere_with_what_a_person_can_say(tmp_path: Path) -> None:
    made, children = first_days(tmp_path)
    children.trainings = [good] * 2
    made.work(children)
    drop = next(f.drop for f in made.state.flow("produce").store if f.table == "sales")
    words = "the values are 10 times what is usual of the same items"
    made.append(e.DropDamaged(drop, (e.DropDamage("avg_price_rmb_kg", "times", 10.0, 5.0, words),)))
    made.settle()
    made.stop()
    run = run_in(tmp_path)
    told = f"avg_price_rmb_kg: {words}"
    assert [(one["drop"], one["why"]) for one in run("status", "--json").json["damaged"]] == [(drop, told)]
    out = " ".join(run("status", columns=200).out.split())
    assert "looks DAMAGED and is held back: " + told in out
    assert f"retrainctl drops accept {drop} --reason WHY; if not: retrainctl drops withdraw {drop}" in out
    shown = " ".join(run("drops", "show", drop).out.split())
    assert f"drop {drop} · held back" in shown
    assert f"! {told} If it is real: retrainctl drops accept {drop}" in shown
    assert "held back" in run("drops", "list").out
    assert run("drift", "show", "--json").json["damaged"][0]["damages"][0]["kind"] == "times"
    assert "is held back and not measured" in " ".join(run("drift", "show").out.split())
    assert "although " + told in run("drops", "accept", drop, "--dry-run").out
    assert [a["kind"] for a in run("alerts", "list", "--json").json["alerts"]] == ["damage"]
