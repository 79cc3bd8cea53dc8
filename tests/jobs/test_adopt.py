"""The job `adopt`: a version that somebody logged with plain MLflow is looked at, tried and kept, and then it forecasts."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, Ridge

from retraind.core.binding import bind
from retraind.core.figures import Foreign
from retraind.core.steps import Adopt, Adopted, Forecast, Forecasted, Forecaster, Promote, Promoted, Unadoptable
from retraind.jobs import registry as mlflow_registry
from retraind.jobs.adopt import ADOPTION_POINTS, adopt
from retraind.jobs.data import forecasts as files
from retraind.jobs.data.features import FeatureTable, build
from retraind.jobs.data.store import main_frame
from retraind.jobs.forecast import forecast
from retraind.jobs.promote import promote
from trained_shop import Shop, config, frame, run, shop

AT = dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Theirs:
    """A site's registry in which somebody else registers models."""

    shop: Shop
    table: FeatureTable

    @property
    def client(self) -> Any:
        return mlflow_registry.connect(self.shop.settings.mlflow, self.shop.root).client

    @property
    def numbers(self) -> list[str]:
        return [c for c in self.table.x.columns if self.table.x[c].dtype == np.float64]

    @property
    def whole(self) -> list[str]:
        """Features that are known of every item of the newest day."""
        return [c for c in self.numbers if self.newest[c].notna().all()][:6]

    @property
    def newest(self) -> pd.DataFrame:
        """The features of the newest day's items."""
        return self.table.x[self.table.origin == np.datetime64(self.shop.data_end, "D")]

    def learnt(self, model: Any, columns: list[str], horizon: int = 1, target: str = "price") -> tuple[Any, pd.DataFrame]:
        """The model fitted on what somebody would take from our features."""
        y = self.table.targets[target][horizon]
        known = np.isfinite(y) & self.table.x[self.whole].notna().all(axis=1).to_numpy()
        x = self.table.x.loc[known, columns]
        return model.fit(x, y[known]), x

    def log(self, write: Callable[[], Any]) -> int:
        """The version that `write` registers."""
        registry = mlflow_registry.connect(self.shop.settings.mlflow, self.shop.root)
        with mlflow.start_run(experiment_id=registry.experiment):
            return int(write().registered_model_version)

    def sklearn(self, model: Any, **more: Any) -> int:
        """As people log it; the requirements are given because MLflow takes seconds to find them."""
        return self.log(lambda: mlflow.sklearn.log_model(model, name="m", registered_model_name="price", pip_requirements=[],
                                                         **more))  # fmt: skip

    def step(self, version: int, horizon: int | None = 1, target: str = "price") -> Adopt:
        return Adopt(target, target, version, horizon, self.shop.files, self.shop.data_end)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Theirs:
    site = shop(tmp_path_factory.mktemp("theirs"), frame(items=4, days=80), config())
    contract = site.settings.pipelines["produce"].contract
    return Theirs(site, build(main_frame(site.root / "state", site.files, contract, site.data_end), contract, (1, 7)))


@pytest.fixture(scope="module")
def plain(theirs: Theirs) -> int:
    """Logged as people do: mlflow.sklearn.log_model with a signature, one horizon."""
    model, x = theirs.learnt(LinearRegression(), theirs.whole)
    signature = infer_signature(x, model.predict(x))
    return theirs.sklearn(model, signature=signature)


def adopted(theirs: Theirs, step: Adopt) -> Adopted:
    outcome = adopt(step, theirs.shop.job())
    assert isinstance(outcome, Adopted), outcome
    return outcome


def refused(theirs: Theirs, step: Adopt) -> Unadoptable:
    outcome = adopt(step, theirs.shop.job())
    assert isinstance(outcome, Unadoptable), outcome
    return outcome


def test_a_plain_scikit_learn_version_is_understood_and_has_no_test_figures(theirs: Theirs, plain: int) -> None:
    outcome = adopted(theirs, theirs.step(plain))
    found = outcome.candidate
    assert (found.version, found.algorithm, found.test.values) == (plain, "LinearRegression", {})
    assert bind(Foreign, found.recipe["adopted"]) == Foreign(tuple(theirs.whole), {"h1": ""})
    assert outcome.notes == ("it says nothing for 7 days ahead: a naive forecast stands there",)


def test_killed_before_its_word_it_finds_the_same_again(theirs: Theirs, plain: int) -> None:
    expected = adopted(theirs, theirs.step(plain))
    shutil.rmtree(theirs.shop.root / "state" / "models")
    assert run("adopt", theirs.shop, theirs.step(plain), failpoint=ADOPTION_POINTS[-1]) is None
    assert adopted(theirs, theirs.step(plain)) == expected
    assert [p.name for p in (theirs.shop.root / "state" / "models").iterdir()] == [expected.candidate.model_digest]


def test_it_becomes_champion_by_an_alias_and_its_own_tags_stay(theirs: Theirs, plain: int) -> None:
    client = theirs.client
    client.set_model_version_tag("price", str(plain), "owner", "lab")
    client.set_registered_model_alias("price", "theirs", str(plain))
    digest = adopted(theirs, theirs.step(plain)).candidate.model_digest
    step = Promote("price", plain, "production", None, digest, "d1", "by hand", None, settles=True)
    assert promote(step, theirs.shop.job()) == Promoted(plain, None)
    assert {k: int(v) for k, v in client.get_registered_model("price").aliases.items()} == {"theirs": plain, "champion": plain}
    assert client.get_model_version("price", str(plain)).tags["owner"] == "lab"


def test_it_forecasts_its_horizon_from_its_kept_files_and_naive_forecasts_stand_at_the_others(theirs: Theirs, plain: int) -> None:
    found = adopted(theirs, theirs.step(plain)).candidate
    how = bind(Foreign, found.recipe["adopted"])
    who = Forecaster(plain, "champion", theirs.shop.data_end, found.model_digest, how)
    naive = {"price": "persistence", "demand": "seasonal_naive"}
    step = Forecast("key", theirs.shop.files, theirs.shop.data_end, (), {"price": (who,), "demand": ()}, naive, (), (), AT)
    away = replace(theirs.shop, settings=replace(theirs.shop.settings, mlflow=replace(
        theirs.shop.settings.mlflow, tracking_uri="http://127.0.0.1:9")))  # fmt: skip
    outcome = forecast(step, away.job())
    assert isinstance(outcome, Forecasted)
    assert outcome.unloadable == ()
    made = files.read(theirs.shop.root / "state", "forecasts", (outcome.made,) if outcome.made else ())
    mine = made[(made.version == str(plain)) & (made.horizon_days == 1) & (made.origin_date == pd.Timestamp(theirs.shop.data_end))]
    rows = theirs.table.origin == np.datetime64(theirs.shop.data_end, "D")
    model, _ = theirs.learnt(LinearRegression(), theirs.whole)
    expected = dict(zip(theirs.table.entity[rows], model.predict(theirs.table.x.loc[rows, theirs.whole]), strict=True))
    assert len(mine)
    for row in mine.itertuples():
        assert row.forecast == pytest.approx(expected[row.item_code])
    assert made[(made.version == str(plain)) & (made.horizon_days == 7)].forecast.isna().all()
    orders = pd.read_csv(theirs.shop.root / "orders" / "orders.csv", dtype=str)
    price = orders[orders.target == "price"]
    assert set(price[price.horizon_days == "1"].source) == {"champion"}
    assert set(price[price.horizon_days == "7"].source) == {"persistence"}


def test_a_model_that_refuses_gaps_is_asked_for_whole_rows_only(theirs: Theirs) -> None:
    gappy = next(c for c in theirs.numbers if 0 < theirs.newest[c].isna().sum() < len(theirs.newest))
    columns = [*theirs.whole[:2], gappy]
    y = theirs.table.targets["price"][1]
    known = np.isfinite(y) & theirs.table.x[columns].notna().all(axis=1).to_numpy()
    model = Ridge().fit(theirs.table.x.loc[known, columns], y[known])
    version = theirs.sklearn(model)
    outcome = adopted(theirs, theirs.step(version))  # without a signature: by the names that scikit-learn noted
    how = bind(Foreign, outcome.candidate.recipe["adopted"])
    assert (how.inputs, how.whole_rows) == (tuple(columns), True)
    assert "a naive forecast stands in for the others" in outcome.notes[-1]


def test_columns_that_are_named_by_horizons_need_no_word(theirs: Theirs) -> None:
    one, x = theirs.learnt(HistGradientBoostingRegressor(max_iter=3), theirs.whole, 1)
    week, _ = theirs.learnt(HistGradientBoostingRegressor(max_iter=3), theirs.whole, 7)

    class Both(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context: Any, model_input: pd.DataFrame) -> pd.DataFrame:
            return pd.DataFrame({"h1": one.predict(model_input), "h7": week.predict(model_input)})

    signature = infer_signature(x, Both().predict(None, x))
    version = theirs.log(lambda: mlflow.pyfunc.log_model(name="m", python_model=Both(), signature=signature,
                                                         pip_requirements=[], registered_model_name="price"))  # fmt: skip
    how = bind(Foreign, adopted(theirs, theirs.step(version, horizon=None)).candidate.recipe["adopted"])
    assert how.answers == {"h1": "h1", "h7": "h7"}


def test_what_cannot_be_champion_is_refused_with_what_is_missing(theirs: Theirs, plain: int) -> None:
    strange = LinearRegression().fit(pd.DataFrame({"weather": [1.0, 2.0], "strikes": [0.0, 1.0]}), [1.0, 2.0])
    version = theirs.sklearn(strange)
    assert refused(theirs, theirs.step(version)).why == "it wants columns that are no features of this site: weather, strikes"
    nameless = LinearRegression().fit(np.array([[1.0], [2.0]]), [1.0, 2.0])
    version = theirs.sklearn(nameless)
    assert refused(theirs, theirs.step(version)).why == "it does not say which columns it wants"
    assert refused(theirs, theirs.step(99)).why == "price has no version 99 in MLflow"
    asked = refused(theirs, theirs.step(plain, horizon=None))
    assert (asked.why, asked.remedy) == ("it says one number a row and not for which horizon", "say it with --horizon: 1, 7")
    assert refused(theirs, theirs.step(plain, horizon=3)).why == "3 days ahead is no horizon of this site"


def test_a_version_whose_files_are_damaged_does_not_load_and_says_so(theirs: Theirs) -> None:
    model, _ = theirs.learnt(Ridge(), theirs.whole)
    version = theirs.sklearn(model)
    source = theirs.client.get_model_version_download_uri("price", str(version)).removeprefix("file://")
    (file,) = [f for f in Path(source).iterdir() if f.name.startswith("model.")]
    file.write_bytes(b"")
    assert refused(theirs, theirs.step(version)).why.startswith("it does not load here: ")
