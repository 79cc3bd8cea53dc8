"""`retrainctl pin`, `freeze`, `block` and how they are lifted: a person's word over the policies, with a reason."""

from __future__ import annotations

from typing import Annotated

import typer

from retrainctl import site as sites
from retrainctl.commands.pause import until_when
from retrainctl.options import DryRun, Json, Reason, Yes, agreed, send
from retrainctl.site import Site, model_named, open_site, version_named
from retrainctl.views.times import moment
from retraind.core.messages import Block, Freeze, Pin, Unblock, Unfreeze, Unpin
from retraind.errors import Usage

__all__ = ["block", "freeze", "pin", "unblock", "unfreeze", "unpin"]

Until = Annotated[str, typer.Option(metavar="SPAN|TIME", help="Such as 3h, 2d or 2026-12-04T18:00.")]
All = Annotated[bool, typer.Option("--all", help="Every model of the site.")]
Named = Annotated[str, typer.Argument(metavar="[MODEL]", help="The model, or --all.")]


def pin(
    ctx: typer.Context,
    model: str,
    until: Until = "",
    reason: Reason = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Keep the present champion until you unpin it, or until a time: what its policy would do is told, not done."""
    site, now = open_site(ctx), sites.now()
    name = _name(site, model)
    end = until_when(until, now, site.zone) if until else None
    how_long = f"until {moment(end, site.zone, now)}" if end else "until somebody says unpin"
    if not dry_run:
        agreed(f"The champion of {name} stays {how_long}, however good or bad others are. Pin?", yes=yes)
    send(site, Pin(name, reason, end), as_json=json, dry_run=dry_run, would=f"pin {name} {how_long}",
         hint=f"lift it with: retrainctl unpin {name}")  # fmt: skip


def unpin(ctx: typer.Context, model: str, reason: Reason = "", dry_run: DryRun = False, json: Json = False) -> None:
    """Lift a pin, so that the policy decides again."""
    site = open_site(ctx)
    name = _name(site, model)
    send(site, Unpin(name, reason), as_json=json, dry_run=dry_run, would=f"unpin {name}")


def freeze(
    ctx: typer.Context,
    model: Named = "",
    every: All = False,
    until: Until = "",
    reason: Reason = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Hold promotions to Production until you unfreeze, or until a time; training and Staging go on."""
    site, now = open_site(ctx), sites.now()
    name = _one_or_all(site, model, every=every)
    end = until_when(until, now, site.zone) if until else None
    how_long = f"until {moment(end, site.zone, now)}" if end else "until somebody says unfreeze"
    if not dry_run:
        agreed(f"No promotion to Production of {name or 'any model'} {how_long}. Freeze?", yes=yes)
    send(site, Freeze(name, reason, end), as_json=json, dry_run=dry_run, would=f"freeze {name or 'all'} {how_long}",
         hint=f"lift it with: retrainctl unfreeze {name or '--all'}")  # fmt: skip


def unfreeze(
    ctx: typer.Context,
    model: Named = "",
    every: All = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Lift the freeze of a model, or every freeze that a person set; windows of policies stay."""
    site = open_site(ctx)
    name = _one_or_all(site, model, every=every)
    send(site, Unfreeze(name, reason), as_json=json, dry_run=dry_run, would=f"unfreeze {name or 'all'}")


def block(
    ctx: typer.Context,
    model: str,
    version: str,
    reason: Reason = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Keep a version from ever being promoted, by its policy or by hand, until you unblock it."""
    site = open_site(ctx)
    name, number = _version(site, model, version)
    if not dry_run:
        agreed(f"{name} v{number} is never promoted until somebody says unblock. Block?", yes=yes)
    send(site, Block(name, number, reason), as_json=json, dry_run=dry_run, would=f"block {name} v{number}",
         hint=f"lift it with: retrainctl unblock {name} {number}")  # fmt: skip


def unblock(
    ctx: typer.Context, model: str, version: str, reason: Reason = "", dry_run: DryRun = False, json: Json = False
) -> None:
    """Lift a block, so that the policy may judge the version again."""
    site = open_site(ctx)
    name, number = _version(site, model, version)
    send(site, Unblock(name, number, reason), as_json=json, dry_run=dry_run, would=f"unblock {name} v{number}")


def _version(site: Site, model: str, version: str) -> tuple[str, int]:
    named = model_named(site, site.state().flow(site.pipeline), model)
    return named.name, version_named(named, version).version


def _one_or_all(site: Site, model: str, *, every: bool) -> str | None:
    if bool(model) == every:
        raise Usage("name a model, or all of them with --all, and not both")
    return None if every else _name(site, model)


def _name(site: Site, model: str) -> str:
    return model_named(site, site.state().flow(site.pipeline), model).name
