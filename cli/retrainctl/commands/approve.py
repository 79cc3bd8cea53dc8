"""`retrainctl approve` and `reject`: a person's yes or no to one version, for the figures that are shown."""

from __future__ import annotations

import typer

from retrainctl import site as sites
from retrainctl.options import DryRun, Json, Reason, Yes, agreed, send
from retrainctl.scene import foreseen, scene_now
from retrainctl.site import model_named, open_site, version_named
from retrainctl.text import emit, screen
from retrainctl.views import explain as view
from retraind.core.messages import Approve, Reject
from retraind.core.policy.facts import evidence

__all__ = ["approve", "reject"]


def approve(
    ctx: typer.Context,
    model: str,
    version: str,
    reason: Reason = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Say yes to a version's way to Production, for the test figures and the policy that are shown; void when these change."""
    site, now = open_site(ctx), sites.now()
    scene = scene_now(site, site.state(), now)
    named = model_named(site, scene.flow, model)
    asked = version_named(named, version)
    name, figures = f"{named.name} v{asked.version}", evidence(asked.candidate)
    message = Approve(named.name, asked.version, figures, reason)
    if not json:
        on = screen()
        data = view.shown_to_approve(scene, named, asked)
        emit([*view.drawn_to_approve(data, on, site.zone, now), []], on)
    if dry_run:
        foreseen(scene, message)
    else:
        agreed(f"Approve {name} for Production on these figures? An approval never overrules a no.", yes=yes)
    send(site, message, as_json=json, dry_run=dry_run,
         would=f"approve {name} for Production", more={"model": named.name, "number": asked.version, "figures": figures},
         hint=f"take it back with: retrainctl reject {named.name} {asked.version}")  # fmt: skip


def reject(
    ctx: typer.Context,
    model: str,
    version: str,
    reason: Reason = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Say no to a version: its approvals are void and nothing promotes it until you unblock it."""
    site = open_site(ctx)
    scene = scene_now(site, site.state(), sites.now())
    named = model_named(site, scene.flow, model)
    number = version_named(named, version).version
    message = Reject(named.name, number, reason)
    if dry_run:
        foreseen(scene, message)
    else:
        agreed(f"{named.name} v{number} is never promoted until somebody says unblock. Reject?", yes=yes)
    send(site, message, as_json=json, dry_run=dry_run, would=f"reject {named.name} v{number}",
         hint=f"lift it with: retrainctl unblock {named.name} {number}")  # fmt: skip
