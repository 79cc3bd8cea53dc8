"""The search for parameters: on days that nothing else looks at, the same each time, and with a sensible end."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from retraind.core.settings import Choose, Range, Search, Training
from retraind.errors import RetraindError
from retraind.jobs.child import JobContext
from retraind.jobs.data.features import build
from retraind.jobs.data.splits import borders, known_before, within
from retraind.jobs.training import estimators, report_page
from retraind.jobs.training import search as search_module
from retraind.jobs.training.choice import balanced, in_order, stretches, worth
from retraind.jobs.training.experiment import Experiment
from retraind.jobs.training.search import Searched, folds, how_many, search, tried
from trained_shop import CONTRACT, START, config, frame

RIDGE: Mapping[str, Any] = {"ridge": {"alpha": (1.0, 100.0, 10000.0), "transform": ("log_ratio", "level")}}
ROWS = frame(items=3, days=300)
TABLE = build(ROWS, CONTRACT, (1, 7, 14))
CUT = borders(TABLE.origin, Training().split)


def experiment(rows: pd.DataFrame | None = None, said: list[str] | None = None, **training: Any) -> Experiment:
    """An experiment on the rows, three horizons, without a store."""
    site = config()
    chosen = Training(**{"horizons": (1, 7, 14), "models": (RIDGE,), **training})
    pipeline = dataclasses.replace(site.pipelines["produce"], training=chosen)
    job = JobContext(
        dataclasses.replace(site, pipelines={"produce": pipeline}),
        "produce",
        pathlib.Path("nowhere"),
        pathlib.Path("nowhere"),
        1,
        lambda *_: None,
    )
    table = TABLE if rows is None else build(rows, CONTRACT, chosen.horizons)
    cut = borders(table.origin, chosen.split)
    say = (lambda _: None) if said is None else said.append
    return Experiment(job, START, table, cut, len(np.unique(table.origin)), say)


def searched(target: str = "price", **more: Any) -> tuple[Mapping[str, Searched], list[str]]:
    notes: list[str] = []
    return search(experiment(**more), target, notes), notes


# ---- what is tried ----


def test_a_grid_is_every_combination_in_its_order_and_what_is_no_list_is_fixed() -> None:
    fixed, sets = tried("ridge", {"alpha": (1, 10), "fit_intercept": True, "transform": ("level", "log_ratio")}, Search(), 1)
    assert fixed == {"fit_intercept": True}
    assert [tuple(s.values()) for s in sets] == list(itertools.product((1, 10), ("level", "log_ratio")))


def test_a_grid_takes_both_ends_and_the_middle_of_a_range() -> None:
    space = {"a": Range(1.0, 100.0, log=True), "n": Range(10, 20)}
    assert {s["a"] for s in tried("x.Y", space, Search(), 1)[1]} == {1.0, 10.0, 100.0}
    assert {s["n"] for s in tried("x.Y", space, Search(), 1)[1]} == {10, 15, 20}


@pytest.mark.parametrize("kind", ["grid", "random", "halving"])
def test_no_search_tries_more_than_its_budget_and_the_same_seed_tries_the_same(kind: Any) -> None:
    space = {"alpha": tuple(range(1, 40)), "tol": Range(1e-5, 1e-2, log=True), "max_iter": Range(10, 500)}
    search_ = Search(kind=kind, trials=7)
    one, again, other = (tried("ridge", space, search_, seed)[1] for seed in (1, 1, 2))
    assert len(one) == len(other) == 7
    assert one == again != other
    for params in one:
        assert params["alpha"] in space["alpha"]
        assert 1e-5 <= params["tol"] <= 1e-2
        assert isinstance(params["max_iter"], int)
        assert 10 <= params["max_iter"] <= 500


def test_one_trial_searches_nothing_and_takes_the_usual_parameters() -> None:
    said: list[str] = []
    found, notes = searched(said=said, search=Search(trials=1))
    assert (found["ridge"], notes, said) == (Searched({}), [], [])


# ---- where ----


@pytest.mark.parametrize("number", [1, 3, 5])
def test_folds_follow_one_another_within_the_training_days(number: int) -> None:
    cut = folds(TABLE.origin, CUT, number)
    assert len(cut) == number
    assert all(one.end == other.start for one, other in itertools.pairwise(cut))
    assert cut[-1].end == CUT.validation
    assert cut[0].start > CUT.first + (CUT.validation - CUT.first) / 3


@pytest.mark.parametrize("horizon", [1, 7, 14])
def test_between_what_a_fold_learns_from_and_scores_lies_the_horizon_whatever_the_item(horizon: int) -> None:
    for fold in folds(TABLE.origin, CUT, 3):
        day = TABLE.target_day(horizon)
        learnt = TABLE.origin[known_before(day, fold.start)]
        scored = TABLE.origin[within(TABLE.origin, day, fold.start, fold.end)]
        assert scored.min() - learnt.max() > np.timedelta64(horizon, "D")


def test_no_value_from_the_validation_days_on_moves_a_trial() -> None:
    wild = ROWS.copy()
    late = wild["date"].to_numpy() >= CUT.validation
    wild.loc[late, ["avg_price_rmb_kg", "quantity_kg", "wholesale_price_rmb_kg"]] *= 50.0
    first, second = searched()[0], searched(rows=wild)[0]
    assert _without_seconds(first) == _without_seconds(second)


def _without_seconds(found: Mapping[str, Searched]) -> list[Any]:
    return [(f.params, [dataclasses.replace(t, seconds=0.0) for t in f.trials]) for f in found.values()]


# ---- what is chosen ----


MANY = {
    "models": (
        RIDGE,
        {"random_forest": {"min_samples_leaf": (5, 40), "n_estimators": 6}},
        {"gradient_boosting": {"max_iter": (3, 30), "loss": ("absolute_error", "squared_error")}},
        {"linear_regression": {"transform": "log_ratio"}},
    )
}


@pytest.fixture(scope="module")
def found() -> Mapping[str, Searched]:
    said: list[str] = []
    first, notes = searched("demand", said=said, **MANY)
    assert notes == []
    assert len(said) == how_many(experiment(**MANY).job.config.training, near=2)
    assert "searching demand, ridge, trial 2 of 6, fold 3 of 3, 7 days ahead" in said
    return first


def test_the_cheapest_trial_by_the_settings_rule_is_taken(found: Mapping[str, Searched]) -> None:
    assert found["linear_regression"].trials == ()
    for name, one in list(found.items())[:-1]:
        best = min(one.trials, key=lambda t: t.mean + Choose().stability * t.std)
        assert [t for t in one.trials if t.chosen] == [best], name
        assert best.params.items() <= one.params.items()
        for trial in one.trials:
            assert {h: len(by_fold) for h, by_fold in trial.scores.items()} == {"h1": 3, "h7": 3}
            by_fold = np.mean(list(trial.scores.values()), axis=0)
            assert trial.mean == pytest.approx(by_fold.mean(), rel=1e-12)
            assert trial.std == pytest.approx(by_fold.std(), rel=1e-12)
    assert found["random_forest"].params["n_estimators"] == 6
    assert found["gradient_boosting"].params["max_iter"] == 30  # three trees have learnt next to nothing


def test_the_same_data_and_seed_give_the_same_trials_to_the_last_digit(found: Mapping[str, Searched]) -> None:
    assert _without_seconds(found) == _without_seconds(searched("demand", **MANY)[0])


@pytest.mark.parametrize(
    "space",
    [
        {"gradient_boosting": {"max_iter": (3, 30), "loss": "squared_error"}},
        {"random_forest": {"n_estimators": (7, 2), "transform": "level"}},
        {"ridge": {"alpha": (1.0, 1000.0)}},
    ],
)
def test_sets_that_one_fit_answers_for_cost_what_they_cost_alone(space: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    together = searched("demand", models=(space,))[0]
    monkeypatch.setattr(search_module, "PATHS", {})
    alone = searched("demand", models=(space,))[0]
    for name, one in together.items():
        for trial, other in zip(one.trials, alone[name].trials, strict=True):
            for horizon, by_fold in trial.scores.items():
                assert by_fold == (pytest.approx(other.scores[horizon], rel=1e-9) if name == "ridge" else other.scores[horizon])


def test_halving_drops_two_thirds_on_the_newest_days_and_lets_the_rest_learn_from_all() -> None:
    said: list[str] = []
    space = {"ridge": {"alpha": tuple(10.0**i for i in range(-3, 6))}}
    one = searched(models=(space,), search=Search(kind="halving", trials=9), said=said)[0]["ridge"]
    assert sorted(t.share for t in one.trials) == pytest.approx([1 / 9] * 6 + [1 / 3] * 2 + [1.0])
    assert [t.share for t in one.trials if t.chosen] == [1.0]
    assert len(said) == (9 + 3 + 1) * 3 * 2


def test_a_guard_ends_a_search_between_folds_and_says_that_it_may_come_out_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = itertools.count()
    monkeypatch.setattr(search_module.time, "monotonic", lambda: float(next(clock)))
    cut, notes = searched(search=Search(seconds=30))
    assert "price: training.search.seconds (30 s) ended the search after 1 of 3 folds" in notes[0]
    assert cut["ridge"].cut_short
    assert all(len(t.scores["h7"]) == 1 for t in cut["ridge"].trials)
    assert sum(t.chosen for t in cut["ridge"].trials) == 1
    none, notes = searched(search=Search(seconds=2))
    assert none["ridge"].params == {}
    assert "its usual parameters are used" in notes[1]


# ---- odd spaces and data ----


def test_a_set_that_cannot_be_fitted_is_passed_over_and_told() -> None:
    some, notes = searched(models=({"ridge": {"alpha": (-1.0, 10.0)}},))
    assert some["ridge"].params == {"alpha": 10.0}
    assert "price: ridge: not every set of parameters of its search space can be fitted, with alpha -1.0:" in notes[0]
    with pytest.raises(RetraindError, match=r"ridge: no set of parameters .* with alpha -1.0"):
        searched(models=({"ridge": {"alpha": (-1.0, -2.0)}},))


def test_days_too_few_for_folds_leave_the_usual_parameters_and_say_so() -> None:
    few = ROWS[ROWS["date"] < ROWS["date"].min() + pd.Timedelta(days=24)]
    found, notes = searched(rows=few)
    assert found["ridge"].params == {}
    assert "price: ridge was not searched, the training days are too few for its folds" in notes[0]


def test_gaps_constants_new_items_and_categories_that_go_have_a_sensible_end() -> None:
    day = ROWS["date"].to_numpy()
    middle = CUT.first + (CUT.validation - CUT.first) * 3 // 4
    odd = ROWS.assign(
        discount_rate=np.nan,
        wholesale_price_rmb_kg=ROWS["wholesale_price_rmb_kg"].where(ROWS.index % 10 == 0),
        category_name=np.where(day < middle, "gone", ROWS["category_name"]),
        item_code=np.where((day >= middle) & (ROWS["item_code"] == "item-2"), "new", ROWS["item_code"]),
        avg_price_rmb_kg=7.0,
    )
    for target in ("price", "demand"):
        found, notes = searched(target, rows=odd, **MANY)
        assert notes == []
        costs = [t.mean for one in found.values() for t in one.trials]
        assert np.isfinite(costs).all()
        if target == "price":  # never moves, and every model says so
            np.testing.assert_allclose(costs, 1.0, rtol=1e-3)


# ---- estimators by their dotted path ----


def test_any_estimator_that_works_like_scikit_learns_is_searched_by_its_dotted_path() -> None:
    boosting = {"lightgbm.LGBMRegressor": {"n_estimators": (2, 40), "verbosity": -1}}
    lasso = {"sklearn.linear_model.Lasso": {"alpha": (0.01, 0.1)}}
    estimators.check("lightgbm.LGBMRegressor", boosting["lightgbm.LGBMRegressor"])
    estimators.check("sklearn.linear_model.Lasso", lasso["sklearn.linear_model.Lasso"])
    found, notes = searched("demand", models=(boosting, lasso))
    assert notes == []
    assert found["lightgbm.LGBMRegressor"].params == {"n_estimators": 40, "verbosity": -1}
    assert estimators.named("lightgbm.LGBMRegressor").tames is False
    assert estimators.named("sklearn.linear_model.Lasso").tames is True


@pytest.mark.parametrize(
    ("name", "space", "what", "remedy"),
    [
        ("no_such_package.Model", {}, "cannot be imported: No module named 'no_such_package'", "pip install no_such_package"),
        ("lightgbm.LGBMRegresor", {}, "cannot be imported", "retraind[lightgbm]"),
        ("sklearn.linear_model.LogisticRegression", {}, "no regressor", "fit, predict"),
        ("sklearn.preprocessing.StandardScaler", {}, "no regressor", "fit, predict"),
        ("trained_shop.Shop", {}, "of no installed package", "Install it as a package"),
        ("ridge", {"alhpa": (1,)}, "ridge has no parameter alhpa", "did you mean alpha?"),
    ],
)
def test_an_estimator_that_cannot_be_used_is_told_with_its_remedy(
    name: str, space: dict[str, Any], what: str, remedy: str
) -> None:
    with pytest.raises(RetraindError) as caught:
        estimators.check(name, space)
    assert what in caught.value.what
    assert remedy in caught.value.remedy
    assert not caught.value.retryable


def test_an_estimator_that_holds_what_is_not_its_packages_is_not_saved() -> None:
    rows = np.arange(20.0).reshape(10, 2)
    model = Ridge().fit(rows, rows[:, 0])
    assert estimators.trusted("sklearn.linear_model.Ridge", model) == []
    model.keeps = pathlib.PurePosixPath("/etc")
    with pytest.raises(RetraindError, match="cannot be saved so that it loads safely: it holds pathlib"):
        estimators.trusted("sklearn.linear_model.Ridge", model)


# ---- the rule ----


def test_the_rule_weighs_errors_against_persistence_and_adds_what_varies() -> None:
    actual, ours, naive = np.array([10.0, 10.0]), np.array([9.0, 10.0]), np.array([8.0, 10.0])
    assert balanced(Choose(wape=1, rmse=0), actual, ours, naive) == pytest.approx(0.5)
    assert balanced(Choose(wape=0.5, rmse=0.5), actual, naive, naive) == pytest.approx(1.0)
    assert balanced(Choose(wape=3, rmse=1), actual, ours, naive) == pytest.approx(0.5)
    one = worth(Choose(stability=0.5), {"h1": [0.8, 1.0], "h7": [0.8, 1.0]})
    assert (one.mean, one.std, one.folds) == (pytest.approx(0.9), pytest.approx(0.1), (0.8, 1.0))
    assert one.cost == pytest.approx(0.95)
    assert worth(Choose(), {"h1": [float("nan"), 1.0]}).folds == (1.0,)
    assert worth(Choose(), {}).cost == np.inf


def test_who_is_tied_with_the_best_comes_in_the_order_of_the_settings() -> None:
    assert in_order([0.95, 0.909, 0.9, 0.92]) == [1, 2, 3, 0]


def test_stretches_are_of_equal_length_and_hold_every_day_once() -> None:
    origin = np.arange("2023-01-01", "2023-01-11", dtype="datetime64[D]")
    cut = stretches(origin[0], origin[-1] + 1, 3, origin)
    assert [int(rows.sum()) for rows in cut] == [3, 4, 3]
    assert np.array_equal(np.sum(cut, axis=0), np.ones(10))


def test_the_rule_is_told_in_words() -> None:
    tied = "; within 1 % of the best the order of training.models decides"
    assert str(Choose()) == (
        f"0.7 WAPE + 0.3 RMSE, each against persistence's, plus 0.1 times their standard deviation over the folds{tied}"
    )
    assert str(Choose(wape=0, mape=2, rmse=2, stability=0)) == f"0.5 MAPE + 0.5 RMSE, each against persistence's{tied}"
    assert report_page._COST.endswith(tied)


