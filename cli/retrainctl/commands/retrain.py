"""`retrainctl retrain`: a person's wish to retrain. It waits its turn like any other cause, or with --now it does not."""

from __future__ import annotations

from typing import Annotated

import typer

from retrainctl.options import DryRun, Json, Reason, send
from retrainctl.site import Site, open_site
from retraind.core.binding import nearest
from retraind.core.messages import Retrain
from retraind.errors import Usage

__all__ = ["retrain"]


def retrain(
    ctx: typer.Context,
    targets: Annotated[list[str] | None, typer.Argument(help="All of them where none is named.")] = None,
    now: Annotated[
        bool, typer.Option("--now", help="Past the quiet period, the cool-down and the daily budget.")
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Ask for a retraining, which no policy is asked about until its candidates are there."""
    site = open_site(ctx)
    wanted = tuple(_target(site, name) for name in targets or ())
    would = f"ask for a retraining of {' and '.join(wanted) or 'every target'}" + (", now" if now else "")
    send(site, Retrain(reason, wanted, now), as_json=json, dry_run=dry_run, would=would,
         hint="follow it with: retrainctl status --watch")  # fmt: skip


def _target(site: Site, name: str) -> str:
    """A target by its name or by that of its model. Raises Usage."""
    known = site.settings.pipelines[site.pipeline].contract.targets
    for target in known:
        if name in (target, site.settings.mlflow.name_of(site.pipeline, target)):
            return target
    raise Usage(f'"{name}" is no target', remedy=nearest(name, list(known)))
