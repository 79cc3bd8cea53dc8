"""A reference is prepared once, saved, and held against samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from retraind.drift.reference import compare, distance, prepare_categories, prepare_numeric
from retraind.drift.saved import compact, compare_saved, from_bytes, to_bytes

quick = effort(max_examples=40, deadline=None)
number = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6), st.just(math.nan), st.just(math.inf))
category = st.one_of(st.sampled_from(["leaf", "root", "fungus", "名前"]), st.none())


@quick
@given(reference=st.lists(number, max_size=80), current=st.lists(number, max_size=40))
def test_a_saved_reference_of_numbers_compares_like_the_first(reference: list[float], current: list[float]) -> None:
    prepared = prepare_numeric(reference)
    again = from_bytes(to_bytes({"price": prepared}))["price"]
    assert repr(compare(again, current)) == repr(compare(prepared, current))
    assert again.missing == sum(v != v for v in reference)


@quick
@given(reference=st.lists(category, max_size=60), current=st.lists(category, max_size=40))
def test_a_saved_reference_of_categories_compares_like_the_first(
    reference: list[str | None], current: list[str | None]
) -> None:
    prepared = prepare_categories(reference)
    again = from_bytes(to_bytes({"a": prepare_numeric([1.0]), "kind": prepared}))["kind"]
    assert repr(compare(again, current)) == repr(compare(prepared, current))
    assert again.missing == reference.count(None)


def test_ninety_references_of_many_ties_are_small() -> None:
    random = np.random.default_rng(0)
    saved = to_bytes({f"f{i}": prepare_numeric(random.lognormal(size=2_400).round(2)) for i in range(90)})
    assert len(saved) < 1_500_000


def test_a_reference_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retraind.drift.saved.VERSION", 99)
    newer = to_bytes({"price": prepare_numeric([1.0])})
    monkeypatch.undo()
    with pytest.raises(ValueError, match="version 99"):
        from_bytes(newer)


@quick
@given(reference=st.lists(category, max_size=40), current=st.lists(category, max_size=40))
def test_the_distance_alone_is_the_distance_of_the_comparison(
    reference: list[str | None], current: list[str | None]
) -> None:
    prepared = prepare_categories(reference)
    assert repr(distance(prepared, np.array(current, dtype=object))) == repr(compare(prepared, current).distance)


def test_a_new_category_is_seen() -> None:
    reference = prepare_categories(["leaf"] * 1400 + ["root"] * 900 + ["fungus"] * 100)
    same = compare(reference, ["leaf"] * 175 + ["root"] * 112 + ["fungus"] * 13)
    new = compare(reference, ["leaf"] * 157 + ["root"] * 101 + ["fungus"] * 12 + ["flower"] * 30)
    assert same.p > 0.5
    assert new.p < 1e-6
    assert new.psi > 0.1
    assert new.distance == pytest.approx(0.1, abs=0.01)


def test_all_categories_new_is_as_far_as_can_be() -> None:
    difference = compare(prepare_categories(["leaf"] * 50 + ["root"] * 50), ["flower"] * 30)
    assert difference.distance == 1
    assert difference.p < 1e-6


@pytest.mark.parametrize("values", [[], [math.nan] * 5])
def test_a_sample_without_values_is_unknown_and_says_how_much_is_missing(values: list[float]) -> None:
    for reference in (prepare_numeric([1.0, 2.0]), prepare_categories(["leaf"])):
        difference = compare(reference, values)
        assert math.isnan(difference.distance)
        assert math.isnan(difference.psi)
        assert math.isnan(difference.p)
        assert difference.rows == 0
        assert repr(difference.missing) == ("1.0" if values else "nan")


def test_missing_values_are_a_share_of_their_own() -> None:
    assert compare(prepare_numeric([1.0, 2.0]), [1.0, math.nan, math.nan, 2.0]).missing == 0.5
    assert compare(prepare_categories(["leaf"]), ["leaf", None, math.nan, "leaf"]).missing == 0.5


def test_small_samples_are_tested_on_fewer_bins_and_not_alarmed_by_one_row() -> None:
    reference = prepare_numeric(np.arange(1000.0))
    one = compare(reference, [999.0])
    assert one.psi == 0
    assert one.p_psi == 1
    assert one.distance == pytest.approx(0.999)


@pytest.mark.parametrize("rows", [40, 300])
def test_categories_alarm_no_more_often_than_they_should(rows: int) -> None:
    random = np.random.default_rng(rows)
    shares = [0.5, 0.3, 0.12, 0.05, 0.02, 0.009, 0.001]
    names = np.array(list("abcdefg"), dtype=object)

    def p() -> float:
        reference = prepare_categories(random.choice(names, p=shares, size=4 * rows))
        return compare(reference, random.choice(names, p=shares, size=rows)).p

    found = np.array([p() for _ in range(300)])
    assert (found <= 0.05).mean() < 0.05 + 4 * math.sqrt(0.05 * 0.95 / len(found))


@quick
@given(reference=st.lists(number, max_size=80), current=st.lists(number, max_size=40))
def test_a_saved_summary_compares_like_the_first_and_says_its_error(reference: list[float], current: list[float]) -> None:
    whole = prepare_numeric(reference)
    saved = from_bytes(to_bytes({"x": compact(whole, most=5)}))["x"]
    found, true = compare_saved(saved, current), compare(whole, current)
    assert found.psi == pytest.approx(true.psi, nan_ok=True)
    assert math.isnan(true.distance) or abs(found.distance - true.distance) <= found.error + 1e-12


def test_ninety_large_references_take_a_few_megabytes() -> None:
    random = np.random.default_rng(0)
    large = compact(prepare_numeric(random.lognormal(0, 2, 100_000)))
    assert len(to_bytes({f"f{i}": large for i in range(90)})) < 6_000_000


@pytest.mark.parametrize("raw", [b"", b"PK", b"nothing of the kind"])
def test_bytes_that_are_no_reference_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"reference|pickle"):
        from_bytes(raw)
