"""A produce shop small enough to train on in seconds: twelve items, 400 days, prices that come back to their mean."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["EDITS", "END", "write_history", "write_policies", "write_week"]

END = dt.date(2024, 2, 4)
"""The history's last day."""
_DAYS = 400
EDITS = {
    "clock: wall ": "clock: data ",
    "horizons: [1, 7, 14, 30]": "horizons: [1, 7]",
    "models: [blend, linear_regression, ridge, random_forest, gradient_boosting]": "models: [linear_regression, ridge]",
    "{kind: grid, trials: 12": "{kind: grid, trials: 1",
    "price: {column: avg_price_rmb_kg, nature: level, unit: RMB/kg}\n": "",
    "backoff: 30s": "backoff: 0s",
    "settle: 3s": "settle: 0s",
}
"""Of config.yaml: the data's clock, one target, two quick models, and no wait for files that were there before the daemon."""
_POLICY = """\
version: 1
policy: small
models: ["*"]
mode: enforce
staging:
  when:
    - id: beats-doing-nothing
      skill: {metric: wape, horizon: 1, measured: test, over: [persistence], at_least: 1%}
production:
  give_up_after: 8w
  when:
    - id: no-worse
      no_worse: {metric: wape, horizon: 1, measured: test, than: champion, within: 5%}
"""


def write_policies(site: Path) -> None:
    """One policy for every model, in the place of the shipped ones."""
    for path in (site / "policies").glob("*.yaml"):
        path.unlink()
    (site / "policies" / "small.yaml").write_text(_POLICY, "utf-8")


def _sales(first: dt.date, days: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    rows = []
    for item in range(12):
        price, level = 5.0 + item, 5.0 + item
        for day in range(days):
            price += 0.2 * (level - price) + random.normal(0, 0.3)
            date = first + dt.timedelta(days=day)
            quantity = max(0.1, (10 + item) * (1.2 if date.weekday() >= 5 else 1.0) * random.lognormal(0, 0.4))
            rows.append((date, f"10{item:02d}", round(quantity, 3), round(max(price, 1.0), 2), 0.1, 5))
    columns = ["date", "item_code", "quantity_kg", "avg_price_rmb_kg", "discount_rate", "transaction_count"]
    return pd.DataFrame(rows, columns=columns)


def _write(folder: Path, name: str, sales: pd.DataFrame) -> None:
    wholesale = sales[["date", "item_code"]].assign(wholesale_price_rmb_kg=(sales.avg_price_rmb_kg * 0.6).round(2))
    sales.to_csv(folder / f"daily_sales_{name}.csv", index=False)
    wholesale.to_csv(folder / f"wholesale_prices_{name}.csv", index=False)


def write_history(folder: Path) -> None:
    """400 days up to END, and the two lookups."""
    sales = _sales(END - dt.timedelta(days=_DAYS - 1), _DAYS, seed=1)
    _write(folder, "history", sales)
    codes = sorted(sales.item_code.unique())
    category = ["leaves" if i % 2 else "roots" for i in range(len(codes))]
    pd.DataFrame({"item_code": codes, "category_name": category}).to_csv(folder / "items.csv", index=False)
    pd.DataFrame({"item_code": codes, "loss_rate_pct": 9.5}).to_csv(folder / "loss_rates.csv", index=False)


def write_week(folder: Path, number: int) -> Path:
    """Week `number` after END (1 is the first). Returns the sales file."""
    first = END + dt.timedelta(days=7 * (number - 1) + 1)
    _write(folder, f"{first:%Y-%m-%d}", _sales(first, 7, seed=100 + number))
    return folder / f"daily_sales_{first:%Y-%m-%d}.csv"
