"""Figures: right by their definitions, and on the same rows for everybody."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_percentage_error, r2_score, root_mean_squared_error

from retraind.core.figures import MEASURED
from retraind.jobs.data.features import build
from retraind.jobs.data.splits import borders
from retraind.jobs.training.baselines import BASELINES
from retraind.jobs.training.evaluate import ground, measure, relative_wape, scores
from retraind.settings import Split
from trained_shop import CONTRACT, frame

ROWS = frame(items=4, days=220, seed=5)
TABLE = build(ROWS, CONTRACT, (1, 7))
CUT = borders(TABLE.origin, Split())
GROUND = ground(TABLE, "demand", "quantity_kg", (1, 7), CUT.test, CUT.end)
positive = st.lists(st.tuples(st.floats(0.1, 1e4), st.floats(0, 1e4)), min_size=2, max_size=50)


@given(pairs=positive)
def test_figures_equal_the_librarys_and_their_definitions(pairs: list[tuple[float, float]]) -> None:
    actual, forecast = np.array(pairs).T
    figures = measure(actual, forecast, naive_error=2.0)
    assert figures["mape"] == pytest.approx(100 * mean_absolute_percentage_error(actual, forecast))
    assert figures["rmse"] == pytest.approx(root_mean_squared_error(actual, forecast))
    assert figures["wape"] == pytest.approx(100 * np.abs(actual - forecast).sum() / actual.sum())
    assert figures["bias"] == pytest.approx(100 * (forecast.sum() / actual.sum() - 1), abs=1e-6)
    assert figures["mase"] == pytest.approx(np.abs(actual - forecast).mean() / 2)
    assert figures["smape"] == pytest.approx(np.mean(200 * np.abs(forecast - actual) / (forecast + actual)))
    if np.ptp(actual) > 1e-3:
        assert figures["r2"] == pytest.approx(r2_score(actual, forecast))


def test_what_is_not_defined_is_none_and_never_a_number() -> None:
    nothing = measure(np.zeros(3), np.ones(3), None)
    assert [nothing[m] for m in ("wape", "mape", "bias", "mase", "r2")] == [None] * 5
    assert nothing["mae"] == 1
    assert set(measure(np.empty(0), np.empty(0), 1.0).values()) == {None}


def test_rows_are_those_whose_origin_and_target_are_test_days_with_a_sale() -> None:
    sold = {(item, day) for item, day in zip(ROWS["item_code"], ROWS["date"], strict=True)}
    border = pd.Timestamp(CUT.test)
    for h in (1, 7):
        ahead = pd.Timedelta(days=h)
        expected = {(i, d) for i, d in sold if d >= border and (i, d + ahead) in sold}
        rows = GROUND.marked[h]
        assert {(i, pd.Timestamp(d)) for i, d in zip(TABLE.entity[rows], TABLE.origin[rows], strict=True)} == expected
        assert GROUND.rows[f"h{h}"].rows == len(expected)
        assert GROUND.rows[f"h{h}"].dates == len({d for _, d in expected})


def test_the_digest_names_the_rows_and_nothing_else() -> None:
    shuffled = build(ROWS.sample(frac=1, random_state=1), CONTRACT, (1, 7))
    same = ground(shuffled, "demand", "quantity_kg", (1, 7), CUT.test, CUT.end)
    assert same.rows == GROUND.rows
    last = build(ROWS.iloc[:-1], CONTRACT, (1, 7))
    other = ground(last, "demand", "quantity_kg", (1, 7), CUT.test, CUT.end)
    assert other.rows["h1"].digest != GROUND.rows["h1"].digest
    assert GROUND.rows["h1"].digest != GROUND.rows["h7"].digest


def test_a_row_without_an_answer_gets_the_seasonal_naive_forecast_and_is_counted() -> None:
    blind = {h: np.full(int(GROUND.marked[h].sum()), np.nan) for h in (1, 7)}
    naive = scores(GROUND, GROUND.naive["seasonal_naive"])
    scored = scores(GROUND, blind)
    assert scored.values == naive.values
    assert scored.unanswered == {h: r.rows for h, r in GROUND.rows.items()}
    assert naive.unanswered == {}


def slow_seasonal(entity: str, origin: pd.Timestamp, horizon: int) -> float:
    mine = ROWS[(ROWS["item_code"] == entity) & (ROWS["date"] <= origin)].set_index("date")["quantity_kg"]
    weekday = (origin + pd.Timedelta(days=horizon)).weekday()
    recent = mine[mine.index > origin - pd.Timedelta(days=28)]
    same = recent[recent.index.day_of_week == weekday]
    return float(same.iloc[-1] if len(same) else mine.iloc[-1])


@pytest.mark.parametrize("horizon", [1, 7])
def test_the_seasonal_naive_forecast_is_the_targets_weekday_last_seen_in_four_weeks(horizon: int) -> None:
    quick = BASELINES["seasonal_naive"](TABLE.panel, "quantity_kg", horizon)
    for row in range(0, len(quick), 23):
        assert quick[row] == slow_seasonal(TABLE.entity[row], pd.Timestamp(TABLE.origin[row]), horizon)


def test_doing_nothing_answers_every_row_that_is_scored() -> None:
    for forecasts in GROUND.naive.values():
        assert all(np.isfinite(f).all() for f in forecasts.values())


def test_persistence_measured_against_itself_is_one() -> None:
    own = scores(GROUND, GROUND.naive["persistence"])
    assert relative_wape(own, own) == 1
    assert set(own.values) == set(MEASURED)
