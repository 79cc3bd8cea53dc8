"""Recipes: what JSON says is all that a fit needs, and odd data have a sensible end."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from retraind.core.binding import unbind
from retraind.jobs.data.features import FeatureTable, build
from retraind.jobs.training import portfolio, served_model
from retraind.jobs.training.portfolio import ALGORITHMS, Lesson, Part, Unfit
from trained_shop import CONTRACT, frame

HORIZONS = (1, 7)
ROWS = frame(items=4, days=300)
TABLE = build(ROWS, CONTRACT, HORIZONS)
ALL = {h: np.ones(len(TABLE.x), dtype=bool) for h in HORIZONS}


def recipe_of(algorithm: str, target: str, table: FeatureTable) -> dict[str, object]:
    """The algorithm's recipe; a blend's parts grow few trees, because it has many of them."""
    recipe = portfolio.recipe(algorithm, target, table, HORIZONS, seed=3)
    for part in recipe["params"].get("parts", {}).values():
        if "max_iter" in part["params"]:
            part["params"] = {**part["params"], "max_iter": 25}
    return recipe


def forecasts(recipe: dict[str, object], table: FeatureTable, learn: dict[int, np.ndarray]) -> np.ndarray:
    fitted = portfolio.fit(recipe, table, learn, threads=1)
    return np.stack([portfolio.forecast(fitted, table, h, np.ones(len(table.x), dtype=bool)) for h in HORIZONS])


@pytest.mark.parametrize("target", ["price", "demand"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_recipe_read_back_from_json_gives_the_same_figures_to_the_last_digit(algorithm: str, target: str) -> None:
    recipe = recipe_of(algorithm, target, TABLE)
    again = json.loads(json.dumps(unbind(recipe)))
    assert portfolio.recipe_id(again) == portfolio.recipe_id(recipe)
    first, second = (forecasts(r, TABLE, ALL) for r in (recipe, again))
    assert np.array_equal(first, second, equal_nan=True)
    assert np.isfinite(first).all()
    assert (first >= 0).all()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_fit_learns_something(algorithm: str) -> None:
    recipe = recipe_of(algorithm, "demand", TABLE)
    answer = forecasts(recipe, TABLE, ALL)[0]
    actual = TABLE.targets["demand"][1]
    known = ~np.isnan(actual)
    naive = TABLE.panel.rows(TABLE.panel.known("quantity_kg"))
    assert np.abs(answer - actual)[known].mean() < 0.8 * np.abs(naive - actual)[known].mean()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_only_marked_rows_are_learnt_from(algorithm: str) -> None:
    recipe = recipe_of(algorithm, "price", TABLE)
    half = {h: TABLE.target_day(h) < TABLE.origin[len(TABLE.origin) // 2] for h in HORIZONS}
    border = TABLE.origin[len(TABLE.origin) // 2]
    wild = ROWS.assign(avg_price_rmb_kg=ROWS["avg_price_rmb_kg"].where(ROWS["date"] < str(border), 999.0))
    other = build(wild, CONTRACT, HORIZONS)
    before = TABLE.origin < border
    np.testing.assert_array_equal(forecasts(recipe, TABLE, half)[:, before], forecasts(recipe, other, half)[:, before])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_odd_columns_and_words_never_seen_have_a_sensible_end(algorithm: str) -> None:
    odd = ROWS.assign(
        discount_rate=np.nan,
        loss_rate_pct=1.0,
        category_name=np.where(ROWS["date"] > "2022-09-01", "late", ROWS["category_name"]),
    )
    table = build(odd, CONTRACT, HORIZONS)
    early = {h: table.target_day(h) < np.datetime64("2022-08-01") for h in HORIZONS}
    answer = forecasts(recipe_of(algorithm, "demand", table), table, early)
    assert np.isfinite(answer).all()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_constant_target_is_forecast_as_it_is(algorithm: str) -> None:
    table = build(ROWS.assign(avg_price_rmb_kg=7.0), CONTRACT, HORIZONS)
    answer = forecasts(recipe_of(algorithm, "price", table), table, ALL)
    np.testing.assert_allclose(answer, 7.0)


def test_an_amount_of_nothing_can_be_learnt_from_and_forecast() -> None:
    table = build(ROWS.assign(quantity_kg=ROWS["quantity_kg"].where(ROWS.index % 5 > 0, 0.0)), CONTRACT, HORIZONS)
    fitted = portfolio.fit(portfolio.recipe("ridge", "demand", table, HORIZONS, 3), table, ALL, 1)
    assert fitted.rows["h1"] == int((~np.isnan(table.targets["demand"][1])).sum())


def test_too_few_rows_are_said_with_their_number() -> None:
    few = {h: np.arange(len(TABLE.x)) < 10 for h in HORIZONS}
    with pytest.raises(Unfit, match=r"\d+ rows to learn price 1 days ahead from, 30 are needed"):
        portfolio.fit(portfolio.recipe("ridge", "price", TABLE, HORIZONS, 3), TABLE, few, 1)


def test_a_recipe_whose_feature_is_gone_names_it() -> None:
    less = build(ROWS.drop(columns="discount_rate"), CONTRACT, HORIZONS)
    with pytest.raises(Unfit, match="no longer give discount_rate_known"):
        portfolio.fit(portfolio.recipe("ridge", "price", TABLE, HORIZONS, 3), less, ALL, 1)


def test_a_part_that_two_recipes_share_is_fitted_once_and_weighed_by_each() -> None:
    memo: portfolio.Memo = {}
    recipe = portfolio.recipe("blend", "demand", TABLE, HORIZONS, seed=3)
    for part in recipe["params"]["parts"].values():
        part["params"] = {**part["params"], **({"max_iter": 5} if "max_iter" in part["params"] else {})}
    other = json.loads(json.dumps(recipe))
    other["params"]["weights"]["h1"] = {"absolute": 0.5, "root": 0.5, "level": 0.0, "ridge": 0.0}
    first = portfolio.fit(recipe, TABLE, ALL, 1, memo=memo)
    fitted = len(memo)
    second = portfolio.fit(other, TABLE, ALL, 1, memo=memo)
    assert fitted == len(memo) == 2 * 4
    assert second.estimators["h1"]["root"] is first.estimators["h1"]["root"]
    alone = portfolio.fit(other, TABLE, ALL, 1)
    rows = np.ones(len(TABLE.x), dtype=bool)
    assert np.array_equal(portfolio.forecast(second, TABLE, 1, rows), portfolio.forecast(alone, TABLE, 1, rows), True)
    reweighted = portfolio.reweighted(first, other)
    assert np.array_equal(portfolio.forecast(reweighted, TABLE, 1, rows), portfolio.forecast(alone, TABLE, 1, rows), True)
    half = {h: TABLE.target_day(h) < TABLE.origin[len(TABLE.origin) // 2] for h in HORIZONS}
    portfolio.fit(other, TABLE, half, 1, memo=memo)
    assert len(memo) > fitted  # other rows are another fit


def test_the_number_of_threads_changes_no_digit() -> None:
    recipe = portfolio.recipe("gradient_boosting", "demand", TABLE, HORIZONS, 3)
    one, two = (portfolio.fit(recipe, TABLE, ALL, threads) for threads in (1, 2))
    assert one.model == two.model
    for h, marked in ALL.items():
        said = [portfolio.forecast(fitted, TABLE, h, marked) for fitted in (one, two)]
        np.testing.assert_array_equal(*said)


@pytest.mark.parametrize("share", [(0, 2), (1, 2)])
def test_a_part_learns_from_its_share_of_many_rows_and_from_all_of_few(
    share: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, actual = TABLE.x.select_dtypes("number"), TABLE.targets["price"][1]
    entry = portfolio.inputs(x, tamed=False)
    rows = np.flatnonzero(np.isfinite(actual))

    def fitted(share: tuple[int, int], rows: np.ndarray) -> tuple[dict[str, object], np.ndarray]:
        seen = served_model.Matrices(entry, x.iloc[rows])
        lesson = Lesson(seen, actual[rows], np.ones(len(rows)))
        part = Part("gradient_boosting", "log", {"max_iter": 5, "min_samples_leaf": 5}, 1.0, share)
        said, estimator = portfolio.fit_part(part, lesson, 3, True, 1)
        return said, estimator.predict(seen.raw)

    whole = fitted((0, 1), rows)
    assert fitted(share, rows)[0] == whole[0]
    assert np.array_equal(fitted(share, rows)[1], whole[1])
    monkeypatch.setattr(portfolio, "SHARED_FROM", len(rows))
    said, answers = fitted(share, rows)
    mine = portfolio.dealt(share, len(rows))
    monkeypatch.setattr(portfolio, "SHARED_FROM", len(rows) + 1)
    expected = fitted((0, 1), rows[mine])
    assert said == expected[0] != whole[0]
    assert np.array_equal(answers[mine], expected[1])


def test_shares_are_halves_that_know_every_item_of_a_shop_whose_assortment_stays() -> None:
    items, days = 40, portfolio.SHARED_FROM // 40
    one, other = (portfolio.dealt((which, 2), items * days) for which in (0, 1))
    assert sorted([*one, *other]) == list(range(items * days))
    assert len(one) == len(other)
    for half in (one, other):  # rows lie by day, each with the same items in the same order
        assert (np.bincount(half % items, minlength=items) > days / 3).all()
        assert (np.bincount(half // items, minlength=days) > items / 8).all()
    assert len(portfolio.dealt((0, 2), portfolio.SHARED_FROM - 1)) == portfolio.SHARED_FROM - 1


def test_a_part_whose_share_has_no_value_of_a_column_learns_from_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portfolio, "SHARED_FROM", 2)
    x = pd.DataFrame({"often": np.arange(80.0), "once": np.full(80, np.nan)})
    there = portfolio.dealt((0, 2), 80)
    x.loc[there[0], "once"] = 1.0
    lesson = Lesson(served_model.Matrices(portfolio.inputs(x, tamed=False), x), np.arange(1.0, 81.0), np.ones(80))

    def lowest_and_highest(which: int) -> list[float]:
        part = Part("gradient_boosting", "level", {"max_iter": 2, "min_samples_leaf": 5}, 1.0, (which, 2))
        return list(portfolio.fit_part(part, lesson, 3, True, 1)[0]["answers"])

    assert lowest_and_highest(0) == [there.min() + 1, there.max() + 1] != [1.0, 80.0]
    assert lowest_and_highest(1) == [1.0, 80.0]


def test_the_recipe_of_an_older_release_says_nothing_of_rows_and_means_all() -> None:
    recipe = recipe_of("blend", "demand", TABLE)
    assert [part.share for part in portfolio.parts_of(recipe, "h1").values()] == [(0, 2), (1, 2), (0, 2), (0, 1)]
    for part in recipe["params"]["parts"].values():
        del part["rows"]
    assert {part.share for part in portfolio.parts_of(recipe, "h1").values()} == {(0, 1)}
