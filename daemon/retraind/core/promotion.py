"""Decides about versions: asks the policy, notes decisions when they change, and turns a yes into an intended promotion.

Judging is `policy.decision`'s; here stands who is asked, in which order, and what the answer moves. The order in which
the registry is changed is the promote job's (POLICIES.md, last section).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from retraind.core import adoption
from retraind.core import events as e
from retraind.core.days import excluded
from retraind.core.evidence import facts_of, last_good, trained
from retraind.core.forecasting import is_due
from retraind.core.policy.decision import NO_POLICY, Decision, counterfactuals, evaluate
from retraind.core.policy.document import LoadedPolicy, policy_for
from retraind.core.policy.facts import Facts
from retraind.core.scene import PlannedJob, Scene, Wait, asked_again, attempt, patience
from retraind.core.state import Failure, Flow, Intention, Model, Request, Version
from retraind.core.steps import Champion, Compare, Note, Prepare, Promote

__all__ = ["compare", "prepare", "promote", "promotion"]

_FINAL = ("reject", "gave_up", "superseded", "rollback", "blocked")


def promotion(scene: Scene) -> tuple[Note | None, list[Wait]]:
    """The next decision or intention to note, and what holds promotions back."""
    waits: list[Wait] = []
    open_ = [m for m in scene.flow.models.values() if m.intention]
    for over in (_given_up(scene, m) for m in open_):
        if over:
            return over, waits
    said = adoption.adoption(scene)
    if said:
        return said, waits
    if is_due(scene):  # judged on complete figures: those of the newest day come first
        return None, waits
    for model in scene.flow.models.values():
        if model.intention:
            continue
        if model.diverged or model.adoption:
            waits.append(Wait(f"{model.name}: {model.diverged or 'a version is being adopted'}", "people"))
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
    of_champion = _judge_champion(scene, model, loaded) if loaded else None
    if of_champion:
        return of_champion, waits
    for version in model.versions.values():
        if version.stage == "Staging" and version.verdict in _FINAL and not scene.paused and not version.aborted:
            return Note(scene.pipeline, _intention(model, version, "archived")), waits
    winners = _winners(model)
    for version in _open(scene.flow, model, loaded):
        winner = winners.get(version.request, version.version)
        facts = facts_of(scene, model, version, winner if winner != version.version else None)
        decision = evaluate(loaded.policy, facts, scene.now.site) if loaded else NO_POLICY
        decision = _only_would(scene, model, decision)
        if version.forced and version.stage == "Staging" and decision.verdict in ("reject", "gave_up", "superseded"):
            waits.append(Wait(f"{model.name} v{version.version} is in Staging by force: {decision.words}", "people"))
            continue
        if _changed(version, decision):
            return Note(scene.pipeline, _event(scene, model, version, decision, loaded, facts)), waits
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


def _judge_champion(scene: Scene, model: Model, loaded: LoadedPolicy) -> Note | None:
    """Whether the champion must go. A policy without a rollback block does not ask."""
    version = model.serving
    if version is None or loaded.policy.rollback is None:
        return None
    facts = facts_of(scene, model, version)
    decision = _only_would(scene, model, evaluate(loaded.policy, facts, scene.now.site))
    if _changed(version, decision):
        return Note(scene.pipeline, _event(scene, model, version, decision, loaded, facts))
    back = model.version(decision.target) if decision.target is not None else None
    if decision.verdict != "rollback" or back is None or version.would or scene.paused:
        return None
    intention = _intention(model, back, "rollback")
    return Note(scene.pipeline, replace(intention, decision=version.decision, policy=version.policy))


def _only_would(scene: Scene, model: Model, decision: Decision) -> Decision:
    """On a site that observes nothing moves; while the champion is pinned, nothing takes its place."""
    if scene.settings.site.mode == "observe" and decision.verdict in ("promote", "rollback"):
        return replace(decision, would=True, words=f"{decision.words}, but the site only observes (site.mode)")
    pins = scene.overrides("pin", model.name)
    if not pins or (decision.to != "production" and decision.verdict != "rollback"):
        return decision
    words = f"{decision.words}, but v{model.champion} is pinned by {pins[0].by}"
    return replace(decision, would=True, words=words)


def _open(flow: Flow, model: Model, loaded: LoadedPolicy | None) -> Iterator[Version]:
    """Versions a policy may still move: newest training first; of one training, those in Staging first, then by rank."""
    def order(v: Version) -> tuple[int, bool, int]:
        return -trained(flow, v), v.stage != "Staging", v.candidate.rank

    for version in sorted(model.versions.values(), key=order):
        if version.stage in ("Production", "Archived") or version.aborted or version.lost:
            continue
        if version.verdict in _FINAL and not _reopened(flow, model, version, loaded):
            continue
        yield version


def _reopened(flow: Flow, model: Model, version: Version, loaded: LoadedPolicy | None) -> bool:
    """A version that is blocked no longer is judged again. An edited policy judges a reject again, but only of versions
    trained after the present champion and compared with it: last winter's version never comes back by an edit
    (POLICIES.md, rule 2)."""
    if version.verdict == "blocked":
        return not (version.blocked or version.rejected or version.rolled_back)
    if version.verdict != "reject" or loaded is None or loaded.ref == version.policy:
        return False
    if model.champion is None:
        return True
    return version.compared_with == model.champion and trained(flow, version) > model.tenures[-1].seq


def _changed(version: Version, decision: Decision) -> bool:
    """A decision is journaled when its verdict or an outcome changes, not when a number moves."""
    before = (version.verdict, version.to, version.would, tuple((c.block, c.id, c.outcome) for c in version.conditions))
    return before != (decision.verdict, decision.to, decision.would, tuple((c.block, c.id, c.outcome) for c in decision.conditions))


def _event(
    scene: Scene, model: Model, version: Version, decision: Decision, loaded: LoadedPolicy | None, facts: Facts
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
        target=decision.target,
        look_days=model.look_days.get(version.request),
        changes=counterfactuals(loaded.policy, facts, scene.now.site) if loaded else (),
        earliest=decision.earliest,
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
        step = Promote(
            model=model.name,
            version=intention.version,
            to=intention.to,
            champion=intention.champion,
            model_digest=intention.model_digest,
            decision=intention.decision,
            policy=intention.policy,
            last_good=_way_back(scene, model, intention.to, intention.version),
            supersede=_superseded(model, intention),
            settles=intention.settles,
            found=intention.found,
            challenger=model.challenger if intention.version == model.champion else None,
        )
        return PlannedJob(scene.pipeline, "promote", subject, step, number), None
    return None, held


def _way_back(scene: Scene, model: Model, to: e.Move, version: int) -> int | None:
    """What the alias last-good names once the move is done: what a rollback would choose then."""
    if to not in e.SERVING:
        return last_good(scene, model)
    return last_good(scene, model, (version, model.champion) if to == "rollback" else (version,))


def _away(scene: Scene, model: Model, over: Failure) -> Wait | None:
    return asked_again(scene, over, patience(scene, over), f"{model.name} waits for the registry")


def _superseded(model: Model, intention: Intention) -> tuple[int, ...]:
    """Versions in Staging that this promotion goes past; a champion that stays goes past nobody."""
    if intention.to not in ("staging", "production") or intention.version == model.champion:
        return ()
    return tuple(v.version for v in model.versions.values() if v.stage == "Staging" and v.version != intention.version)


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
    """A candidate that stands beside another champion than the present one gets its opponent (POLICIES.md, rule 4)."""
    held = None
    for model in scene.flow.models.values():
        champion = model.serving
        if champion is None or model.intention:
            continue
        for request in dict.fromkeys(_without_opponent(model, champion)):
            subject = f"{request} {model.target} v{champion.version}"
            number, wait, over = attempt(scene, "compare", subject)
            if over or wait:
                held = held or wait
                continue
            step = _comparison(scene, model, champion, scene.flow.requests[request])
            return PlannedJob(scene.pipeline, "compare", subject, step, number), None
    return None, held


def _without_opponent(model: Model, champion: Version) -> Iterator[str]:
    """Requests with an open version that was compared with another champion."""
    for version in model.versions.values():
        result = model.results.get(version.request)
        is_open = version.stage in ("None", "Staging") and version.verdict not in _FINAL and not version.aborted
        if is_open and result and result.champion_version != champion.version and version.request != champion.request:
            yield version.request


def _comparison(scene: Scene, model: Model, champion: Version, request: Request) -> Compare:
    wanted = set(scene.flow.store_of(request))
    files = tuple(f for f in scene.flow.store if f.sha256 in wanted)
    opponent = Champion(champion.version, champion.candidate.recipe, champion.data_end)
    return Compare(request.id, model.target, files, request.data_end, opponent, excluded(scene))
