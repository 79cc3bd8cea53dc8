"""How full a day is: real files in a real store, and the real sales as the measure of false alarms."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retraind import settings
from retraind.core.events import StoreFile
from retraind.core.settings import Drops
from retraind.core.steps import DayLook
from retraind.core.units import Percent
from retraind.jobs.data import store
from retraind.jobs.data.completeness import days_of, look_at

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data" / "daily_sales.parquet"
CONTRACT = settings.load(ROOT / "config.yaml")[0].pipelines["produce"].contract
FIRST = dt.date(2026, 1, 5)
"""A Monday."""


class Shop:
    """A store of the main table, filled file by file."""

    def __init__(self, state: Path) -> None:
        self.state, self.files = state, list[StoreFile]()

    def take(self, drop: str, rows: pa.Table) -> set[dt.date]:
        self.files.append(store.write(self.state, CONTRACT, "sales", rows, drop=drop))
        return days_of(CONTRACT, rows)

    def days(self, drop: str, items: dict[dt.date, int], *, kg: float = 10.0, first: int = 0) -> set[dt.date]:
        """So many items each day, each sold by so many kg."""
        dates = [day for day, count in items.items() for _ in range(count)]
        codes = [f"item{i + first}" for count in items.values() for i in range(count)]
        return self.take(drop, pa.table({
            "date": pa.array(dates, pa.date32()), "item_code": codes, "quantity_kg": [kg] * len(dates),
            "avg_price_rmb_kg": [8.0] * len(dates),
        }))  # fmt: skip

    def look(self, touched: set[dt.date], share: float = 50, incomplete: tuple[dt.date, ...] = ()) -> tuple[DayLook, ...]:
        return look_at(self.state, self.files, CONTRACT, Drops(complete=Percent(share)), touched, incomplete)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Eight full weeks of twenty items a day."""
    made = Shop(tmp_path)
    made.days("history", {FIRST + dt.timedelta(i): 20 for i in range(56)})
    return made


def after(days: int) -> dt.date:
    """So many days after the eight weeks."""
    return FIRST + dt.timedelta(56 + days)


def test_a_day_with_half_of_its_items_is_incomplete_and_says_of_what_there_is_too_little(shop: Shop) -> None:
    (look,) = shop.look(shop.days("monday", {after(0): 9}, kg=50.0))
    assert (look.drop, look.date, look.items, look.usual_items, look.complete) == ("monday", after(0), 9, 20.0, False)
    assert look.why == "9 items where 20 are usual of a Monday, less than 50%"


def test_a_day_with_all_items_and_half_of_their_weight_is_incomplete(shop: Shop) -> None:
    (look,) = shop.look(shop.days("monday", {after(0): 20}, kg=4.9))
    assert not look.complete
    assert look.why == "98 quantity_kg where 200 are usual of a Monday, less than 50%"


def test_a_quiet_day_just_at_the_limit_is_complete(shop: Shop) -> None:
    (look,) = shop.look(shop.days("monday", {after(0): 10}))
    assert look.complete


def test_the_rest_of_a_day_makes_it_complete_for_it_is_seen_with_all_that_the_store_holds(shop: Shop) -> None:
    assert not shop.look(shop.days("morning", {after(0): 8}))[0].complete
    (look,) = shop.look(shop.days("evening", {after(0): 12}, first=8))
    assert (look.drop, look.items, look.complete) == ("evening", 20, True)


def test_days_of_a_young_shop_are_not_suspected(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.days("history", {FIRST + dt.timedelta(i): 20 for i in range(21)})
    looks = shop.look(shop.days("next", {FIRST + dt.timedelta(21): 1}))
    assert [(look.complete, look.usual_items) for look in looks] == [(True, 0.0)]


def test_a_closed_day_is_not_looked_at_and_holds_nothing_against_the_days_after_it(shop: Shop) -> None:
    assert [look.date for look in shop.look(shop.days("week", {after(i): 20 for i in (0, 2, 3)}))] == [
        after(0), after(2), after(3),
    ]  # fmt: skip
    assert shop.look({after(1)}) == ()


def test_only_the_two_newest_weeks_are_looked_at(shop: Shop) -> None:
    touched = shop.days("late", {after(i): 5 for i in range(20)})
    assert [look.date for look in shop.look(touched)] == [after(i) for i in range(6, 20)]


def test_the_rest_of_an_incomplete_day_may_come_weeks_later(shop: Shop) -> None:
    shop.days("half", {after(0): 8})
    shop.days("month", {after(i): 20 for i in range(1, 30)})
    (look,) = shop.look(shop.days("rest", {after(0): 12}, first=8), incomplete=(after(0),))
    assert (look.date, look.complete) == (after(0), True)


def test_incomplete_days_are_not_what_a_day_is_held_against(shop: Shop) -> None:
    halves = {after(7 * week): 6 for week in range(5)}
    shop.days("halves", halves)
    touched = shop.days("next", {after(35): 9})
    assert shop.look(touched)[0].complete  # five of its last eight were as small
    assert not shop.look(touched, incomplete=tuple(halves))[0].complete


def test_no_share_suspects_nobody(shop: Shop) -> None:
    assert shop.look(shop.days("monday", {after(0): 1}, kg=0.1), share=0)[0].complete


# ---- the real sales: what the default share is chosen by (docs/drops.md) ----


def judged(path: Path, rows: pa.Table, keep: np.ndarray | None = None) -> tuple[int, int]:
    """(incomplete days, days with enough past) when the sales come week by week; keep: the share of each row's weight that
    was exported of the week that is looked at, all of it of the weeks before."""
    shop, past, found, looked = Shop(path), list[StoreFile](), 0, 0
    week = (rows.column("date").to_numpy().astype("datetime64[D]").astype(int) - 4) // 7  # from Monday on
    for number in np.unique(week):
        at = week == number
        whole = rows.filter(pa.array(at))
        share = np.ones(whole.num_rows) if keep is None else keep[at]
        kilos = pa.array(whole.column("quantity_kg").to_numpy() * share)
        shop.files = list(past)
        for look in shop.look(shop.take("today", whole.set_column(2, "quantity_kg", kilos).filter(pa.array(share > 0)))):
            if look.usual_items:
                looked, found = looked + 1, found + (not look.complete)
        shop.files = past
        shop.take("week", whole)
    return found, looked


@pytest.fixture(scope="module")
def real() -> pa.Table:
    if not REAL.exists():
        pytest.skip("the real sales do not lie beside this checkout")
    rows = pq.read_table(REAL).select(["date", "item_code", "quantity_kg", "avg_price_rmb_kg", "transaction_count"])
    rows = rows.set_column(0, "date", rows.column("date").cast(pa.date32()))
    rows = rows.set_column(1, "item_code", rows.column("item_code").cast(pa.string()))
    return rows.sort_by([("date", "ascending"), ("item_code", "ascending")])


def test_the_default_share_cries_wolf_on_one_true_day_in_a_hundred_at_most(real: pa.Table, tmp_path: Path) -> None:
    found, looked = judged(tmp_path, real.drop_columns(["transaction_count"]))
    assert looked > 900
    assert found / looked < 0.01, found


def test_it_finds_four_of_ten_days_that_were_exported_at_noon(real: pa.Table, tmp_path: Path) -> None:
    real = real.slice(0, real.num_rows // 3)
    counts = real.column("transaction_count").to_numpy().astype(int)
    keep = np.random.default_rng(20).binomial(counts, 0.5) / counts
    found, looked = judged(tmp_path, real.drop_columns(["transaction_count"]), keep)
    assert found / looked > 0.4, found
