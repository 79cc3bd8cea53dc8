"""`retrainctl promote`: a version goes up because a person says so."""

from __future__ import annotations

from typing import Annotated

import typer

from retrainctl.options import DryRun, Json, Reason, Yes, agreed, send
from retrainctl.site import model_named, open_site, version_named
from retraind.core.binding import nearest
from retraind.core.messages import Promote
from retraind.errors import Usage

__all__ = ["promote"]


def promote(
    ctx: typer.Context,
    model: str,
    version: str,
    to: Annotated[str, typer.Option(metavar="STAGE", help="staging or production.")],
    force: Annotated[
        bool, typer.Option("--force", help="Over the policy, its limits and every freeze; needs --reason.")
    ] = False,
    reason: Reason = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Promote a version by hand, if its policy allows that now; with --force, if it does not."""
    stage = to.lower()
    if stage not in ("staging", "production"):
        raise Usage(f'--to: "{to}" is no stage', remedy=nearest(to, ["staging", "production"]))
    if force and not reason.strip():
        raise Usage("--force needs a reason", remedy="say why with: --reason WHY")
    site = open_site(ctx)
    named = model_named(site, site.state().flow(site.pipeline), model)
    number = version_named(named, version).version
    what = f"promote {named.name} v{number} to {stage.capitalize()}" + (" by force" if force else " if its policy allows it")
    if not dry_run:
        agreed(f"{what[0].upper()}{what[1:]}; the champion is v{named.champion or '-'}. Go on?", yes=yes)
    message = Promote(named.name, number, "staging" if stage == "staging" else "production", force, reason)
    send(site, message, as_json=json, dry_run=dry_run, would=what, hint="follow it with: retrainctl status")
