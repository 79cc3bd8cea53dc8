"""`retrainctl approve` and `reject`: a person's yes or no to one version, for the figures that are shown."""

from __future__ import annotations

import typer

from retrainctl import site as sites
from retrainctl.options import DryRun, Json, Reason, Yes, agreed, send
from retrainctl.site import Site, model_named, open_site, version_named
from retrainctl.text import emit, screen
from retrainctl.views import explain as view
from retraind.core.messages import Approve, Reject
from retraind.core.policy.facts import evidence
from retraind.core.state import State

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
    site = open_site(ctx)
    state = site.state()
    named = model_named(site, state.flow(site.pipeline), model)
    asked = version_named(named, version)
    name = f"{named.name} v{asked.version}"
    if not json:
        _show(site, state, named.name, asked.version)
    if not dry_run:
        agreed(f"Approve {name} for Production on these figures? An approval never overrules a no.", yes=yes)
    figures = evidence(asked.candidate)
    send(site, Approve(named.name, asked.version, figures, reason), as_json=json, dry_run=dry_run,
         would=f"approve {name} for Production", more={"model": named.name, "number": asked.version, "figures": figures},
         hint=f"take it back with: retrainctl reject {named.name} {asked.version}")  # fmt: skip


def _show(site: Site, state: State, model: str, number: int) -> None:
    named = state.flow(site.pipeline).models[model]
    now, on = sites.now(), screen()
    data = view.shown_to_approve(site, state, named, version_named(named, str(number)), now)
    emit([*view.drawn_to_approve(data, on, site.zone, now), []], on)


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
    named = model_named(site, site.state().flow(site.pipeline), model)
    number = version_named(named, version).version
    if not dry_run:
        agreed(f"{named.name} v{number} is never promoted until somebody says unblock. Reject?", yes=yes)
    send(site, Reject(named.name, number, reason), as_json=json, dry_run=dry_run, would=f"reject {named.name} v{number}",
         hint=f"lift it with: retrainctl unblock {named.name} {number}")  # fmt: skip
