"""Features: none knows its future; each has its names; what they are worth by row is `test_feature_definitions`'."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from retraind.errors import Refused
from retraind.jobs.data import features
from retraind.jobs.data.features import Feature, FeatureTable, build
from retraind.jobs.data.panel import Panel
from retraind.jobs.training import portfolio
from retraind.settings import Contract, FeatureSource
from trained_shop import CONTRACT, config, frame

HORIZONS = (1, 7, 30)
ROWS = frame(items=4, days=410)
TABLE = build(ROWS, CONTRACT, HORIZONS)
PRICE, KG = "avg_price_rmb_kg", "quantity_kg"


def moved(before: FeatureTable, after: FeatureTable, origin: np.datetime64) -> list[str]:
    """The features that are not the same, bit for bit, at every row up to `origin`."""
    kept = before.origin <= origin
    again = after.origin <= origin
    assert list(before.entity[kept]) == list(after.entity[again])
    assert list(before.x.columns) == list(after.x.columns)
    return [
        name
        for name in before.x.columns
        if not before.x.loc[kept, name].reset_index(drop=True).equals(after.x.loc[again, name].reset_index(drop=True))
    ]


def disturbed(rows: pd.DataFrame, after: pd.Timestamp, seed: int) -> pd.DataFrame:
    """The rows with everything after a date changed: values, words, rows gone, rows come, an entity never seen before."""
    rng = np.random.default_rng(seed)
    past, future = rows[rows["date"] <= after], rows[rows["date"] > after].copy()
    future = future[rng.random(len(future)) < rng.choice([0.3, 0.9, 1.0])]
    for column in (PRICE, KG, "wholesale_price_rmb_kg", "discount_rate", "transaction_count", "loss_rate_pct"):
        chosen = rng.random(len(future)) < rng.choice([0.05, 0.5, 1.0])
        future[column] = future[column].astype(float).where(~chosen, future[column] * rng.lognormal(0, 2, len(future)))
        if rng.random() < 0.3:
            future.loc[rng.random(len(future)) < 0.2, column] = np.nan
    future["category_name"] = rng.choice(["roots", "leaves", "a new one"], len(future))
    days = pd.date_range(after + pd.Timedelta(days=1), periods=5)
    new = pd.DataFrame({**{c: rows[c].iloc[:5].to_numpy() for c in rows}, "date": days, "item_code": "aaa"})
    return pd.concat([past, future, new], ignore_index=True)


@effort(max_examples=30, deadline=None)
@given(day=st.integers(5, 405), seed=st.integers(0, 10**6))
def test_no_feature_moves_when_anything_after_its_origin_changes(day: int, seed: int) -> None:
    origin = ROWS["date"].min() + pd.Timedelta(days=day)
    after = build(disturbed(ROWS, origin, seed), CONTRACT, HORIZONS)
    assert moved(TABLE, after, np.datetime64(origin, "D")) == []


LEAKS: dict[str, Callable[[Panel, str], object]] = {
    "tomorrow's price": lambda p, c: np.vstack([p.value(c)[1:], p.value(c)[:1]]),
    "the next sale's price": lambda p, c: pd.DataFrame(p.value(c)).bfill().shift(-1).to_numpy(),
    "a mean over all days": lambda p, c: np.broadcast_to(np.nanmean(p.value(c), axis=0), p.value(c).shape),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_put_in_on_purpose_is_caught(leak: str, monkeypatch: pytest.MonkeyPatch) -> None:
    leaking = Feature("leak_{c}", "leak", "level", leak, LEAKS[leak], leak, leak)
    monkeypatch.setattr(features, "TABLE", (*features.TABLE, leaking))
    before = build(ROWS, CONTRACT, HORIZONS)
    caught = set()
    for seed in range(8):
        origin = ROWS["date"].min() + pd.Timedelta(days=100 + 30 * seed)
        after = build(disturbed(ROWS, origin, seed), CONTRACT, HORIZONS)
        caught |= set(moved(before, after, np.datetime64(origin, "D")))
    assert caught == {f"leak_{PRICE}"}


def test_there_are_a_hundred_features_and_more_each_with_its_sentence() -> None:
    names = [m.name for m in TABLE.described]
    assert len(names) == len(set(names)) >= 105
    assert all(m.feature.reads and m.feature.group for m in TABLE.described)
    assert len(TABLE.columns(7)) == len(names)
    assert set(TABLE.columns(7)) <= set(TABLE.x.columns)


@pytest.mark.parametrize("language", ["name_en", "name_zh"])
def test_every_feature_has_a_name_of_its_own_in_words(language: str) -> None:
    spoken = [getattr(m, language) for m in TABLE.described]
    assert len(spoken) == len(set(spoken))
    assert not [name for name in spoken if not name or "_" in name or "{" in name]


def test_a_chinese_name_is_chinese() -> None:
    assert [m.name for m in TABLE.described if not any("\u4e00" <= sign <= "\u9fff" for sign in m.name_zh)] == []


def test_a_sign_is_stated_for_a_level_and_a_flow() -> None:
    signs = {m.name: (m.sign("level"), m.sign("flow")) for m in TABLE.described}
    assert {sign for both in signs.values() for sign in both} == {-1, 0, 1}
    assert signs[f"{PRICE}_over_mean_28"] == (-1, -1)  # dear against its mean: it comes down, and less is sold
    assert signs[f"{KG}_lag_7"] == (0, 1)
    assert signs["weekday"] == (0, 0)


def test_a_column_that_the_contract_does_not_name_is_called_as_it_is() -> None:
    bare = dataclasses.replace(CONTRACT, names={})
    spoken = {m.name: (m.name_en, m.name_zh) for m in features.describe(bare)}
    assert spoken[f"{PRICE}_change_7"] == ("avg price rmb kg: change in 7 days", "avg price rmb kg7日变化")


def test_from_drop_only_what_the_drops_bring_may_be_used() -> None:
    came = build(ROWS, CONTRACT, HORIZONS, "from_drop")
    assert [m.name for m in came.described] == [
        f"{PRICE}_known", f"{KG}_known", "wholesale_price_rmb_kg_known", "discount_rate_known", "transaction_count_known",
        "loss_rate_pct", "category_name",
    ]  # fmt: skip
    recipe = portfolio.recipe("ridge", "demand", came, HORIZONS, seed=1)
    assert recipe["features"] == [m.name for m in came.described]
    pd.testing.assert_frame_equal(came.x, TABLE.x)  # a model of another setting finds its features in either


@pytest.mark.parametrize("source", ["built", "from_drop"])
def test_a_feature_of_both_sources_is_described_as_the_one_in_use_does(source: FeatureSource) -> None:
    table = build(ROWS, CONTRACT, HORIZONS, source)
    made = {m.name: m for m in table.made}
    assert all(made[m.name] is m for m in table.described)


def test_what_reports_call_a_column_must_be_a_column() -> None:
    with pytest.raises(Refused) as caught:
        config(**{"quantity_kg: {en: amount sold, zh: 销量}": "quantity: {en: amount sold, zh: 销量}"})
    assert any("is no column of any table" in m.what for m in caught.value.mistakes)


def test_a_horizon_sees_only_what_speaks_of_its_own_day() -> None:
    columns = TABLE.columns(1)
    assert "target_weekday_ahead_1" in columns
    assert not [c for c in columns if c.endswith(("_ahead_7", "_ahead_30"))]


def test_spring_festival_and_the_next_feast_are_counted_from_the_day() -> None:
    at = {str(day): row for row, day in enumerate(TABLE.origin)}
    assert TABLE.x["spring_festival"][at["2023-01-20"]] == -2  # the festival was on 2023-01-22
    assert TABLE.x["target_spring_festival_ahead_1"][at["2023-01-22"]] == 1
    assert TABLE.x["target_to_feast_ahead_1"][at["2022-09-28"]] == 2  # National Day
    assert TABLE.x["is_feast"][at["2022-10-01"]] == 1
    assert TABLE.x["is_feast"][at["2022-10-07"]] == 0  # a day off by decree is not known years ahead


def with_column(text: str) -> Contract:
    row = "transaction_count: {type: whole, at_least: 0, optional: true}"
    return config(**{row: f"{row}\n            {text}"}).pipelines["produce"].contract


@pytest.mark.parametrize("lag", [0, 3])
def test_a_ready_made_feature_passes_through_by_its_stated_lag(lag: int) -> None:
    contract = with_column(f"weather: {{type: number, feature: true, lag: {lag}}}")
    rows = ROWS.assign(weather=np.arange(len(ROWS), dtype=float))
    table = build(rows, contract, HORIZONS)
    mine = rows[rows["item_code"] == "item-1"].set_index("date")["weather"]
    for row in np.flatnonzero(table.entity == "item-1")[10:60:7]:
        known = mine[mine.index <= pd.Timestamp(table.origin[row]) - pd.Timedelta(days=lag)]
        assert table.x["weather"][row] == known.iloc[-1]


def test_a_column_that_is_optional_and_absent_only_takes_its_features_away() -> None:
    less = build(ROWS.drop(columns="discount_rate"), CONTRACT, HORIZONS)
    gone = {"discount_rate_known", "discount_rate_over_mean_28", "discount_rate_mean_7_over_28"}
    assert set(TABLE.x.columns) - set(less.x.columns) == gone


def test_the_target_is_the_value_so_many_calendar_days_later_or_nothing() -> None:
    by_day = ROWS.set_index(["item_code", "date"])[KG]
    for row in range(0, len(TABLE.x), 37):
        key = (TABLE.entity[row], pd.Timestamp(TABLE.origin[row]) + pd.Timedelta(days=7))
        assert TABLE.targets["demand"][7][row] == pytest.approx(by_day.get(key, math.nan), nan_ok=True)
