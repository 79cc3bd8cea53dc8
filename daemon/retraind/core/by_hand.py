"""A promotion that a person asks for: what the policy allows now, or by force what it does not.

Force outranks the policy, its limits and every freeze, never a pause, a pin or a block (POLICIES.md, precedence), and never
the registry's own checks: a version that is gone or does not load is not promoted by anybody.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from retraind.core import events as e
from retraind.core import messages as m
from retraind.core.policy.decision import NO_POLICY, Decision, evaluate
from retraind.core.policy.document import policy_for
from retraind.core.promotion import facts_of
from retraind.core.scene import Scene
from retraind.core.state import Model, Version

__all__ = ["BY_HAND", "by_hand"]

BY_HAND = "by hand"
"""Stands where a decision names its policy."""


def by_hand(scene: Scene, message: m.Promote, by: str) -> list[Any] | m.Answer:
    """The decision and the intention of `message`, or why not. by: who asks."""
    model = scene.flow.models.get(message.model)
    version = model.version(message.number) if model else None
    if model is None or version is None:
        return m.Answer(refused=f"there is no {message.model} v{message.number}",
                        remedy=f"see: retrainctl versions list {message.model}")  # fmt: skip
    name = f"{model.name} v{version.version}"
    if version.stage.lower() == message.to:
        return m.Answer(done=f"{name} is in {version.stage} already")
    stopped = _impossible(model, version) or _forbidden(scene, model, version, message)
    if stopped:
        return stopped
    asked = _asked(scene, model, version, message)
    allowed = asked.verdict == "promote"
    if not allowed and not message.force:
        return m.Answer(refused=f"{name} is not promoted by hand: {asked.words}{_failing(asked)}",
                        remedy="a person outranks this with: --force --reason WHY")  # fmt: skip
    return _events(scene, model, version, message, asked, by)


def _impossible(model: Model, version: Version) -> m.Answer | None:
    """What the state of the registry does not allow."""
    if model.intention is not None:
        to = model.intention.to.capitalize()
        return m.Answer(refused=f"{model.name} v{model.intention.version} is on its way to {to} this moment",
                        remedy="try again in a minute")  # fmt: skip
    if model.diverged:
        return m.Answer(refused=f"{model.name}: {model.diverged}", remedy="set the alias back first")
    if version.version == model.champion:
        return m.Answer(refused=f"{model.name} v{version.version} is the champion; it leaves Production when another comes")
    return None


def _forbidden(scene: Scene, model: Model, version: Version, message: m.Promote) -> m.Answer | None:
    """What outranks even force."""
    if scene.paused and scene.state.pause:
        return m.Answer(refused=f"paused by {scene.state.pause.by}", remedy="go on with: retrainctl resume")
    pins = scene.overrides("pin", model.name)
    if pins and message.to == "production":
        return m.Answer(refused=f"v{model.champion} of {model.name} is pinned by {pins[0].by}",
                        remedy=f"lift it with: retrainctl unpin {model.name}")  # fmt: skip
    if version.blocked:
        return m.Answer(refused=f"{model.name} v{version.version} is blocked {version.blocked}",
                        remedy=f"lift it with: retrainctl unblock {model.name} {version.version}")  # fmt: skip
    if message.force and not message.reason.strip():
        return m.Answer(refused="force needs a reason", remedy="say why with: --reason WHY")
    return None


def _asked(scene: Scene, model: Model, version: Version, message: m.Promote) -> Decision:
    """What the policy says of this move, whichever stage the version is in."""
    loaded = policy_for(scene.world.policies, model.name)
    if loaded is None:
        return NO_POLICY
    facts = facts_of(scene, model, version)
    asked_as = replace(facts, stage="staging" if message.to == "production" else "none")
    return evaluate(loaded.policy, asked_as, scene.now.site)


def _failing(decision: Decision) -> str:
    words = [f"{c.id}: {c.words}" for c in decision.conditions
             if c.outcome in ("no", "unknown", "wait") and not c.dry_run]  # fmt: skip
    return f" ({'; '.join(words)})" if words else ""


def _events(
    scene: Scene, model: Model, version: Version, message: m.Promote, asked: Decision, by: str
) -> list[Any]:
    forced = asked.verdict != "promote"
    how = f"by force, its policy {asked.words}" if forced else "by hand, as its policy allows"
    why = f': "{message.reason}"' if message.reason else ""
    number = f"d{scene.state.seq + 1}"
    decision = e.DecisionMade(
        number, model.name, version.version, "promote", message.to, BY_HAND, asked.conditions,
        f"promote to {message.to}, says {by}{why} ({how})", by=by, reason=message.reason, forced=forced,
    )  # fmt: skip
    intention = e.PromotionIntended(
        model.name, version.version, message.to, model.champion, number, BY_HAND, version.candidate.model_digest
    )
    return [decision, intention]
