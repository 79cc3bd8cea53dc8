"""From the rename of a drop to its verdicts in the journal, with the daemon running.

    make bench-drift_latency                     50 drops of 10,000 rows
    python bench/drift_latency.py --drops 5      fewer

Each drop is a day of 10,000 items and completes a window of one day, so that it is examined (first verdict: sound or damaged),
and measured against the 8 days before (second verdict: drifting or quiet, ranked among the days of the history). Times are the
journal's own; the next drop comes when the daemon has nothing left to do. A machine with other work to do says little: the
benchmark prints beside it how long `python -c "import pandas"` takes, which every cold child pays.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
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


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--drops", type=int, default=50)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=45, help="of the history")
    told = parser.parse_args()
    took: dict[str, list[float]] = {"sound or damaged": [], "drifting or quiet": []}
    with tempfile.TemporaryDirectory() as folder:
        site = make_site(Path(folder) / "site", EDITS)
        pq.write_table(sales(0, told.days, told.items), site / "drops" / "daily_sales_history.parquet")
        with running(site) as daemon:
            wait_for(daemon, "training.impossible", 1, 900)
            for i in range(told.drops):
                quiet(daemon)
                at = drop_in(daemon, told.days + i, told.items)
                for words, kind, before in (("sound or damaged", "drop.accepted", 1), ("drifting or quiet", "drift.measured", 0)):
                    took[words].append((wait_for(daemon, kind, before + i + 1) - at).total_seconds())
            seconds = {name: [r.event.seconds for r in events(site, "job.ended") if r.event.step == name]
                       for name in ("examine", "measure", "forecast")}  # fmt: skip
    print(f"{told.drops} drops of {told.items:,} rows, from the rename to the verdict in the journal, seconds")
    for words, values in took.items():
        print(f"  {words:<20} median {statistics.median(values):.2f}   95th percentile {np.quantile(values, 0.95):.2f}   "
              f"under 1 s: {100 * np.mean(np.array(values) < 1):.0f} %")  # fmt: skip
    for name, values in seconds.items():
        if values:
            print(f"  the child `{name}`: median {statistics.median(values):.2f} s")
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import pandas, pyarrow.parquet, scipy.special"], check=True)
    print(f"  beside it, a Python that imports pandas, pyarrow and scipy: {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()
