"""The field's two-sample statistics on plain arrays, exact and quick.

NaN is missing and not a value: it is dropped by `sort_present` before anything is compared. Infinities are values like
others. Nothing here judges; limits and families of features are `verdict`'s.

Sources: Kolmogorov (1933) and Smirnov (1948); Stephens (1970), J. R. Stat. Soc. B 32, for the finite-sample correction;
Yurdakul and Naranjo (2020), J. Risk Model Validation 14, for PSI's distribution; Cochran (1954), Biometrics 10, for the
expected count a cell needs; Benjamini and Hochberg (1995), J. R. Stat. Soc. B 57; Lin (1991), IEEE Trans. Inf. Theory 37,
and Endres and Schindelin (2003), ibid. 49, for the Jensen-Shannon distance; Vallender (1974), Theory Probab. Appl. 18, for
Wasserstein's on the line; Epstein (1954), Ann. Math. Stat. 25, for the number of exceedances.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import NamedTuple, NewType

import numpy as np
import numpy.typing as npt

from retraind.drift.laws import chi_squared_tail, exceedance_tail, kolmogorov_tail

__all__ = [
    "ChiSquared",
    "Counts",
    "Empirical",
    "Floats",
    "Sorted",
    "Tail",
    "adequate_bins",
    "benjamini_hochberg",
    "bin_counts",
    "chi_squared",
    "empirical",
    "exceedance_p_value",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "ks_p_value",
    "population_stability_index",
    "psi_p_value",
    "quantile_edges",
    "sort_present",
    "tails",
    "total_variation",
    "wasserstein",
]

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Sorted = NewType("Sorted", npt.NDArray[np.float64])
"""Ascending, without NaN: what `sort_present` returns."""

_GRID = 512
"""Points of the reference at which a sample is looked up first."""
_SPLIT = 8
"""Into how many parts a block that may hold the largest gap is cut."""
_FEW = 4096
"""So many rows are looked up one by one, which costs less than another round of cuts."""
_LEAST_EXPECTED = 5
"""Rows a bin must expect, for the chi-squared law of PSI to hold (Cochran's rule of thumb)."""


def sort_present(values: npt.ArrayLike, *, in_place: bool = False) -> Sorted:
    """The values that are there, ascending, shape (present,); NaN is dropped.

    Whole numbers beyond 2**53 lose digits: they are compared as float64. in_place: an array of float64 that may be
    written to is sorted where it lies, which takes no memory.
    """
    ascending = np.asarray(values, dtype=np.float64).ravel()
    if in_place and ascending.flags.writeable:
        ascending.sort()
    else:
        ascending = np.sort(ascending)
    if ascending.size and np.isnan(ascending[-1]):
        ascending = ascending[: int(np.searchsorted(ascending, np.nan))]
    return Sorted(ascending)


@dataclass(frozen=True)
class Empirical:
    """The empirical distribution function of a sample, prepared for `kolmogorov_smirnov`."""

    values: Floats
    """Distinct and ascending, shape (distinct,)."""
    below: Counts
    """Shape (distinct + 1,): below[i] rows are smaller than values[i]; the last is the number of rows."""
    grid: _Points = field(repr=False)
    """About evenly spaced by rows, with both ends."""

    @property
    def rows(self) -> int:
        """How many rows, ties counted."""
        return int(self.below[-1])

    @classmethod
    def of(cls, values: Floats, below: Counts) -> Empirical:
        """From distinct values and cumulative counts."""
        at = np.arange(len(values))
        if len(values) > _GRID:
            evenly = np.searchsorted(below[1:], np.linspace(1, below[-1], _GRID))
            at = np.unique(np.append(evenly, [0, len(values) - 1]))
        return cls(values, below, _Points.of(values, below, at))


@dataclass(frozen=True)
class _Points:
    """Some of a distribution's distinct values."""

    at: npt.NDArray[np.intp]
    """Their indices."""
    values: Floats
    up_to: Counts
    """Rows up to each."""
    below: Counts
    """Rows below each."""

    @classmethod
    def of(cls, values: Floats, below: Counts, at: npt.NDArray[np.intp]) -> _Points:
        return cls(at, values[at], below[at + 1], below[at])


def empirical(sample: Sorted) -> Empirical:
    """The empirical distribution of a sample. O(rows)."""
    last = np.flatnonzero(np.append(sample[1:] != sample[:-1], True)) if sample.size else np.zeros(0, np.intp)
    return Empirical.of(sample[last], np.concatenate(([0], last + 1)).astype(np.int64))


def kolmogorov_smirnov(reference: Empirical, current: Sorted) -> float:
    """The two-sample Kolmogorov-Smirnov statistic D = sup |F_reference - F_current|, exact, ties and all.

    NaN when either sample is empty. Between two reference values F_reference is constant and F_current monotone, so the
    largest gap lies at a reference value or just below one; likewise at a current one. F_current is looked up on a grid
    of reference values first; a block between two grid points is looked into only while its bound beats the best gap
    (branch and bound): at all its current rows once they are few. All arithmetic is on whole numbers, in units of
    1 / (n m), until the last division.
    """
    n, m = len(current), reference.rows
    if not n or not m:
        return float("nan")
    grid = reference.grid
    best, at_most, under = _gaps(grid, current, m)
    block = _Blocks(grid.at[:-1], grid.at[1:], grid.up_to[:-1], grid.below[1:], at_most[:-1], under[1:])
    while True:
        # inside a block the reference's rows lie in first..last and the current ones in low..high: no gap is larger
        bound = np.maximum((block.last * n) - block.low * m, block.high * m - block.first * n)
        open_ = (bound > best) & (block.end - block.start > 1)
        if not open_.any():
            return float(best / (n * m))
        block = _Blocks(*(part[open_] for part in block))
        inside = block.high - block.low
        if inside.sum() <= _FEW:
            return float(max(best, _gaps_inside(reference, current, block.low, inside)) / (n * m))
        inner = block.start[:, None] + ((block.end - block.start)[:, None] * np.arange(1, _SPLIT)) // _SPLIT
        points = _Points.of(reference.values, reference.below, inner)
        found, at_most, under = _gaps(points, current, m)
        best = max(best, found)
        block = _Blocks(
            _beside(block.start[:, None], inner),
            _beside(inner, block.end[:, None]),
            _beside(block.first[:, None], points.up_to),
            _beside(points.below, block.last[:, None]),
            _beside(block.low[:, None], at_most),
            _beside(under, block.high[:, None]),
        )


class _Blocks(NamedTuple):
    """What lies strictly between two of the reference's values, for each pair of them."""

    start: npt.NDArray[np.intp]
    end: npt.NDArray[np.intp]
    """Indices of the two values."""
    first: Counts
    last: Counts
    """Reference rows up to the first value, and below the second."""
    low: Counts
    high: Counts
    """Current rows likewise."""


def _gaps(points: _Points, current: Sorted, m: int) -> tuple[int, Counts, Counts]:
    """The largest gap at and just below some reference values, and the current rows up to and below each."""
    n = len(current)
    under = current.searchsorted(points.values)
    at_most = under.copy()
    tied = current.take(under, mode="clip") == points.values  # few: only those are looked up again
    if tied.any():
        at_most[tied] = current.searchsorted(points.values[tied], "right")
    return _largest(points.up_to * n - at_most * m, points.below * n - under * m), at_most, under


def _gaps_inside(reference: Empirical, current: Sorted, low: Counts, inside: Counts) -> int:
    """The largest gap at and just below the current rows of some blocks: `inside` of them from row `low` on, ascending."""
    n, m = len(current), reference.rows
    if not inside.any():
        return 0
    row = np.arange(inside.sum()) + np.repeat(low - np.cumsum(inside) + inside, inside)
    values = current[row]
    under = reference.values.searchsorted(values)
    at_most = under + (reference.values[under] == values)  # no block reaches beyond the last reference value
    # of equal rows the last one counts all up to the value, and the first one all below it
    differs = values[1:] != values[:-1]
    last, first = np.append(differs, True), np.append(True, differs)
    return _largest((reference.below[at_most] * n - (row + 1) * m)[last], (reference.below[under] * n - row * m)[first])


def _largest(upper: Counts, lower: Counts) -> int:
    """The largest size of any of them."""
    return int(max(upper.max(), -upper.min(), lower.max(), -lower.min()))


def _beside(left: npt.NDArray[np.intp], right: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Two blocks of columns side by side, read row after row."""
    return np.concatenate((left, right), axis=1).ravel()


def ks_p_value(d: float, n: int, m: int) -> float:
    """The chance of a D at least so large between samples of n and m rows of one continuous distribution.

    Kolmogorov's limit law with Stephens's correction: Q((sqrt(e) + 0.12 + 0.11 / sqrt(e)) D), e = n m / (n + m). With
    ties it is too large (conservative). NaN when D is. Raises ValueError when a sample is empty and D is not NaN.
    """
    if np.isnan(d):
        return float("nan")
    if n < 1 or m < 1:
        raise ValueError("a D between samples needs rows in both")
    root = sqrt(n * m / (n + m))
    return kolmogorov_tail(d * (root + 0.12 + 0.11 / root))


def quantile_edges(reference: Empirical, bins: int = 10) -> Floats:
    """Inner edges, shape (up to bins - 1,), that cut the reference into about equal bins; a bin includes its edge.

    Ties make fewer and unequal bins; a constant has one bin and no edge.
    """
    if not reference.rows:
        return np.zeros(0)
    rows = -(-reference.rows * np.arange(1, bins) // bins)
    at = np.unique(np.searchsorted(reference.below[1:], rows))
    return reference.values[at[at < len(reference.values) - 1]]


def bin_counts(sample: Sorted, edges: Floats) -> Counts:
    """Rows per bin, shape (edges + 1,): up to and with the first edge, ..., beyond the last."""
    up_to = sample.searchsorted(edges, "right")
    counts = np.empty(len(edges) + 1, np.int64)
    counts[:-1], counts[-1] = up_to, len(sample)
    counts[1:] -= up_to
    return counts


def adequate_bins(reference: Counts, smaller: int) -> npt.NDArray[np.intp]:
    """Where to start each merged bin so that the smaller sample expects at least 5 rows in it, shape (merged,).

    reference: counts per bin, shape (bins,). smaller: rows of the smaller sample. Merge with
    `np.add.reduceat(counts, starts)`. Neighbours are joined from the left; what is left over joins the last.
    """
    counts = reference.tolist()
    needed = _LEAST_EXPECTED * sum(counts) / smaller if smaller else np.inf
    starts, held = [0], 0
    for i, count in enumerate(counts):
        if held >= needed:
            starts.append(i)
            held = 0
        held += count
    if held < needed and len(starts) > 1:
        starts.pop()
    return np.array(starts, dtype=np.intp)


def _shares(reference: Counts, current: Counts, least: float) -> tuple[Floats, Floats]:
    """Shares per bin of both, `least` rows added to each. Raises ValueError."""
    if reference.shape != current.shape:
        raise ValueError(f"counts of {reference.shape} and of {current.shape} bins are not comparable")
    rows, ours = reference.sum(), current.sum()
    if not rows or not ours:
        raise ValueError("no rows are counted")
    added = least * len(reference)
    return (reference + least) / (rows + added), (current + least) / (ours + added)


def population_stability_index(reference: Counts, current: Counts) -> float:
    """PSI between two binned samples: sum((c - r) * ln(c / r)) over bins.

    reference, current: counts per bin, shape (bins,). Half a row is added to every bin of both, so that an empty bin
    stays finite and PSI's null distribution holds from small samples on. Returns nats; 0 means equal shares. Raises
    ValueError if the shapes differ or a total is 0.
    """
    r, c = _shares(reference, current, 0.5)
    return float((c - r) @ np.log(c / r))


def psi_p_value(psi: float, bins: int, n: int, m: int) -> float:
    """The chance of a PSI at least so large between samples of n and m rows of one distribution.

    PSI / (1/n + 1/m) is about chi-squared with bins - 1 degrees of freedom (Yurdakul and Naranjo 2020). 1 with a single
    bin, which cannot differ. Raises ValueError when a sample is empty.
    """
    if n < 1 or m < 1:
        raise ValueError("a PSI between samples needs rows in both")
    return chi_squared_tail(psi / (1 / n + 1 / m), bins - 1) if bins > 1 else 1.0


def total_variation(reference: Counts, current: Counts) -> float:
    """Half the summed absolute difference of shares: the largest difference over all sets of categories.

    It is to categories what D is to numbers. 0 to 1. Raises ValueError if the shapes differ or a total is 0.
    """
    r, c = _shares(reference, current, 0)
    return float(np.abs(c - r).sum() / 2)


def jensen_shannon(reference: Counts, current: Counts) -> float:
    """The Jensen-Shannon distance between two binned samples: the root of the divergence, to base 2, 0 to 1; a metric.

    reference, current: counts per bin, shape (bins,). Divergence: (KL(r, a) + KL(c, a)) / 2 with a = (r + c) / 2 (Lin 1991).
    Raises ValueError if the shapes differ or a total is 0.
    """
    r, c = _shares(reference, current, 0)
    middle = (r + c) / 2
    divergence = (_relative_entropy(r, middle) + _relative_entropy(c, middle)) / (2 * np.log(2))
    return float(np.sqrt(np.clip(divergence, 0, 1)))


def _relative_entropy(p: Floats, q: Floats) -> float:
    """Kullback and Leibler's, of shares; an empty bin adds nothing."""
    held = p > 0
    return float(p[held] @ np.log(p[held] / q[held]))


def wasserstein(reference: Empirical, current: Sorted) -> float:
    """The first Wasserstein distance, in the column's own unit: the integral of |F_reference - F_current| (Vallender 1974).

    NaN when either sample is empty; infinite when one holds more of an infinity than the other. O(rows).
    """
    if not len(current) or not reference.rows:
        return float("nan")
    points = np.union1d(reference.values, current)
    shares = reference.below[np.searchsorted(reference.values, points, side="right")] / reference.rows
    gaps = np.abs(shares - np.searchsorted(current, points, side="right") / len(current))[:-1]
    apart = gaps > 0
    return float((gaps[apart] * np.diff(points)[apart]).sum())


def exceedance_p_value(beyond: int, k: int, n: int, m: int) -> float:
    """The chance that at least `beyond` of m new values lie beyond the k-th most extreme of n, all of one distribution.

    P(J = j) = C(j + k - 1, j) C(n + m - k - j, m - j) / C(n + m, m), whatever the distribution is if it is continuous
    (Epstein 1954); with ties, counting those strictly beyond, it is too large (conservative). Raises ValueError unless
    1 <= k <= n and 0 <= beyond <= m.
    """
    if not (1 <= k <= n and 0 <= beyond <= m):
        raise ValueError(f"of {m} values {beyond} cannot lie beyond the {k}th of {n}")
    return exceedance_tail(beyond, k, n, m)


@dataclass(frozen=True)
class Tail:
    """What of a sample lies beyond an extreme quantile of the reference, and beyond its range."""

    limit: float
    """The k-th smallest or largest reference value."""
    expected: float
    """k / (n + 1): the share of new values beyond it when nothing changed."""
    share: float
    """Of the sample's values beyond the limit."""
    p: float
    """Of so many or more: see `exceedance_p_value`."""
    beyond_range: float
    """Share of the sample's values beyond every reference value."""


def tails(
    reference: Empirical, current: Sorted, quantile: float = 0.01, *, p_values: bool = True
) -> tuple[Tail, Tail] | None:
    """The lower and the upper tail of a sample against a reference's extreme quantiles; None when either is empty.

    A change in the tails alone moves D by less than `quantile`, so that no limit on D or PSI finds it. p_values: the exact
    ones, which take time in proportion to the rows; else NaN.
    """
    n, m = reference.rows, len(current)
    if not n or not m:
        return None
    k = max(1, int(quantile * n))
    values, up_to = reference.values, reference.below[1:]
    lower, upper = values[np.searchsorted(up_to, k)], values[np.searchsorted(up_to, n - k + 1)]
    below, under_all = np.searchsorted(current, [lower, values[0]], side="left")
    above, over_all = m - np.searchsorted(current, [upper, values[-1]], side="right")

    def tail(limit: float, beyond: int, outside: int) -> Tail:
        p = exceedance_p_value(beyond, k, n, m) if p_values else float("nan")
        return Tail(float(limit), k / (n + 1), beyond / m, p, outside / m)

    return tail(lower, int(below), int(under_all)), tail(upper, int(above), int(over_all))


@dataclass(frozen=True)
class ChiSquared:
    """Pearson's test of homogeneity."""

    statistic: float
    degrees: int
    p: float


def chi_squared(reference: Counts, current: Counts) -> ChiSquared:
    """Pearson's chi-squared that two rows of counts, shape (categories,), come from the same shares.

    Categories empty in both do not count. p is 1 when one category is left. Cells that expect few rows make p
    unreliable: join them first. Raises ValueError if the shapes differ or a total is 0.
    """
    _shares(reference, current, 0)
    table = np.stack((reference, current)).astype(np.float64)
    table = table[:, table.sum(0) > 0]
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    statistic, degrees = float(((table - expected) ** 2 / expected).sum()), table.shape[1] - 1
    return ChiSquared(statistic, degrees, chi_squared_tail(statistic, degrees) if degrees else 1.0)


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """p-values, shape (tests,), adjusted for the family's false discovery rate; NaN is not tested and stays out of it.

    Reject where the adjusted value is at most the rate wanted: p_(i) * k / i, made monotone from the largest down.
    """
    raw = np.asarray(p, dtype=np.float64)
    adjusted = np.full(raw.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(raw))
    order = tested[np.argsort(raw[tested])]
    stepped = raw[order] * len(order) / np.arange(1, len(order) + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1.0)
    return adjusted
