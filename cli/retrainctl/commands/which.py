"""`retrainctl which`: a version's number and nothing else, for scripts."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from retrainctl.options import Json
from retrainctl.site import model_named, open_site
from retrainctl.text import print_json
from retraind.core.binding import nearest
from retraind.errors import RetraindError, Usage

__all__ = ["which"]

_HOLDERS = {"production": "champion", "champion": "champion", "staging": "challenger", "challenger": "challenger",
            "last-good": "last_good"}  # fmt: skip


def which(
    ctx: typer.Context,
    model: str,
    stage: Annotated[str, typer.Argument(help="production, staging or last-good.")] = "production",
    json: Json = False,
) -> None:
    """The number of the version that holds a stage, and nothing else."""
    holder = _HOLDERS.get(stage.lower())
    if holder is None:
        raise Usage(f'"{stage}" is no stage', remedy=nearest(stage, ["production", "staging", "last-good"]))
    site = open_site(ctx)
    named = model_named(site, site.state().flow(site.pipeline), model)
    number = getattr(named, holder)
    if number is None:
        raise RetraindError(
            f"{named.name} has no version in {stage}", remedy=f"see: retrainctl versions list {named.name}"
        )
    if json:
        print_json({"version": 1, "model": named.name, "stage": stage.lower(), "number": number})
    else:
        sys.stdout.write(f"{number}\n")
