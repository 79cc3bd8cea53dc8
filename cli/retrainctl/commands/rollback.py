"""`retrainctl rollback`: an earlier champion serves again, because a person says so."""

from __future__ import annotations

from typing import Annotated

import typer

from retrainctl import site as sites
from retrainctl.options import DryRun, Json, Reason, Yes, agreed, send
from retrainctl.scene import foreseen, scene_now
from retrainctl.site import Site, model_named, open_site, version_named
from retrainctl.views.scored import recent
from retrainctl.views.times import count, moment
from retraind.core.events import PromotionIntended
from retraind.core.messages import Rollback
from retraind.core.policy.document import policy_for
from retraind.core.scene import Scene
from retraind.core.state import Model

__all__ = ["rollback"]


def rollback(
    ctx: typer.Context,
    model: str,
    to: Annotated[
        str, typer.Option(metavar="VERSION", help="An earlier champion; without it the newest that served well.")
    ] = "",
    reason: Reason = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Take the champion back to an earlier one and block it; says first where that leads and what changes."""
    site = open_site(ctx)
    scene = scene_now(site, site.state(), sites.now())
    named = model_named(site, scene.flow, model)
    number = version_named(named, to).version if to else None
    events = foreseen(scene, Rollback(named.name, number, reason))
    target = next(event.version for event in events if isinstance(event, PromotionIntended))
    told = _told(site, scene, named, target)
    if not dry_run:
        agreed(f"{told} Roll back?", yes=yes)
    send(site, Rollback(named.name, target, reason), as_json=json, dry_run=dry_run, would=f"roll {named.name} back: {told}",
         more={"model": named.name, "from": named.champion, "to": target},
         hint="follow it with: retrainctl status")  # fmt: skip


def _told(site: Site, scene: Scene, model: Model, target: int) -> str:
    """What changes, in words."""
    now = scene.now.wall
    last = next(t for t in reversed(model.tenures) if t.version == target)
    until = moment(last.until_site, site.zone, now)
    served = count(scene.flow.served_drops(model, last), "scored drop")
    live = recent(scene.flow, model, min(scene.config.training.horizons))
    error = f", live WAPE {live['wape']:.1f} on its last {count(live['days'], 'day')}" if live and live["wape"] is not None else ""
    since = moment(model.tenures[-1].since_site, site.zone, now)
    loaded = policy_for(scene.world.policies, model.name)
    kept = loaded is not None and loaded.policy.rollback is not None and not loaded.policy.rollback.block
    blocked = "" if kept else f" and blocked until: retrainctl unblock {model.name} {model.champion}"
    return (f"{model.name} goes back to v{target} (champion until {until}, served {served}). v{model.champion} (champion since "
            f"{since}{error}) is archived{blocked}. The orders file is made anew.")  # fmt: skip
