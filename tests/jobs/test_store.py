"""The store: named by content, later rows win, and what is lost is told."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from retraind import settings
from retraind.core.events import StoreFile
from retraind.errors import RetraindError
from retraind.jobs.data import contract as contracts
from retraind.jobs.data import store
from retraind.jobs.data.store import Comparison
from retraind.settings import OnBadRow

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = settings.load(ROOT / "config.yaml")[0].pipelines["produce"].contract
DAY = dt.date(2026, 1, 1)
SCHEMA = pa.schema(
    {"date": pa.date32(), "item_code": pa.string(), "quantity_kg": pa.float64(), "avg_price_rmb_kg": pa.float64()}
)

Row = tuple[int, str, float]  # day, item, kg


def table(*rows: Row) -> pa.Table:
    """Canonical rows of the main table."""
    ordered = sorted(rows)
    return pa.table(
        {
            "date": [DAY + dt.timedelta(days=day) for day, _, _ in ordered],
            "item_code": [item for _, item, _ in ordered],
            "quantity_kg": [float(kg) for _, _, kg in ordered],
            "avg_price_rmb_kg": [8.0 for _ in ordered],
        },
        schema=SCHEMA,
    )


def put(state: Path, *rows: Row, drop: str = "d") -> StoreFile:
    return store.write(state, CONTRACT, "sales", table(*rows), drop=drop)


def held(rows: pa.Table) -> list[Row]:
    columns = (rows.column(name).to_pylist() for name in ("date", "item_code", "quantity_kg"))
    return [((date - DAY).days, item, kg) for date, item, kg in zip(*columns, strict=True)]


def test_a_file_is_named_by_its_rows_and_written_twice_it_is_one_file(tmp_path: Path) -> None:
    first, again = put(tmp_path, (0, "a", 1)), put(tmp_path, (0, "a", 1), drop="e")
    assert first.sha256 == again.sha256
    assert [p.name for p in (tmp_path / "store" / "sales").iterdir()] == [f"{first.sha256}.parquet"]
    assert put(tmp_path, (0, "a", 2)).sha256 != first.sha256


def test_the_name_of_a_content_never_changes() -> None:
    """It stands in journals: another hash here means that every site's store is lost to it."""
    rows = table((0, "a", 1), (1, "菜", 2.5))
    assert store.content_hash("sales", rows) == "4ec009f7a6f457a938bc14a132cedbbe8bbb88a8ac487c9b48853e08928852a9"


def test_chunks_and_compression_do_not_change_the_name() -> None:
    rows = table((0, "a", 1), (1, "b", 2), (2, "c", 3))
    chunked = pa.concat_tables([rows.slice(0, 1), rows.slice(1, 2)])
    assert store.content_hash("sales", chunked) == store.content_hash("sales", rows)


def test_where_text_ends_belongs_to_the_content() -> None:
    def items(*codes: str) -> pa.Table:
        return pa.table({"item_code": list(codes), "category_name": ["x"] * len(codes)})

    assert store.content_hash("items", items("ab", "c")) != store.content_hash("items", items("a", "bc"))


def test_the_file_says_its_rows_and_dates(tmp_path: Path) -> None:
    file = put(tmp_path, (3, "a", 1), (5, "b", 1))
    assert (file.rows, file.first_date, file.last_date) == (2, DAY + dt.timedelta(days=3), DAY + dt.timedelta(days=5))


def test_a_later_row_for_a_known_key_wins_on_reading(tmp_path: Path) -> None:
    files = [put(tmp_path, (0, "a", 1), (1, "a", 1)), put(tmp_path, (1, "a", 9), (2, "a", 9))]
    assert held(store.load(tmp_path, files, CONTRACT, "sales")) == [(0, "a", 1), (1, "a", 9), (2, "a", 9)]
    assert held(store.load(tmp_path, files[::-1], CONTRACT, "sales")) == [(0, "a", 1), (1, "a", 1), (2, "a", 9)]


def test_new_replaced_and_unchanged_rows_are_counted_against_what_wins(tmp_path: Path) -> None:
    files = [put(tmp_path, (0, "a", 1), (1, "a", 1), (2, "a", 1)), put(tmp_path, (1, "a", 9))]
    brings = table((0, "a", 1), (1, "a", 1), (2, "a", 5), (2, "b", 1), (3, "a", 1))
    assert store.compare(tmp_path, files, CONTRACT, "sales", brings) == Comparison(new=2, replaced=2, unchanged=1)
    assert store.compare(tmp_path, [], CONTRACT, "sales", brings) == Comparison(new=5, replaced=0, unchanged=0)


def test_an_optional_column_that_a_later_file_lacks_is_a_change(tmp_path: Path) -> None:
    rows = table((0, "a", 1))
    with_count = rows.append_column("transaction_count", pa.array([4], pa.int64()))
    files = [store.write(tmp_path, CONTRACT, "sales", with_count, drop="d")]
    assert store.compare(tmp_path, files, CONTRACT, "sales", rows).replaced == 1
    files.append(store.write(tmp_path, CONTRACT, "sales", rows, drop="e"))
    assert store.load(tmp_path, files, CONTRACT, "sales").column("transaction_count").to_pylist() == [None]


def test_comparing_reads_only_files_that_overlap_in_dates(tmp_path: Path) -> None:
    far, near = put(tmp_path, (0, "a", 1)), put(tmp_path, (9, "a", 1))
    store.path_of(tmp_path, "sales", far.sha256).unlink()
    counts = store.compare(tmp_path, [far, near], CONTRACT, "sales", table((9, "a", 2)))
    assert counts == Comparison(new=0, replaced=1, unchanged=0)


def test_reading_may_be_bounded_by_dates(tmp_path: Path) -> None:
    files = [put(tmp_path, *((day, "a", day) for day in range(10)))]
    rows = store.load(
        tmp_path, files, CONTRACT, "sales", since=DAY + dt.timedelta(days=2), until=DAY + dt.timedelta(days=4)
    )
    assert [day for day, _, _ in held(rows)] == [2, 3, 4]


def test_a_file_that_vanished_is_told_with_the_drop_it_came_from(tmp_path: Path) -> None:
    file = put(tmp_path, (0, "a", 1), drop="9f2c01ab")
    store.path_of(tmp_path, "sales", file.sha256).unlink()
    with pytest.raises(RetraindError, match="missing from the store") as told:
        store.load(tmp_path, [file], CONTRACT, "sales")
    assert "retrainctl drops show 9f2c01ab" in told.value.remedy


def test_a_file_that_rotted_is_told(tmp_path: Path) -> None:
    rows: list[Row] = [(day, "a", day * 1.37) for day in range(500)]
    file = put(tmp_path, *rows)
    path = store.path_of(tmp_path, "sales", file.sha256)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(RetraindError, match="cannot be read"):
        store.load(tmp_path, [file], CONTRACT, "sales")


def test_a_disk_that_takes_nothing_is_told_and_may_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where a folder should be")
    with pytest.raises(RetraindError, match="cannot be written") as told:
        put(tmp_path, (0, "a", 1))
    assert told.value.retryable


def test_what_a_killed_child_left_half_written_is_swept_and_nothing_else(tmp_path: Path) -> None:
    file = put(tmp_path, (0, "a", 1))
    left = store.path_of(tmp_path, "sales", "0" * 64).with_suffix(".123.partial")
    left.write_bytes(b"half")
    store.sweep(tmp_path)
    assert [p.stem for p in left.parent.iterdir()] == [file.sha256]


def test_the_main_frame_joins_companions_by_day_and_lookups_by_item(tmp_path: Path) -> None:
    state = tmp_path
    wholesale = pa.table({"date": pa.array([DAY], pa.date32()), "item_code": ["a"], "wholesale_price_rmb_kg": [5.0]})
    items = pa.table({"item_code": ["a"], "item_name": ["Lettuce"], "category_name": ["Leaf"]})
    files = [
        put(state, (0, "a", 1), (1, "a", 2), (1, "b", 3)),
        store.write(state, CONTRACT, "wholesale", wholesale, drop="w"),
        store.write(state, CONTRACT, "items", items, drop="i"),
    ]
    frame = store.main_frame(state, files, CONTRACT)
    assert str(frame["date"].dtype) == "datetime64[ns]"
    assert frame["item_code"].tolist() == ["a", "a", "b"]
    assert frame["category_name"].tolist() == ["Leaf", "Leaf", "unknown"]
    assert frame["wholesale_price_rmb_kg"].fillna(-1).tolist() == [5.0, -1, -1]
    assert frame["loss_rate_pct"].isna().all()
    assert len(store.main_frame(state, files, CONTRACT, until=DAY)) == 1


def test_a_name_that_two_tables_share_is_told_apart(tmp_path: Path) -> None:
    text = (ROOT / "config.yaml").read_text().replace("wholesale_price_rmb_kg: {type", "avg_price_rmb_kg: {type")
    text = "".join(line for line in text.splitlines(keepends=True) if "wholesale_price_rmb_kg: {en" not in line)
    contract = settings.parse(text).pipelines["produce"].contract
    wholesale = pa.table({"date": pa.array([DAY], pa.date32()), "item_code": ["a"], "avg_price_rmb_kg": [5.0]})
    files = [put(tmp_path, (0, "a", 1)), store.write(tmp_path, contract, "wholesale", wholesale, drop="w")]
    frame = store.main_frame(tmp_path, files, contract)
    assert frame["avg_price_rmb_kg"].tolist() == [8.0]
    assert frame["wholesale.avg_price_rmb_kg"].tolist() == [5.0]


ROWS = st.dictionaries(
    st.tuples(st.integers(0, 6), st.sampled_from(["a", "b", "10", "9", "菜"])),
    st.floats(0, 1e5, allow_nan=False),
    min_size=1,
    max_size=12,
)


@effort(deadline=None, max_examples=40)
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_the_store_reads_as_the_union_of_its_files_where_later_ones_win(
    tmp_path_factory: pytest.TempPathFactory, drops: list[dict[tuple[int, str], float]]
) -> None:
    state = tmp_path_factory.mktemp("state")
    files: list[StoreFile] = []
    expected: dict[tuple[int, str], float] = {}
    for drop in drops:
        rows = table(*((day, item, kg) for (day, item), kg in drop.items()))
        known = [key for key in drop if key in expected]
        replaced = sum(expected[key] != drop[key] for key in known)
        counts = store.compare(state, files, CONTRACT, "sales", rows)
        assert counts == Comparison(len(drop) - len(known), replaced, len(known) - replaced)
        files.append(store.write(state, CONTRACT, "sales", rows, drop="d"))
        expected |= drop
    wanted = sorted((day, item, kg) for (day, item), kg in expected.items())
    assert held(store.load(state, files, CONTRACT, "sales")) == wanted


@effort(deadline=None, max_examples=60)
@given(ROWS)
def test_rows_go_through_csv_and_parquet_and_stay_the_same_content(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[tuple[int, str], float]
) -> None:
    folder = tmp_path_factory.mktemp("drops")
    canonical = table(*((day, item, kg) for (day, item), kg in rows.items()))
    pq.write_table(canonical, folder / "daily_sales.parquet")
    pa_csv.write_csv(canonical, folder / "daily_sales.csv")
    for name in ("daily_sales.parquet", "daily_sales.csv"):
        checked = contracts.read(
            folder / name, CONTRACT, "sales", today=dt.date(2026, 11, 24), on_bad_row=OnBadRow(None)
        )
        assert checked.rows is not None, json.dumps([p.what for p in checked.problems])
        assert store.content_hash("sales", checked.rows) == store.content_hash("sales", canonical)
