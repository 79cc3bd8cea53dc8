"""`models:/price@champion` answers in a virtual environment that has none of our code."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import mlflow
import numpy as np
import pytest

from retraind.core.steps import Promote, Promoted, Trained
from retraind.jobs import registry as mlflow_registry
from retraind.jobs.data.features import build
from retraind.jobs.data.store import main_frame
from retraind.jobs.promote import promote
from retraind.jobs.train import train
from trained_shop import SMALL, config, frame, shop

EVERY = {
    SMALL: "models: [blend, linear_regression, ridge, random_forest, gradient_boosting, "
    "{lightgbm.LGBMRegressor: {n_estimators: 20, transform: difference, verbosity: -1}}]"
}
STRANGER = """
import importlib.util, json, sys
import mlflow, pandas as pd
uri, table, out, *models = sys.argv[1:]
mlflow.set_tracking_uri(uri)
answers = {m: mlflow.pyfunc.load_model(f"models:/{m}").predict(pd.read_parquet(table)).to_dict("list") for m in models}
ours = [m for m in sys.modules if m.partition(".")[0] in ("retraind", "retrainctl")]
there = importlib.util.find_spec("retraind") is not None
json.dump({"answers": answers, "ours": ours, "there": there}, open(out, "w"))
"""


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """The Python of a virtual environment with every installed package but ours."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    packages = Path(
        sysconfig.get_paths(vars={"base": str(tmp_path / "venv"), "platbase": str(tmp_path / "venv")})["purelib"]
    )
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "retrain" not in entry.name and entry.suffix != ".pth" and not (packages / entry.name).exists():
            (packages / entry.name).symlink_to(entry)
    return python


def test_every_algorithms_version_answers_as_champion_where_our_code_is_not(tmp_path: Path, stranger: Path) -> None:
    site = shop(tmp_path / "site", frame(items=3, days=260), config(**EVERY))
    outcome = train(site.step("r", ["price"]), site.job())
    assert isinstance(outcome, Trained)
    models = [f"{r.model}/{c.version}" for r in outcome.results for c in r.candidates]
    assert len(models) == 6
    for result in outcome.results:
        best = result.candidates[0]
        step = Promote(result.model, best.version, "production", None, best.model_digest, "d", "p@1", None)
        assert isinstance(promote(step, site.job()), Promoted)
        models.append(f"{result.model}@champion")
    contract = site.job().config.contract
    table = build(main_frame(site.job().state, site.files, contract, site.data_end), contract, (1, 7)).x.tail(20)
    table.to_parquet(tmp_path / "features.parquet", index=False)
    uri = mlflow_registry.tracking_uri(site.settings.mlflow, site.root)
    subprocess.run(
        [stranger, "-I", "-c", STRANGER, uri, tmp_path / "features.parquet", tmp_path / "out.json", *models],
        check=True,
        cwd=tmp_path,
        timeout=300,
    )
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["there"], found["ours"]) == (False, [])
    assert list(found["answers"]) == models
    for model, answers in found["answers"].items():
        assert set(answers) == {"h1", "h7"}
        here = mlflow.pyfunc.load_model(f"models:/{model}").predict(table)
        for h, values in answers.items():
            assert np.isfinite(values).all()
            np.testing.assert_allclose(values, here[h], rtol=1e-12)
