"""Distances of past windows, kept between measurements beside the journal: a cache, made again where it cannot be read."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path

__all__ = ["Distances", "keep", "kept", "known"]

Distances = dict[str, float]
"""By feature; a feature that could not be measured is absent."""


def kept(file: Path) -> dict[str, Distances]:
    """What `keep` wrote, by window."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def keep(file: Path, found: dict[str, Distances]) -> None:
    """Replace the file in one move. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(found))
    fresh.replace(file)


def known(figure: float) -> float | None:
    """A figure as events hold it: None for NaN."""
    return None if isnan(figure) else float(figure)
