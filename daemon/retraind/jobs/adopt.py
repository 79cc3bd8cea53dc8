"""The job `adopt`: looks at a version that no training of ours made, and says how it can be asked or why it cannot.

It must be in the registry, load as a pyfunc, want nothing but columns of our features, and answer the newest day's items
with numbers, one column a horizon or one for the horizon that was named. Its files are kept like those of our own versions,
so that forecasts need no MLflow. It changes nothing in the registry, and done again it finds the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from retraind.core.binding import unbind
from retraind.core.figures import Candidate, Foreign, Scores, horizon_key
from retraind.core.steps import Adopt, Adopted, Failed, Unadoptable
from retraind.errors import RetraindError
from retraind.failpoint import failpoint
from retraind.jobs import registry as mlflow_registry
from retraind.jobs.child import JobContext
from retraind.jobs.data.features import build
from retraind.jobs.data.store import main_frame
from retraind.jobs.forecast import ASSORTMENT
from retraind.jobs.training import foreign_model, model_cache

__all__ = ["ADOPTION_POINTS", "adopt"]

ADOPTION_POINTS = ("adopt.looked", "adopt.kept")
"""Where a test may kill it."""
_NAMED = 5


class _UnfitError(Exception):
    """Why it cannot be champion here."""

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(why)
        self.remedy = remedy


def adopt(step: Adopt, job: JobContext) -> Adopted | Unadoptable | Failed:
    """Look the version up, try it on the newest day, and keep its files."""
    said = f"looking at {step.model} v{step.version}"
    job.progress(said, 0, 3)
    registry = mlflow_registry.connect(job.settings.mlflow, job.root)
    try:
        version = _found(registry, step)
        with mlflow_registry.downloaded(f"models:/{step.model}/{step.version}") as folder:
            failpoint("adopt.looked")
            job.progress(said, 1, 3)
            model = _loaded(folder)
            rows = _newest_rows(step, job)
            job.progress(said, 2, 3)
            how, notes = _tried(model, rows, step, job.config.training.horizons)
            digest = mlflow_registry.digest_of(folder)
            model_cache.keep_whole(job.state, digest, folder)
            failpoint("adopt.kept")
    except _UnfitError as error:
        return Unadoptable(str(error), error.remedy)
    kind = mlflow_registry.kind_of(model)
    recipe = {"algorithm": kind, "target": step.target, "adopted": unbind(how)}
    return Adopted(Candidate(step.version, version.run_id, kind, recipe, f"adopted-{digest}", digest, 1, Scores({}, {})), notes)


def _found(registry: mlflow_registry.Registry, step: Adopt) -> mlflow_registry.Version:
    try:
        version = mlflow_registry.version(registry, step.model, step.version)
    except RetraindError as error:
        raise _UnfitError(error.what, "see: mlflow ui, or mlflow.tracking_uri in config.yaml") from error
    if not version.ready:
        raise _UnfitError("it is not READY in MLflow")
    return version


def _loaded(folder: Any) -> Any:
    try:
        return mlflow_registry.loaded(folder)
    except Exception as error:
        raise _UnfitError(f"it does not load here: {type(error).__name__}: {error}",
                     "install what its requirements.txt names beside retraind") from error  # fmt: skip


def _newest_rows(step: Adopt, job: JobContext) -> pd.DataFrame:
    """The features of the newest day's items, as the forecast job makes them."""
    contract = job.config.contract
    frame = main_frame(job.state, step.store, contract, step.newest, excluded=step.excluded, assortment=ASSORTMENT)
    table = build(frame, contract, job.config.training.horizons)
    return table.x.iloc[np.flatnonzero(table.origin == np.datetime64(step.newest, "D"))]


def _tried(model: Any, rows: pd.DataFrame, step: Adopt, horizons: Sequence[int]) -> tuple[Foreign, tuple[str, ...]]:
    """How it is asked, and what a person should know of it."""
    inputs = mlflow_registry.inputs_of(model)
    if not inputs:
        raise _UnfitError("it does not say which columns it wants",
                     "log it with a signature: mlflow.models.infer_signature(features, forecasts)")  # fmt: skip
    missing = [name for name in inputs if name not in rows.columns]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise _UnfitError(f"it wants columns that are no features of this site: {', '.join(missing[:_NAMED])}{more}",
                     "orders/features.parquet holds the features of the newest day by their names")  # fmt: skip
    said, whole_rows = _answered(model, rows[list(inputs)])
    how = Foreign(tuple(inputs), _answers(said, step.horizon, horizons), whole_rows)
    answered = np.mean([np.isfinite(said[column]).mean() for column in how.answers.values()])
    if not answered:
        raise _UnfitError(f"it answers none of the {len(rows)} items of {step.newest}")
    silent = [h for h in horizons if horizon_key(h) not in how.answers]
    notes = [f"it says nothing for {', '.join(map(str, silent))} days ahead: a naive forecast stands there"] * bool(silent)
    if answered < 1:
        notes.append(f"it answered {answered:.0%} of the items of {step.newest}: a naive forecast stands in for the others")
    return how, tuple(notes)


def _answered(model: Any, inputs: pd.DataFrame) -> tuple[Mapping[str, foreign_model.Values], bool]:
    """What it says of each row, and whether only of rows without a gap: many models refuse a table with one."""
    whole = inputs.notna().all(axis=1).to_numpy()
    try:
        return foreign_model.answers(model, inputs), False
    except Exception as error:
        if whole.all() or not whole.any():
            raise _UnfitError(f"it does not answer on the newest day's features: {_first(error)}") from error
    try:
        found = foreign_model.answers(model, inputs.loc[whole])
    except Exception as error:
        raise _UnfitError(f"it does not answer on the newest day's features: {_first(error)}") from error
    filled = {name: np.full(len(inputs), np.nan) for name in found}
    for name, values in found.items():
        filled[name][whole] = values
    return filled, True


def _first(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'without a word'}"


def _answers(said: Mapping[str, Any], horizon: int | None, horizons: Sequence[int]) -> dict[str, str]:
    """Horizon -> column. Columns named h1, h7, ... speak for themselves; a single one is for the horizon that was named."""
    named = {horizon_key(h): horizon_key(h) for h in horizons if horizon_key(h) in said}
    if named and horizon is None:
        return named
    days = ", ".join(map(str, horizons))
    one = horizon if horizon is not None else horizons[0] if len(horizons) == 1 else None
    if len(said) > 1:
        raise _UnfitError(f"it answers with the columns {', '.join(said)}", f"a column is named by its horizon: {_keys(horizons)}")
    if one is None:
        raise _UnfitError("it says one number a row and not for which horizon", f"say it with --horizon: {days}")
    if one not in horizons:
        raise _UnfitError(f"{one} days ahead is no horizon of this site", f"its horizons: {days}")
    return {horizon_key(one): next(iter(said))}


def _keys(horizons: Sequence[int]) -> str:
    return ", ".join(map(horizon_key, horizons))
