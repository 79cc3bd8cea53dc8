"""The libraries that the figures of a training may depend on."""

from __future__ import annotations

from collections.abc import Iterable

from retraind.jobs.training.estimators import distribution
from retraind.source import PYTHON, version_of

__all__ = ["libraries"]

LIBRARIES = ("mlflow", "scikit-learn", "skops", "numpy", "pandas", "scipy", "shap", "holidays")


def libraries(algorithms: Iterable[str]) -> dict[str, str]:
    """Versions by name: Python's, and those of what every training uses and of the packages that the algorithms come from."""
    theirs = sorted({package for algorithm in algorithms if (package := distribution(algorithm))})
    return {name: version_of(name) for name in (PYTHON, *LIBRARIES, *theirs)}
