"""Named places where a test may kill the process: before and after every effect outside it.

`RETRAIND_FAILPOINT=promotion.alias_set` kills the process that reaches the place with SIGKILL; with `:daemon` after the
name a child kills its daemon first and then itself; with `#3` the third time the place is reached. Costs one look-up in
the environment, nothing else, where the variable is not set.
"""

from __future__ import annotations

import os
import signal
from typing import NoReturn

__all__ = ["failpoint"]

_reached: dict[str, int] = {}


def failpoint(name: str) -> None:
    """Die here if the environment says so."""
    wanted = os.environ.get("RETRAIND_FAILPOINT")
    if not wanted:
        return
    target, _, nth = wanted.partition("#")
    target, _, victim = target.partition(":")
    if target != name:
        return
    _reached[name] = _reached.get(name, 0) + 1
    if _reached[name] == int(nth or 1):
        _die(victim)


def _die(victim: str) -> NoReturn:
    if victim == "daemon":
        os.kill(int(os.environ["RETRAIND_DAEMON_PID"]), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit(137)
