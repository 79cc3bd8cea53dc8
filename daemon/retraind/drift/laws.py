"""Upper tails of the laws that the statistics follow when nothing changed, in plain arithmetic.

scipy has them too; importing it takes longer than a drop of 10,000 rows takes to be measured, and each measurement is a new
process. Every sum here has terms of one sign, or few that alternate and fall fast, so that digits are not lost.
"""

from __future__ import annotations

from math import erfc, exp, fsum, isinf, lgamma, log, pi, sqrt

import numpy as np

__all__ = ["chi_squared_tail", "exceedance_tail", "kolmogorov_tail"]

_TERMS = range(1, 12)
"""Of Kolmogorov's series: at its worst point, 1, the sixth is below 1e-30."""


def kolmogorov_tail(x: float) -> float:
    """P(K > x) of Kolmogorov's limit law: 2 sum (-1)^(k-1) exp(-2 k^2 x^2), and by its theta transform below 1."""
    if x < 0.04:  # what is missing to 1 is below 1e-300
        return 1.0
    if x < 1:
        return 1.0 - sqrt(2 * pi) / x * sum(exp(-(((2 * k - 1) * pi / x) ** 2) / 8) for k in _TERMS)
    return 2 * sum((1 if k % 2 else -1) * exp(-2 * k * k * x * x) for k in _TERMS)


def chi_squared_tail(x: float, degrees: int) -> float:
    """P(X > x) of chi-squared with whole degrees of freedom, at least 1: a finite sum (Abramowitz and Stegun 26.4.4, 26.4.5)."""
    half = x / 2
    if half <= 0:
        return 1.0
    if isinf(half):
        return 0.0
    odd = degrees % 2
    powers = (i + odd / 2 for i in range(degrees // 2))
    terms = fsum(exp(power * log(half) - half - lgamma(power + 1)) for power in powers)
    return min(1.0, terms + (erfc(sqrt(half)) if odd else 0.0))


def exceedance_tail(beyond: int, k: int, n: int, m: int) -> float:
    """P(J >= beyond) where P(J = j) = C(j + k - 1, j) C(n + m - k - j, m - j) / C(n + m, m): see `exceedance_p_value`."""
    first = _log_choose(beyond + k - 1, beyond) + _log_choose(n + m - k - beyond, m - beyond) - _log_choose(n + m, m)
    j = np.arange(beyond, m, dtype=np.float64)
    ratios = np.log((j + k) * (m - j)) - np.log((j + 1) * (n + m - k - j))
    logs = first + np.append(0.0, np.cumsum(ratios))
    return float(min(1.0, np.exp(logs).sum()))


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
