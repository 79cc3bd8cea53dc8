"""From the rename of a drop to its verdicts in the journal, with the daemon running.

    make bench-drift_latency                     50 drops of 10,000 rows, and 10 after idle minutes
    python bench/drift_latency.py --drops 5 --idle 2      fewer

Each drop is a day of 10,000 items and completes a window of one day, so that it is examined (first verdict: sound or damaged),
and measured against the 8 days before (second verdict: drifting or quiet, ranked among the days of the history). The parts are
the journal's own times; the next drop comes when the daemon has nothing left to do. "After idle minutes" means that the child
which does both jobs is ended before the drop comes, as the daemon ends it after two idle minutes.

A machine with other work to do says little about seconds: so the children's CPU seconds stand beside them, and what a Python
that imports what a light job needs takes. Naive forecasts come after the verdicts and are given up after a second.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from real_site import Daemon, events, make_site, running

START = dt.date(2024, 1, 1)
EDITS = {
    "      window: 7d  ": "      window: 1d  ",
    "      min_days: 180 ": "      min_days: 9000 ",  # nothing is trained: the verdicts are timed, and what forecasts cost is not
    "          required: true    #": "          required: false   #",
    "      complete: 50% ": "      complete: 0% ",
    "forecast: 30m": "forecast: 1s",  # it comes after the verdicts, and is given up
    "  retries: 3 ": "  retries: 0 ",
    "      quiet: 2m ": "      quiet: 1s ",
}


def sales(first: int, days: int, items: int) -> pa.Table:
    """So many days of every item, prices steady and demand lively."""
    random = np.random.default_rng(first)
    item = np.tile(np.arange(items), days)
    day = np.repeat(np.arange(first, first + days), items)
    return pa.table({
        "date": pa.array((np.datetime64(START) + day).astype("datetime64[D]")),
        "item_code": pa.array(np.char.add("i", item.astype(str))),
        "quantity_kg": (5 + item % 50) * random.lognormal(0, 0.5, len(item)),
        "avg_price_rmb_kg": (2 + item % 30) * random.lognormal(0, 0.05, len(item)),
        "discount_rate": random.choice([0.0, 0.1], len(item)),
        "transaction_count": random.poisson(20, len(item)),
    })  # fmt: skip


def drop_in(daemon: Daemon, number: int, items: int) -> dt.datetime:
    """A finished file is renamed into the drops folder; when that was."""
    beside = daemon.site / f"day-{number}.parquet"
    pq.write_table(sales(number, 1, items), beside)
    at = dt.datetime.fromtimestamp(time.time(), dt.UTC)
    beside.rename(daemon.site / "drops" / f"daily_sales_{number}.parquet")
    return at


def wait_for(daemon: Daemon, kind: str, number: int, seconds: float = 300) -> dt.datetime:
    """When the `number`-th event of that kind was written."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = events(daemon.site, kind)
        if len(found) >= number:
            return found[number - 1].times.wall
        time.sleep(0.05)
    raise TimeoutError(f"no {kind} number {number}; the daemon said:\n{daemon.log[-3000:]}")


def quiet(daemon: Daemon) -> None:
    """Nothing runs any more."""
    while len(events(daemon.site, "job.started")) > len(events(daemon.site, "job.ended")):
        time.sleep(0.1)


def spent(daemon: Daemon) -> float:
    """CPU seconds of all children, those that live and those that ended."""
    process = psutil.Process(daemon.process.pid)
    ended = process.cpu_times()
    seconds = float(ended.children_user + ended.children_system)
    for child in process.children():
        with contextlib.suppress(psutil.Error):
            seconds += sum(child.cpu_times()[:2])
    return seconds


def end_waiting_child(daemon: Daemon) -> None:
    """As the daemon does after two idle minutes."""
    for child in psutil.Process(daemon.process.pid).children():
        with contextlib.suppress(psutil.Error):
            if child.cmdline()[-1] == "in_turn":
                child.kill()


PARTS = (
    ("rename to drop.arrived", "", "drop.arrived"),
    ("to the start of `examine`", "drop.arrived", "examine"),
    ("to the first verdict: sound or damaged", "examine", "drop.accepted"),
    ("to the start of `measure`", "drop.accepted", "measure"),
    ("to the second verdict: drifting or quiet", "measure", "drift.measured"),
)
Times = dict[str, dt.datetime]


def one_drop(daemon: Daemon, number: int, items: int) -> tuple[Times, float]:
    """When each thing happened, and the CPU seconds of the two children."""
    quiet(daemon)
    before, cpu = len(events(daemon.site)), spent(daemon)
    times = {"": drop_in(daemon, number, items)}
    wait_for(daemon, "drift.measured", len(events(daemon.site, "drift.measured")) + 1)
    cpu = spent(daemon) - cpu
    for record in events(daemon.site)[before:]:
        kind = record.event.step if record.event.KIND == "job.started" else record.event.KIND
        times.setdefault(kind, record.times.wall)
    return times, cpu


def shown(title: str, drops: list[tuple[Times, float]]) -> None:
    """The table of some drops."""
    print(f"\n{title}{'':<{max(0, 46 - len(title))}} median   95th percentile, seconds")
    rows = [(words, [(t[end] - t[start]).total_seconds() for t, _ in drops]) for words, start, end in PARTS]
    whole = [(t["drift.measured"] - t[""]).total_seconds() for t, _ in drops]
    rows += [("rename to the second verdict", whole), ("CPU seconds of the child that does both", [cpu for _, cpu in drops])]
    for words, values in rows:
        print(f"  {words:<44} {statistics.median(values):6.3f}   {np.quantile(values, 0.95):6.3f}")
    print(f"  under 1 s: {100 * np.mean(np.array(whole) < 1):.0f} %", flush=True)


def main() -> None:
    """The tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--drops", type=int, default=50)
    parser.add_argument("--idle", type=int, default=10, help="drops that come after idle minutes")
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=45, help="of the history")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site = make_site(Path(folder) / "site", EDITS)
        pq.write_table(sales(0, told.days, told.items), site / "drops" / "daily_sales_history.parquet")
        with running(site, seconds=300) as daemon:
            wait_for(daemon, "training.impossible", 1, 900)
            one_drop(daemon, told.days, told.items)  # the past windows are measured once
            print(f"drops of {told.items:,} rows on a history of {told.days} days, load {os.getloadavg()[0]:.1f}")
            day = told.days + 1
            shown(f"{told.drops} drops, one after another", [one_drop(daemon, day + i, told.items) for i in range(told.drops)])
            idle = []
            for i in range(told.idle):
                quiet(daemon)
                end_waiting_child(daemon)
                idle.append(one_drop(daemon, day + told.drops + i, told.items))
            if idle:
                shown(f"{told.idle} drops, each after idle minutes", idle)
    for modules in ("retraind.jobs.examine, retraind.jobs.measure", "pandas"):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-P", "-c", f"import {modules}"], check=True)
        print(f"beside it, a Python that imports {modules}: {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()
