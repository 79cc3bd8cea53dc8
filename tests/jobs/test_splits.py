"""Splits: by the target's date, nothing learnt from beyond a border."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retraind.core.units import Percent
from retraind.jobs.data.splits import borders, known_before, within
from retraind.settings import Split

START = np.datetime64("2022-01-01")
days = st.lists(st.integers(0, 600), min_size=20, max_size=200)
horizons = st.integers(1, 40)


@given(days=days, horizon=horizons)
def test_what_is_learnt_was_known_before_anything_scored_began(days: list[int], horizon: int) -> None:
    origin = START + np.array(days).astype("timedelta64[D]")
    target = origin + np.timedelta64(horizon, "D")
    if len(set(days)) < 20:
        return
    cut = borders(origin, Split())
    train, judged_on = known_before(target, cut.validation), known_before(target, cut.test)
    validation = within(origin, target, cut.validation, cut.test)
    test = within(origin, target, cut.test, cut.end)
    assert (target[train] < cut.validation).all()
    assert (origin[validation] >= cut.validation).all()
    assert (target[validation] < cut.test).all()
    assert (origin[test] >= cut.test).all()
    assert not (train & validation).any()
    assert not (judged_on & test).any()
    straddling = (origin < cut.test) & (target >= cut.test)
    assert not (straddling & (train | judged_on | validation | test)).any()


def test_the_parts_hold_their_shares_of_the_dates() -> None:
    dates = START + np.arange(200).astype("timedelta64[D]")
    cut = borders(dates, Split())
    assert (cut.validation - START).astype(int) == 140
    assert (cut.test - START).astype(int) == 170
    assert cut.last == dates[-1]


def test_a_date_with_many_rows_counts_once() -> None:
    dates = START + np.arange(100).astype("timedelta64[D]")
    assert borders(np.concatenate([dates, dates[:1].repeat(500)]), Split()) == borders(dates, Split())


def test_too_few_dates_are_said_and_not_split() -> None:
    with pytest.raises(ValueError, match="3 dates leave a part empty"):
        borders(START + np.arange(3).astype("timedelta64[D]"), Split())


def test_a_split_of_our_choice_is_kept() -> None:
    dates = START + np.arange(100).astype("timedelta64[D]")
    cut = borders(dates, Split(Percent(50), Percent(20), Percent(30)))
    assert (cut.validation - START).astype(int) == 50
    assert (cut.test - START).astype(int) == 70
