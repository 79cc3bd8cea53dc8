"""`retrainctl adopt`: a version of the registry becomes champion because a person says so, whoever made it or moved it there."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from retrainctl import client
from retrainctl import site as sites
from retrainctl.options import DryRun, Json, Reason, Yes, agreed
from retrainctl.scene import foreseen, scene_now
from retrainctl.site import Site, open_site
from retrainctl.text import print_json
from retrainctl.views.adoption import never_known, told, way_on
from retraind.core.events import AdoptionAsked, AdoptionRefused, PromotionAborted, PromotionDone, VersionAdopted
from retraind.core.messages import Adopt
from retraind.errors import OutOfTime, RetraindError, Usage
from retraind.journal import read

__all__ = ["adopt"]

_PATIENCE = 600.0
_LOOK_EVERY = 0.3
_KINDS = ("adoption.refused", "version.adopted", "promotion.done", "promotion.aborted")


def adopt(
    ctx: typer.Context,
    model: str,
    version: str,
    horizon: Annotated[
        int | None, typer.Option(metavar="DAYS", help="Which horizon it forecasts, if it says one number a row.")
    ] = None,
    reason: Reason = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Take a version of the registry as champion: one that others trained, or either of two when somebody moved the alias."""
    site = open_site(ctx)
    scene = scene_now(site, site.state(), sites.now())
    message = Adopt(model, _number(version), horizon, reason)
    (event,) = foreseen(scene, message)
    what = told(scene, event)
    if not dry_run:
        agreed(f"{what} Go on?", yes=yes)
        since = scene.state.seq
        client.ask(site, message)
        what = _came(site, event, since) + _from_now_on(site, event) if isinstance(event, AdoptionAsked) else "noted"
    if json:
        print_json({"version": 1, "done": what, "dry_run": dry_run, "model": event.model, "number": event.version})
    else:
        sys.stdout.write(f"{'would ' * dry_run}{what[0].lower() * dry_run}{what[dry_run:]}\n")


def _number(version: str) -> int:
    number = version.removeprefix("v")
    if not number.isdecimal():
        raise Usage(f'"{version}" is no version', remedy="write its number in MLflow, such as 7")
    return int(number)


def _from_now_on(site: Site, asked: AdoptionAsked) -> str:
    """What nobody can know as long as it is champion."""
    scene = scene_now(site, site.state(), sites.now())
    asks = never_known(scene.world.policies, scene.flow.models[asked.model])
    return f". {way_on(asked.model, asked.version, asks)}" if asks else ""


def _came(site: Site, asked: AdoptionAsked, since: int) -> str:
    """What came of it, once that is known. Raises RetraindError when the version cannot be champion."""
    ends, notes = time.monotonic() + _PATIENCE, ""
    while time.monotonic() < ends:
        with read.opened(site.journal) as connection:
            for record in read.records(connection, since, kinds=_KINDS):
                event = record.event
                if (event.model, event.version) != (asked.model, asked.version):
                    continue
                if isinstance(event, AdoptionRefused):
                    raise RetraindError(f"{asked.model} v{asked.version} was not adopted: {event.why}", remedy=event.remedy)
                if isinstance(event, PromotionAborted):
                    raise RetraindError(f"{asked.model} v{asked.version} was not adopted: {event.why}",
                                        remedy="see: retrainctl status")  # fmt: skip
                if isinstance(event, VersionAdopted):
                    notes = "".join(f"; {note}" for note in event.notes)
                if isinstance(event, PromotionDone):
                    return f"{asked.model} v{asked.version} is champion{notes}"
        time.sleep(_LOOK_EVERY)
    raise OutOfTime(f"{asked.model} v{asked.version} is still being looked at", remedy="see: retrainctl status", retryable=True)
