"""The model as it is served: this file travels with every version and runs where none of our code is.

It needs mlflow, skops, scikit-learn, pandas and numpy and imports nothing else. Beside it lie `model.json` (columns,
transform, and for each horizon what its estimator was fitted on) and `estimators.skops` (stock scikit-learn parts by
horizon). `predict` takes a table of features as the training made them, one row an item and origin day, and returns one
column a horizon (`h1`, `h7`, ...) in the target's unit; NaN where the reference value is unknown. Training uses the same
functions, so that what was judged is what is served.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io

TRUSTED = [
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.loss.AbsoluteError",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn._loss._loss.CyAbsoluteError",
    "sklearn._loss._loss.CyHalfSquaredError",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
]
"""What an estimator file may hold beside what skops trusts itself. Never the file's own list."""


def matrix(part: dict[str, Any], frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What one horizon's estimator sees: numeric columns, then one column a known word.

    Where the part says so, numbers are clipped to their usual range and gaps filled with the usual value.
    """
    numbers = frame[part["columns"]].to_numpy(dtype=np.float64, na_value=np.nan)
    if part["tame"]:
        numbers = np.clip(numbers, part["tame"]["low"], part["tame"]["high"])
        numbers = np.where(np.isnan(numbers), part["tame"]["usual"], numbers)
    words = []
    for column, known in part["words"].items():
        said = frame[column].to_numpy(dtype=object)
        words += [(said == word).astype(np.float64) for word in known]
    return np.column_stack([numbers, *words])


def forecast(model: dict[str, Any], part: dict[str, Any], estimator: Any, frame: pd.DataFrame) -> Any:
    """Forecasts of one horizon in the target's unit, shape (rows,)."""
    reference = frame[model["reference"]].to_numpy(dtype=np.float64, na_value=np.nan)
    low, high = part["answers"]
    ratio = np.exp(np.clip(estimator.predict(matrix(part, frame)), low, high))
    floor = model["floor"]
    return np.maximum((reference + floor) * ratio - floor, 0.0)


# MLflow runs this file under a name of its own; where it is imported as ours, nobody needs the 2.7 s that MLflow takes
if __name__ != "retraind.jobs.training.served_model":
    import mlflow.pyfunc
    from mlflow.models import set_model

    class ServedModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        """All horizons of one target."""

        def load_context(self, context: Any) -> None:
            """Read the parts."""
            self.model = json.loads(Path(context.artifacts["model"]).read_text())
            self.estimators = skops.io.load(context.artifacts["estimators"], trusted=TRUSTED)

        def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:  # noqa: ARG002
            """model_input: columns of features, rows of item and origin. Returns columns h1, h7, ... in the target's
            unit."""
            parts = self.model["horizons"]
            answers = {h: forecast(self.model, parts[h], self.estimators[h], model_input) for h in parts}
            return pd.DataFrame(answers, index=model_input.index)

    set_model(ServedModel())
