"""What a person's message becomes: events to append, or an answer that says why not.

Pure: the file that a retry is about was looked at by the caller. A message that asks for what is so already is a success.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from retraind.core import events as e
from retraind.core import messages as m
from retraind.core.arrivals import arrived
from retraind.core.state import Drop, Flow, State

__all__ = ["DONE", "FoundFile", "is_sites", "order"]

Ordered = list[Any] | m.Answer

DONE: dict[type[Any], str] = {
    e.RetrainAsked: "asked for a retraining",
    e.OverrideSet: "paused: no training and no promotion",
    e.OverrideLifted: "resumed",
    e.DropDiscarded: "discarded",
    e.DropRetried: "will be examined again",
    e.DropArrived: "the mended file will be examined",
    e.DropDuplicate: "the mended file is a duplicate of a drop that came before",
}
"""What to say when the last event of an order is in the journal."""


@dataclass(frozen=True)
class FoundFile:
    """A drop's file as it lies there now."""

    name: str
    sha256: str
    bytes: int
    mtime_ns: int


def is_sites(event: Any) -> bool:
    """Overrides concern the whole site, everything else a pipeline."""
    return isinstance(event, e.OverrideSet | e.OverrideLifted)


def order(
    state: State, flow: Flow, message: m.Message, by: str, targets: Iterable[str], file: FoundFile | None = None
) -> Ordered:
    """The events of a message. by: who asks. targets: those of the pipeline. file: of the drop to retry, if it is there."""
    match message:
        case m.Retrain():
            known = sorted(targets)
            unknown = [t for t in message.targets if t not in known]
            if unknown:
                return m.Answer(refused=f"{unknown[0]} is no target", remedy=f"targets: {', '.join(known)}")
            return [e.RetrainAsked(by, message.reason, message.now, message.targets)]
        case m.Pause():
            return [e.OverrideSet("pause", by, message.reason, message.until)]
        case m.Resume():
            if state.pause is None:
                return m.Answer(done="it was not paused")
            return [e.OverrideLifted("pause", by, message.reason)]
        case m.DropRetry() | m.DropDiscard():
            return _about_a_drop(flow, message, by, file)
    raise AssertionError(message)


def _about_a_drop(flow: Flow, message: m.DropRetry | m.DropDiscard, by: str, file: FoundFile | None) -> Ordered:
    drop = flow.drops.get(message.drop)
    if drop is None:
        return m.Answer(refused=f"there is no drop {message.drop}", remedy="see: retrainctl drops list")
    if drop.state == "waiting" and any(j.step in ("examine", "survey") for j in flow.jobs.values()):
        return m.Answer(refused=f"{drop.id} is being examined this moment", remedy="try again in a minute")
    if isinstance(message, m.DropDiscard):
        if drop.state not in ("waiting", "quarantined"):
            return m.Answer(refused=f"{drop.id} is {drop.state}: only a waiting or quarantined drop is discarded")
        return [e.DropDiscarded(drop.id, by, message.reason)]
    if drop.state != "quarantined":
        return m.Answer(refused=f"{drop.id} is {drop.state}, not quarantined")
    if file is None:
        return m.Answer(refused=f"{drop.path} is not there", remedy="put the mended file into the drops folder")
    return _retried(flow, drop, by, message.reason, file)


def _retried(flow: Flow, drop: Drop, by: str, reason: str, file: FoundFile) -> Ordered:
    """A mended file is a drop of its own, and the old one is given up."""
    if file.sha256 == drop.sha256:
        return [e.DropRetried(drop.id, by, reason)]
    given_up = [e.DropDiscarded(drop.id, by, "mended: its new content is a drop of its own"), e.DropFiled(drop.id, None)]
    mended = arrived(flow, drop.path, file.name, file.sha256, file.bytes, file.mtime_ns)
    if not mended:
        return m.Answer(refused=f"what lies at {drop.path} is another drop, which waits to be examined")
    return given_up + mended
