"""Named places where a test may kill the process: before and after every effect outside it.

`RETRAIND_FAILPOINT=promotion.alias_set` kills the process that reaches the place with SIGKILL; with `:daemon` after the
name a child kills its daemon first and then itself; with `#3` the third time the place is reached. Several, with commas
between, die at the first of them; `RETRAIND_FAILPOINT_TOLD` names a file that learns which it was, and where nobody dies
twice. Costs one look-up in the environment, nothing else, where the variable is not set.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NoReturn

__all__ = ["failpoint"]

_reached: dict[str, int] = {}


def failpoint(name: str) -> None:
    """Die here if the environment says so."""
    wanted = os.environ.get("RETRAIND_FAILPOINT")
    if not wanted:
        return
    for one in wanted.split(","):
        target, _, nth = one.partition("#")
        target, _, victim = target.partition(":")
        if target == name:
            _reached[one] = _reached.get(one, 0) + 1
            if _reached[one] == int(nth or 1) and _is_first(one):
                _die(victim)


def _is_first(point: str) -> bool:
    """Whether nobody died there yet, by the file that is told. Without it each process that gets there dies."""
    file = os.environ.get("RETRAIND_FAILPOINT_TOLD")
    if not file:
        return True
    with Path(file).open("a+", encoding="utf-8") as told:
        told.seek(0)
        if point in told.read().split():
            return False
        told.write(point + "\n")
    return True


def _die(victim: str) -> NoReturn:
    if victim == "daemon":
        os.kill(int(os.environ["RETRAIND_DAEMON_PID"]), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit(137)
