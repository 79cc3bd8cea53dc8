"""Features: none knows its future, and the quick ones equal their slow definitions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from retraind.jobs.data import features
from retraind.jobs.data.features import Feature, FeatureTable, build
from retraind.jobs.data.panel import Panel
from retraind.settings import Contract
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
    leaking = Feature("leak_{c}", "leak", "level", leak, LEAKS[leak])
    monkeypatch.setattr(features, "TABLE", (*features.TABLE, leaking))
    before = build(ROWS, CONTRACT, HORIZONS)
    caught = set()
    for seed in range(8):
        origin = ROWS["date"].min() + pd.Timedelta(days=100 + 30 * seed)
        after = build(disturbed(ROWS, origin, seed), CONTRACT, HORIZONS)
        caught |= set(moved(before, after, np.datetime64(origin, "D")))
    assert caught == {f"leak_{PRICE}"}


def test_there_are_forty_features_and_more_each_with_its_sentence() -> None:
    names = [m.name for m in TABLE.described]
    assert len(names) == len(set(names)) >= 40
    assert all(m.feature.reads and m.feature.group for m in TABLE.described)
    assert len(TABLE.columns(7, HORIZONS)) == len(names)


def test_a_horizon_sees_only_what_speaks_of_its_own_day() -> None:
    columns = TABLE.columns(1, HORIZONS)
    assert "target_weekday_ahead_1" in columns
    assert not [c for c in columns if c.endswith(("_ahead_7", "_ahead_30"))]


# ---- slow definitions: one row at a time, by dates ----


class Past:
    """What a row may look at, as (date, value) pairs of its own entity."""

    def __init__(self, row: int) -> None:
        self.origin = pd.Timestamp(TABLE.origin[row])
        self.entity = TABLE.entity[row]
        mine = ROWS[(ROWS["item_code"] == self.entity) & (ROWS["date"] <= self.origin)]
        self.series = {c: mine.set_index("date")[c].astype(float) for c in (PRICE, KG, "wholesale_price_rmb_kg")}

    def window(self, column: str, days: int) -> pd.Series:
        s = self.series[column]
        return s[s.index > self.origin - pd.Timedelta(days=days)]

    def known(self, column: str, back: int = 0) -> float:
        s = self.series[column]
        s = s[s.index <= self.origin - pd.Timedelta(days=back)]
        return float(s.iloc[-1]) if len(s) else math.nan


def contrast(a: float, b: float) -> float:
    return (a - b) / (a + b)


def weekday_mean(past: Past, horizon: int) -> float:
    target = past.origin + pd.Timedelta(days=horizon)
    back = past.window(KG, 56)
    same = back[back.index.day_of_week == target.weekday()]
    return contrast(float(same.mean()), float(past.window(KG, 14).mean())) if len(same) else math.nan


def carried(past: Past, days: int) -> float:
    known = [math.log(past.known(PRICE, back)) for back in range(days)]
    return math.log(past.known(PRICE)) - float(np.nanmean(known))


SLOW: dict[str, Callable[[Past], float]] = {
    f"{PRICE}_today": lambda p: p.known(PRICE),
    f"{PRICE}_change_7": lambda p: math.log(p.known(PRICE)) - math.log(p.known(PRICE, 7)),
    f"{PRICE}_over_mean_14": lambda p: math.log(p.known(PRICE)) - float(np.log(p.window(PRICE, 14)).mean()),
    f"{PRICE}_spread_28": lambda p: float(np.log(p.window(PRICE, 28)).std(ddof=0)),
    f"{PRICE}_over_min_28": lambda p: math.log(p.known(PRICE)) - math.log(p.window(PRICE, 28).min()),
    f"{PRICE}_under_max_28": lambda p: math.log(p.known(PRICE)) - math.log(p.window(PRICE, 28).max()),
    f"{PRICE}_over_ever": lambda p: math.log(p.known(PRICE)) - float(np.log(p.series[PRICE]).mean()),
    f"{PRICE}_over_carried_28": lambda p: carried(p, 28),
    f"{PRICE}_last_year_ahead_30": lambda p: math.log(p.known(PRICE, 364 - 30)) - math.log(p.known(PRICE, 364)),
    f"{KG}_mean_14": lambda p: float(p.window(KG, 14).mean()),
    f"{KG}_lag_7": lambda p: contrast(p.known(KG, 7), float(p.window(KG, 14).mean())),
    f"{KG}_per_day_28": lambda p: contrast(
        p.window(KG, 28).sum() / min(28, (p.origin - p.series[KG].index[0]).days + 1), float(p.window(KG, 14).mean())
    ),
    f"{KG}_max_28": lambda p: contrast(p.window(KG, 28).max(), float(p.window(KG, 14).mean())),
    f"{KG}_weekday_8_ahead_1": lambda p: weekday_mean(p, 1),
    f"{KG}_weekday_8_ahead_30": lambda p: weekday_mean(p, 30),
    "sold_share_7": lambda p: len(p.window(KG, 7)) / min(7, (p.origin - p.series[KG].index[0]).days + 1),
    "age": lambda p: math.log1p((p.origin - p.series[KG].index[0]).days),
    "days_since_sale": lambda p: (
        min((p.origin - p.series[KG].index[-2]).days, 60) if len(p.series[KG]) > 1 else math.nan
    ),
    "weekday": lambda p: p.origin.weekday(),
    "target_weekday_ahead_30": lambda p: (p.origin + pd.Timedelta(days=30)).weekday(),
    f"{PRICE}_over_wholesale_price_rmb_kg": lambda p: math.log(p.known(PRICE) / p.known("wholesale_price_rmb_kg")),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_quick_feature_equals_its_slow_definition(name: str) -> None:
    rows = np.random.default_rng(7).choice(len(TABLE.x), 60, replace=False)
    slow = [SLOW[name](Past(row)) for row in rows]
    np.testing.assert_allclose(TABLE.x[name].to_numpy()[rows], slow, rtol=1e-9, atol=1e-9)
    assert np.isfinite(slow).any()


def test_the_index_of_a_group_chains_the_mean_changes_since_each_items_last_sale() -> None:
    ordered = ROWS.sort_values(["item_code", "date"])
    change = np.log(ordered[PRICE]).groupby(ordered["item_code"]).diff()
    daily = change.groupby([ordered["category_name"], ordered["date"]]).mean().fillna(0)
    index = daily["leaves"].reindex(pd.date_range(ROWS["date"].min(), ROWS["date"].max())).fillna(0).cumsum()
    row = int(np.flatnonzero((TABLE.entity == "item-2") & (TABLE.origin > np.datetime64("2022-09-01")))[0])
    day = pd.Timestamp(TABLE.origin[row])
    expected = index[day] - index[day - pd.Timedelta(days=7)]
    assert TABLE.x[f"{PRICE}_index_category_name_7"][row] == pytest.approx(expected, abs=1e-9)


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
    gone = {"discount_rate_known", "discount_rate_over_mean_28"}
    assert set(TABLE.x.columns) - set(less.x.columns) == gone


def test_the_target_is_the_value_so_many_calendar_days_later_or_nothing() -> None:
    by_day = ROWS.set_index(["item_code", "date"])[KG]
    for row in range(0, len(TABLE.x), 37):
        key = (TABLE.entity[row], pd.Timestamp(TABLE.origin[row]) + pd.Timedelta(days=7))
        assert TABLE.targets["demand"][7][row] == pytest.approx(by_day.get(key, math.nan), nan_ok=True)
