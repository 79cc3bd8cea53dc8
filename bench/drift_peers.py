"""One tool's drift check from two Parquet files, in a process of its own: what `bench/drift.py` calls for each contestant.

    python bench/drift_peers.py TOOL REFERENCE CURRENT

Prints one JSON object: CPU and wall seconds of the check, imports left out (reading the current file is in, preparing the
reference is not where the tool can do that beforehand), the peak resident MB of the process, imports included, and each feature's
D where the tool tells one. It runs under the Python that has the tool, so that it imports nothing of ours for the others.
"""

# ruff: noqa: PLC0415 (each tool imports what it needs and is timed without)

from __future__ import annotations

import importlib
import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

Check = Callable[[str], dict[str, float]]


def names_of(path: str) -> list[str]:
    import pyarrow.parquet as pq

    return list(pq.ParquetFile(path).schema_arrow.names)


def floor(_reference: str) -> Check:
    """Read a column, sort it, drop it."""
    import numpy as np
    import pyarrow.parquet as pq

    def check(current: str) -> dict[str, float]:
        with pq.ParquetFile(current) as file:
            for name in file.schema_arrow.names:
                np.sort(file.read(columns=[name])[name].to_numpy())
        return {}

    return check


def read(_reference: str) -> Check:
    """Read a column, drop it."""
    import pyarrow.parquet as pq

    def check(current: str) -> dict[str, float]:
        with pq.ParquetFile(current) as file:
            for name in file.schema_arrow.names:
                file.read(columns=[name])[name].to_numpy()
        return {}

    return check


def retraind(reference: str) -> Check:
    """Exact KS, PSI, p and the verdict against references that were prepared."""
    from retraind.drift.files import table_of
    from retraind.drift.reference import compare_sorted, prepare_numeric
    from retraind.drift.statistics import sort_present
    from retraind.drift.verdict import feature_verdicts

    before = table_of(reference)
    prepared = {name: prepare_numeric(before.read([name])[name].values) for name in before.names}  # type: ignore[arg-type]

    def check(current: str) -> dict[str, float]:
        table = table_of(current)
        found = {}
        for name in table.names:
            column = table.read([name])[name]
            found[name] = compare_sorted(prepared[name], sort_present(column.values, in_place=True), column.rows)  # type: ignore[arg-type]
        feature_verdicts(list(found.values()), fdr=0.01, ks=0.1, psi=0.1)
        return {name: difference.distance for name, difference in found.items()}

    return check


def scipy(reference: str) -> Check:
    """ks_2samp in a loop, NaN dropped: KS and p."""
    import numpy as np
    import pyarrow.parquet as pq
    from scipy import stats

    with pq.ParquetFile(reference) as file:
        held = {name: file.read(columns=[name])[name].to_numpy() for name in file.schema_arrow.names}
    present = {name: values[~np.isnan(values)] for name, values in held.items()}

    def check(current: str) -> dict[str, float]:
        found = {}
        with pq.ParquetFile(current) as file:
            for name in file.schema_arrow.names:
                values = file.read(columns=[name])[name].to_numpy()
                found[name] = float(stats.ks_2samp(present[name], values[~np.isnan(values)], method="asymp").statistic)
        return found

    return check


def polars(reference: str) -> Check:
    """PSI by counting the current rows in the reference's deciles; no KS."""
    import numpy as np

    pl: Any = importlib.import_module("polars")

    before = pl.read_parquet(reference)
    edges = {}
    for name in before.columns:
        cuts = [before[name].fill_nan(None).quantile(q / 10) for q in range(1, 10)]
        edges[name] = sorted({c for c in cuts if c is not None})

    def counts(frame: Any) -> Any:
        cut = [
            pl.col(name).fill_nan(None).drop_nulls().cut(edges[name]).value_counts().implode().alias(name) for name in edges
        ]
        return frame.select(cut).collect()

    theirs = counts(before.lazy())

    def psi(a: Any, b: Any) -> float:
        left = {row[next(iter(row))]: row["count"] for row in a}
        right = {row[next(iter(row))]: row["count"] for row in b}
        keys = sorted({*left, *right}, key=str)
        x = np.array([left.get(k, 0) + 0.5 for k in keys])
        y = np.array([right.get(k, 0) + 0.5 for k in keys])
        x, y = x / x.sum(), y / y.sum()
        return float(((y - x) * np.log(y / x)).sum())

    def check(current: str) -> dict[str, float]:
        ours = counts(pl.scan_parquet(current))
        for name in edges:
            psi(theirs[name].to_list()[0], ours[name].to_list()[0])
        return {}

    return check


def nannyml(reference: str) -> Check:
    """Its Kolmogorov-Smirnov method, the whole file as one chunk."""
    import pandas as pd

    nml: Any = importlib.import_module("nannyml")

    before = pd.read_parquet(reference)
    names = list(before.columns)

    def check(current: str) -> dict[str, float]:
        now = pd.read_parquet(current)
        made = nml.UnivariateDriftCalculator(
            column_names=names, continuous_methods=["kolmogorov_smirnov"], chunk_size=max(len(now), len(before))
        ).fit(before)
        frame = made.calculate(now).filter(period="analysis").to_df(multilevel=False)
        return {name: float(frame[f"{name}_kolmogorov_smirnov_value"].iloc[0]) for name in names}

    return check


def evidently(reference: str) -> Check:
    """Its drift preset with KS, as its documentation calls it; it tells p, not D."""
    import pandas as pd

    report: Any = importlib.import_module("evidently").Report
    preset: Any = importlib.import_module("evidently.presets").DataDriftPreset

    before = pd.read_parquet(reference)

    def check(current: str) -> dict[str, float]:
        report([preset(num_method="ks")]).run(pd.read_parquet(current), before).dict()
        return {}

    return check


TOOLS: dict[str, Callable[[str], Check]] = {
    "read": read, "floor": floor, "retraind": retraind, "scipy": scipy, "polars": polars, "nannyml": nannyml,
    "evidently": evidently,
}  # fmt: skip


def peak_mb() -> float:
    """Of this process, by the kernel. (getrusage would tell that of the process it was forked from.)"""
    with open("/proc/self/status") as status:  # noqa: PTH123
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def main() -> None:
    """One check."""
    warnings.simplefilter("ignore")
    tool, reference, current = sys.argv[1:]
    check = TOOLS[tool](reference)
    cpu, wall = time.process_time(), time.perf_counter()
    found = check(current)
    used = time.process_time() - cpu, time.perf_counter() - wall
    sys.stdout.write(json.dumps({"cpu": used[0], "wall": used[1], "peak": peak_mb(), "d": found}) + "\n")


if __name__ == "__main__":
    main()
