"""Damage of a column: found by its own checks, and not in what only moves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from scipy import stats

from retraind.drift.damage import Grouped, Limits, chance_of_as_many, damaged_numbers, missing_values, new_values

LIMITS = Limits()
ITEMS, DAYS = 20, 56


def prices(days: int = DAYS, seed: int = 0) -> Grouped:
    """Items of prices from 2 to 40, each moving a little."""
    random = np.random.default_rng(seed)
    item = np.tile(np.arange(ITEMS), days)
    values = (2.0 + 2 * item) * random.lognormal(0, 0.1, len(item))
    return Grouped(values, item.astype(np.int64), np.repeat(np.arange(days), ITEMS))


def times(factor: float, share: float = 1.0, days: int = 7) -> Grouped:
    """A week of which a share of the prices is multiplied."""
    week = prices(days, seed=1)
    hit = np.random.default_rng(2).random(len(week.values)) < share
    return Grouped(np.where(hit, week.values * factor, week.values), week.group, week.day)


@pytest.mark.parametrize("factor", [1.0, 1.3, 0.5, 3.0])
def test_what_only_moves_is_not_damaged(factor: float) -> None:
    assert damaged_numbers("price", prices(), times(factor), LIMITS) is None


@pytest.mark.parametrize(("factor", "words"), [(10.0, "times what is usual"), (0.1, "of what is usual"), (-10.0, "times")])
def test_prices_times_ten_are_damaged_though_they_lie_within_the_range_of_all_items(factor: float, words: str) -> None:
    found = damaged_numbers("price", prices(), times(factor), LIMITS)
    assert found
    assert (found.kind, found.column) == ("times", "price")
    assert found.value == pytest.approx(10, rel=0.05)
    assert words in found.words


def test_a_third_of_the_prices_times_ten_is_damage_beyond_the_worst_day() -> None:
    found = damaged_numbers("price", prices(), times(10.0, share=0.3), LIMITS)
    assert found
    assert found.kind == "beyond"
    assert 0.2 < found.value < 0.4
    assert found.words.endswith("of what is usual of the same items, 0.0 % on the worst day before")


def test_a_column_that_often_leaps_needs_more_than_its_worst_day() -> None:
    wild = prices()
    leaping = np.where(wild.day == 30, wild.values * 10, wild.values)
    assert damaged_numbers("price", Grouped(leaping, wild.group, wild.day), times(10.0, share=0.3), LIMITS) is None


@pytest.mark.parametrize(("factor", "found"), [(0.5, True), (2.0, True), (0.66, False), (1.5, False)])
def test_a_middle_that_is_off_by_a_unit_is_damage_where_a_column_is_said_to_be_steady(factor: float, found: bool) -> None:
    assert damaged_numbers("price", prices(), times(factor), LIMITS) is None
    steady = damaged_numbers("price", prices(), times(factor), Limits(middle=1.6))
    assert (steady is not None) is found
    if steady:
        assert (steady.kind, steady.limit) == ("times", 1.6)


def test_values_far_outside_the_range_are_damage_where_no_group_is_known() -> None:
    reference = prices()
    unknown = Grouped(reference.values, np.full(len(reference.values), -1), reference.day)
    far = Grouped(np.where(np.arange(140) % 4 == 0, 1e6, 5.0), np.full(140, -1), np.zeros(140, np.int64))
    found = damaged_numbers("price", unknown, far, LIMITS)
    assert found
    assert (found.kind, found.value) == ("range", 0.25)


def test_a_constant_that_begins_to_move_is_a_shift_and_a_column_of_infinities_no_error() -> None:
    steady = Grouped(np.zeros(200), np.zeros(200, np.int64), np.zeros(200, np.int64))
    moving = Grouped(np.arange(200.0), np.zeros(200, np.int64), np.zeros(200, np.int64))
    endless = Grouped(np.full(200, np.inf), np.zeros(200, np.int64), np.zeros(200, np.int64))
    assert damaged_numbers("x", steady, moving, LIMITS) is None
    assert damaged_numbers("x", endless, moving, LIMITS) is None
    assert damaged_numbers("x", moving, endless, LIMITS) is not None


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        ((0, 500), (40, 40), "vanished"),
        ((0, 500), (10, 40), "missing"),
        ((0, 500), (8, 40), None),  # 20 % is the limit
        ((300, 500), (30, 40), None),
        ((0, 500), (1, 3), None),  # one of three is no jump
        ((0, 500), (2, 3), "missing"),
        ((0, 50), (40, 40), None),  # too little before
        ((500, 500), (40, 40), None),
        ((0, 500), (0, 0), None),
    ],
)
def test_missing_values_are_damage_when_their_share_jumps(
    before: tuple[int, int], now: tuple[int, int], kind: str | None
) -> None:
    found = missing_values("discount", before, now, LIMITS)
    assert (found.kind if found else None) == kind


def test_a_column_that_is_not_there_is_told_as_that() -> None:
    found = missing_values("discount", (5, 500), (40, 40), LIMITS, absent=True)
    assert found
    assert found.words == "the column is not there, 1.0 % were missing before"


def test_unknown_categories_are_damage_above_their_limit_and_named_the_most_frequent_first() -> None:
    counts = {"leaf": 60, "Leaf": 25, "ROOT": 10, "x": 3, "y": 2}
    found = new_values("category", {"leaf", "root"}, counts, LIMITS, "a category")
    assert found
    assert found.value == pytest.approx(0.4)
    assert found.words == "40.0 % of the rows are of a category that was not there before: Leaf, ROOT, x and 1 more"
    assert new_values("category", {"leaf", "root"}, {"leaf": 80, "new": 20}, LIMITS, "a category") is None
    assert new_values("category", set(), counts, LIMITS, "a category") is None


@effort(max_examples=40, deadline=None)
@given(of=st.integers(1, 200), share=st.floats(0.001, 0.9), data=st.data())
def test_the_chance_of_as_many_is_the_binomial_one(of: int, share: float, data: st.DataObject) -> None:
    found = data.draw(st.integers(0, of))
    assert chance_of_as_many(found, of, share) == pytest.approx(stats.binom.sf(found - 1, of, share), rel=1e-8, abs=1e-300)


def test_a_chance_at_its_ends() -> None:
    assert chance_of_as_many(0, 10, 0.0) == 1
    assert chance_of_as_many(1, 10, 0.0) == 0
    assert chance_of_as_many(10, 10, 1.0) == 1


@effort(max_examples=40, deadline=None)
@given(
    values=st.lists(st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.just(0.0)), min_size=120, max_size=150),
    seed=st.integers(0, 5),
)
def test_whatever_the_numbers_a_sample_like_the_reference_is_not_damaged(values: list[float], seed: int) -> None:
    random = np.random.default_rng(seed)
    group = random.integers(-1, 4, len(values))
    sample = Grouped(np.array(values), group.astype(np.int64), np.zeros(len(values), np.int64))
    found = damaged_numbers("x", sample, sample, LIMITS)
    assert found is None or math.isfinite(found.value)
    assert found is None or found.kind != "range"
