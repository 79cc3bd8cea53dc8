"""`retrainctl pause` and `resume`: no training and no promotion for a while. Drops go on being taken in."""

from __future__ import annotations

import datetime as dt
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from retrainctl import site as sites
from retrainctl.options import DryRun, Json, Reason, Yes, agreed, send
from retrainctl.views.times import moment
from retraind.core.messages import Pause, Resume
from retraind.core.units import Span
from retraind.errors import Usage

__all__ = ["pause", "resume", "until_when"]


def pause(
    ctx: typer.Context,
    until: Annotated[str, typer.Option(metavar="SPAN|TIME", help="Such as 3h, 2d or 2026-12-04T18:00.")] = "",
    reason: Reason = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Hold every training and promotion until you resume, or until a time."""
    site, now = sites.open_site(ctx), sites.now()
    end = until_when(until, now, site.zone) if until else None
    how_long = f"until {moment(end, site.zone, now)}" if end else "until somebody says resume"
    if not dry_run:
        agreed(f"No training and no promotion {how_long}; drops are still taken in. Pause?", yes=yes)
    send(site, Pause(reason, end), as_json=json, dry_run=dry_run, would=f"pause {how_long}",
         hint="go on with: retrainctl resume")  # fmt: skip


def resume(ctx: typer.Context, reason: Reason = "", dry_run: DryRun = False, json: Json = False) -> None:
    """Lift the pause, so that what waited goes on."""
    send(sites.open_site(ctx), Resume(reason), as_json=json, dry_run=dry_run, would="resume")


def until_when(text: str, now: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """`3h` from now, or a time (in the site's zone where it names none), as UTC. Raises Usage."""
    try:
        return now + Span.parse(text).delta
    except ValueError:
        pass
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise Usage(f'--until: "{text}" is neither a span nor a time',
                    remedy="write 3h, 2d or 2026-12-04T18:00") from None  # fmt: skip
    end = (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(dt.UTC)
    if end <= now:
        raise Usage(f"--until: {moment(end, zone, now)} is past", remedy="name a time to come")
    return end
