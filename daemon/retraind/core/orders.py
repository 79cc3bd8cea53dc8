"""What a person's message becomes: events to append, or an answer that says why not.

Pure: the file that a retry is about was looked at by the caller. A message that asks for what is so already is a success.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from retraind.core import days
from retraind.core import events as e
from retraind.core import messages as m
from retraind.core.arrivals import arrived
from retraind.core.evidence import barred
from retraind.core.scene import Scene
from retraind.core.state import Drop, Flow, Model, State, Version

__all__ = ["FoundFile", "blocked", "done", "is_sites", "moving", "order", "unknown", "withheld"]

Ordered = list[Any] | m.Answer

_DONE: dict[type[Any], str] = {
    e.RetrainAsked: "asked for a retraining",
    e.VersionBlocked: "blocked: nothing promotes it until it is unblocked",
    e.VersionUnblocked: "unblocked",
    e.ApprovalGiven: "approved, as long as the figures and the policy stay what they are",
    e.AdoptionAsked: "it is looked at, and becomes champion if it can answer",
    e.VersionAdopted: "noted",
    e.VersionRejected: "rejected: nothing promotes it until it is unblocked",
    e.DropDiscarded: "discarded",
    e.DropRetried: "will be examined again",
    e.DayComplete: "accepted: its days count",
    e.DropVouched: "accepted: it is in the store now, and its days count",
    e.DropWithdrawn: "withdrawn: it is out of the store, its file stays",
    e.DropArrived: "the mended file will be examined",
    e.DropDuplicate: "the mended file is a duplicate of a drop that came before",
}
_SET = {"pause": "paused: no training and no promotion", "pin": "pinned: the champion stays",
        "freeze": "frozen: no promotion to Production by policy"}  # fmt: skip
_PAST = {"pause": "paused", "pin": "pinned", "freeze": "frozen"}
_LIFTED = {"pause": "resumed", "pin": "unpinned", "freeze": "unfrozen"}


def done(event: Any) -> str:
    """What to say when the last event of an order is in the journal."""
    if isinstance(event, e.OverrideSet):
        return _SET[event.override]
    if isinstance(event, e.OverrideLifted):
        return _LIFTED[event.override]
    if isinstance(event, e.PromotionIntended) and event.to == "rollback":
        return f"{event.model} goes back to v{event.version}; v{event.champion} leaves Production"
    if isinstance(event, e.PromotionIntended):
        return f"{event.model} v{event.version} is on its way to {event.to.capitalize()}"
    return _DONE[type(event)]


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
            return [e.RetrainAsked(by, message.reason, message.now, message.targets, message.search)]
        case m.Pause():
            return [e.OverrideSet("pause", by, message.reason, message.until)]
        case m.Resume():
            return _lift(state, "pause", None, by, message.reason)
        case m.Pin() | m.Freeze():
            return _set(flow, message, by)
        case m.Unpin():
            return _lift(state, "pin", message.model, by, message.reason)
        case m.Unfreeze():
            return _unfreeze(state, message, by)
        case m.Block() | m.Unblock():
            return _block(flow, message, by)
        case m.DropRetry() | m.DropDiscard() | m.DropAccept() | m.DropWithdraw():
            return _about_a_drop(flow, message, by, file)
    raise AssertionError(message)


def _set(flow: Flow, message: m.Pin | m.Freeze, by: str) -> Ordered:
    if message.model is not None and message.model not in flow.models:
        return m.Answer(refused=f"there is no model {message.model}", remedy="see: retrainctl status")
    if isinstance(message, m.Freeze):
        return [e.OverrideSet("freeze", by, message.reason, message.until, message.model)]
    model = flow.models[message.model]
    if model.champion is None:
        return m.Answer(refused=f"{model.name} has no champion to pin",
                        remedy=f"hold promotions back with: retrainctl freeze {model.name}")  # fmt: skip
    if under_way := moving(model):
        return under_way
    return [e.OverrideSet("pin", by, message.reason, message.until, message.model)]


def unknown(model: str, number: int) -> m.Answer:
    """A refusal: there is no such version."""
    return m.Answer(refused=f"there is no {model} v{number}", remedy=f"see: retrainctl versions list {model}")


def moving(model: Model) -> m.Answer | None:
    """A refusal while a promotion is between its two events."""
    if model.intention is None:
        return None
    words = f"{model.name} v{model.intention.version} is on its way to {model.intention.to.capitalize()} this moment"
    return m.Answer(refused=words, remedy="try again in a minute")


def withheld(scene: Scene, model: Model, *, serves: bool) -> m.Answer | None:
    """A refusal while people hold the model. serves: another would take the champion's place, which a pin forbids."""
    if scene.paused and scene.state.pause:
        return m.Answer(refused=f"paused by {scene.state.pause.by}", remedy="go on with: retrainctl resume")
    pins = scene.overrides("pin", model.name)
    if pins and serves:
        return m.Answer(refused=f"v{model.champion} of {model.name} is pinned by {pins[0].by}",
                        remedy=f"lift it with: retrainctl unpin {model.name}")  # fmt: skip
    return None


def blocked(scene: Scene, model: Model, version: Version) -> m.Answer | None:
    """A refusal of a version that is blocked."""
    why = barred(scene, model, version)
    if not why:
        return None
    return m.Answer(refused=f"{model.name} v{version.version} is blocked {why}",
                    remedy=f"lift it with: retrainctl unblock {model.name} {version.version}")  # fmt: skip


def _lift(state: State, kind: e.OverrideKind, model: str | None, by: str, reason: str) -> Ordered:
    if state.override(kind, model) is None:
        return m.Answer(done=f"{model or 'it'} was not {_PAST[kind]}")
    return [e.OverrideLifted(kind, by, reason, model)]


def _unfreeze(state: State, message: m.Unfreeze, by: str) -> Ordered:
    frozen = [o.model for o in state.overrides if o.kind == "freeze"]
    if message.model is None and frozen:
        return [e.OverrideLifted("freeze", by, message.reason, model) for model in frozen]
    if message.model is not None and message.model not in frozen and None in frozen:
        return m.Answer(refused=f"{message.model} is frozen with all the others, not on its own",
                        remedy="lift that with: retrainctl unfreeze --all")  # fmt: skip
    return _lift(state, "freeze", message.model, by, message.reason)


def _block(flow: Flow, message: m.Block | m.Unblock, by: str) -> Ordered:
    model = flow.models.get(message.model)
    version = model.version(message.number) if model else None
    if model is None or version is None:
        return unknown(message.model, message.number)
    name = f"{model.name} v{version.version}"
    if isinstance(message, m.Unblock):
        if not (version.blocked or version.rejected or version.rolled_back):
            return m.Answer(done=f"{name} was not blocked")
        return [e.VersionUnblocked(model.name, version.version, by, message.reason)]
    if model.champion == version.version:
        return m.Answer(refused=f"{name} is the champion; a block keeps a version from becoming that")
    if model.intention and model.intention.version == version.version and (under_way := moving(model)):
        return under_way
    return [e.VersionBlocked(model.name, version.version, by, message.reason)]


def _about_a_drop(
    flow: Flow, message: m.DropRetry | m.DropDiscard | m.DropAccept | m.DropWithdraw, by: str, file: FoundFile | None
) -> Ordered:
    drop = flow.drops.get(message.drop)
    if drop is None:
        return m.Answer(refused=f"there is no drop {message.drop}", remedy="see: retrainctl drops list")
    if drop.state == "waiting" and any(j.step in ("examine", "survey") for j in flow.jobs.values()):
        return m.Answer(refused=f"{drop.id} is being examined this moment", remedy="try again in a minute")
    match message:
        case m.DropDiscard():
            if drop.state not in ("waiting", "quarantined"):
                return m.Answer(refused=f"{drop.id} is {drop.state}: only a waiting or quarantined drop is discarded",
                                remedy=f"take it out with: retrainctl drops withdraw {drop.id}"
                                if drop.state == "accepted" else "")  # fmt: skip
            return [e.DropDiscarded(drop.id, by, message.reason)]
        case m.DropRetry():
            return _retry(flow, drop, by, message.reason, file)
        case m.DropAccept():
            return _accept(flow, drop, by, message.reason)
        case m.DropWithdraw():
            return _withdraw(flow, drop, by, message.reason)


def _retry(flow: Flow, drop: Drop, by: str, reason: str, file: FoundFile | None) -> Ordered:
    if drop.state != "quarantined":
        return m.Answer(refused=f"{drop.id} is {drop.state}, not quarantined")
    if file is None:
        return m.Answer(refused=f"{drop.path} is not there", remedy="put the mended file into the drops folder")
    return _retried(flow, drop, by, reason, file)


def _retried(flow: Flow, drop: Drop, by: str, reason: str, file: FoundFile) -> Ordered:
    """A mended file is a drop of its own, and the old one is given up."""
    if file.sha256 == drop.sha256:
        return [e.DropRetried(drop.id, by, reason)]
    given_up = [e.DropDiscarded(drop.id, by, "mended: its new content is a drop of its own"), e.DropFiled(drop.id, None)]
    mended = arrived(flow, drop.path, file.name, file.sha256, file.bytes, file.mtime_ns)
    if not mended:
        return m.Answer(refused=f"what lies at {drop.path} is another drop, which waits to be examined")
    return given_up + mended


def _accept(flow: Flow, drop: Drop, by: str, reason: str) -> Ordered:
    if drop.state != "accepted":
        return m.Answer(refused=f"{drop.id} is {drop.state}: only days of an accepted drop can be incomplete")
    if drop.id in flow.damaged:
        return _store_in_use(flow) or [e.DropVouched(drop.id, by, reason)]
    return days.accept(flow, drop, by, reason) or m.Answer(done=f"no day of {drop.id} is incomplete")


def _withdraw(flow: Flow, drop: Drop, by: str, reason: str) -> Ordered:
    if drop.state == "withdrawn":
        return m.Answer(done=f"{drop.id} was withdrawn before")
    if drop.state != "accepted":
        return m.Answer(refused=f"{drop.id} is {drop.state}: only an accepted drop is in the store")
    return _store_in_use(flow) or [e.DropWithdrawn(drop.id, by, reason)]


def _store_in_use(flow: Flow) -> m.Answer | None:
    """A refusal while jobs find what is told of the store as it was: a duplicate of what is gone, scores of what nobody sold."""
    if any(job.step in ("examine", "forecast") for job in flow.jobs.values()):
        return m.Answer(refused="drops are being examined or forecast from this moment", remedy="try again in a minute")
    return None
