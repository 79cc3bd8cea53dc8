"""The binder: everything it writes it reads back, and people get every mistake at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retraind.core import binding
from retraind.core.binding import Mistake, Mistakes, bind, unbind
from retraind.core.units import Percent, Size, Span


@dataclass(frozen=True)
class Inner:
    name: str
    span: Span = Span(60)


@dataclass(frozen=True)
class Outer:
    count: int
    ratio: float | None
    kind: Literal["a", "b"]
    days: tuple[dt.date, ...] = ()
    inner: Mapping[str, Inner] | None = None
    at: dt.datetime | None = None


inners = st.builds(Inner, st.text(max_size=5), st.integers(0, 10**7).map(Span))
outers = st.builds(
    Outer,
    st.integers(-(2**53), 2**53),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["a", "b"]),
    st.lists(st.dates()).map(tuple),
    st.none() | st.dictionaries(st.text(max_size=3), inners, max_size=3),
    st.none() | st.datetimes(timezones=st.just(dt.UTC)),
)


@given(outers)
def test_what_is_unbound_is_bound_again(value: Outer) -> None:
    assert bind(Outer, unbind(value)) == value


words = st.text(max_size=3) | st.sampled_from(["a", "60s", "2026-11-24", "2026-11-24T09:00:00+00:00", "90d"])
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "span", "x"]), inner, max_size=3),
    max_leaves=4,
)
nearly = st.fixed_dictionaries(
    {"count": plain, "ratio": plain, "kind": plain},
    optional={"days": plain, "inner": plain, "at": plain, "more": plain},
)


@given(st.one_of(plain, nearly, outers.map(unbind)), st.booleans())
def test_the_quick_way_takes_what_the_slow_one_takes_and_nothing_else(value: object, strict: bool) -> None:
    mistakes: list[Mistake] = []
    slow = binding._bind(Outer, value, (), strict, mistakes)
    if mistakes:
        with pytest.raises(binding._Unfit):
            binding._quick(Outer, strict)(value)
    else:
        quick = binding._quick(Outer, strict)(value)
        assert repr(quick) == repr(slow)  # so that NaN is itself


def test_every_mistake_is_told_with_its_path() -> None:
    with pytest.raises(Mistakes) as caught:
        bind(Outer, {"count": "many", "ratio": 1, "kind": "c", "colour": 1, "days": ["2026-13-01"]})
    assert {m.path for m in caught.value.mistakes} == {("count",), ("kind",), ("colour",), ("days", 0)}


@given(outers)
def test_what_is_unbound_without_its_defaults_is_the_same_and_shorter(value: Outer) -> None:
    short = unbind(value, sparse=True)
    assert bind(Outer, short) == value
    assert short.items() <= unbind(value).items() or value.inner
    assert unbind(Outer(1, None, "a"), sparse=True) == {"count": 1, "ratio": None, "kind": "a"}


def test_a_word_nearly_right_gets_the_right_one() -> None:
    with pytest.raises(Mistakes, match="did you mean count"):
        bind(Outer, {"cuont": 1, "count": 1, "ratio": None, "kind": "a"})


def test_what_a_later_release_added_is_passed_over() -> None:
    assert bind(Inner, {"name": "x", "added_later": [1]}, strict=False) == Inner("x")


def test_a_number_is_no_truth_and_a_truth_no_number() -> None:
    for value in (True, 1.5, "1"):
        with pytest.raises(Mistakes):
            bind(Outer, {"count": value, "ratio": None, "kind": "a"})


@given(st.integers(0, 10**9))
def test_a_span_reads_what_it_writes(seconds: int) -> None:
    assert Span.parse(str(Span(seconds))) == Span(seconds)


@pytest.mark.parametrize("text", ["14", "d", "1.5d", "-1d", "1 day", ""])
def test_a_span_without_a_known_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a span"):
        Span.parse(text)


def test_percents_and_sizes_carry_their_units() -> None:
    assert Percent.parse("0.5%").share == 0.005
    assert str(Size.parse("700MB")) == "700MB"
    with pytest.raises(ValueError, match="not a percentage"):
        Percent.parse("5")
