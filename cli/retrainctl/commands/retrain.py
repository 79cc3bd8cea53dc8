"""`retrainctl retrain`: a person's wish to retrain. It waits its turn like any other cause, or with --now it does not."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from retrainctl.options import DryRun, Json, Reason, send
from retrainctl.site import Site, open_site
from retrainctl.site import now as now_
from retrainctl.text import emit, print_json, screen
from retrainctl.views.status_data import looked
from retraind.core.binding import nearest
from retraind.core.messages import Retrain
from retraind.errors import RetraindError, Usage
from retraind.journal import read

__all__ = ["retrain"]


def retrain(
    ctx: typer.Context,
    targets: Annotated[list[str] | None, typer.Argument(help="All of them where none is named.")] = None,
    now: Annotated[
        bool, typer.Option("--now", help="Past the quiet period and the daily budget.")
    ] = False,
    search: Annotated[
        bool, typer.Option("--search", help="Try the whole portfolio, not only the champion's recipe on the newest data.")
    ] = False,
    why_not: Annotated[
        bool, typer.Option("--why-not", help="Ask for nothing; say what holds a training back right now.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until its candidates were decided on; where no daemon runs, one is started for it.")
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Ask for a retraining, which no policy is asked about until its candidates are there."""
    site = open_site(ctx)
    if why_not:
        _why_not(site, as_json=json)
        return
    wanted = tuple(_target(site, name) for name in targets or ())
    what = "search over the whole portfolio for" if search else "retraining of"
    would = f"ask for a {what} {' and '.join(wanted) or 'every target'}" + (", now" if now else "")
    message = Retrain(reason, wanted, now, search)
    if wait and not dry_run:
        _wait_for(site, message, as_json=json)
        return
    send(site, message, as_json=json, dry_run=dry_run, would=would,
         hint="follow it with: retrainctl status --watch")  # fmt: skip


def _wait_for(site: Site, message: Retrain, *, as_json: bool) -> None:
    """Ask, wait, and tell what came of it. Raises RetraindError when no training did."""
    from retrainctl.daemons import daemon_of  # noqa: PLC0415

    with daemon_of(site) as daemon:
        asked = int(daemon.ask(message).data["seq"])
        daemon.rest(quietly=as_json)
    ended = [r for r in site.state().flow(site.pipeline).requests.values() if r.ended_seq > asked]
    if not ended:
        why = f": {said}" if (said := _why_none(site, asked)) else ""
        raise RetraindError(f"no training came of it yet{why}", remedy="see: retrainctl retrain --why-not")
    newest = ended[-1]
    if newest.state != "finished":
        raise RetraindError(f"{newest.id} is {newest.state}: {newest.words}", remedy=f"see: retrainctl explain {newest.id}")
    if as_json:
        print_json({"version": 1, "done": newest.words, "dry_run": False, "seq": asked, "request": newest.id})
    else:
        sys.stdout.write(f"{newest.id}: {newest.words}; see: retrainctl runs show {newest.id}\n")


def _why_none(site: Site, asked: int) -> str:
    """What the daemon noted last about causes since then, if it did."""
    with read.opened(site.journal) as connection:
        told = [r.event.reason for r in read.records(connection, asked, kinds=("retrain.held", "retrain.declined"))]
    return str(told[-1]) if told else ""


def _why_not(site: Site, *, as_json: bool) -> None:
    from retrainctl.views import why_not as view  # noqa: PLC0415 (who asks for a training does not wait for it)

    moment, (live, silent) = now_(), looked(site)
    data = view.gather(site, site.state(), moment, running=live is not None or bool(silent))
    if as_json:
        print_json(data)
    else:
        on = screen()
        emit(view.drawn(data, on, site.zone, moment), on)


def _target(site: Site, name: str) -> str:
    """A target by its name or by that of its model. Raises Usage."""
    known = site.settings.pipelines[site.pipeline].contract.targets
    for target in known:
        if name in (target, site.settings.mlflow.name_of(site.pipeline, target)):
            return target
    raise Usage(f'"{name}" is no target', remedy=nearest(name, list(known)))
