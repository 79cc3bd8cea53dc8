"""A version as the forecast job uses it: its files from STATE/models, or fetched there from MLflow when they are missing
or damaged.

MLflow is imported only to fetch: it takes seconds, and forecasts must go on while it is away.
"""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from retraind.core.figures import horizon_key
from retraind.core.steps import Forecaster
from retraind.errors import RetraindError
from retraind.settings import Mlflow

if TYPE_CHECKING:
    from retraind.jobs.training.foreign_model import ForeignModel
    from retraind.jobs.training.model_cache import CachedModel

__all__ = ["Served", "forecast", "load"]

Served: TypeAlias = "CachedModel | ForeignModel"


def load(state: Path, root: Path, settings: Mlflow, model: str, who: Forecaster) -> Served:
    """The version's parts, fetched from MLflow if they are not kept here or damaged. Raises whatever keeps them from loading."""
    from retraind.jobs.training import model_cache  # noqa: PLC0415 (scikit-learn takes seconds; a site may have no version)

    _pools.cache_clear()  # it may bring libraries that versions before it did without
    damage = ""
    if model_cache.folder_of(state, who.model_digest).exists():
        try:
            return _read(state, who)
        except Exception as error:  # noqa: BLE001 (whatever is wrong with the copy, MLflow has the model itself)
            damage = f"its kept files do not load ({type(error).__name__}: {error}); "
    try:
        _fetch(state, root, settings, model, who.version, who.model_digest, whole=who.foreign is not None)
        return _read(state, who)
    except Exception as error:
        if not damage:
            raise
        raise RetraindError(damage + str(getattr(error, "what", error))) from error


def _read(state: Path, who: Forecaster) -> Served:
    from retraind.jobs.training import model_cache  # noqa: PLC0415 (as above)

    if who.foreign is None:
        return model_cache.read(state, who.model_digest)
    from retraind.jobs.training import foreign_model  # noqa: PLC0415 (MLflow takes seconds, and only strangers need it)

    return foreign_model.read(model_cache.folder_of(state, who.model_digest), who.foreign)


def _fetch(state: Path, root: Path, settings: Mlflow, model: str, version: int, digest: str, *, whole: bool) -> None:
    """Into the cache, in the place of what is there. Raises RetraindError when what MLflow holds is not what was judged."""
    from retraind.jobs import registry as mlflow_registry  # noqa: PLC0415 (see the module's text)
    from retraind.jobs.training import model_cache  # noqa: PLC0415

    mlflow_registry.connect(settings, root)
    with mlflow_registry.downloaded(f"models:/{model}/{version}") as folder:
        found = mlflow_registry.digest_of(folder)
        if found != digest:
            raise RetraindError(
                f"{model} v{version} in MLflow is another model ({found}) than the one judged ({digest})"
            )
        shutil.rmtree(model_cache.folder_of(state, digest), ignore_errors=True)
        (model_cache.keep_whole if whole else model_cache.keep)(state, digest, folder)


def forecast(served: Served, x: pd.DataFrame, horizon: int) -> NDArray[np.float64]:
    """Forecasts from rows of features, shape (rows,), in the target's unit; NaN where the version has no answer.

    Raises RetraindError when the table lacks a feature that it learnt from.
    """
    if horizon_key(horizon) not in served.horizons:
        return np.full(len(x), np.nan)
    with _pools().limit(limits=1):  # a few hundred rows: threads would wait for one another longer than they work
        values = served.forecast(horizon_key(horizon), x)
    return np.where(np.isfinite(values), values, np.nan)


@cache
def _pools() -> ThreadpoolController:
    """Looked for once, after the version's libraries were loaded: each look costs more than a forecast."""
    return ThreadpoolController()
