"""Requests name the same store files again and again; the state keeps each name once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retraind.core.state import Flow

stores = st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), max_size=6)


@given(stores)
def test_each_request_finds_exactly_its_files_in_their_order(named: list[list[str]]) -> None:
    flow = Flow()
    places = [flow.places_of(store) for store in named]
    back = [[name for first, after in one for name in flow.files[first:after]] for one in places]
    assert back == named
    assert len(flow.files) == len(set(flow.files))


def test_a_store_that_only_grows_takes_one_pair_of_numbers_a_request() -> None:
    flow = Flow()
    names = [f"{n:064x}" for n in range(1000)]
    assert [flow.places_of(names[:n]) for n in (10, 500, 1000)] == [((0, 10),), ((0, 500),), ((0, 1000),)]
    assert flow.files == names
