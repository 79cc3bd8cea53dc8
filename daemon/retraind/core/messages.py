"""What the daemon can be asked, one line of JSON each way over the Unix socket.

A request is {"version": 1, "id": ID, "message": NAME, ...fields}; the answer {"version": 1, "done": TEXT, "data": {...}} or
{"version": 1, "refused": {what, remedy}}. ID is made by the client and kept with the event it causes: a message whose
answer was lost is sent again with the same id and obeyed once. To add one: a class here, a handler in `supervisor`, a
command in `retrainctl`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from retraind.core.binding import bind, unbind

__all__ = [
    "MESSAGES", "VERSION", "Adopt", "Answer", "Approve", "Block", "DropAccept", "DropDiscard", "DropRetry", "DropWithdraw",
    "Envelope", "Freeze", "Look", "Message", "Pause", "Pin", "Promote", "Reject", "Resume", "Retrain", "Rollback",
    "Unblock", "Unfreeze", "Unpin", "decode", "encode",
]  # fmt: skip

VERSION = 1


@dataclass(frozen=True)
class Look:
    """What runs this moment: jobs with their progress, what is waited for. Changes nothing."""


@dataclass(frozen=True)
class Retrain:
    """Ask for a retraining."""

    reason: str = ""
    targets: tuple[str, ...] = ()
    now: bool = False
    """Past the quiet period and the budget; a cool-down never holds a person back."""
    search: bool = False
    """Try the whole portfolio; else fit the champion's recipe on the newest data."""


@dataclass(frozen=True)
class Pause:
    """No training and no promotion until it is lifted."""

    reason: str = ""
    until: dt.datetime | None = None


@dataclass(frozen=True)
class Resume:
    """Lift the pause."""

    reason: str = ""


@dataclass(frozen=True)
class Pin:
    """Keep the present champion of a model, whatever its policy says."""

    model: str
    reason: str = ""
    until: dt.datetime | None = None


@dataclass(frozen=True)
class Unpin:
    """Lift a pin."""

    model: str
    reason: str = ""


@dataclass(frozen=True)
class Freeze:
    """No promotion to Production by policy."""

    model: str | None = None
    """None: of no model."""
    reason: str = ""
    until: dt.datetime | None = None


@dataclass(frozen=True)
class Unfreeze:
    """Lift the freeze of a model, or all there are."""

    model: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Block:
    """Never promote a version."""

    model: str
    number: int
    reason: str = ""


@dataclass(frozen=True)
class Unblock:
    """Let the policy judge a version again."""

    model: str
    number: int
    reason: str = ""


@dataclass(frozen=True)
class Promote:
    """Promote a version by hand."""

    model: str
    number: int
    to: Literal["staging", "production"]
    force: bool = False
    """Over the policy, its limits and every freeze."""
    reason: str = ""


@dataclass(frozen=True)
class Adopt:
    """Take a version of the registry as champion, whoever made it."""

    model: str
    """The registered name, or the target's."""
    number: int
    horizon: int | None = None
    """Which horizon a model is for that says one number a row; None: it says which."""
    reason: str = ""


@dataclass(frozen=True)
class Approve:
    """Say yes to a version's way to Production, for the figures that were shown."""

    model: str
    number: int
    figures: str = ""
    """`policy.facts.evidence` of what was shown; empty: whatever the daemon knows now."""
    reason: str = ""


@dataclass(frozen=True)
class Reject:
    """Say no to a version, for good."""

    model: str
    number: int
    reason: str = ""


@dataclass(frozen=True)
class Rollback:
    """Take the champion back to an earlier one."""

    model: str
    to: int | None = None
    """None: the version that a policy would go back to."""
    reason: str = ""


@dataclass(frozen=True)
class DropRetry:
    """Examine a quarantined file again, as it is now."""

    drop: str
    reason: str = ""


@dataclass(frozen=True)
class DropDiscard:
    """Give a waiting or quarantined drop up."""

    drop: str
    reason: str = ""


@dataclass(frozen=True)
class DropAccept:
    """A drop that looked damaged is real, and so are the incomplete days that a drop brought: they count."""

    drop: str
    reason: str = ""


@dataclass(frozen=True)
class DropWithdraw:
    """Take a valid but wrong drop out of the store."""

    drop: str
    reason: str = ""


Message = (
    Look | Retrain | Pause | Resume | Pin | Unpin | Freeze | Unfreeze | Block | Unblock | Promote | Adopt | Approve | Reject
    | Rollback | DropRetry | DropDiscard | DropAccept | DropWithdraw
)
MESSAGES: dict[str, type[Any]] = {
    "look": Look, "retrain": Retrain, "pause": Pause, "resume": Resume, "pin": Pin, "unpin": Unpin,
    "freeze": Freeze, "unfreeze": Unfreeze, "block": Block, "unblock": Unblock,
    "promote": Promote, "adopt": Adopt, "approve": Approve, "reject": Reject, "rollback": Rollback,
    "drop_retry": DropRetry, "drop_discard": DropDiscard, "drop_accept": DropAccept, "drop_withdraw": DropWithdraw,
}  # fmt: skip
_NAMES = {kind: name for name, kind in MESSAGES.items()}


@dataclass(frozen=True)
class Envelope:
    """A message with its id."""

    id: str
    message: Message


@dataclass(frozen=True)
class Answer:
    """What came of a message."""

    done: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    refused: str = ""
    remedy: str = ""


def encode(envelope: Envelope) -> dict[str, Any]:
    """For the wire."""
    return {"version": VERSION, "id": envelope.id, "message": _NAMES[type(envelope.message)],
            **unbind(envelope.message)}  # fmt: skip


def decode(fields: Mapping[str, Any]) -> Envelope:
    """From the wire. Raises KeyError for a message this release does not know, Mistakes for fields that do not fit."""
    rest = {k: v for k, v in fields.items() if k not in ("version", "id", "message")}
    return Envelope(str(fields["id"]), bind(MESSAGES[str(fields["message"])], rest, strict=False))
