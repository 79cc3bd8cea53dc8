"""A foreign estimator is tried on a few rows before anything is trained."""

from __future__ import annotations

import pytest

from retraind.jobs.training import estimators


def test_the_probe_of_an_estimator_is_as_quiet_as_the_settings_ask(capfd: pytest.CaptureFixture[str]) -> None:
    estimators.check("lightgbm.LGBMRegressor", {"n_estimators": (2, 40), "verbosity": -1, "transform": "difference"})
    assert capfd.readouterr() == ("", "")


def test_parameters_that_ask_too_much_of_the_probe_are_left_to_the_search() -> None:
    estimators.check("sklearn.cross_decomposition.PLSRegression", {"n_components": 10})
