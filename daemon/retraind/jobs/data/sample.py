"""Makes a sample site's data: a produce shop that does not exist, with the habits of one that does.

`write_sample` writes three years of history as first drops into `drops/` and six weekly drops into `incoming/`, to be
fed one after another; a supply shock hits the last two. The same seed, scale and day give the same files.

How the shop works, and so what a model can learn: wholesale prices revert to their seasonal mean and are known a little
before the shelves follow, because labels are rewritten on few days, mostly Tuesdays and Fridays; offers run from Friday
to Sunday and end; demand follows weekday, season, Spring Festival and price, and is noisy; many items are not sold on
many days. Its levels were set beside the public CUMCM 2023 C data, none of which is in it.

`python -m retraind.jobs.data.sample DIR --today 2026-11-24` does it from a command line.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from retraind.jobs.data import feasts

__all__ = ["SampleReport", "main", "write_sample"]

HISTORY_DAYS = 3 * 365 + 1
WEEKS = 6
DRIFTED_WEEKS = 2
SHOCK = (0.28, 0.42)
"""What the supply shock adds to log wholesale prices in the first and second week: +32 %, +52 %."""
_WARM_UP = 60  # days simulated before the first written one, so that the history starts in mid-life

Grid = NDArray[np.float64]  # shape (days, items)
Line = NDArray[np.float64]  # shape (items,)


@dataclass(frozen=True)
class Category:
    """A category's habits. `names`: its items; `price`: typical wholesale price, RMB/kg; `kg`: typical kg a day."""

    name: str
    code: str
    price: float
    kg: float
    peak: int
    """Day of the year on which it is dearest."""
    swing: float
    """Half the yearly swing of the log price."""
    loss: float
    """Percent of the goods that spoil."""
    hit: bool
    """By the supply shock at the end."""
    names: tuple[str, ...]


CATEGORIES = (
    Category(
        "Flower/Leaf Vegetables", "1011010101", 3.4, 7.5, 235, 0.28, 13, True,
        ("上海青 Shanghai Bok Choy", "菠菜 Spinach", "生菜 Lettuce", "油麦菜 Romaine", "苋菜 Amaranth", "空心菜 Water Spinach",
         "茼蒿 Garland Chrysanthemum", "芹菜 Celery", "香菜 Coriander", "韭菜 Chives", "大白菜 Chinese Cabbage", "小白菜 Pak Choi",
         "娃娃菜 Baby Cabbage", "菜心 Choy Sum", "芥菜 Mustard Greens", "豌豆苗 Pea Shoots", "红薯叶 Sweet Potato Leaves",
         "木耳菜 Malabar Spinach", "荠菜 Shepherd's Purse", "红菜苔 Purple Caitai", "甘蓝叶 Kale", "枸杞叶 Wolfberry Leaves"),
    ),
    Category(
        "Cabbage", "1011010201", 5.2, 18.0, 215, 0.22, 11, False,
        ("西兰花 Broccoli", "花菜 Cauliflower", "圆白菜 White Cabbage", "紫甘蓝 Red Cabbage", "松花菜 Loose Cauliflower"),
    ),
    Category(
        "Aquatic Tuberous Vegetables", "1011010402", 6.6, 5.5, 190, 0.30, 9, False,
        ("莲藕 Lotus Root", "藕带 Lotus Shoots", "荸荠 Water Chestnut", "菱角 Water Caltrop", "茭白 Water Bamboo",
         "芋头 Taro", "慈姑 Arrowhead"),
    ),
    Category(
        "Solanum", "1011010501", 5.4, 5.0, 40, 0.26, 7, False,
        ("长茄子 Long Eggplant", "圆茄子 Round Eggplant", "番茄 Tomato", "樱桃番茄 Cherry Tomato", "青茄子 Green Eggplant",
         "紫线茄 Thin Eggplant"),
    ),
    Category(
        "Capsicum", "1011010504", 6.4, 4.2, 50, 0.28, 8, True,
        ("青椒 Green Pepper", "红椒 Red Pepper", "小米椒 Bird's Eye Chili", "螺丝椒 Screw Pepper", "线椒 Line Pepper",
         "杭椒 Hangzhou Pepper", "彩椒 Bell Pepper", "泡椒 Pickling Pepper"),
    ),
    Category(
        "Edible Mushroom", "1011010801", 6.0, 5.0, 20, 0.15, 9, False,
        ("金针菇 Enoki", "香菇 Shiitake", "平菇 Oyster Mushroom", "杏鲍菇 King Oyster", "白玉菇 White Beech", "蟹味菇 Brown Beech",
         "茶树菇 Tea Tree Mushroom", "双孢菇 Button Mushroom", "黑木耳 Wood Ear", "银耳 Snow Fungus", "海鲜菇 Seafood Mushroom",
         "虫草花 Cordyceps"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class SampleReport:
    """What was written."""

    history: tuple[str, ...]
    weekly: tuple[str, ...]
    """In the order in which they came; the files of one week side by side."""
    first_date: dt.date
    history_end: dt.date
    last_date: dt.date
    drifted_from: dt.date
    items: int
    sales_rows: int


@dataclass(frozen=True)
class Items:
    """The assortment, one entry an item."""

    codes: list[str]
    names: list[str]
    category: NDArray[np.int64]
    """Index into CATEGORIES."""
    price: Line
    """Log of the mean wholesale price."""
    markup: Line
    """Log of shelf price over wholesale price."""
    kg: Line
    """Log of the mean kg a day."""
    steady: Line
    """Share of the days in the assortment on which it is sold."""
    spells: NDArray[np.bool_]
    """Is now in, now out of the assortment."""


@dataclass(frozen=True)
class Market:
    """What happened, each of shape (days, items)."""

    wholesale: Grid
    shelf: Grid
    """RMB/kg paid on average, discounts included."""
    discounted: Grid
    """Share of transactions with a discount."""
    kg: Grid
    transactions: Grid
    listed: NDArray[np.bool_]
    sold: NDArray[np.bool_]


def write_sample(
    site: Path,
    *,
    seed: int = 20,
    scale: int = 1,
    today: dt.date,
    progress: Callable[[str], None] = lambda _: None,
) -> SampleReport:
    """Write the sample's drops into `site`. scale: so many times 60 items. The last week ends before `today`.

    Raises OSError.
    """
    last = today - dt.timedelta(days=today.isoweekday())  # the last Sunday that is over
    history_end = last - dt.timedelta(weeks=WEEKS)
    first = history_end - dt.timedelta(days=HISTORY_DAYS - 1)
    start = np.datetime64(first - dt.timedelta(days=_WARM_UP), "D")
    dates = start + np.arange(_WARM_UP + HISTORY_DAYS + 7 * WEEKS)
    shock = np.datetime64(last - dt.timedelta(weeks=DRIFTED_WEEKS) + dt.timedelta(days=1))
    random = np.random.default_rng(seed)
    progress("inventing a shop")
    items = _assortment(random, scale)
    market = _simulate(random, items, dates, int(np.searchsorted(dates, shock)))
    (site / "drops").mkdir(parents=True, exist_ok=True)
    (site / "incoming").mkdir(parents=True, exist_ok=True)
    progress("writing three years of history")
    history = np.flatnonzero((dates >= np.datetime64(first)) & (dates <= np.datetime64(history_end)))
    sales = _sales(items, market, dates, history)
    files = [
        _publish(site / "drops" / "daily_sales_history.parquet", sales),
        _publish(site / "drops" / "wholesale_prices_history.parquet", _wholesale(items, market, dates, history)),
        _publish(site / "drops" / "items.csv", _item_table(items)),
        _publish(site / "drops" / "loss_rates.csv", _loss_rates(random, items)),
    ]
    weekly: list[str] = []
    rows = sales.num_rows
    for day, week in _weeks(dates, history_end):
        progress(f"writing the week to {day}")
        sales = _sales(items, market, dates, week)
        rows += sales.num_rows
        weekly.append(_publish(site / "incoming" / f"daily_sales_{day}.csv", sales))
        prices = _wholesale(items, market, dates, week)
        weekly.append(_publish(site / "incoming" / f"wholesale_prices_{day}.csv", prices))
    drifted_from = last - dt.timedelta(weeks=DRIFTED_WEEKS) + dt.timedelta(days=1)
    return SampleReport(tuple(files), tuple(weekly), first, history_end, last, drifted_from, len(items.codes), rows)


def _weeks(dates: NDArray[np.datetime64], history_end: dt.date) -> Iterator[tuple[dt.date, NDArray[np.intp]]]:
    for number in range(1, WEEKS + 1):
        end = history_end + dt.timedelta(weeks=number)
        start = end - dt.timedelta(days=6)
        yield end, np.flatnonzero((dates >= np.datetime64(start)) & (dates <= np.datetime64(end)))


# ---- the shop ----


def _assortment(random: np.random.Generator, scale: int) -> Items:
    names, category = [], []
    for index, kind in enumerate(CATEGORIES):
        for copy in range(scale):
            names += [name if copy == 0 else f"{name} ({copy + 1})" for name in kind.names]
            category += [index] * len(kind.names)
    n = len(names)
    which = np.array(category)
    codes = [f"1029000{number:08d}" for number in np.sort(random.choice(90_000_000, n, replace=False)) + 5_000_000]
    typical = np.log([kind.price for kind in CATEGORIES])[which]
    steady = np.where(random.random(n) < 0.5, random.uniform(0.92, 1.0, n), random.uniform(0.3, 0.88, n))
    return Items(
        codes=codes,
        names=names,
        category=which,
        price=typical + random.normal(0, 0.45, n),
        markup=np.log(random.uniform(1.4, 1.9, n)),
        kg=np.log([kind.kg for kind in CATEGORIES])[which] + random.normal(0, 0.8, n) + np.log(steady),
        steady=steady,
        spells=random.random(n) < 0.4,
    )


def _simulate(random: np.random.Generator, items: Items, dates: NDArray[np.datetime64], shock: int) -> Market:
    season = (dates - dates.astype("datetime64[Y]")).astype(float) / 365.25 * 2 * np.pi
    spring = feasts.days_from_spring_festival(dates)
    weekday = (dates.astype(int) + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    hit = np.array([kind.hit for kind in CATEGORIES])[items.category]
    shocked = np.zeros((len(dates), len(items.codes)))
    shocked[shock:, hit] = SHOCK[0]
    shocked[shock + 7 :, hit] = SHOCK[1]
    wholesale = _wholesale_prices(random, items, season, spring, shocked, shock)
    listed = _listed(random, items, len(dates))
    shelf, discounted = _shelf_prices(random, items, wholesale, weekday, shock)
    kg = _demand(random, items, season, spring, weekday, shelf, discounted)
    kg = kg * np.exp(np.where(hit, -0.8, 0.8) * shocked.max(axis=1, keepdims=True))  # buyers turn to the rest
    sold = listed & (random.random(kg.shape) < items.steady * np.where(np.abs(spring - 1) <= 1, 0.6, 1.0)[:, None])
    paid = np.exp(shelf) * (1 - discounted * 0.36) * np.exp(random.normal(0, 0.004, kg.shape) * (discounted > 0))
    return Market(
        wholesale=np.maximum(np.round(np.exp(wholesale), 2), 0.05),
        shelf=np.maximum(np.round(paid, 2), 0.1),
        discounted=discounted,
        kg=np.maximum(np.round(kg, 3), 0.05),
        transactions=1.0 + random.poisson(kg / 0.55),
        listed=listed,
        sold=sold,
    )


def _wholesale_prices(
    random: np.random.Generator, items: Items, season: Line, spring: Line, shocked: Grid, shock: int
) -> Grid:
    """Logs: mean, yearly season, Spring Festival, and shocks of category and item that die away."""
    days, n = shocked.shape
    peak = np.array([kind.peak for kind in CATEGORIES]) / 365.25 * 2 * np.pi
    swing = np.array([kind.swing for kind in CATEGORIES])
    by_category = _reverting(random, (days, len(CATEGORIES)), keeps=0.97, noise=0.014)
    by_category += _freak_weather(random, days, len(CATEGORIES), quiet_from=shock - 80)
    by_item = _reverting(random, (days, n), keeps=0.97, noise=0.037)
    phase = items.category
    seasonal = swing[phase] * np.cos(season[:, None] - peak[phase])
    festive = 0.16 * np.exp(-(((spring + 4) / 7) ** 2))[:, None]
    return np.asarray(items.price + seasonal + festive + by_category[:, phase] + by_item + shocked)


def _reverting(random: np.random.Generator, shape: tuple[int, int], *, keeps: float, noise: float) -> Grid:
    """Independent AR(1) columns around 0."""
    steps = random.normal(0, noise, shape)
    out = np.empty(shape)
    level = np.zeros(shape[1])
    for day in range(shape[0]):
        level = keeps * level + steps[day]
        out[day] = level
    return out


def _freak_weather(random: np.random.Generator, days: int, categories: int, quiet_from: int) -> Grid:
    """About one jump a year and category, 15 to 40 %, half gone after a week and a half."""
    strikes = (random.random((days, categories)) < 1.2 / 365) * random.uniform(0.15, 0.4, (days, categories))
    strikes[quiet_from:] = 0
    out = np.zeros((days, categories))
    level = np.zeros(categories)
    for day in range(days):
        level = level * 0.955 + strikes[day]
        out[day] = level
    return out


def _listed(random: np.random.Generator, items: Items, days: int) -> NDArray[np.bool_]:
    """In the assortment or not: some items come and go, in for five weeks and out for three on average."""
    out = np.ones((days, len(items.codes)), dtype=bool)
    now = random.random(len(items.codes)) < 0.6
    for day in range(days):
        change = random.random(len(now)) < np.where(now, 1 / 35, 1 / 21)
        now = now ^ change
        out[day] = now | ~items.spells
    return out


def _shelf_prices(
    random: np.random.Generator, items: Items, wholesale: Grid, weekday: NDArray[np.int64], shock: int
) -> tuple[Grid, Grid]:
    """Log label prices, and the share of transactions with a discount.

    A label moves when it is rewritten: to the markup on the last two days' wholesale price, in steps of 0.1 RMB.
    """
    days, n = wholesale.shape
    labels, discounts = np.empty((days, n)), np.zeros((days, n))
    label = wholesale[0] + items.markup
    offer = np.zeros(n)
    depths = np.linspace(0.35, 0.95, round(0.18 * n))
    for day in range(days):
        lately = wholesale[max(0, day - 2) : day].mean(axis=0) if day else wholesale[0]
        rewritten = random.random(n) < np.full(n, 0.45 if weekday[day] in (1, 4) else 0.07)
        if day == shock:  # everybody sees it coming, and no label stays
            rewritten = np.ones(n, dtype=bool)
            lately = wholesale[day]
        wanted = np.log(np.maximum(np.round(np.exp(lately + items.markup) * 10) / 10, 0.5))
        label = np.where(rewritten, wanted, label)
        if weekday[day] == 4:
            offer = np.zeros(n)
            offer[random.permutation(n)[: len(depths)]] = depths
        elif weekday[day] == 0:
            offer = np.zeros(n)
        leftovers = (random.random(n) < 0.06) * random.uniform(0.02, 0.25, n)
        labels[day], discounts[day] = label, np.round(np.maximum(offer, leftovers), 4)
    return labels, discounts


def _demand(
    random: np.random.Generator,
    items: Items,
    season: Line,
    spring: Line,
    weekday: NDArray[np.int64],
    shelf: Grid,
    discounted: Grid,
) -> Grid:
    """kg a day if it is sold: weekday, season, Spring Festival, price, offers, slow fashion, and much noise."""
    days, n = shelf.shape
    week = np.array([-0.06, -0.09, -0.07, -0.07, 0.02, 0.26, 0.22])[weekday]
    yearly = 0.22 * np.cos(season - 0.2)
    festive = 0.55 * np.exp(-(((spring + 4) / 3.5) ** 2)) - 0.9 * np.exp(-(((spring - 1) / 1.8) ** 2))
    fashion = _reverting(random, (days, n), keeps=0.97, noise=0.07)
    weather = _reverting(random, (days, 1), keeps=0.6, noise=0.10)
    dearness = shelf - (items.price + items.markup)
    noise = random.normal(0, 0.45, (days, n))
    shared = (week + yearly + festive)[:, None] + weather
    return np.asarray(np.exp(items.kg + shared + fashion + noise - 0.8 * dearness + 0.55 * discounted))


# ---- files ----


def _long(
    items: Items, dates: NDArray[np.datetime64], rows: NDArray[np.intp], kept: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp], dict[str, pa.Array]]:
    """Days and items of the kept cells, with their key columns."""
    at, item = np.nonzero(kept[rows])
    day = rows[at]
    codes = pa.array(items.codes).take(pa.array(item))
    return day, item, {"date": pa.array(dates[day]).cast(pa.date32()), "item_code": codes}


def _sales(items: Items, market: Market, dates: NDArray[np.datetime64], rows: NDArray[np.intp]) -> pa.Table:
    day, item, columns = _long(items, dates, rows, market.sold)
    return pa.table(
        columns
        | {
            "quantity_kg": market.kg[day, item],
            "avg_price_rmb_kg": market.shelf[day, item],
            "discount_rate": market.discounted[day, item],
            "transaction_count": market.transactions[day, item].astype(np.int64),
        }
    )


def _wholesale(items: Items, market: Market, dates: NDArray[np.datetime64], rows: NDArray[np.intp]) -> pa.Table:
    day, item, columns = _long(items, dates, rows, market.listed)
    return pa.table(columns | {"wholesale_price_rmb_kg": market.wholesale[day, item]})


def _item_table(items: Items) -> pa.Table:
    return pa.table(
        {
            "item_code": items.codes,
            "item_name": items.names,
            "category_code": [CATEGORIES[i].code for i in items.category],
            "category_name": [CATEGORIES[i].name for i in items.category],
        }
    )


def _loss_rates(random: np.random.Generator, items: Items) -> pa.Table:
    typical = np.array([kind.loss for kind in CATEGORIES])[items.category]
    rates = np.clip(typical * np.exp(random.normal(0, 0.35, len(typical))), 0.2, 60)
    return pa.table({"item_code": items.codes, "loss_rate_pct": np.round(rates, 2)})


def _publish(path: Path, rows: pa.Table) -> str:
    """Write under a hidden name, then rename: a daemon that watches the folder sees whole files only."""
    partial = path.with_name(f".{path.name}.partial")
    if path.suffix == ".csv":
        pa.csv.write_csv(rows, partial, pa.csv.WriteOptions(quoting_style="needed"))
    else:
        pa.parquet.write_table(rows, partial, compression="zstd")
    partial.replace(path)
    return f"{path.parent.name}/{path.name}"


def main(arguments: list[str] | None = None) -> int:
    """Write a sample; progress goes to standard error, the report as one JSON line to standard output."""
    parser = argparse.ArgumentParser(
        prog="python -m retraind.jobs.data.sample", description="Write a sample site's data."
    )
    parser.add_argument("site", type=Path)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--scale", type=int, default=1, help="so many times 60 items")
    parser.add_argument("--today", type=dt.date.fromisoformat, required=True)
    given = parser.parse_args(arguments)
    report = write_sample(
        given.site, seed=given.seed, scale=given.scale, today=given.today,
        progress=lambda words: print(words, file=sys.stderr, flush=True),  # noqa: T201 (for whoever waits)
    )  # fmt: skip
    sys.stdout.write(json.dumps(dataclasses.asdict(report), default=str) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
