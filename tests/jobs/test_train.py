"""The job `train` on a real store and a real MLflow: figures, versions, and what a kill leaves behind."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import itertools
import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from retraind.core.figures import BASELINES, MEASURED
from retraind.core.policy.logged import named
from retraind.core.steps import Champion, Compare, Compared, Impossible, Trained
from retraind.drift.saved import from_bytes
from retraind.errors import RetraindError
from retraind.jobs import registry as mlflow_registry
from retraind.jobs.compare import COMPARE_POINTS, compare
from retraind.jobs.data.features import build
from retraind.jobs.data.splits import borders, known_before
from retraind.jobs.data.store import main_frame
from retraind.jobs.train import TRAIN_POINTS, train
from retraind.jobs.training import model_cache, plots, portfolio, selection
from retraind.jobs.training.choice import TIED
from retraind.jobs.training.evaluate import ground, scores
from retraind.jobs.training.made_with import libraries
from retraind.jobs.training.search import Trial
from retraind.source import source_digest
from trained_shop import SMALL, Shop, config, frame, run, shop

LINEAR = {
    "models: [blend, linear_regression, ridge, random_forest, gradient_boosting]": "models: [linear_regression, ridge]"
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return shop(tmp_path_factory.mktemp("shop"), frame(), config())


@pytest.fixture(scope="module")
def trained(site: Shop) -> Trained:
    said: list[str] = []
    outcome = train(site.step("r1"), site.job(said))
    assert isinstance(outcome, Trained)
    assert "fitting demand, gradient_boosting, on all days, 7 days ahead" in said
    return outcome


def client(site: Shop) -> MlflowClient:
    uri = mlflow_registry.tracking_uri(site.settings.mlflow, site.root)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def versions(site: Shop, model: str, request: str) -> list[int]:
    found = client(site).search_model_versions(f"name = '{model}' and tags.`retraind.request` = '{request}'")
    return sorted(int(v.version) for v in found)


def runs(site: Shop, request: str) -> list[mlflow.entities.Run]:
    experiment = client(site).get_experiment_by_name("retraind")
    assert experiment is not None
    return list(client(site).search_runs([experiment.experiment_id], f"tags.`retraind.request` = '{request}'"))


def test_every_candidate_has_every_figure_on_the_rows_of_the_baselines(trained: Trained) -> None:
    assert [r.target for r in trained.results] == ["price", "demand"]
    for result in trained.results:
        assert sorted(c.algorithm for c in result.candidates) == ["gradient_boosting", "ridge"]
        assert [c.rank for c in result.candidates] == [1, 2]
        everybody = [*result.baselines.values(), *(c.test for c in result.candidates)]
        assert all(one.rows == everybody[0].rows for one in everybody)
        assert all(one.values[m][h] is not None for one in everybody for m in MEASURED for h in ("h1", "h7"))
        assert set(result.baselines) == {"persistence", "seasonal_naive", "moving_average"}
        assert result.champion is None
        assert result.champion_version is None


def test_the_best_candidate_beats_doing_nothing_where_there_is_something_to_learn(trained: Trained) -> None:
    for result in trained.results:
        best, naive = result.candidates[0].test, result.baselines["persistence"]
        assert all(best.values["wape"][h] < 0.95 * naive.values["wape"][h] for h in ("h1", "h7"))  # type: ignore[operator]


def test_candidates_are_ranked_on_validation_days(trained: Trained) -> None:
    for result in trained.results:
        cost = [c.figures["validation_cost"] for c in result.candidates]
        assert cost[0] <= cost[1] * TIED  # type: ignore[operator]


def test_test_figures_are_those_of_the_recipe_fitted_before_the_test_days(site: Shop, trained: Trained) -> None:
    table, cut = _table(site)
    assert trained.test_from.isoformat() == str(cut.test)
    for result in trained.results:
        column = site.job().config.contract.targets[result.target].column
        rows = ground(table, result.target, column, (1, 7), cut.test, cut.end)
        for candidate in result.candidates[:1]:
            learn = {h: known_before(table.target_day(h), cut.test) for h in (1, 7)}
            fitted = portfolio.fit(candidate.recipe, table, learn, threads=1)
            again = scores(rows, {h: portfolio.forecast(fitted, table, h, rows.marked[h]) for h in (1, 7)})
            assert again == candidate.test


OLDER = 60
"""Days by which the champion's data are older, in the second training."""


@pytest.fixture(scope="module")
def again(site: Shop, trained: Trained) -> Trained:
    """The same data once more: demand beside a champion of old data, price beside one whose recipe no longer fits."""
    price, demand = (r.candidates[0].recipe for r in trained.results)
    champions = {
        "price": Champion(3, {**price, "features": ["a_feature_of_old"]}, site.data_end),
        "demand": Champion(7, demand, site.data_end - dt.timedelta(days=OLDER)),
    }
    outcome = train(site.step("r2", champions=champions), site.job())
    assert isinstance(outcome, Trained)
    return outcome


def test_the_champions_stand_in_is_as_much_older_as_the_champion_is(site: Shop, again: Trained) -> None:
    result = again.results[1]
    table, cut = _table(site)
    rows = ground(table, "demand", "quantity_kg", (1, 7), cut.test, cut.end)
    learn = {h: known_before(table.target_day(h), cut.test - np.timedelta64(OLDER, "D")) for h in (1, 7)}
    fitted = portfolio.fit(result.candidates[0].recipe, table, learn, threads=1)
    assert result.champion_version == 7
    assert result.champion == scores(rows, {h: portfolio.forecast(fitted, table, h, rows.marked[h]) for h in (1, 7)})
    assert result.champion != result.candidates[0].test


def test_a_champion_whose_recipe_cannot_be_fitted_is_unknown_and_said(again: Trained) -> None:
    assert again.results[0].champion is None
    assert again.results[0].champion_version == 3
    assert any("a_feature_of_old" in note for note in again.notes)


def test_each_candidate_is_tested_against_the_champions_recipe_and_only_where_that_can_be_fitted(again: Trained) -> None:
    price, demand = again.results
    assert all(c.significance == {} for c in price.candidates)
    own, other = demand.candidates
    assert set(own.significance) == set(other.significance) == {f"{m}.{h}" for m in ("wape", "mape", "rmse") for h in ("h1", "h7")}
    for key, test in other.significance.items():
        assert (test.candidates, test.dates) == (1, other.test.rows[key.partition(".")[2]].dates)
    assert set(demand.slice_rows["category_name"]) == {"leaves", "roots"} == set(demand.champion_slices["category_name"])
    for value, rows in demand.slice_rows["category_name"].items():
        assert set(own.slices["category_name"][value]["wape"]) == set(rows) == {"h1", "h7"}
    low, high = own.intervals["wape"]["h1"]
    assert low < (own.test.values["wape"]["h1"] or 0) < high


def test_the_same_data_and_seed_give_the_same_figures_to_the_last_digit(trained: Trained, again: Trained) -> None:
    for first, second in zip(trained.results, again.results, strict=True):
        assert first.baselines == second.baselines
        for one, other in zip(first.candidates, second.candidates, strict=True):
            assert (one.test, one.figures, one.recipe_id) == (other.test, other.figures, other.recipe_id)
            assert one.version != other.version


def test_a_training_asked_for_again_answers_from_its_result(site: Shop, trained: Trained) -> None:
    said: list[str] = []
    assert train(site.step("r1"), site.job(said)) == trained
    assert said == []
    assert len(versions(site, "price", "r1")) == 2


def test_runs_are_nested_finished_and_say_what_they_come_from(site: Shop, trained: Trained) -> None:
    found = runs(site, "r1")
    assert {r.info.status for r in found} == {"FINISHED"}
    parents = [r for r in found if r.data.tags["retraind.run"] == "training"]
    assert [r.info.run_id for r in parents] == [trained.parent_run]
    children = [r for r in found if r.data.tags["retraind.run"] == "candidate"]
    assert len(children) == 4
    for result in trained.results:
        for candidate in result.candidates:
            (run_,) = [r for r in children if r.info.run_id == candidate.run_id]
            assert run_.data.tags["mlflow.parentRunId"] == trained.parent_run
            assert run_.data.metrics["test_wape_h7"] == candidate.test.values["wape"]["h7"]
            assert run_.data.metrics["test_smape_h7"] == candidate.test.values["smape"]["h7"]
            low_high = tuple(run_.data.metrics[f"test_wape_h7_{end}"] for end in ("low", "high"))
            assert low_high == candidate.intervals["wape"]["h7"]
            assert {k: v for k, v in candidate.figures.items() if v is not None}.items() <= run_.data.metrics.items()
            assert [name for name in candidate.figures if named(name) is None] == []  # a policy's `figure` may ask for each
            assert run_.data.params["algorithm"] == candidate.algorithm
            path = client(site).download_artifacts(candidate.run_id, "evaluation.json")
            evaluation = json.loads(Path(path).read_text())
            assert set(evaluation["significance"]) == {"champion", *BASELINES}
            assert set(evaluation["by"]) == {"month"}
            assert set(evaluation["slices"]) == {"category_name", "item_age"}
            assert set(evaluation["folds"][0]) == set(MEASURED)
            files = {f.path for f in client(site).list_artifacts(candidate.run_id)}
            assert {"evaluation.json", "feature_info.json", "model_metadata.json", "explanations.json"} <= files
            assert "best_model.pkl" not in files
            assert {i.dataset.name for i in run_.inputs.dataset_inputs} == {"sales", "wholesale", "items", "loss"}
            tags = client(site).get_model_version(result.model, str(candidate.version)).tags
            assert tags["retraind.request"] == "r1"
            assert tags["retraind.recipe"] == candidate.recipe_id
            assert tags["retraind.digest"] == candidate.model_digest
            assert tags["retraind.data_end"] == site.data_end.isoformat()
            assert tags["retraind.stage"] == "None"


def test_every_figure_is_told_by_fold_and_the_folds_make_up_the_whole(site: Shop, trained: Trained) -> None:
    table, cut = _table(site)
    days = int((cut.test - cut.validation).astype(int))
    borders_ = [cut.validation + np.timedelta64(round(days * i / 3), "D") for i in range(4)]
    for result in trained.results:
        column = site.job().config.contract.targets[result.target].column
        on = ground(table, result.target, column, (1, 7), cut.validation, cut.test)
        origin = table.origin[on.marked[1]]
        amounts = [np.abs(on.actual[1][(origin >= a) & (origin < b)]).sum() for a, b in itertools.pairwise(borders_)]
        for candidate in result.candidates:
            by_fold = [candidate.figures[f"fold_{i}_wape_h1"] for i in (1, 2, 3)]
            assert np.average(by_fold, weights=amounts) == pytest.approx(candidate.figures["validation_wape_h1"], rel=1e-4)


def test_what_made_a_model_is_told_to_its_package_and_source(site: Shop, trained: Trained) -> None:
    path = client(site).download_artifacts(trained.results[0].candidates[0].run_id, "model_metadata.json")
    told = json.loads(Path(path).read_text())
    assert {"Python", "shap", "scikit-learn"} <= set(told["libraries"])
    assert "lightgbm" not in told["libraries"]
    assert libraries(["lightgbm.LGBMRegressor"])["lightgbm"] == importlib.metadata.version("lightgbm")
    assert told["source"] == source_digest()
    assert all(told["seconds"][stage] > 0 for stage in ("fitting", "explaining"))


def test_a_training_leaves_its_log(site: Shop, trained: Trained) -> None:
    log = Path(client(site).download_artifacts(trained.parent_run, "logs/training_r1.log")).read_text().splitlines()
    assert "training r1 kind=search" in log[0]
    assert sum("registered price v" in line for line in log) == 2
    assert sum(re.search(r" (train|validation|test) days from=\S+ to=\S+ days=\d+ rows=\d+ items=\d+ categories=2$", line)
               is not None for line in log) == 3  # fmt: skip
    assert any(line.endswith(note) for note in trained.notes for line in log)
    assert any("fitting demand, gradient_boosting, on all days, 7 days ahead" in line for line in log)


def test_the_best_candidate_is_explained_in_full_and_the_others_in_brief(site: Shop, trained: Trained) -> None:
    for result in trained.results:
        for candidate in result.candidates:
            path = client(site).download_artifacts(candidate.run_id, "explanations.json")
            found = json.loads(Path(path).read_text())
            assert [e["horizon"] for e in found] == ([1, 7] if candidate.rank == 1 else [1])
            in_full = candidate.rank == 1 or candidate.algorithm == "ridge"  # SHAP values of a linear model cost nothing
            assert all((w["shap"] is not None) == in_full for e in found for w in e["features"])
    assert not any("not explained" in note for note in trained.notes)


def test_a_training_leaves_what_later_windows_are_held_against(site: Shop, trained: Trained) -> None:
    raw = Path(client(site).download_artifacts(trained.parent_run, "drift_reference.npz")).read_bytes()
    assert (site.root / "state" / "drift" / "reference-r1.npz").read_bytes() == raw
    assert any(name.endswith(".since_window") for name in from_bytes(raw))


def test_the_report_stands_alone_and_holds_the_figures(site: Shop, trained: Trained) -> None:
    text = (site.root / "state" / "reports" / "r1.html").read_text(encoding="utf-8")
    assert Path(client(site).download_artifacts(trained.parent_run, "report.html")).read_text(encoding="utf-8") == text
    assert set(re.findall(r"https?://[^\s\"<]+", text)) == {"http://www.w3.org/2000/svg"}  # a name, which nobody fetches
    assert not re.findall(r"<script|<link|@import|src=", text)
    _assert_balanced(text)
    for result in trained.results:
        for candidate in result.candidates:
            assert f"v{candidate.version} {candidate.algorithm}" in text
            assert all(f"{candidate.test.values['mape'][h]:,.2f}" in text for h in ("h1", "h7"))
        assert f"{result.baselines['persistence'].values['wape']['h1']:,.2f}" in text
    assert all(f.sha256 in text for f in site.files)


def _assert_balanced(text: str) -> None:
    """Every element is closed in its turn."""
    open_: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "br"):
                open_.append(tag)

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert open_.pop() == tag

    Reader().feed(text)
    assert open_ == []


def test_the_report_for_programs_says_the_same(site: Shop, trained: Trained) -> None:
    told = json.loads((site.root / "state" / "reports" / "r1.json").read_text())
    assert (told["version"], told["request"], told["parent_run"]) == (1, "r1", trained.parent_run)
    assert [part["part"] for part in told["split"]] == ["train", "validation", "test"]
    assert told["split"][2]["from"] == trained.test_from.isoformat()
    for one, result in zip(told["targets"], trained.results, strict=True):
        assert [c["version"] for c in one["candidates"]] == [c.version for c in result.candidates]
        assert one["candidates"][0]["test"]["rmse"] == result.candidates[0].test.values["rmse"]
        assert set(one["categories"]) == {"roots", "leaves"}


def test_every_candidates_run_holds_its_pictures(site: Shop, trained: Trained) -> None:
    for result in trained.results:
        for candidate in result.candidates:
            names = {f.path for f in client(site).list_artifacts(candidate.run_id, "plots")}
            expected = {"forecast", "residuals", "error_by_horizon", "error_by_category", "importance"}
            assert {f"plots/{name}.svg" for name in expected} <= names
            folder = Path(client(site).download_artifacts(candidate.run_id, "plots"))
            for picture in folder.glob("*.svg"):
                assert ET.parse(picture).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_a_name_in_any_script_may_stand_in_a_picture() -> None:
    picture = plots.by_category("wape", {"花叶类 <b>&": (4.0, 5.0), "": (0.0, 0.0)}, title="价格")
    words = {element.text for element in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")}
    assert {"花叶类 <b>&", "价格"} <= words


def test_the_score_is_drawn_against_each_parameter_that_was_varied() -> None:
    tried = [
        Trial("ridge", {"alpha": alpha, "kind": kind, "same": 1}, {"h1": (0.9,)}, 0.9, 0.02, 0.1, chosen=alpha == 1.0)
        for alpha, kind in ((1.0, "log"), (1000.0, "level"))
    ]
    picture = ET.fromstring(plots.trials(tried, title="ridge"))
    words = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert words.count("alpha") == words.count("kind") == 1
    assert "same" not in words
    assert "1,000" in words


def test_the_choice_of_features_is_used_logged_and_told(site: Shop, trained: Trained) -> None:
    for result in trained.results:
        for candidate in result.candidates:
            info = json.loads(Path(client(site).download_artifacts(candidate.run_id, "feature_info.json")).read_text())
            choice, names = info["choice"], {f["name"]: f for f in info["features"]}
            assert choice["kept"] == list(candidate.recipe["features"])
            assert len(choice["kept"]) <= 90
            assert len(choice["kept"]) + len(choice["dropped"]) == len(names) >= 105
            assert all(one["why"] for one in choice["dropped"])
            assert names["quantity_kg_lag_7"]["sign"] == (1 if result.target == "demand" else 0)
            assert all(f["name_en"] and f["name_zh"] for f in info["features"])
        assert any(note.startswith(f"{result.target}: {len(choice['kept'])} of {len(names)} features") for note in trained.notes)


def test_metadata_name_the_data_by_hash(site: Shop, trained: Trained) -> None:
    candidate = trained.results[0].candidates[0]
    metadata = json.loads(Path(client(site).download_artifacts(candidate.run_id, "model_metadata.json")).read_text())
    assert [f["sha256"] for f in metadata["data"]] == [f.sha256 for f in site.files]
    assert metadata["recipe"] == json.loads(json.dumps(candidate.recipe))


def test_a_training_killed_again_and_again_is_finished_once(tmp_path: Path) -> None:
    quick = shop(tmp_path, frame(items=2, days=260), config(**LINEAR))
    step = quick.step("r", ["price"])
    for point in TRAIN_POINTS:  # in their order: each try comes one effect further than the last
        assert run("train", quick, step, failpoint=point) is None, point
    outcome = run("train", quick, step)
    assert isinstance(outcome, Trained)
    candidates = outcome.results[0].candidates
    assert versions(quick, "price", "r") == sorted(c.version for c in candidates) == [1, 2]
    assert {r.info.status for r in runs(quick, "r")} == {"FINISHED"}
    assert len(runs(quick, "r")) == 3
    assert sorted(f.name for f in (quick.root / "state" / "reports").iterdir()) == ["r.html", "r.json"]
    mlflow_registry.connect(quick.settings.mlflow, quick.root)
    assert all(mlflow_registry.model_digest(f"models:/price/{c.version}") == c.model_digest for c in candidates)


def test_the_files_that_a_version_serves_are_kept_by_digest_and_nowhere_else_in_the_state(
    site: Shop, trained: Trained
) -> None:
    digests = {c.model_digest for r in trained.results for c in r.candidates}
    kept = {f.relative_to(site.root / "state").as_posix() for f in (site.root / "state").rglob("*.skops")}
    assert kept >= {f"models/{digest}/estimators.skops" for digest in digests}
    assert all(k.startswith("models/") and ".part" not in k for k in kept)
    assert list((site.root / "job").iterdir()) == []


def test_a_kept_model_answers_as_the_registered_one(site: Shop, trained: Trained) -> None:
    table, _ = _table(site)
    mlflow.set_registry_uri(mlflow_registry.tracking_uri(site.settings.mlflow, site.root))
    for result in trained.results:
        for candidate in result.candidates:
            kept = model_cache.read(site.root / "state", candidate.model_digest)
            loaded = mlflow.pyfunc.load_model(f"models:/{result.model}/{candidate.version}").predict(table.x.tail(40))
            assert kept.horizons == ("h1", "h7")
            assert all(np.array_equal(kept.forecast(h, table.x.tail(40)), loaded[h]) for h in kept.horizons)


def test_a_kept_model_is_read_without_mlflow() -> None:
    code = "import sys, retraind.jobs.training.model_cache; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- refresh ----


@pytest.fixture(scope="module")
def refreshed(site: Shop, trained: Trained) -> tuple[Trained, list[str]]:
    """Price refreshed from a champion 30 days older; demand has no champion."""
    champion = Champion(3, trained.results[0].candidates[1].recipe, site.data_end - dt.timedelta(days=30))
    said: list[str] = []
    outcome = train(site.step("r3", champions={"price": champion}, kind="refresh"), site.job(said))
    assert isinstance(outcome, Trained)
    return outcome, said


def test_a_refresh_fits_the_champions_recipe_alone(trained: Trained, refreshed: tuple[Trained, list[str]]) -> None:
    recipe_of = trained.results[0].candidates[1]
    (candidate,) = refreshed[0].results[0].candidates
    assert candidate.recipe_id == recipe_of.recipe_id
    assert candidate.test == recipe_of.test  # the same data: fitted before the same test days
    assert candidate.rank == 1
    assert not any(name.startswith("validation") for name in candidate.figures)
    assert refreshed[0].results[0].champion_version == 3
    assert refreshed[0].results[0].champion not in (None, candidate.test)


def test_a_refresh_makes_only_the_fits_that_it_needs(refreshed: tuple[Trained, list[str]]) -> None:
    fits = [stage for stage in refreshed[1] if stage.startswith("fitting price")]
    assert len(fits) == 3 * 2  # judged, on all days, the stand-in; two horizons
    assert not any("to be ranked" in stage for stage in fits)


def test_a_refresh_searches_where_there_is_no_champion(refreshed: tuple[Trained, list[str]]) -> None:
    assert [c.rank for c in refreshed[0].results[1].candidates] == [1, 2]


def test_the_bar_of_a_training_goes_from_its_first_fit_to_its_last_registration(quick: Shop) -> None:
    told: list[tuple[str, int, int]] = []
    train(quick.step("bar", ["price"]), replace(quick.job(), progress=lambda *one: told.append(one)))
    steps = [(done, of) for stage, done, of in told if stage.startswith(("fitting", "explaining", "registering"))]
    assert steps == [(i, len(steps)) for i in range(len(steps))]
    assert told[-1][0].startswith("registering price, ")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return shop(tmp_path_factory.mktemp("quick"), frame(items=2, days=260), config(**LINEAR))


def test_a_refresh_whose_recipe_no_longer_fits_searches_and_says_so(quick: Shop) -> None:
    champion = Champion(3, {"algorithm": "oracle", "horizons": [1, 7]}, quick.data_end)
    outcome = train(quick.step("odd", ["price"], champions={"price": champion}, kind="refresh"), quick.job())
    assert isinstance(outcome, Trained)
    assert len(outcome.results[0].candidates) == 2
    assert "knows no algorithm oracle; the portfolio was searched instead" in outcome.notes[0]


def test_a_champion_named_by_its_dotted_path_is_refreshed_and_stands_beside_its_successors(quick: Shop) -> None:
    pytest.importorskip("lightgbm")
    table, _ = _table(quick)
    found = {"n_estimators": 5, "verbosity": -1}
    recipe = portfolio.recipe("lightgbm.LGBMRegressor", "price", table, (1, 7), 20, found=found)
    champions = {"price": Champion(4, recipe, quick.data_end)}
    outcome = train(quick.step("lgbm", ["price"], champions=champions, kind="refresh"), quick.job())
    assert isinstance(outcome, Trained)
    (result,) = outcome.results
    (refresh,) = result.candidates
    assert refresh.recipe == recipe
    assert refresh.test == result.champion  # as old as the data: the stand-in is the refresh
    compared = compare(Compare("lgbm", "price", quick.files, quick.data_end, champions["price"]), quick.job())
    assert isinstance(compared, Compared)
    assert compared.champion == refresh.test


@pytest.mark.parametrize(("has", "lacks"), [(1, 7), (7, 1)])
def test_a_champion_of_fewer_horizons_is_compared_at_those_it_has(quick: Shop, has: int, lacks: int) -> None:
    recipe = portfolio.recipe("ridge", "price", _table(quick)[0], (has,), 20)
    champion = Champion(6, recipe, quick.data_end)
    outcome = train(quick.step(f"only {has}", ["price"], champions={"price": champion}, kind="refresh"), quick.job())
    assert isinstance(outcome, Trained)
    assert f"it does not forecast {lacks} days ahead; the portfolio was searched instead" in outcome.notes[0]
    (result,) = outcome.results
    assert result.champion is not None
    assert set(result.champion.rows) == {f"h{has}"}
    assert {h for figures in result.champion_slices["category_name"].values() for h in figures["wape"]} == {f"h{has}"}
    for candidate in result.candidates:
        assert set(candidate.test.rows) == {"h1", "h7"}
        assert all(key.endswith(f".h{has}") for key in candidate.significance)


def test_a_model_that_misses_a_feature_says_which(odd: tuple[Shop, Trained]) -> None:
    small, outcome = odd
    kept = model_cache.read(small.root / "state", outcome.results[0].candidates[0].model_digest)
    gone = kept.model["horizons"]["h1"]["columns"][0]
    with pytest.raises(RetraindError, match=f"it learnt from {gone}, which the settings no longer give"):
        kept.forecast("h1", _table(small)[0].x.drop(columns=[gone]))


def test_a_champion_whose_package_is_gone_is_told_with_what_to_install(quick: Shop) -> None:
    champion = Champion(5, {"algorithm": "of_old.Forest", "horizons": [1, 7]}, quick.data_end)
    outcome = train(quick.step("gone", ["price"], champions={"price": champion}, kind="refresh"), quick.job())
    assert isinstance(outcome, Trained)
    assert "of_old.Forest, which cannot be imported" in outcome.notes[0]


@pytest.mark.parametrize("alpha", [100.0, 3.0])
def test_a_refresh_is_among_the_candidates_of_a_search(quick: Shop, alpha: float) -> None:
    table, cut = _table(quick)
    kept = selection.choose(table, "price", (1, 7), cut.validation, quick.job().config.training.features_kept).kept
    known = portfolio.recipe("ridge", "price", table, (1, 7), 20, kept)
    recipe = {**known, "params": {"alpha": alpha}}
    champion = Champion(1, recipe, quick.data_end)
    outcome = train(quick.step(f"search {alpha}", ["price"], champions={"price": champion}), quick.job())
    assert isinstance(outcome, Trained)
    candidates = outcome.results[0].candidates
    assert len(candidates) == (2 if recipe == known else 3)
    (refresh,) = [c for c in candidates if c.recipe_id == portfolio.recipe_id(recipe)]
    assert refresh.test == outcome.results[0].champion  # as old as the data: the stand-in is the refresh
    assert refresh.figures["validation_against_persistence"] is not None


def test_a_blend_chooses_its_weights_in_a_search_and_keeps_them_in_a_refresh(tmp_path: Path) -> None:
    small = shop(
        tmp_path, frame(items=2, days=260), config(**{SMALL: "models: [blend]"})
    )
    outcome = train(small.step("search", ["demand"]), small.job())
    assert isinstance(outcome, Trained)
    (found,) = outcome.results[0].candidates
    assert set(found.recipe["params"]["weights"]) == {"h1", "h7"}
    assert found.recipe_id != portfolio.recipe_id(
        portfolio.recipe("blend", "demand", _table(small)[0], (1, 7), seed=20)
    )
    champion = Champion(1, json.loads(json.dumps(found.recipe)), small.data_end)
    again = train(small.step("refresh", ["demand"], champions={"demand": champion}, kind="refresh"), small.job())
    assert isinstance(again, Trained)
    (refresh,) = again.results[0].candidates
    assert (refresh.recipe_id, refresh.test) == (found.recipe_id, found.test)
    assert again.results[0].champion == found.test
    log = Path(client(small).download_artifacts(again.parent_run, "logs/training_refresh.log")).read_text()
    assert log.count("fitting") == 3 * 2  # judged, on all days, the stand-in, two horizons each: explaining fits nothing
    (told,) = json.loads(Path(client(small).download_artifacts(refresh.run_id, "explanations.json")).read_text())
    assert any(feature["rise"] > 0 for feature in told["features"])


# ---- search ----


def test_a_search_fits_what_its_trials_chose_logs_them_and_comes_out_the_same_again(tmp_path: Path) -> None:
    searched = {
        **LINEAR,
        "{kind: grid, trials: 1, ": "{kind: grid, trials: 9, ",
    }
    small = shop(tmp_path, frame(items=2, days=260), config(**searched))
    outcomes = [train(small.step(request, ["demand"]), small.job()) for request in ("one", "two")]
    assert all(isinstance(outcome, Trained) for outcome in outcomes)
    one, two = ({c.algorithm: c for c in outcome.results[0].candidates} for outcome in outcomes)
    assert all((one[a].test, one[a].figures, one[a].recipe_id) == (two[a].test, two[a].figures, two[a].recipe_id) for a in one)
    ridge = one["ridge"]
    assert (ridge.figures["search_trials"], one["linear_regression"].figures["search_trials"]) == (8, 2)
    assert outcomes[0].results[0].rule.startswith("0.7 WAPE + 0.3 RMSE")
    table = json.loads(Path(client(small).download_artifacts(ridge.run_id, "trials.json")).read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    tried = [(row["alpha"], row["transform"]) for row in rows]
    assert tried == list(itertools.product((10.0, 100.0, 1000.0, 10000.0), ("log_ratio", "difference")))
    chosen = [(row["alpha"], row["transform"]) for row in rows if row["chosen"]]
    assert chosen == [(ridge.recipe["params"]["alpha"], ridge.recipe["transform"]["kind"])]


def test_settings_that_no_estimator_can_follow_end_a_training_before_it_begins(quick: Shop, tmp_path: Path) -> None:
    odd = config(**{SMALL: "models: [{ridge: {alhpa: [1, 2]}}]"})
    job = shop(tmp_path, frame(items=2, days=260), odd, prepared=False).job()
    with pytest.raises(RetraindError, match="ridge has no parameter alhpa"):
        train(quick.step("odd settings"), job)
    assert not (tmp_path / "mlflow").exists()


# ---- compare ----


def test_a_champion_of_today_is_compared_on_the_test_rows_of_the_training(site: Shop, trained: Trained) -> None:
    for result in trained.results:
        worse = result.candidates[1]
        step = Compare("r1", result.target, site.files, trained.data_end, Champion(5, worse.recipe, trained.data_end))
        outcome = compare(step, site.job())
        assert isinstance(outcome, Compared)
        assert outcome.champion == worse.test
        assert outcome.champion.rows == result.candidates[0].test.rows
        assert outcome.slices == worse.slices


def test_a_comparison_finds_as_significant_what_the_training_would_have_found(site: Shop, again: Trained) -> None:
    demand = again.results[1]
    champion = Champion(7, demand.candidates[0].recipe, site.data_end - dt.timedelta(days=OLDER))
    outcome = compare(Compare("r2", "demand", site.files, again.data_end, champion), site.job())
    assert isinstance(outcome, Compared)
    assert outcome.significance == {c.recipe_id: c.significance for c in demand.candidates}
    assert outcome.slices == demand.champion_slices
    gone = compare(Compare("unheard-of", "demand", site.files, again.data_end, champion), site.job())
    assert isinstance(gone, Compared)
    assert (gone.champion, gone.significance) == (outcome.champion, {})


def test_a_comparison_with_what_cannot_be_fitted_says_why(site: Shop, trained: Trained) -> None:
    outcome = compare(Compare("r1", "price", site.files, trained.data_end, Champion(5, {}, site.data_end)), site.job())
    assert outcome == Compared(
        None,
        "the recipe of v5 cannot be fitted on these data: it forecasts none of the horizons asked for now",
    )


def test_a_comparison_killed_anywhere_is_made_again(quick: Shop) -> None:
    recipe = portfolio.recipe("ridge", "price", _table(quick)[0], (1, 7), 20)
    step = Compare("r", "price", quick.files, quick.data_end, Champion(1, recipe, quick.data_end))
    for point in COMPARE_POINTS:
        assert run("compare", quick, step, failpoint=point) is None, point
    assert run("compare", quick, step) == compare(step, quick.job())


def test_excluded_days_are_as_if_they_were_not_there(quick: Shop, tmp_path: Path) -> None:
    rows = frame(items=2, days=260)
    gone = tuple(sorted(set(rows["date"].dt.date))[-20:-5:3])
    without = shop(tmp_path, rows[~rows["date"].dt.date.isin(gone)], config(**LINEAR))
    recipe = portfolio.recipe("ridge", "price", _table(quick)[0], (1, 7), 20)
    champion = Champion(1, recipe, quick.data_end)
    outcomes = [
        compare(Compare("r", "price", site.files, site.data_end, champion, left_out), site.job())
        for site, left_out in ((quick, gone), (without, ()), (quick, ()))
    ]
    assert outcomes[0] == outcomes[1] != outcomes[2]


def _impossible(tmp_path: Path, days: int, **more: str) -> Impossible:
    small = shop(tmp_path, frame(items=2, days=days), config(**LINEAR, **more), prepared=False)
    outcome = train(small.step("r"), small.job())
    assert isinstance(outcome, Impossible)
    assert not (small.root / "mlflow").exists()
    return outcome


def test_too_little_history_is_said_with_figures_and_nothing_is_logged(tmp_path: Path) -> None:
    outcome = _impossible(tmp_path, 57)
    assert outcome.why == "the store holds 47 days of sales, a training needs 180 (training.min_days)"


def test_a_horizon_longer_than_the_test_days_is_said_with_figures(tmp_path: Path) -> None:
    outcome = _impossible(tmp_path, 220, **{"horizons: [1, 7]    #": "horizons: [1, 40]    #"})
    assert outcome.why.startswith("no validation row of price 40 days ahead: the validation part spans 3")


def test_one_item_for_ten_days_cannot_be_trained_and_says_why(tmp_path: Path) -> None:
    outcome = _impossible(tmp_path, 40, **{"min_days: 180": "min_days: 10"})
    assert "days" in outcome.why


# ---- odd data ----


def odd_frame() -> pd.DataFrame:
    """Price never moves, one wholesale price in ten is known and no discount, the only item of a category is sold no more, and
    another with a category of its own is first sold within the test days."""
    rows = frame(items=4, days=300)
    item, day = rows["item_code"], (rows["date"] - rows["date"].min()).dt.days
    rows = rows.assign(
        avg_price_rmb_kg=7.0,
        wholesale_price_rmb_kg=rows["wholesale_price_rmb_kg"].where(rows.index % 10 == 0),
        discount_rate=np.nan,
        category_name=item.map({"item-2": "gone", "item-3": "new"}).fillna("leaves"),
    )
    return rows[~((item == "item-2") & (day >= 150)) & ~((item == "item-3") & (day < 276))]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, Trained]:
    small = shop(tmp_path_factory.mktemp("odd"), odd_frame(), config(**LINEAR))
    outcome = train(small.step("r"), small.job())
    assert isinstance(outcome, Trained)
    return small, outcome


@pytest.mark.parametrize("target", ["demand", "price"])
def test_no_figure_of_odd_data_is_infinite(odd: tuple[Shop, Trained], target: str) -> None:
    small, outcome = odd
    (result,) = [r for r in outcome.results if r.target == target]
    told = json.loads((small.root / "state" / "reports" / "r.json").read_text())
    documents: list[object] = [asdict(result), next(one for one in told["targets"] if one["target"] == target)]
    for candidate in result.candidates:
        for name in ("evaluation.json", "explanations.json"):
            documents.append(json.loads(Path(client(small).download_artifacts(candidate.run_id, name)).read_text()))
    assert len(documents) == 2 + 2 * 2
    for document in documents:
        json.dumps(document, allow_nan=False)  # raises ValueError


def test_the_report_of_odd_data_tells_every_candidate_and_no_nan(odd: tuple[Shop, Trained]) -> None:
    small, outcome = odd
    page = (small.root / "state" / "reports" / "r.html").read_text(encoding="utf-8")
    for result in outcome.results:
        assert sorted(c.algorithm for c in result.candidates) == ["linear_regression", "ridge"]
        assert all(f"v{c.version} {c.algorithm}" in page for c in result.candidates)
    assert re.findall(r"\b(?:nan|inf|infinity)\b", page, re.IGNORECASE) == []


def test_the_report_counts_days_rows_items_and_categories_of_each_part(odd: tuple[Shop, Trained]) -> None:
    reports, rows = odd[0].root / "state" / "reports", odd_frame()
    page = (reports / "r.html").read_text(encoding="utf-8")
    parts = json.loads((reports / "r.json").read_text())["split"]
    for part in parts:
        its = rows[(part["from"] <= rows["date"]) & (rows["date"] < part["to"])]  # whose next day, the nearest target's, is in it
        counted = [its["date"].nunique(), len(its), its["item_code"].nunique()]
        categories = sorted(set(its["category_name"]))
        assert [part[key] for key in ("days", "rows", "items", "categories")] == [*counted, categories]
        cells = [part["part"], part["from"], part["to"], *map(str, counted), ", ".join(categories)]
        assert re.search("".join(rf"<td[^>]*>{cell}</td>\s*" for cell in cells), page)
    assert [part["categories"] for part in parts] == [["gone", "leaves"], ["leaves"], ["leaves", "new"]]
    assert parts[0]["from"] == f"{rows['date'].min():%Y-%m-%d}"
    assert parts[2]["to"] == f"{rows['date'].max():%Y-%m-%d}"
    for one, other in itertools.pairwise(parts):
        assert dt.date.fromisoformat(other["from"]) - dt.date.fromisoformat(one["to"]) == dt.timedelta(1)


def test_a_category_that_is_gone_has_no_figures_and_one_that_is_new_has(odd: tuple[Shop, Trained]) -> None:
    for result in odd[1].results:
        assert set(result.slice_rows["category_name"]) == {"leaves", "new"}
        for candidate in result.candidates:
            assert set(candidate.slices["category_name"]["new"]["wape"]) == {"h1", "h7"}
            assert None not in candidate.slices["category_name"]["new"]["wape"].values()


def test_an_item_that_is_first_sold_within_the_test_days_is_forecast(odd: tuple[Shop, Trained]) -> None:
    small, outcome = odd
    table, cut = _table(small)
    new = table.entity == "item-3"
    assert table.origin[new].min() > cut.test
    for result in outcome.results:
        for candidate in result.candidates:
            kept = model_cache.read(small.root / "state", candidate.model_digest)
            said = np.stack([kept.forecast(h, table.x[new]) for h in ("h1", "h7")])
            if result.target == "price":  # which never moves
                np.testing.assert_allclose(said, 7.0, rtol=1e-6)
            assert np.isfinite(said).all()
            assert (said >= 0).all()


def test_a_model_of_the_registry_answers_in_the_targets_unit_for_every_horizon(site: Shop, trained: Trained) -> None:
    table, _ = _table(site)
    everything = {h: np.ones(len(table.x), dtype=bool) for h in (1, 7)}
    mlflow.set_registry_uri(mlflow_registry.tracking_uri(site.settings.mlflow, site.root))
    for result in trained.results:
        candidate = result.candidates[0]
        loaded = mlflow.pyfunc.load_model(f"models:/{result.model}/{candidate.version}")
        answer = loaded.predict(table.x.tail(40))
        fitted = portfolio.fit(candidate.recipe, table, everything, threads=1)
        for h in (1, 7):
            expected = portfolio.forecast(fitted, table, h, everything[h])[-40:]
            np.testing.assert_allclose(answer[f"h{h}"], expected, rtol=1e-12)


def _table(site: Shop):
    contract = site.job().config.contract
    rows = main_frame(site.job().state, site.files, contract, site.data_end)
    table = build(rows, contract, (1, 7))
    return table, borders(table.origin, site.job().config.training.split)
