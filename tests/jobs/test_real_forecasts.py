"""On the real sales: doing nothing is as good as was measured before the first line, and the portfolio beats it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retraind.jobs.data.features import FeatureTable, build
from retraind.jobs.data.splits import Borders, borders, known_before
from retraind.jobs.training import portfolio
from retraind.jobs.training.evaluate import ground, scores
from retraind.settings import Split
from trained_shop import CONTRACT

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
HORIZONS = (1, 7)


@pytest.fixture(scope="module")
def real() -> tuple[FeatureTable, Borders]:
    if not DATA.exists():
        pytest.skip("shared/data does not lie beside this checkout")
    rows = pd.read_parquet(DATA / "daily_sales.parquet")
    rows = rows.merge(pd.read_parquet(DATA / "wholesale_prices.parquet"), on=["date", "item_code"], how="left")
    for lookup in ("items.csv", "loss_rates.csv"):
        rows = rows.merge(pd.read_csv(DATA / lookup, dtype={"item_code": str}), on="item_code", how="left")
    table = build(rows, CONTRACT, HORIZONS)
    return table, borders(table.origin, Split())


@pytest.mark.parametrize(
    ("target", "naive", "skill"), [("price", (4.89, 10.64), 0.03), ("demand", (45.36, 54.61), 0.15)]
)
def test_boosting_beats_doing_nothing_on_days_it_has_not_seen(
    real: tuple[FeatureTable, Borders], target: str, naive: tuple[float, float], skill: float
) -> None:
    table, cut = real
    column = CONTRACT.targets[target].column
    rows = ground(table, target, column, HORIZONS, cut.test, cut.end)
    fitted = portfolio.fit(
        portfolio.recipe("gradient_boosting", target, table, HORIZONS, seed=20),
        table,
        {h: known_before(table.target_day(h), cut.test) for h in HORIZONS},
        threads=1,
    )
    model = scores(rows, {h: portfolio.forecast(fitted, table, h, rows.marked[h]) for h in HORIZONS}).values["wape"]
    persistence = scores(rows, rows.naive["persistence"]).values["wape"]
    np.testing.assert_allclose([persistence["h1"], persistence["h7"]], naive, atol=0.005)  # DECISIONS.md's table
    for h in ("h1", "h7"):
        assert model[h] < (1 - skill) * persistence[h], h  # type: ignore[operator]
