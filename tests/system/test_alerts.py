"""Alerts on their way out: a real server that is away first, a real command, and a daemon that is killed in between."""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from real_site import csv, events, make_site, run_until_idle, running, state_of
from retraind import alerts as shell
from retraind.core.settings import Alert

BAD = "daily_sales_bad.csv"


class Desk:
    """A web server on a port of its own that keeps what it is given; `code` and `location` are what it answers."""

    def __init__(self) -> None:
        self._held = socket.socket()
        self._held.bind(("127.0.0.1", 0))  # not listening: connections are refused
        self.port = self._held.getsockname()[1]
        self.came: SimpleQueue[tuple[str, str, dict[str, Any]]] = SimpleQueue()
        self.code, self.location = 204, ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/alerts"

    @contextmanager
    def open(self) -> Iterator[None]:
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                desk.came.put((self.command, self.headers["Idempotency-Key"], json.loads(body)))
                self.send_response(desk.code)
                if desk.location:
                    self.send_header("Location", desk.location)
                self.end_headers()

            def do_GET(self) -> None:
                desk.came.put((self.command, "", {}))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._held.close()
        with ThreadingHTTPServer(("127.0.0.1", self.port), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield
            server.shutdown()


@pytest.fixture
def desk() -> Desk:
    return Desk()


def site_with(folder: Path, channels: str) -> Path:
    site = make_site(folder / "site", {"alerts: {}": f"alerts: {channels}"}, prepared=True)
    (site / "drops" / BAD).write_text(csv(["2026-01-02,a,-3.5,8,0,1"]), "utf-8")
    return site


def told(site: Path) -> list[dict[str, Any]]:
    """What the command was given."""
    return [json.loads(line) for line in (site / "told.jsonl").read_text("utf-8").splitlines()]


COMMAND = """buyers: {command: [sh, -c, "cat >> told.jsonl; echo >> told.jsonl"]}"""


def test_a_webhook_that_is_away_gets_its_alert_when_it_is_back_and_a_command_at_once(tmp_path: Path, desk: Desk) -> None:
    site = site_with(tmp_path, f'{{ops: {{webhook: "{desk.address}"}}, {COMMAND}}}')
    with running(site) as daemon:
        daemon.wait_for("alert.undelivered")
        daemon.wait_for("alert.delivered")
        (given,) = told(site)
        with desk.open():
            daemon.wait_for("alert.delivered", times=2)
            method, header, body = desk.came.get(timeout=10)
    assert body == given
    assert body["words"] == f"{BAD} was not taken: quantity_kg is -3.5, must be at least 0"
    assert (method, header) == ("POST", f"{body['site']}/{body['key']}")
    deliveries = state_of(site).alerts[body["key"]].deliveries
    assert {name: one.state for name, one in deliveries.items()} == {"ops": "delivered", "buyers": "delivered"}
    assert desk.came.empty()


def test_an_alert_whose_delivery_the_daemon_did_not_survive_is_delivered_again_with_the_same_key(tmp_path: Path) -> None:
    site = site_with(tmp_path, f"{{{COMMAND}}}")
    assert run_until_idle(site, env={"RETRAIND_FAILPOINT": "alert.before_delivery"}).returncode == -9
    assert not (site / "told.jsonl").exists()
    assert run_until_idle(site, env={"RETRAIND_FAILPOINT": "alert.delivered"}).returncode == -9
    with running(site) as daemon:
        daemon.wait_for("alert.delivered")
    keys = [alert["key"] for alert in told(site)]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert len(events(site, "alert.raised")) == len(events(site, "alert.delivered")) == 1


# ---- one delivery ----

ALERT = {"version": 1, "site": "ab12", "key": "quarantine:菜", "kind": "quarantine", "words": "菜.csv was not taken"}


def test_only_a_2xx_is_taken_and_a_redirect_is_not_followed(tmp_path: Path, desk: Desk) -> None:
    with desk.open():
        for code, location, why in (
            (202, "", ""), (500, "", "it answered 500 Internal Server Error"), (302, desk.address, "it answered 302 Found"),
        ):  # fmt: skip
            desk.code, desk.location = code, location
            assert shell.deliver(Alert(webhook=desk.address), ALERT, tmp_path) == why
            assert desk.came.get(timeout=5) == ("POST", "ab12/quarantine:%E8%8F%9C", ALERT)
        assert desk.came.empty()


def test_a_command_that_fails_says_why_and_one_that_is_not_there_too(tmp_path: Path) -> None:
    why = shell.deliver(Alert(command=("sh", "-c", "echo no route >&2; exit 3")), ALERT, tmp_path)
    assert why == "sh ended with 3: no route"
    assert "No such file" in shell.deliver(Alert(command=("./not-there",)), ALERT, tmp_path)


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_COMMAND_DEADLINE", 0.3)
    os.mkfifo(tmp_path / "pipe")
    hanging = ("sh", "-c", "(exec 3<pipe; read line <&3) & wait")
    assert shell.deliver(Alert(command=hanging), ALERT, tmp_path) == "sh took longer than 0 s"
    assert nobody_reads(tmp_path / "pipe")


def nobody_reads(pipe: Path) -> bool:
    """Whether its last reader is gone, or goes within ten seconds: one that was killed may need a moment on a busy machine."""
    try:
        writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        return error.errno == errno.ENXIO
    watch = select.poll()
    watch.register(writer, 0)  # tells of an error alone, which is when nobody reads any more
    told = watch.poll(10_000)
    os.close(writer)
    return bool(told)


def test_a_command_that_leaves_a_child_behind_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    leaving = ("sh", "-c", f"cat > got.json; (read line < {tmp_path}/pipe) & exit 0")
    assert shell.deliver(Alert(command=leaving), ALERT, tmp_path) == ""
    assert json.loads((tmp_path / "got.json").read_text("utf-8")) == ALERT
    (tmp_path / "pipe").write_text("end\n")
