"""Asks the daemon over its Unix socket: one line of JSON each way (`retraind.core.messages`).

The id of a message is made here, so that a message whose answer was lost can be sent again and is obeyed once.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from retrainctl.site import Site
from retraind.core.binding import Mistakes, bind
from retraind.core.messages import Answer, Envelope, Look, Message, encode
from retraind.errors import NotRunning, RetraindError
from retraind.socket_path import address

__all__ = ["ask", "look"]

_ANSWER_SECONDS = 35.0
"""A little longer than the daemon itself waits for its loop."""
_LOOK_SECONDS = 1.0


def ask(site: Site, message: Message, *, timeout: float = _ANSWER_SECONDS, id_: str = "") -> Answer:
    """The daemon's answer. Raises NotRunning, and RetraindError when it refuses or does not answer in `timeout` seconds.

    id_: of a message that was sent before and may have been obeyed.
    """
    line = json.dumps(encode(Envelope(id_ or os.urandom(8).hex(), message)), ensure_ascii=False).encode() + b"\n"
    answer = _answer(_exchange(site, line, timeout) or _exchange(site, line, timeout))
    if answer.refused:
        raise RetraindError(answer.refused, remedy=answer.remedy)
    return answer


def look(site: Site) -> dict[str, Any] | None:
    """What runs this moment. None: no daemon serves on the socket. Raises RetraindError when one does and is silent."""
    try:
        return dict(ask(site, Look(), timeout=_LOOK_SECONDS).data)
    except NotRunning:
        return None


def _exchange(site: Site, line: bytes, timeout: float) -> bytes:
    """The line that came back; empty when the connection broke before one came."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        _connect(connection, site)
        data = b""
        try:
            connection.sendall(line)
            while not data.endswith(b"\n"):
                chunk = connection.recv(65536)
                if not chunk:
                    return b""
                data += chunk
        except TimeoutError:
            raise RetraindError("the daemon does not answer", remedy="look at it with: retrainctl status",
                                retryable=True) from None  # fmt: skip
        except ConnectionError:
            return b""
        return data


def _connect(connection: socket.socket, site: Site) -> None:
    try:
        with address(site.socket) as name:
            connection.connect(name)
    except PermissionError:
        raise RetraindError(f"you may not use the daemon's socket {site.socket}",
                            remedy="join the group that owns it, or ask as the daemon's user") from None  # fmt: skip
    except TimeoutError:
        raise RetraindError("the daemon does not answer", remedy="look at it with: retrainctl status",
                            retryable=True) from None  # fmt: skip
    except OSError:
        raise NotRunning("the daemon is not running", remedy=f"start it: retraind --config {site.config}",
                         retryable=True) from None  # fmt: skip


def _answer(line: bytes) -> Answer:
    try:
        fields = json.loads(line)
        return bind(Answer, fields, strict=False)
    except (ValueError, Mistakes) as error:
        raise RetraindError("the daemon broke the connection before it answered" if not line else
                            f"the daemon's answer is not understood: {error}",
                            remedy="look at it with: retrainctl status", retryable=True) from None  # fmt: skip
