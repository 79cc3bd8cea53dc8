"""The blend: its weights are chosen on validation days alone, and it says what its parts say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from retraind.jobs.data.features import FeatureTable, build
from retraind.jobs.data.splits import Borders, borders, known_before
from retraind.jobs.training import blend, portfolio, served_model
from retraind.jobs.training.blend import chosen, exchange
from retraind.jobs.training.evaluate import Ground, ground
from retraind.jobs.training.portfolio import Fitted
from retraind.settings import Split
from trained_shop import CONTRACT, frame

HORIZONS = (1, 7)
ROWS = frame(items=3, days=260)
TABLE = build(ROWS, CONTRACT, HORIZONS)
CUT = borders(TABLE.origin, Split())
COLUMNS = {"price": "avg_price_rmb_kg", "demand": "quantity_kg"}


def validation(target: str, table: FeatureTable = TABLE, cut: Borders = CUT) -> Ground:
    return ground(table, target, COLUMNS[target], HORIZONS, cut.validation, cut.test)


@pytest.fixture(scope="module", params=["price", "demand"])
def fitted(request: pytest.FixtureRequest) -> Fitted:
    """A fit of all parts on the training days, quick ones."""
    recipe = portfolio.recipe("blend", request.param, TABLE, HORIZONS, seed=3)
    for part in recipe["params"]["parts"].values():
        if "max_iter" in part["params"]:
            part["params"]["max_iter"] = 10
    learn = {h: known_before(TABLE.target_day(h), CUT.validation) for h in HORIZONS}
    return portfolio.fit(recipe, TABLE, learn, threads=1)


@effort(max_examples=50, deadline=None)
@given(wanted=st.lists(st.integers(0, 50), min_size=2, max_size=5).filter(any))
def test_exchange_finds_the_weights_of_a_bowl_to_its_last_step(wanted: list[int]) -> None:
    share = np.array(wanted) / sum(wanted)
    found = exchange(lambda w: float(((w - share) ** 2).sum()), len(wanted))
    assert found.sum() == pytest.approx(1)
    assert (found >= -1e-12).all()
    assert np.abs(found - share).max() <= blend.STEPS[-1]


def test_a_cost_that_is_no_number_ends_the_search() -> None:
    assert exchange(lambda _: float("nan"), 3).tolist() == [1 / 3] * 3


def test_weights_are_shares_that_a_price_need_not_use_up(fitted: Fitted) -> None:
    target = fitted.recipe["target"]
    recipe = chosen(fitted, TABLE, validation(target)).recipe
    for h in ("h1", "h7"):
        weights = recipe["params"]["weights"][h]
        assert set(weights) == set(recipe["params"]["parts"])
        assert all(w >= 0 for w in weights.values())
        total = sum(weights.values())
        assert total == pytest.approx(1, abs=0.02) if target == "demand" else total <= 1.02
        assert (recipe["params"]["guards"][h] is None) or target == "price"


def test_a_part_that_knows_gets_nearly_all_the_weight(fitted: Fitted) -> None:
    target = fitted.recipe["target"]
    rows = validation(target)
    floor = fitted.model["floor"]
    rng = np.random.default_rng(0)
    actual = rows.actual[1]
    names = list(fitted.recipe["params"]["parts"])
    amounts = {name: actual * rng.lognormal(0, 1, len(actual)) + floor for name in names}
    amounts[names[0]] = actual + floor
    halves = [blend._Rows(actual, rows.naive["persistence"][1] + floor, amounts, rows.naive["persistence"][1], floor)]
    weights, _ = blend._choose(halves, target == "demand")
    assert weights[names[0]] > 0.9


def test_where_parts_are_noise_a_price_stays_as_it_is() -> None:
    rng = np.random.default_rng(0)
    today = rng.lognormal(1, 0.5, 400)
    actual = today * rng.lognormal(0, 0.01, 400)
    amounts = {name: actual * rng.lognormal(0, 1, 400) for name in ("absolute", "squared", "level", "ridge")}
    weights, _ = blend._choose([blend._Rows(actual, today, amounts, today, 0.0)], flow=False)
    assert sum(weights.values()) < 0.1


def test_the_choice_does_not_know_the_test_days(fitted: Fitted) -> None:
    target = fitted.recipe["target"]
    early = ROWS["date"].to_numpy().astype("datetime64[D]") < CUT.test
    wild = ROWS.copy()
    for column in COLUMNS.values():
        wild[column] = wild[column].where(early, 77.0)
    other = build(wild, CONTRACT, HORIZONS)
    learn = {h: known_before(other.target_day(h), CUT.validation) for h in HORIZONS}
    again = portfolio.fit(fitted.recipe, other, learn, threads=1)
    one = chosen(fitted, TABLE, validation(target))
    assert chosen(again, other, validation(target, other)).recipe == one.recipe


def test_no_block_of_the_validation_days_is_forecast_with_weights_that_have_seen_it(fitted: Fitted) -> None:
    target = fitted.recipe["target"]
    rows = validation(target)
    before = chosen(fitted, TABLE, rows).forecasts[1]
    days = TABLE.origin[rows.marked[1]]
    last = days >= np.array_split(np.unique(days), blend.BLOCKS)[-1][0]
    said, _ = portfolio.amounts(fitted, TABLE, 1, rows.marked[1])
    level = np.maximum(said["level"] - fitted.model["floor"], 0)
    actual = {**rows.actual, 1: np.where(last, level, rows.actual[1])}  # as if that part knew the last block
    after = chosen(fitted, TABLE, dataclasses.replace(rows, actual=actual)).forecasts[1]
    assert np.array_equal(before[last], after[last])
    assert not np.array_equal(before[~last], after[~last])


def test_parts_without_weight_are_not_fitted_again_and_the_rest_say_the_same(fitted: Fitted) -> None:
    target = fitted.recipe["target"]
    parts = list(fitted.recipe["params"]["parts"])
    weights = {**dict.fromkeys(parts, 0.0), parts[0]: 0.6, parts[-1]: 0.4}
    recipe = {**fitted.recipe, "params": {**fitted.recipe["params"], "weights": {"h1": weights, "h7": weights}}}
    learn = {h: known_before(TABLE.target_day(h), CUT.validation) for h in HORIZONS}
    slim = portfolio.fit(recipe, TABLE, learn, threads=1)
    assert set(slim.estimators["h1"]) == {parts[0], parts[-1]}
    marked = validation(target).marked[1]
    said, reference = portfolio.amounts(fitted, TABLE, 1, marked)
    expected = said[parts[0]] ** 0.6 * said[parts[-1]] ** 0.4 - fitted.model["floor"]
    np.testing.assert_allclose(portfolio.forecast(slim, TABLE, 1, marked), np.maximum(expected, 0), rtol=1e-9)
    assert (reference > 0).all()


def test_a_guard_goes_the_rest_of_the_way_where_a_price_is_freakish() -> None:
    parts = {
        "absolute": {"weight": 1.0, "scale": "log", "tamed": False, "answers": [-1, 1], "factor": 1.0},
        "level": {"weight": 0.0, "scale": "level", "tamed": False, "answers": [1, 50], "factor": 1.0},
    }
    amounts = {"absolute": np.array([10.0, 1000.0]), "level": np.array([11.0, 10.0])}
    horizon = {"parts": parts, "guard": {"part": "level", "limit": 0.5}}
    answer = served_model.blended(horizon, amounts, np.array([10.0, 1000.0]))
    np.testing.assert_allclose(answer, [10.0, 10 * np.exp(0.5)])


@pytest.mark.parametrize("fitted", ["demand"], indirect=True)
def test_amounts_are_forecast_without_bias_on_the_days_that_were_learnt(fitted: Fitted) -> None:
    learnt = known_before(TABLE.target_day(1), CUT.validation) & np.isfinite(TABLE.targets["demand"][1])
    said, reference = portfolio.amounts(fitted, TABLE, 1, learnt)
    known = np.isfinite(reference)
    total = (TABLE.targets["demand"][1][learnt] + fitted.model["floor"])[known].sum()
    assert all(values[known].sum() == pytest.approx(total, rel=portfolio.UNBIASED_FROM) for values in said.values())
