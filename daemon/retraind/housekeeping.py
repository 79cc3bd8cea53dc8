"""Keeps the state folder bounded: files of models that nobody forecasts with any more, and the folders of old jobs.

Both are copies: a model can be had from MLflow again, and what a job said stands in the journal. Which models are needed is
`core.archive`'s to say; this removes the others. Only while no job runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

__all__ = ["KEPT_JOBS", "sweep"]

KEPT_JOBS = 100
"""Of each kind of job the newest folders: their logs are what somebody may still want to read."""


def sweep(state: Path, needed: Collection[str]) -> tuple[int, int]:
    """Remove what is not needed; how many models and job folders that was. What cannot be removed stays until the next time.

    needed: digests of the models to keep.
    """
    models = [place for place in _folders(state / "models") if place.name not in needed]
    by_kind: dict[str, list[Path]] = {}
    for place in _folders(state / "jobs"):
        by_kind.setdefault(place.name.partition("-")[2], []).append(place)
    jobs = [place for places in by_kind.values() for place in places[:-KEPT_JOBS]]
    for place in (*models, *jobs):
        shutil.rmtree(place, ignore_errors=True)
    return len(models), len(jobs)


def _folders(place: Path) -> list[Path]:
    """In the order of their names, which for jobs is that of time."""
    return sorted(p for p in place.iterdir() if p.is_dir()) if place.is_dir() else []
