"""Drift of 90 features against a prepared reference: ours beside sorting, scipy's loop and our own prototype.

    make bench-drift                 10,000, 100,000 and 1,000,000 rows; about two minutes
    python bench/drift.py 10000      only that many

Prints CPU seconds for all 90 columns in memory (median of three rounds), the ratio to the floor, and the worst error of D
against scipy's. The floor sorts each column once and drops it. Every contestant gets the same columns, one after another,
made outside the timing, so that memory stays at a column and no page fault is anybody's gain. Reference: 100,000 rows.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
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


if __name__ == "__main__":
    everyone = contestants()
    one_round(everyone, 1_000)  # imports and first calls
    for wanted in map(int, sys.argv[1:] or ["10000", "100000", "1000000"]):
        measure(everyone, wanted)
