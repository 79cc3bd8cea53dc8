"""`status --watch`: a live screen with bars on a terminal, one line a change elsewhere. Ctrl-C ends it with exit code 0."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from retrainctl.site import Site, now
from retrainctl.views import events, status
from retrainctl.views.text import Screen, rendered
from retrainctl.views.times import duration
from retraind.journal import read

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["changes", "watch"]

_SECONDS = 1.0


def watch(site: Site) -> None:
    """Until Ctrl-C."""
    try:
        if sys.stdout.isatty():
            _screen(site)
        else:
            for line in changes(site):
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
    except KeyboardInterrupt:
        return


def _screen(site: Site) -> None:
    from rich.console import Console  # noqa: PLC0415 (50 ms, only for who watches)
    from rich.live import Live  # noqa: PLC0415

    console = Console()
    with Live(_frame(site, console.width), console=console, auto_refresh=False, screen=False) as live:
        while True:
            time.sleep(_SECONDS)
            live.update(_frame(site, console.width), refresh=True)


def _frame(site: Site, width: int) -> RenderableType:
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    data = status.document(site)
    text = rendered(status.drawn(data, Screen(width, colour=True), jobs=False), Screen(width, colour=True))
    return Group(
        Text.from_ansi(text), *map(_bar, data["jobs"]), Text("\n Ctrl-C ends the watch, not the daemon", style="dim")
    )


def _bar(job: dict[str, Any]) -> RenderableType:
    """A job's line: what, a bar, how far, how long."""
    from rich.progress_bar import ProgressBar  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    progress = job["progress"]
    line = Table.grid(padding=(0, 1), expand=True)
    for ratio in (None, None, None, 1, None):
        line.add_column(ratio=ratio, no_wrap=True, overflow="ellipsis")
    total = progress["of"] if progress else None
    bar = ProgressBar(total=total, completed=progress["done"] if progress else 0, width=20, pulse=progress is None)
    line.add_row("[bold] JOB     [/]", f"{job['step']} {job['subject']}", bar, progress["stage"] if progress else "starting",
                 duration(job["seconds"]))  # fmt: skip
    return line


def changes(site: Site) -> Iterator[str]:
    """A line for each event as it comes, and for each stage of a job, in the words of `status`."""
    seq = _seq(site)
    stages: dict[str, str] = {}
    yield f"{now().astimezone(site.zone):%H:%M:%S} watching {site.root} from event {seq:,} on"
    while True:
        if site.journal.exists():
            with read.opened(site.journal) as connection:
                for record in read.records(connection, seq):
                    seq = record.seq
                    yield f"{record.times.wall.astimezone(site.zone):%H:%M:%S} {events.words(record.event)}"
        live, _ = status.looked(site)
        for job in live["jobs"] if live else ():
            stage = job["progress"]["stage"] if job["progress"] else ""
            if stage and stages.get(job["job"]) != stage:
                stages[job["job"]] = stage
                yield f"{now().astimezone(site.zone):%H:%M:%S} {status.job_words(job)}"
        time.sleep(_SECONDS)


def _seq(site: Site) -> int:
    if not site.journal.exists():
        return 0
    with read.opened(site.journal) as connection:
        (seq,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
    return int(seq)
