"""Drops against the contract: each bad one gets its reason, each good one the same canonical form."""

from __future__ import annotations

import datetime as dt
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from retraind import settings
from retraind.jobs.data import contract as contracts
from retraind.jobs.data import tabular
from retraind.jobs.data.contract import Checked
from retraind.jobs.data.store import content_hash
from retraind.settings import Column, Contract, OnBadRow, Table, Target

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data"
CONTRACT = settings.load(ROOT / "config.yaml")[0].pipelines["produce"].contract
TODAY = dt.date(2026, 11, 24)
REJECT = OnBadRow(None)


def sales(days: int = 60, items: int = 3) -> dict[str, list[object]]:
    """Good rows of the main table."""
    first = dt.date(2026, 1, 1)
    keys = [(first + dt.timedelta(days=d), f"10290000511500{i}") for d in range(days) for i in range(items)]
    return {
        "date": [day for day, _ in keys],
        "item_code": [item for _, item in keys],
        "quantity_kg": [1.5 + i % 7 for i in range(len(keys))],
        "avg_price_rmb_kg": [8.0 + i % 3 for i in range(len(keys))],
    }


def parquet(columns: dict[str, list[object]] | pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), out)
    return out.getvalue()


def csv(columns: dict[str, list[object]], separator: str = ",") -> bytes:
    lines = [separator.join(columns)]
    lines += [separator.join("" if v is None else str(v) for v in row) for row in zip(*columns.values(), strict=True)]
    return ("\n".join(lines) + "\n").encode()


def check(data: bytes, name: str = "daily_sales.csv", *, on_bad_row: OnBadRow = REJECT) -> Checked:
    table = contracts.table_of(CONTRACT, name)
    return contracts.check(data, name, CONTRACT, table, today=TODAY, on_bad_row=on_bad_row)


def changed(column: str, row: int, value: object) -> dict[str, list[object]]:
    """The good rows with one value replaced; row counts from 1."""
    columns = sales()
    columns[column][row - 1] = value
    return columns


def without(column: str) -> dict[str, list[object]]:
    return {name: values for name, values in sales().items() if name != column}


def renamed(old: str, new: str) -> dict[str, list[object]]:
    return {new if name == old else name: values for name, values in sales().items()}


# ---- bad drops ----

# ruff: noqa: E501 (one drop a line reads best)
BAD: list[tuple[str, str, Callable[[], bytes], str, int | None, str | None, str]] = [
    # words, file name, content, rule, row, column, part of what is said
    ("a negative quantity", "daily_sales.csv", lambda: csv(changed("quantity_kg", 118, -3.5)),
     "at_least", 118, "quantity_kg", "quantity_kg is -3.5, must be at least 0"),
    ("a price of zero", "daily_sales.parquet", lambda: parquet(changed("avg_price_rmb_kg", 7, 0.0)),
     "above", 7, "avg_price_rmb_kg", "must be above 0"),
    ("a price times a million", "daily_sales.parquet", lambda: parquet(changed("avg_price_rmb_kg", 7, 8e6)),
     "at_most", 7, "avg_price_rmb_kg", "is 8000000, must be at most 10000"),
    ("an empty file", "daily_sales.csv", lambda: b"", "empty file", None, None, "empty"),
    ("an empty Parquet", "daily_sales.parquet", lambda: b"", "empty file", None, None, "empty"),
    ("a header alone", "daily_sales.csv", lambda: csv({name: [] for name in sales()}), "no rows", None, None, "no rows"),
    ("blank lines alone", "daily_sales.csv", lambda: b"\n\n  \n", "header", None, None, "names no columns"),
    ("Parquet without rows", "daily_sales.parquet", lambda: parquet(pa.table(sales()).slice(0, 0)),
     "no rows", None, None, "no rows"),
    ("a missing column", "daily_sales.parquet", lambda: parquet(without("quantity_kg")),
     "missing column", None, "quantity_kg", 'no column "quantity_kg"'),
    ("a misspelt column", "daily_sales.csv", lambda: csv(renamed("quantity_kg", "quantity_kgs")),
     "missing column", None, "quantity_kg", 'no column "quantity_kg"'),
    ("text named .parquet", "daily_sales.parquet", lambda: csv(sales()), "file type", None, None, "is text"),
    ("Parquet named .csv", "daily_sales.csv", lambda: parquet(sales()), "file type", None, None, "is Parquet"),
    ("a picture named .csv", "daily_sales.csv", lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "file type", None, None, "not text"),
    ("Parquet cut short", "daily_sales.parquet", lambda: parquet(sales())[:900], "readable", None, None, "cut short"),
    ("a damaged Parquet footer", "daily_sales.parquet", lambda: parquet(sales())[:-300] + b"\xaa" * 300,
     "readable", None, None, "damaged"),
    ("a packed file cut short", "daily_sales.csv.gz", lambda: gzip.compress(csv(sales()))[:60], "readable", None, None, "cut short"),
    ("a spreadsheet", "daily_sales.xlsx", lambda: b"PK\3\4", "file type", None, None, "neither .csv nor .parquet"),
    ("a name no table knows", "weather.csv", lambda: csv(sales()), "table", None, None, "no table of the contract matches weather.csv"),
    ("a row dated 2032", "daily_sales.csv", lambda: csv(changed("date", 50, "2032-01-01")),
     "not in the future", 50, "date", "date is 2032-01-01, must be at most 2026-11-25"),
    ("a row dated 2032 in Parquet", "daily_sales.parquet", lambda: parquet(changed("date", 50, dt.date(2032, 1, 1))),
     "not in the future", 50, "date", "2032-01-01"),
    ("a row dated 1900", "daily_sales.csv", lambda: csv(changed("date", 50, "1900-01-01")),
     "not before 1990", 50, "date", "at least 1990-01-01"),
    ("a day that does not exist", "daily_sales.csv", lambda: csv(changed("date", 3, "2026-02-30")), "type", 3, "date", "2026-02-30"),
    ("a time of day", "daily_sales.csv", lambda: csv(changed("date", 3, "2026-01-01 08:30:00")), "type", 3, "date", "time of day"),
    ("a time of day in Parquet", "daily_sales.parquet",
     lambda: parquet(sales() | {"date": [dt.datetime(2026, 1, 1, 8, tzinfo=dt.UTC) for _ in sales()["date"]]}), "type", 1, "date", "time of day"),
    ("an American date", "daily_sales.csv", lambda: csv(changed("date", 3, "01/02/2026")), "type", 3, "date", "01/02/2026"),
    ("infinity", "daily_sales.parquet", lambda: parquet(changed("quantity_kg", 9, float("inf"))), "finite", 9, "quantity_kg", "inf"),
    ("infinity in words", "daily_sales.csv", lambda: csv(changed("quantity_kg", 9, "-Infinity")), "finite", 9, "quantity_kg", "finite"),
    ("not a number", "daily_sales.parquet", lambda: parquet(changed("quantity_kg", 9, float("nan"))),
     "missing value", 9, "quantity_kg", "nan"),
    ("a hole", "daily_sales.csv", lambda: csv(changed("quantity_kg", 9, None)), "missing value", 9, "quantity_kg", "missing"),
    ("a key that is missing", "daily_sales.csv", lambda: csv(changed("item_code", 9, "  ")), "missing value", 9, "item_code", "missing"),
    ("a word for a number", "daily_sales.csv", lambda: csv(changed("quantity_kg", 9, "three")),
     "type", 9, "quantity_kg", "quantity_kg is three, must be a number"),
    ("a decimal comma", "daily_sales.csv", lambda: csv(changed("quantity_kg", 9, "3,5"), ";"), "type", 9, "quantity_kg", "3,5"),
    ("half a transaction", "daily_sales.csv", lambda: csv(sales() | {"transaction_count": [1.5] * 180}),
     "type", 1, "transaction_count", "transaction_count is 1.5, must be a whole number"),
    ("codes as floats", "daily_sales.parquet",
     lambda: parquet(sales() | {"item_code": [float(c) for c in sales()["item_code"]]}),  # type: ignore[arg-type]
     "type", None, "item_code", "must be text"),
    ("codes that a spreadsheet rounded", "daily_sales.csv", lambda: csv(changed("item_code", 4, "1.029E+14")),
     "type", 4, "item_code", "1.029E+14"),
    ("a column of lists", "daily_sales.parquet", lambda: parquet(sales() | {"quantity_kg": [[1.0]] * 180}),
     "type", None, "quantity_kg", "list"),
    ("a row with too many fields", "daily_sales.csv", lambda: csv(sales()) + b"2026-05-01,1029,3,4,5\n", "row shape", 181, None, "5 fields"),
    ("a row with too few fields", "daily_sales.csv", lambda: csv(sales()) + b"2026-05-01,1029\n", "row shape", 181, None, "2 fields"),
    ("a page of text as a code", "daily_sales.csv", lambda: csv(changed("item_code", 4, "x" * 5000)), "length", 4, "item_code", "1,000"),
    ("a column twice", "daily_sales.csv", lambda: b"date,item_code,item_code,quantity_kg,avg_price_rmb_kg\n2026-01-01,1,1,2,3\n",
     "column twice", None, None, "2 columns"),
    ("ten thousand columns and more", "daily_sales.csv", lambda: ",".join(f"c{i}" for i in range(10_001)).encode() + b"\n1\n",
     "size", None, None, "10,001 columns"),
    ("bytes in no encoding", "daily_sales.csv", lambda: csv(sales()) + b"2026-05-01,\xff\xff,3,4\n", "readable", None, None, "neither UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "name", "content", "rule", "row", "column", "said"), BAD, ids=[b[0] for b in BAD])
def test_a_bad_drop_is_refused_with_its_row_column_and_rule(
    words: str, name: str, content: Callable[[], bytes], rule: str, row: int | None, column: str | None, said: str
) -> None:
    checked = check(content(), name)
    assert checked.rows is None, words
    problem = checked.problems[0]
    assert (problem.rule, problem.row, problem.column) == (rule, row, column)
    assert said in problem.what
    assert problem.remedy
    assert checked.problem_count >= 1


def test_the_rows_of_a_bad_file_without_the_mistake_are_taken() -> None:
    assert check(csv(sales())).problem_count == 0
    assert check(parquet(sales()), "daily_sales.parquet").problem_count == 0


def test_a_misspelt_column_is_told_with_the_nearest_name() -> None:
    (problem,) = check(csv(renamed("quantity_kg", "quantity_kgs"))).problems
    assert "did you mean quantity_kgs?" in problem.remedy


def test_twenty_problems_are_listed_in_the_order_of_rows_and_all_are_counted() -> None:
    columns = sales() | {"quantity_kg": [-1.0] * 180, "avg_price_rmb_kg": [-1.0] * 180}
    checked = check(csv(columns))
    assert len(checked.problems) == 20
    assert checked.problem_count == 360
    assert [p.row for p in checked.problems[:4]] == [1, 1, 2, 2]


def test_both_rows_of_a_key_that_stands_twice_are_bad() -> None:
    columns = sales()
    columns["date"][9], columns["item_code"][9] = columns["date"][4], columns["item_code"][4]
    checked = check(csv(columns))
    assert [(p.rule, p.row) for p in checked.problems] == [("unique key", 5), ("unique key", 10)]
    assert "first in row 5" in checked.problems[1].what


def test_a_file_heavier_than_is_read_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "daily_sales.csv"
    with file.open("wb") as out:
        out.truncate(tabular.MAX_BYTES + 1)
    checked = contracts.read(file, CONTRACT, "sales", today=TODAY, on_bad_row=REJECT)
    assert [p.rule for p in checked.problems] == ["size"]


def test_a_file_that_unpacks_to_more_than_is_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "MAX_BYTES", 10_000)
    checked = check(gzip.compress(csv(sales(days=600))), "daily_sales.csv.gz")
    assert [p.rule for p in checked.problems] == ["size"]


# ---- bad rows set aside ----


def test_a_bad_row_is_set_aside_where_the_settings_allow_it() -> None:
    checked = check(csv(changed("quantity_kg", 118, -3.5)), on_bad_row=OnBadRow.parse("set_aside up to 1%"))
    assert checked.rows is not None
    assert (checked.rows.num_rows, checked.set_aside_rows, checked.problem_count) == (179, 1, 0)
    assert [(p.row, p.rule) for p in checked.set_aside] == [(118, "at_least")]


def test_more_bad_rows_than_allowed_refuse_the_drop() -> None:
    checked = check(csv(changed("quantity_kg", 118, -3.5)), on_bad_row=OnBadRow.parse("set_aside up to 0.5%"))
    assert checked.rows is None


def test_a_ragged_row_is_set_aside_and_the_rows_after_it_keep_their_numbers() -> None:
    lines = csv(changed("quantity_kg", 120, -1)).split(b"\n")
    lines.insert(50, b"2026-05-01,1029,3,4,5")  # becomes row 50
    checked = check(b"\n".join(lines), on_bad_row=OnBadRow.parse("set_aside up to 5%"))
    assert checked.rows is not None
    assert [(p.row, p.rule) for p in checked.set_aside] == [(50, "row shape"), (121, "at_least")]
    assert (checked.rows.num_rows, checked.set_aside_rows) == (179, 2)


def test_a_missing_column_is_never_set_aside() -> None:
    assert check(csv(without("quantity_kg")), on_bad_row=OnBadRow.parse("set_aside up to 100%")).rows is None


def test_a_file_of_bad_rows_alone_is_refused_whatever_is_allowed() -> None:
    columns = sales() | {"quantity_kg": [-1.0] * 180}
    assert check(csv(columns), on_bad_row=OnBadRow.parse("set_aside up to 100%")).rows is None


# ---- good drops in many dresses ----


def _plain() -> str:
    rows = check(csv(sales())).rows
    assert rows is not None
    return content_hash("sales", rows)


DRESSES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "Parquet": ("daily_sales.parquet", lambda: parquet(sales())),
    "Parquet by its short suffix, in capitals": ("DAILY_SALES.PQ", lambda: parquet(sales())),
    "dates as time stamps": (
        "daily_sales.parquet",
        lambda: parquet(pa.table(sales()).set_column(0, "date", pa.array(sales()["date"]).cast(pa.timestamp("ns")))),
    ),
    "dates at midnight in a zone": (
        "daily_sales.parquet",
        lambda: parquet(
            pa.table(sales()).set_column(
                0,
                "date",
                pc.assume_timezone(pa.array(sales()["date"]).cast(pa.timestamp("us")), "Asia/Shanghai"),
            )
        ),
    ),
    "codes as whole numbers": (
        "daily_sales.parquet",
        lambda: parquet(sales() | {"item_code": [int(str(c)) for c in sales()["item_code"]]}),
    ),
    "codes as a dictionary": (
        "daily_sales.parquet",
        lambda: parquet(
            pa.table(sales()).set_column(1, "item_code", pa.array(sales()["item_code"]).dictionary_encode())
        ),
    ),
    "rows upside down": (
        "daily_sales.parquet",
        lambda: parquet({name: values[::-1] for name, values in sales().items()}),
    ),
    "columns in another order": (
        "daily_sales.csv",
        lambda: csv({name: sales()[name] for name in reversed(list(sales()))}),
    ),
    "a byte order mark": ("daily_sales.csv", lambda: b"\xef\xbb\xbf" + csv(sales())),
    "UTF-16": ("daily_sales.csv", lambda: csv(sales()).decode().encode("utf-16")),
    "semicolons": ("daily_sales.csv", lambda: csv(sales(), ";")),
    "tabs": ("daily_sales.csv", lambda: csv(sales(), "\t")),
    "Windows line ends and blank lines": (
        "daily_sales.csv",
        lambda: b"\r\n" + csv(sales()).replace(b"\n", b"\r\n") + b"\r\n\r\n",
    ),
    "gzip": ("daily_sales.csv.gz", lambda: gzip.compress(csv(sales()))),
    "quotes": (
        "daily_sales.csv",
        lambda: csv(sales() | {"item_code": [f'"{c}"' for c in sales()["item_code"]]}),
    ),
    "blanks around values and names": ("daily_sales.csv", lambda: csv(sales()).replace(b",", b" , ")),
    "slashes in dates": (
        "daily_sales.csv",
        lambda: csv(sales() | {"date": [f"{d.year}/{d.month}/{d.day}" for d in sales()["date"]]}),  # type: ignore[attr-defined]
    ),
    "compact dates": (
        "daily_sales.csv",
        lambda: csv(sales() | {"date": [f"{d:%Y%m%d}" for d in sales()["date"]]}),
    ),
    "dates at midnight": (
        "daily_sales.csv",
        lambda: csv(sales() | {"date": [f"{d} 00:00:00" for d in sales()["date"]]}),
    ),
    "an unknown column": ("daily_sales.csv", lambda: csv(sales() | {"weather": ["sun"] * 180})),
}


@pytest.mark.parametrize("dress", DRESSES)
def test_the_same_rows_are_the_same_content_whatever_brings_them(dress: str) -> None:
    name, content = DRESSES[dress]
    checked = check(content(), name)
    assert checked.problems == ()
    assert checked.rows is not None
    assert content_hash("sales", checked.rows) == _plain()


def test_one_changed_value_is_another_content() -> None:
    rows = check(csv(changed("quantity_kg", 118, 3.5))).rows
    assert content_hash("sales", rows) != _plain()


def test_chinese_names_in_gb18030_are_read_as_they_are() -> None:
    text = "item_code,item_name,category_name\n102900005115168,牛首生菜,花叶类\n102900005115199,四川红香椿,花叶类\n"
    checked = check(text.encode("gb18030"), "items.csv")
    assert checked.rows is not None
    assert checked.rows.column("item_name").to_pylist() == ["牛首生菜", "四川红香椿"]
    again = check(text.encode(), "items.csv").rows
    assert content_hash("items", checked.rows) == content_hash("items", again)


def test_a_quoted_value_may_hold_separators_and_line_ends() -> None:
    text = 'item_code,item_name,category_name\n1,"Lettuce, ""green""\nand red",Leaf\n2,Kale,Leaf\n'
    rows = check(text.encode(), "items.csv").rows
    assert rows is not None
    assert rows.column("item_name").to_pylist() == ['Lettuce, "green"\nand red', "Kale"]


def test_columns_that_the_contract_does_not_name_are_passed_over_with_a_note() -> None:
    checked = check(csv(sales() | {"weather": ["sun"] * 180}))
    assert checked.rows is not None
    assert "weather" not in checked.rows.column_names
    assert "weather" in checked.notes[0]


def test_a_whole_number_may_be_written_with_a_point() -> None:
    rows = check(parquet(sales() | {"transaction_count": [3.0] * 180}), "daily_sales.parquet").rows
    assert rows is not None
    assert rows.schema.field("transaction_count").type == pa.int64()


def test_tomorrow_is_taken_and_the_day_after_is_not() -> None:
    assert check(csv(changed("date", 5, "2026-11-25"))).rows is not None
    assert check(csv(changed("date", 5, "2026-11-26"))).rows is None


def test_a_value_may_be_missing_where_the_contract_says_so() -> None:
    columns = {"date": Column("date"), "item": Column("text"), "kg": Column("number", nullable=True)}
    contract = Contract("item", "date", {"demand": Target("kg", "flow")}, {"sales": Table("*", "main", columns)})
    for data, name in (
        (b"date,item,kg\n2026-01-01,a,\n2026-01-02,a,2\n", "x.csv"),
        (parquet({"date": ["2026-01-01", "2026-01-02"], "item": ["a", "a"], "kg": [float("nan"), 2.0]}), "x.parquet"),
    ):
        checked = contracts.check(data, name, contract, "sales", today=TODAY, on_bad_row=REJECT)
        assert checked.rows is not None
        assert checked.rows.column("kg").to_pylist() == [None, 2.0]


# ---- names ----


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("daily_sales.parquet", "sales"),
        ("daily_sales_2026-11-22.csv", "sales"),
        ("Daily_Sales.CSV", "sales"),
        ("wholesale_prices-3.pq", "wholesale"),
        ("items.csv.gz", "items"),
        ("loss_rates.csv", "loss"),
        ("sales.csv", None),
        ("old_daily_sales.csv", None),
    ],
)
def test_a_name_finds_its_table(name: str, table: str | None) -> None:
    assert contracts.table_of(CONTRACT, name) == table


def test_the_most_literal_glob_wins() -> None:
    columns = {"date": Column("date"), "item": Column("text"), "kg": Column("number")}
    tables = {
        "any": Table("*", "companion", columns),
        "sales": Table("sales*", "companion", columns),
        "daily": Table("sales_daily*", "main", columns),
        "exact": Table("stock", "companion", columns),
    }
    contract = Contract("item", "date", {"demand": Target("kg", "flow")}, tables)
    names = ["weather.csv", "sales_2026.csv", "sales_daily_2026.csv", "stock.parquet"]
    assert [contracts.table_of(contract, name) for name in names] == ["any", "sales", "daily", "exact"]


# ---- properties ----


@effort(deadline=None)
@given(st.dates(dt.date(1990, 1, 1), dt.date(2100, 1, 1)))
def test_a_date_is_read_from_each_of_its_forms(day: dt.date) -> None:
    forms = [str(day), f"{day.year}/{day.month}/{day.day}", f"{day:%Y%m%d}", f"{day} 00:00:00", f"{day}T00:00:00Z"]
    assert [contracts.parse_date(form) for form in forms] == [day] * 5


@effort(deadline=None)
@given(st.text(max_size=12))
def test_no_text_breaks_the_reading_of_dates(text: str) -> None:
    assert contracts.parse_date(text) is None or isinstance(contracts.parse_date(text), dt.date)


@effort(deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["daily_sales.csv", "daily_sales.parquet", "items.csv.gz"]))
def test_no_bytes_break_the_check(data: bytes, name: str) -> None:
    checked = check(data, name)
    assert (checked.rows is None) == bool(checked.problem_count)


@effort(deadline=None)
@given(
    st.lists(st.sampled_from(list("\"',;\n\r\t 0.1e-Nナ菜")), max_size=80).map("".join),
    st.sampled_from(["daily_sales.csv", "items.csv"]),
)
def test_no_text_after_a_good_header_breaks_the_check(body: str, name: str) -> None:
    header = "date,item_code,quantity_kg,avg_price_rmb_kg" if "sales" in name else "item_code,category_name"
    checked = check(f"{header}\n{body}".encode(), name)
    assert (checked.rows is None) == bool(checked.problem_count)


# ---- real data ----


@pytest.mark.skipif(not REAL.exists(), reason="the real data are not beside this checkout")
@pytest.mark.parametrize("name", ["daily_sales.parquet", "wholesale_prices.parquet", "items.csv", "loss_rates.csv"])
def test_the_real_files_fit_the_default_contract(name: str) -> None:
    checked = contracts.read(
        REAL / name, CONTRACT, contracts.table_of(CONTRACT, name), today=dt.date(2023, 4, 1), on_bad_row=REJECT
    )
    assert checked.problems == ()
    assert checked.rows is not None
    assert checked.rows.num_rows >= 251
