"""Notices that a forecaster got worse: Page-Hinkley on its daily errors relative to a naive forecast's on the same rows.

Errors rise and fall with the season for every forecaster; their ratio to what doing nothing loses on the same rows does
not, or far less. A day counts once both are known on equal rows, so a horizon's delay is in the data and not in here.
Whether an alarm leads to a training (age, distance to the last one) is `plan`'s affair.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, log

from retraind.core.figures import Sums

__all__ = ["MIN_ROWS", "Alarm", "page_hinkley", "worsening"]

MIN_ROWS = 10
"""A day with fewer rows is pooled with the next: a ratio of two or three errors says nothing."""


@dataclass(frozen=True)
class Alarm:
    """A forecaster's errors rose against the naive forecast's and stayed up."""

    date: dt.date
    """The target day on which the alarm rose first."""
    since: dt.date
    """The first target day after the best stretch: where the rise began, as far as the sum can tell."""
    statistic: float
    """The summed rise of the log ratio on `date`, above the threshold."""
    before: float
    """The forecaster's WAPE over the naive one's up to the day before `since`."""
    after: float
    """The same from `since` to `date`."""

    def words(self, target: str, horizon: int, naive: str = "persistence") -> str:
        """For people: `price: errors 7 days ahead rose against persistence since 12 Mar: 0.91 of its WAPE -> 1.08`."""
        ahead = "1 day" if horizon == 1 else f"{horizon} days"
        since = f"{self.since.day} {self.since:%b}"
        return (
            f"{target}: errors {ahead} ahead rose against {naive.replace('_', ' ')} since {since}: "
            f"{self.before:.2f} of its WAPE -> {self.after:.2f}"
        )


def page_hinkley(ratios: Sequence[float], delta: float, threshold: float) -> int | None:
    """The index at which Page-Hinkley's alarm for a rising mean goes off first; None when it does not.

    ratios: one value a day, oldest first; a value that is not finite is passed over. delta, threshold: in the values' unit.
    With the mean m_t of the values up to t, U_t = sum over i <= t of (x_i - m_i - delta); the alarm goes off when
    U_t - min over i <= t of U_i is above `threshold` (Page 1954, "Continuous inspection schemes"; Hinkley 1971, "Inference
    about the change-point from cumulative sum tests"; in this form Mouss et al. 2004, "Test of Page-Hinkley, an approach
    for fault detection in an agro-alimentary production system"). Adding a constant to all values changes nothing.
    """
    for i, _, statistic in _rises(ratios, delta):
        if statistic > threshold:
            return i
    return None


def worsening(
    champion: Mapping[dt.date, Sums], naive: Mapping[dt.date, Sums], delta: float, threshold: float
) -> Alarm | None:
    """Whether the champion's errors rose against the naive forecast's, by `page_hinkley` on the log of their ratio.

    champion, naive: sums by target date, of one target and horizon, known by now. Only days count on which both were
    scored on the same rows (equal digests) and neither's error is 0 or unknown; days of fewer than MIN_ROWS rows are pooled
    with the next ones, and a last pool that is still too small waits. delta, threshold: nats.
    """
    days = list(_pools(champion, naive))
    ratios = [log(mine.error / its.error) for _, mine, its in days]
    for i, low, statistic in _rises(ratios, delta):
        if statistic > threshold:
            return Alarm(
                days[i][0], days[low + 1][0], statistic, _share(days[: low + 1]), _share(days[low + 1 : i + 1])
            )
    return None


_Day = tuple[dt.date, Sums, Sums]


def _rises(values: Sequence[float], delta: float) -> Iterator[tuple[int, int, float]]:
    """(index, index of the lowest sum so far, rise since then) for each finite value."""
    seen, mean, summed, lowest, low = 0, 0.0, 0.0, 0.0, -1
    for i, value in enumerate(values):
        if not isfinite(value):
            continue
        seen += 1
        mean += (value - mean) / seen
        summed += value - mean - delta
        if low < 0 or summed <= lowest:
            lowest, low = summed, i
        yield i, low, summed - lowest


def _pools(champion: Mapping[dt.date, Sums], naive: Mapping[dt.date, Sums]) -> Iterator[_Day]:
    """Comparable days in their order, the small ones pooled, each named by its last date."""
    mine, its = Sums(), Sums()
    for date in sorted(champion.keys() & naive.keys()):
        if not _comparable(champion[date], naive[date]):
            continue
        mine, its = _plus(mine, champion[date]), _plus(its, naive[date])
        if mine.rows >= MIN_ROWS:
            yield date, mine, its
            mine, its = Sums(), Sums()


def _comparable(a: Sums, b: Sums) -> bool:
    return a.digest == b.digest and all(isfinite(s.error) and s.error > 0 for s in (a, b))


def _plus(a: Sums, b: Sums) -> Sums:
    """Rows and errors added: all that is read here."""
    return Sums(rows=a.rows + b.rows, error=a.error + b.error)


def _share(days: Sequence[_Day]) -> float:
    """The forecaster's summed error over the naive one's: WAPE over WAPE, since the rows are the same."""
    return sum(mine.error for _, mine, _ in days) / sum(its.error for _, _, its in days)
