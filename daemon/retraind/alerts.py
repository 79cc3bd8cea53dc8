"""Carries alerts to their channels: a command that reads one as JSON, a webhook that gets one as a POST.

Each channel has a thread of its own, so that a slow one holds up no other, and none the loop. Here an alert is tried once
and what came of it is told; when it is tried again is `core.alerts`' to say. At least once: a daemon killed between the
delivery and its word delivers again, and the key tells the receiver.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from retraind import __version__
from retraind.core.settings import Alert
from retraind.failpoint import failpoint

__all__ = ["AlertTried", "Deliveries", "deliver"]

_COMMAND_DEADLINE, _WEBHOOK_DEADLINE = 30.0, 10.0
_WORDS = 200


@dataclass(frozen=True)
class AlertTried:
    """What came of a delivery."""

    key: str
    channel: str
    why: str
    """Empty when it was taken."""


class Deliveries:
    """One thread a channel. `tell` gets AlertTried, from the channel's thread."""

    def __init__(self, channels: Mapping[str, Alert], root: Path, tell: Callable[[AlertTried], None]) -> None:
        self._channels, self._root, self._tell = channels, root, tell
        self._queues: dict[str, SimpleQueue[Mapping[str, Any] | None]] = {name: SimpleQueue() for name in channels}

    def start(self) -> None:
        """Begin to wait for alerts."""
        for name in self._channels:
            threading.Thread(target=self._run, args=(name,), name=f"alerts {name}", daemon=True).start()

    def stop(self) -> None:
        """Take no more. A delivery under way is not waited for: it is tried again at the next start."""
        for queue in self._queues.values():
            queue.put(None)

    def give(self, channel: str, alert: Mapping[str, Any]) -> None:
        """Try one alert, a document with its `key`."""
        self._queues[channel].put(alert)

    def _run(self, name: str) -> None:
        while (alert := self._queues[name].get()) is not None:
            failpoint("alert.before_delivery")
            why = deliver(self._channels[name], alert, self._root)
            failpoint("alert.delivered")
            self._tell(AlertTried(str(alert["key"]), name, why))


def deliver(channel: Alert, alert: Mapping[str, Any], root: Path) -> str:
    """Give one alert to one channel. root: where a command starts. Returns why it was not taken, empty when it was."""
    document = json.dumps(alert, ensure_ascii=False).encode()
    try:
        if channel.command:
            return _run_command(channel.command, document, root)
        return _post(channel.webhook, document, f"{alert.get('site', '')}/{alert['key']}")
    except (OSError, ValueError, http.client.HTTPException) as error:
        return _short(str(error) or type(error).__name__)


def _run_command(command: tuple[str, ...], document: bytes, root: Path) -> str:
    """Files instead of pipes: a command that reads nothing, or leaves a child behind that keeps them open, blocks nobody."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(document)
        given.seek(0)
        process = subprocess.Popen(command, cwd=root, stdin=given, stdout=said, stderr=said, start_new_session=True)
        try:
            code = process.wait(_COMMAND_DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"{command[0]} took longer than {_COMMAND_DEADLINE:.0f} s"
        if code == 0:
            return ""
        said.seek(0)
        words = _short(said.read(4 * _WORDS).decode("utf-8", "replace"))
        return f"{command[0]} ended with {code}" + (f": {words}" if words else "")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST becomes a GET without the alert: it was not taken."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def _post(address: str, document: bytes, key: str) -> str:
    """2xx is taken. The key goes as the header Idempotency-Key, percent-encoded where a header could not hold it."""
    headers = {
        "Content-Type": "application/json; charset=utf-8", "User-Agent": f"retraind/{__version__}",
        "Idempotency-Key": urllib.parse.quote(key, safe=":/@-_."),
    }  # fmt: skip
    request = urllib.request.Request(address, document, headers, method="POST")  # noqa: S310 (the settings take http and https)
    try:
        with _OPENER.open(request, timeout=_WEBHOOK_DEADLINE):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return f"it answered {error.code} {error.reason}"
    except urllib.error.URLError as error:
        return _short(str(error.reason))


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _WORDS else f"{words[: _WORDS - 3]}..."
