"""The child's side of the contract: a real process, real pipes, real signals."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from retraind.core.binding import unbind
from retraind.core.steps import VERSION, Examine, Examined, Failed, JobRequest, WaitingDrop, decode_outcome
from retraind.jobs import child

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 60
SALES = "date,item_code,quantity_kg,avg_price_rmb_kg\n2026-01-01,a,1,8\n"


def request(root: Path, *, version: int = VERSION, config: str | None = None) -> Path:
    """A request to examine one good drop, in a folder of its own."""
    (root / "drops").mkdir(exist_ok=True)
    (root / "drops" / "daily_sales.csv").write_text(SALES)
    drop = WaitingDrop("d1", "drops/daily_sales.csv", "daily_sales.csv", hashlib.sha256(SALES.encode()).hexdigest())
    plain = unbind(Examine((drop,), (), dt.date(2026, 11, 24)))
    text = (ROOT / "config.yaml").read_text() if config is None else config
    file = root / "job" / "request.json"
    file.parent.mkdir(exist_ok=True)
    asked = JobRequest(version, "j1", "examine", "produce", str(root), text, plain, threads=1)
    file.write_text(json.dumps(unbind(asked)))
    return file


@contextmanager
def running(*arguments: str | Path, code: str = "", **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A child with open pipes; `code` runs in its interpreter before its main."""
    command = [sys.executable, "-m", "retraind.jobs"]
    if code:
        command = [
            sys.executable,
            "-c",
            f"import sys\nfrom retraind.jobs import child\n{code}\nsys.exit(child.main(sys.argv[1:]))",
        ]
    process = subprocess.Popen(
        [*command, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(DEADLINE)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe and not pipe.closed:
                pipe.close()


def finish(process: subprocess.Popen[str]) -> tuple[list[dict[str, Any]], str]:
    """The child's lines and its log; standard input stays open until it has ended, as the daemon keeps it."""
    assert process.stdout
    assert process.stderr
    lines = [json.loads(line) for line in process.stdout]
    log = process.stderr.read()
    process.wait(DEADLINE)
    return lines, log


# a job that does as the test wants, put in the place of examine
STANDS_IN = """
import types
job = types.ModuleType("stand_in")
sys.modules["stand_in"] = job
child.FUNCTIONS["examine"] = "stand_in:examine"
def examine(step, job):
    {}
job.examine = examine
"""


def test_a_job_says_its_progress_and_one_outcome_last(tmp_path: Path) -> None:
    with running("examine", request(tmp_path)) as process:
        lines, _ = finish(process)
    assert process.returncode == 0
    assert lines[0]["progress"] == {"stage": "examining daily_sales.csv", "done": 0, "of": 1}
    assert [list(line) for line in lines[1:]] == [["outcome"]]
    outcome = decode_outcome(lines[-1]["outcome"])
    assert isinstance(outcome, Examined)
    assert [a.drop for a in outcome.accepted] == ["d1"]


def test_an_orphan_ends_itself_when_its_standard_input_ends(tmp_path: Path) -> None:
    waits = STANDS_IN.format("job.progress('waiting', 0, 1); import threading; threading.Event().wait()")
    with running("examine", request(tmp_path), code=waits) as process:
        assert process.stdout
        assert "waiting" in process.stdout.readline()
        assert process.stdin
        process.stdin.close()
        assert process.wait(DEADLINE) == child.ORPHANED


def test_an_orphan_that_computes_without_a_pause_ends_too(tmp_path: Path) -> None:
    busy = STANDS_IN.format("job.progress('busy', 0, 1)\n    while True: pass")
    with running("examine", request(tmp_path), code=busy) as process:
        assert process.stdout
        assert "busy" in process.stdout.readline()
        assert process.stdin
        process.stdin.close()
        assert process.wait(DEADLINE) == child.ORPHANED


def test_what_a_library_prints_lands_in_the_log_and_not_between_the_lines(tmp_path: Path) -> None:
    prints = STANDS_IN.format(
        "import os; print('from python'); os.write(1, b'from a compiled library\\n'); "
        "os.system('echo from a grandchild'); "
        "from retraind.core.steps import Examined; return Examined()"
    )
    with running("examine", request(tmp_path), code=prints) as process:
        lines, log = finish(process)
    assert lines == [{"outcome": {"kind": "examined", "accepted": [], "quarantined": [], "same": [], "days": [], "damaged": []}}]
    for words in ("from python", "from a compiled library", "from a grandchild"):
        assert words in log


def in_turn(process: subprocess.Popen[str], file: Path) -> list[dict[str, Any]]:
    """Name a job to a child that does them in turn; what it says until it waits, or ends."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(["examine", str(file)]) + "\n")
    process.stdin.flush()
    said = []
    for line in process.stdout:
        said.append(json.loads(line))
        if "waiting" in said[-1]:
            break
    return said


def test_a_child_does_light_jobs_in_turn_and_logs_beside_each(tmp_path: Path) -> None:
    prints = STANDS_IN.format(
        "import os; print('from python'); os.system('echo from a grandchild'); "
        "from retraind.core.steps import Examined; return Examined()"
    )
    with running("light", code=prints) as process:
        for folder in (tmp_path / "one", tmp_path / "two"):
            folder.mkdir()
            assert [list(line) for line in in_turn(process, request(folder))] == [["outcome"], ["waiting"]]
            log = (folder / "job" / "log.txt").read_text()
            assert sorted(log.split("\n")) == ["", "from a grandchild", "from python"]


@pytest.mark.parametrize("job", [
    "raise ValueError('seven')",
    "sys.held = bytearray(300 << 20); sys.held[::4096] = b'x' * 76800",
    "sys.path = ['/model/code', *sys.path]",
])  # fmt: skip
def test_a_child_that_failed_or_holds_much_memory_or_a_models_code_does_no_other_job(tmp_path: Path, job: str) -> None:
    stands_in = STANDS_IN.format(f"import os; {job}; from retraind.core.steps import Examined; return Examined()")
    with running("light", code=stands_in) as process:
        assert [list(line) for line in in_turn(process, request(tmp_path))] == [["outcome"]]
        assert process.wait(DEADLINE) == 0


def test_a_child_that_waits_for_a_job_ends_with_the_daemon() -> None:
    with running("light") as process:
        assert process.stdin
        process.stdin.close()
        assert process.wait(DEADLINE) == child.ORPHANED


def test_a_job_that_breaks_says_so_with_a_traceback_in_the_log(tmp_path: Path) -> None:
    with running("examine", request(tmp_path), code=STANDS_IN.format("raise ValueError('seven')")) as process:
        lines, log = finish(process)
    assert process.returncode == 0
    assert decode_outcome(lines[-1]["outcome"]) == Failed("ValueError: seven", retryable=True)
    assert "Traceback" in log


def test_a_job_without_memory_says_so(tmp_path: Path) -> None:
    with running("examine", request(tmp_path), code=STANDS_IN.format("raise MemoryError()")) as process:
        lines, _ = finish(process)
    outcome = decode_outcome(lines[-1]["outcome"])
    assert isinstance(outcome, Failed)
    assert outcome.what.startswith("MemoryError")


def test_an_error_that_can_be_mended_keeps_its_fields(tmp_path: Path) -> None:
    raises = STANDS_IN.format(
        "from retraind.errors import Place, RetraindError; "
        "raise RetraindError('it rains', where=Place('x.csv', row=3), remedy='Wait', retryable=True)"
    )
    with running("examine", request(tmp_path), code=raises) as process:
        lines, log = finish(process)
    assert decode_outcome(lines[-1]["outcome"]) == Failed("it rains", "Wait", True, "x.csv, row 3")
    assert "Traceback" not in log


def test_the_end_of_a_term_signal_is_quiet(tmp_path: Path) -> None:
    waits = STANDS_IN.format("job.progress('waiting', 0, 1); import threading; threading.Event().wait()")
    with running("examine", request(tmp_path), code=waits) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        lines, log = finish(process)
    assert process.returncode == -signal.SIGTERM
    assert (lines, log) == ([], "")


def test_a_job_imports_neither_mlflow_nor_pandas_where_it_needs_none(tmp_path: Path) -> None:
    told = "import atexit; atexit.register(lambda: print([n for n in ('mlflow', 'pandas', 'sklearn') if sys.modules.get(n)]))"
    with running("examine", request(tmp_path), code=told) as process:
        _, log = finish(process)
    assert log.splitlines()[-1] == "[]"


def test_threads_are_limited_before_the_job_is_imported(tmp_path: Path) -> None:
    told = STANDS_IN.format(
        "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['LOKY_MAX_CPU_COUNT'], "
        "os.environ['MLFLOW_DISABLE_TELEMETRY']); from retraind.core.steps import Examined; return Examined()"
    )
    with running("examine", request(tmp_path), code=told, OMP_NUM_THREADS="64") as process:
        _, log = finish(process)
    assert log.splitlines()[-1] == "1 1 true"


@pytest.mark.parametrize("failpoint", ["examine.before_store", "examine.stored", "job.before_outcome"])
def test_a_child_killed_anywhere_leaves_nothing_that_its_successor_minds(tmp_path: Path, failpoint: str) -> None:
    file = request(tmp_path)
    with running("examine", file, RETRAIND_FAILPOINT=failpoint) as process:
        lines, _ = finish(process)
    assert process.returncode == -signal.SIGKILL
    assert not any("outcome" in line for line in lines)
    with running("examine", file) as process:
        lines, _ = finish(process)
    assert lines[-1]["outcome"]["accepted"][0]["new_rows"] == 1
    (stored,) = (tmp_path / "state" / "store" / "sales").iterdir()
    assert stored.stem == lines[-1]["outcome"]["accepted"][0]["file"]["sha256"]


# ---- requests that cannot be served: no process needed ----


def outcome_of(name: str, file: Path) -> Failed:
    outcome = child.perform(name, file, lambda *_: None)
    assert isinstance(outcome, Failed)
    return outcome


def test_a_request_of_another_release_is_refused_with_a_remedy(tmp_path: Path) -> None:
    outcome = outcome_of("examine", request(tmp_path, version=VERSION + 1))
    assert "version" in outcome.what
    assert "Restart the daemon" in outcome.remedy
    assert not outcome.retryable


def test_a_request_for_another_job_is_refused(tmp_path: Path) -> None:
    assert "the request is for examine" in outcome_of("survey", request(tmp_path)).what


def test_a_request_that_is_no_request_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    for text in ("", "[]", "{}", '{"version": 1}'):
        file.write_text(text)
        assert "cannot be read" in outcome_of("examine", file).what
    assert "cannot be read" in outcome_of("examine", tmp_path / "absent.json").what


def test_settings_that_do_not_fit_are_told_with_their_line(tmp_path: Path) -> None:
    text = (ROOT / "config.yaml").read_text().replace("  clock:", "  clok:")
    line = text[: text.index("clok:")].count("\n") + 1
    outcome = outcome_of("examine", request(tmp_path, config=text))
    assert "clok" in outcome.what
    assert f"line {line}" in outcome.where


def test_wrong_usage_is_told() -> None:
    assert child.main(["paint", "request.json"]) == 2
    assert child.main(["examine"]) == 2
