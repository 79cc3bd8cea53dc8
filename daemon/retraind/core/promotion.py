"""Decides about versions: asks the policy, notes decisions when they change, and turns a yes into an intended promotion.

Judging is `policy.decision`'s; here stands who is asked, in which order, and what the answer moves. The order in which
the registry is changed is the promote job's (POLICIES.md, last section).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace

from retraind.core import events as e
from retraind.core.policy.decision import NO_POLICY, Decision, evaluate
from retraind.core.policy.document import LoadedPolicy, policy_for
from retraind.core.policy.facts import Facts, Frozen
from retraind.core.scene import PlannedJob, Scene, Wait, asked_again, attempt
from retraind.core.state import Failure, Flow, Model, Version
from retraind.core.steps import Note, Prepare, Promote

__all__ = ["facts_of", "prepare", "promote", "promotion"]

_FINAL = ("reject", "gave_up", "superseded", "rollback", "blocked")
_SELDOM = dt.timedelta(hours=1)
"""How often at least a registry that is away is asked to carry out what was intended."""


def promotion(scene: Scene) -> tuple[Note | None, list[Wait]]:
    """The next decision or intention to note, and what holds promotions back."""
    waits: list[Wait] = []
    for model in scene.flow.models.values():
        if model.intention:
            over = _given_up(scene, model)
            if over:
                return over, waits
            continue
        if model.diverged:
            waits.append(Wait(f"{model.name}: {model.diverged}", "people"))
            continue
        note, held = _judge(scene, model)
        waits += held
        if note:
            return note, waits
    return None, waits


def _given_up(scene: Scene, model: Model) -> Note | None:
    """Only what cannot succeed by itself: a registry that is away may have moved the alias already, and comes back."""
    assert model.intention
    _, _, over = attempt(scene, "promote", model.intention.subject(model.name))
    if over is None or over.retryable:
        return None
    return Note(scene.pipeline, e.PromotionAborted(model.name, model.intention.version, over.what))


def _judge(scene: Scene, model: Model) -> tuple[Note | None, list[Wait]]:
    """Asks the policy about each open version, the newest training first, in its own order of preference.

    One version of a training goes on: the first that its policy lets through.
    """
    loaded = policy_for(scene.world.policies, model.name)
    waits: list[Wait] = []
    for version in model.versions.values():
        if version.stage == "Staging" and version.verdict in _FINAL and not scene.paused and not version.aborted:
            return Note(scene.pipeline, _intention(model, version, "archived")), waits
    winners = _winners(model)
    for version in _open(scene.flow, model, loaded):
        winner = winners.get(version.request, version.version)
        facts = facts_of(scene, model, version, winner if winner != version.version else None)
        decision = evaluate(loaded.policy, facts, scene.now.site) if loaded else NO_POLICY
        decision = _pinned(scene, model, decision)
        if version.forced and version.stage == "Staging" and decision.verdict in ("reject", "gave_up", "superseded"):
            waits.append(Wait(f"{model.name} v{version.version} is in Staging by force: {decision.words}", "people"))
            continue
        if _changed(version, decision):
            return Note(scene.pipeline, _event(scene, model, version, decision, loaded)), waits
        if decision.verdict == "promote":
            winners[version.request] = version.version
            if not version.would and not scene.paused:
                to: e.Move = "production" if version.to == "production" else "staging"
                return Note(scene.pipeline, _intention(model, version, to)), waits
        if decision.verdict in ("promote", "hold", "no_policy"):
            words = f"{model.name} v{version.version}: {decision.words}"
            waits.append(Wait(words, "site" if decision.earliest else "people", decision.earliest))
    return None, waits


def _winners(model: Model) -> dict[str, int]:
    """Of each training the version that goes on: the one in Staging, else the champion, else one that was in Staging.

    One whose promotion could not be carried out goes on only by a person's word, and lets the next one by.
    """
    went = [v for v in model.versions.values() if v.version == model.champion or (v.staged_site and not v.aborted)]
    went.sort(key=lambda v: (v.stage == "Staging", v.version == model.champion))
    return {v.request: v.version for v in went}


def _pinned(scene: Scene, model: Model, decision: Decision) -> Decision:
    """While the champion is pinned, what would take its place only `would`."""
    pins = scene.overrides("pin", model.name)
    if not pins or decision.to != "production":
        return decision
    words = f"{decision.words}, but v{model.champion} is pinned by {pins[0].by}"
    return replace(decision, would=True, words=words)


def _open(flow: Flow, model: Model, loaded: LoadedPolicy | None) -> Iterator[Version]:
    """Versions a policy may still move: newest training first; of one training, those in Staging first, then by rank."""
    def order(v: Version) -> tuple[int, bool, int]:
        return -_trained(flow, v), v.stage != "Staging", v.candidate.rank

    for version in sorted(model.versions.values(), key=order):
        if version.stage in ("Production", "Archived") or version.aborted:
            continue
        if version.verdict in _FINAL and not _reopened(flow, model, version, loaded):
            continue
        yield version


def _reopened(flow: Flow, model: Model, version: Version, loaded: LoadedPolicy | None) -> bool:
    """A version that is blocked no longer is judged again. An edited policy judges a reject again, but only of versions
    trained after the present champion and compared with it: last winter's version never comes back by an edit
    (POLICIES.md, rule 2)."""
    if version.verdict == "blocked":
        return not version.blocked
    if version.verdict != "reject" or loaded is None or loaded.ref == version.policy:
        return False
    if model.champion is None:
        return True
    return version.compared_with == model.champion and _trained(flow, version) > model.tenures[-1].seq


def _trained(flow: Flow, version: Version) -> int:
    """Which training ended before which: by the journal's count, which nobody can set back."""
    return flow.requests[version.request].ended_seq


def facts_of(scene: Scene, model: Model, version: Version, winner: int | None = None) -> Facts:
    """What a policy may know about `version` now. winner: a version of the same training that goes first."""
    champion = model.version(model.champion) if model.champion is not None else None
    same_recipe = champion is not None and champion.candidate.recipe_id == version.candidate.recipe_id
    later = champion is not None and _trained(scene.flow, champion) > _trained(scene.flow, version)
    drift = tuple(w.drifting if w.past >= scene.config.drift.min_past else None for w in scene.flow.drift[-10:])
    return Facts(
        model=model.name,
        version=version.version,
        champion=model.champion,
        stage="staging" if version.stage == "Staging" else "none",
        kind="refresh" if same_recipe else "search",
        candidate=version.candidate,
        result=model.results.get(version.request),
        trained_at=version.trained_site,
        data_end=version.data_end,
        newest_date=scene.flow.last_date(scene.config.contract.main),
        timezone=scene.settings.site.timezone,
        clock=scene.settings.site.clock,
        wall=scene.now.wall,
        staged_at=version.staged_site,
        drift=drift,
        promotions=tuple(t.since_site for t in model.tenures),
        frozen=tuple(
            Frozen(o.by, o.reason, o.until, o.model is None) for o in scene.overrides("freeze", model.name)
        ),
        blocked=version.blocked,
        superseded_by=winner if winner is not None else model.champion if later else None,
    )


def _changed(version: Version, decision: Decision) -> bool:
    """A decision is journaled when its verdict or an outcome changes, not when a number moves."""
    before = (version.verdict, version.to, version.would, tuple((c.block, c.id, c.outcome) for c in version.conditions))
    return before != (decision.verdict, decision.to, decision.would, tuple((c.block, c.id, c.outcome) for c in decision.conditions))


def _event(
    scene: Scene, model: Model, version: Version, decision: Decision, loaded: LoadedPolicy | None
) -> e.DecisionMade:
    return e.DecisionMade(
        decision=f"d{scene.state.seq + 1}",
        model=model.name,
        version=version.version,
        verdict=decision.verdict,
        to=decision.to,
        policy=loaded.ref if loaded else "",
        conditions=decision.conditions,
        words=decision.words,
        would=decision.would,
    )


def _intention(model: Model, version: Version, to: e.Move) -> e.PromotionIntended:
    return e.PromotionIntended(
        model=model.name,
        version=version.version,
        to=to,
        champion=model.champion,
        decision=version.decision,
        policy=version.policy,
        model_digest=version.candidate.model_digest,
    )


def promote(scene: Scene) -> tuple[PlannedJob | None, Wait | None]:
    """The first open intention that can be carried out or finished now."""
    held = None
    for model in scene.flow.models.values():
        intention = model.intention
        if intention is None:
            continue
        subject = intention.subject(model.name)
        number, wait, over = attempt(scene, "promote", subject)
        if over:
            wait = _away(scene, model, over)
        if wait:
            held = held or wait
            continue
        production = intention.to == "production"
        step = Promote(
            model=model.name,
            version=intention.version,
            to=intention.to,
            champion=intention.champion,
            model_digest=intention.model_digest,
            decision=intention.decision,
            policy=intention.policy,
            # until scoring lands the previous champion is the way back
            last_good=intention.champion if production and intention.champion else model.last_good,
            supersede=_superseded(model, intention.version) if intention.to != "archived" else (),
        )
        return PlannedJob(scene.pipeline, "promote", subject, step, number), None
    return None, held


def _away(scene: Scene, model: Model, over: Failure) -> Wait | None:
    after = min(scene.settings.jobs.backoff.delta * 2 ** min(over.count, 20), _SELDOM)
    return asked_again(scene, over, after, f"{model.name} waits for the registry")


def _superseded(model: Model, version: int) -> tuple[int, ...]:
    """Versions in Staging that this promotion goes past."""
    return tuple(v.version for v in model.versions.values() if v.stage == "Staging" and v.version != version)


def prepare(scene: Scene) -> tuple[PlannedJob | None, Wait | None]:
    """The registry must exist and answer before anything is trained; a server that is away is asked again for ever."""
    uri = scene.settings.mlflow.tracking_uri
    if scene.state.registry == uri:
        return None, None
    number, wait, over = attempt(scene, "prepare", uri)
    if over:
        wait = asked_again(scene, over, scene.settings.jobs.backoff.delta * 10, "the registry does not answer")
    return (None, wait) if wait else (PlannedJob(scene.pipeline, "prepare", uri, Prepare(uri), number), None)


def compare(scene: Scene) -> tuple[PlannedJob | None, Wait | None]:
    """Nothing yet."""
    return None, None
