"""Each feature equals its naive definition: three lines over the (date, value) pairs that a person would look at.

The shop is small and awkward: items with gaps of weeks, one that comes late, one of a single row, missing companions and
numbers, amounts and prices of 0, an item that changes its category. The definitions know no grid and no running sum.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import pandas as pd
import pytest

from retraind.jobs.data.definitions import AS_IT_CAME, TABLE
from retraind.jobs.data.features import Made, build, describe
from retraind.settings import Contract
from trained_shop import config

HORIZONS = (1, 30)
NAN = math.nan
WEATHER = "weather: {type: number, feature: true, lag: 3}"
ROW = "transaction_count: {type: whole, at_least: 0, optional: true}"
CONTRACT: Contract = config(**{ROW: f"{ROW}\n            {WEATHER}"}).pipelines["produce"].contract
FIRST = dt.date(2021, 11, 20)
FEASTS = [dt.date.fromisoformat(d) for d in (
    "2021-10-01", "2021-10-02", "2021-10-03", "2022-01-01", "2022-02-01", "2022-02-02", "2022-02-03", "2022-04-05",
    "2022-05-01", "2022-06-03", "2022-09-10", "2022-10-01", "2022-10-02", "2022-10-03", "2023-01-01", "2023-01-22",
    "2023-01-23", "2023-01-24", "2023-04-05", "2023-05-01",
)]  # fmt: skip
SPRINGS = [dt.date(2020, 1, 25), dt.date(2021, 2, 12), dt.date(2022, 2, 1), dt.date(2023, 1, 22), dt.date(2024, 2, 10)]


def shop() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    days, parts = 440, []
    for item, (share, first, last) in enumerate(((0.9, 0, days), (0.25, 3, days), (0.6, 60, 300), (1.0, 430, 431))):
        day = np.arange(first, last)[(rng.random(last - first) < share) | (np.arange(first, last) == first)]
        price = np.round(np.exp(1 + 0.3 * item + np.cumsum(rng.normal(0, 0.1, len(day)) * (rng.random(len(day)) < 0.4))), 2)
        parts.append(pd.DataFrame({
            "date": pd.Timestamp(FIRST) + pd.to_timedelta(day, unit="D"),
            "item_code": f"item-{item}",
            "quantity_kg": np.where(rng.random(len(day)) < 0.05, 0.0, np.round(rng.lognormal(1.5, 0.6, len(day)), 3)),
            "avg_price_rmb_kg": price,
            "discount_rate": np.where(rng.random(len(day)) < 0.2, np.nan, np.round(rng.random(len(day)) * 0.4, 2)),
            "transaction_count": rng.integers(0, 30, len(day)).astype(float),
            "weather": rng.normal(15, 8, len(day)),
            "wholesale_price_rmb_kg": np.where(rng.random(len(day)) < 0.15, np.nan, np.round(price * 0.6, 1)),
            "category_name": np.where((item == 1) & (day > 200), "leaves", "roots" if item % 2 else "leaves"),
            "loss_rate_pct": np.nan if item == 3 else 5.0 + item,
        }))  # fmt: skip
    return pd.concat(parts).sort_values(["date", "item_code"], ignore_index=True)


ROWS = shop()
TABLE_OF_VALUES = build(ROWS, CONTRACT, HORIZONS)
MADE = list({m.name: m for source in ("built", "from_drop") for m in describe(CONTRACT, iter(ROWS), source)}.values())
RECORDS: list[dict[str, Any]] = [{**r, "date": r["date"].date()} for r in ROWS.to_dict("records")]
DAY = dt.timedelta(days=1)
Pairs = list[tuple[dt.date, float]]
SEEN = sorted(np.random.default_rng(3).choice(len(RECORDS), 36, replace=False).tolist()) + [
    next(i for i, r in enumerate(RECORDS) if r["item_code"] == item) for item in ("item-0", "item-2", "item-3")
]


@cache
def pairs(item: str, column: str, log: bool = False) -> Pairs:
    """What is known of an item, in the order of its days."""
    known = [(r["date"], r[column]) for r in RECORDS if r["item_code"] == item and not math.isnan(r[column])]
    return [(d, math.log(v)) for d, v in known if v > 0] if log else known


@cache
def known(item: str, column: str, day: dt.date, log: bool) -> float:
    """The last known value at or before a day."""
    return next((v for d, v in reversed(pairs(item, column, log)) if d <= day), NAN)


def mean(values: list[float]) -> float:
    return fmean(values) if values else NAN


def contrast(a: float, b: float) -> float:
    return 0.0 if a + b == 0 else (a - b) / (a + b)


class Row:
    """A row as an origin: who and when it is, and what is known of its item by then."""

    def __init__(self, number: int) -> None:
        self.record = RECORDS[number]
        self.item, self.origin = self.record["item_code"], self.record["date"]

    def past(self, column: str, days: int = 9999, back: int = 0, log: bool = False) -> list[float]:
        """What is known in the last so many days up to `back` days before the origin."""
        end = self.origin - back * DAY
        return [v for d, v in pairs(self.item, column, log) if end - days * DAY < d <= end]

    def last(self, column: str, back: int = 0, log: bool = False) -> float:
        """The last known value as of so many days before the origin."""
        return known(self.item, column, self.origin - back * DAY, log)

    def logs(self, column: str, days: int = 9999) -> list[float]:
        return self.past(column, days, log=True)

    def log(self, column: str, back: int = 0) -> float:
        return self.last(column, back, log=True)

    def carried(self, column: str, days: int) -> list[float]:
        """The logarithm as known on each of the last so many days."""
        return [v for v in (self.log(column, back) for back in range(days)) if not math.isnan(v)]

    def markups(self, c: str, by: str, days: int) -> list[float]:
        return [v for v in (self.log(c, b) - self.log(by, b) for b in range(days)) if not math.isnan(v)]

    def sales(self, days: int = 9999, back: int = 0) -> list[dt.date]:
        end = self.origin - back * DAY
        return [r["date"] for r in RECORDS if r["item_code"] == self.item and end - days * DAY < r["date"] <= end]

    def age(self) -> int:
        return (self.origin - self.sales()[0]).days

    def moves(self, c: str) -> list[tuple[dt.date, bool]]:
        known = [(d, v) for d, v in pairs(self.item, c) if d <= self.origin]
        return [(d, v != before) for (_, before), (d, v) in pairwise(known)]

    def month(self, c: str, h: int, log: bool) -> list[float]:
        """What is known so far in the target's calendar month, of any year."""
        month = (self.origin + h * DAY).month
        return [v for d, v in pairs(self.item, c, log) if d <= self.origin and d.month == month]

    def group(self, by: str) -> list[dict[str, Any]]:
        """Rows up to the origin that are of the row's group on their own day."""
        same = [r for r in RECORDS if by == "market" or r[by] == self.record[by]]
        return [r for r in same if r["date"] <= self.origin]

    def totals(self, c: str, by: str) -> dict[dt.date, float]:
        """The group's total of each day from the first with something sold; a day without a row is 0."""
        days = {self.origin - n * DAY: 0.0 for n in range((self.origin - FIRST).days, -1, -1)}
        for r in self.group(by):
            days[r["date"]] += 0 if math.isnan(r[c]) else r[c]
        first = min((d for d, v in days.items() if v), default=self.origin + DAY)
        return {d: v for d, v in days.items() if d >= first}

    def total_mean(self, c: str, by: str, days: int) -> float:
        return mean([v for d, v in self.totals(c, by).items() if d > self.origin - days * DAY])


@cache
def index(c: str, by: str, group: str, until: dt.date) -> float:
    """Mean of the log changes since each item's sale before, summed over the days of the group."""
    by_day: dict[dt.date, list[float]] = {}
    for r in (r for r in RECORDS if r["date"] <= until and (by == "market" or r[by] == group)):
        before = [v for d, v in pairs(r["item_code"], c, log=True) if d < r["date"]]
        by_day.setdefault(r["date"], []).extend([math.log(r[c]) - before[-1]] if before else [])
    return sum(mean(v) for v in by_day.values() if v)


def index_between(r: Row, c: str, by: str, start: dt.date, end: dt.date) -> float:
    group = "" if by == "market" else r.record[by]
    return index(c, by, group, end) - index(c, by, group, start) if start >= FIRST else NAN


def nearest_spring(day: dt.date) -> int:
    return min(((day - s).days for s in SPRINGS), key=abs)


def by_the_moon(r: Row, c: str, by: str, h: int) -> float:
    target = r.origin + h * DAY
    spring = min(SPRINGS, key=lambda s: abs((target - s).days))
    year = (spring - SPRINGS[SPRINGS.index(spring) - 1]).days if abs((target - spring).days) <= 40 else 364
    return index_between(r, c, by, r.origin - year * DAY, r.origin - (year - h) * DAY)


def weekdays(r: Row, c: str, h: int) -> list[float]:
    known = [(d, v) for d, v in pairs(r.item, c) if r.origin - 56 * DAY < d <= r.origin]
    return [v for d, v in known if d.weekday() == (r.origin + h * DAY).weekday()]


def year_angle(day: dt.date) -> float:
    return (day.timetuple().tm_yday - 1) * 2 * math.pi / 365.25


def flow(r: Row, c: str) -> float:
    return mean(r.past(c, 14))


def cv2(values: list[float]) -> float:
    return (pstdev(values) / fmean(values)) ** 2 if values and fmean(values) else NAN


def position(r: Row, c: str) -> float:
    month = r.logs(c, 28)
    return NAN if not month else 0.5 if max(month) == min(month) else (r.log(c) - min(month)) / (max(month) - min(month))


def run(r: Row) -> int:
    there = set(r.sales())
    return min(next((n for n in range(999) if r.origin - n * DAY not in there), 999), (r.origin - FIRST).days + 1, 60)


def turnover(r: Row, c: str, by: str) -> float:
    both = [x["date"] for x in RECORDS if x["item_code"] == r.item]
    sums = {d: x[c] * x[by] for d, x in ((x["date"], x) for x in RECORDS if x["item_code"] == r.item)}
    week, month = ([sums[d] for d in both if r.origin - n * DAY < d <= r.origin] for n in (7, 28))
    return contrast(mean(week), mean(month))


def upto(day: dt.date, h: int) -> int:
    return sum(day < feast <= day + h * DAY for feast in FEASTS)


NAIVE: dict[str, Callable[..., Any]] = {
    "weekday": lambda r: r.origin.weekday(),
    "month_sin": lambda r: math.sin((r.origin.month - 1) * math.pi / 6),
    "month_cos": lambda r: math.cos((r.origin.month - 1) * math.pi / 6),
    "is_feast": lambda r: r.origin in FEASTS,
    "spring_festival": lambda r: max(-40, min(40, nearest_spring(r.origin))),
    "target_weekday": lambda r, h: (r.origin + h * DAY).weekday(),
    "target_is_weekend": lambda r, h: (r.origin + h * DAY).weekday() in (5, 6),
    "target_year_sin": lambda r, h: math.sin(year_angle(r.origin + h * DAY)),
    "target_year_cos": lambda r, h: math.cos(year_angle(r.origin + h * DAY)),
    "target_is_feast": lambda r, h: r.origin + h * DAY in FEASTS,
    "target_to_feast": lambda r, h: min(15, *((f - r.origin).days - h for f in FEASTS if f >= r.origin + h * DAY)),
    "target_since_feast": lambda r, h: min(15, *((r.origin - f).days + h for f in FEASTS if f <= r.origin + h * DAY)),
    "target_spring_festival": lambda r, h: max(-40, min(40, nearest_spring(r.origin + h * DAY))),
    "feast_days_until": lambda r, h: upto(r.origin, h),
    **{f"sold_share_{n}": lambda r, n=n: len(r.sales(n)) / min(n, r.age() + 1) for n in (7, 28, 90)},
    "days_since_sale": lambda r: min(60, (r.origin - r.sales(back=1)[-1]).days) if r.sales(back=1) else NAN,
    "sold_run": run,
    "interval": lambda r: math.log((r.age() + 1) / len(r.sales())),
    "assortment": lambda r: contrast(
        sum(x["date"] == r.origin for x in RECORDS),
        sum(r.origin - 28 * DAY < x["date"] <= r.origin for x in RECORDS) / min(28, (r.origin - FIRST).days + 1),
    ),
    "age": lambda r: math.log1p(r.age()),
    "level/{c}_log": lambda r, c: r.log(c),
    "level/{c}_today": lambda r, c: r.last(c),
    **{f"{{c}}_change_{n}": lambda r, c, n=n: r.log(c) - r.log(c, n) for n in (1, 2, 3, 7, 14, 28)},
    **{f"{{c}}_over_mean_{n}": lambda r, c, n=n: r.log(c) - mean(r.logs(c, n)) for n in (7, 14, 28, 90)},
    "level/{c}_mean_7_over_28": lambda r, c: mean(r.logs(c, 7)) - mean(r.logs(c, 28)),
    **{f"{{c}}_spread_{n}": lambda r, c, n=n: pstdev(r.logs(c, n)) if r.logs(c, n) else NAN for n in (7, 14, 28)},
    "{c}_over_min_28": lambda r, c: r.log(c) - min(r.logs(c, 28)),
    "{c}_under_max_28": lambda r, c: r.log(c) - max(r.logs(c, 28)),
    "{c}_position_28": position,
    "{c}_moves_28": lambda r, c: mean([moved for d, moved in r.moves(c) if d > r.origin - 28 * DAY]),
    "{c}_days_since_move": lambda r, c: min([(r.origin - d).days for d, moved in r.moves(c) if moved] or [NAN], default=NAN),
    "level/{c}_over_ever": lambda r, c: r.log(c) - mean(r.logs(c)),
    "{c}_over_carried_28": lambda r, c: r.log(c) - mean(r.carried(c, 28)),
    "level/{c}_last_year": lambda r, c, h: r.log(c, 364 - h) - r.log(c, 364),
    "level/{c}_year_ago": lambda r, c, h: r.log(c, 364 - h) - r.log(c),
    "level/{c}_season": lambda r, c, h: mean(r.month(c, h, log=True)) - mean(r.logs(c)),
    "{c}_log_mean_14": lambda r, c: math.log1p(flow(r, c)),
    "{c}_mean_14": flow,
    "flow/{c}_today": lambda r, c: contrast(r.last(c), flow(r, c)),
    **{f"{{c}}_lag_{n}": lambda r, c, n=n: contrast(r.last(c, n), flow(r, c)) for n in (1, 2, 3, 7, 14, 28)},
    **{f"{{c}}_mean_{n}_over_14": lambda r, c, n=n: contrast(mean(r.past(c, n)), flow(r, c)) for n in (3, 7, 28, 90)},
    **{
        f"{{c}}_per_day_{n}": lambda r, c, n=n: contrast(sum(r.past(c, n)) / min(n, r.age() + 1), flow(r, c))
        for n in (7, 28)
    },
    "{c}_variation_90": lambda r, c: math.log1p(cv2(r.past(c, 90))),
    "{c}_max_28": lambda r, c: contrast(max(r.past(c, 28)), flow(r, c)),
    "flow/{c}_over_ever": lambda r, c: math.log1p(flow(r, c)) - math.log1p(mean(r.past(c))),
    "{c}_weekday_8": lambda r, c, h: contrast(mean(weekdays(r, c, h)), flow(r, c)),
    "flow/{c}_last_year": lambda r, c, h: contrast(mean(r.past(c, 14, 357 - h)), mean(r.past(c, 14, 364))),
    "flow/{c}_year_ago": lambda r, c, h: contrast(mean(r.past(c, 14, 357 - h)), flow(r, c)),
    "flow/{c}_season": lambda r, c, h: contrast(mean(r.month(c, h, log=False)), mean(r.past(c))),
    "{c}_over_{by}": lambda r, c, by: r.log(c) - r.log(by),
    "{c}_over_{by}_usual": lambda r, c, by: r.log(c) - r.log(by) - mean(r.markups(c, by, 28)),
    "{c}_over_{by}_ever": lambda r, c, by: r.log(c) - r.log(by) - mean(r.markups(c, by, (r.origin - FIRST).days + 1)),
    "{c}_over_{by}_change_7": lambda r, c, by: r.log(c) - r.log(by) - (r.log(c, 7) - r.log(by, 7)),
    "{c}_known": lambda r, c: r.last(c),
    "number/{c}_over_mean_28": lambda r, c: r.last(c) - mean(r.past(c, 28)),
    "number/{c}_mean_7_over_28": lambda r, c: mean(r.past(c, 7)) - mean(r.past(c, 28)),
    "lookup/{c}": lambda r, c: r.record[c],
    "ready/{c}": lambda r, c, lag: r.last(c, lag),
    "word/{c}": lambda r, c: r.record[c],
    "{c}_change_7_if_sold": lambda r, c: (r.log(c) - r.log(c, 7)) * len(r.sales(28)) / min(28, r.age() + 1),
    "{c}_times_{by}_7_over_28": turnover,
    "{c}_log_times_{by}": lambda r, c, by: r.log(c) * r.record[by],
    "{c}_log_mean_14_times_{by}": lambda r, c, by: math.log1p(flow(r, c)) * r.record[by],
    **{
        f"{{c}}_index_{{by}}_{n}": lambda r, c, by, n=n: index_between(r, c, by, r.origin - n * DAY, r.origin)
        for n in (7, 28)
    },
    "{c}_index_{by}_last_year": lambda r, c, by, h: index_between(
        r, c, by, r.origin - 364 * DAY, r.origin - (364 - h) * DAY
    ),
    "{c}_index_{by}_last_festival": by_the_moon,
    "{c}_{by}_momentum": lambda r, c, by: contrast(r.total_mean(c, by, 7), r.total_mean(c, by, 28)),
    "{c}_{by}_today": lambda r, c, by: contrast(r.totals(c, by).get(r.origin, NAN), r.total_mean(c, by, 28)),
    "{c}_share_of_{by}": lambda r, c, by: (
        sum(r.past(c, 28)) / sum(list(r.totals(c, by).values())[-28:]) if r.totals(c, by) else NAN
    ),
}  # fmt: skip
"""By the name in the table; where two lines have one name, behind what they are made for."""


def naive(made: Made) -> Callable[..., Any] | None:
    return NAIVE.get(f"{made.feature.over}/{made.feature.name}") or NAIVE.get(made.feature.name)


@pytest.mark.parametrize("made", MADE, ids=lambda made: f"{made.feature.over}-{made.name}")
def test_a_quick_feature_equals_its_naive_definition(made: Made) -> None:
    slow = naive(made)
    assert slow is not None, "write its definition here"
    for horizon in HORIZONS if made.feature.ahead else (None,):
        ahead = () if horizon is None else (horizon,)
        quick = TABLE_OF_VALUES.x[made.column(horizon or 1)].to_numpy()[SEEN]
        expected = [slow(Row(number), *made.arguments, *ahead) for number in SEEN]
        if made.feature.over == "word":
            assert list(quick) == expected
        else:
            np.testing.assert_allclose(quick, np.array(expected, dtype=float), rtol=1e-9, atol=1e-9)
            assert np.isfinite(quick).any()


def test_every_definition_is_of_a_feature_that_exists() -> None:
    known = {f.name for f in (*TABLE, *AS_IT_CAME)} | {f"{f.over}/{f.name}" for f in (*TABLE, *AS_IT_CAME)}
    assert set(NAIVE) <= known


def test_the_rows_looked_at_hold_what_is_awkward() -> None:
    seen = TABLE_OF_VALUES.x.iloc[SEEN]
    awkward = {c for c in seen.select_dtypes("number") if seen[c].isna().any()}
    assert {"days_since_sale", "loss_rate_pct", "avg_price_rmb_kg_last_year_ahead_30"} <= awkward
    assert ROWS["discount_rate"].isna().any()
    assert (ROWS["quantity_kg"] == 0).any()
    assert ROWS.groupby("item_code")["category_name"].nunique().max() > 1
