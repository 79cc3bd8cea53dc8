"""How often drift rules ring, when nothing changed and when something did: ours beside five common ones.

    make bench-drift_decisions               all sizes; some minutes
    python bench/drift_decisions.py 200      drops of 200 rows only
    python bench/drift_decisions.py --quick  a tenth of the repeats; --repeats N: so many
    python bench/drift_decisions.py --world clustered    one world only

60 numeric and 4 categorical features. Statistics see only the order of numbers, so that all numeric features are normal, cut at
1,024 quantiles: a drop's counts are then drawn from a multinomial, which makes a million rows as quick as fifty and the figures
those of the library's own functions on such a sample. Three worlds: *independent* rows; *clustered* ones, whose week and each of
whose seven days have a shock of their own in each feature (0.3 and 0.2 sd); *correlated* features (0.8 between any two, by rows,
up to 10,000). The feature rules hold a drop against a fresh reference of 50,000 rows each time (10,000 where features are
correlated); the drop rule against the 8 drops before it, and ranks it among the 40 before (top 10 %), with every change put into
one drop of an unchanged history. "ours: damage" is missing values that jumped.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from retraind.drift.damage import Limits, missing_values
from retraind.drift.reference import CategoryReference, Difference, NumericReference, compare_counts, compare_sorted
from retraind.drift.statistics import Empirical, Sorted, bin_counts, quantile_edges
from retraind.drift.verdict import drop_rank, feature_verdicts

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
NUMERIC, CATEGORICAL, CELLS, REFERENCE = 60, 4, 1024, 50_000
GRID = special.ndtri((np.arange(CELLS) + 0.5) / CELLS)
CUTS = special.ndtri(np.arange(1, CELLS) / CELLS)
SHARES = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.03, 0.01, 0.0])
"""Of categories; the last is new."""
SIZES = {50: 200, 200: 200, 1_000: 200, 10_000: 60, 100_000: 20, 1_000_000: 6}
"""Rows of a drop: repeats."""
WORLDS = ("independent", "clustered", "correlated")
PAST, BEFORE = 40, 8
FDR, KS, PSI = 0.01, 0.1, 0.1


@dataclass(frozen=True)
class Change:
    """What is done to the first `numeric` features, or to the first category."""

    name: str
    numeric: int = 0
    shift: float = 0.0
    scale: float = 1.0
    tail: float = 0.0
    """Share of rows whose value is tripled."""
    new: float = 0.0
    """Share of rows in a category that was not there."""
    missing: float = 0.0
    """Share of values that are gone."""


CHANGES = (
    Change("nothing"),
    Change("all shifted by 0.02 sd (harmless)", NUMERIC, shift=0.02),
    Change("6 of 60 by 0.5 sd", 6, shift=0.5),
    Change("30 of 60 by 0.25 sd", 30, shift=0.25),
    Change("6 of 60 twice as wide", 6, scale=2.0),
    Change("6 of 60, 5 % of rows times 3", 6, tail=0.05),
    Change("new category 10 %", new=0.1),
    Change("6 of 60, 30 % missing", 6, missing=0.3),
)


def shares(shock: Floats, change: Change, feature: int) -> Floats:
    """The chance of each cell, shape (days, cells). shock: by day."""
    return _shares(tuple(shock.tolist()), change, feature < change.numeric)


@lru_cache(1024)
def _shares(shock: tuple[float, ...], change: Change, hit: bool) -> Floats:
    mean, width = np.array(shock) + (change.shift if hit else 0), change.scale if hit else 1.0
    cdf = special.ndtr((CUTS[None, :] - mean[:, None]) / width)
    if hit and change.tail:
        cdf = (1 - change.tail) * cdf + change.tail * special.ndtr((CUTS[None, :] - mean[:, None]) / 3)
    found = np.maximum(np.diff(cdf, axis=1, prepend=0, append=1), 0)
    return found / found.sum(axis=1, keepdims=True)


def drawn(random: np.random.Generator, rows: int, chances: Floats) -> Counts:
    """Rows a cell: a multinomial. A few rows are drawn one by one, which is quicker than a binomial a cell."""
    if rows > 4 * CELLS:
        return random.multinomial(rows, chances)
    return np.bincount(np.searchsorted(np.cumsum(chances)[:-1], random.random(rows), "right"), minlength=len(chances))


@dataclass(frozen=True)
class Drop:
    """A drop's counts."""

    numbers: list[Counts]
    categories: list[Counts]
    rows: int
    missing: int
    """Of the first feature."""


def drop(random: np.random.Generator, rows: int, change: Change, shocks: Floats) -> Drop:
    """shocks: by numeric feature and day, shape (NUMERIC, days)."""
    numbers, missing = [], 0
    for feature in range(NUMERIC):
        gone = random.binomial(rows, change.missing) if feature < change.numeric and change.missing else 0
        missing = gone if feature == 0 else missing
        days = shocks.shape[1]
        each = np.bincount(np.arange(rows - gone) % days, minlength=days) if days > 1 else np.array([rows - gone])
        p = shares(shocks[feature], change, feature)
        numbers.append(sum(drawn(random, int(n), q) for n, q in zip(each, p, strict=True)).astype(np.int64))
    categories = []
    for i in range(CATEGORICAL):
        q = SHARES * (1 - change.new) if i == 0 else SHARES.copy()
        q[-1] += change.new if i == 0 else 0
        categories.append(random.multinomial(rows, q / q.sum()).astype(np.int64))
    return Drop(numbers, categories, rows, missing)


def correlated(random: np.random.Generator, rows: int, change: Change, shocks: Floats) -> Drop:
    """The same by rows, any two numeric features correlated by 0.8."""
    del shocks
    common = random.standard_normal((rows, 1))
    x = np.sqrt(0.8) * common + np.sqrt(0.2) * random.standard_normal((rows, NUMERIC))
    x[:, : change.numeric] = x[:, : change.numeric] * change.scale + change.shift
    if change.tail:
        x[: int(change.tail * rows), : change.numeric] *= 3
    one = drop(random, rows, change, np.zeros((NUMERIC, 1)))
    gone = one.missing
    kept = [x[gone if f < change.numeric else 0 :, f] for f in range(NUMERIC)]
    cells = [np.bincount(np.searchsorted(CUTS, values, "right"), minlength=CELLS).astype(np.int64) for values in kept]
    return Drop(cells, one.categories, rows, gone)


def shocks(random: np.random.Generator, world: str) -> Floats:
    """Of one drop."""
    if world != "clustered":
        return np.zeros((NUMERIC, 1))
    return 0.3 * random.standard_normal((NUMERIC, 1)) + 0.2 * random.standard_normal((NUMERIC, 7))


def pooled(drops: list[Drop]) -> Drop:
    """Several drops as one."""
    return Drop(
        [sum(d.numbers[f] for d in drops) for f in range(NUMERIC)],  # type: ignore[misc]
        [sum(d.categories[c] for d in drops) for c in range(CATEGORICAL)],  # type: ignore[misc]
        sum(d.rows for d in drops),
        0,
    )


def prepared(counts: Counts) -> NumericReference:
    """The library's reference of a sample with these counts."""
    held = counts > 0
    distribution = Empirical.of(GRID[held], np.concatenate(([0], np.cumsum(counts[held]))))
    edges = quantile_edges(distribution)
    return NumericReference(distribution, edges, bin_counts(Sorted(np.repeat(GRID, counts)), edges), 0)


@dataclass(frozen=True)
class Reference:
    """A drop that others are held against, prepared once."""

    of: Drop
    numbers: list[NumericReference]


def reference_of(held: Drop) -> Reference:
    return Reference(held, [prepared(counts) for counts in held.numbers])


def differences(reference: Reference, current: Drop) -> list[Difference]:
    """Of every feature."""
    found = [
        compare_sorted(a, Sorted(np.repeat(GRID, b)), int(b.sum()))
        for a, b in zip(reference.numbers, current.numbers, strict=True)
    ]
    for a, b in zip(reference.of.categories, current.categories, strict=True):
        before, now = ({str(i): int(n) for i, n in enumerate(side) if n} for side in (a, b))
        found.append(compare_counts(CategoryReference(before, 0), CategoryReference(now, 0)))
    return found


def psi_with_floor(reference: Counts, current: Counts) -> float:
    """As most tools have it: ten quantiles, empty bins at 1e-4."""
    starts = np.unique(np.searchsorted(np.cumsum(reference), reference.sum() * np.arange(10) / 10, "right"))
    r, c = (np.maximum(np.add.reduceat(side, starts) / side.sum(), 1e-4) for side in (reference, current))
    return float(((c - r) * np.log(c / r)).sum())


def fired(held: Reference, current: Drop) -> dict[str, bool]:
    """Which feature rules ring."""
    found, reference = differences(held, current), held.of
    p = np.array([d.p_distance for d in found])
    psi = np.array([psi_with_floor(a, b) for a, b in zip(reference.numbers, current.numbers, strict=True)]
                   + [psi_with_floor(a + 0, b) for a, b in zip(reference.categories, current.categories, strict=True)])  # fmt: skip
    ours = feature_verdicts(found, fdr=FDR, ks=KS, psi=PSI)
    gone = missing_values("x", (0, reference.rows), (current.missing, current.rows), Limits())
    return {
        "any KS p < 0.05": bool((p < 0.05).any()),
        "any PSI > 0.2": bool((psi > 0.2).any()),
        "over 25 % of features": bool(((p < 0.05) | (psi > 0.2)).mean() > 0.25),
        "half of the features p < 0.05": bool((p < 0.05).mean() >= 0.5),
        "Benjamini-Hochberg 1 %": any(v.real for v in ours),
        "ours: real and large": any(v.changed for v in ours),
        "ours: damage": gone is not None,
    }


def drifts(past: list[Floats], reference: Reference, current: Drop) -> bool:
    """The drop rule."""
    found = differences(reference, current)
    verdicts = feature_verdicts(found, fdr=FDR, ks=KS, psi=PSI)
    noise = 1.2238 * np.sqrt(1 / current.rows + 1 / reference.of.rows)
    return drop_rank([d.distance for d in found], np.array(past), [v.changed for v in verdicts], rank=0.1, min_past=30,
                     floor=float(noise)).drifting  # fmt: skip


Maker = Callable[[np.random.Generator, int, Change, Floats], Drop]


def measure(world: str, rows: int, repeats: int) -> None:
    """One table: a row a change, a column a rule, percent of drops on which it rings."""
    random = np.random.default_rng((rows, len(world)))
    make: Maker = correlated if world == "correlated" else drop
    nothing = CHANGES[0]
    rings: dict[str, dict[str, list[bool]]] = {c.name: {} for c in CHANGES}
    for _ in range(repeats):
        rows_before = REFERENCE if world != "correlated" else 10_000
        reference = reference_of(make(random, rows_before, nothing, np.zeros((NUMERIC, 1))))
        now = shocks(random, world)
        for change in CHANGES:
            for rule, rang in fired(reference, make(random, rows, change, now)).items():
                rings[change.name].setdefault(rule, []).append(rang)
    history = [make(random, rows, nothing, shocks(random, world)) for _ in range(BEFORE)]
    past: list[Floats] = []
    for i in range(PAST + repeats):
        before, now = reference_of(pooled(history[-BEFORE:])), shocks(random, world)
        if i >= PAST:
            for change in CHANGES:
                rang = drifts(past[-PAST:], before, make(random, rows, change, now))
                rings[change.name].setdefault("ours: drop drifts", []).append(rang)
        history = [*history[1:], make(random, rows, nothing, now)]
        past.append(np.array([d.distance for d in differences(before, history[-1])]))
    rules = list(rings[nothing.name])
    print(f"\n### {world}, drops of {rows:,} rows, {repeats} repeats: rings on so many percent\n")
    print("| change | " + " | ".join(rules) + " |\n|---|" + "---|" * len(rules))
    for change in CHANGES:
        shown = " | ".join(f"{100 * np.mean(rings[change.name][rule]):.3g}" for rule in rules)
        print(f"| {change.name} | {shown} |", flush=True)


def main() -> None:
    """All worlds and sizes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--world", choices=WORLDS)
    told = parser.parse_args()
    for world in [told.world] if told.world else WORLDS:
        for rows in told.rows:
            if world != "correlated" or rows <= 10_000:
                repeats = told.repeats or SIZES.get(rows, 50) // (10 if told.quick else 1)
                measure(world, rows, max(3, repeats))


if __name__ == "__main__":
    main()
