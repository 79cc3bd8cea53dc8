"""Paired tests, intervals and slices: each quick form equals its definition, and none says more than the data do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtr

from retraind.jobs.data.features import build
from retraind.jobs.data.splits import borders
from retraind.jobs.training import significance as sig
from retraind.jobs.training.evaluate import Ground, ground, scores, smape
from retraind.jobs.training.weighing import PARTS, against, daily, keep, kept, parts_of, sliced, weigh
from retraind.settings import Split
from trained_shop import CONTRACT, frame

TABLE = build(frame(items=4, days=320, seed=5), CONTRACT, (1, 7))
CUT = borders(TABLE.origin, Split())
COLUMNS = {"price": "avg_price_rmb_kg", "demand": "quantity_kg"}


def rows_of(target: str = "demand", table: object = TABLE) -> Ground:
    return ground(table, target, COLUMNS[target], (1, 7), CUT.test, CUT.end)  # type: ignore[arg-type]


ON = rows_of()


def series(days: int, seed: int, *, keeps: float = 0.0, mean: float = 0.0, many: int = 1) -> np.ndarray:
    """Gains that hang together from day to day by `keeps`; shape (many, days)."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(many, days + 100))
    for day in range(1, days + 100):
        noise[:, day] += keeps * noise[:, day - 1]
    return noise[:, 100:] + mean


# ---- Diebold-Mariano ----


def slow(gains: np.ndarray, days: np.ndarray, horizon: int) -> tuple[float, int, float]:
    """Statistic, lags and p by their formulas, one pair of dates at a time."""
    n, by_day = len(gains), dict(zip(days.tolist(), gains - gains.mean(), strict=True))
    def gamma(lag: int) -> float:
        return sum(g * by_day[d - lag] for d, g in by_day.items() if d - lag in by_day) / n

    r = min(max(gamma(1) / gamma(0), -0.97), 0.97)
    chosen = int(1.1447 * (4 * r**2 / ((1 - r) ** 2 * (1 + r) ** 2) * n) ** (1 / 3))
    lags = max(min(chosen, n // 3), horizon - 1 + int(2 * n**0.5))
    omega = gamma(0) + 2 * sum((1 - k / (lags + 1)) * gamma(k) for k in range(1, lags + 1))
    steps = lags + 1
    factor = max(0.0, (n + 1 - 2 * steps + steps * (steps - 1) / n) / n) ** 0.5
    statistic = factor * gains.mean() / (omega / n) ** 0.5
    return statistic, lags, float(stdtr(min(n - 1, 1.5 * n / steps), -statistic))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(30, 60), st.sampled_from([1, 7]), st.floats(0, 0.9), st.floats(-1, 1))
def test_the_quick_test_equals_its_definition_with_days_missing(
    seed: int, dates: int, horizon: int, keeps: float, mean: float
) -> None:
    days = np.sort(np.random.default_rng(seed).permutation(dates + 10)[:dates])
    gains = series(dates, seed, keeps=keeps, mean=mean)[0]
    found = sig.tested(gains, days, horizon, sig.draws(dates, 7, 1, 50))
    assert found is not None
    expected = slow(gains, days, horizon)
    assert (found.statistic, found.lags, found.p) == pytest.approx(expected, rel=1e-9)
    assert found.lags >= horizon - 1


def test_nothing_is_said_under_thirty_dates_or_of_a_gain_that_never_varies() -> None:
    drawn = sig.draws(29, 7, 1)
    assert sig.tested(series(29, 1)[0], np.arange(29), 1, drawn) is None
    assert sig.tested(np.zeros(40), np.arange(40), 1, sig.draws(40, 7, 1)) is None


@pytest.mark.parametrize("keeps", [0.0, 0.5])
def test_gains_that_are_chance_are_found_about_as_often_as_p_says(keeps: float) -> None:
    """Also where p is as small as one look's share of a yearly alpha, which a short bandwidth misses by far."""
    p = sig.p_values(series(150, 3, keeps=keeps, many=20_000), np.ones(150, dtype=bool), 1)[2]
    assert [(p <= level).mean() <= 1.8 * level for level in (0.05, 0.01, 0.001)] == [True] * 3
    assert (p <= 0.05).mean() > 0.03


def test_a_true_gain_is_found_and_a_loss_never() -> None:
    drawn = sig.draws(150, 7, 1)
    better, worse = (sig.tested(series(150, 4, mean=m)[0], np.arange(150), 1, drawn) for m in (0.7, -0.7))
    assert better is not None
    assert worse is not None
    assert max(better.p, better.bootstrap) < 0.001
    assert min(worse.p, worse.bootstrap) > 0.9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_step_down_bonferroni_of_its_definition(p: list[float]) -> None:
    adjusted = sig.holm(p)
    order = np.argsort(p, kind="stable")
    for place, i in enumerate(order):
        assert adjusted[i] == max(min(1.0, (len(p) - k) * p[order[k]]) for k in range(place + 1))


# ---- resampling ----


@pytest.mark.parametrize(("dates", "block"), [(60, 7), (31, 14), (5, 7)])
def test_each_resample_draws_as_many_dates_as_there_are_in_blocks(dates: int, block: int) -> None:
    drawn = sig.draws(dates, block, 1, 200)
    assert (drawn.sum(axis=1) == dates).all()
    assert drawn.mean() == pytest.approx(1)
    # of a block both neighbours are drawn: next to a date that was drawn one is missing at a block's ends alone
    ends = (drawn > 0) & (np.roll(drawn, -1, axis=1) == 0)
    assert ends.sum(axis=1).max() <= -(-dates // min(block, dates))


def test_an_interval_is_that_of_the_figures_of_the_resamples() -> None:
    one = daily(ON, ON.naive["persistence"])
    drawn = sig.draws(len(one.days[1]), 7, 2, 300)
    found = sig.intervals(one.sums[1], drawn)
    rows = np.searchsorted(one.days[1], ON.target_day[1].astype(np.int64))
    error = ON.naive["persistence"][1] - ON.actual[1]
    wape = [100 * (abs(error) * w[rows]).sum() / (ON.actual[1] * w[rows]).sum() for w in drawn]
    rmse = [((error**2 * w[rows]).sum() / w[rows].sum()) ** 0.5 for w in drawn]
    assert found["wape"] == pytest.approx(np.percentile(wape, (2.5, 97.5)))
    assert found["rmse"] == pytest.approx(np.percentile(rmse, (2.5, 97.5)))
    assert set(found) == {"wape", "mape", "rmse", "bias"}


def test_what_hangs_together_over_months_or_is_lopsided_is_not_calibrated() -> None:
    smooth = np.convolve(series(175, 2)[0], np.ones(25), "valid")
    disasters = np.where(np.random.default_rng(1).random(150) < 0.02, -40.0, 0.3) + series(150, 7)[0] * 0.05
    assert sig.is_calibrated(sig.rejected(series(150, 8)[0], 1, 1))
    assert not sig.is_calibrated(sig.rejected(smooth, 7, 1))
    assert not sig.is_calibrated(sig.rejected(disasters, 1, 1))


def test_too_few_blocks_of_days_cannot_be_calibrated() -> None:
    assert sig.rejected(series(150, 1)[0], 30, 1) is None
    assert sig.rejected(series(55, 5)[0], 7, 1) is None
    assert sig.rejected(series(56, 5)[0], 7, 1, 10) is not None
    assert not sig.is_calibrated(None)


# ---- who against whom ----


def test_sums_by_date_are_the_figures() -> None:
    for who, forecasts in ON.naive.items():
        values, one = scores(ON, forecasts).values, daily(ON, forecasts)
        for h in (1, 7):
            total = dict(zip(PARTS, one.sums[h].sum(axis=0), strict=True))
            assert len(one.days[h]) == ON.rows[f"h{h}"].dates
            assert 100 * total["error"] / total["actual"] == pytest.approx(values["wape"][f"h{h}"]), who
            assert 100 * total["relative"] / total["nonzero"] == pytest.approx(values["mape"][f"h{h}"])
            assert (total["squared"] / total["rows"]) ** 0.5 == pytest.approx(values["rmse"][f"h{h}"])
            assert 100 * total["signed"] / total["actual"] == pytest.approx(values["bias"][f"h{h}"])


def test_the_best_of_several_is_corrected_for_and_the_champions_own_recipe_is_not_counted() -> None:
    random = np.random.default_rng(2)
    made = {
        name: daily(ON, {h: ON.actual[h] * np.exp(random.normal(0, spread, len(ON.actual[h]))) for h in (1, 7)})
        for name, spread in (("good", 0.05), ("fair", 0.2), ("own", 0.05))
    }
    champion = daily(ON, ON.naive["persistence"])
    tests = against(champion, made, ["good", "fair"], seed=1)
    for key in ("wape.h1", "mape.h7"):  # 7 days ahead there are too few dates to calibrate
        good, fair, own = (tests[name][key] for name in ("good", "fair", "own"))
        assert [t.candidates for t in (good, fair, own)] == [2, 2, 1]
        ordered = sig.holm([good.p or 0, fair.p or 0])
        assert [good.adjusted, fair.adjusted] == pytest.approx(ordered, rel=1e-4)
        assert own.adjusted == own.p
        assert good.adjusted is not None
        assert good.adjusted < 0.01
        assert len(good.rejected) == (len(sig.LEVELS) if key == "wape.h1" else 0)


def test_slices_hold_every_row_once_and_pool_to_the_whole() -> None:
    parts = parts_of(TABLE, ON, CONTRACT)
    assert parts.policies == ("category_name", "item_age")
    assert set(parts.places) == {"category_name", "item_age", "month"}
    for column, values in parts.places.items():
        for h in (1, 7):
            assert (sum(mask[h].astype(int) for mask in values.values()) == 1).all(), column
    found = sliced(ON, ON.naive["persistence"], parts, ["category_name"])["category_name"]
    rows = parts.rows["category_name"]
    assert set(found) == {"leaves", "roots"}
    pooled = sum(found[v]["mae"]["h1"] * rows[v]["h1"].rows for v in found) / ON.rows["h1"].rows  # type: ignore[operator]
    assert pooled == pytest.approx(scores(ON, ON.naive["persistence"]).values["mae"]["h1"], rel=1e-4)
    assert len({r["h1"].digest for r in rows.values()}) == 2


def test_a_slice_that_a_forecaster_cannot_answer_is_lost_and_not_naive() -> None:
    parts = parts_of(TABLE, ON, CONTRACT)
    blind = {h: np.where(parts.places["category_name"]["roots"][h], np.nan, ON.naive["persistence"][h]) for h in (1, 7)}
    found = sliced(ON, blind, parts, ["category_name"])["category_name"]
    assert found["roots"] == {}
    assert found["leaves"] == sliced(ON, ON.naive["persistence"], parts, ["category_name"])["category_name"]["leaves"]


def test_everything_is_weighed_and_without_a_champion_only_beside_the_baselines() -> None:
    parts = parts_of(TABLE, ON, CONTRACT)
    found = weigh(ON, parts, {"mean": ON.naive["moving_average"]}, ["mean"], None, seed=1)["mean"]
    assert found.significance == {}
    low, high = found.intervals["wape"]["h7"]
    assert low < (scores(ON, ON.naive["moving_average"]).values["wape"]["h7"] or 0) < high
    assert found.figures["smape_h1"] == pytest.approx(smape(ON.actual[1], ON.naive["moving_average"][1]), rel=1e-4)
    assert 0 < (found.figures["p_persistence_wape_h1"] or 0) < 1
    assert set(found.tables["by"]) == {"month"}


def test_losses_are_kept_for_a_champion_that_comes_later_and_only_for_the_same_rows(tmp_path: Path) -> None:
    path = tmp_path / "requests" / "r1.demand.losses.npz"
    assert kept(path, ON) is None
    keep(path, dict(ON.naive), ON)
    again = kept(path, ON)
    assert again is not None
    for who, forecasts in ON.naive.items():
        for h in (1, 7):
            np.testing.assert_array_equal(again[who].sums[h], daily(ON, forecasts).sums[h])
            np.testing.assert_array_equal(again[who].days[h], daily(ON, forecasts).days[h])
    other = build(frame(items=3, days=320, seed=5), CONTRACT, (1, 7))
    assert kept(path, rows_of(table=other)) is None
