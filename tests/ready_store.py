"""MLflow's SQLite store as it makes it itself, made once a test process and copied: its migrations take seconds each time.

Tests that look at how a store is made do without.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

__all__ = ["put_ready_store"]


def put_ready_store(root: Path) -> None:
    """Where a site under `root` has its store by default: an empty one."""
    (root / "mlflow").mkdir(exist_ok=True)
    shutil.copy(_template(), root / "mlflow" / "mlflow.db")


@cache
def _template() -> Path:
    from mlflow import MlflowClient  # 3 s, and most tests do without

    folder = Path(tempfile.mkdtemp(prefix="retraind-store-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}").search_experiments()
    return folder / "mlflow.db"
