"""An accuracy alarm rises when errors grow against doing nothing, and for no other reason."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from retraind.core.accuracy import MIN_ROWS, page_hinkley, worsening
from retraind.core.figures import Sums

quick = effort(max_examples=150, deadline=None)
START = dt.date(2023, 1, 2)

values = st.lists(st.floats(-3, 3), min_size=1, max_size=60)
errors = st.floats(1e-3, 1e4)


def days(of: list[float], rows: int = 40, digest: str = "a" * 16) -> dict[dt.date, Sums]:
    return {START + dt.timedelta(i): Sums(rows=rows, digest=digest, error=e) for i, e in enumerate(of)}


def by_the_book(ratios: list[float], delta: float, threshold: float) -> int | None:
    """The definition, written out: every mean and every minimum from scratch."""
    sums = []
    for t in range(1, len(ratios) + 1):
        sums.append(sum(ratios[i - 1] - math.fsum(ratios[:i]) / i - delta for i in range(1, t + 1)))
        if sums[-1] - min(sums) > threshold:
            return t - 1
    return None


@quick
@given(st.lists(st.integers(-40, 40), min_size=1, max_size=40), st.integers(0, 8), st.integers(0, 60))
def test_it_is_the_test_of_the_books(ratios: list[int], delta: int, threshold: int) -> None:
    # a threshold between the grid of values, so that no rounding decides
    scaled, limit = [r / 16 for r in ratios], threshold / 16 + 1e-6
    assert page_hinkley(scaled, delta / 16, limit) == by_the_book(scaled, delta / 16, limit)


@quick
@given(st.floats(-5, 5), st.integers(1, 300), st.floats(0, 1), st.floats(1e-9, 1))
def test_a_constant_series_never_alarms(value: float, length: int, delta: float, threshold: float) -> None:
    assert page_hinkley([value] * length, delta, threshold) is None


@quick
@given(values, st.floats(0, 0.2), st.floats(0.1, 2))
def test_values_that_are_not_known_are_passed_over(ratios: list[float], delta: float, threshold: float) -> None:
    gapped = [x for ratio in ratios for x in (math.nan, ratio, math.inf)]
    plain = page_hinkley(ratios, delta, threshold)
    assert page_hinkley(gapped, delta, threshold) == (None if plain is None else 3 * plain + 1)


@quick
@given(values, st.floats(0, 0.2), st.floats(0.1, 2), st.floats(0, 0.2), st.floats(0, 2))
def test_a_stricter_test_never_alarms_earlier(
    ratios: list[float], delta: float, threshold: float, more: float, higher: float
) -> None:
    loose, strict = (
        page_hinkley(ratios, delta, threshold),
        page_hinkley(ratios, delta + more, threshold + higher + 1e-9),
    )
    assert strict is None or (loose is not None and loose <= strict)


@quick
@given(st.integers(5, 40), st.floats(0.05, 1), st.floats(0.1, 2))
def test_a_lasting_step_alarms_soon_after_it_came(before: int, step: float, threshold: float) -> None:
    """A rise by `step` needs threshold / step days, and at most twice that while the mean follows by less than half."""
    found = worsening(days([1.0] * before + [math.exp(step)] * 80), days([1.0] * (before + 80)), 0, threshold)
    if threshold / step <= before / 4:
        assert found is not None
        assert 0 <= (found.date - START).days - before <= 2 * threshold / step + 1
    if found:
        assert found.since == START + dt.timedelta(before)
        assert (found.before, found.after) == pytest.approx((1, math.exp(step)))


def test_a_step_down_is_no_alarm() -> None:
    assert worsening(days([2.0] * 30 + [1.0] * 30), days([1.0] * 60), 0, 0.5) is None


@quick
@given(st.lists(st.tuples(errors, errors), min_size=1, max_size=60), st.floats(0.1, 1e3), st.floats(0.1, 1e3))
def test_only_the_ratio_counts(pairs: list[tuple[float, float]], mine: float, its: float) -> None:
    """In other units, in a season with ten times the errors, with a naive forecast that is always twice as bad: the same."""
    champion, naive = [a for a, _ in pairs], [b for _, b in pairs]
    limit = 0.5000001
    found = worsening(days(champion), days(naive), 0, limit)
    scaled = worsening(days([a * mine for a in champion]), days([b * its for b in naive]), 0, limit)
    assert (found is None) == (scaled is None)
    if found and scaled:
        assert (scaled.date, scaled.since) == (found.date, found.since)
        assert scaled.statistic == pytest.approx(found.statistic)


@quick
@given(st.lists(st.tuples(errors, errors), min_size=2, max_size=40), st.randoms(use_true_random=False))
def test_days_count_in_the_order_of_their_dates(pairs: list[tuple[float, float]], random: object) -> None:
    champion, naive = days([a for a, _ in pairs]), days([b for _, b in pairs])
    shuffled = list(champion)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = worsening({d: champion[d] for d in shuffled}, {d: naive[d] for d in reversed(shuffled)}, 0, 0.5)
    assert again == worsening(champion, naive, 0, 0.5)


def worse(from_day: int = 20, length: int = 40) -> dict[dt.date, Sums]:
    return days([1.0] * from_day + [2.0] * (length - from_day))


def test_what_is_to_come_does_not_change_when_it_rose() -> None:
    whole = worsening(worse(), days([1.0] * 40), 0, 0.5)
    assert whole is not None
    for known in range(1, 41):
        champion = dict(list(worse().items())[:known])
        early = worsening(champion, days([1.0] * 40), 0, 0.5)
        assert early == (whole if START + dt.timedelta(known - 1) >= whole.date else None)


SPOILT: Mapping[str, Mapping[str, object]] = {
    "other rows": {"digest": "b" * 16},
    "no error": {"error": 0.0},
    "an unknown error": {"error": math.nan},
    "an endless error": {"error": math.inf},
}


@pytest.mark.parametrize("change", SPOILT.values(), ids=SPOILT)
def test_a_day_that_cannot_be_compared_does_not_count(change: Mapping[str, object]) -> None:
    champion, naive = worse(), days([1.0] * 40)
    spoilt = {d: replace(s, **change) if d >= START + dt.timedelta(20) else s for d, s in champion.items()}  # type: ignore[arg-type]
    assert worsening(champion, naive, 0, 0.5) is not None
    assert worsening(spoilt, naive, 0, 0.5) is None
    assert worsening(champion, {d: replace(s, **change) for d, s in naive.items()}, 0, 0.5) is None  # type: ignore[arg-type]


def test_a_day_that_only_one_was_scored_on_does_not_count() -> None:
    assert worsening(worse(), days([1.0] * 20), 0, 0.5) is None
    assert worsening(worse(), {}, 0, 0.5) is None


@quick
@given(st.lists(st.tuples(errors, errors), min_size=1, max_size=60), st.integers(1, MIN_ROWS))
def test_small_days_are_pooled_until_they_hold_enough_rows(pairs: list[tuple[float, float]], rows: int) -> None:
    size = -(-MIN_ROWS // rows)
    whole = [pairs[i : i + size] for i in range(0, len(pairs) - size + 1, size)]
    champion, naive = days([a for a, _ in pairs], rows), days([b for _, b in pairs], rows)
    pooled = worsening(days([sum(a for a, _ in w) for w in whole]), days([sum(b for _, b in w) for w in whole]), 0, 0.5)
    found = worsening(champion, naive, 0, 0.5)
    assert (found and found.statistic) == (pooled and pooled.statistic)
    if found and pooled:
        assert (found.date - START).days == size * (pooled.date - START).days + size - 1


def test_an_alarm_says_what_rose_since_when_and_by_how_much() -> None:
    champion = days([0.91] * 10 + [1.08] * 20)
    found = worsening(champion, days([1.0] * 30), 0, 0.5)
    assert found is not None
    assert found.words("price", 7) == (
        "price: errors 7 days ahead rose against persistence since 12 Jan: 0.91 of its WAPE -> 1.08"
    )
    assert found.words("demand", 1, "seasonal_naive").startswith(
        "demand: errors 1 day ahead rose against seasonal naive"
    )
