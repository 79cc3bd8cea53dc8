"""Real and large make a changed feature; a rank among the past makes a drifting drop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from scipy import special

from retraind.drift.reference import Difference, compare, prepare_numeric
from retraind.drift.verdict import drop_rank, feature_verdicts, smallest_found

quick = effort(max_examples=40, deadline=None)


def difference(distance: float, psi: float, p: float) -> Difference:
    return Difference(distance, psi, p, p, 300, 0.0)


def test_a_feature_changed_when_its_difference_is_real_and_large() -> None:
    cases = {
        "real, large D": (difference(0.2, 0.01, 1e-9), True),
        "real, large PSI": (difference(0.05, 0.3, 1e-9), True),
        "real, small": (difference(0.05, 0.05, 1e-9), False),
        "large, not real": (difference(0.2, 0.3, 0.4), False),
        "unknown": (difference(math.nan, math.nan, math.nan), False),
    }
    verdicts = feature_verdicts([d for d, _ in cases.values()], fdr=0.01, ks=0.1, psi=0.1)
    assert [v.changed for v in verdicts] == [changed for _, changed in cases.values()]


def test_the_more_features_are_tested_the_smaller_a_p_must_be() -> None:
    alone = feature_verdicts([difference(0.2, 0.2, 0.004)], fdr=0.01, ks=0.1, psi=0.1)
    among = feature_verdicts([difference(0.2, 0.2, 0.004), *[difference(0, 0, 1)] * 20], fdr=0.01, ks=0.1, psi=0.1)
    assert alone[0].real
    assert not among[0].real


def past_of(drops: int, features: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.05, 0.15, (drops, features))


def test_a_drop_that_moved_more_than_all_past_ones_drifts() -> None:
    verdict = drop_rank([0.1, 0.5, 0.1, 0.1], past_of(58), [False, True, False, False], rank=0.1, min_past=30)
    assert verdict.drifting
    assert (verdict.rank, verdict.past, verdict.feature, verdict.reason) == (1, 58, 1, "drifting")


def test_a_drop_like_the_past_ones_is_ordinary() -> None:
    past = past_of(58)
    typical = past[np.argsort((past / np.quantile(past, 0.9, axis=0)).max(axis=1))[20]]
    verdict = drop_rank(typical, past, [True] * 4, rank=0.1, min_past=30)
    assert not verdict.drifting
    assert verdict.reason == "ordinary"


def test_the_feature_that_moved_most_must_have_changed() -> None:
    verdict = drop_rank([0.1, 0.5, 0.1, 0.1], past_of(58), [True, False, True, True], rank=0.1, min_past=30)
    assert verdict.reason == "not real and large"
    assert not verdict.drifting
    assert verdict.rank == 1


@pytest.mark.parametrize(("drops", "drifting"), [(29, False), (30, True)])
def test_with_too_little_past_nothing_drifts(drops: int, drifting: bool) -> None:
    verdict = drop_rank([0.1, 0.9, 0.1, 0.1], past_of(drops), [True] * 4, rank=0.1, min_past=30)
    assert verdict.drifting is drifting
    assert (verdict.rank is None) is not drifting
    assert verdict.past == drops


def test_a_feature_that_always_moves_much_needs_more_to_stand_out() -> None:
    past = past_of(58)
    past[:, 0] *= 5
    verdict = drop_rank([0.5, 0.3, 0.1, 0.1], past, [True] * 4, rank=0.1, min_past=30)
    assert verdict.feature == 1


def test_unknown_distances_stay_out() -> None:
    past = past_of(58)
    past[:40, 2] = np.nan  # a young feature: no scale of its own yet
    past = np.vstack((past, np.full((5, 4), np.nan)))  # windows that could not be measured
    verdict = drop_rank([math.nan, 0.3, 0.9, 0.1], past, [True] * 4, rank=0.1, min_past=30)
    assert verdict.feature == 1
    assert verdict.past == 58
    assert np.isnan(verdict.scaled).tolist() == [True, False, True, False]


def test_nothing_to_compare_is_said() -> None:
    assert drop_rank([math.nan] * 4, past_of(58), [False] * 4, rank=0.1, min_past=30).reason == "nothing to compare"
    assert drop_rank([], np.zeros((0, 0)), [], rank=0.1, min_past=30).reason == "too little past"


def test_a_feature_that_never_moved_is_measured_by_the_noise() -> None:
    still = np.zeros((58, 1))
    assert drop_rank([0.3], still, [True], rank=0.1, min_past=30, floor=0.05).scaled == pytest.approx([6])
    assert drop_rank([0.3], still, [True], rank=0.1, min_past=30).reason == "nothing to compare"


@quick
@given(seed=st.integers(0, 10**6), scale=st.floats(1, 10))
def test_moving_more_never_lowers_the_alarm(seed: int, scale: float) -> None:
    past, now = past_of(40, seed=seed), past_of(1, seed=seed + 1)[0]
    less = drop_rank(now, past, [True] * 4, rank=0.1, min_past=30, floor=1.0)
    more = drop_rank(now * scale, past, [True] * 4, rank=0.1, min_past=30, floor=1.0)
    assert more.rank is not None
    assert less.rank is not None
    assert more.rank <= less.rank


@pytest.mark.parametrize("rank", [0.05, 0.1])
def test_where_nothing_changed_drops_drift_as_often_as_asked(rank: float) -> None:
    random = np.random.default_rng(5)
    trials = 600
    fired = 0
    for _ in range(trials):
        drops = random.lognormal(0, 1.5, (41, 12)) * random.lognormal(0, 1, 12)
        fired += drop_rank(drops[0], drops[1:], [True] * 12, rank=rank, min_past=30).drifting
    assert fired / trials <= rank + 3 * math.sqrt(rank * (1 - rank) / trials)


@pytest.mark.parametrize(("n", "m"), [(50, 400), (300, 2400), (5000, 5000)])
def test_the_change_that_is_said_to_be_found_nine_times_of_ten_is(n: int, m: int) -> None:
    random = np.random.default_rng(n)
    least = smallest_found(n, m, 20, fdr=0.01, ks=0.1)
    shift = 2 * special.ndtri(0.5 + least / 2)  # of a normal: the gap in its middle is then `least`
    still = compare(prepare_numeric([1.0, 2.0]), [1.0, 2.0])

    def found() -> bool:
        moved = compare(prepare_numeric(random.normal(0, 1, m)), random.normal(shift, 1, n))
        return feature_verdicts([moved, *[still] * 19], fdr=0.01, ks=0.1, psi=9)[0].changed

    assert np.mean([found() for _ in range(60)]) > 0.75


def test_no_rows_find_nothing() -> None:
    assert np.isnan(smallest_found(0, 10, 3, fdr=0.01, ks=0.1))


def test_what_would_have_been_unusual_is_what_the_rank_asks_for() -> None:
    past = np.random.default_rng(0).random((40, 3))
    now = np.array([0.3, 0.3, 0.3])
    verdict = drop_rank(now, past, [True] * 3, rank=0.1, min_past=30)
    for feature in range(3):
        for factor, drifting in ((1.001, True), (0.999, False)):
            moved = now * 0.1
            moved[feature] = verdict.needed[feature] * factor
            again = drop_rank(moved, past, [True] * 3, rank=0.1, min_past=30)
            unmoved = abs(again.needed[feature] / verdict.needed[feature] - 1) < 0.001  # it counts among its own past
            assert again.drifting is drifting or not unmoved
