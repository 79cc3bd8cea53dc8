"""`retrainctl which`: a version's number and nothing else, for scripts."""

from __future__ import annotations

import datetime as dt
import sys
from typing import Annotated

import typer

from retrainctl.options import At, Json, when
from retrainctl.site import model_named, now, open_site
from retrainctl.text import print_json
from retraind.core.binding import nearest
from retraind.core.state import Model
from retraind.errors import RetraindError, Usage

__all__ = ["which"]

_HOLDERS = {"production": "champion", "champion": "champion", "staging": "challenger", "challenger": "challenger",
            "last-good": "last_good"}  # fmt: skip


def _held(model: Model, holder: str, moment: dt.datetime) -> int | None:
    """The champion of that moment. Raises Usage for another stage."""
    if holder != "champion":
        raise Usage("--at tells who was in production, and no other stage", remedy="see: retrainctl history")
    tenure = model.held_at(moment)
    return tenure.version if tenure else None


def which(
    ctx: typer.Context,
    model: str,
    stage: Annotated[str, typer.Argument(help="production, staging or last-good.")] = "production",
    at: At = "",
    json: Json = False,
) -> None:
    """The number of the version that holds a stage, and nothing else."""
    holder = _HOLDERS.get(stage.lower())
    if holder is None:
        raise Usage(f'"{stage}" is no stage', remedy=nearest(stage, ["production", "staging", "last-good"]))
    site = open_site(ctx)
    named = model_named(site, site.state().flow(site.pipeline), model)
    moment = when(at, now(), site.zone) if at else None
    number = getattr(named, holder) if moment is None else _held(named, holder, moment)
    if number is None:
        raise RetraindError(
            f"{named.name} {'has' if moment is None else 'had'} no version in {stage}",
            remedy=f"see: retrainctl versions list {named.name}",
        )
    if json:
        document = {"version": 1, "model": named.name, "stage": stage.lower(), "number": number}
        print_json(document if moment is None else {**document, "at": moment.isoformat()})
    else:
        sys.stdout.write(f"{number}\n")
