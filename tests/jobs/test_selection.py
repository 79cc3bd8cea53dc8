"""The choice of features: on the training days alone, and for the reasons that it gives."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest

from retraind.jobs.data.features import FeatureTable, build
from retraind.jobs.data.splits import borders
from retraind.jobs.training.selection import Choice, choose, told
from retraind.settings import Split
from trained_shop import CONTRACT, frame

HORIZONS = (1, 7)
ROWS = frame(items=4, days=330)
TABLE = build(ROWS, CONTRACT, HORIZONS)
BORDER = borders(TABLE.origin, Split()).validation
PRICE = "avg_price_rmb_kg"


def chosen(table: FeatureTable, keep: int = 90, target: str = "price") -> Choice:
    return choose(table, target, HORIZONS, BORDER, keep)


def with_values(**columns: Any) -> FeatureTable:
    """The table with the values of some features replaced."""
    return dataclasses.replace(TABLE, x=TABLE.x.assign(**columns))


def why(choice: Choice) -> dict[str, str]:
    return {one.name: one.why for one in choice.dropped}


CHOICE = chosen(TABLE)


def test_what_is_kept_and_what_is_dropped_are_all_the_candidates_once() -> None:
    names = [*CHOICE.kept, *(one.name for one in CHOICE.dropped)]
    assert sorted(names) == sorted(m.everywhere for m in TABLE.described)
    assert len(CHOICE.kept) <= 90


def test_nothing_from_the_border_on_can_change_the_choice() -> None:
    later = ROWS["date"] >= pd.Timestamp(BORDER)
    changed = ROWS.copy()
    rng = np.random.default_rng(1)
    for column in (PRICE, "quantity_kg", "wholesale_price_rmb_kg", "discount_rate"):
        changed.loc[later, column] = changed.loc[later, column].to_numpy() * rng.lognormal(0, 2, later.sum())
    assert chosen(build(changed, CONTRACT, HORIZONS), keep=40) == chosen(TABLE, keep=40)


def test_what_never_changes_is_constant_and_what_is_no_longer_known_is_gone() -> None:
    early = TABLE.origin < np.datetime64("2022-03-01")
    choice = chosen(with_values(weekday=3.0, discount_rate_known=np.where(early, TABLE.x["discount_rate_known"], np.nan)))
    assert (why(choice)["weekday"], why(choice)["discount_rate_known"]) == ("constant", "gone")


def test_a_duplicate_names_what_it_is_the_same_as() -> None:
    again = {one.name: one for one in CHOICE.dropped}[f"{PRICE}_today"]
    assert (again.why, again.of) == ("duplicate", f"{PRICE}_log")  # no tree can tell a value from its logarithm


def test_the_same_at_one_horizon_only_is_no_duplicate() -> None:
    assert TABLE.x["target_weekday_ahead_7"].equals(TABLE.x["weekday"])
    assert "target_weekday_ahead_*" not in why(chosen(TABLE, keep=200))
    both = with_values(target_weekday_ahead_1=TABLE.x["weekday"])
    assert why(chosen(both))["target_weekday_ahead_*"] == "duplicate"


def test_what_grows_with_the_calendar_is_unstable_and_a_season_is_not() -> None:
    table = build(frame(items=2, days=600), CONTRACT, HORIZONS)
    day = (table.origin - table.origin[0]).astype(float)
    more = dataclasses.replace(table, x=table.x.assign(discount_rate_known=day**2, transaction_count_known=np.sin(day / 58)))
    dropped = why(choose(more, "price", HORIZONS, borders(table.origin, Split()).validation, 90))
    assert dropped["discount_rate_known"] == "unstable"
    assert "transaction_count_known" not in dropped
    assert "unstable" not in why(CHOICE).values()  # within a year a season looks like a trend


def test_of_the_rest_those_that_say_least_of_the_target_go() -> None:
    noise = np.random.default_rng(2).normal(size=len(TABLE.x))
    actual = TABLE.targets["price"][1] / TABLE.x[f"{PRICE}_today"]
    choice = chosen(with_values(discount_rate_known=noise, transaction_count_known=actual.fillna(1.0)), keep=30)
    assert why(choice)["discount_rate_known"] == "least"
    assert "transaction_count_known" in choice.kept
    assert len(choice.kept) == 30
    assert "category_name" in choice.kept


def test_a_target_of_its_own_has_a_choice_of_its_own() -> None:
    assert set(chosen(TABLE, 40).kept) != set(chosen(TABLE, 40, "demand").kept)


def test_the_choice_is_told_in_a_sentence() -> None:
    text = told(CHOICE, "price")
    assert text.startswith(f"price: {len(CHOICE.kept)} of {len(TABLE.described)} features")
    for reason, many in Counter(why(CHOICE).values()).items():
        assert f"{many} {'that say least' if reason == 'least' else 'no longer known' if reason == 'gone' else reason}" in text


@pytest.mark.parametrize("days", [1, 3])
def test_a_history_too_short_to_choose_on_keeps_what_there_is(days: int) -> None:
    choice = choose(TABLE, "price", HORIZONS, TABLE.origin[0] + np.timedelta64(days, "D"), 90)
    assert len(choice.kept) + len(choice.dropped) == len(TABLE.described)
