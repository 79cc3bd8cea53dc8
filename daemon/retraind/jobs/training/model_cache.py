"""The files that versions serve, by the digest of their model: STATE/models/DIGEST.

MLflow is where people and consumers look for a model; this copy is what the daemon's own forecasts read, so that a server
that is away costs no forecast. A folder is whole or not there: it is filled beside its place and renamed. What is missing
can be had again from MLflow at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from numpy.typing import NDArray

from retraind.errors import RetraindError
from retraind.jobs.training import served_model

__all__ = ["ESTIMATORS", "MODEL", "CachedModel", "folder_of", "keep", "keep_whole", "read"]

MODEL, ESTIMATORS = "model.json", "estimators.skops"


@dataclass(frozen=True)
class CachedModel:
    """What `served_model.forecast` needs beside the features."""

    model: dict[str, Any]
    """What model.json holds."""
    estimators: dict[str, Any]
    """By horizon key."""

    @property
    def horizons(self) -> tuple[str, ...]:
        """The keys of the horizons that it answers."""
        return tuple(self.model["horizons"])

    def forecast(self, horizon: str, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Forecasts from a table of features, shape (rows,), in the target's unit; NaN where it has no answer.

        horizon: a key, `h7`. frame: the `x` of a FeatureTable or rows of it. Raises RetraindError when a column that the model
        learnt from is not there.
        """
        if frame.empty:
            return np.empty(0)
        part = self.model["horizons"][horizon]
        missing = [c for c in (self.model["reference"], *part["columns"], *part["words"]) if c not in frame.columns]
        if missing:
            more = f" and {len(missing) - 2} more features" if len(missing) > 2 else ""
            raise RetraindError(
                f"it learnt from {', '.join(missing[:2])}{more}, which the settings no longer give",
                remedy="Put the columns and targets of pipelines: contract: back as they were, or promote a successor by force",
            )
        return np.asarray(served_model.forecast(self.model, part, self.estimators[horizon], frame))


def folder_of(state: Path, digest: str) -> Path:
    """Where the files of a model lie, or would."""
    return state / "models" / digest


def keep(state: Path, digest: str, model: Path) -> None:
    """Copy the served files out of a model's folder, as MLflow keeps it. Done again it changes nothing."""
    files = {}
    for name in (MODEL, ESTIMATORS):
        (files[name],) = model.rglob(name)
    _keep(state, digest, files)


def keep_whole(state: Path, digest: str, model: Path) -> None:
    """Copy all of a model that somebody else made. Done again it changes nothing."""
    _keep(state, digest, {str(f.relative_to(model)): f for f in model.rglob("*") if f.is_file()})


def _keep(state: Path, digest: str, files: Mapping[str, Path]) -> None:
    place = folder_of(state, digest)
    if place.exists():
        return
    beside = place.with_name(f"{digest}.{os.getpid()}.part")
    beside.mkdir(parents=True, exist_ok=True)
    try:
        for name, found in files.items():
            (beside / name).parent.mkdir(parents=True, exist_ok=True)
            _copy_durably(found, beside / name)
        with contextlib.suppress(FileExistsError):  # another child kept the same model meanwhile
            beside.rename(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _copy_durably(source: Path, to: Path) -> None:
    with to.open("wb") as file:
        file.write(source.read_bytes())
        file.flush()
        os.fsync(file.fileno())


def read(state: Path, digest: str) -> CachedModel:
    """A kept model. Raises FileNotFoundError when it was never kept, or whatever keeps its files from being read."""
    folder = folder_of(state, digest)
    model = json.loads((folder / MODEL).read_text())
    estimators = skops.io.load(folder / ESTIMATORS, trusted=[*served_model.TRUSTED, *model.get("trusted", ())])
    return CachedModel(model, estimators)
