"""The real produce data, shortened: a first history and weekly drops, worked off on the data's clock.

October 2021 to January 2023 with a week that drifted (Spring Festival 2023). Journal, registry and status must agree.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from real_site import aliases, events, make_site, run_until_idle, shared, state_of, tags

EDITS = {
    "clock: wall ": "clock: data ",
    "horizons: [1, 7, 14, 30]": "horizons: [1, 7]",
    "models: [blend, linear_regression, ridge, random_forest, gradient_boosting]":
        "models: [{gradient_boosting: {max_iter: 40}}]",
    "{kind: grid, trials: 12": "{kind: grid, trials: 1",
    "settle: 3s": "settle: 0s",
}
"""Of config.yaml: the data's clock, two horizons, and the one model that beats doing nothing in both targets."""
FIRST, CUT, LAST = pd.Timestamp("2021-10-01"), pd.Timestamp("2022-12-31"), pd.Timestamp("2023-01-28")


def cut(frame: pd.DataFrame, folder: Path, name: str) -> None:
    """The history as Parquet, then a CSV a week."""
    frame[(frame.date >= FIRST) & (frame.date <= CUT)].to_parquet(folder / f"{name}_history.parquet")
    for start in pd.date_range(CUT + pd.Timedelta(days=1), LAST, freq="7D"):
        end = start + pd.Timedelta(days=6)
        week = frame[(frame.date >= start) & (frame.date <= end)]
        week.to_csv(folder / f"{name}_{end:%Y-%m-%d}.csv", index=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = shared("data")
    site = make_site(tmp_path_factory.mktemp("real") / "site", EDITS)
    for name in ("daily_sales", "wholesale_prices"):
        cut(pd.read_parquet(data / f"{name}.parquet"), site / "drops", name)
    for name in ("items.csv", "loss_rates.csv"):
        (site / "drops" / name).write_bytes((data / name).read_bytes())
    done = run_until_idle(site, seconds=480)
    assert done.returncode == 0, done.stderr
    return site


class TestRealData:
    def test_every_week_is_accepted_and_measured(self, site: Path) -> None:
        drops = state_of(site).flow("produce").drops.values()
        assert {d.state for d in drops} == {"accepted"}
        assert len(drops) == 4 + 2 * 4
        assert [str(r.event.last_date) for r in events(site, "drift.measured")] == [
            "2023-01-07", "2023-01-14", "2023-01-21", "2023-01-28",
        ]  # fmt: skip

    def test_both_targets_have_a_champion_that_earned_it(self, site: Path) -> None:
        flow = state_of(site).flow("produce")
        assert sorted(flow.models) == ["demand", "price"]
        for model in flow.models.values():
            champion = model.version(model.champion or 0)
            assert champion
            for block in ("staging", "production"):
                outcomes = {c.outcome for c in champion.conditions if c.block == block}
                assert outcomes <= {"yes", "not_needed"}
            persistence = model.results[champion.request].baselines["persistence"].values["wape"]
            for horizon, value in champion.candidate.test.values["wape"].items():
                assert value is not None
                assert value < (persistence[horizon] or 0)

    def test_spring_festival_drifts_and_is_answered_by_a_training(self, site: Path) -> None:
        causes = [[c.kind for c in r.event.causes] for r in events(site, "retrain.requested")]
        assert causes[0] == ["first"]
        assert any("drift" in kinds for kinds in causes[1:])
        assert len(events(site, "training.finished")) == len(causes)

    def test_aliases_tags_journal_and_status_agree(self, site: Path) -> None:
        said = subprocess.run([sys.executable, "-m", "retrainctl", "--config", str(site / "config.yaml"), "status", "--json"],
                              capture_output=True, text=True, check=True, timeout=60)  # fmt: skip
        status = json.loads(said.stdout)
        found, stages = aliases(site), tags(site, "retraind.stage")
        for name, model in state_of(site).flow("produce").models.items():
            assert found.get((name, "champion")) == model.champion == status["targets"][name]["champion"]["version"]
            assert found.get((name, "challenger")) == model.challenger
            assert found.get((name, "last-good")) == model.last_good
            assert {v.version: v.stage for v in model.versions.values()} == {
                n: stage for (model_name, n), stage in stages.items() if model_name == name
            }
        assert status["drops"]["accepted"] == 12
        assert status["daemon"]["running"] is False
