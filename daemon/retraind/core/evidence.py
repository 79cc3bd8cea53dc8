"""Collects what a policy may know about a version, from the state of its pipeline. Judging is `policy.decision`'s."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from retraind.core import live
from retraind.core.days import newest_complete
from retraind.core.figures import RowSet, Scores, Significance, TargetResult, horizon_key
from retraind.core.forecasting import watched
from retraind.core.policy.document import Policy, conditions, policy_for
from retraind.core.policy.facts import Comparison, Facts, Frozen, Slice
from retraind.core.policy.terms import Place
from retraind.core.scene import Scene
from retraind.core.state import Flow, Model, Version

__all__ = ["PROVEN_DROPS", "barred", "blind_drops", "blind_since", "facts_of", "last_good", "trained"]

_LOOKED_AT = 30
"""Of a champion's scored drops the newest: more than any `watch` or `for` that a person would write."""
PROVEN_DROPS = 3
"""Scored drops that a version must have served as champion to be the way back (POLICIES.md, rule 15)."""


def facts_of(scene: Scene, model: Model, version: Version, winner: int | None = None) -> Facts:
    """What a policy may know about `version` now. winner: a version of the same training that goes first."""
    champion = model.serving
    serves = champion is version
    same_recipe = champion is not None and champion.candidate.recipe_id == version.candidate.recipe_id
    later = champion is not None and not serves and trained(scene.flow, champion) > trained(scene.flow, version)
    drift = tuple(w.drifting if w.past >= scene.config.drift.min_past else None for w in scene.flow.drift[-10:])
    known = scene.flow.live.get(model.target)
    return Facts(
        model=model.name,
        version=version.version,
        champion=model.champion,
        stage="production" if serves else "staging" if version.stage == "Staging" else "none",
        kind="refresh" if same_recipe else "search",
        candidate=version.candidate,
        result=model.results.get(version.request),
        trained_at=version.trained_site,
        data_end=version.data_end,
        newest_date=newest_complete(scene),
        overdue=f"no drop came since {scene.flow.overdue}" if scene.flow.overdue else "",
        timezone=scene.settings.site.timezone,
        clock=scene.settings.site.clock,
        wall=scene.now.wall,
        cadence=scene.config.drops.expect,
        staged_at=version.staged_site,
        scored_drops=len(live.scored_drops(known, version.staged_seq)) if version.stage == "Staging" else None,
        live=_live(scene, model, version),
        test_slices=_test_slices(version, model.results.get(version.request)),
        significance=_significance(version),
        look_days=model.look_days.get(version.request),
        drift=drift,
        approvals=tuple(version.approvals),
        promotions=tuple(t.since_site for t in model.tenures if not t.by_rollback),
        rollbacks=tuple(t.since_site for t in model.tenures if t.by_rollback),
        frozen=tuple(Frozen(o.by, o.reason, o.until, o.model is None) for o in scene.overrides("freeze", model.name)),
        blocked="" if serves else barred(scene, model, version),
        superseded_by=winner if winner is not None else model.champion if later else None,
        blind_drops=blind_drops(scene, model),
        watched=tuple(_watch(scene, model, version)) if serves and known else None,
        last_good=last_good(scene, model) if serves else None,
    )


def _live(scene: Scene, model: Model, version: Version) -> Comparison | None:
    """Slices only where the policy asks for them: they are many, and a policy is asked at every look."""
    known, champion = scene.flow.live.get(model.target), _text(model.champion)
    if known is None:
        return None
    found = live.comparison(known, str(version.version), champion, scale=_scale(version))
    loaded = policy_for(scene.world.policies, model.name)
    if champion is None or champion == str(version.version) or loaded is None or not _asks_live_slices(loaded.policy):
        return found
    return replace(found, slices=live.slices(known, str(version.version), champion))


def _asks_live_slices(policy: Policy) -> bool:
    late: tuple[Place, ...] = ("production", "refresh")
    return any(c.kind == "slices" and c.asks.measured == "live" for place in late for c in conditions(policy, place))


def _test_slices(version: Version, result: TargetResult | None) -> dict[str, dict[str, Slice]]:
    """Column -> value -> the figures of the version and of the champion's recipe, on the same rows."""
    if result is None:
        return {}
    own, theirs = version.candidate.slices, result.champion_slices
    return {
        column: {
            value: Slice(_sliced(rows, own.get(column, {}).get(value)), _sliced(rows, theirs.get(column, {}).get(value)))
            for value, rows in by_value.items()
        }
        for column, by_value in result.slice_rows.items()
    }


def _sliced(rows: Mapping[str, RowSet], values: Mapping[str, Mapping[str, float | None]] | None) -> Scores | None:
    """None: it answered no row of the slice."""
    return Scores(rows, values) if values else None


def _significance(version: Version) -> dict[str, Significance]:
    """MAE is WAPE's loss over the same rows, so it has the same p."""
    found = dict(version.candidate.significance)
    return found | {key.replace("wape", "mae"): test for key, test in found.items() if key.startswith("wape.")}


def trained(flow: Flow, version: Version) -> int:
    """Which training ended before which: by the journal's count, which nobody can set back."""
    request = flow.requests.get(version.request)
    return request.ended_seq if request else version.adopted_seq


def barred(scene: Scene, model: Model, version: Version) -> str:
    """Why the version is blocked until a person unblocks it: `by ops-a`, `since it was ...`; empty when it is not."""
    if version.rejected:
        return f"since it was rejected {version.rejected}"
    loaded = policy_for(scene.world.policies, model.name)
    block = loaded.policy.rollback if loaded else None
    back = f"since it was {version.rolled_back}" if version.rolled_back and (block is None or block.block) else ""
    return version.blocked or back


def last_good(scene: Scene, model: Model, leaving_out: Collection[int | None] = ()) -> int | None:
    """The newest version that served well enough to go back to, other than the champion. None when there is none.

    leaving_out: whom to leave out instead of the champion, to ask who would be the way back once another serves; after a
    rollback both the one that goes and the one that comes.
    """
    out = leaving_out or (model.champion,)
    for tenure in reversed(model.tenures):
        version = model.version(tenure.version)
        if version is None or tenure.version in out or tenure.rolled_back:
            continue
        away = version.lost or version.unloadable or version.aborted
        unfit = away or version.tainted or barred(scene, model, version)
        if scene.flow.served_drops(model, tenure) >= PROVEN_DROPS and not unfit:
            return tenure.version
    return None


def _watch(scene: Scene, model: Model, version: Version) -> Iterator[Comparison]:
    """The champion's live figures drop by drop since it serves, beside the previous champion's while that is watched."""
    known = scene.flow.live.get(model.target)
    previous = _text(watched(scene, model))
    for drop in live.scored_drops(known, model.tenures[-1].seq)[-_LOOKED_AT:]:
        yield live.comparison(known, str(version.version), str(version.version), previous, seqs=drop, scale=_scale(version))


def blind_drops(scene: Scene, model: Model) -> int:
    """Scored drops since the champion serves, counted back from the newest, in which nothing of it could be scored."""
    if model.champion is None:
        return 0
    nearest = horizon_key(min(scene.config.training.horizons))
    return live.blind_drops(scene.flow.live.get(model.target), str(model.champion), nearest, model.tenures[-1].seq)


def blind_since(scene: Scene, model: Model) -> int:
    """The event that last scored the champion, or that promoted it: stays what it is as long as the champion flies blind."""
    known = scene.flow.live.get(model.target)
    seen = live.days(known, str(model.champion), horizon_key(min(scene.config.training.horizons)))
    return max((kept[0] for kept in seen.values()), default=model.tenures[-1].seq if model.tenures else 0)


def _scale(version: Version) -> dict[str, float]:
    """The naive error that MASE is relative to, by horizon, as the training's own figures hold it."""
    values = version.candidate.test.values
    pairs = {h: (mae, values.get("mase", {}).get(h)) for h, mae in values.get("mae", {}).items()}
    return {h: mae / mase for h, (mae, mase) in pairs.items() if mae and mase}


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
