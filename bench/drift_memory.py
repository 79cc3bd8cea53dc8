"""Memory of a check of a drop that is larger than it: 10 million rows by 90 features, and 100 million streamed.

    make bench-drift_memory                      10,000,000 rows: writes 7 GB below TMPDIR and removes them
    python bench/drift_memory.py --rows 200000   a smaller one
    python bench/drift_memory.py --keep DIR      leave the files there, and use them when they are there already

`python -m retraind.drift` compares a reference of 100,000 rows with the file, in a process of its own whose peak resident
memory is what the kernel counted; then with a folder of ten hard links to it, which is streamed, row group by row group, with
the error of D stated. Beside them the floor: reading each column once and sorting it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FEATURES, GROUP, REFERENCE = 90, 500_000, 100_000
FLOOR = """
import sys, numpy as np, pyarrow.parquet as pq
file = pq.ParquetFile(sys.argv[1])
for name in file.schema_arrow.names:
    np.concatenate([file.read_row_group(g, columns=[name])[name].to_numpy() for g in range(file.num_row_groups)]).sort()
"""


def columns(rows: int, seed: int) -> pa.Table:
    """Normal, lognormal, counts, mostly zero, with holes, in turn; every third moved a bit when seed is not 0."""
    random = np.random.default_rng(seed)
    out = {}
    for feature in range(FEATURES):
        values = random.standard_normal(rows) + 0.1 * (seed > 0) * (feature % 3 == 0)
        kind = feature % 5
        if kind == 1:
            values = np.exp(values)
        elif kind == 2:
            values = np.floor(np.abs(4 * values))
        elif kind == 3:
            values[random.random(rows) < 0.7] = 0
        elif kind == 4:
            values[::10] = np.nan
        out[f"f{feature:02d}"] = values
    return pa.table(out)


def made(folder: Path, rows: int) -> tuple[Path, Path, Path]:
    """The reference, the file, and a folder of ten hard links to it."""
    reference, current, links = folder / "reference.parquet", folder / f"current-{rows}.parquet", folder / f"ten-{rows}"
    pq.write_table(columns(REFERENCE, 0), reference, use_dictionary=False, compression="none")
    if not current.exists():
        partial = current.with_suffix(".partial")
        with pq.ParquetWriter(partial, columns(1, 0).schema, use_dictionary=False, compression="none") as writer:
            for first in range(0, rows, GROUP):
                writer.write_table(columns(min(GROUP, rows - first), 1 + first))
        partial.rename(current)
    links.mkdir(exist_ok=True)
    for i in range(10):
        if not (links / f"{i}.parquet").exists():
            os.link(current, links / f"{i}.parquet")
    return reference, current, links


def run(*command: str) -> tuple[float, float, float, str]:
    """CPU seconds, wall seconds, peak MB and output of a process, by the kernel's count (through a process in between)."""
    inner = (
        "import json,resource,subprocess,sys,time\n"
        "began=time.monotonic(); ran=subprocess.run(sys.argv[1:],stdout=subprocess.PIPE,text=True,check=True)\n"
        "used=resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([used.ru_utime+used.ru_stime,time.monotonic()-began,used.ru_maxrss/1024,ran.stdout]))"
    )
    told = subprocess.run([sys.executable, "-c", inner, *command], stdout=subprocess.PIPE, text=True, check=True)
    cpu, wall, peak, out = json.loads(told.stdout)
    return cpu, wall, peak, out


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--without-links", action="store_true", help="leave the ten times as many rows out")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = told.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        reference, current, links = made(folder, told.rows)
        print(f"made in {time.monotonic() - began:.0f} s")
        ours = (sys.executable, "-m", "retraind.drift", "--json", str(reference))
        print(f"{'':<44}{'CPU s':>8}{'wall s':>8}{'peak MB':>9}   worst stated error of D")
        floor = run(sys.executable, "-c", FLOOR, str(current))
        print(f"{f'floor: read and sort, {told.rows:,} rows':<44}{floor[0]:>8.1f}{floor[1]:>8.1f}{floor[2]:>9.0f}", flush=True)
        for file, rows in ((current, told.rows), (links, 10 * told.rows))[: 1 if told.without_links else 2]:
            cpu, wall, peak, out = run(*ours, str(file))
            error = max(column["distance_error"] for column in json.loads(out)["columns"])
            print(f"{f'retraind, {rows:,} rows':<44}{cpu:>8.1f}{wall:>8.1f}{peak:>9.0f}   {error:.1e}", flush=True)


if __name__ == "__main__":
    main()
