"""A small invented shop whose prices and sales can be learnt, its site, and jobs on it in processes of their own.

The processes come from a fork server that has loaded the heavy libraries once, so that a test can kill many of them.
"""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as jobs have it; read when scikit-learn is loaded

import numpy as np
import pandas as pd
import pyarrow as pa

from ready_store import put_ready_store
from retraind import settings
from retraind.core.binding import bind, unbind
from retraind.core.events import StoreFile
from retraind.core.steps import JOBS, Outcome, Train, decode_outcome, encode_outcome
from retraind.jobs.child import FUNCTIONS, JobContext
from retraind.jobs.data import store
from retraind.jobs.data.contract import arrow_type

ROOT = Path(__file__).resolve().parents[1]
START = dt.date(2022, 1, 1)
SMALL = "models: [ridge, {gradient_boosting: {max_iter: 40}}]"
"""The portfolio of `config`."""
CONTRACT = settings.load(ROOT / "config.yaml")[0].pipelines["produce"].contract


def frame(items: int = 5, days: int = 400, seed: int = 1) -> pd.DataFrame:
    """The main table with companions and lookups joined: seasons, weekdays, steps in price, days without a sale."""
    rng = np.random.default_rng(seed)
    day = np.arange(days)
    parts = []
    for item in range(items):
        change = rng.normal(0, 0.12, days) * (rng.random(days) < 0.3)
        wholesale = np.exp(1 + 0.2 * item + 0.5 * np.sin(day / 30 + item) + 0.1 * np.cumsum(change) / 3)
        # what the shop asks follows what it paid some days ago, so that tomorrow's change can be known
        price = 1.6 * np.concatenate([wholesale[:1].repeat(2), wholesale[:-2]]) * np.exp(rng.normal(0, 0.01, days))
        amount = np.exp(2 + 0.5 * np.sin(day * 2 * np.pi / 7) + rng.normal(0, 0.2, days)) * (1 + item)
        sold = (rng.random(days) < (0.95 if item else 0.5)) & (day >= 20 * item)
        parts.append(
            pd.DataFrame(
                {
                    "date": pd.Timestamp(START) + pd.to_timedelta(day, unit="D"),
                    "item_code": f"item-{item}",
                    "quantity_kg": amount.round(3),
                    "avg_price_rmb_kg": price.round(2),
                    "discount_rate": np.where(rng.random(days) < 0.1, 0.3, 0.0),
                    "transaction_count": rng.integers(1, 40, days),
                    "wholesale_price_rmb_kg": wholesale.round(2),
                    "category_name": "roots" if item % 2 else "leaves",
                    "loss_rate_pct": 5.0 + item,
                }
            )[sold]
        )
    return pd.concat(parts).sort_values(["date", "item_code"], ignore_index=True)


def config(**edits: str) -> settings.Settings:
    """The root's config.yaml with a small portfolio and two horizons, and `edits` (old -> new text) made in it."""
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    small = {
        "horizons: [1, 7, 14, 30]": "horizons: [1, 7]",
        "models: [blend, linear_regression, ridge, random_forest, gradient_boosting]": SMALL,
        "{kind: grid, trials: 12": "{kind: grid, trials: 1",
    }
    for old, new in {**small, **edits}.items():
        assert text.count(old) == 1, f"config.yaml holds {old!r} {text.count(old)} times"
        text = text.replace(old, new)
    return settings.parse(text)


@dataclass(frozen=True)
class Shop:
    """A site whose store holds the shop's rows."""

    root: Path
    settings: settings.Settings
    files: tuple[StoreFile, ...]
    data_end: dt.date

    def job(self, said: list[str] | None = None) -> JobContext:
        folder = self.root / "job"
        folder.mkdir(exist_ok=True)
        return JobContext(
            self.settings,
            "produce",
            self.root,
            folder,
            1,
            lambda stage, *_: None if said is None else said.append(stage),
        )

    def step(self, request: str, targets: Sequence[str] = ("price", "demand"), **more: Any) -> Train:
        return Train(request, tuple(targets), self.files, self.data_end, more.pop("champions", {}), ("a test",), **more)


def shop(root: Path, rows: pd.DataFrame, chosen: settings.Settings, *, prepared: bool = True) -> Shop:
    """A site under `root` with those rows in its store. prepared: MLflow's store is there, and empty."""
    contract = chosen.pipelines["produce"].contract
    root.mkdir(parents=True, exist_ok=True)
    if prepared:
        put_ready_store(root)
    files = []
    for name, table in contract.tables.items():
        there = {c: kind for c, kind in table.columns.items() if c in rows.columns}
        part = (
            rows[list(there)]
            .drop_duplicates(list(contract.key(name)), keep="last")
            .sort_values(list(contract.key(name)))
        )
        schema = pa.schema([(c, arrow_type(kind)) for c, kind in there.items()])
        files.append(
            store.write(
                root / "state", contract, name, pa.Table.from_pandas(part, schema, preserve_index=False), drop=name
            )
        )
    return Shop(root, chosen, tuple(files), rows["date"].max().date())


# ---- jobs in processes of their own ----

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["retraind.jobs.train", "retraind.jobs.promote"])


def run(name: str, shop_: Shop, step: Any, *, failpoint: str = "") -> Outcome | None:
    """The outcome of a job in a process of its own; None when it was killed at `failpoint`."""
    process = start(name, shop_, step, failpoint=failpoint)
    return ended(process, shop_)


def start(name: str, shop_: Shop, step: Any, *, failpoint: str = "") -> multiprocessing.Process:
    """Start a job. Its outcome is for `ended`."""
    process = _processes.Process(target=_perform, args=(name, shop_, unbind(step), failpoint))
    process.start()
    return process  # type: ignore[return-value]


def ended(process: multiprocessing.Process, shop_: Shop) -> Outcome | None:
    """Wait for a job."""
    process.join(timeout=120)
    outcome = _outcome_file(shop_, process.pid)
    if process.exitcode == -9:
        assert not outcome.exists()
        return None
    assert process.exitcode == 0, f"the job ended with {process.exitcode}"
    return decode_outcome(json.loads(outcome.read_text()))


def _outcome_file(shop_: Shop, pid: int | None) -> Path:
    return shop_.root / f"outcome-{pid}.json"


def _perform(name: str, shop_: Shop, step: Mapping[str, Any], failpoint: str) -> None:
    if failpoint:
        os.environ["RETRAIND_FAILPOINT"] = failpoint
    module, _, function = FUNCTIONS[name].partition(":")
    imported = __import__(module, fromlist=[function])
    outcome = getattr(imported, function)(bind(JOBS[name], step), shop_.job())
    _outcome_file(shop_, os.getpid()).write_text(json.dumps(encode_outcome(outcome)))
