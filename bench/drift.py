"""Drift of 90 features against a prepared reference: ours beside sorting, reading, our prototype and other tools.

    make bench-drift                 10,000, 100,000 and 1,000,000 rows, the tools that are installed; some minutes
    python bench/drift.py 10000      only that many
    RETRAIND_BENCH_PEERS=DIR make bench-drift    NannyML, Evidently and polars too, from a venv in DIR, made when it is not there

In memory: CPU seconds for all 90 columns (median of three rounds), the ratio to the floor, and the worst error of D against
scipy's. The floor sorts each column once and drops it. Every contestant gets the same columns, one after another, made outside
the timing, so that memory stays at a column and no page fault is anybody's gain. Reference: 100,000 rows.

From file to verdict: each contestant in processes of its own (bench/drift_peers.py), on the same Parquet file: CPU and wall seconds
of the check without imports, peak resident memory with them, median of three (the slow ones once). NannyML and Evidently need an
older pandas than ours, so they have an environment of their own. RETRAIND_BENCH_LIMIT: seconds after which a tool is stopped (900).
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats

from retraind.drift.reference import compare, prepare_numeric

FEATURES, REFERENCE_ROWS, ROUNDS = 90, 100_000, 3
SCIPY_ROUNDS = 1  # it takes as long as all others together
PROTOTYPE = Path(__file__).resolve().parents[2] / "shared" / "prototypes" / "ks_psi.py"

Column = npt.NDArray[np.float64]
Contestant = Callable[[int, Column], float]


def column(feature: int, rows: int, seed: int) -> Column:
    """Six kinds in turn: normal, lognormal, heavy-tailed, counts, mostly zero, with holes; every third has moved a bit."""
    random = np.random.default_rng((seed, feature))
    shift = 0.1 * seed * (feature % 3 == 0)
    kinds: tuple[Callable[[], Column], ...] = (
        lambda: random.normal(shift, 1, rows),
        lambda: random.lognormal(shift, 1, rows),
        lambda: random.standard_t(2, rows) + shift,
        lambda: random.poisson(8 + shift, rows).astype(np.float64),
        lambda: np.where(random.random(rows) < 0.7, 0.0, random.lognormal(shift, 1, rows)),
        lambda: np.where(random.random(rows) < 0.1, np.nan, random.normal(shift, 1, rows)),
    )
    return kinds[feature % len(kinds)]()


def prototype() -> ModuleType | None:
    """Our prototype, where `shared` lies beside the checkout."""
    if not PROTOTYPE.exists():
        return None
    spec = importlib.util.spec_from_file_location("ks_psi", PROTOTYPE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def contestants() -> dict[str, Contestant]:
    """Each gets a feature's number and a column of the current sample; returns D, or NaN where it has none."""
    raw = [column(f, REFERENCE_ROWS, 0) for f in range(FEATURES)]
    present = [c[~np.isnan(c)] for c in raw]
    ours = [prepare_numeric(c) for c in raw]

    def floor(_feature: int, values: Column) -> float:
        np.sort(values)
        return float("nan")

    def scipy_loop(feature: int, values: Column) -> float:
        return float(stats.ks_2samp(present[feature], values[~np.isnan(values)], method="asymp").statistic)

    found: dict[str, Contestant] = {
        "floor: np.sort, column by column": floor,
        "retraind: exact KS + PSI + p": lambda f, values: compare(ours[f], values).distance,
    }
    if old := prototype():
        theirs = [old.Ref(c) for c in raw]

        def run(feature: int, values: Column) -> float:
            d, _, n, _ = old.column(theirs[feature], values)
            old.p_fast(d, n, theirs[feature].n)
            return float(d)

        found["prototype: exact KS + PSI + p"] = run
    found["scipy ks_2samp in a loop: KS + p"] = scipy_loop
    return found


def measure(found: dict[str, Contestant], rows: int) -> None:
    """One row of the table for each contestant."""
    seconds: dict[str, list[float]] = {name: [] for name in found}
    error = dict.fromkeys(found, 0.0)
    for round_ in range(ROUNDS):
        racing = {n: c for n, c in found.items() if not n.startswith("scipy") or round_ < SCIPY_ROUNDS}
        spent, worst = one_round(racing, rows)
        for name in racing:
            seconds[name].append(spent[name])
            error[name] = max(error[name], worst[name])
    floor = statistics.median(next(iter(seconds.values())))
    print(f"\n{rows:,} rows x {FEATURES} features      CPU s   x floor   worst error of D")
    for name, runs in seconds.items():
        cpu = statistics.median(runs)
        shown = "" if name.startswith("floor") else f"{error[name]:.1e}"
        print(f"  {name:<36} {cpu:7.3f} {cpu / floor:9.2f}   {shown}", flush=True)


def one_round(found: dict[str, Contestant], rows: int) -> tuple[dict[str, float], dict[str, float]]:
    """CPU seconds and worst error of D against scipy's (where it runs) over all features."""
    spent, worst = dict.fromkeys(found, 0.0), dict.fromkeys(found, 0.0)
    for feature in range(FEATURES):
        values = column(feature, rows, 1)
        d = {}
        for name in np.random.default_rng(feature).permutation(list(found)):  # who follows finds the caches warm
            began = time.process_time()
            d[name] = found[name](feature, values)
            spent[name] += time.process_time() - began
        true = next((d[name] for name in d if name.startswith("scipy")), float("nan"))
        for name in found:
            worst[name] = max(worst[name], float(np.nan_to_num(abs(d[name] - true))))
    return spent, worst


# ---- from file to verdict ----

PEERS = ("polars", "nannyml", "evidently")
SLOW = ("evidently", "scipy")
LIMIT = float(os.environ.get("RETRAIND_BENCH_LIMIT", "900"))
"""Seconds after which a tool is stopped, and that is told."""
Figures = dict[str, float | dict[str, float]]


def peers_python() -> Path | None:
    """The Python of an environment that has the other tools; made when RETRAIND_BENCH_PEERS names a folder without one."""
    folder = os.environ.get("RETRAIND_BENCH_PEERS")
    if not folder:
        return None
    python = Path(folder) / "bin" / "python"
    if not python.exists():
        print(f"making an environment for {', '.join(PEERS)} in {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        wanted = ["pandas<3", "pyarrow", "polars", "nannyml==0.13.1", "evidently==0.7.23"]
        subprocess.run([python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *wanted], check=True)
    return python


def checked(python: Path, tool: str, reference: Path, current: Path) -> Figures | str:
    """One check in a process of its own, or why there is none."""
    command = [str(python), str(Path(__file__).with_name("drift_peers.py")), tool, str(reference), str(current)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return f"over {LIMIT:.0f} s, stopped"
    if ran.returncode:
        return (ran.stderr.strip().splitlines() or [f"code {ran.returncode}"])[-1][:80]
    figures: Figures = json.loads(ran.stdout.splitlines()[-1])
    return figures


def from_file(rows: int, folder: Path) -> None:
    """One row of the second table for each contestant."""
    reference, current = folder / "reference.parquet", folder / f"current{rows}.parquet"
    for path, n, seed in ((reference, REFERENCE_ROWS, 0), (current, rows, 1)):
        if not path.exists():
            pq.write_table(pa.table({f"f{f:02d}": column(f, n, seed) for f in range(FEATURES)}), path, row_group_size=250_000)
    python, peers = Path(sys.executable), peers_python()
    racing = [(tool, python) for tool in ("read", "floor", "retraind", "scipy")]
    racing += [(tool, peers) for tool in PEERS if peers]
    failed: dict[str, str] = {} if peers else dict.fromkeys(PEERS, "not run: RETRAIND_BENCH_PEERS names no environment for it")
    runs: dict[str, list[Figures]] = {}
    quick = [(tool, by) for tool, by in racing if tool not in SLOW]
    for tool, by in [*ROUNDS * quick, *(slow for slow in racing if slow not in quick)]:
        if tool in failed:
            continue
        told = checked(by, tool, reference, current)
        if isinstance(told, str):
            failed[tool] = told
        else:
            runs.setdefault(tool, []).append(told)
    true = runs.get("scipy", [{}])[0].get("d", {})
    floor = _median(runs["floor"], "cpu")
    head = f"{rows:,} rows x {FEATURES} features, from file to verdict"
    print(f"\n{head:<57}CPU s   wall s x (read+sort)    peak MB   worst error of D")
    for tool in [tool for tool, _ in racing] + [tool for tool in failed if not peers and tool in PEERS]:
        if tool in failed:
            print(f"  {tool:<54} {failed[tool]}")
            continue
        cpu, wall, peak = (_median(runs[tool], key) for key in ("cpu", "wall", "peak"))
        ds = runs[tool][0]["d"]
        errors = [abs(d - true[n]) for n, d in ds.items()] if isinstance(ds, dict) and isinstance(true, dict) else []
        error = max(errors, default=None)
        shown = "" if error is None else f"{error:.1e}"
        print(f"  {tool:<54} {cpu:7.3f} {wall:8.3f} {cpu / floor:14.2f} {peak:10.0f}   {shown}", flush=True)


def _median(runs: list[Figures], key: str) -> float:
    return statistics.median(float(run[key]) for run in runs)  # type: ignore[arg-type]


def main() -> None:
    """Both tables for each number of rows."""
    wanted = [int(word) for word in sys.argv[1:]] or [10_000, 100_000, 1_000_000]
    everyone = contestants()
    one_round(everyone, 1_000)  # imports and first calls
    for rows in wanted:
        measure(everyone, rows)
    del everyone
    with tempfile.TemporaryDirectory() as folder:
        for rows in wanted:
            from_file(rows, Path(folder))


if __name__ == "__main__":
    main()
