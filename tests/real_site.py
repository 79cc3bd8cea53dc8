"""A site in a temporary folder and the daemon on it as a real process.

Nothing here sleeps: a daemon is waited for by what it says (READY on systemd's socket, one log line an event). Each wait
has a deadline, ends early when the daemon does, and shows what the daemon had said.

    with running(make_site(tmp_path)) as daemon:
        (daemon.site / "drops" / "daily_sales_1.csv").write_text(...)
        daemon.wait_for("drop.quarantined")
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pytest

from ready_store import put_ready_store
from retraind.clock import Clock
from retraind.core.events import SITE, Record, RegistryReady, Times
from retraind.core.state import State
from retraind.journal import snapshot
from retraind.journal.append import Journal
from retraind.journal.read import opened, records, verify
from retraind.socket_path import address

__all__ = [
    "ROOT", "Daemon", "aliases", "ask", "copy_site", "csv", "drop_ends", "events", "make_site", "rows", "run_until_idle", "running",
    "shared", "state_of", "tags",
]  # fmt: skip

ROOT = Path(__file__).resolve().parents[1]


def shared(*parts: str) -> Path:
    """A file or folder of `shared/`, which lies beside the checkout. Skips the test where there is none."""
    path = ROOT.parent.joinpath("shared", *parts)
    if not path.exists():
        pytest.skip(f"shared/{'/'.join(parts)} does not lie beside this checkout")
    return path


def make_site(folder: Path, edits: Mapping[str, str] | None = None, *, prepared: bool = False) -> Path:
    """The root's config.yaml and policies in `folder`, each text of `edits` replaced by its value in config.yaml.

    prepared: MLflow's store is there and the journal has it, so that no daemon first spends 5 s on the job `prepare`. For tests
    that look elsewhere.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = (ROOT / "config.yaml").read_text(encoding="utf-8")
    for old, new in (edits or {}).items():
        assert config.count(old) == 1, f"config.yaml holds {old!r} {config.count(old)} times"
        config = config.replace(old, new)
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    shutil.copytree(ROOT / "policies", folder / "policies")
    (folder / "drops").mkdir()
    if prepared:
        (folder / "state").mkdir()
        put_ready_store(folder)
        with contextlib.closing(Journal(folder / "state" / "journal.db")) as journal:
            journal.append(SITE, RegistryReady("sqlite:///mlflow/mlflow.db", mlflow="-"), Times(*[Clock().wall()] * 3))
    return folder


def copy_site(template: Path, folder: Path) -> Path:
    """A copy of a site on which no daemon runs, in `folder`: its MLflow store names its artifacts by whole paths."""
    shutil.copytree(template, folder, ignore=shutil.ignore_patterns("*.sock"))
    with sqlite3.connect(folder / "mlflow" / "mlflow.db") as store:
        for table, column in _WHOLE_PATHS:
            store.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (f"{template}/", f"{folder}/"))
    return folder


_WHOLE_PATHS = (("experiments", "artifact_location"), ("runs", "artifact_uri"), ("model_versions", "source"),
                ("model_versions", "storage_location"), ("logged_models", "artifact_location"))  # fmt: skip


def run_until_idle(
    site: Path, *, seconds: float = 120, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`retraind --until-idle` on `site`. The caller looks at its exit code and log (stderr)."""
    return subprocess.run(
        [sys.executable, "-m", "retraind", "--until-idle"],
        cwd=site, env=_environment(env), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip


def events(site: Path, *kinds: str) -> list[Record]:
    """What the journal holds, oldest first: of the given kinds, or all."""
    with opened(site / "state" / "journal.db") as connection:
        return list(records(connection, kinds=kinds))


class Daemon:
    """A daemon process that said READY. Made by `running`."""

    def __init__(self, site: Path, process: subprocess.Popen[str]) -> None:
        self.site, self.process = site, process
        self._lines: list[str] = []
        self._ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def log(self) -> str:
        """What it said so far."""
        return "\n".join(self._lines)

    def wait_for(self, words: str, *, times: int = 1, seconds: float = 60) -> list[str]:
        """The log lines that hold `words`, as soon as there are `times` of them. An event's line starts with its kind."""
        def found() -> list[str]:
            return [line for line in list(self._lines) if words in line]

        with self._news:
            self._news.wait_for(lambda: len(found()) >= times or self._ended, seconds)
        if len(found()) < times:
            pytest.fail(f"{words!r} was not said {times} times in {seconds} s; the daemon said:\n{self.log}")
        return found()

    def stop(self, number: signal.Signals = signal.SIGTERM, *, seconds: float = 30) -> int:
        """Send the signal and wait for the end. Returns the exit code (negative: ended by that signal)."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        return code

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self._lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


@contextlib.contextmanager
def running(site: Path, *arguments: str, env: Mapping[str, str] | None = None, seconds: float = 30,
            before: Sequence[str] = ()) -> Iterator[Daemon]:  # fmt: skip
    """The daemon on `site`, ready; stopped at the end of the block if it still runs then. before: a command that becomes it."""
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices.bind("")  # the kernel chooses an abstract name
    process = subprocess.Popen(
        [*before, sys.executable, "-m", "retraind", *arguments],
        cwd=site, env=_environment(env) | {"NOTIFY_SOCKET": "@" + notices.getsockname()[1:].decode()},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    daemon = Daemon(site, process)
    try:
        with notices:  # closed once ready: a full socket that nobody reads would block the daemon
            _wait_for_ready(notices, daemon, seconds)
        yield daemon
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_ready(notices: socket.socket, daemon: Daemon, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    notices.settimeout(0.2)  # how soon a daemon that ended is noticed
    while time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            if b"READY=1" in notices.recv(4096).split(b"\n"):
                return
        if daemon.process.poll() is not None:
            break
    daemon.stop(signal.SIGKILL)
    pytest.fail(f"the daemon did not get ready; it said:\n{daemon.log}")


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    """Ours, without what would make the daemon think that systemd or another test started it."""
    mine = {k: v for k, v in os.environ.items() if k not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")}
    return mine | {"JOURNAL_STREAM": "0:0"} | dict(more or {})  # JOURNAL_STREAM: log lines without a time


# ---- what the site holds, and what is put into it ----

HEADER = "date,item_code,quantity_kg,avg_price_rmb_kg,discount_rate,transaction_count"


def rows(count: int, day: str = "2024-01-05", quantity: str = "3.5") -> list[str]:
    """Lines of a sales file: `count` items on one day."""
    return [f"{day},{1000 + n},{quantity},4.2,0.0,3" for n in range(count)]


def csv(lines: list[str]) -> str:
    """A sales file."""
    return "\n".join([HEADER, *lines]) + "\n"


def drop_ends(site: Path, *, by: Literal["name", "id"] = "name") -> dict[str, str]:
    """State of each drop, by its file's name or its id."""
    return {getattr(d, by): d.state for d in state_of(site).flow("produce").drops.values()}


def ask(site: Path, message: dict[str, object]) -> dict[str, object]:
    """Send the daemon a message; its answer."""
    with socket.socket(socket.AF_UNIX) as client, address(site / "state" / "retraind.sock") as name:
        client.settimeout(30)
        client.connect(name)
        client.sendall(json.dumps(message).encode() + b"\n")
        answer = json.loads(client.makefile().readline())
    assert isinstance(answer, dict)
    return answer


def state_of(site: Path) -> State:
    """What the journal says; its chain must hold."""
    with opened(site / "state" / "journal.db") as connection:
        assert verify(connection)[2] is None
        return snapshot.restore(connection, site / "state" / "snapshot.json")


def aliases(site: Path) -> dict[tuple[str, str], int]:
    """(model, alias) -> version, as the registry has it."""
    with sqlite3.connect(f"file:{site / 'mlflow' / 'mlflow.db'}?mode=ro", uri=True) as registry:
        return {(n, a): int(v) for n, a, v in registry.execute("SELECT name, alias, version FROM registered_model_aliases")}


def tags(site: Path, key: str) -> dict[tuple[str, int], str]:
    """(model, version) -> value of a tag, as the registry has it."""
    with sqlite3.connect(f"file:{site / 'mlflow' / 'mlflow.db'}?mode=ro", uri=True) as registry:
        rows = registry.execute("SELECT name, version, value FROM model_version_tags WHERE key = ?", (key,))
        return {(n, int(v)): value for n, v, value in rows}
