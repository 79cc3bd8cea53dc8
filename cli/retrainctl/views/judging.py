"""Asks a policy again: on the facts of a past decision, or as things are now. The same pure functions that the daemon uses.

The journal notes a decision when an outcome changes, not when a number moves; so who looks at a version that waits wants the
numbers of now, and who looks at a final decision those of then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from sqlite3 import Connection
from typing import Any

from retrainctl.scene import scene_at
from retrainctl.site import Site
from retrainctl.views.times import iso
from retraind.core.events import Record
from retraind.core.evidence import facts_of
from retraind.core.fold import apply
from retraind.core.policy.answers import Question
from retraind.core.policy.decision import Counterfactual, Decision, counterfactuals, evaluate
from retraind.core.policy.document import LoadedPolicy, conditions, policy_for
from retraind.core.policy.facts import Approval, Facts, evidence
from retraind.core.policy.readiness import Approvals, why_void
from retraind.core.scene import Scene
from retraind.core.state import Model, State, Version
from retraind.journal import read

__all__ = ["Judged", "approvals", "judged_now", "judged_then", "state_before"]


@dataclass(frozen=True)
class Judged:
    """What a policy says about a version."""

    loaded: LoadedPolicy
    facts: Facts
    decision: Decision
    changes: tuple[Counterfactual, ...]
    """What would change it."""
    at: dt.datetime
    """On the site's clock."""


def judged_now(scene: Scene, model: Model, version: Version, *, for_production: bool = False) -> Judged | None:
    """By the policy in force; None without one. for_production: as if the version were in Staging already."""
    loaded = policy_for(scene.world.policies, model.name)
    if loaded is None:
        return None
    facts = facts_of(scene, model, version)
    return _judged(loaded, replace(facts, stage="staging") if for_production else facts, scene.now.site)


def judged_then(site: Site, version: Version, connection: Connection, decided: Record) -> Judged | None:
    """By the policy that decided, on the facts before the decision. None where it would say something else: it was decided
    beside a better version of its training, by hand, or by another release."""
    before = state_before(connection, decided.seq)
    scene = scene_at(site, before, decided.times)
    model = scene.flow.models.get(version.model)
    same = model.version(version.version) if model else None
    loaded = next((p for p in scene.world.policies.values() if p.ref == version.policy), None)
    if loaded is None or model is None or same is None:
        return None
    found = _judged(loaded, facts_of(scene, model, same), decided.times.site)
    return found if found.decision.verdict == version.verdict else None


def _judged(loaded: LoadedPolicy, facts: Facts, at: dt.datetime) -> Judged:
    return Judged(loaded, facts, evaluate(loaded.policy, facts, at), counterfactuals(loaded.policy, facts, at), at)


def state_before(connection: Connection, seq: int) -> State:
    """The state before an event."""
    state = State()
    for record in read.records(connection):
        if record.seq >= seq:
            break
        apply(state, record)
    return state


def approvals(scene: Scene, model: Model, version: Version) -> list[dict[str, Any]]:
    """Everybody who approved, until when that counts, and why it does not; of a version that went on, only who it was."""
    if not version.approvals:
        return []
    open_ = version.stage in ("None", "Staging")
    found = judged_now(scene, model, version, for_production=True) if open_ else None
    return [_approval(found, given) for given in version.approvals]


def _approval(found: Judged | None, given: Approval) -> dict[str, Any]:
    """It counts when one condition takes it; else the first says why not."""
    fields = {"by": given.by, "groups": list(given.groups), "at": iso(given.at)}
    asked = list(_asked(found)) if found else []
    if found is None or not asked:
        return {**fields, "until": None, "void": given.void or ("the policy asks for no approval" if found else "")}
    question = Question(found.facts, found.at, "production", None, None, found.loaded.policy.meaning)
    figures = evidence(found.facts.candidate) if found.facts.candidate else None
    why = [why_void(asks, given, question, figures) for asks in asked]
    until = max(given.at + asks.valid_for.delta for asks in asked)
    return {**fields, "until": iso(until), "void": "" if "" in why else why[0]}


def _asked(found: Judged) -> Iterator[Approvals]:
    policy = found.loaded.policy
    late = [c for place in ("production", "refresh") for c in conditions(policy, place) if c.kind == "approval"]
    return (c.asks for c in late)
