"""The names of what a training logs beside its test days, which are what the condition `figure` may ask for.

Written down here and not asked of a training, so that a policy can be checked before anything was trained; a test holds the
names against those of a real training (docs/training.md, "What a training leaves").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from retraind.core.binding import nearest
from retraind.core.figures import BASELINES, MEASURED, horizon_key

__all__ = ["Named", "families", "meant", "named"]

_OF_ALL = (
    "validation_against_persistence", "validation_cost", "validation_std", "search_trials", "search_cost", "search_std",
    "search_cut_short",
)  # fmt: skip
"""One number a candidate."""
_FAR = ("smape", *(f"p_{who}_{loss}" for who in BASELINES for loss in ("wape", "mape", "rmse")))
"""At every horizon."""
_NEAR = tuple(f"validation_{metric}" for metric in MEASURED)
"""At those that recipes are ranked by."""
_FOLDS = tuple(f"fold_I_{metric}" for metric in MEASURED)
"""The same, of each fold."""
_SHAPE = re.compile(r"(?:fold_(?P<fold>[1-9]\d*)_)?(?P<stem>\w+?)(?:_h(?P<horizon>[1-9]\d*))?", re.ASCII)


class Named(NamedTuple):
    """A name that trainings log, taken apart."""

    horizon: int | None = None
    fold: int | None = None
    near: bool = False
    """Known at the two shortest horizons only."""
    ranks: bool = False
    """Known only where recipes are ranked."""


def named(name: str) -> Named | None:
    """What a name says; None for one that no training logs."""
    if name in _OF_ALL:
        return Named(ranks=True)
    match = _SHAPE.fullmatch(name)
    if match is None or match["horizon"] is None:
        return None
    fold, horizon = int(match["fold"]) if match["fold"] else None, int(match["horizon"])
    stem = f"fold_I_{match['stem']}" if fold else match["stem"]
    near = stem not in _FAR
    return Named(horizon, fold, near, ranks=near) if stem in (*_FAR, *_NEAR, *_FOLDS) else None


def families() -> tuple[str, ...]:
    """Every name, with N for the days ahead and I for the number of a fold."""
    return (*_OF_ALL, *(f"{stem}_hN" for stem in (*_FAR, *_NEAR, *_FOLDS)))


def meant(name: str, horizons: Sequence[int], folds: int) -> str:
    """The name that is nearest to one that no training logs, or how all of them look."""
    near = sorted(horizons)[:2]
    known = [
        *_OF_ALL,
        *(f"{stem}_{horizon_key(h)}" for stem in _FAR for h in horizons),
        *(f"{stem}_{horizon_key(h)}" for stem in _NEAR for h in near),
        *(f"{stem.replace('_I_', f'_{i}_')}_{horizon_key(h)}" for stem in _FOLDS for i in range(1, folds + 1) for h in near),
    ]
    close = nearest(name, known)
    return close if close.startswith("did you mean") else nearest(name, families())
