"""Decides when forecasts are made and scored: whenever the store or the forecasters are not those of the last time.

One job does both and renews the orders file, so a drop, a promotion and a rollback are one thing here. Policies are asked
after it, on complete figures.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json

from retraind.core import live
from retraind.core.binding import bind, unbind
from retraind.core.days import excluded, newest_complete
from retraind.core.events import ForecastRole
from retraind.core.figures import BASELINES, Foreign, horizon_key
from retraind.core.intake import companions
from retraind.core.policy.document import policy_for
from retraind.core.scene import PlannedJob, Scene, Wait, attempt
from retraind.core.state import Model, Version
from retraind.core.steps import Forecast, Forecaster

__all__ = ["forecast", "is_due", "watched"]

_WATCH = 6
"""Scored drops for which the previous champion goes on in the shadow where no policy says how many."""
_LOOKED_FOR_AGAIN = dt.timedelta(hours=1)
_ENOUGH = 14
"""Live dates before the naive forecasts are chosen by what they lost, not by the target's nature."""


def forecast(scene: Scene) -> tuple[PlannedJob | None, Wait | None]:
    """The forecast job, if there is something new and the required companion tables reach the newest day."""
    step = _step(scene)
    if step is None:
        return None, None
    number, wait, over = attempt(scene, "forecast", step.key)
    if over:
        return None, Wait(f"forecasting failed: {over.what}; it is tried again with the next drop", "people")
    held = companions(scene) or wait
    return (None, held) if held else (PlannedJob(scene.pipeline, "forecast", step.key, step, number), None)


def is_due(scene: Scene) -> bool:
    """Figures are still to come: nobody is judged before. A job that gave up is not waited for."""
    step = _step(scene)
    return step is not None and attempt(scene, "forecast", step.key)[2] is None


def _step(scene: Scene) -> Forecast | None:
    flow = scene.flow
    newest = newest_complete(scene)
    if newest is None:
        return None
    forecasters = {t: _forecasters(scene, t) for t in scene.config.contract.targets}
    naive = {t: _naive(scene, t) for t in scene.config.contract.targets}
    without, stale = excluded(scene), bool(flow.overdue)
    who = [unbind(without), unbind(forecasters), list(scene.config.training.horizons), stale]
    files = "".join(f.sha256 for f in flow.store)  # thousands, asked about at every step: not as JSON
    key = hashlib.sha256((files + json.dumps(who, sort_keys=True)).encode()).hexdigest()[:16]
    if key == flow.forecast_key and not _may_load_again(scene):
        return None
    return Forecast(
        key=key,
        store=tuple(flow.store),
        newest=newest,
        excluded=without,
        forecasters=forecasters,
        naive=naive,
        made=tuple(flow.forecasts),
        scored=tuple(flow.scores),
        at=scene.now.wall,
        stale=stale,
        last_good={m.target: m.last_good for m in flow.models.values() if m.last_good is not None},
    )


def _may_load_again(scene: Scene) -> bool:
    """A champion could not be loaded an hour ago: somebody may have brought its files back. On the wall clock only."""
    at = scene.flow.orders_at
    away = any((v := m.version(m.champion)) and v.unloadable for m in scene.flow.models.values() if m.champion is not None)
    return away and not scene.in_step and at is not None and scene.now.wall >= at + _LOOKED_FOR_AGAIN


def _forecasters(scene: Scene, target: str) -> tuple[Forecaster, ...]:
    """Champion first; a version takes its first role only."""
    model = scene.model_of(target)
    if model is None:
        return ()
    staged = sorted(v.version for v in model.versions.values() if v.stage == "Staging")
    roles: list[tuple[ForecastRole, int | None]] = [("champion", model.champion)]
    roles += [("challenger", n) for n in staged]
    roles += [("previous", watched(scene, model)), ("last_good", model.last_good)]
    found: dict[int, Forecaster] = {}
    for role, number in roles:
        version = model.version(number) if number is not None else None
        if version and version.version not in found:
            found[version.version] = _as_forecaster(version, role)
    return tuple(found.values())


def _as_forecaster(version: Version, role: ForecastRole) -> Forecaster:
    adopted = version.candidate.recipe.get("adopted")
    foreign = bind(Foreign, adopted) if adopted else None
    return Forecaster(version.version, role, version.data_end, version.candidate.model_digest, foreign)


def watched(scene: Scene, model: Model) -> int | None:
    """The previous champion, while the present one is watched beside it (POLICIES.md, rule 15)."""
    if len(model.tenures) < 2 or model.tenures[-2].rolled_back:
        return None
    loaded = policy_for(scene.world.policies, model.name)
    block = loaded.policy.rollback if loaded else None
    watch = block.watch.drops if block else _WATCH
    done = live.scored_drops(scene.flow.live.get(model.target), model.tenures[-1].seq)
    return model.tenures[-2].version if len(done) < watch else None


def _naive(scene: Scene, target: str) -> str:
    """The naive forecast that stands in where no version answers: the one that lost least lately, one step ahead."""
    usual = "seasonal_naive" if scene.config.contract.targets[target].nature == "flow" else "persistence"
    nearest = horizon_key(min(scene.config.training.horizons))
    known = scene.flow.live.get(target)
    lost: dict[str, float] = {}
    for name in BASELINES:
        kept = sorted(live.days(known, name, nearest).items())[-4 * 7 :]
        wape = live.scores({nearest: [sums for _, sums in kept]}).values["wape"].get(nearest)
        if len(kept) >= _ENOUGH and wape is not None:
            lost[name] = wape
    return min(lost, key=lambda name: (lost[name], name != usual)) if usual in lost else usual
