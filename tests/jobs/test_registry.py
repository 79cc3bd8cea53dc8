"""What is logged to a real MLflow store comes back as it was."""

from __future__ import annotations

from pathlib import Path

from ready_store import put_ready_store
from retraind.jobs import registry as mlflow_registry
from trained_shop import config


def test_a_long_parameter_is_logged_whole_and_one_too_long_for_mlflow_ends_visibly_cut(tmp_path: Path) -> None:
    put_ready_store(tmp_path)
    registry = mlflow_registry.connect(config().mlflow, tmp_path)
    run = mlflow_registry.open_run(registry, "a run", {"request": "r"}, {})
    parts, more = "x" * 6000, "y" * 6001
    mlflow_registry.log_run(registry, run, {"parts": parts, "more": more, "seed": 20}, {}, {"a.txt": "a"}, {})
    kept = registry.client.get_run(run).data.params
    assert kept == {"parts": parts, "more": "y" * 5999 + "…", "seed": "20"}
