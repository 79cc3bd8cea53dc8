"""The job `forecast` on a small shop, with versions that were really trained: what it forecasts, scores and orders by."""

from __future__ import annotations

import csv
import datetime as dt
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from skops.io import dump

import trained_shop
from retraind.core.binding import unbind
from retraind.core.events import ForecastFile, ForecastRole
from retraind.core.steps import Forecast, Forecasted, Forecaster, Trained
from retraind.jobs.data import forecasts as files
from retraind.jobs.data.features import build
from retraind.jobs.data.splits import known_before
from retraind.jobs.data.store import main_frame
from retraind.jobs.forecast import FORECAST_POINTS, forecast
from retraind.jobs.registry import tracking_uri
from retraind.jobs.train import train
from retraind.jobs.training import portfolio
from trained_shop import Shop, config, frame, shop

AT = dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC)
NAIVE = {"price": "persistence", "demand": "seasonal_naive"}
Who = Mapping[str, tuple[Forecaster, ...]]


@dataclass(frozen=True)
class Trial:
    """A shop with a training on all but its last 14 days."""

    shop: Shop
    learnt_to: dt.date
    versions: Mapping[str, tuple[tuple[int, str], ...]]
    """Target -> (version, digest), the best first."""

    def roster(self, *roles: ForecastRole) -> Who:
        """The best versions in these roles."""
        return {
            target: tuple(Forecaster(v, role, self.learnt_to, d) for role, (v, d) in zip(roles, who, strict=False))
            for target, who in self.versions.items()
        }


@pytest.fixture(scope="session")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    site = shop(tmp_path_factory.mktemp("trial"), frame(items=4, days=260), config())
    learnt_to = site.data_end - dt.timedelta(days=14)
    outcome = train(replace(site.step("r"), data_end=learnt_to), site.job())
    assert isinstance(outcome, Trained)
    versions = {
        r.target: tuple((c.version, c.model_digest) for c in sorted(r.candidates, key=lambda c: c.rank))
        for r in outcome.results
    }
    return Trial(site, learnt_to, versions)


def step(site: Shop, newest: dt.date, who: Who, *before: Forecasted, **more: Any) -> Forecast:
    made = tuple(f.made for f in before if f.made)
    scored = tuple(f.scored for f in before if f.scored)
    return Forecast("key", site.files, newest, more.pop("excluded", ()), who, NAIVE, made, scored, AT, **more)


def run(site: Shop, asked: Forecast) -> Forecasted:
    outcome = forecast(asked, site.job())
    assert isinstance(outcome, Forecasted), outcome
    return outcome


def rows_of(site: Shop, file: ForecastFile | None, kind: Any = "forecasts") -> pd.DataFrame:
    return files.read(site.root / "state", kind, (file,) if file else ())


def orders_of(site: Shop) -> list[dict[str, str]]:
    with (site.root / "orders" / "orders.csv").open() as file:
        return list(csv.DictReader(file))


def test_champion_and_baselines_forecast_the_same_rows_after_the_champions_data(trial: Trial) -> None:
    newest = trial.shop.data_end
    made = rows_of(trial.shop, run(trial.shop, step(trial.shop, newest, trial.roster("champion"))).made)
    champion = made[made.role == "champion"]
    assert set(made.version) == {"persistence", "seasonal_naive", "moving_average"} | set(champion.version)
    assert champion.target_date.min().date() == trial.learnt_to + dt.timedelta(days=1)
    assert champion.origin_date.min().date() == trial.learnt_to - dt.timedelta(days=6)  # 7 days ahead, the day after
    key = ["target", "item_code", "origin_date", "horizon_days"]
    beside = made[(made.version == "persistence") & (made.target_date > pd.Timestamp(trial.learnt_to))]
    assert sorted(map(tuple, champion[key].to_numpy())) == sorted(map(tuple, beside[key].to_numpy()))
    assert np.isfinite(champion.forecast).all()
    assert (made.issued == (made.target_date > pd.Timestamp(newest))).all()
    days = made.target_date - made.origin_date
    assert (days.dt.days == made.horizon_days).all()


def test_each_job_makes_what_is_new_and_scores_what_became_known_once(trial: Trial) -> None:
    site, who = trial.shop, trial.roster("champion", "challenger")
    week = site.data_end - dt.timedelta(days=7)
    first = run(site, step(site, week, who))
    second = run(site, step(site, site.data_end, who, first))
    third = run(site, step(site, site.data_end, who, first, second))
    assert (third.made, third.scored, third.cells, third.corrected, third.expired) == (None, None, (), 0, 0)
    issued = [c for c in second.cells if c.issued]
    assert {(c.role, c.horizon) for c in issued} >= {("champion", 1), ("champion", 7), ("baseline", 7)}
    assert {c.date for c in issued if c.horizon == 7} == {week + dt.timedelta(days=n) for n in range(1, 8)}
    assert {c.date for c in issued if c.horizon == 1} == {week + dt.timedelta(days=1)}
    by_who: dict[tuple[Any, ...], set[tuple[int, str]]] = {}
    for c in second.cells:
        by_who.setdefault((c.target, c.horizon, c.date, c.issued), set()).add((c.sums.rows, c.sums.digest))
    assert all(len(rows) == 1 for rows in by_who.values())
    categories = {s.category for s in second.slices if s.observed}
    assert categories == {"roots", "leaves"}


def test_an_item_not_sold_today_is_forecast_from_what_is_known_and_scored_apart(trial: Trial) -> None:
    contract = trial.shop.job().config.contract
    sold = main_frame(trial.shop.root / "state", trial.shop.files, contract)
    site, there = trial.shop, sold.pivot(index="date", columns="item_code", values="quantity_kg").notna()
    # an item that is not sold on a day and is on the next
    back = ~there & there.shift(-1, fill_value=False)
    newest = back.index[back.any(axis=1)][-1]
    day = newest.date()
    outcome = run(site, step(site, day, {}))
    made = rows_of(site, outcome.made)
    unseen = made[~made.origin_observed]
    missing = set(sold.item_code) - set(sold[sold.date == newest].item_code)
    assert set(unseen.item_code) == missing
    assert set(unseen.origin_date) == {newest}
    assert {row["item_code"] for row in orders_of(site)} == set(sold.item_code)
    table = build(main_frame(site.root / "state", site.files, contract, day, assortment=28), contract, (1, 7))
    assert table.panel.unsold is not None
    mine = table.x[table.panel.unsold]
    assert (mine.sold_share_7 < 1).all()
    before = build(main_frame(site.root / "state", site.files, contract, day), contract, (1, 7)).x
    pd.testing.assert_frame_equal(table.x[~table.panel.unsold].reset_index(drop=True), before)
    later = run(site, step(site, site.data_end, {}, outcome))
    apart = [s for s in later.slices if not s.observed]
    assert apart
    assert {s.category for s in apart} == {""}
    # nothing of them is in what policies read
    rows = rows_of(site, later.scored, "scores")
    assert sum(c.sums.rows for c in later.cells) == rows.origin_observed.sum()


def test_a_day_that_does_not_count_is_neither_origin_nor_actual(trial: Trial) -> None:
    site, gone = trial.shop, trial.shop.data_end - dt.timedelta(days=3)
    outcome = run(site, step(site, site.data_end, {}, excluded=(gone,)))
    assert pd.Timestamp(gone) not in set(rows_of(site, outcome.made).origin_date)
    assert gone not in {c.date for c in outcome.cells}


def test_without_a_version_the_naive_forecasts_are_served_and_named(trial: Trial) -> None:
    outcome = run(trial.shop, step(trial.shop, trial.shop.data_end, {}, stale=True))
    assert {(o.target, o.source, o.version, o.filled) for o in outcome.orders} == {
        ("price", "persistence", None, 0), ("demand", "seasonal_naive", None, 0),
    }  # fmt: skip
    rows = orders_of(trial.shop)
    assert len(rows) == 2 * 2 * 4 == sum(o.rows for o in outcome.orders)
    assert {(r["target"], r["source"], r["version"], r["unit"]) for r in rows} == {
        ("price", "persistence", "", "RMB/kg"), ("demand", "seasonal_naive", "", "kg"),
    }  # fmt: skip
    assert {(r["made_at"], r["data_until"], r["stale"]) for r in rows} == {
        ("2026-11-24T09:00:00+00:00", trial.shop.data_end.isoformat(), "true")
    }
    same = pd.read_parquet(trial.shop.root / "orders" / "orders.parquet")
    assert same.forecast.tolist() == [float(r["forecast"]) for r in rows]


def test_the_orders_are_the_champions_and_anybody_can_make_them_from_the_features_beside_them(trial: Trial) -> None:
    site = trial.shop
    outcome = run(site, step(site, site.data_end, trial.roster("champion")))
    assert {(o.source, o.version, o.filled) for o in outcome.orders} <= {("champion", v, 0) for v in range(1, 5)}
    features = pd.read_parquet(site.root / "orders" / "features.parquet")
    assert {str(d) for d in features.date} == {site.data_end.isoformat()}
    mlflow.set_tracking_uri(tracking_uri(site.settings.mlflow, site.root))
    for target, who in trial.versions.items():
        answers = mlflow.pyfunc.load_model(f"models:/{target}/{who[0][0]}").predict(features)
        theirs = {(i, h): a for h in (1, 7) for i, a in zip(features.item_code, answers[f"h{h}"], strict=True)}
        mine = {(r["item_code"], int(r["horizon_days"])): r for r in orders_of(site) if r["target"] == target}
        assert mine.keys() == theirs.keys()
        for key, row in mine.items():
            assert (row["source"], row["version"]) == ("champion", str(who[0][0]))
            np.testing.assert_allclose(float(row["forecast"]), theirs[key], rtol=1e-5)


def test_a_horizon_that_the_champion_was_not_made_for_is_filled_with_the_naive_forecast(trial: Trial) -> None:
    site = replace(trial.shop, settings=config(**{"horizons: [1, 7, 14, 30]": "horizons: [1, 3]"}))
    week = site.data_end - dt.timedelta(days=7)
    first = run(site, step(site, week, trial.roster("champion")))
    assert {(o.source, o.rows, o.filled) for o in first.orders} == {("champion", 8, 4)}
    of = {(r["target"], r["horizon_days"]): (r["source"], r["version"] != "") for r in orders_of(site)}
    assert of["price", "1"] == ("champion", True)
    assert (of["price", "3"], of["demand", "3"]) == (("persistence", False), ("seasonal_naive", False))
    second = run(site, step(site, site.data_end, trial.roster("champion"), first))
    three = [c.sums for c in second.cells if c.role == "champion" and c.horizon == 3]
    assert three
    assert all(s.unanswered == s.rows for s in three)


@pytest.fixture
def copy(trial: Trial, tmp_path: Path) -> Shop:
    """A site of its own, to break: the store and the models kept, no MLflow."""
    shutil.copytree(trial.shop.root / "state", tmp_path / "state")
    return replace(trial.shop, root=tmp_path, settings=config(**{
        "sqlite:///mlflow/mlflow.db ": "http://127.0.0.1:9/ ",  # nobody listens there
    }))  # fmt: skip


def test_kept_models_forecast_while_mlflow_is_away(trial: Trial, copy: Shop) -> None:
    outcome = run(copy, step(copy, copy.data_end, trial.roster("champion")))
    assert (outcome.unloadable, {o.source for o in outcome.orders}) == ((), {"champion"})


def test_a_champion_that_is_nowhere_is_told_and_the_last_good_one_stands_in(trial: Trial, copy: Shop) -> None:
    who = trial.roster("champion", "last_good")
    idle = run(copy, step(copy, copy.data_end, who))
    assert "last_good" not in set(rows_of(copy, idle.made).role)
    for roster in who.values():
        shutil.rmtree(copy.root / "state" / "models" / roster[0].model_digest)
    outcome = run(copy, step(copy, copy.data_end, who))
    assert {(u.model, u.version) for u in outcome.unloadable} == {(t, r[0].version) for t, r in who.items()}
    assert all("does not answer" in u.why for u in outcome.unloadable)
    assert {(o.target, o.source, o.version) for o in outcome.orders} == {
        (t, "last_good", r[1].version) for t, r in who.items()
    }
    assert {r["source"] for r in orders_of(copy)} == {"last_good"}
    made = rows_of(copy, outcome.made)
    assert set(made.role) == {"baseline", "last_good"}


def test_a_last_good_version_that_is_watched_as_the_previous_champion_stands_in_too(trial: Trial, copy: Shop) -> None:
    who = trial.roster("champion", "previous")
    for roster in who.values():
        shutil.rmtree(copy.root / "state" / "models" / roster[0].model_digest)
    outcome = run(copy, step(copy, copy.data_end, who, last_good={"price": who["price"][1].version}))
    assert {o.target: (o.source, o.version) for o in outcome.orders} == {
        "price": ("last_good", who["price"][1].version), "demand": ("seasonal_naive", None),
    }  # fmt: skip


def test_files_that_do_not_load_leave_the_naive_forecasts(trial: Trial, copy: Shop) -> None:
    who = trial.roster("champion")
    for (champion,) in who.values():
        (copy.root / "state" / "models" / champion.model_digest / "estimators.skops").write_bytes(b"no archive")
    outcome = run(copy, step(copy, copy.data_end, who))
    assert len(outcome.unloadable) == 2
    assert {r["source"] for r in orders_of(copy)} == {"persistence", "seasonal_naive"}


def test_a_model_that_is_not_kept_is_fetched_if_it_is_the_one_that_was_judged(trial: Trial, tmp_path: Path) -> None:
    site = trial.shop
    ((champion,), (other,)) = (trial.roster("champion")[t] for t in ("price", "demand"))
    kept = site.root / "state" / "models" / champion.model_digest
    kept.rename(tmp_path / "away")
    wrong = replace(other, model_digest="0" * 16)
    outcome = run(site, step(site, site.data_end, {"price": (champion,), "demand": (wrong,)}))
    assert [(u.model, u.version) for u in outcome.unloadable] == [("demand", other.version)]
    assert "another model" in outcome.unloadable[0].why
    assert {o.target: o.source for o in outcome.orders} == {"price": "champion", "demand": "seasonal_naive"}
    for name in ("model.json", "estimators.skops"):
        assert (kept / name).read_bytes() == (tmp_path / "away" / name).read_bytes()


def test_a_kept_model_that_is_damaged_is_fetched_again(trial: Trial) -> None:
    site, who = trial.shop, {"price": trial.roster("champion")["price"]}
    kept = site.root / "state" / "models" / who["price"][0].model_digest / "estimators.skops"
    whole = kept.read_bytes()
    kept.write_bytes(whole[:1000])
    outcome = run(site, step(site, site.data_end, who))
    assert (outcome.unloadable, {o.source for o in outcome.orders if o.target == "price"}) == ((), {"champion"})
    assert kept.read_bytes() == whole


@pytest.fixture(scope="session")
def whole(trial: Trial) -> Forecasted:
    """What a job that nobody killed makes of the last week."""
    who, week = trial.roster("champion"), trial.shop.data_end - dt.timedelta(days=7)
    return run(trial.shop, step(trial.shop, trial.shop.data_end, who, run(trial.shop, step(trial.shop, week, who))))


@pytest.mark.parametrize("point", FORECAST_POINTS)
def test_a_job_killed_anywhere_and_done_again_leaves_the_same_files(
    trial: Trial, whole: Forecasted, copy: Shop, point: str
) -> None:
    week = copy.data_end - dt.timedelta(days=7)
    who = trial.roster("champion")
    first = run(copy, step(copy, week, who))
    asked = step(copy, copy.data_end, who, first)
    assert trained_shop.run("forecast", copy, asked, failpoint=point) is None
    for name in ("orders.csv", "orders.parquet", "features.parquet"):
        assert (copy.root / "orders" / name).exists()  # the old ones or the new ones, whole
    later = replace(asked, at=AT + dt.timedelta(hours=1))
    outcome = trained_shop.run("forecast", copy, later)
    assert isinstance(outcome, Forecasted)
    assert outcome == whole
    found = {kind: {p.stem for p in (copy.root / "state" / kind).iterdir()} for kind in ("forecasts", "scores")}
    assert outcome.made
    assert outcome.scored
    assert first.made
    assert first.scored
    assert {first.made.sha256, outcome.made.sha256} <= found["forecasts"]
    assert {first.scored.sha256, outcome.scored.sha256} <= found["scores"]
    assert {r["made_at"] for r in orders_of(copy)} == {"2026-11-24T10:00:00+00:00"}


def test_a_version_that_memorised_its_data_is_perfect_on_them_and_gains_nothing(trial: Trial, copy: Shop) -> None:
    contract = copy.job().config.contract
    table = build(main_frame(copy.root / "state", copy.files, contract, trial.learnt_to), contract, (1, 7))
    recipe = portfolio.recipe("random_forest", "price", table, (1, 7), seed=1)
    one_tree = {"n_estimators": 1, "bootstrap": False, "max_features": 1.0}
    after = np.datetime64(trial.learnt_to, "D") + 1
    learn = {h: known_before(table.target_day(h), after) for h in (1, 7)}
    fitted = portfolio.fit({**recipe, "params": one_tree}, table, learn, threads=1)
    seen = learn[1] & ~np.isnan(table.targets["price"][1])
    np.testing.assert_allclose(portfolio.forecast(fitted, table, 1, seen), table.targets["price"][1][seen], rtol=1e-6)
    folder = copy.root / "state" / "models" / "memory"
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps(unbind(fitted.model)))
    dump(dict(fitted.estimators), folder / "estimators.skops")
    honest = trial.roster("champion")["price"][0]
    planted = Forecaster(99, "challenger", trial.learnt_to, "memory")
    outcome = run(copy, step(copy, copy.data_end, {"price": (honest, planted)}))
    rows = rows_of(copy, outcome.scored, "scores")
    mine = rows[rows.version == "99"]
    assert mine.target_date.min().date() > trial.learnt_to
    loss = {
        v: abs(r.forecast - r.actual).sum() / r.actual.sum() for v, r in rows[rows.target == "price"].groupby("version")
    }
    assert loss["99"] > loss[str(honest.version)]


def test_it_starts_without_mlflow(trial: Trial) -> None:
    """A child takes a drop's forecasts without the seconds that MLflow needs to load."""
    code = "import sys, retraind.jobs.forecast, retraind.jobs.training.model_cache; print('mlflow' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
