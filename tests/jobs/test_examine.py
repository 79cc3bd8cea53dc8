"""Jobs survey and examine, with real files in a real folder."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retraind import settings
from retraind.core.events import DropDamage, StoreFile
from retraind.core.steps import (
    Dated,
    Examine,
    Examined,
    Survey,
    WaitingDrop,
    decode_outcome,
    encode_outcome,
)
from retraind.jobs.child import JobContext
from retraind.jobs.data import contract, store
from retraind.jobs.examine import examine, survey

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data"
TODAY = dt.date(2026, 11, 24)
HEADER = "date,item_code,quantity_kg,avg_price_rmb_kg\n"


class Shop:
    """A site's folder, and the store that its examinations made."""

    def __init__(self, root: Path, config: str = "") -> None:
        text = (ROOT / "config.yaml").read_text()
        for old, new in filter(None, (line.split("=>") for line in config.split("\n") if line)):
            assert old in text
            text = text.replace(old, new)
        self.root = root
        self.said: list[tuple[str, int, int]] = []
        self.files: list[StoreFile] = []
        (root / "drops").mkdir()
        self.job = JobContext(settings.parse(text), "produce", root, root, 1, lambda *s: self.said.append(s))

    def drop(self, name: str, content: str | bytes, *, named: str = "") -> WaitingDrop:
        data = content.encode() if isinstance(content, str) else content
        (self.root / "drops" / name).write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        return WaitingDrop(named or sha256[:8], f"drops/{name}", name, sha256)

    def examine(self, *drops: WaitingDrop) -> Examined:
        outcome = examine(Examine(drops, tuple(self.files), TODAY), self.job)
        self.files += [accepted.file for accepted in outcome.accepted]
        assert decode_outcome(encode_outcome(outcome)) == outcome
        return outcome


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_each_drop_gets_one_end_and_a_bad_one_does_not_hold_the_others(shop: Shop) -> None:
    good = shop.drop("daily_sales_1.csv", HEADER + "2026-01-01,a,1,8\n")
    bad = shop.drop("daily_sales_2.csv", HEADER + "2026-01-02,a,-3.5,8\n")
    same = shop.drop("daily_sales_3.csv", HEADER + "2026/1/1,a,1.0,8.0\n")
    last = shop.drop("daily_sales_4.csv", HEADER + "2026-01-03,a,1,8\n")
    outcome = shop.examine(good, bad, same, last)
    assert [a.drop for a in outcome.accepted] == [good.drop, last.drop]
    assert [(q.drop, q.problems[0].what) for q in outcome.quarantined] == [
        (bad.drop, "quantity_kg is -3.5, must be at least 0")
    ]
    assert [(s.drop, s.of) for s in outcome.same] == [(same.drop, good.drop)]
    assert [done for _, done, _ in shop.said] == [0, 1, 2, 3]


def test_a_drop_is_counted_against_the_drops_before_it_in_the_same_job(shop: Shop) -> None:
    first = shop.drop("daily_sales_1.csv", HEADER + "2026-01-01,a,1,8\n2026-01-01,b,1,8\n")
    second = shop.drop("daily_sales_2.csv", HEADER + "2026-01-01,a,2,8\n2026-01-01,b,1,8\n2026-01-02,a,1,8\n")
    _, accepted = shop.examine(first, second).accepted
    assert (accepted.new_rows, accepted.replaced_rows, accepted.unchanged_rows) == (1, 1, 1)


def test_rows_that_the_store_holds_are_recognised_in_a_later_job(shop: Shop) -> None:
    shop.examine(shop.drop("daily_sales_1.csv", HEADER + "2026-01-01,a,1,8\n"))
    again = shop.drop("daily_sales_2.csv", HEADER + "2026-01-01,a,1.00,8\n", named="again")
    assert [s.drop for s in shop.examine(again).same] == ["again"]


def test_an_examination_done_twice_leaves_one_file(shop: Shop) -> None:
    drop = shop.drop("daily_sales_1.csv", HEADER + "2026-01-01,a,1,8\n")
    step = Examine((drop,), (), TODAY)
    assert examine(step, shop.job) == examine(step, shop.job)
    assert len(list((shop.job.state / "store" / "sales").iterdir())) == 1


def test_an_accepted_drop_lies_in_the_store_with_its_role_and_dates(shop: Shop) -> None:
    drop = shop.drop("daily_sales_1.csv", HEADER + "2026-01-02,a,1,8\n2026-01-01,a,1,8\n")
    (accepted,) = shop.examine(drop).accepted
    assert accepted.role == "main"
    assert (accepted.file.first_date, accepted.file.last_date) == (dt.date(2026, 1, 1), dt.date(2026, 1, 2))
    assert store.load(shop.job.state, shop.files, shop.job.config.contract, "sales").num_rows == 2


def test_a_file_that_was_taken_away_is_quarantined_as_vanished(shop: Shop) -> None:
    drop = shop.drop("daily_sales_1.csv", HEADER + "2026-01-01,a,1,8\n")
    (shop.root / drop.path).unlink()
    (quarantined,) = shop.examine(drop).quarantined
    assert quarantined.problems[0].rule == "vanished"


def test_a_file_that_was_written_to_after_it_arrived_is_not_taken(shop: Shop) -> None:
    drop = shop.drop("daily_sales_1.csv", HEADER + "2026-01-01,a,1,8\n")
    (shop.root / drop.path).write_text(HEADER + "2026-01-01,a,2,8\n")
    (quarantined,) = shop.examine(drop).quarantined
    assert quarantined.problems[0].rule == "changed while waiting"
    assert shop.files == []


def test_what_we_stumble_over_ends_its_own_drop_and_no_other(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    check = contract.check

    def stumbling(data: bytes, name: str, *more: Any, **named: Any) -> contract.Checked:
        if b"2026-01-02" in data:
            raise KeyError("a mistake of ours")
        return check(data, name, *more, **named)

    monkeypatch.setattr(contract, "check", stumbling)
    drops = [shop.drop(f"daily_sales_{i}.csv", HEADER + f"2026-01-0{i},a,1,8\n") for i in (1, 2, 3)]
    outcome = shop.examine(*drops)
    assert [a.drop for a in outcome.accepted] == [drops[0].drop, drops[2].drop]
    assert [q.problems[0].rule for q in outcome.quarantined] == ["can be examined"]


def test_bad_rows_are_set_aside_where_the_settings_allow_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "on_bad_row: reject=>on_bad_row: set_aside up to 50%")
    drop = shop.drop("daily_sales_1.csv", HEADER + "2026-01-01,a,1,8\n2026-01-02,a,-1,8\n")
    (accepted,) = shop.examine(drop).accepted
    assert (accepted.file.rows, accepted.set_aside_rows) == (1, 1)
    assert accepted.set_aside[0].row == 2


def test_a_survey_says_table_and_last_date_and_nothing_where_it_cannot(shop: Shop) -> None:
    rows = pa.table({"date": [dt.date(2026, 1, 3), dt.date(2026, 1, 9)], "item_code": ["a", "a"]})
    pq.write_table(rows, shop.root / "bare.parquet", write_statistics=False)
    pq.write_table(rows, shop.root / "stamped.parquet")
    stamped = rows.set_column(0, "date", rows.column("date").cast(pa.timestamp("ms")))
    pq.write_table(stamped, shop.root / "times.parquet")
    drops = [
        shop.drop("daily_sales_1.csv", HEADER + "2026/1/7,a,1,8\nnonsense,a,1,8\n2026-01-02,a,1,8\n"),
        shop.drop("daily_sales_2.parquet", (shop.root / "bare.parquet").read_bytes()),
        shop.drop("wholesale_prices.parquet", (shop.root / "stamped.parquet").read_bytes()),
        shop.drop("wholesale_prices_2.parquet", (shop.root / "times.parquet").read_bytes()),
        shop.drop("items.csv", "item_code,category_name\na,Leaf\n"),
        shop.drop("daily_sales_3.parquet", b"PAR1 and no more"),
        shop.drop("daily_sales_4.csv", "item_code\na\n"),
        shop.drop("weather.csv", "date\n2026-01-01\n"),
        WaitingDrop("gone", "drops/daily_sales_9.csv", "daily_sales_9.csv", "0" * 64),
    ]
    ninth, seventh = dt.date(2026, 1, 9), dt.date(2026, 1, 7)
    expected = [
        ("sales", seventh),
        ("sales", ninth),
        ("wholesale", ninth),
        ("wholesale", ninth),
        ("items", None),
        ("sales", None),
        ("sales", None),
        (None, None),
        ("sales", None),
    ]
    outcome = survey(Survey(tuple(drops)), shop.job)
    assert outcome.drops == tuple(
        Dated(drop.drop, table, last) for drop, (table, last) in zip(drops, expected, strict=True)
    )


@pytest.mark.skipif(not REAL.exists(), reason="the real data are not beside this checkout")
def test_the_real_history_is_accepted_and_reads_back_joined(shop: Shop) -> None:
    names = ["daily_sales.parquet", "wholesale_prices.parquet", "items.csv", "loss_rates.csv"]
    outcome = shop.examine(*(shop.drop(name, (REAL / name).read_bytes()) for name in names))
    assert [a.new_rows for a in outcome.accepted] == [43000, 51788, 251, 251]
    frame = store.main_frame(shop.job.state, shop.files, shop.job.config.contract)
    assert len(frame) == 43000
    assert not frame.isna().any().any()


# ---- drops that look damaged ----

HISTORY = dt.date(2026, 1, 5)
LOOKUP = "item_code,category_name\n" + "".join(f"i{i},{'leaf' if i < 6 else 'root'}\n" for i in range(12))


def sales(first: int, days: int, items: int = 12) -> pd.DataFrame:
    random = np.random.default_rng(first)
    item = np.tile(np.arange(items), days)
    return pd.DataFrame(
        {
            "date": [str(HISTORY + dt.timedelta(days=first + int(d))) for d in np.repeat(np.arange(days), items)],
            "item_code": [f"i{i}" for i in item],
            "quantity_kg": ((5.0 + item) * random.lognormal(0, 0.4, len(item))).round(3),
            "avg_price_rmb_kg": ((3.0 + 2 * item) * random.lognormal(0, 0.05, len(item))).round(2),
            "discount_rate": random.choice([0.0, 0.1], len(item)),
        }
    )


def taken(shop: Shop, frame: pd.DataFrame, name: str = "daily_sales_new.csv") -> tuple[DropDamage, ...]:
    """What is damaged in a drop that follows six weeks of history."""
    history = shop.drop("daily_sales_history.csv", sales(0, 42).to_csv(index=False))
    lookup = shop.drop("items.csv", LOOKUP)
    assert shop.examine(history, lookup).damaged == ()
    outcome = shop.examine(shop.drop(name, frame.to_csv(index=False)))
    assert len(outcome.accepted) == 1
    return outcome.damaged[0].damages if outcome.damaged else ()


def test_a_day_like_the_days_before_is_sound(shop: Shop) -> None:
    assert taken(shop, sales(42, 2)) == ()


@pytest.mark.parametrize(
    ("column", "edit", "kind", "words"),
    [
        ("avg_price_rmb_kg", lambda f: f.assign(avg_price_rmb_kg=f.avg_price_rmb_kg * 10), "times", "the values are 10.2 times"),
        ("quantity_kg", lambda f: f.assign(quantity_kg=f.quantity_kg / 50), "times", "the values are 1/"),
        ("discount_rate", lambda f: f.drop(columns="discount_rate"), "vanished", "the column is not there, 0.0 %"),
        ("item_code", lambda f: f.assign(item_code="0" + f.item_code), "new", "100.0 % of the rows are of an item"),
    ],
)
def test_a_damaged_drop_is_told_with_its_column(shop: Shop, column, edit, kind, words) -> None:  # type: ignore[no-untyped-def]
    found = taken(shop, edit(sales(42, 2)))
    assert [(d.column, d.kind) for d in found] == [(column, kind)]
    assert found[0].words.startswith(words)


def test_a_lookup_that_renames_its_categories_is_damaged(shop: Shop) -> None:
    shop.examine(shop.drop("items.csv", LOOKUP + "".join(f"j{i},stem\n" for i in range(20))))
    outcome = shop.examine(shop.drop("items_2.csv", LOOKUP.replace("leaf", "Leaf").replace("root", "Root")
                                     + "".join(f"k{i},Stem\n" for i in range(20))))  # fmt: skip
    assert [(d.column, d.kind) for d in outcome.damaged[0].damages] == [("category_name", "new")]


def test_drops_after_a_damaged_one_in_the_same_job_are_not_held_against_it(shop: Shop) -> None:
    shop.examine(shop.drop("daily_sales_history.csv", sales(0, 42).to_csv(index=False)))
    frames = [sales(42 + 2 * i, 2).assign(quantity_kg=lambda f, i=i: f.quantity_kg * (40 if i < 2 else 1)) for i in range(3)]
    drops = [shop.drop(f"daily_sales_{i}.csv", frame.to_csv(index=False)) for i, frame in enumerate(frames)]
    outcome = shop.examine(*drops)
    assert [d.drop for d in outcome.damaged] == [drops[0].drop, drops[1].drop]
    assert {d.date for d in outcome.days} == {HISTORY + dt.timedelta(days=46), HISTORY + dt.timedelta(days=47)}


def test_damage_null_holds_nothing_back(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "config.yaml").read_text()
    start, end = text.index("      damage: "), text.index("    retraining:")
    shop = Shop(tmp_path)
    off = settings.parse(text[:start] + "      damage: null\n\n" + text[end:])
    shop.job = type(shop.job)(off, "produce", tmp_path, tmp_path, 1, shop.job.progress)
    assert taken(shop, sales(42, 2).assign(avg_price_rmb_kg=900.0)) == ()
