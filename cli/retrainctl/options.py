"""The options that mean the same in every command, and the two ways an answer is given."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from retrainctl import client
from retrainctl.site import Site
from retrainctl.text import print_json
from retraind.core.messages import Message
from retraind.core.units import Span
from retraind.errors import Usage

__all__ = ["At", "DryRun", "Json", "Reason", "Yes", "agreed", "send", "when"]

At = Annotated[str, typer.Option(metavar="SPAN|TIME", help="Then: 3d ago, or a time such as 2026-12-04T18:00.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the journal.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


def when(text: str, now: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """`3d` before now, or a time (in the site's zone where it names none; a day is its first moment), as UTC.

    Raises Usage.
    """
    try:
        return now - Span.parse(text).delta
    except ValueError:
        pass
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise Usage(f'--at: "{text}" is neither a span nor a time', remedy="write 3d or 2026-12-04T18:00") from None
    return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(dt.UTC)


def agreed(question: str, *, yes: bool) -> None:
    """Ask once before something dangerous. Raises Usage when nobody can be asked, and ends the command on a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Usage("this needs a yes", remedy="add --yes")
    if not typer.confirm(question):
        raise typer.Exit(1)


def send(
    site: Site,
    message: Message,
    *,
    as_json: bool,
    dry_run: bool,
    would: str,
    hint: str = "",
    more: Mapping[str, Any] | None = None,
) -> None:
    """Ask the daemon and print what came of it; in a dry run say what `would` be done. more: for the JSON document."""
    if dry_run:
        done, data = f"would {would}", {}
    else:
        answer = client.ask(site, message)
        done, data = answer.done, dict(answer.data)
    if as_json:
        print_json({"version": 1, "done": done, "dry_run": dry_run, **(more or {}), **data})
    else:
        sys.stdout.write(done + (f"; {hint}" if hint and not dry_run else "") + "\n")
