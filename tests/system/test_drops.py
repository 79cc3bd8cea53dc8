"""Drops and their ends, with a real daemon: what is bad is told and kept, what is good after it goes through."""

from __future__ import annotations

import datetime as dt
import json
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from real_site import ask, csv, events, make_site, rows, run_until_idle, running
from real_site import drop_ends as ends
from retraind.socket_path import address


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site that took in one bad drop of each kind, in the order of their names, and a good one after them."""
    site = make_site(tmp_path_factory.mktemp("drops") / "site", {"settle: 3s": "settle: 1s"}, prepared=True)
    drops = site / "drops"
    negative = rows(200)
    negative[117] = "2024-01-05,1117,-3.5,4.2,0.0,3"
    (drops / "daily_sales_1_negative.csv").write_text(csv(negative))
    (drops / "daily_sales_2_empty.csv").write_bytes(b"")
    pq.write_table(pa.table({"date": [dt.date(2024, 1, 5)], "item_code": ["1000"]}), drops / "daily_sales_3_narrow.parquet")
    (drops / "daily_sales_4_text.parquet").write_text(csv(rows(3)))
    (drops / "daily_sales_5_future.csv").write_text(csv(rows(3, day="2032-01-05")))
    (drops / "unknown_6.csv").write_text("a,b\n1,2\n")
    (drops / "daily_sales_7_good.csv").write_text(csv(rows(30)))
    done = run_until_idle(site)
    assert done.returncode == 0, done.stderr
    return site


def test_each_bad_drop_is_quarantined_and_the_good_one_after_it_goes_through(site: Path) -> None:
    assert ends(site) == {
        "daily_sales_1_negative.csv": "quarantined",
        "daily_sales_2_empty.csv": "quarantined",
        "daily_sales_3_narrow.parquet": "quarantined",
        "daily_sales_4_text.parquet": "quarantined",
        "daily_sales_5_future.csv": "quarantined",
        "unknown_6.csv": "quarantined",
        "daily_sales_7_good.csv": "accepted",
    }


def test_the_reason_names_file_row_column_value_and_rule(site: Path) -> None:
    told = next(r.event for r in events(site, "drop.quarantined") if r.event.problems[0].row)
    problem = told.problems[0]
    assert (problem.row, problem.column, problem.value, problem.rule) == (118, "quantity_kg", "-3.5", "at_least")
    reason = (site / "quarantine" / "daily_sales_1_negative.csv.reason.txt").read_text("utf-8")
    assert "row 118, quantity_kg: quantity_kg is -3.5, must be at least 0" in reason
    assert f"retrainctl drops retry {told.drop}" in reason


def test_files_lie_where_their_end_wants_them(site: Path) -> None:
    assert not list((site / "drops").iterdir())
    assert [p.name for p in (site / "done").iterdir()] == ["daily_sales_7_good.csv"]
    assert len([p for p in (site / "quarantine").iterdir() if not p.name.endswith(".reason.txt")]) == 6


def test_the_same_content_under_another_name_is_a_duplicate(site: Path) -> None:
    (site / "drops" / "daily_sales_again.csv").write_text(csv(rows(30)))
    run_until_idle(site)
    assert ends(site)["daily_sales_again.csv"] == "duplicate"


def test_a_later_row_for_a_known_key_replaces_the_earlier_and_says_so(site: Path) -> None:
    (site / "drops" / "daily_sales_8_corrected.csv").write_text(csv([*rows(2, quantity="9.9"), *rows(1, day="2024-01-06")]))
    run_until_idle(site)
    accepted = events(site, "drop.accepted")[-1].event
    assert (accepted.new_rows, accepted.replaced_rows) == (1, 2)


def test_a_running_daemon_takes_what_is_renamed_in_and_what_is_written_there(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", {"settle: 3s": "settle: 300s"}, prepared=True)
    with running(site) as daemon:
        written = site / "drops" / "daily_sales_a.csv"
        written.write_text(csv(rows(5)))  # closed after writing: it need not settle
        daemon.wait_for("drop.accepted", times=1)
        (site / "b.part").write_text(csv(rows(5, day="2024-01-06")))
        (site / "b.part").rename(site / "drops" / "daily_sales_b.csv")
        daemon.wait_for("drop.accepted", times=2)
        assert daemon.stop() == 0
    assert ends(site) == {"daily_sales_a.csv": "accepted", "daily_sales_b.csv": "accepted"}


def test_what_only_a_scan_found_waits_until_it_lies_still(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", {"settle: 3s": "settle: 1s"}, prepared=True)
    (site / "drops" / "daily_sales_a.csv").write_text(csv(rows(5)))
    done = run_until_idle(site)
    assert done.returncode == 0, done.stderr
    assert ends(site) == {"daily_sales_a.csv": "accepted"}


def test_a_mended_quarantined_file_is_taken_after_a_retry(site: Path) -> None:
    path = site / "quarantine" / "daily_sales_1_negative.csv"
    drop = next(r.event.drop for r in events(site, "drop.arrived") if r.event.name == path.name)
    path.write_text(path.read_text().replace("-3.5", "3.5").replace("2024-01-05", "2024-01-07"))
    with running(site) as daemon:
        answer = ask(site, {"version": 1, "id": "m1", "message": "drop_retry", "drop": drop})
        assert answer["done"], answer
        again = ask(site, {"version": 1, "id": "m1", "message": "drop_retry", "drop": drop})
        assert again["done"] == "already done"
        gone = {"version": 1, "id": "m2", "message": "pause", "reason": "stocktaking"}
        with socket.socket(socket.AF_UNIX) as client, address(site / "state" / "retraind.sock") as name:
            client.connect(name)
            client.sendall(json.dumps(gone).encode() + b"\n")  # and is killed before it hears the answer
        assert ask(site, gone)["done"]
        daemon.wait_for("override.set")
        daemon.wait_for("drop.accepted", times=1)
        daemon.wait_for("drop.filed", times=2)
    assert len(events(site, "override.set")) == 1
    assert not path.exists()
    assert not path.with_name(path.name + ".reason.txt").exists()
    assert (site / "done" / path.name).exists()
