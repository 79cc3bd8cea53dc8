"""A model that nobody here trained, as the forecast job asks it: any MLflow model that loads as a pyfunc.

It is asked with columns of our features and says one number a row, or a column a horizon. What it wants and what it answers
was found out once, when it was adopted (`jobs.adopt`), and stands in the journal as a `Foreign`. Loading it runs its author's
code; that happens in a child with the limits of its job.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retraind.core.figures import Foreign
from retraind.jobs import registry as mlflow_registry

__all__ = ["ForeignModel", "answers", "read"]

Values = NDArray[np.float64]


@dataclass(frozen=True)
class ForeignModel:
    """A loaded model, and how it is asked."""

    model: Any
    """An mlflow.pyfunc.PyFuncModel."""
    how: Foreign

    @property
    def horizons(self) -> tuple[str, ...]:
        """The keys of the horizons that it answers."""
        return tuple(self.how.answers)

    def forecast(self, horizon: str, frame: pd.DataFrame) -> Values:
        """Forecasts from a table of features, shape (rows,), in the target's unit; NaN where it has no answer.

        horizon: a key, `h7`. Raises KeyError when a column that it wants is not there, or whatever the model raises.
        """
        inputs = frame[list(self.how.inputs)]
        asked = inputs.notna().all(axis=1).to_numpy() if self.how.whole_rows else np.ones(len(frame), dtype=bool)
        values = np.full(len(frame), np.nan)
        if asked.any():
            values[asked] = answers(self.model, inputs.loc[asked])[self.how.answers[horizon]]
        return values


def read(folder: Path, how: Foreign) -> ForeignModel:
    """The model kept in that folder. Raises whatever keeps it from loading."""
    return ForeignModel(mlflow_registry.loaded(folder), how)


def answers(model: Any, inputs: pd.DataFrame) -> dict[str, Values]:
    """What a model says: column -> a number a row, shape (rows,). A single column without a name is called ''.

    Raises ValueError when it says anything else than numbers, one for each row, or whatever the model raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hints about types that it may come to lack one day
        said = model.predict(inputs)
    if isinstance(said, pd.DataFrame):
        columns = {str(name): said[name].to_numpy() for name in said.columns}
    else:
        array = np.asarray(said)
        columns = {"": array.reshape(len(array), -1)[:, 0]} if array.size == len(inputs) else {}
    if not columns or any(len(values) != len(inputs) for values in columns.values()):
        raise ValueError(f"for {len(inputs)} rows it answers {_shape(said)}")
    return {name: values.astype(np.float64) for name, values in columns.items()}


def _shape(said: Any) -> str:
    return f"a {type(said).__name__} of shape {np.shape(said)}"
