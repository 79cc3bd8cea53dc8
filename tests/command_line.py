"""Runs a command of retrainctl on a site and says how it ended; and stands in for a daemon that is asked something."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from typer.testing import CliRunner

from retrainctl.app import app
from retrainctl.site import Site
from retraind.control import Asked, Control
from retraind.core import messages as m

__all__ = ["Ran", "Run", "answering", "run_in"]

Run = Callable[..., "Ran"]


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as one document."""
        return json.loads(self.out)


def run_in(folder: Path) -> Run:
    """A function that runs commands on the site in `folder`: `run("drops", "list", columns=80)`."""

    def run(*words: str, columns: int | None = None) -> Ran:
        env = {"COLUMNS": str(columns) if columns else ""}
        result = CliRunner().invoke(app, ["--config", str(folder / "config.yaml"), *words], env=env)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


@contextmanager
def answering(site: Site, answer: Callable[[Asked], m.Answer]) -> Iterator[list[Asked]]:
    """A daemon's socket on that site; yields what was asked, in order."""
    site.socket.parent.mkdir(parents=True, exist_ok=True)
    queue: SimpleQueue[Asked | None] = SimpleQueue()
    heard: list[Asked] = []

    def serve() -> None:
        while asked := queue.get():
            heard.append(asked)
            asked.answer.put(answer(asked))

    control = Control(site.socket, queue.put)
    thread = threading.Thread(target=serve)
    thread.start()
    control.start()
    try:
        yield heard
    finally:
        control.stop()
        queue.put(None)
        thread.join(10)
