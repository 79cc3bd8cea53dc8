"""The statistics against scipy, against brute force, and against what must hold of every one of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from scipy import stats

from retraind.drift import statistics
from retraind.drift.reference import compare, prepare_numeric
from retraind.drift.statistics import (
    adequate_bins,
    benjamini_hochberg,
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

quick = effort(max_examples=40, deadline=None)
number = st.one_of(
    st.integers(-3, 3).map(float),  # ties
    st.floats(-1e6, 1e6),
    st.sampled_from([math.inf, -math.inf, 0.0, -0.0]),
)
sample = st.lists(st.one_of(number, st.just(math.nan)), max_size=60)
counts = st.lists(st.integers(0, 50), min_size=1, max_size=12)


def d_of(reference: npt.ArrayLike, current: npt.ArrayLike) -> float:
    return kolmogorov_smirnov(empirical(sort_present(reference)), sort_present(current))


def brute_d(reference: list[float], current: list[float]) -> float:
    r, c = ([v for v in side if v == v] for side in (reference, current))
    return max(abs(sum(v <= at for v in r) / len(r) - sum(v <= at for v in c) / len(c)) for at in {*r, *c})


def psi_of(reference: list[float], current: list[float]) -> float:
    return compare(prepare_numeric(reference), current).psi


def shares_of(statistic: Callable[..., float]) -> Callable[[list[float], list[float]], float]:
    def on_samples(reference: list[float], current: list[float]) -> float:
        edges = np.array([-1.0, 0.0, 1.0])
        return statistic(bin_counts(sort_present(reference), edges), bin_counts(sort_present(current), edges))

    return on_samples


STATISTICS = {
    "D": d_of,
    "PSI": psi_of,
    "PSI of counts": shares_of(population_stability_index),
    "total variation": shares_of(total_variation),
    "chi-squared": shares_of(lambda r, c: chi_squared(r, c).statistic),
}
present = sample.filter(lambda values: any(v == v for v in values))
every_statistic = pytest.mark.parametrize("statistic", STATISTICS.values(), ids=list(STATISTICS))


@every_statistic
@quick
@given(values=present)
def test_the_same_sample_differs_by_nothing(statistic: Callable[..., float], values: list[float]) -> None:
    assert statistic(values, values) == pytest.approx(0, abs=1e-12)


@every_statistic
@quick
@given(reference=present, current=present, random=st.randoms())
def test_the_order_of_rows_does_not_matter(
    statistic: Callable[..., float], reference: list[float], current: list[float], random: Random
) -> None:
    shuffled = [random.sample(side, len(side)) for side in (reference, current)]
    assert statistic(*shuffled) == pytest.approx(statistic(reference, current), abs=1e-12)


@every_statistic
@quick
@given(reference=present, current=present, holes=st.integers(0, 5))
def test_nan_is_missing_and_no_value(
    statistic: Callable[..., float], reference: list[float], current: list[float], holes: int
) -> None:
    more = [*[math.nan] * holes, *current, *[math.nan] * holes]
    assert statistic(reference, more) == pytest.approx(statistic(reference, current), abs=1e-12)


@every_statistic
@quick
@given(reference=present, current=present)
def test_nothing_is_less_than_no_difference(
    statistic: Callable[..., float], reference: list[float], current: list[float]
) -> None:
    assert statistic(reference, current) >= 0


@every_statistic
def test_samples_that_share_nothing_differ_much(statistic: Callable[..., float]) -> None:
    assert statistic([-5.0, -4.5, -4.0] * 20, [3.0, 4.0, 5.0] * 20) > 0.9


@quick
@given(reference=present, current=present)
def test_d_is_the_largest_gap_between_the_distributions(reference: list[float], current: list[float]) -> None:
    assert d_of(reference, current) == pytest.approx(brute_d(reference, current), abs=1e-12)


@pytest.mark.filterwarnings("ignore:divide by zero")  # in scipy's p of one row against one
@quick
@given(reference=present, current=present)
def test_d_equals_scipys(reference: list[float], current: list[float]) -> None:
    r, c = sort_present(reference), sort_present(current)
    expected = stats.ks_2samp(r, c, method="asymp").statistic
    assert d_of(reference, current) == pytest.approx(expected, abs=1e-12)


@quick
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(600, 6000),
    ties=st.sampled_from([0, 1, 2, 9]),
    few=st.sampled_from([0, 100, 4096]),
)
def test_d_equals_scipys_where_the_reference_is_larger_than_the_grid(seed: int, rows: int, ties: int, few: int) -> None:
    random = np.random.default_rng(seed)
    reference, current = random.lognormal(size=rows), random.lognormal(random.normal(0, 0.2), size=rows // 3)
    if ties:
        reference, current = reference.round(ties % 9), current.round(ties % 9)
    if ties == 9:
        reference[:50], current[:7], current[7:20] = np.inf, -np.inf, np.nan
    c = sort_present(current)
    expected = stats.ks_2samp(reference, c, method="asymp").statistic
    with pytest.MonkeyPatch.context() as patch:  # cut on to the end, or look the rows up one by one after some cuts
        patch.setattr(statistics, "_FEW", few)
        assert d_of(reference, current) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("reference", "current"), [([], [1.0]), ([1.0], []), ([math.nan], [1.0]), ([1.0], [math.nan])])
def test_d_of_no_values_is_unknown(reference: list[float], current: list[float]) -> None:
    assert math.isnan(d_of(reference, current))


def test_d_of_one_row_and_of_constants_is_right() -> None:
    assert d_of([1.0], [1.0]) == 0
    assert d_of([1.0], [2.0]) == 1
    assert d_of([7.0] * 30, [7.0] * 3) == 0
    assert d_of([7.0] * 30, [7.0, 7.0, 8.0, 8.0]) == 0.5


@quick
@given(p=st.floats(1e-4, 0.9), n=st.integers(50, 5000), m=st.integers(1000, 20000))
def test_the_p_value_of_d_is_near_the_exact_one(p: float, n: int, m: int) -> None:
    d = float(stats.kstwo.isf(p, round(n * m / (n + m))))
    assert ks_p_value(d, n, m) == pytest.approx(p, rel=0.2)


def test_a_p_value_without_rows_is_refused() -> None:
    with pytest.raises(ValueError):
        ks_p_value(0.1, 0, 5)
    with pytest.raises(ValueError):
        psi_p_value(0.1, 10, 5, 0)
    assert math.isnan(ks_p_value(math.nan, 0, 5))


@quick
@given(data=st.data(), bins=st.integers(1, 12))
def test_psi_equals_a_literal_loop(data: st.DataObject, bins: int) -> None:
    reference, current = (data.draw(st.lists(st.integers(0, 50), min_size=bins, max_size=bins)) for _ in range(2))
    assume(sum(reference) and sum(current))
    psi = 0.0
    for r, c in zip(reference, current, strict=True):
        r_share, c_share = (r + 0.5) / (sum(reference) + 0.5 * bins), (c + 0.5) / (sum(current) + 0.5 * bins)
        psi += (c_share - r_share) * math.log(c_share / r_share)
    assert population_stability_index(np.array(reference), np.array(current)) == pytest.approx(psi, abs=1e-12)


@pytest.mark.parametrize("statistic", [population_stability_index, total_variation, chi_squared])
def test_counts_of_other_shapes_or_of_no_rows_are_refused(statistic: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="bins are not comparable"):
        statistic(np.array([1, 2]), np.array([1, 2, 3]))
    with pytest.raises(ValueError, match="no rows"):
        statistic(np.array([0, 0]), np.array([1, 2]))


@pytest.mark.parametrize("rows", [50, 300, 3000])
def test_the_p_value_of_psi_is_right_where_nothing_changed(rows: int) -> None:
    random = np.random.default_rng(rows)
    p = [compare(prepare_numeric(random.normal(size=5000)), random.normal(size=rows)).p_psi for _ in range(400)]
    for level in (0.05, 0.2, 0.5):
        allowed = 4 * math.sqrt(level * (1 - level) / len(p))
        assert abs(np.mean(np.array(p) <= level) - level) < allowed + 0.25 * level


@quick
@given(data=st.data(), categories=st.integers(2, 8))
def test_chi_squared_equals_scipys(data: st.DataObject, categories: int) -> None:
    row = st.lists(st.integers(0, 50), min_size=categories, max_size=categories)
    reference, current = np.array(data.draw(row)), np.array(data.draw(row))
    held = (reference + current) > 0
    assume(reference.sum() and current.sum() and held.sum() > 1)
    expected = stats.chi2_contingency(np.stack((reference, current))[:, held], correction=False)
    ours = chi_squared(reference, current)
    assert (ours.statistic, ours.p) == pytest.approx((expected.statistic, expected.pvalue), abs=1e-9)
    assert ours.degrees == expected.dof


def test_one_category_cannot_differ() -> None:
    assert chi_squared(np.array([5, 0]), np.array([7, 0])).p == 1
    assert psi_p_value(0.0, 1, 5, 7) == 1


@quick
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_benjamini_hochberg_equals_scipys(p: list[float]) -> None:
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p), abs=1e-12)


@quick
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=20), holes=st.integers(0, 5))
def test_what_was_not_tested_stays_out_of_the_family(p: list[float], holes: int) -> None:
    adjusted = benjamini_hochberg([*[math.nan] * holes, *p])
    assert np.isnan(adjusted[:holes]).all()
    assert adjusted[holes:] == pytest.approx(benjamini_hochberg(p))


@quick
@given(values=present, bins=st.integers(2, 12))
def test_edges_cut_the_reference_into_bins_that_hold_all_of_it(values: list[float], bins: int) -> None:
    ordered = sort_present(values)
    edges = quantile_edges(empirical(ordered), bins)
    held = bin_counts(ordered, edges)
    assert held.sum() == len(ordered)
    assert len(edges) < bins
    assert (held > 0).all()


@quick
@given(reference=counts, smaller=st.integers(1, 400))
def test_merged_bins_expect_at_least_five_rows_of_the_smaller_sample(reference: list[int], smaller: int) -> None:
    total = sum(reference)
    assume(total)
    starts = adequate_bins(np.array(reference), smaller)
    merged = np.add.reduceat(np.array(reference), starts)
    assert merged.sum() == total
    assert len(merged) == 1 or (merged * smaller / total).min() >= 5 - 1e-9
