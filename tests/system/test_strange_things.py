"""Things in the drops folder that are no good file, under a real daemon: each is told or passed over, none stops it, none hangs.

What is inside a bad file is tests/jobs/test_bad_drops.py's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from real_site import ask, csv, drop_ends, events, make_site, rows, run_until_idle, running

SOON = {"settle: 3s": "settle: 1s"}
LONG = "daily_sales_" + "x" * 239 + ".csv"  # 255 bytes, the longest name there can be
NAMES = {
    "daily_sales_\n2.csv": "accepted", "daily_sales_..csv": "accepted",
    "daily_sales ; rm -rf $HOME '\".csv": "accepted", "daily_sales_白菜.csv": "accepted", "daily_sales_\x1b[31m.csv": "accepted",
    "DAILY_SALES.CSV": "accepted", LONG: "quarantined",
}  # fmt: skip


@contextlib.contextmanager
def growing(file: Path) -> Iterator[None]:
    """A file that somebody appends to and never closes."""
    ended = threading.Event()

    def grow() -> None:
        with file.open("w") as lines:
            while not ended.wait(0.01):
                lines.write("2024-01-05,1,1,8\n")
                lines.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site that was run over all of it once."""
    site = make_site(tmp_path_factory.mktemp("strange") / "site", SOON, prepared=True)
    drops = site / "drops"
    for day, name in enumerate(NAMES, 6):
        lines = rows(1, day=f"2024-01-{day:02d}", quantity="-1" if name == LONG else "3.5")
        (drops / name).write_text(csv(lines))
    (site / "secret.csv").write_text(csv(rows(1)))
    (drops / "daily_sales_link.csv").symlink_to(site / "secret.csv")
    (drops / "daily_sales_link_to_nothing.csv").symlink_to("/nonexistent")
    (drops / "daily_sales_loop.csv").symlink_to("daily_sales_loop.csv")
    (drops / "daily_sales_zero.csv").symlink_to("/dev/zero")
    os.mkfifo(drops / "daily_sales_pipe.csv")
    (drops / "daily_sales_folder.csv").mkdir()
    (drops / "2024").mkdir()
    (drops / "2024" / "daily_sales_inside.csv").write_text(csv(rows(1)))
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(drops / "daily_sales_socket"))
    Path(os.fsdecode(os.fsencode(drops) + b"/daily_sales_\xff.csv")).write_text(csv(rows(1)))
    with (drops / "daily_sales_sparse.csv").open("wb") as file:
        file.truncate(1 << 40)  # 1 TB that takes no room
    (drops / "daily_sales.csv.tmp").write_text("half")
    (drops / ".hidden.csv").write_text("hidden")
    (drops / "..daily_sales.csv").write_text("hidden too")
    with growing(drops / "daily_sales_grows.csv"):
        done = run_until_idle(site, env={"RETRAIND_PATIENCE": "3"}, seconds=100)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (site / "log").write_text(done.stderr)
    return site


def test_a_name_may_hold_anything(site: Path) -> None:
    ends = drop_ends(site)
    assert {name: ends.get(name) for name in NAMES} == NAMES
    assert "..daily_sales.csv" not in ends
    assert all(not (site / "drops" / name).exists() for name in NAMES)


def test_a_name_as_long_as_can_be_has_its_reason_beside_it(site: Path) -> None:
    (reason,) = [p for p in (site / "quarantine").iterdir() if "xxx" in p.name and p.name.endswith(".reason.txt")]
    assert "must be at least 0" in reason.read_text()


def test_a_name_with_a_line_end_or_a_colour_is_one_plain_line_of_the_log(site: Path) -> None:
    log = (site / "log").read_text()
    assert "\x1b" not in log
    assert all(line.split()[0].count(".") == 1 for line in log.splitlines() if "daily_sales" in line and "passed" not in line)


def test_what_is_no_file_is_said_with_its_reason_and_left(site: Path) -> None:
    log = (site / "log").read_text()
    for name, why in {
        "daily_sales_link.csv": "link", "daily_sales_link_to_nothing.csv": "link", "daily_sales_loop.csv": "link",
        "daily_sales_zero.csv": "link", "daily_sales_pipe.csv": "pipe", "daily_sales_folder.csv": "folder", "2024": "folder",
        "daily_sales_socket": "socket", "daily_sales_\\xff.csv": "UTF-8",
    }.items():  # fmt: skip
        (line,) = [line for line in log.splitlines() if "passed over" in line and f"name={name} " in line]
        assert why in line
    assert "daily_sales.csv.tmp" not in log
    assert (site / "secret.csv").exists()


def test_a_terabyte_that_takes_no_room_is_refused_unread(site: Path) -> None:
    (told,) = [r.event for r in events(site, "drop.quarantined") if r.event.problems[0].rule == "size"]
    assert drop_ends(site, by="id")[told.drop] == "quarantined"


def test_a_file_that_grows_for_ever_is_said_and_keeps_nothing_from_becoming_idle(site: Path) -> None:
    assert "daily_sales_grows.csv" not in drop_ends(site)
    (line,) = [line for line in (site / "log").read_text().splitlines() if "name=daily_sales_grows.csv " in line]
    assert "still written to" in line


def test_status_says_what_was_passed_over_while_the_daemon_runs(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", SOON, prepared=True)
    (site / "drops" / "2024").mkdir()
    with running(site) as daemon:
        daemon.wait_for("passed over")
        answer = ask(site, {"version": 1, "id": "l1", "message": "look"})
        assert "2024" in str(answer["data"]["passed_over"])  # type: ignore[index]


@pytest.mark.long  # two looks of a minute each
def test_a_drops_folder_that_was_removed_and_restored_is_watched_again(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", {"settle: 3s": "settle: 300s"})  # nothing but an event can announce a file
    with running(site) as daemon:
        (site / "drops" / "daily_sales_1.csv").write_text(csv(rows(1)))
        daemon.wait_for("drop.accepted")
        daemon.wait_for("drop.filed")
        shutil.rmtree(site / "drops")
        daemon.wait_for("drops folder cannot be read", seconds=60)
        daemon.wait_for("watching", seconds=90)
        (site / "drops" / "daily_sales_2.csv").write_text(csv(rows(1, day="2024-01-06")))
        daemon.wait_for("drop.accepted", times=2, seconds=60)
        (site / "drops").rename(site / "elsewhere")  # and another put in its place: a mount, a restored backup
        (site / "drops").mkdir(exist_ok=True)  # the daemon may have been quicker
        daemon.wait_for("watching", times=2, seconds=90)
        (site / "drops" / "daily_sales_3.csv").write_text(csv(rows(1, day="2024-01-07")))
        daemon.wait_for("drop.accepted", times=3, seconds=60)
