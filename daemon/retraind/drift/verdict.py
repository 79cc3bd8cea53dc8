"""What measured differences mean: which features changed, and whether a drop drifts. Pure functions over arrays.

A *feature* changed when its difference is real (Benjamini-Hochberg over the features) and large (D or PSI above a
limit). On data whose rows are not independent that alone fires nearly always, so a *drop* drifts only when it also
moved more than past drops moved against the drops before them: maxT of Westfall and Young ("Resampling-Based Multiple
Testing", 1993). Each feature's distance is divided by one that is large for that feature, and the largest quotient over
the features is ranked among the past drops' largest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from retraind.drift.reference import Difference
from retraind.drift.statistics import Floats, benjamini_hochberg

__all__ = ["DropVerdict", "FeatureVerdict", "Reason", "drop_rank", "feature_verdicts", "smallest_found"]


@dataclass(frozen=True)
class FeatureVerdict:
    """Whether one feature changed."""

    p: float
    """Adjusted for the family of features; NaN where nothing could be tested."""
    real: bool
    large: bool

    @property
    def changed(self) -> bool:
        """Real and large."""
        return self.real and self.large


def feature_verdicts(
    differences: Sequence[Difference], *, fdr: float, ks: float, psi: float
) -> tuple[FeatureVerdict, ...]:
    """A verdict for each difference, in their order.

    Real: min(1, 2 min(p_distance, p_psi)), adjusted by Benjamini-Hochberg over all given, is at most `fdr`.
    Large: the distance is above `ks`, or PSI above `psi`. "And" would go blind as drops grow and miss a new category.
    """
    adjusted = benjamini_hochberg([d.p for d in differences])
    return tuple(
        FeatureVerdict(float(p), bool(p <= fdr), bool(d.distance > ks or d.psi > psi))
        for d, p in zip(differences, adjusted, strict=True)
    )


Reason = Literal["too little past", "nothing to compare", "ordinary", "not real and large", "drifting"]


@dataclass(frozen=True)
class DropVerdict:
    """Whether a drop drifts."""

    drifting: bool
    reason: Reason
    rank: int | None
    """Of the largest scaled distance among the past drops'; 1 is larger than all. None with too little past."""
    past: int
    """How many past drops it was ranked among, or could be."""
    feature: int | None
    """Which feature moved most by its own measure."""
    scaled: Floats
    """Each feature's distance over one that is large for it, shape (features,); NaN where there is none."""
    needed: Floats
    """The distance above which each feature would have been unusual, shape (features,); NaN with too little past."""


def drop_rank(
    current: npt.ArrayLike,
    past: npt.ArrayLike,
    changed: npt.ArrayLike,
    *,
    rank: float,
    min_past: int,
    quantile: float = 0.9,
    floor: float = 0.0,
) -> DropVerdict:
    """maxT: rank a drop's largest scaled distance among those of past drops.

    current: distance by feature, shape (features,), NaN where it could not be measured. past: the same of past drops
    against the drops before each, shape (drops, features). changed: by feature, real and large. rank: the share of
    drops, 0 to 1, that may drift when nothing changes. quantile, floor: what distance is large for a feature: that
    quantile of its past, and at least `floor` (sampling noise), so that a feature which hardly ever moved is not
    divided by nearly nothing. A high quantile, not the median: features with rare leaps must not own the past's maxima.

    This drop counts among its past for the quantile: then a drop like the past ones is as likely to have any rank as
    any other. It drifts when (1 + past drops that moved at least as much) / (1 + past drops) is at most `rank`, the
    feature that moved most has changed, and there are at least `min_past` past drops. A feature that fewer of them know
    has no scale yet and stays out.
    """
    now = np.asarray(current, np.float64)
    before = np.asarray(past, np.float64).reshape(len(np.asarray(past)), len(now))
    before = before[~np.isnan(before).all(axis=1)]
    drops = len(before)
    large = _large(now, before, min(min_past, drops), quantile, floor)
    scaled = now / large
    most = int(np.nanargmax(scaled)) if not np.isnan(scaled).all() else None
    if drops < max(min_past, 1):
        return DropVerdict(False, "too little past", None, drops, most, scaled, np.full(len(now), np.nan))
    if most is None:
        return DropVerdict(False, "nothing to compare", None, drops, None, scaled, np.full(len(now), np.nan))
    largest = np.fmax.reduce(before / large, axis=1)
    place = 1 + int((largest >= scaled[most]).sum())
    reason = _reason(place / (1 + drops) <= rank, bool(np.asarray(changed)[most]))
    top = int(rank * (1 + drops) + 1e-9)  # so many places are unusual: fewer past drops than that may have moved as much
    needed = large * (np.sort(largest)[-top] if 0 < top <= drops else np.nan)
    return DropVerdict(reason == "drifting", reason, place, drops, most, scaled, needed)


def smallest_found(n: int, m: int, tests: int, *, fdr: float, ks: float, chance: float = 1.2816) -> float:
    """The change of a distribution that samples of n and m rows find to be real and large nine times of ten, as a D.

    tests: features tested together; the worst case of Benjamini-Hochberg is Bonferroni's fdr / tests. At the point where
    the distributions differ by d the difference of the samples' shares is about normal around d with a variance of at most
    (1/n + 1/m) / 4; it must exceed Kolmogorov's critical value and `ks`. chance: the normal quantile of finding it. NaN
    without rows.
    """
    if not n or not m:
        return float("nan")
    root = np.sqrt(n * m / (n + m))
    critical = np.sqrt(-np.log(fdr / max(tests, 1) / 2 / 2) / 2)  # half of the level: D and PSI are tested together
    return float(min(1.0, max(critical / root, ks) + chance / 2 / root))


def _large(now: Floats, past: Floats, least: int, quantile: float, floor: float) -> Floats:
    """The distance that is large for each feature; NaN where fewer than `least` past drops know it, or it is 0."""
    large = np.full(len(now), np.nan)
    known = ((~np.isnan(past)).sum(axis=0) >= max(least, 1)) & ~np.isnan(now)
    large[known] = np.maximum(np.nanquantile(np.vstack((now, past))[:, known], quantile, axis=0), floor)
    large[large <= 0] = np.nan
    return large


def _reason(unusual: bool, changed: bool) -> Reason:
    if not unusual:
        return "ordinary"
    return "drifting" if changed else "not real and large"
