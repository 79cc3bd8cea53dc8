"""Decides what a person should be told of, once each, and when an alert that nobody took is tried again.

Level-triggered like all of `plan`: it looks at what is, and the key of an alert tells whether it was raised before. So a
crash between a rollback and its alert loses nothing. Carrying an alert to its channels is the shell's `alerts`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from retraind.core import events as e
from retraind.core.divergence import ways_out
from retraind.core.evidence import blind_drops, blind_since
from retraind.core.people import FOREIGN
from retraind.core.policy.document import policy_for
from retraind.core.scene import Scene, attempt
from retraind.core.settings import Alert, AlertKind
from retraind.core.state import Channel, Delivery, Model, RaisedAlert, State, Version
from retraind.core.steps import Note

__all__ = ["Due", "alerts", "document", "due", "is_given_up", "next_due"]

_FIRST, _LONGEST = dt.timedelta(seconds=10), dt.timedelta(hours=1)
_PATIENCE, _TRIES = dt.timedelta(days=7), 20
"""An alert is given up when it is older and was tried more often."""


# ---- what to tell ----


def alerts(scene: Scene) -> tuple[Note, ...]:
    """Every alert that was not raised yet."""
    channels = scene.settings.alerts
    return tuple(
        Note(scene.pipeline, e.AlertRaised(key, kind, words, remedy, _wanting(channels, kind)))
        for key, kind, words, remedy in _conditions(scene)
        if key not in scene.state.alerts
    )


_Condition = tuple[str, AlertKind, str, str]
"""Key, kind, words, remedy."""


def _wanting(channels: Mapping[str, Alert], kind: AlertKind) -> tuple[str, ...]:
    return tuple(name for name, channel in channels.items() if not channel.kinds or kind in channel.kinds)


def _conditions(scene: Scene) -> Iterator[_Condition]:
    """Each with a key that names what happened for good: the same thing again, later, has another."""
    flow = scene.flow
    for drop in flow.drops.values():
        if drop.state == "quarantined":
            what = drop.problems[0].what if drop.problems else "it breaks the contract"
            yield (f"quarantine:{drop.id}", "quarantine", f"{drop.name} was not taken: {what}",
                   f"mend it and run: retrainctl drops retry {drop.id}")  # fmt: skip
    for name, held in flow.damaged.items():
        yield (f"damage:{name}", "damage", f"{flow.drops[name].name} looks broken and is held back: {held.words}",
               f"if it is real: retrainctl drops accept {name} --reason WHY; if not: retrainctl drops withdraw {name}")  # fmt: skip
    yield from _days(scene)
    if flow.overdue and flow.newest_main:
        yield (f"no_drop:{flow.overdue}:{flow.newest_main.isoformat()}", "no_drop",
               f"no drop came for longer than {scene.config.drops.expect}; the newest data are of {flow.overdue}",
               "look at what writes into the drops folder")  # fmt: skip
    for request in flow.requests.values():
        if request.state == "failed":
            yield (f"retrain_failed:{request.id}", "retrain_failed", f"training {request.id} failed for good: {request.words}",
                   "see: retrainctl status")  # fmt: skip
    yield from _stuck(scene)
    for model in flow.models.values():
        yield from _of_model(scene, model)


def _stuck(scene: Scene) -> Iterator[_Condition]:
    """Steps that failed as often as the settings allow, and wait for somebody to mend the world."""
    for failure in scene.flow.failures.values():
        _, _, over = attempt(scene, failure.step, failure.subject)
        if over:
            first, _, _ = failure.subject.partition("+")  # a batch of drops grows while it waits
            yield (f"stuck:{failure.step}:{first}:{failure.since}", "stuck",
                   f"{failure.step} {failure.subject} failed {max(failure.count, failure.lost)} times: {failure.what}",
                   failure.remedy or "see: retrainctl status")  # fmt: skip


def _days(scene: Scene) -> Iterator[_Condition]:
    """Incomplete days. Where markers are usual, one that is only a little behind its drop alarms nobody."""
    flow, drops = scene.flow, scene.config.drops
    if drops.marker and flow.newest_main:
        may_come = bool(flow.waiting()) if scene.in_step else flow.newest_main + drops.companion_wait.delta > scene.now.wall
        if may_come:
            return
    for day, why in flow.incomplete.items():
        drop = flow.holder(scene.config.contract.main, dt.date.fromisoformat(day)) or "DROP"
        yield (f"incomplete_day:{day}", "incomplete_day", f"{day} is incomplete and does not count: {why}",
               f"bring the rest, or say that it is real: retrainctl drops accept {drop}")  # fmt: skip


def _of_model(scene: Scene, model: Model) -> Iterator[_Condition]:
    adopts = (model.adoption and model.adoption.by == FOREIGN) or (model.intention and model.intention.settles)
    if model.diverged and not adopts:
        why = f"; {model.unadopted}" if model.unadopted else ""
        yield (f"diverged:{model.name}:{model.diverged_seq}", "diverged", f"{model.name} holds: {model.diverged}{why}",
               ways_out(model))  # fmt: skip
    for version in model.versions.values():
        if version.gone and version.version != model.champion and any(t.version == version.version for t in model.tenures[-3:]):
            yield (f"gone:{model.name}@{version.version}", "diverged",
                   f"{model.name} v{version.version} was champion and is no way back any more: {version.gone}",
                   f"see: retrainctl versions list {model.name}")  # fmt: skip
        if _wants_approval(version):
            yield (f"approval:{model.name}@{version.version}:{version.decision_seq}", "approval",
                   f"{model.name} v{version.version} waits for approval, all else holds",
                   f"retrainctl explain {model.name} {version.version}, then approve or reject it")  # fmt: skip
    champion = model.serving
    if champion and model.tenures:
        yield from _of_champion(scene, model, champion)


def _of_champion(scene: Scene, model: Model, champion: Version) -> Iterator[_Condition]:
    name, tenure = f"{model.name}@{champion.version}", model.tenures[-1]
    if tenure.by_rollback:
        bad = model.version(model.tenures[-2].version) if len(model.tenures) > 1 else None
        why = f"v{bad.version} was {bad.rolled_back}" if bad and bad.rolled_back else f"rolled back to v{champion.version}"
        yield f"rollback:{name}:{tenure.seq}", "rollback", f"{model.name}: {why}", f"see: retrainctl history {model.name}"
    if champion.verdict == "hold" and any(c.block == "rollback" and c.outcome == "yes" for c in champion.conditions):
        yield (f"no_way_back:{name}:{champion.decision_seq}", "rollback", f"{model.name} v{champion.version} {champion.words}",
               f"choose one: retrainctl rollback {model.name} --to VERSION")  # fmt: skip
    if champion.adopted.startswith(f"by {FOREIGN}"):
        yield (f"adopted:{name}:{tenure.seq}", "diverged",
               f"{model.name} v{champion.version} is champion because {FOREIGN} moved the alias to it",
               f"say why: retrainctl adopt {model.name} {champion.version} --reason WHY")  # fmt: skip
    if champion.unloadable:
        yield (f"unloadable:{name}:{tenure.seq}", "unloadable",
               f"{model.name}'s champion v{champion.version} cannot be loaded: {champion.unloadable}",
               f"bring its files back, or take another: retrainctl rollback {model.name}")  # fmt: skip
    yield from _blind(scene, model, champion)


def _wants_approval(version: Version) -> bool:
    """In Staging, and nothing but people's word is missing."""
    asked = [c for c in version.conditions if not c.dry_run and c.outcome in ("no", "unknown", "wait")]
    waiting = {(c.kind, c.outcome) for c in asked}
    return version.stage == "Staging" and version.verdict == "hold" and waiting == {("approval", "wait")}


def _blind(scene: Scene, model: Model, champion: Version) -> Iterator[_Condition]:
    loaded = policy_for(scene.world.policies, model.name)
    after = loaded.policy.rollback.blind_after if loaded and loaded.policy.rollback else None
    blind = blind_drops(scene, model) if after else 0
    if after and blind >= after.drops:
        yield (f"blind:{model.name}@{champion.version}:{blind_since(scene, model)}", "blind",
               f"{model.name} flies blind: no figure of v{champion.version} for {blind} scored drops",
               f"see: retrainctl explain {model.name}")  # fmt: skip


def document(state: State, alert: RaisedAlert) -> dict[str, Any]:
    """What a channel gets. Version 1: keys are added, never renamed."""
    return {"version": 1, "site": state.site_id, "key": alert.key, "kind": alert.kind, "words": alert.words,
            "remedy": alert.remedy, "at": alert.at.isoformat(), "seq": alert.seq}  # fmt: skip


# ---- when to try ----


@dataclass(frozen=True)
class Due:
    """An alert that a channel is to be given now."""

    channel: str
    alert: RaisedAlert


def due(state: State, configured: Collection[str], under_way: Collection[str], machine: dt.datetime) -> tuple[Due, ...]:
    """At most one alert a channel, and none to a channel that has one under way.

    A channel that failed is asked again after a wait that doubles, with one alert whatever number waits; among them the
    one tried least goes first, so that one which nobody takes does not hold up the others.
    """
    found = []
    for channel in configured:
        waits = [] if channel in under_way else list(_waits(state, channel))
        ready = [(d.tries, a.seq, a) for a, d, at in waits if at is None or at <= machine]
        if ready:
            found.append(Due(channel, min(ready, key=lambda r: r[:2])[2]))
    return tuple(found)


def next_due(state: State, configured: Collection[str]) -> dt.datetime | None:
    """When the next try is due by the machine's clock. None when nothing waits for one."""
    return min((at for channel in configured for _, _, at in _waits(state, channel) if at), default=None)


def is_given_up(alert: RaisedAlert, channel: str, machine: dt.datetime) -> bool:
    """Whether a try that failed now was the last."""
    delivery = alert.deliveries.get(channel, Delivery())
    return machine - alert.since > _PATIENCE and delivery.tries + 1 >= _TRIES


def _waits(state: State, channel: str) -> Iterator[tuple[RaisedAlert, Delivery, dt.datetime | None]]:
    """What a channel is still to be given, with the time of the next try. None: at once."""
    gate = _after(*_fared(state.channels.get(channel)))
    for alert in state.alerts.values():
        delivery = alert.deliveries.get(channel)
        if delivery and delivery.state == "waiting":
            times = [at for at in (gate, _after(delivery.tries, delivery.last)) if at]
            yield alert, delivery, max(times, default=None)


def _fared(channel: Channel | None) -> tuple[int, dt.datetime | None]:
    return (channel.failures, channel.last) if channel else (0, None)


def _after(failures: int, last: dt.datetime | None) -> dt.datetime | None:
    return last + min(_FIRST * 2 ** min(failures - 1, 20), _LONGEST) if failures and last else None
