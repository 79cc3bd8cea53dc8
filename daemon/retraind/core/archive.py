"""Decides which versions lose their artifacts, by the block `archive` of their policy, and which kept files nobody needs.

A version that was archived, or refused for good and passed over by a later champion, keeps its files while it is among the
newest `keep_last` of them or younger than `older_than`. Who serves, may serve, or may be gone back to keeps them always, and so
does what somebody else made. Its figures, decisions and run stay.
"""

from __future__ import annotations

import datetime as dt

from retraind.core.evidence import last_good, trained
from retraind.core.forecasting import watched
from retraind.core.policy.document import policy_for
from retraind.core.scene import PlannedJob, Scene, Wait, attempt
from retraind.core.state import Flow, Model, Version
from retraind.core.steps import Archive, Spent

__all__ = ["archive", "needed"]

_AT_ONCE = 20
_FINAL = ("reject", "gave_up", "superseded")


def archive(scene: Scene) -> tuple[PlannedJob | None, Wait | None]:
    """The job that removes what is past both bounds, of the first model that has any."""
    held = None
    if scene.paused or scene.settings.site.mode == "observe":
        return None, None
    for model in scene.flow.models.values():
        spent = _spent(scene, model)
        if not spent or model.intention or model.adoption or model.diverged:
            continue
        subject = f"{model.name}@{spent[0].version}"
        number, wait, over = attempt(scene, "archive", subject)
        if over or wait:
            held = held or wait
            continue
        loaded = policy_for(scene.world.policies, model.name)
        step = Archive(model.name, tuple(Spent(v.version, v.candidate.model_digest) for v in spent), loaded.ref if loaded else "")
        return PlannedJob(scene.pipeline, "archive", subject, step, number), None
    return None, held


def _spent(scene: Scene, model: Model) -> list[Version]:
    """Versions past both bounds that still have their files, oldest first."""
    loaded = policy_for(scene.world.policies, model.name)
    block = loaded.policy.archive if loaded and loaded.policy.mode == "enforce" else None
    if block is None or (block.keep_last is None and block.older_than is None):
        return []
    over = sorted((v for v in model.versions.values() if _is_over(scene, model, v)), key=lambda v: (_since(v), v.version))
    past = over[: -block.keep_last] if block.keep_last else over
    if block.older_than:
        past = [v for v in past if _since(v) + block.older_than.delta <= scene.now.site]
    kept = _kept(scene, model)
    return [v for v in past if not (v.bare or v.spared or v.gone or v.adopted_seq or v.version in kept)][:_AT_ONCE]


def _is_over(scene: Scene, model: Model, version: Version) -> bool:
    """Archived, or refused for good: an edited policy judges no version again that is older than the champion."""
    if version.stage == "Archived":
        return True
    champion = model.serving
    later = champion is not None and trained(scene.flow, champion) >= trained(scene.flow, version)
    return version.stage == "None" and version.verdict in _FINAL and later and version.version != model.champion


def _since(version: Version) -> dt.datetime:
    return version.archived_site or version.trained_site


def _kept(scene: Scene, model: Model) -> set[int | None]:
    """Who serves, or is the way back now or by the alias that others read."""
    return {model.champion, model.challenger, model.last_good, last_good(scene, model), watched(scene, model)}


def needed(flow: Flow) -> set[str]:
    """Digests of the models whose kept files (STATE/models) somebody may forecast with: all others can be had from MLflow."""
    found = set()
    for model in flow.models.values():
        held = {model.champion, model.challenger, model.last_good, *(t.version for t in model.tenures[-3:])}
        held |= {model.intention.version} if model.intention else set()
        for version in model.versions.values():
            is_open = version.stage in ("None", "Staging") and version.verdict not in _FINAL
            if (version.version in held or is_open) and not version.bare:
                found.add(version.candidate.model_digest)
    return found
