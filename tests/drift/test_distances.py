"""Jensen-Shannon, Wasserstein and the tails: against scipy, against brute force, and as distances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from retraind.drift.statistics import (
    Empirical,
    Sorted,
    empirical,
    exceedance_p_value,
    jensen_shannon,
    sort_present,
    tails,
    wasserstein,
)

quick = effort(max_examples=60, deadline=None)
sample = st.lists(st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6)), min_size=1, max_size=60)
counts = st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any)


def prepared(reference: list[float], current: list[float]) -> tuple[Empirical, Sorted]:
    return empirical(sort_present(reference)), sort_present(current)


@quick
@given(counts, counts)
def test_jensen_shannon_is_scipys(r: list[int], c: list[int]) -> None:
    ours = jensen_shannon(np.array(r), np.array(c))
    assert ours**2 == pytest.approx(np.nan_to_num(distance.jensenshannon(r, c, base=2)) ** 2, abs=1e-12)
    assert 0 <= ours <= 1


@quick
@given(counts, counts, counts)
def test_jensen_shannon_is_a_metric(a: list[int], b: list[int], c: list[int]) -> None:
    x, y, z = map(np.array, (a, b, c))
    assert jensen_shannon(x, x) == pytest.approx(0, abs=1e-7)
    assert jensen_shannon(x, y) == pytest.approx(jensen_shannon(y, x), abs=1e-7)
    assert jensen_shannon(x, z) <= jensen_shannon(x, y) + jensen_shannon(y, z) + 1e-7


def test_samples_that_share_no_bin_are_at_distance_one() -> None:
    assert jensen_shannon(np.array([3, 0]), np.array([0, 9])) == 1
    with pytest.raises(ValueError, match="not comparable"):
        jensen_shannon(np.array([3]), np.array([0, 9]))


@quick
@given(sample, sample)
def test_wasserstein_is_scipys(r: list[float], c: list[float]) -> None:
    assert wasserstein(*prepared(r, c)) == pytest.approx(stats.wasserstein_distance(r, c), rel=1e-9, abs=1e-12)


@quick
@given(sample, st.floats(-1e3, 1e3))
def test_wasserstein_of_a_shift_is_the_shift(x: list[float], shift: float) -> None:
    moved = [v + shift for v in x]
    assert wasserstein(*prepared(x, moved)) == pytest.approx(abs(shift), rel=1e-6, abs=1e-6)


def test_wasserstein_of_nothing_is_nan_and_of_unlike_infinities_infinite() -> None:
    assert math.isnan(wasserstein(*prepared([], [1.0])))
    assert math.isnan(wasserstein(*prepared([1.0], [math.nan])))
    assert wasserstein(*prepared([1.0, math.inf], [2.0, math.inf])) == 0.5
    assert wasserstein(*prepared([1.0, -math.inf], [1.0, 1.0])) == math.inf


@quick
@given(st.data(), st.integers(1, 40), st.integers(1, 40))
def test_the_chance_of_exceedances_is_the_hypergeometric_one(data: st.DataObject, n: int, m: int) -> None:
    k, beyond = data.draw(st.integers(1, n)), data.draw(st.integers(0, m))
    # at least `beyond` new values lie beyond the k-th: among the k + beyond - 1 most extreme of all, that many are new
    exact = stats.hypergeom.sf(beyond - 1, n + m, m, k + beyond - 1) if beyond else 1.0
    assert exceedance_p_value(beyond, k, n, m) == pytest.approx(exact, rel=1e-9, abs=1e-12)


def test_impossible_exceedances_are_refused() -> None:
    for beyond, k, n, m in ((4, 1, 5, 3), (1, 6, 5, 3), (1, 0, 5, 3), (-1, 1, 5, 3)):
        with pytest.raises(ValueError, match="cannot lie beyond"):
            exceedance_p_value(beyond, k, n, m)


@quick
@given(sample, sample, st.floats(0, 0.5))
def test_the_tails_are_counted_as_by_hand(r: list[float], c: list[float], quantile: float) -> None:
    assume(r)
    found = tails(*prepared(r, c), quantile)
    assert found
    lower, upper = found
    k = max(1, int(quantile * len(r)))
    assert (lower.limit, upper.limit) == (sorted(r)[k - 1], sorted(r)[-k])
    assert lower.share == sum(v < lower.limit for v in c) / len(c)
    assert upper.share == sum(v > upper.limit for v in c) / len(c)
    assert lower.beyond_range == sum(v < min(r) for v in c) / len(c)
    assert upper.beyond_range == sum(v > max(r) for v in c) / len(c)
    assert lower.expected == upper.expected == k / (len(r) + 1)


def test_a_tail_that_no_limit_on_d_finds_is_found() -> None:
    random = np.random.default_rng(1)
    reference, current = random.normal(size=20_000), random.normal(size=20_000)
    current[:400] = 6
    assert stats.ks_2samp(reference, current).statistic < 0.1
    found = tails(*prepared(reference.tolist(), current.tolist()))
    assert found
    assert found[1].p < 1e-20 < found[0].p
    assert found[1].beyond_range == pytest.approx(0.02, abs=0.001)


def test_nothing_has_no_tails() -> None:
    assert tails(*prepared([], [1.0])) is None
    assert tails(*prepared([1.0], [math.nan])) is None


def test_false_alarms_of_a_tail_are_as_rare_as_said() -> None:
    random = np.random.default_rng(2)
    alarms = 0
    for _ in range(1000):
        found = tails(*prepared(random.normal(size=300).tolist(), random.normal(size=200).tolist()))
        assert found
        alarms += found[1].p <= 0.05
    assert alarms <= 75  # 50 expected, 6.9 their standard deviation
