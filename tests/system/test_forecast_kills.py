"""kill -9 of the daemon and its child at each point of forecasting and scoring, one after the other on one site."""

from __future__ import annotations

import csv
import signal
from pathlib import Path

import pandas as pd

from real_site import events, make_site, run_until_idle, state_of
from small_shop import EDITS, write_history, write_policies

KEY = ["target", "version", "item_code", "origin_date", "horizon_days"]
UNTRAINED = {**EDITS, "min_days: 180": "min_days: 2000"}  # the first forecasts alone: nothing is trained
FORECASTING = (
    "runner.started.forecast", "forecast.file_written:daemon", "forecast.scores_written:daemon",
    "forecast.order_replaced:daemon", "forecast.orders_replaced:daemon", "supervisor.before_outcome.forecast",
)  # fmt: skip
"""tests/jobs/test_forecast.py kills the job itself at every point."""


def test_forecasts_killed_at_every_point_are_made_and_scored_once(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", UNTRAINED, prepared=True)
    write_policies(site)
    write_history(site / "drops")
    for point in FORECASTING:
        done = run_until_idle(site, env={"RETRAIND_FAILPOINT": point}, seconds=180)
        assert done.returncode == -signal.SIGKILL, f"{point} was not reached:\n{done.stderr}"
    done = run_until_idle(site, seconds=180)
    assert done.returncode == 0, done.stderr
    made, scored = ([r.event for r in events(site, kind)] for kind in ("forecast.made", "forecast.scored"))
    assert made[-1].file or made[0].file
    for kind, told in (("forecasts", made), ("scores", scored)):
        files = [e.file for e in told if e.file]
        assert len({f.sha256 for f in files}) == len(files) > 0
        rows = pd.concat([pd.read_parquet(site / "state" / kind / f"{f.sha256}.parquet") for f in files])
        assert not rows.duplicated(KEY).any()
        # and the disk holds nothing that the journal does not know
        assert {p.name for p in (site / "state" / kind).iterdir()} == {f"{f.sha256}.parquet" for f in files}
    with (site / "orders" / "orders.csv").open() as file:
        orders = list(csv.DictReader(file))
    assert {r["data_until"] for r in orders} == {made[-1].origin.isoformat()}
    assert state_of(site).flow("produce").orders == made[-1].orders
    assert not [p for p in (site / "orders").iterdir() if p.name.startswith(".")]
