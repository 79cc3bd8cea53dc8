"""What a person decides about versions: promote, adopt, approve, reject, roll back.

A promotion by hand is what the policy allows now, or by force what it does not. Force outranks the policy, its limits and
every freeze, never a pause, a pin or a block (POLICIES.md, precedence), and never the registry's own checks: a version that
is gone or does not load is not promoted by anybody.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from retraind.core import adoption
from retraind.core import events as e
from retraind.core import messages as m
from retraind.core.divergence import ways_out
from retraind.core.evidence import facts_of, last_good
from retraind.core.orders import blocked, moving, unknown, withheld
from retraind.core.people import BY_HAND, person, quoted
from retraind.core.policy.decision import NO_POLICY, Decision, evaluate
from retraind.core.policy.document import Condition, LoadedPolicy, conditions, policy_for
from retraind.core.policy.facts import evidence
from retraind.core.policy.terms import Place
from retraind.core.scene import Scene
from retraind.core.state import Model, Version

__all__ = ["ByHand", "by_hand"]

ByHand = m.Promote | m.Adopt | m.Approve | m.Reject | m.Rollback


def by_hand(scene: Scene, message: ByHand, by: str) -> list[Any] | m.Answer:
    """The events of `message`, or why not. by: who asks."""
    if isinstance(message, m.Rollback):
        return _rollback(scene, message, by)
    if isinstance(message, m.Adopt):
        return adoption.asked(scene, message, by)
    model = scene.flow.models.get(message.model)
    version = model.version(message.number) if model else None
    if model is None or version is None:
        return unknown(message.model, message.number)
    match message:
        case m.Approve():
            return _approve(scene, model, version, message, person(by))
        case m.Reject():
            return _reject(model, version, message, by)
        case m.Promote():
            return _promote(scene, model, version, message, by)


def _approve(scene: Scene, model: Model, version: Version, message: m.Approve, by: str) -> list[Any] | m.Answer:
    """An approval is bound to the production block and the test figures; it counts while both stand (rule 14)."""
    name = f"{model.name} v{version.version}"
    loaded = policy_for(scene.world.policies, model.name)
    asks = _approvals_asked(loaded) if loaded else []
    if loaded is None or not asks:
        return m.Answer(refused=f"the policy of {model.name} asks for no approval",
                        remedy=f"see: retrainctl explain {model.name}")  # fmt: skip
    if version.stage in ("Production", "Archived"):
        return m.Answer(refused=f"{name} is in {version.stage}: there is nothing to approve")
    if stopped := blocked(scene, model, version):
        return stopped
    groups = tuple(sorted(g for g, people in scene.settings.site.groups.items() if by in people))
    if not any(by in c.asks.listed or not c.asks.listed.isdisjoint(groups) for c in asks):
        wanted = ", ".join(sorted({n for c in asks for n in c.asks.listed}))
        return m.Answer(refused=f"{by} is not among those who may approve ({wanted})",
                        remedy="put the name into one of the groups of config.yaml: site.groups")  # fmt: skip
    figures = evidence(version.candidate)
    if message.figures and message.figures != figures:
        return m.Answer(refused=f"the figures of {name} are not those that you were shown", remedy="look again and approve again")
    decision = evaluate(loaded.policy, replace(facts_of(scene, model, version), stage="staging"), scene.now.site)
    held = tuple(c.id for c in decision.conditions if c.outcome == "yes")
    return [e.ApprovalGiven(model.name, version.version, by, groups, loaded.policy.meaning, figures, held, message.reason)]


def _approvals_asked(loaded: LoadedPolicy) -> list[Condition]:
    places: tuple[Place, ...] = ("production", "refresh")
    return [c for place in places for c in conditions(loaded.policy, place) if c.kind == "approval"]


def _reject(model: Model, version: Version, message: m.Reject, by: str) -> list[Any] | m.Answer:
    name = f"{model.name} v{version.version}"
    if version.stage == "Production":
        return m.Answer(refused=f"{name} is the champion", remedy=f"take it back with: retrainctl rollback {model.name}")
    if version.rejected:
        return m.Answer(done=f"{name} was rejected already {version.rejected}")
    return [e.VersionRejected(model.name, version.version, by, message.reason)]


def _rollback(scene: Scene, message: m.Rollback, by: str) -> list[Any] | m.Answer:
    """The decision and the intention to go back: to the version a policy would choose, or to a champion of the past."""
    model = scene.flow.models.get(message.model)
    bad = model.serving if model else None
    if model is None or bad is None:
        return m.Answer(refused=f"{message.model} has no champion", remedy="see: retrainctl status")
    number = message.to if message.to is not None else last_good(scene, model)
    if number is None:
        return m.Answer(refused=f"no earlier version of {model.name} served well enough to go back to",
                        remedy=f"name one with --to: retrainctl history {model.name}")  # fmt: skip
    target = model.version(number)
    if target is None:
        return unknown(model.name, number)
    if not any(t.version == number for t in model.tenures):
        return m.Answer(refused=f"{model.name} v{number} never was champion",
                        remedy=f"promote it: retrainctl promote {model.name} {number} --to production --force")  # fmt: skip
    stopped = _impossible(model, target) or _forbidden(scene, model, target, serves=True)
    if stopped:
        return stopped
    decided = f"d{scene.state.seq + 1}"
    words = f"roll back to v{number}, says {by}{quoted(message.reason)}"
    decision = e.DecisionMade(decided, model.name, bad.version, "rollback", None, BY_HAND, (), words,
                              by=by, reason=message.reason, target=number)  # fmt: skip
    return [decision, e.PromotionIntended(model.name, number, "rollback", model.champion, decided, BY_HAND,
                                          target.candidate.model_digest)]  # fmt: skip


def _promote(scene: Scene, model: Model, version: Version, message: m.Promote, by: str) -> list[Any] | m.Answer:
    """The decision and the intention of a promotion by hand."""
    name = f"{model.name} v{version.version}"
    if version.stage.lower() == message.to:
        return m.Answer(done=f"{name} is in {version.stage} already")
    stopped = (
        _impossible(model, version)
        or _forbidden(scene, model, version, serves=message.to == "production")
        or _unreasoned(message)
    )
    if stopped:
        return stopped
    asked = _asked(scene, model, version, message)
    allowed = asked.verdict == "promote"
    if not allowed and not message.force:
        forced = f"retrainctl promote {model.name} {version.version} --to {message.to} --force --reason WHY"
        return m.Answer(refused=f"{name} is not promoted by hand: {asked.words}{_failing(asked)}",
                        remedy=f"a person outranks this with: {forced}")  # fmt: skip
    return _events(scene, model, version, message, asked, by)


def _impossible(model: Model, version: Version) -> m.Answer | None:
    """What the state of the registry does not allow."""
    if under_way := moving(model):
        return under_way
    if model.adoption:
        return m.Answer(refused=f"{model.name} v{model.adoption.version} is being adopted", remedy="try again in a minute")
    if model.diverged:
        return m.Answer(refused=f"{model.name}: {model.diverged}", remedy=ways_out(model))
    if version.lost:
        return m.Answer(refused=f"{model.name} v{version.version} cannot be had: {version.lost}",
                        remedy=f"choose another: retrainctl versions list {model.name}")  # fmt: skip
    if version.version == model.champion:
        return m.Answer(refused=f"{model.name} v{version.version} is the champion; it leaves Production when another comes")
    return None


def _forbidden(scene: Scene, model: Model, version: Version, *, serves: bool) -> m.Answer | None:
    """What outranks even force. serves: the version would take the champion's place, which a pin forbids."""
    return withheld(scene, model, serves=serves) or blocked(scene, model, version)


def _unreasoned(message: m.Promote) -> m.Answer | None:
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


def _unsaid(decision: Decision) -> str:
    """The noes that its words leave out, for a freeze speaks first: whoever reads the record must see what was outranked."""
    named = decision.words.replace(",", " ").split()
    noes = [c.id for c in decision.conditions if c.outcome == "no" and not c.dry_run and c.id not in named]
    return f"; besides it says no: {', '.join(noes)}" if noes else ""


def _events(
    scene: Scene, model: Model, version: Version, message: m.Promote, asked: Decision, by: str
) -> list[Any]:
    forced = asked.verdict != "promote"
    how = f"by force, its policy {asked.words}{_unsaid(asked)}" if forced else "by hand, as its policy allows"
    number = f"d{scene.state.seq + 1}"
    decision = e.DecisionMade(
        number, model.name, version.version, "promote", message.to, BY_HAND, asked.conditions,
        f"promote to {message.to}, says {by}{quoted(message.reason)} ({how})", by=by, reason=message.reason, forced=forced,
    )  # fmt: skip
    intention = e.PromotionIntended(
        model.name, version.version, message.to, model.champion, number, BY_HAND, version.candidate.model_digest
    )
    return [decision, intention]
