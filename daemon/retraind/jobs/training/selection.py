"""Which features a new recipe uses: from about 105 candidates at most `training.features_kept`.

Chosen on the training days alone: nothing on or after the border of the validation days can change the choice. Dropped are,
in this order, what is *constant*; what is *gone* (known once, never in the later half of the training days); what is a
*duplicate* of a feature further up the table (at every horizon the rank correlation is beyond DUPLICATE: no tree can tell
them apart); what is *unstable* (it grows with the calendar, so that its values of tomorrow were never seen); and of the rest
those that say *least* of the target, all horizons counting the same. A category's words are always kept: a model makes
columns of them itself. A refresh does not choose: it keeps its recipe's features.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from retraind.jobs.data.features import FeatureTable, Made
from retraind.jobs.data.splits import known_before

__all__ = ["Choice", "Dropped", "choose", "told"]

ROWS = 8000
"""At most about so many training rows are looked at, evenly from first to last."""
DUPLICATE = 0.999
UNSTABLE_PSI = 1.0
"""Between the earlier and the later half of the training days; 0.25 is usual for "shifted" and common here: seasons."""
UNSTABLE_TREND = 0.5
"""And of its rank correlation with the date, so that a season does not pass for a trend."""
UNSTABLE_DAYS = 365
"""Fewer training days say nothing of it: within a year a season looks like a trend."""
KNOWN = 0.05
"""A half in which less is known of a feature says nothing of its stability: what looks a year back begins after a year."""
BINS = 10

Why = Literal["constant", "gone", "duplicate", "unstable", "least"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Dropped:
    """A candidate that is not used."""

    name: str
    """As recipes name it."""
    why: Why
    of: str | None = None
    """For a duplicate: the feature that says the same."""
    figure: float | None = None
    """The rank correlation with it, the PSI, or what it says of the target, where the best feature says 1."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, and from what."""

    kept: tuple[str, ...]
    """As recipes name them, in the order of the table."""
    dropped: tuple[Dropped, ...]
    rows: int
    """Rows that were looked at."""
    before: dt.date
    """Origins and targets of all of them lie before this date."""


def choose(table: FeatureTable, target: str, horizons: Sequence[int], border: np.datetime64, keep: int) -> Choice:
    """The features of a new recipe for `target`, from those that `table` describes.

    border: the first day after the training days. keep: the most to be used, the category columns included.
    """
    nearest = min(horizons)
    learn = np.flatnonzero(known_before(table.target_day(nearest), border))
    rows = learn[:: max(1, len(learn) // ROWS)]
    numeric = [made for made in table.described if table.x.dtypes[made.column(nearest)].kind in "fiub"]
    if not len(rows):
        return Choice(tuple(m.everywhere for m in table.described), (), 0, _date(border))
    looked = {made.everywhere: _Look.at(table, made, horizons, rows) for made in numeric}
    dropped = _useless(looked, table.origin[rows])
    left = [made for made in numeric if made.everywhere not in dropped]
    surplus = len(left) + len(table.described) - len(numeric) - keep
    if surplus > 0:
        said = _said(table, target, horizons, border, rows, {m.everywhere: looked[m.everywhere] for m in left})
        # of equals the one further down the table goes
        order = sorted(range(len(left)), key=lambda i: (said[left[i].everywhere], -i))
        for i in order[:surplus]:
            name = left[i].everywhere
            dropped[name] = Dropped(name, "least", figure=round(said[name], 4))
    return Choice(
        kept=tuple(m.everywhere for m in table.described if m.everywhere not in dropped),
        dropped=tuple(dropped[m.everywhere] for m in table.described if m.everywhere in dropped),
        rows=len(rows),
        before=_date(border),
    )


def _date(day: np.datetime64) -> dt.date:
    return dt.date.fromisoformat(str(day.astype("datetime64[D]")))


@dataclass(frozen=True)
class _Look:
    """A feature on the training rows; each array of shape (columns, rows): one column, or one a horizon."""

    ranks: Floats
    """Of the values, in equal parts of 0 to 1; what is not known ranks lowest."""
    known: NDArray[np.bool_]

    @classmethod
    def at(cls, table: FeatureTable, made: Made, horizons: Sequence[int], rows: NDArray[np.int64]) -> _Look:
        columns = [made.column(h) for h in horizons] if made.feature.ahead else [made.name]
        values = np.stack([table.x[c].to_numpy(dtype=np.float64)[rows] for c in columns])
        known = ~np.isnan(values)
        return cls((rankdata(np.where(known, values, -np.inf), axis=1) - 0.5) / max(len(rows), 1), known)

    def column(self, i: int) -> Floats:
        """The ranks at the i-th horizon."""
        ranks: Floats = self.ranks[i if len(self.ranks) > 1 else 0]
        return ranks


def _useless(looked: dict[str, _Look], origin: NDArray[np.datetime64]) -> dict[str, Dropped]:
    """What is dropped whatever the target: constant, gone, duplicate, unstable."""
    day = (origin - origin[0]).astype("timedelta64[D]").astype(np.float64)
    later = day > np.median(day)
    dropped: dict[str, Dropped] = {}
    before: list[tuple[str, Floats]] = []
    for name, look in looked.items():
        if (look.ranks == look.ranks[:, :1]).all():
            dropped[name] = Dropped(name, "constant")
        elif not look.known[:, later].any():
            dropped[name] = Dropped(name, "gone")
        else:
            standard = _standard(look.ranks)
            same = _same(standard, before)
            unstable = None if same or day[-1] < UNSTABLE_DAYS else _unstable(look, day, later)
            if same:
                dropped[name] = Dropped(name, "duplicate", of=same[0], figure=round(same[1], 4))
            elif unstable:
                dropped[name] = Dropped(name, "unstable", figure=round(unstable, 2))
            else:
                before.append((name, standard))
    return dropped


def _standard(ranks: Floats) -> Floats:
    """Of mean 0 and length 1 by column, so that a product is a correlation; 0 for a constant."""
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    standard: Floats = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    return standard


def _same(standard: Floats, before: Sequence[tuple[str, Floats]]) -> tuple[str, float] | None:
    """The first feature that is the same at every horizon, and the least of their rank correlations."""
    if not before:
        return None
    # one column of each is enough to pass over most; the whole is looked at for the rest
    first = np.abs(np.stack([other[0] for _, other in before]) @ standard[0])
    for i in np.flatnonzero(first > DUPLICATE).tolist():
        name, other = before[i]
        least = float(np.abs((standard * other).sum(axis=1)).min())  # one column against many: the same at each horizon
        if least > DUPLICATE:
            return name, least
    return None


def _unstable(look: _Look, day: Floats, later: NDArray[np.bool_]) -> float | None:
    """The PSI between the halves, where it and the trend are beyond their limits in every column."""
    worst = np.inf
    for ranks, known in zip(look.ranks, look.known, strict=True):
        if min(known[later].mean(), known[~later].mean()) < KNOWN:
            return None
        own = rankdata(ranks[known])
        trend = np.corrcoef(own, day[known])[0, 1] if np.ptp(own) else 0.0
        bins = ((own - 0.5) * BINS / len(own)).astype(np.int64)
        halves = [np.bincount(bins[part[known]], minlength=BINS) + 0.5 for part in (~later, later)]
        first, second = (half / half.sum() for half in halves)
        psi = float(((second - first) * np.log(second / first)).sum())
        if psi <= UNSTABLE_PSI or abs(trend) <= UNSTABLE_TREND:
            return None
        worst = min(worst, psi)
    return worst


def _said(
    table: FeatureTable,
    target: str,
    horizons: Sequence[int],
    border: np.datetime64,
    rows: NDArray[np.int64],
    looked: dict[str, _Look],
) -> dict[str, float]:
    """What each feature says of the target's ratio to its reference: the mean over the horizons of its share of the best's.

    The correlation ratio (eta squared, Pearson 1905) of ranks over BINS bins, less what BINS bins say of noise: it sees what
    rises and falls, and what is said by not being known. As a share of the best's at each horizon, because far ahead all say
    more, and what is worth knowing of tomorrow would be left out.
    """
    reference = table.x[table.reference[target]].to_numpy()[rows]
    shares = dict.fromkeys(looked, 0.0)
    for i, h in enumerate(horizons):
        actual = table.targets[target][h][rows]
        usable = known_before(table.target_day(h)[rows], border) & (actual >= 0) & (reference > 0)
        if usable.sum() <= BINS:
            continue
        learnt = rankdata(actual[usable] / reference[usable])
        learnt = learnt - learnt.mean()
        whole = float((learnt**2).sum())
        said = {}
        for name, look in looked.items():
            bins = np.minimum((look.column(i)[usable] * BINS).astype(np.int64), BINS - 1)
            count = np.bincount(bins, minlength=BINS)
            between = (np.bincount(bins, weights=learnt, minlength=BINS) ** 2 / np.maximum(count, 1)).sum()
            chance = ((count > 0).sum() - 1) / usable.sum()
            said[name] = float(between) / whole - float(chance) if whole else 0.0
        best = max(said.values(), default=0.0)
        if best > 0:
            shares = {name: shares[name] + said[name] / best / len(horizons) for name in looked}
    return shares


def told(choice: Choice, target: str) -> str:
    """The choice in a sentence, for the notes of a training."""
    whys = Counter(one.why for one in choice.dropped)
    of = len(choice.kept) + len(choice.dropped)
    text = f"{target}: {len(choice.kept)} of {of} features, chosen on the training days before {choice.before}"
    if not whys:
        return text
    return f"{text}; left out: {', '.join(f'{n} {_WORDS[why]}' for why, n in whys.items())} (feature_info.json names them)"


_WORDS: dict[Why, str] = {
    "constant": "constant",
    "gone": "no longer known",
    "duplicate": "duplicate",
    "unstable": "unstable",
    "least": "that say least",
}
