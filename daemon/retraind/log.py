"""The daemon's log: one event a line with key=value fields that match the journal; systemd adds the time."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Mapping
from typing import Any

from retraind.core.binding import unbind
from retraind.core.events import Record

__all__ = ["event", "say"]

_LONG = {
    "causes", "conditions", "features", "fingerprint", "model_digest", "mtime_ns", "recipe", "results", "retryable",
    "sha256", "store", "text",
}  # fmt: skip
_COUNTED = {"cells", "slices", "unloadable"}


def say(what: str, /, **fields: object) -> None:
    """One line to standard error."""
    stamp = "" if "JOURNAL_STREAM" in os.environ else f"{dt.datetime.now().astimezone():%H:%M:%S} "  # noqa: TID251
    rest = " ".join(f"{k}={_shown(v)}" for k, v in fields.items() if v not in (None, "", (), [], {}, False, 0))
    print(f"{stamp}{what} {rest}".rstrip(), file=sys.stderr, flush=True)  # noqa: T201


def event(record: Record) -> None:
    """One line for an event."""
    fields: Mapping[str, Any] = unbind(record.event)
    short = {k: v for k, v in fields.items() if k not in _LONG}
    if "conditions" in fields:
        short.pop("changes", None)  # `explain` tells them
    if "causes" in fields:
        short["causes"] = "; ".join(c["words"] for c in fields["causes"])
    if "cause" in fields:
        short["cause"] = fields["cause"]["words"]
    if "file" in short and isinstance(short["file"], dict):
        stored = short.pop("file")
        short |= {k: stored[k] for k in ("table", "rows", "last_date") if k in stored}
    for name in _COUNTED & short.keys():
        short[name] = len(short[name])
    if "orders" in short:
        short["orders"] = ", ".join(f"{o['target']} by {o['source']}" for o in short["orders"])
    if "problems" in short:
        problems = short.pop("problems")
        if problems:
            short["first"] = problems[0]["what"]
    say(record.event.KIND, **short)


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    text = str(value)
    if len(text) > 200:
        text = text[:197] + "..."
    if not text.isprintable():  # a file's name may hold a line end, or what a terminal obeys
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f'"{text}"' if " " in text or not text else text
