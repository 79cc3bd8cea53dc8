"""The model as it is served: this file travels with every version and runs where none of our code is.

It needs mlflow, skops, scikit-learn, pandas and numpy and imports nothing else. (Estimators that were named by a dotted path
need their package too; `trusted` in model.json says which of its types the training allowed.) Beside it lie `model.json`
(for each horizon its columns, and what each of its parts forecasts and weighs) and `estimators.skops` (stock parts by horizon
and name). `predict` takes a table of features as the training made them, one row an item and origin day, and
returns one column a horizon (`h1`, `h7`, ...) in the target's unit; NaN where the reference value is unknown. Training uses
the same functions, so that what was judged is what is served.

A part forecasts the target itself (`level`), its difference from the reference value (today's price; the 14-day mean of an
amount), or its ratio to it by its logarithm (`log`) or its square root (`sqrt`). Parts are averaged in logs. Weights that sum
to less than 1 leave the rest to the reference value.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io

FORMAT = 2
"""Of model.json."""
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

Array = np.ndarray[Any, np.dtype[np.float64]]


class Matrices:
    """What one horizon's estimators see of some rows: numeric columns, then one column a known word; shape (rows, columns).

    The rows themselves are not held: what is held of a large shop is half a gigabyte each time.
    """

    def __init__(self, horizon: dict[str, Any], frame: pd.DataFrame) -> None:
        words = [(column, word) for column, known in horizon["words"].items() for word in known]
        numbers = horizon["columns"]
        # column by column in memory: boosting asks its trees four times as fast as with rows, since a tree asks for few columns
        self.horizon, self.raw = horizon, np.empty((len(frame), len(numbers) + len(words)), order="F")
        self._tamed: Array | None = None
        for place, column in enumerate(numbers):  # one at a time: no copy of all of them
            self.raw[:, place] = frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
        for place, (column, word) in enumerate(words, start=len(numbers)):
            self.raw[:, place] = frame[column].to_numpy(dtype=object) == word

    def matrix(self, tamed: bool) -> Array:
        """tamed: numbers are clipped to their usual range and gaps filled with the usual value; made when first asked for."""
        if not tamed:
            return self.raw
        if self._tamed is None:
            made, usual = self.raw.copy(), self.horizon["tame"]
            numbers = made[:, : len(self.horizon["columns"])]
            np.clip(numbers, usual["low"], usual["high"], out=numbers)
            np.copyto(numbers, usual["usual"], where=np.isnan(numbers))
            self._tamed = made
        return self._tamed


def towards(scale: str, actual: Array, reference: Array) -> Array:
    """What a part of that scale learns. actual, reference: shape (rows,), floor added, reference above 0."""
    if scale == "level":
        return actual
    if scale == "difference":
        return actual - reference
    ratio = actual / reference
    return np.asarray(np.log(ratio) if scale == "log" else np.sqrt(ratio))


def back(scale: str, answer: Array, reference: Array) -> Array:
    """The inverse of `towards`: the target's amount, floor included."""
    if scale == "level":
        return answer
    if scale == "difference":
        return reference + answer
    return reference * (np.exp(answer) if scale == "log" else np.square(answer))


def part_amount(part: dict[str, Any], answer: Array, reference: Array) -> Array:
    """What a part says of the target, floor included, from its estimator's answer: never beyond what it learnt from."""
    low, high = part["answers"]
    return np.asarray(part["factor"] * back(part["scale"], np.clip(answer, low, high), reference))


def blended(horizon: dict[str, Any], amounts: dict[str, Array], reference: Array) -> Array:
    """The weighted mean of the parts' amounts in logs, floor included.

    A guard is the part whose answers a freak reference value cannot reach: where the mean differs from it by more than its
    limit in logs, the rest of the way is gone with it.
    """
    start = np.log(np.where(reference > 0, reference, np.nan))
    logs = {name: np.log(np.maximum(amount, 1e-9)) for name, amount in amounts.items()}
    mean = start + sum(part["weight"] * (logs[name] - start) for name, part in horizon["parts"].items())
    if horizon["guard"]:
        near, limit = logs[horizon["guard"]["part"]], horizon["guard"]["limit"]
        mean = np.clip(mean, near - limit, near + limit)
    return np.asarray(np.exp(mean))


def amounts(
    model: dict[str, Any], horizon: dict[str, Any], estimators: dict[str, Any], frame: pd.DataFrame
) -> tuple[dict[str, Array], Array]:
    """What each part of one horizon says, and the reference value; floor included, shape (rows,)."""
    reference = frame[model["reference"]].to_numpy(dtype=np.float64, na_value=np.nan) + model["floor"]
    seen = Matrices(horizon, frame)
    said = {
        name: part_amount(part, estimators[name].predict(seen.matrix(part["tamed"])), reference)
        for name, part in horizon["parts"].items()
    }
    return said, reference


def forecast(model: dict[str, Any], horizon: dict[str, Any], estimators: dict[str, Any], frame: pd.DataFrame) -> Array:
    """Forecasts of one horizon in the target's unit, shape (rows,); NaN where the reference value is unknown."""
    said, reference = amounts(model, horizon, estimators, frame)
    return np.asarray(np.maximum(blended(horizon, said, reference) - model["floor"], 0.0))


# MLflow runs this file under a name of its own; where it is imported as ours, nobody needs the 2.7 s that MLflow takes
if __name__ != "retraind.jobs.training.served_model":
    import mlflow.pyfunc
    from mlflow.models import set_model

    class ServedModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        """All horizons of one target."""

        def load_context(self, context: Any) -> None:
            """Read the parts."""
            self.model = json.loads(Path(context.artifacts["model"]).read_text())
            trusted = [*TRUSTED, *self.model.get("trusted", ())]
            self.estimators = skops.io.load(context.artifacts["estimators"], trusted=trusted)

        def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:  # noqa: ARG002
            """model_input: columns of features, rows of item and origin. Returns columns h1, h7, ... in the target's
            unit."""
            horizons = self.model["horizons"]
            answers = {h: forecast(self.model, horizons[h], self.estimators[h], model_input) for h in horizons}
            return pd.DataFrame(answers, index=model_input.index)

    set_model(ServedModel())
