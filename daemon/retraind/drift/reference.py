"""A column's reference: what a sample is held against, prepared once. `saved` keeps it as bytes.

Numbers keep their whole empirical distribution (so that D is exact) and the bins of PSI; categories keep their counts.
`compare` holds a sample against a reference and returns figures; what they mean is `verdict`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
import numpy.typing as npt

from retraind.drift.statistics import (
    Counts,
    Empirical,
    Floats,
    Sorted,
    adequate_bins,
    bin_counts,
    chi_squared,
    empirical,
    kolmogorov_smirnov,
    ks_p_value,
    population_stability_index,
    psi_p_value,
    quantile_edges,
    sort_present,
    total_variation,
)

__all__ = [
    "CategoryReference",
    "Difference",
    "NumericReference",
    "Reference",
    "compare",
    "compare_counts",
    "compare_sorted",
    "distance",
    "prepare_categories",
    "prepare_numeric",
    "prepare_sorted",
]

@dataclass(frozen=True)
class NumericReference:
    """A column of numbers."""

    sample: Empirical
    edges: Floats
    """Inner edges of PSI's bins, shape (bins - 1,)."""
    counts: Counts
    """The reference's own rows per bin, shape (bins,)."""
    missing: int


@dataclass(frozen=True)
class CategoryReference:
    """A column of categories."""

    counts: Mapping[str, int]
    missing: int


Reference = NumericReference | CategoryReference


@dataclass(frozen=True)
class Difference:
    """How a sample differs from a reference. NaN where the sample or the reference has no value at all."""

    distance: float
    """D of numbers; the total variation distance of categories. 0 to 1."""
    psi: float
    p_distance: float
    """Of D (Kolmogorov-Smirnov), or of Pearson's chi-squared."""
    p_psi: float
    rows: int
    """Rows of the sample that hold a value."""
    missing: float
    """Share of the sample's rows that hold none; NaN of no rows."""
    error: float = 0.0
    """How far off `distance` may be: 0 where both sides were held whole."""

    @property
    def p(self) -> float:
        """min(1, 2 min(p_distance, p_psi)): Bonferroni over the two tests of one feature."""
        return float(np.minimum(1.0, 2 * np.fmin(self.p_distance, self.p_psi)))


def prepare_numeric(values: npt.ArrayLike, *, bins: int = 10) -> NumericReference:
    """The reference of a column of numbers, shape (rows,); NaN is missing. PSI's bins are its quantiles."""
    return prepare_sorted(sort_present(values), np.size(values), bins=bins)


def prepare_sorted(sample: Sorted, rows: int, *, bins: int = 10) -> NumericReference:
    """The reference of a column that is sorted already. rows: with those that hold no value."""
    distribution = empirical(sample)
    edges = quantile_edges(distribution, bins)
    return NumericReference(distribution, edges, bin_counts(sample, edges), rows - len(sample))


def prepare_categories(values: Iterable[str | float | None]) -> CategoryReference:
    """The reference of a column of categories; None and NaN are missing."""
    return CategoryReference(*_count(values))


def distance(reference: Reference, values: npt.ArrayLike | Sequence[str | float | None]) -> float:
    """D, or the total variation distance, alone: the figure that past windows are ranked by. NaN of nothing."""
    if isinstance(reference, NumericReference):
        return kolmogorov_smirnov(reference.sample, sort_present(np.asarray(values, dtype=np.float64)))
    theirs, ours = _aligned(reference.counts, _count(np.asarray(values, dtype=object))[0])
    return total_variation(theirs, ours) if theirs.sum() and ours.sum() else float("nan")


def compare(reference: Reference, values: npt.ArrayLike | Sequence[str | float | None]) -> Difference:
    """Hold a sample, shape (rows,), against a reference of the same column."""
    if isinstance(reference, NumericReference):
        return _compare_numbers(reference, np.asarray(values, dtype=np.float64))
    return compare_counts(reference, prepare_categories(np.asarray(values, dtype=object)))


def _compare_numbers(reference: NumericReference, values: Floats) -> Difference:
    return compare_sorted(reference, sort_present(values), values.size)


def compare_sorted(reference: NumericReference, current: Sorted, rows: int) -> Difference:
    """Hold a sample that is sorted already against a reference. rows: with those that hold no value."""
    n, m = reference.sample.rows, len(current)
    missing = (rows - m) / rows if rows else float("nan")
    if not n or not m:
        return Difference(float("nan"), float("nan"), float("nan"), float("nan"), m, missing)
    d = kolmogorov_smirnov(reference.sample, current)
    joined = adequate_bins(reference.counts, min(n, m))
    psi, p_psi = _psi(reference.counts, bin_counts(current, reference.edges), n, m, joined)
    return Difference(d, psi, ks_p_value(d, n, m), p_psi, m, missing)


def compare_counts(reference: CategoryReference, current: CategoryReference) -> Difference:
    """Hold the counts of one sample against those of another, where counting is cheaper than keeping the rows."""
    theirs, ours = _aligned(reference.counts, current.counts)
    n, m = int(theirs.sum()), int(ours.sum())
    rows = m + current.missing
    missing = current.missing / rows if rows else float("nan")
    if not n or not m:
        return Difference(float("nan"), float("nan"), float("nan"), float("nan"), m, missing)
    joined = adequate_bins(theirs + ours, min(n, m))
    psi, p_psi = _psi(theirs, ours, n, m, joined)
    test = chi_squared(np.add.reduceat(theirs, joined), np.add.reduceat(ours, joined))
    return Difference(total_variation(theirs, ours), psi, test.p, p_psi, m, missing)


def _psi(reference: Counts, current: Counts, n: int, m: int, starts: npt.NDArray[np.intp]) -> tuple[float, float]:
    """PSI of samples of n and m rows over bins joined where `starts` says, and its p."""
    if len(starts) < len(reference):
        reference, current = np.add.reduceat(reference, starts), np.add.reduceat(current, starts)
    psi = population_stability_index(reference, current)
    return psi, psi_p_value(psi, len(starts), n, m)


def _count(values: Iterable[str | float | None]) -> tuple[dict[str, int], int]:
    """Rows per category, and missing rows."""
    counts: Counter[str] = Counter()
    absent = 0
    for value, rows in Counter(values.tolist() if isinstance(values, np.ndarray) else values).items():
        if value is None or (isinstance(value, float) and isnan(value)):
            absent += rows
        else:
            counts[str(value)] += rows
    return dict(counts), absent


def _aligned(reference: Mapping[str, int], current: Mapping[str, int]) -> tuple[Counts, Counts]:
    """Counts over the categories of both, the frequent ones first, so that rare ones are neighbours and join."""
    both = sorted(reference.keys() | current.keys(), key=lambda c: (-reference.get(c, 0) - current.get(c, 0), c))
    return tuple(np.array([side.get(c, 0) for c in both], dtype=np.int64) for side in (reference, current))  # type: ignore[return-value]
