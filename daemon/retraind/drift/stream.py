"""Distributions too large to hold: counted at fixed points, chunk by chunk, with the error of D stated.

A summary keeps some points of a distribution and, exactly, how many rows lie below and up to each. Between two points it
knows only these counts, so that D between two summaries at the same points is known from both sides: at least the largest
gap at a point, at most the largest gap that the counts on both sides of a block allow. PSI is exact: its edges are counted
exactly. With the 4,096 points of a whole reference D is known to about 1/4,096 (twice that where both sides are summaries).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retraind.drift.reference import Difference, NumericReference, prepare_numeric
from retraind.drift.statistics import (
    Counts,
    Floats,
    adequate_bins,
    bin_counts,
    ks_p_value,
    population_stability_index,
    psi_p_value,
    sort_present,
)

__all__ = ["POINTS", "Summary", "Tally", "bounds", "compare_summaries", "points_of", "sampled", "summarize"]

POINTS = 4096
_SAMPLE = 1_000_000
"""Rows of a stream from which its points are chosen."""


@dataclass(frozen=True)
class Summary:
    """A distribution at some points."""

    points: Floats
    """Ascending, shape (points,)."""
    up_to: Counts
    """Rows up to each point."""
    below: Counts
    """Rows below each point."""
    edges: Floats
    """Inner edges of PSI's bins."""
    counts: Counts
    """Rows per bin, shape (edges + 1,)."""
    rows: int
    """That hold a value."""
    missing: int

    @property
    def error(self) -> float:
        """How much of the distribution lies between two neighbouring points at most: D against any sample is that exact."""
        if not self.rows:
            return 0.0
        return float(_inside(self).max() / self.rows)


class Tally:
    """Counts a stream of values at the points and edges of a reference."""

    def __init__(self, points: Floats, edges: Floats) -> None:
        self._points, self._edges = points, edges
        self._up_to, self._below = np.zeros(len(points), np.int64), np.zeros(len(points), np.int64)
        self._counts = np.zeros(len(edges) + 1, np.int64)
        self._rows = self._missing = 0

    def add(self, values: npt.ArrayLike) -> Tally:
        """Count these, shape (rows,); NaN is missing. Returns itself."""
        current = sort_present(values)
        self._rows += len(current)
        self._missing += int(np.size(values)) - len(current)
        self._up_to += current.searchsorted(self._points, "right")
        self._below += current.searchsorted(self._points, "left")
        self._counts += bin_counts(current, self._edges)
        return self

    def summary(self) -> Summary:
        """Of all that was added."""
        return Summary(
            self._points, self._up_to.copy(), self._below.copy(), self._edges, self._counts.copy(), self._rows, self._missing
        )


def points_of(reference: NumericReference, most: int = POINTS) -> Floats:
    """The points at which samples are counted: all distinct values where they are few, else evenly by rows with both ends."""
    values, below = reference.sample.values, reference.sample.below
    if len(values) <= most:
        return values
    evenly = np.searchsorted(below[1:], np.linspace(1, below[-1], most))
    points: Floats = values[np.unique(np.append(evenly, [0, len(values) - 1]))]
    return points


def summarize(reference: NumericReference, most: int = POINTS) -> Summary:
    """A whole reference at up to `most` points: exact where it has no more distinct values."""
    points, sample = points_of(reference, most), reference.sample
    at = np.searchsorted(sample.values, points)
    up_to, below = (sample.below[at + 1], sample.below[at]) if len(points) else (np.zeros(0, np.int64), np.zeros(0, np.int64))
    return Summary(points, up_to, below, reference.edges, reference.counts, sample.rows, reference.missing)


def sampled(chunks: Iterable[npt.ArrayLike], rows: int, *, bins: int = 10, most: int = POINTS) -> tuple[Floats, Floats]:
    """The points and edges for a stream of about `rows` values, from every k-th of them, its smallest and its largest."""
    step = max(1, rows // _SAMPLE)
    kept, ends = [], []
    for chunk in chunks:
        values = np.asarray(chunk, np.float64)
        kept.append(values[::step])
        present = values[~np.isnan(values)]
        ends += [present.min(), present.max()] if len(present) else []
    prepared = prepare_numeric(np.concatenate([*kept, np.array(ends)]) if kept else np.zeros(0), bins=bins)
    return points_of(prepared, most), prepared.edges


def bounds(reference: Summary, current: Summary) -> tuple[float, float]:
    """The least and the largest D that two summaries at the same points allow. NaN when either is empty.

    Raises ValueError when the points differ.
    """
    if not np.array_equal(reference.points, current.points):
        raise ValueError("two summaries are comparable at the same points only")
    n, m = reference.rows, current.rows
    if not n or not m:
        return float("nan"), float("nan")
    r_up, r_below = reference.up_to / n, reference.below / n
    c_up, c_below = current.up_to / m, current.below / m
    least = max(np.abs(r_up - c_up).max(initial=0), np.abs(r_below - c_below).max(initial=0))
    # between two points a distribution lies between its counts up to the left one and below the right one; where only one
    # of the two has rows there, the other is constant and the largest gap stands at an end, which is a point
    widest = np.maximum(np.append(r_below, 1) - np.append(0, c_up), np.append(c_below, 1) - np.append(0, r_up))
    open_ = (_inside(reference) > 0) & (_inside(current) > 0)
    most = widest[open_].max(initial=0)
    return float(least), float(max(least, most))


def _inside(summary: Summary) -> Counts:
    """Rows before the first point, strictly between neighbours, and beyond the last, shape (points + 1,)."""
    inside: Counts = np.append(summary.below, summary.rows) - np.append(0, summary.up_to)
    return inside


def compare_summaries(reference: Summary, current: Summary) -> Difference:
    """How a summary differs from a reference's at the same points: D is the middle of its bounds, `error` half their width.

    p of D is that of the least D, so that what is called real is real.
    """
    n, m = reference.rows, current.rows
    rows = m + current.missing
    missing = current.missing / rows if rows else float("nan")
    nan = float("nan")
    if not n or not m:
        return Difference(nan, nan, nan, nan, m, missing)
    least, most = bounds(reference, current)
    starts = adequate_bins(reference.counts, min(n, m))
    theirs, ours = np.add.reduceat(reference.counts, starts), np.add.reduceat(current.counts, starts)
    psi = population_stability_index(theirs, ours)
    return Difference(
        (least + most) / 2, psi, ks_p_value(least, n, m), psi_p_value(psi, len(starts), n, m), m, missing, (most - least) / 2
    )
