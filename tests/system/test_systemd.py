"""The unit in `systemd/` starts, restarts and stops the daemon under a real systemd.

`shared/tools/systemd-box` runs a script beside a systemd over a view of this machine that is thrown away. The unit is
installed as it is shipped; a drop-in says which Python to use, and to use it as root, since the tests' Python may lie in
root's home. The box hides /tmp, where a checkout may lie, so it gets the folders as open directories.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from real_site import ROOT, shared

SCRIPT = """
set -eu
ln -s /proc/$$/fd/{checkout} /srv/checkout; ln -s /proc/$$/fd/{environment} /srv/environment
python=/srv/environment/bin/python; export PYTHONPATH=/srv/checkout/daemon:/srv/checkout/cli
cd /srv/checkout/systemd
cp retraind.service /etc/systemd/system/
systemd-sysusers "$PWD/retraind.sysusers.conf"
systemd-tmpfiles --create "$PWD/retraind.tmpfiles.conf"
mkdir /etc/systemd/system/retraind.service.d /var/lib/retraind/drops
cat >/etc/systemd/system/retraind.service.d/tests.conf <<EOF
[Service]
User=root
ExecStart=
ExecStart=$python -m retraind --config config.yaml
Environment=PYTHONPATH=$PYTHONPATH
RestartSec=100ms
EOF
cp -r ../config.yaml ../policies /var/lib/retraind/
systemctl daemon-reload

tell() {{  # LABEL COMMAND...: one line of JSON with the command's output and exit status
  local out status=0; out=$("${{@:2}}" 2>&1) || status=$?
  $python -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$1" "$status" "$out"
}}
show() {{ systemctl show retraind -p "$1"; }}
socket=/var/lib/retraind/state/retraind.sock
ask() {{ $python -m retrainctl --config /var/lib/retraind/config.yaml status --json; }}
started() {{ timeout 30 grep -m "$1" daemon.started < <(journalctl -u retraind -o cat -f -n all) | tail -1; }}

tell verify systemd-analyze verify --man=no retraind.service
tell user getent passwd retraind
tell folder stat -c '%U %G %a' /var/lib/retraind
tell start systemctl start retraind
tell answers_after_start ask
tell started show Type,ActiveState,SubState,StatusText,MainPID,NRestarts,WatchdogUSec
tell restart systemctl restart retraind
tell answers_after_restart ask
tell restarted show ActiveState,MainPID,NRestarts
tell crash systemctl kill --signal=KILL --kill-whom=main retraind
tell started_again started 3
tell start_waits systemctl start retraind
tell answers_after_crash ask
tell crashed show ActiveState,MainPID,NRestarts
tell stop systemctl stop retraind
tell stopped show ActiveState,Result,ExecMainCode,ExecMainStatus,NRestarts
tell answers_after_stop ask
tell left pgrep -af '^[^ ]*python[0-9.]* -m retraind'
tell socket_left ls $socket
tell last_event $python -c 'import sqlite3
print(sqlite3.connect("file:/var/lib/retraind/state/journal.db?mode=ro", uri=True)
      .execute("select kind, body from events order by seq desc limit 1").fetchone())'
tell log journalctl -u retraind -o cat
"""


@pytest.fixture(scope="module")
def told() -> dict[str, tuple[int, str]]:
    """Label -> (exit status, output) of each thing that the script tells."""
    box = shared("tools", "systemd-box")
    if os.geteuid() != 0 or not Path("/lib/systemd/systemd").exists():
        if os.environ.get("CI"):
            pytest.fail("CI must be root and have the package systemd: see .ci/run")
        pytest.skip("needs root and Debian's package systemd")
    checkout = os.open(ROOT, os.O_PATH | os.O_DIRECTORY)
    environment = os.open(sys.prefix, os.O_PATH | os.O_DIRECTORY)
    try:
        result = subprocess.run(
            ["bash", box, SCRIPT.format(checkout=checkout, environment=environment)],
            pass_fds=(checkout, environment), env=os.environ | {"BOX_SECONDS": "150"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
    finally:
        os.close(checkout)
        os.close(environment)
    assert result.returncode == 0, result.stdout + result.stderr
    lines: list[list[Any]] = [json.loads(line) for line in result.stdout.splitlines()]
    return {label: (int(status), out) for label, status, out in lines}


def answers(told: dict[str, tuple[int, str]], label: str) -> bool:
    """Whether `retrainctl status` reached the daemon over its socket."""
    status, out = told[label]
    assert status == 0, out
    return bool(json.loads(out)["daemon"]["running"])


def shown(told: dict[str, tuple[int, str]], label: str) -> dict[str, str]:
    """What `systemctl show` said, by property."""
    return dict(line.split("=", 1) for line in told[label][1].splitlines())


def test_systemd_finds_nothing_wrong_with_the_unit_and_makes_its_user_and_folder(told: dict[str, tuple[int, str]]) -> None:
    assert told["verify"] == (0, "")
    assert told["user"][1].split(":")[5] == "/var/lib/retraind"
    assert told["folder"] == (0, "retraind retraind 2750")


def test_when_start_returns_the_socket_answers_and_the_status_says_what_it_does(told: dict[str, tuple[int, str]]) -> None:
    assert told["start"] == (0, "")
    assert answers(told, "answers_after_start")
    started = shown(told, "started")
    assert (started["Type"], started["ActiveState"], started["SubState"]) == ("notify", "active", "running")
    assert started["StatusText"]
    assert started["WatchdogUSec"] == "2min"


def test_a_restart_brings_a_new_daemon_that_answers(told: dict[str, tuple[int, str]]) -> None:
    assert told["restart"] == (0, "")
    assert answers(told, "answers_after_restart")
    assert shown(told, "restarted")["ActiveState"] == "active"
    assert shown(told, "restarted")["MainPID"] != shown(told, "started")["MainPID"]


def test_a_daemon_that_was_killed_is_started_again(told: dict[str, tuple[int, str]]) -> None:
    assert answers(told, "answers_after_crash")
    assert shown(told, "crashed")["NRestarts"] == "1"
    assert shown(told, "crashed")["MainPID"] != shown(told, "restarted")["MainPID"]


def test_a_stop_ends_cleanly_with_its_last_event_written_and_nothing_left(told: dict[str, tuple[int, str]]) -> None:
    assert told["stop"] == (0, "")
    stopped = shown(told, "stopped")
    assert (stopped["ActiveState"], stopped["Result"]) == ("inactive", "success")
    assert stopped["ExecMainStatus"] == "0"
    assert told["last_event"][1].startswith("('daemon.stopped', "), told["log"][1]
    assert "SIGTERM" in told["last_event"][1]
    assert not answers(told, "answers_after_stop")
    assert told["left"] == (1, "")
    assert told["socket_left"][0] != 0
