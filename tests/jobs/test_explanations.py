"""Explanations: what shuffling a feature costs, how far it moves a forecast, and where the two disagree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retraind.jobs.training import portfolio, served_model
from retraind.jobs.training.evaluate import Ground
from retraind.jobs.training.experiment import Experiment, fit_before, grounds, open_experiment
from retraind.jobs.training.explanations import (
    BRIEF,
    FULL,
    Explanation,
    FeatureWeight,
    _by_feature,
    _disagreements,
    _linear,
    _linear_shap,
    _log_slope,
    _tree_shap,
    explain,
)
from retraind.jobs.training.portfolio import Fitted
from trained_shop import config, frame, shop


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    site = shop(tmp_path_factory.mktemp("shop"), frame(items=3, days=260), config())
    return open_experiment(site.step("r"), site.job(), lambda _: None)


@pytest.fixture(scope="module")
def demand(experiment: Experiment) -> Ground:
    return grounds(experiment, "demand")[0]


def explained(experiment: Experiment, on: Ground, algorithm: str, **more: Any) -> Explanation:
    return explain(
        blind(experiment, on, algorithm), experiment.table, on, more.pop("horizon", 1), more.pop("effort", FULL)
    )


def blind(experiment: Experiment, on: Ground, algorithm: str) -> Fitted:
    recipe = portfolio.recipe(algorithm, on.target, experiment.table, experiment.horizons, 20)
    return fit_before(experiment, recipe, experiment.borders.validation, "")


@pytest.mark.parametrize("algorithm", ["ridge", "gradient_boosting"])
def test_what_the_shops_sales_follow_is_what_the_forecasts_rest_on(
    experiment: Experiment, demand: Ground, algorithm: str
) -> None:
    found = explained(experiment, demand, algorithm)  # demand follows the day of the week, and little else
    assert len(found.features) == len({w.feature for w in found.features}) > 60
    weekdays = ("weekday", "target_weekday", "quantity_kg_weekday", "quantity_kg_lag", "quantity_kg_mean", "quantity_kg_today")
    assert found.features[0].feature.startswith(weekdays)
    assert found.features[0].rise > 5
    by_shap = max(found.features, key=lambda w: w.shap or 0.0)
    assert by_shap.feature.startswith(weekdays)
    assert list(found.groups.values()) == sorted(found.groups.values(), reverse=True)


def test_the_same_rows_are_explained_alike_to_the_last_digit(experiment: Experiment, demand: Ground) -> None:
    assert explained(experiment, demand, "ridge") == explained(experiment, demand, "ridge")


def test_a_brief_explanation_has_no_shap_values(experiment: Experiment, demand: Ground) -> None:
    found = explained(experiment, demand, "gradient_boosting", effort=BRIEF, horizon=7)
    assert found.rows <= BRIEF.rows
    assert found.agreement is None
    assert all(w.shap is None and w.coefficient is None for w in found.features)


@pytest.mark.parametrize("algorithm", ["linear_regression", "random_forest", "gradient_boosting"])
def test_shap_values_add_up_to_the_forecast(experiment: Experiment, demand: Ground, algorithm: str) -> None:
    recipe = portfolio.recipe(algorithm, "demand", experiment.table, experiment.horizons, 20)
    fitted = fit_before(experiment, recipe, experiment.borders.validation, "", (1,))
    entry, estimator = fitted.model["horizons"]["h1"], fitted.estimators["h1"][algorithm]
    seen = served_model.Matrices(entry, experiment.table.x[demand.marked[1]].head(50))
    x = seen.matrix(entry["parts"][algorithm]["tamed"])
    linear = _linear(estimator)
    values = _linear_shap(*linear, x) if linear else _tree_shap(estimator, x)
    rest = estimator.predict(x) - values.sum(axis=1)  # the mean forecast, the same for every row
    np.testing.assert_allclose(rest, rest[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(_by_feature(entry, values).sum(axis=1), values.sum(axis=1), atol=1e-9)


def test_a_linear_models_coefficients_have_the_direction_of_its_shap_values(
    experiment: Experiment, demand: Ground
) -> None:
    told = [w for w in explained(experiment, demand, "ridge").features if w.coefficient and w.direction]
    assert len(told) > 40
    assert all(np.sign(w.coefficient or 0) == np.sign(w.direction or 0) for w in told)


def test_a_blend_is_explained_by_its_parts(experiment: Experiment, demand: Ground) -> None:
    found = explained(experiment, demand, "blend")
    assert not any("no SHAP values" in remark for remark in found.remarks)
    assert any(w.shap and w.coefficient for w in found.features)


@pytest.mark.parametrize("scale", ["log", "sqrt", "level", "difference"])
def test_what_an_answer_moves_is_told_in_logs_of_the_forecast(scale: str) -> None:
    answer, reference = np.full(5, 1.5), np.full(5, 8.0)
    before, after = (np.log(served_model.back(scale, answer + step, reference)) for step in (0.0, 1e-6))
    np.testing.assert_allclose(_log_slope(scale, answer, reference), (after - before) / 1e-6, rtol=1e-5)


def test_an_estimator_that_shap_does_not_know_is_told_and_the_rest_stands(experiment: Experiment, demand: Ground) -> None:
    found = explained(experiment, demand, "sklearn.neighbors.KNeighborsRegressor")
    assert any("no SHAP values" in remark for remark in found.remarks)
    assert found.features[0].rise > 0


def weight(name: str, rise: float, shap: float, **more: Any) -> FeatureWeight:
    fields: dict[str, Any] = {"english": name, "chinese": "", "group": "g", "spread": 0.0, "expected": 0} | more
    return FeatureWeight(feature=name, rise=rise, shap=shap, **fields)


def test_two_methods_that_rank_a_feature_far_apart_are_told() -> None:
    weights = [weight(f"f{i:02}", 100.0 - i, 100.0 - i) for i in range(40)]
    assert list(_disagreements(weights)) == []
    weights[0] = weight("f00", 100.0, 0.0)
    assert list(_disagreements(weights)) == ["f00: rank 1 by permutation, 40 by SHAP"]


def test_a_direction_against_the_expected_one_is_told() -> None:
    told = list(_disagreements([weight("discount", 3.0, 2.0, expected=-1, direction=0.8)]))
    assert told == ["discount: expected to lower the forecast, more of it raises it (rank correlation with its SHAP value +0.80)"]
    assert not list(_disagreements([weight("discount", 3.0, 2.0, expected=-1, direction=0.1)]))
    assert not list(_disagreements([weight("discount", 3.0, 2.0, expected=0, direction=0.8)]))


def test_rows_that_were_forecast_without_error_weigh_nothing(tmp_path: Path) -> None:
    rows = frame(items=2, days=260)
    rows["avg_price_rmb_kg"] = 5.0
    site = shop(tmp_path, rows, config())
    constant = open_experiment(site.step("r"), site.job(), lambda _: None)
    found = explained(constant, grounds(constant, "price")[0], "ridge", effort=BRIEF)
    assert {w.rise for w in found.features} == {0.0}
