"""`status --watch`: a live screen with bars on a terminal, one line a change elsewhere. Ctrl-C ends it with exit code 0."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from retrainctl.site import Site, now
from retrainctl.text import Line, Screen, rendered
from retrainctl.views import events, status, status_data
from retrainctl.views.times import duration
from retraind.core.state import State
from retraind.journal import read

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["changes", "watch"]

_SECONDS = 0.5


def watch(site: Site, until: Callable[[], bool] = lambda: False) -> None:
    """Until Ctrl-C, or until `until`, which is asked each second, says that it is over."""
    if sys.stdout.isatty():
        _screen(site, until)
        return
    for line in changes(site, until):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _screen(site: Site, until: Callable[[], bool]) -> None:
    from rich.console import Console  # noqa: PLC0415 (50 ms, only for who watches)
    from rich.live import Live  # noqa: PLC0415

    console, state = Console(), State()
    with Live(_frame(site, state, console.width, console.height), console=console, auto_refresh=False) as live:
        while not until():
            live.refresh()
            time.sleep(_SECONDS)
            live.update(_frame(site, state, console.width, console.height))


def _frame(site: Site, state: State, width: int, height: int) -> RenderableType:
    """The screen of `status`, with bars for the jobs. state: the one of the frame before; it is changed."""
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if not state.seq and site.journal.exists():
        with site.opened() as (_, newest):
            vars(state).update(vars(newest))
    data = status_data.document(site, state)
    on = Screen(width, colour=True)
    above = status.drawn_above(data, on)
    below = _fitting(data, on, height - len(above) - len(data["jobs"]) - 2)
    end = Text("\n Ctrl-C ends the watch, not the daemon", style="dim")
    return Group(Text.from_ansi(rendered(above, on)), _bars(data["jobs"], width), Text.from_ansi(rendered(below, on)), end)


def _fitting(data: dict[str, Any], on: Screen, rows: int) -> list[Line]:
    """What stands below the jobs, with as many of the last events as there is room for: what overflows a screen is lost."""
    below = status.drawn_below(data, on)
    last = data["journal"]["last"]
    kept = last[: max(1, len(last) - max(0, len(below) - rows))]
    return status.drawn_below(data | {"journal": data["journal"] | {"last": kept}}, on)


def _bars(jobs: list[dict[str, Any]], width: int) -> RenderableType:
    """A line a job: what, a bar, how far, how long."""
    from rich.progress_bar import ProgressBar  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    lines = Table.grid(padding=(0, 1), expand=True)
    for ratio in (None, None, None, None, 1, None):
        lines.add_column(ratio=ratio, no_wrap=True, overflow="ellipsis")
    for job in jobs:
        progress = job["progress"] or {"done": 0, "of": 1, "stage": ""}
        bar = ProgressBar(total=progress["of"], completed=progress["done"], width=10 if width < 100 else 24)
        far = f"{progress['done']}/{progress['of']}" if job["progress"] else ""
        took = duration(job["seconds"]) if job["seconds"] is not None else ""
        took = ", ".join(filter(None, (took, status.time_left(job))))
        lines.add_row("[bold] JOB     [/]", f"{job['step']} {job['subject']}", bar, far, progress["stage"], took)
    return lines


def changes(site: Site, until: Callable[[], bool] = lambda: False) -> Iterator[str]:
    """A line for each event as it comes, and for each stage of a job, in the words of `status`."""
    seq = _seq(site)
    stages: dict[str, str] = {}
    yield f"{now().astimezone(site.zone):%H:%M:%S} watching {site.root} from event {seq:,} on"
    over = False
    while not over:
        over = until()
        if site.journal.exists():
            with read.opened(site.journal) as connection:
                for record in read.records(connection, seq):
                    seq = record.seq
                    yield f"{record.times.wall.astimezone(site.zone):%H:%M:%S} {events.words(record.event)}"
        live, _ = status_data.looked(site)
        for job in live["jobs"] if live else ():
            stage = job["progress"]["stage"] if job["progress"] else ""
            if stage and stages.get(job["job"]) != stage:
                stages[job["job"]] = stage
                yield f"{now().astimezone(site.zone):%H:%M:%S} {status.job_words(job)}"
        if not over:
            time.sleep(_SECONDS)


def _seq(site: Site) -> int:
    if not site.journal.exists():
        return 0
    with read.opened(site.journal) as connection:
        (seq,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
    return int(seq)
