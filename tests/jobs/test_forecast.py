"""The job `forecast` on a small shop, with versions that were really trained: what it forecasts, scores and orders by."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from retraind.core.events import ForecastFile, ForecastRole
from retraind.core.steps import Forecast, Forecasted, Forecaster, Trained
from retraind.jobs.data import forecasts as files
from retraind.jobs.forecast import forecast
from retraind.jobs.train import train
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


def test_champion_and_baselines_forecast_the_same_rows_after_the_champions_data(trial: Trial, tmp_path: Path) -> None:
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
