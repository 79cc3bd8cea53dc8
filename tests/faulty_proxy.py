"""A proxy before a real server that does to requests what networks and servers do, by the throw of a seeded dice."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

__all__ = ["Fault", "Faults", "faulty_proxy"]

Fault = Literal["refused", "answered 500", "slow", "applied, the answer dropped", "swallowed"]


class Faults:
    """What happens to the next request. `kinds` empty: nothing."""

    def __init__(self, seed: int) -> None:
        self.kinds: Sequence[Fault] = ()
        self.share = 0.0
        self.once: dict[str, Fault] = {}
        """What happens to the first request whose path holds the key, whatever the dice say."""
        self.done: Counter[str] = Counter()
        self.healed = threading.Event()
        """Ends what is slow or swallowed."""
        self._dice, self._lock = random.Random(seed), threading.Lock()

    def next(self, path: str) -> Fault | None:
        """path: what is asked for."""
        with self._lock:
            for part, fault in self.once.items():
                if part in path:
                    del self.once[part]
                    self.done[fault] += 1
                    return fault
            if not self.kinds or self._dice.random() >= self.share:
                return None
            fault = self._dice.choice(self.kinds)
            self.done[fault] += 1
            return fault


@contextlib.contextmanager
def faulty_proxy(uri: str, faults: Faults) -> Iterator[str]:
    """Its own address, which leads to the server at `uri`."""
    upstream = urlsplit(uri).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle_one_request()
                return
            self.close_connection = True

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = faults.next(self.path)
            if fault in ("slow", "swallowed"):
                faults.healed.wait(0.5 if fault == "slow" else 8)
            if fault in ("refused", "swallowed"):
                self.close_connection = True
                return
            if fault == "answered 500":
                self.answer(500, {"Content-Type": "application/json"}, b'{"error_code": "INTERNAL_ERROR", "message": "on purpose"}')
                return
            connection = http.client.HTTPConnection(upstream, timeout=60)
            try:
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
                connection.request(self.command, self.path, body or None, headers)
                response = connection.getresponse()
                content = response.read()
            finally:
                connection.close()
            if fault == "applied, the answer dropped":
                self.close_connection = True
                return
            ours = ("transfer-encoding", "content-length", "connection")
            kept = {k: v for k, v in response.getheaders() if k.lower() not in ours}
            self.answer(response.status, kept, content)

        def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = forward  # noqa: N815 (what http.server looks for)

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
    finally:
        faults.healed.set()
        proxy.shutdown()
        thread.join()
        proxy.server_close()
