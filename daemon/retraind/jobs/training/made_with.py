"""The libraries that the figures of a training may depend on."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable

from retraind.jobs.training.estimators import distribution

__all__ = ["libraries"]

LIBRARIES = ("mlflow", "scikit-learn", "skops", "numpy", "pandas", "scipy", "shap", "holidays")


def libraries(algorithms: Iterable[str]) -> dict[str, str]:
    """Versions by name: Python's, and those of what every training uses and of the packages that the algorithms come from."""
    theirs = sorted({package for algorithm in algorithms if (package := distribution(algorithm))})
    return {"Python": platform.python_version(), **{name: importlib.metadata.version(name) for name in (*LIBRARIES, *theirs)}}
