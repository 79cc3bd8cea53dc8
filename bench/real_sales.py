"""The real sales that benchmarks forecast: the main table with companions and lookups, from shared/data beside the checkout."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def sales() -> pd.DataFrame:
    """The main table of the real data, with companions and lookups."""
    if not DATA.exists():
        sys.exit(f"{DATA.name}: the real sales do not lie beside this checkout (shared/data)")
    frame = pd.read_parquet(DATA / "daily_sales.parquet")
    frame = frame.merge(pd.read_parquet(DATA / "wholesale_prices.parquet"), on=["date", "item_code"], how="left")
    for lookup in ("items.csv", "loss_rates.csv"):
        frame = frame.merge(pd.read_csv(DATA / lookup, dtype={"item_code": str}), on="item_code", how="left")
    return frame.assign(category_name=frame["category_name"].fillna("unknown"))
