"""`retrainctl drops`: the files that came in, and what to do about those that were not taken."""

from __future__ import annotations

from typing import Annotated

import typer

from retrainctl import site as sites
from retrainctl.options import DryRun, Json, Reason, Yes, agreed, send
from retrainctl.site import drop_named, open_site
from retrainctl.text import emit, print_json, screen
from retrainctl.views import drops as view
from retraind.core.binding import nearest
from retraind.core.days import incomplete_of
from retraind.core.messages import DropAccept, DropDiscard, DropRetry, DropWithdraw
from retraind.core.state import DROP_STATES
from retraind.errors import RetraindError, Usage

__all__ = ["app"]

app = typer.Typer(help="The files that came in.", no_args_is_help=True, add_completion=False)
Drop = Annotated[str, typer.Argument(metavar="DROP", help="Its id, or how it begins.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    state: Annotated[str, typer.Option(help=f"Only those that are {', '.join(DROP_STATES)}.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Not only the newest 30.")] = False,
    json: Json = False,
) -> None:
    """The drops, the newest last, each with what became of it."""
    if state and state not in DROP_STATES:
        raise Usage(f'--state: "{state}" is no state of a drop', remedy=nearest(state, DROP_STATES))
    site = open_site(ctx)
    data = view.listing(site.state().flow(site.pipeline), state, None if everything or json else 30)
    if json:
        print_json(data)
    else:
        on = screen()
        emit(view.drawn_listing(data, on, site.zone, sites.now()), on)


@app.command()
def show(ctx: typer.Context, drop: Drop, json: Json = False) -> None:
    """One drop with everything that is known of it, every problem with its row and remedy."""
    site = open_site(ctx)
    flow = site.state().flow(site.pipeline)
    data = view.detail(flow, drop_named(flow, drop))
    if json:
        print_json(data)
    else:
        on = screen()
        emit(view.drawn_detail(data, on, site.zone, sites.now()), on)


@app.command()
def retry(ctx: typer.Context, drop: Drop, reason: Reason = "", dry_run: DryRun = False, json: Json = False) -> None:
    """Examine a quarantined file again, as it lies there now."""
    site = open_site(ctx)
    named = drop_named(site.state().flow(site.pipeline), drop)
    send(site, DropRetry(named.id, reason), as_json=json, dry_run=dry_run, would=f"examine {named.path} again")


@app.command()
def discard(
    ctx: typer.Context, drop: Drop, reason: Reason = "", yes: Yes = False, dry_run: DryRun = False, json: Json = False
) -> None:
    """Give a waiting or quarantined drop up; its file is kept in quarantine."""
    site = open_site(ctx)
    named = drop_named(site.state().flow(site.pipeline), drop)
    if not dry_run:
        agreed(f"{named.name} ({named.id}, {named.state}) will never be taken in. Discard it?", yes=yes)
    send(site, DropDiscard(named.id, reason), as_json=json, dry_run=dry_run, would=f"discard {named.name} ({named.id})")


@app.command()
def accept(
    ctx: typer.Context, drop: Drop, reason: Reason = "", yes: Yes = False, dry_run: DryRun = False, json: Json = False
) -> None:
    """Say that a drop which looks damaged, or its incomplete days, are real; they are forecast from, scored and trained on."""
    site = open_site(ctx)
    flow = site.state().flow(site.pipeline)
    named = drop_named(flow, drop)
    days = ", ".join(f"{day} ({flow.incomplete[str(day)]})" for day in incomplete_of(flow, named))
    would = f"count {days}" if days else f"do nothing: no day of {named.id} is incomplete"
    if held := flow.damaged.get(named.id):
        would = f"take {named.rows:,} rows of {named.name} ({named.id}) into the store although {held.words}"
        if not dry_run:
            agreed(f"{named.name}: {held.words}. This is real, and it counts?", yes=yes)
    elif days and not dry_run:
        agreed(f"{days}: this is all that was sold, and it counts?", yes=yes)
    send(site, DropAccept(named.id, reason), as_json=json, dry_run=dry_run, would=would)


@app.command()
def withdraw(
    ctx: typer.Context, drop: Drop, reason: Reason = "", yes: Yes = False, dry_run: DryRun = False, json: Json = False
) -> None:
    """Take a valid but wrong drop out of the store, and mark what was computed from it."""
    site = open_site(ctx)
    flow = site.state().flow(site.pipeline)
    named = drop_named(flow, drop)
    if named.state != "accepted":
        raise RetraindError(f"{named.id} is {named.state}: only an accepted drop is in the store")
    learned = view.learned_from(flow, next((f.sha256 for f in flow.store if f.drop == named.id), ""))
    what = f"take {named.rows:,} rows of {named.name} ({named.id}) out of the store"
    marks = f", mark {', '.join(learned)} as trained on it" if learned else ""
    if not dry_run:
        agreed(f"This will {what}{marks}. The file itself stays. Withdraw it?", yes=yes)
    send(site, DropWithdraw(named.id, reason), as_json=json, dry_run=dry_run, would=what + marks)
