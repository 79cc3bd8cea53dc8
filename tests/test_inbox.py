"""The drops folder, with real files and the real thread: what is told, and what is put where."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

from retraind.core.steps import FileAway, Place
from retraind.inbox import FileComplete, Inbox, ScanEnded, digest_of, put_away

NOBODY = 65534


@contextmanager
def watched(folder: Path) -> Iterator[tuple[Inbox, SimpleQueue[FileComplete | ScanEnded]]]:
    told: SimpleQueue[FileComplete | ScanEnded] = SimpleQueue()
    inbox = Inbox(folder, 0, {}, told.put)
    inbox.start()
    try:
        yield inbox, told
    finally:
        inbox.stop()


def next_scan(told: SimpleQueue[FileComplete | ScanEnded]) -> tuple[list[str], ScanEnded]:
    """Names that were told before the end of the next scan."""
    names = []
    while isinstance(message := told.get(timeout=20), FileComplete):
        names.append(message.path.name)
    return names, message


def away(file: Path, root: Path, to: Place, reason: str = "") -> FileAway:
    status = file.stat()
    return FileAway("produce", "d1", str(file.relative_to(root)), to, reason, digest_of(file), status.st_size, status.st_mtime_ns)


def test_a_file_that_was_taken_away_and_put_back_is_told_again(tmp_path: Path) -> None:
    """`mv` keeps size and time; the drop that vanished meanwhile says: put it into the drops folder again."""
    drops = tmp_path / "drops"
    drops.mkdir()
    (drops / "sales.csv").write_text("rows")
    with watched(drops) as (inbox, told):
        assert next_scan(told)[0] == ["sales.csv"]
        (drops / "sales.csv").rename(tmp_path / "sales.csv")
        inbox.scan_soon()
        while next_scan(told)[0]:
            pass
        (tmp_path / "sales.csv").rename(drops / "sales.csv")
        inbox.scan_soon()
        names = [name for _ in range(2) for name in next_scan(told)[0]]
    assert names == ["sales.csv"]


def test_a_file_that_may_not_be_read_is_said() -> None:
    with tempfile.TemporaryDirectory() as name:
        drops = Path(name)
        drops.chmod(0o777)
        (drops / "secret.csv").write_text("rows")
        (drops / "secret.csv").chmod(0)
        was = os.geteuid()
        if was == 0:
            os.seteuid(NOBODY)
        try:
            with watched(drops) as (_, told):
                names, scan = next_scan(told)
        finally:
            os.seteuid(was)
    assert names == []
    assert "secret.csv" in scan.trouble
    assert scan.unsettled == 0


def test_a_file_that_took_a_drops_place_is_left_for_its_own_examination(tmp_path: Path) -> None:
    file = tmp_path / "sales.csv"
    places: tuple[Place, ...] = ("delete", "done", "quarantine")
    for to in places:
        file.write_text("monday")
        step = away(file, tmp_path, to)
        file.write_text("tuesday's rows")
        put_away(step, tmp_path, {"done": tmp_path / "done", "quarantine": tmp_path / "quarantine"})
        assert file.read_text() == "tuesday's rows"


def test_a_file_whose_time_alone_was_changed_is_put_away(tmp_path: Path) -> None:
    file = tmp_path / "sales.csv"
    file.write_text("monday")
    step = away(file, tmp_path, "done")
    os.utime(file, ns=(1, 1))
    assert put_away(step, tmp_path, {"done": tmp_path / "done"}) == tmp_path / "done" / "sales.csv"
    assert not file.exists()


def test_a_move_that_was_killed_before_it_could_be_told_is_found_with_its_reason(tmp_path: Path) -> None:
    file, folder = tmp_path / "sales.csv", tmp_path / "quarantine"
    folder.mkdir()
    (folder / "sales.csv").write_text("an older drop")
    (folder / "sales.csv.reason.txt").write_text("its reason")
    file.write_text("rows")
    step = away(file, tmp_path, "quarantine", "row 118")
    pid = os.fork()
    if pid == 0:
        os.environ["RETRAIND_FAILPOINT"] = "drop.moved"
        put_away(step, tmp_path, {"quarantine": folder})
        os._exit(1)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    assert put_away(step, tmp_path, {"quarantine": folder}) == folder / "sales.2.csv"
    assert (folder / "sales.2.csv.reason.txt").read_text() == "row 118"
    assert (folder / "sales.csv.reason.txt").read_text() == "its reason"
