"""The drift reference of a training: its features' distributions, prepared once, kept in MLflow and beside the journal.

STATE/drift/reference-REQUEST.npz is the file that the training's run has as `drift_reference.npz`; the measure job holds
each window against it, to say how far the world has moved since the champion learned.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from retraind.core.steps import Train
from retraind.drift.reference import prepare_categories, prepare_numeric
from retraind.drift.saved import Saved, compact, from_bytes, to_bytes
from retraind.jobs.child import JobContext
from retraind.jobs.data.drift_features import WindowCut, drift_columns
from retraind.jobs.data.store import main_table
from retraind.whole_file import whole

__all__ = ["NAME", "kept", "newest_page", "prepare"]

NAME = "drift_reference.npz"


def prepare(step: Train, job: JobContext) -> bytes:
    """The reference of what the training learned from, kept beside the journal as well. Raises RetraindError."""
    contract = job.config.contract
    rows = main_table(job.state, step.store, contract, until=step.data_end, excluded=step.excluded)
    after = step.data_end.toordinal() - dt.date(1970, 1, 1).toordinal() + 1
    drift = job.config.drift
    columns = drift_columns(rows, contract, WindowCut(after, drift.days, drift.reference * drift.days))
    saved: dict[str, Saved] = {name: compact(prepare_numeric(values)) for name, values in columns.numbers.items()}
    saved |= {name: prepare_categories(values) for name, values in columns.categories.items()}
    raw = to_bytes(saved)
    with whole(_path(job.state, step.request)) as file:
        file.write(raw)
    return raw


def kept(state: Path, request: str) -> dict[str, Saved]:
    """The reference of a request; nothing where none was kept, or it cannot be read: no verdict rests on it."""
    try:
        return from_bytes(_path(state, request).read_bytes())
    except (OSError, ValueError):
        return {}


def newest_page(state: Path, until: dt.date) -> bytes | None:
    """The page of the last window that ended by that date (drift_report)."""
    pages = sorted(p for p in (state / "reports").glob("drift-*.html") if p.stem.removeprefix("drift-") <= until.isoformat())
    return pages[-1].read_bytes() if pages else None


def _path(state: Path, request: str) -> Path:
    return state / "drift" / f"reference-{request or 'none'}.npz"
