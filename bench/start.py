"""How soon a daemon is READY with a long record: a million events in the journal, beside a journal that has none.

The journal is written by the daemon's own writer, jobs that start and end; its snapshot is what a stop leaves. Both daemons
start in turn on the same machine. Beside the seconds stand those of CPU time: on a machine that others share these tell what
an idle one would need, and there the target is for them.
"""

from __future__ import annotations

import datetime as dt
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from real_site import make_site, running
from retraind.core import events as e
from retraind.core.fold import apply
from retraind.journal import snapshot
from retraind.journal.append import Journal
from retraind.journal.read import opened

_READY_SECONDS = 2.0
_TOGETHER = 10_000


def main(events: int = 1_000_000) -> int:
    """Exit code 1 when the target is missed."""
    with tempfile.TemporaryDirectory() as folder:
        empty, long = make_site(Path(folder) / "empty"), make_site(Path(folder) / "long")
        for site in (empty, long):
            ready_seconds(site)
        began = time.monotonic()
        fill(long, events)
        print(f"{events:,} events written in {time.monotonic() - began:.0f} s, "
              f"{(long / 'state' / 'journal.db').stat().st_size / 1e6:.0f} MB")  # fmt: skip
        starts = {site.name: [] for site in (empty, long)}
        for _ in range(5):
            for site in (empty, long):
                starts[site.name].append(ready_seconds(site))
    (wall, none), (long_wall, many) = (map(statistics.median, zip(*starts[name], strict=True)) for name in ("empty", "long"))
    met = many < _READY_SECONDS
    verdict = f"CPU time under {_READY_SECONDS:.0f} s   {'met' if met else 'MISSED'}"
    print(f"READY with an empty journal, median of 5    {wall:6.2f} s, CPU {none:.2f} s")
    print(f"READY with {events:,} events, median of 5   {long_wall:6.2f} s, CPU {many:.2f} s   {verdict}")
    return 0 if met else 1


def ready_seconds(site: Path) -> tuple[float, float]:
    """From the start of the process to READY, and its CPU time; then it is stopped."""
    began = time.monotonic()
    with running(site, seconds=600) as daemon:
        seconds, cpu = time.monotonic() - began, psutil.Process(daemon.process.pid).cpu_times()
        daemon.stop(seconds=120)
    return seconds, cpu.user + cpu.system


def fill(site: Path, count: int) -> None:
    """Append that many events, and leave the snapshot that a stop leaves."""
    journal = Journal(site / "state" / "journal.db")
    with opened(journal.path) as connection:
        state = snapshot.restore(connection, snapshot.path_beside(journal.path))
    at = state.machine_time or dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    while state.seq < count:
        batch = []
        for n in range(_TOGETHER // 2):
            job = f"{state.seq + 2 * n + 1:06d}-examine"
            batch.append(("produce", e.JobStarted(job, "examine", "9f2c01ab", 4711, 1)))
            batch.append(("produce", e.JobEnded(job, "examine", "9f2c01ab", "done", 1.2, 96)))
        for record in journal.together(batch, e.Times(at, at, at)):
            apply(state, record)
    snapshot.save(state, journal.head, snapshot.path_beside(journal.path))
    journal.close()


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
