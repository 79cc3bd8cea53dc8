"""The corpus of bad drops through the real examination, in one real child under the runner's limits."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import SimpleQueue

import pytest

from bad_drops import CORPUS, GOOD, HEAVY, ODD, damaged, lines
from retraind.core.binding import unbind
from retraind.core.steps import VERSION, Examine, Examined, JobRequest, Quarantined, WaitingDrop
from retraind.runner import ChildEnded, ChildProgressed, Runner

ROOT = Path(__file__).resolve().parents[2]
TODAY = dt.date(2026, 11, 24)
MEMORY = 2 * 1024**3
SECONDS = 300.0


@dataclass(frozen=True)
class Examination:
    """What became of the corpus."""

    ended: ChildEnded
    ends: dict[str, Quarantined]
    accepted: dict[str, int]
    """Rows taken."""
    log: str


@pytest.fixture(scope="module")
def examination(tmp_path_factory: pytest.TempPathFactory) -> Examination:
    contents = [(what, bad.name, bad.make()) for what, bad in CORPUS.items()]
    contents += [(name, f"daily_sales_{name}", make()) for name, make in ODD.items()]
    return examined(tmp_path_factory.mktemp("bad"), [*contents, ("good", "daily_sales_good.parquet", GOOD)])


def examined(root: Path, contents: list[tuple[str, str, bytes]]) -> Examination:
    """What a real child makes of them: (id, file name, content) each."""
    (root / "drops").mkdir()
    drops = []
    for what, name, content in contents:
        (root / "drops" / name).write_bytes(content)
        drops.append(WaitingDrop(what, f"drops/{name}", name, hashlib.sha256(content).hexdigest()))
    step = Examine(tuple(drops), (), TODAY)
    config = (ROOT / "config.yaml").read_text("utf-8")
    request = JobRequest(VERSION, "1-examine", "examine", "produce", str(root), config, unbind(step), 2)
    told: SimpleQueue[ChildProgressed | ChildEnded] = SimpleQueue()
    Runner(told.put).start(request, root / "job", limit_seconds=SECONDS, limit_bytes=MEMORY)
    at = ""
    while not isinstance(message := told.get(timeout=SECONDS + 60), ChildEnded):
        at = message.progress.stage
    log = (root / "job" / "log.txt").read_text("utf-8")
    outcome = message.outcome
    assert isinstance(outcome, Examined), f"{at}: {message}\n{log[-3000:]}"
    accepted = {a.drop: a.new_rows for a in outcome.accepted}
    return Examination(message, {q.drop: q for q in outcome.quarantined}, accepted, log)


@pytest.mark.parametrize("what", CORPUS)
def test_a_bad_drop_is_refused_for_its_reason(examination: Examination, what: str) -> None:
    assert what in examination.ends, "it was taken"
    end = examination.ends[what]
    assert end.problems
    assert end.problems[0].rule in CORPUS[what].rules, end.problems[0]
    assert end.problem_count >= len(end.problems)
    for problem in end.problems:
        assert problem.what
        assert len(problem.what) < 2000
        assert "Error:" not in problem.what
        assert "Traceback" not in problem.what


def test_odd_ones_among_them_and_the_good_one_after_them_are_taken_whole(examination: Examination) -> None:
    assert examination.accepted == {**dict.fromkeys(ODD, 2), "good": 50}


def test_they_cost_no_traceback_and_no_more_than_a_gigabyte(examination: Examination) -> None:
    assert "Traceback" not in examination.log
    assert examination.ended.peak_mb < 1024, f"{examination.ended.peak_mb} MB, {examination.ended.seconds} s"


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    assert len(CORPUS) >= 130


@pytest.mark.long
def test_heavy_ones_are_refused_within_the_same_memory(tmp_path: Path) -> None:
    for what, bad in HEAVY.items():
        (tmp_path / what).mkdir()
        found = examined(tmp_path / what, [(what, bad.name, bad.make())])
        assert found.ends[what].problems[0].rule in bad.rules
        assert found.ended.peak_mb < 1024


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_ten_thousand_damaged_files_end_each_in_its_own_way(
    tmp_path: Path, seed: int, record_property: Callable[[str, object], None]
) -> None:
    """Some are still good; each has one end, and the good one after them is taken. A child that dies says at which."""
    contents = [(name, name, content) for name, content in islice(damaged(seed), 500) if content]
    found = examined(tmp_path, [*contents, ("good", "daily_sales_good.csv", lines("2026-03-01,good,1,8").encode())])
    assert found.accepted["good"] == 1
    assert "Traceback" not in found.log
    assert found.ended.peak_mb < 1024
    for end in found.ends.values():
        assert end.problems[0].what
        assert end.problems[0].rule != "can be examined"
    record_property("tried", f"damaged files examined: {len(contents)}")
