"""The Unix socket on which `retrainctl` asks. It reads a line, lets the supervisor answer, writes a line.

Who asks is what the kernel says (SO_PEERCRED), with the login behind sudo beside it; a name in the message would be a
claim. The vocabulary is `core.messages`.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from retraind.core.binding import Mistakes, nearest, unbind
from retraind.core.messages import MESSAGES, VERSION, Answer, Envelope, decode
from retraind.errors import RetraindError
from retraind.socket_path import address

__all__ = ["Asked", "Control"]

_LINE_LIMIT = 64 * 1024
_READ_SECONDS = 5.0
_ANSWER_SECONDS = 30.0
_AT_ONCE = 64
_RELEASE = "use a retrainctl of the daemon's release"


@dataclass(frozen=True)
class Asked:
    """A message, who sent it, and where the answer goes."""

    envelope: Envelope
    by: str
    answer: SimpleQueue[Answer]


class Control:
    """The server. `tell` gets each message; the answer is awaited in the connection's own thread."""

    def __init__(self, path: Path, tell: Callable[[Asked], None]) -> None:
        self._path, self._tell = path, tell
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._ended = threading.Event()
        self._room = threading.Semaphore(_AT_ONCE)  # who asks more at once waits in the socket's queue

    def start(self) -> None:
        """Answer from here on. The caller holds the site's lock, so a socket that lies here is a dead one's."""
        self._path.unlink(missing_ok=True)
        before = os.umask(0o117)
        try:
            with address(self._path) as name:
                self._socket.bind(name)
        except OSError as error:
            raise RetraindError(f"the socket {self._path} cannot be made: {error.strerror}") from error
        finally:
            os.umask(before)
        self._socket.listen(128)
        threading.Thread(target=self._serve, name="control", daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        self._ended.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                if self._ended.is_set():
                    return
                continue
            self._room.acquire()
            threading.Thread(target=self._talk, args=(connection,), name="control talk", daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            self._converse(connection)
        finally:
            self._room.release()

    def _converse(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            answer = self._ask(connection)
            connection.sendall(json.dumps({"version": VERSION, **unbind(answer)}, ensure_ascii=False).encode() + b"\n")

    def _ask(self, connection: socket.socket) -> Answer:
        try:
            fields = json.loads(_line(connection))
            _refuse_half_characters(fields)
            envelope = decode(fields)
        except KeyError as error:
            return Answer(refused=f"unknown message {error}"[:300], remedy=nearest(str(error.args[0])[:300], list(MESSAGES)))
        except RecursionError:
            return Answer(refused="that is no message: it is nested too deeply", remedy=_RELEASE)
        except (ValueError, TypeError, AttributeError, Mistakes) as error:
            return Answer(refused=f"that is no message: {error}"[:300], remedy=_RELEASE)
        reply: SimpleQueue[Answer] = SimpleQueue()
        self._tell(Asked(envelope, _peer(connection), reply))
        try:
            return reply.get(timeout=_ANSWER_SECONDS)
        except Empty:
            return Answer(refused="the daemon did not answer in time", remedy="look at: retrainctl status")


def _refuse_half_characters(fields: object) -> None:
    """JSON can hold half of a pair of surrogates, which no file and no journal can. Raises ValueError."""
    try:
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half a character") from None


def _line(connection: socket.socket) -> bytes:
    """Up to the line's end, in so many seconds however slowly it drips. Raises OSError and ValueError."""
    data, deadline = b"", time.monotonic() + _READ_SECONDS
    while not data.endswith(b"\n"):
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        chunk = connection.recv(4096)
        data += chunk
        if not chunk or len(data) > _LINE_LIMIT:
            break
    if len(data) > _LINE_LIMIT:
        raise ValueError("it is longer than 64 KiB")
    connection.settimeout(_READ_SECONDS)
    return data


def _peer(connection: socket.socket) -> str:
    """`ops-a`, or `root (login ops-a)` behind sudo."""
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    name = _user(uid)
    try:
        login = int(Path(f"/proc/{pid}/loginuid").read_text())
    except (OSError, ValueError):
        return name
    return name if login in (uid, 2**32 - 1) else f"{name} (login {_user(login)})"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
