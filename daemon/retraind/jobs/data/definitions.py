"""The table of features: each one's name in three languages, what it reads and how far back, and how it is made.

To add one, add a line to `TABLE` and its slow definition to `tests/jobs/test_feature_definitions.py`; the causality test
finds it by itself. Every feature of an origin day reads that day and earlier ones only; what it says of the target's day it
knows from the calendar alone. A level (a price) is described by log ratios to today's value, a flow (an amount) by
contrasts to its 14-day mean, so that one model serves dear and cheap, big and small alike. Filling in a contract's columns
is `features`' work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from retraind.jobs.data import feasts
from retraind.jobs.data.panel import Grid, Panel, Values, carry, ratio, running, shift, window_max, window_min

__all__ = ["AS_IT_CAME", "TABLE", "Feature", "Over", "Sign", "contrast"]

Over = Literal[
    "once", "level", "flow", "level and flow", "level and companion", "companion", "number", "lookup", "level and lookup",
    "flow and lookup", "ready", "word", "level by group", "flow by group", "column",
]  # fmt: skip
Sign = Literal[-1, 0, 1]
Days = NDArray[np.datetime64]


@dataclass(frozen=True)
class Feature:
    """One line of the table."""

    name: str
    """With {c} for the column and {by} for the second one, or the grouping one, filled in."""
    group: str
    over: Over
    """What it is made for: once, or each column of a role (or each pair)."""
    reads: str
    """What it reads, and how far back."""
    make: Callable[..., Any]
    """(panel[, column[, second]][, days ahead]) -> grid of shape (days, entities), or values by row."""
    en: str
    """What reports call it, with {c} and {by} for what they call the columns."""
    zh: str
    sign: tuple[Sign, Sign] = (0, 0)
    """Which way the forecast of a level, and of a flow, is expected to go when this rises and all else stays; the forecast
    as a ratio to what it starts from: today's value, the 14-day mean. 0: nobody knows."""
    ahead: bool = False
    """Made once for each horizon, named with its suffix: it speaks of the target's day."""


def contrast(a: Values, b: Values) -> Values:
    """(a - b) / (a + b): -1 to 1, 0 where both are 0; a log ratio's tame cousin for amounts that may be 0."""
    total = a + b
    return np.divide(a - b, total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > 0)


# ---- the calendar ----


def _year(dates: Days) -> NDArray[np.float64]:
    """Angle of the day in its year."""
    return np.asarray(
        (dates - dates.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.float64) * 2 * np.pi / 365.25
    )


def _weekday(dates: Days) -> NDArray[np.float64]:
    return ((dates.astype("datetime64[D]").astype(np.int64) + 3) % 7).astype(np.float64)  # 1970-01-01 was a Thursday


def _month(dates: Days) -> NDArray[np.float64]:
    """Angle of the month in the year."""
    return (dates.astype("datetime64[M]").astype(np.int64) % 12).astype(np.float64) * np.pi / 6


def _feast_days_until(p: Panel, h: int) -> NDArray[np.float64]:
    """Feast days after the origin, up to the target."""
    upto = np.cumsum(feasts.is_feast(p.start + np.arange(p.days + h).astype("timedelta64[D]")))
    return upto[h:] - upto[: p.days]


_CALENDAR = (
    Feature("weekday", "calendar", "once", "the origin's date", lambda p: p.of_day(_weekday(p.dates())),
            "weekday of the origin", "起点星期"),
    Feature("month_sin", "calendar", "once", "the origin's date", lambda p: p.of_day(np.sin(_month(p.dates()))),
            "month of the origin (sine)", "起点月份（正弦）"),
    Feature("month_cos", "calendar", "once", "the origin's date", lambda p: p.of_day(np.cos(_month(p.dates()))),
            "month of the origin (cosine)", "起点月份（余弦）"),
    Feature("is_feast", "calendar", "once", "the origin's date", lambda p: p.of_day(feasts.is_feast(p.dates())),
            "the origin is a feast", "起点是否节日", (0, -1)),
    Feature("spring_festival", "calendar", "once", "days from the nearest Spring Festival to the origin, 40 at most",
            lambda p: p.of_day(feasts.days_from_spring_festival(p.dates())),
            "days from Spring Festival to the origin", "起点距春节天数"),
    Feature("target_weekday", "target day", "once", "the target's date", lambda p, h: p.of_day(_weekday(p.dates(h))),
            "weekday of the target", "目标日星期", ahead=True),
    Feature("target_is_weekend", "target day", "once", "the target's date",
            lambda p, h: p.of_day((_weekday(p.dates(h)) >= 5).astype(np.float64)),
            "the target is a Saturday or Sunday", "目标日是否周末", (0, 1), ahead=True),
    Feature("target_year_sin", "target day", "once", "the target's date",
            lambda p, h: p.of_day(np.sin(_year(p.dates(h)))),
            "time of the year of the target (sine)", "目标日年内位置（正弦）", ahead=True),
    Feature("target_year_cos", "target day", "once", "the target's date",
            lambda p, h: p.of_day(np.cos(_year(p.dates(h)))),
            "time of the year of the target (cosine)", "目标日年内位置（余弦）", ahead=True),
    Feature("target_is_feast", "target day", "once", "the target's date",
            lambda p, h: p.of_day(feasts.is_feast(p.dates(h))),
            "the target is a feast", "目标日是否节日", (0, 1), ahead=True),
    Feature("target_to_feast", "target day", "once", "days from the target to the next feast, 15 at most",
            lambda p, h: p.of_day(feasts.days_to_feast(p.dates(h))),
            "days from the target to the next feast", "目标日距下个节日天数", (0, -1), ahead=True),
    Feature("target_since_feast", "target day", "once", "days from the last feast to the target, 15 at most",
            lambda p, h: p.of_day(feasts.days_since_feast(p.dates(h))),
            "days from the last feast to the target", "目标日距上个节日天数", ahead=True),
    Feature("target_spring_festival", "target day", "once",
            "days from the nearest Spring Festival to the target, 40 at most",
            lambda p, h: p.of_day(feasts.days_from_spring_festival(p.dates(h))),
            "days from Spring Festival to the target", "目标日距春节天数", ahead=True),
    Feature("feast_days_until", "target day", "once", "the dates after the origin, up to the target",
            lambda p, h: p.of_day(_feast_days_until(p, h)),
            "feast days on the way to the target", "至目标日间的节日天数", ahead=True),
)  # fmt: skip


# ---- when it was sold at all ----


def _since_sale_before(p: Panel) -> Values:
    day = np.arange(p.days, dtype=np.float64)[:, None]
    last = p.once(("last sold",), lambda: carry(np.where(p.sold() > 0, day, np.nan)))
    return np.clip(p.row_day - p.rows(last, 1), 0, 60)


def _run(p: Panel) -> Values:
    """Days in a row with a sale, today's included; 60 at most."""
    day = np.arange(p.days, dtype=np.float64)[:, None]
    idle = np.maximum.accumulate(np.where(p.sold() > 0, -1.0, day), axis=0)
    return np.clip(p.row_day - p.rows(idle), 0, 60)


def _interval(p: Panel) -> Values:
    """Mean days between two sales so far (ADI, Croston 1972), in logs."""
    sales = p.rows(p.once(("total", "sold"), lambda: running(p.sold())))
    return np.log(ratio(p.age() + 1, sales))


def _assortment(p: Panel) -> Values:
    count = p.sold().sum(axis=1)
    total = np.cumsum(count)
    window = total.copy()
    window[28:] -= total[:-28]
    return p.of_day(contrast(count, window / np.minimum(np.arange(p.days) + 1, 28)))


_PRESENCE = (
    *(
        Feature(f"sold_share_{n}", "intermittency", "once", f"rows of the last {n} days", lambda p, n=n: p.share(n),
                f"share of the last {n} days with a sale", f"近{n}日有销售天数占比")
        for n in (7, 28, 90)
    ),
    Feature("days_since_sale", "intermittency", "once", "rows before today, 60 days at most", _since_sale_before,
            "days since the sale before", "距上次销售天数"),
    Feature("sold_run", "intermittency", "once", "rows of the last 60 days", _run,
            "days in a row with a sale", "连续销售天数"),
    Feature("interval", "intermittency", "once", "all rows so far", _interval,
            "mean days between two sales (ADI, log)", "平均销售间隔（ADI，对数）"),
    Feature("assortment", "intermittency", "once", "how many entities have rows in the last 28 days", _assortment,
            "items sold today against 28 days", "当日在售品种数相对28日均值"),
    Feature("age", "intermittency", "once", "the day of the entity's first row, in log days",
            lambda p: np.log1p(p.age()), "age of the item (log days)", "上市时长（对数天数）"),
)  # fmt: skip


# ---- levels ----


def _change(p: Panel, c: str, days: int) -> Values:
    return p.last_log(c) - p.last_log(c, days)


def _moved(p: Panel, c: str) -> Grid:
    """1 where a sale's value differs from the sale's before, 0 where it does not, NaN where there is nothing to compare."""

    def make() -> Grid:
        values, before = p.value(c), shift(p.known(c), 1)
        return np.where(np.isnan(values) | np.isnan(before), np.nan, values != before)

    return p.once(("moved", c), make)


def _moves(p: Panel, c: str) -> Values:
    total, count = p.totals(("moved", c), lambda: _moved(p, c))
    return ratio(p.within(total, 28), p.within(count, 28))


def _since_move(p: Panel, c: str) -> Values:
    day = np.arange(p.days, dtype=np.float64)[:, None]
    return np.clip(p.row_day - p.rows(carry(np.where(_moved(p, c) == 1, day, np.nan))), 0, 60)


def _lowest(p: Panel, c: str) -> Values:
    return p.rows(p.once(("lowest", c), lambda: window_min(p.log(c), 28)))


def _highest(p: Panel, c: str) -> Values:
    return p.rows(p.once(("highest", c), lambda: window_max(p.log(c), 28)))


def _position(p: Panel, c: str) -> Values:
    low, high = _lowest(p, c), _highest(p, c)
    return np.where(high > low, ratio(p.last_log(c) - low, high - low), np.where(np.isnan(low), np.nan, 0.5))


def _over_carried(p: Panel, c: str) -> Values:
    return p.last_log(c) - p.mean_carried((c,), lambda: p.known_log(c), 28)


def _month_so_far(p: Panel, total: Grid, h: int) -> Values:
    """Sums over all days so far in the calendar month of the day so far ahead, from a running sum."""
    day, target = np.arange(p.days), p.dates(h).astype("datetime64[M]")
    out = np.zeros(len(p.row_day))
    for years in range(p.days // 365 + 2):
        month = target - np.timedelta64(12 * years, "M")
        first, after = ((m.astype("datetime64[D]") - p.start).astype(np.int64) for m in (month, month + 1))
        out += p.rows_on(total, np.minimum(after - 1, day), 0.0) - p.rows_on(total, np.minimum(first - 1, day), 0.0)
    return out


def _season(p: Panel, key: tuple[object, ...], grid: Callable[[], Grid], h: int) -> Values:
    """Mean over all days so far in the target's calendar month."""
    total, count = p.totals(key, grid)
    return ratio(_month_so_far(p, total, h), _month_so_far(p, count, h))


def _season_level(p: Panel, c: str, h: int) -> Values:
    return _season(p, ("log", c), lambda: p.log(c), h) - p.ever(c)


def _last_year_level(p: Panel, c: str, h: int) -> Values:
    return _nothing(p) if h > 364 else p.last_log(c, 364 - h) - p.last_log(c, 364)


def _year_ago(p: Panel, c: str, h: int) -> Values:
    return _nothing(p) if h > 364 else p.last_log(c, 364 - h) - p.last_log(c)


def _nothing(p: Panel) -> Values:
    return np.full(len(p.row_day), np.nan)


def _year_before(p: Panel, h: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The days a year before the origin and the target, by the moon near Spring Festival; never after the origin."""
    back = feasts.days_to_the_year_before(p.dates(h))
    day = np.arange(p.days)
    return day - back, np.where(back >= h, day - back + h, -1)


_LEVEL = (
    Feature("{c}_log", "level", "level", "the last known value", lambda p, c: p.last_log(c),
            "{c} today (log)", "当日{c}（对数）", (-1, -1)),
    Feature("{c}_today", "level", "level", "the last known value", lambda p, c: p.last(c), "{c} today", "当日{c}"),
    *(
        Feature(f"{{c}}_change_{n}", "momentum", "level", f"the value known today and {n} days ago",
                lambda p, c, n=n: _change(p, c, n), f"{{c}}: change in {n} days", f"{{c}}{n}日变化", (0, -1))
        for n in (1, 2, 3, 7, 14, 28)
    ),
    *(
        Feature(f"{{c}}_over_mean_{n}", "momentum", "level", f"values of the last {n} days",
                lambda p, c, n=n: p.last_log(c) - p.mean_log(c, n),
                f"{{c}} against its {n}-day mean", f"{{c}}相对{n}日均值", (-1, -1))
        for n in (7, 14, 28, 90)
    ),
    Feature("{c}_mean_7_over_28", "momentum", "level", "values of the last 28 days",
            lambda p, c: p.mean_log(c, 7) - p.mean_log(c, 28),
            "{c}: 7-day mean against 28-day mean", "{c}7日均值相对28日均值", (-1, 0)),
    *(
        Feature(f"{{c}}_spread_{n}", "spread", "level", f"values of the last {n} days",
                lambda p, c, n=n: p.spread_log(c, n), f"{{c}}: spread over {n} days", f"{{c}}{n}日波动")
        for n in (7, 28)
    ),
    Feature("{c}_over_min_28", "spread", "level", "values of the last 28 days",
            lambda p, c: p.last_log(c) - _lowest(p, c),
            "{c} above its lowest in 28 days", "{c}高出28日最低", (-1, -1)),
    Feature("{c}_under_max_28", "spread", "level", "values of the last 28 days",
            lambda p, c: p.last_log(c) - _highest(p, c),
            "{c} against its highest in 28 days", "{c}相对28日最高", (-1, -1)),
    Feature("{c}_position_28", "spread", "level", "values of the last 28 days", _position,
            "{c}: place between lowest and highest in 28 days", "{c}在28日区间中的位置", (-1, -1)),
    Feature("{c}_moves_28", "spread", "level", "values of the last 28 days, each against the sale before", _moves,
            "{c}: share of sales at a new {c} in 28 days", "{c}28日内变动频率"),
    Feature("{c}_days_since_move", "spread", "level", "all values so far, 60 days at most", _since_move,
            "{c}: days since it moved", "{c}距上次变动天数"),
    Feature("{c}_over_ever", "history", "level", "all values so far", lambda p, c: p.last_log(c) - p.ever(c),
            "{c} against its mean so far", "{c}相对历史均值", (-1, -1)),
    Feature("{c}_over_carried_28", "history", "level", "the values known on each of the last 28 days", _over_carried,
            "{c} against what it stood at over 28 days", "{c}相对28日在价均值", (-1, -1)),
    Feature("{c}_last_year", "history", "level", "the values known 364 days before origin and target",
            _last_year_level, "{c}: change over the same days a year before", "{c}去年同期变化", (1, 0), ahead=True),
    Feature("{c}_year_ago", "history", "level", "the value known 364 days before the target",
            _year_ago, "{c} a year before the target against today", "{c}去年目标日相对当日", (1, 0), ahead=True),
    Feature("{c}_season", "season", "level", "all values so far in the target's calendar month", _season_level,
            "{c}: the item's own seasonal index", "{c}单品季节指数", (1, 0), ahead=True),
)  # fmt: skip


# ---- flows ----


def _weeks(grid: Grid) -> Grid:
    """Sum over the day itself and the same weekday of the 7 weeks before."""
    total = grid.copy()
    for week in range(1, 8):
        total[7 * week :] += grid[: max(len(grid) - 7 * week, 0)]
    return total


def _over_weekday(p: Panel, c: str, h: int) -> Values:
    """Mean of the target's weekday over the last 8 weeks against the mean of the last 14 days."""

    known = ~np.isnan(p.value(c))
    total = p.once(("weekday total", c), lambda: _weeks(np.where(known, p.value(c), 0.0)))
    count = p.once(("weekday count", c), lambda: _weeks(known.astype(np.float64)))
    back = -h % 7
    return contrast(ratio(p.rows(total, back), p.rows(count, back)), p.mean(c, 14))


def _last_year_flow(p: Panel, c: str, h: int) -> Values:
    if h > 357:
        return _nothing(p)
    # the two weeks around the day a year before the target's end 7 days after it
    return contrast(p.mean(c, 14, 357 - h), p.mean(c, 14, 364))


def _year_ago_flow(p: Panel, c: str, h: int) -> Values:
    return _nothing(p) if h > 357 else contrast(p.mean(c, 14, 357 - h), p.mean(c, 14))


def _season_flow(p: Panel, c: str, h: int) -> Values:
    return contrast(_season(p, ("value", c), lambda: p.value(c), h), p.mean(c, p.days))


def _variation(p: Panel, c: str) -> Values:
    """Squared coefficient of variation of the amounts sold in 90 days (Syntetos, Boylan & Croston 2005), as log(1 + CV2)."""
    total, _ = p.totals(("square", c), lambda: p.value(c) ** 2)
    _, count = p.totals(("value", c), lambda: p.value(c))
    mean = p.mean(c, 90)
    return np.log(np.maximum(ratio(ratio(p.within(total, 90), p.within(count, 90)), mean**2), 1.0))


_FLOW = (
    Feature("{c}_log_mean_14", "flow", "flow", "values of the last 14 days", lambda p, c: np.log1p(p.mean(c, 14)),
            "{c}: 14-day mean (log)", "{c}14日均值（对数）"),
    Feature("{c}_mean_14", "flow", "flow", "values of the last 14 days", lambda p, c: p.mean(c, 14),
            "{c}: 14-day mean", "{c}14日均值"),
    Feature("{c}_today", "flow", "flow", "the last known value against its 14-day mean",
            lambda p, c: contrast(p.last(c), p.mean(c, 14)), "{c} today against 14 days", "当日{c}相对14日", (0, 1)),
    *(
        Feature(f"{{c}}_lag_{n}", "flow", "flow", f"the value known {n} days ago",
                lambda p, c, n=n: contrast(p.last(c, n), p.mean(c, 14)),
                f"{{c}} {n} days ago against 14 days", f"{n}日前{{c}}相对14日", (0, 1))
        for n in (1, 2, 3, 7, 14, 28)
    ),
    *(
        Feature(f"{{c}}_mean_{n}_over_14", "momentum", "flow", f"values of the last {max(n, 14)} days",
                lambda p, c, n=n: contrast(p.mean(c, n), p.mean(c, 14)),
                f"{{c}}: {n}-day mean against 14 days", f"{{c}}{n}日均值相对14日", (0, 1))
        for n in (3, 7, 28, 90)
    ),
    *(
        Feature(f"{{c}}_per_day_{n}", "intermittency", "flow", f"values of the last {n} days, 0 on a day without one",
                lambda p, c, n=n: contrast(p.per_day(c, n), p.mean(c, 14)),
                f"{{c}} a calendar day over {n} days", f"{{c}}{n}日日均（含无销售日）")
        for n in (7, 28)
    ),
    *(
        Feature(f"{{c}}_spread_{n}", "spread", "flow", f"values of the last {n} days",
                lambda p, c, n=n: p.spread_log(c, n), f"{{c}}: spread over {n} days", f"{{c}}{n}日波动")
        for n in (14, 28)
    ),
    Feature("{c}_variation_90", "intermittency", "flow", "values of the last 90 days", _variation,
            "{c}: squared coefficient of variation (CV2, log)", "{c}变异系数平方（CV²，对数）"),
    Feature("{c}_max_28", "spread", "flow", "values of the last 28 days",
            lambda p, c: contrast(p.rows(window_max(p.value(c), 28)), p.mean(c, 14)),
            "{c}: highest in 28 days", "{c}28日最高"),
    Feature("{c}_over_ever", "history", "flow", "all values so far",
            lambda p, c: np.log1p(p.mean(c, 14)) - np.log1p(p.mean(c, p.days)),
            "{c}: 14-day mean against the mean so far", "{c}14日均值相对历史均值", (0, -1)),
    Feature("{c}_weekday_8", "season", "flow", "values of the target's weekday in the last 8 weeks", _over_weekday,
            "{c} on the target's weekday over 8 weeks", "{c}目标星期8周均值", (0, 1), ahead=True),
    Feature("{c}_last_year", "history", "flow", "14-day means 364 days before origin and target", _last_year_flow,
            "{c}: change over the same days a year before", "{c}去年同期变化", (0, 1), ahead=True),
    Feature("{c}_year_ago", "history", "flow", "the 14-day mean 364 days before the target, and today's", _year_ago_flow,
            "{c} a year before the target against today", "{c}去年目标日相对当日", (0, 1), ahead=True),
    Feature("{c}_season", "season", "flow", "all values so far in the target's calendar month", _season_flow,
            "{c}: the item's own seasonal index", "{c}单品季节指数", (0, 1), ahead=True),
)  # fmt: skip


# ---- companions, other numbers, and what comes of two columns ----


def _markup(p: Panel, c: str, by: str) -> Grid:
    return p.once(("markup", c, by), lambda: p.known_log(c) - p.known_log(by))


def _markup_over(p: Panel, c: str, by: str, days: int) -> Values:
    return p.rows(_markup(p, c, by)) - p.mean_carried((c, by), lambda: _markup(p, c, by), days)


def _turnover(p: Panel, c: str, by: str) -> Values:
    total, count = p.totals(("turnover", c, by), lambda: p.value(c) * p.value(by))
    week, month = (ratio(p.within(total, n), p.within(count, n)) for n in (7, 28))
    return contrast(week, month)


_OTHERS = (
    Feature("{c}_over_{by}", "markup", "level and companion", "today's level and the last known companion value",
            lambda p, c, by: p.rows(_markup(p, c, by)), "{c} over {by}", "{c}相对{by}加成", (-1, -1)),
    Feature("{c}_over_{by}_usual", "markup", "level and companion",
            "level and companion known on each of the last 28 days", lambda p, c, by: _markup_over(p, c, by, 28),
            "{c} over {by} against 28 days", "{c}相对{by}加成较28日均值", (-1, -1)),
    Feature("{c}_over_{by}_ever", "markup", "level and companion", "level and companion known on each day so far",
            lambda p, c, by: _markup_over(p, c, by, p.days),
            "{c} over {by} against all days so far", "{c}相对{by}加成较历史均值", (-1, -1)),
    Feature("{c}_over_{by}_change_7", "markup", "level and companion",
            "level and companion known today and 7 days ago",
            lambda p, c, by: p.rows(_markup(p, c, by)) - p.rows(_markup(p, c, by), 7),
            "{c} over {by}: change in 7 days", "{c}相对{by}加成7日变化", (-1, -1)),
    *(
        Feature(f"{{c}}_change_{n}", "companion", "companion", f"the value known today and {n} days ago",
                lambda p, c, n=n: _change(p, c, n), f"{{c}}: change in {n} days", f"{{c}}{n}日变化", (1, 0))
        for n in (1, 7, 14, 28)
    ),
    Feature("{c}_over_carried_28", "companion", "companion", "the values known on each of the last 28 days",
            _over_carried, "{c} against what it stood at over 28 days", "{c}相对28日在价均值", (1, 0)),
    Feature("{c}_known", "number", "number", "the last known value", lambda p, c: p.last(c), "{c} today", "当日{c}"),
    Feature("{c}_over_mean_28", "number", "number", "values of the last 28 days",
            lambda p, c: p.last(c) - p.mean(c, 28), "{c} against its 28-day mean", "{c}相对28日均值"),
    Feature("{c}_mean_7_over_28", "number", "number", "values of the last 28 days",
            lambda p, c: p.mean(c, 7) - p.mean(c, 28),
            "{c}: 7-day mean against 28-day mean", "{c}7日均值相对28日均值"),
    Feature("{c}", "lookup", "lookup", "the lookup's value", lambda p, c: p.value(c), "{c}", "{c}"),
    Feature("{c}", "ready", "ready", "the column as it came, by its stated lag",
            lambda p, c, lag: p.value(c) if lag == 0 else p.last(c, lag), "{c} as it came", "{c}（原值）"),
    Feature("{c}", "word", "word", "the row's own word", lambda p, c: p.words[c], "{c}", "{c}"),
    Feature("{c}_change_7_if_sold", "interaction", "level", "the value known today and 7 days ago, rows of 28 days",
            lambda p, c: _change(p, c, 7) * p.share(28),
            "{c}: change in 7 days times share of days sold", "{c}7日变化×销售天数占比", (0, -1)),
    Feature("{c}_times_{by}_7_over_28", "interaction", "level and flow", "both values of the last 28 days", _turnover,
            "{c} times {by}: 7-day mean against 28-day mean", "{c}×{by}7日均值相对28日均值", (0, 1)),
    Feature("{c}_log_times_{by}", "interaction", "level and lookup", "the last known value, the lookup's value",
            lambda p, c, by: p.last_log(c) * p.rows(p.value(by)), "{c} (log) times {by}", "{c}（对数）×{by}"),
    Feature("{c}_log_mean_14_times_{by}", "interaction", "flow and lookup",
            "values of the last 14 days, the lookup's value",
            lambda p, c, by: np.log1p(p.mean(c, 14)) * p.rows(p.value(by)),
            "{c}: 14-day mean (log) times {by}", "{c}14日均值（对数）×{by}"),
)  # fmt: skip


# ---- groups ----


def _index_change(p: Panel, c: str, by: str, days: int) -> Values:
    return p.of_group(by, p.index(c, by)) - p.of_group(by, p.index(c, by), days)


def _index_last_year(p: Panel, c: str, by: str, h: int) -> Values:
    return _nothing(p) if h > 364 else p.of_group(by, p.index(c, by), 364 - h) - p.of_group(by, p.index(c, by), 364)


def _index_by_the_moon(p: Panel, c: str, by: str, h: int) -> Values:
    origin, target = _year_before(p, h)
    return p.of_group_on(by, p.index(c, by), target) - p.of_group_on(by, p.index(c, by), origin)


def _group_total(p: Panel, c: str, by: str) -> Grid:
    """Totals by day and group; NaN before a group's first."""

    def make() -> Grid:
        total = p.group_sum(by, p.numbers[c])
        total[np.cumsum(total, axis=0) == 0] = np.nan
        return total

    return p.once(("group total", c, by), make)


def _group_mean(p: Panel, c: str, by: str, days: int) -> Grid:
    def make() -> Grid:
        total = _group_total(p, c, by)
        known = running((~np.isnan(total)).astype(np.float64))
        return ratio(_back(running(total), days), _back(known, days))

    return p.once(("group mean", c, by, days), make)


def _back(total: Grid, days: int) -> Grid:
    """Sums over the last `days` days from a running sum."""
    out = total.copy()
    out[days:] -= total[: max(len(total) - days, 0)]
    return out


def _group_momentum(p: Panel, c: str, by: str) -> Values:
    return p.of_group(by, contrast(_group_mean(p, c, by, 7), _group_mean(p, c, by, 28)))


def _group_today(p: Panel, c: str, by: str) -> Values:
    return p.of_group(by, contrast(_group_total(p, c, by), _group_mean(p, c, by, 28)))


def _share_of_group(p: Panel, c: str, by: str) -> Values:
    """The entity's part of what its group moved in 28 days."""
    own, _ = p.totals(("value", c), lambda: p.value(c))
    whole = p.of_group(by, _back(running(_group_total(p, c, by)), 28))
    return ratio(np.clip(p.within(own, 28), 0, None), whole)


_GROUPS = (
    *(
        Feature(f"{{c}}_index_{{by}}_{n}", "index", "level by group", f"changes of all of the group in the last {n} days",
                lambda p, c, by, n=n: _index_change(p, c, by, n),
                f"{{c}} index of {{by}}: change in {n} days", f"{{by}}{{c}}指数{n}日变化")
        for n in (7, 28)
    ),
    Feature("{c}_index_{by}_last_year", "index", "level by group", "changes of the group 364 days before",
            _index_last_year, "{c} index of {by}: change over the same days a year before", "{by}{c}指数去年同期变化",
            (1, 0), ahead=True),
    Feature("{c}_index_{by}_last_festival", "index", "level by group",
            "changes of the group a year before, counted from Spring Festival within 40 days of it", _index_by_the_moon,
            "{c} index of {by}: change over the same days a year before, by the moon", "{by}{c}指数去年农历同期变化",
            (1, 0), ahead=True),
    Feature("{c}_{by}_momentum", "index", "flow by group", "the group's totals of the last 28 days", _group_momentum,
            "{c} of {by}: 7-day mean against 28-day mean", "{by}{c}7日均值相对28日均值", (0, 1)),
    Feature("{c}_{by}_today", "index", "flow by group", "the group's totals of the last 28 days", _group_today,
            "{c} of {by} today against 28 days", "{by}当日{c}相对28日均值", (0, 1)),
    Feature("{c}_share_of_{by}", "index", "flow by group", "the entity's and the group's values of the last 28 days",
            _share_of_group, "share of {c} of {by} over 28 days", "{c}占{by}28日份额"),
)  # fmt: skip

TABLE: tuple[Feature, ...] = (*_CALENDAR, *_PRESENCE, *_LEVEL, *_FLOW, *_OTHERS, *_GROUPS)
"""What is built for any contract."""

AS_IT_CAME: tuple[Feature, ...] = (
    Feature("{c}_known", "column", "column", "the last known value", lambda p, c: p.last(c), "{c} today", "当日{c}"),
    *(f for f in _OTHERS if f.over in ("lookup", "ready", "word")),
)
"""What the drops bring themselves, for `features: from_drop`."""
