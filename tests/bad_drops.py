"""Drops on which something is wrong, made by code: what writers, disks, spreadsheets and downloads really do to files.

`CORPUS` holds for each the rules that may refuse it. A case that is no file but a thing in the folder (a link, a pipe, a name)
is in tests/system/test_strange_things.py, which puts it there. `damaged` makes endlessly many more.
"""

from __future__ import annotations

import datetime as dt
import gzip
import io
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

__all__ = ["CORPUS", "GOOD", "HEADER", "HEAVY", "ODD", "Bad", "damaged", "lines", "parquet", "sales"]

HEADER = "date,item_code,quantity_kg,avg_price_rmb_kg"
DAY = dt.date(2026, 1, 5)


@dataclass(frozen=True)
class Bad:
    """A bad drop."""

    make: Callable[[], bytes]
    rules: tuple[str, ...]
    """One of these refuses it."""
    name: str
    """Of the file."""


CORPUS: dict[str, Bad] = {}


def _bad(*rules: str, suffix: str = "csv", name: str = "") -> Callable[[Callable[[], bytes | str]], None]:
    def add(make: Callable[[], bytes | str]) -> None:
        what = make.__name__.strip("_")

        def content() -> bytes:
            made = make()
            return made.encode() if isinstance(made, str) else made

        CORPUS[what] = Bad(content, rules, name or f"daily_sales_{what}.{suffix}")

    return add


def _case(what: str, content: Callable[[], bytes | str] | bytes | str, *rules: str, suffix: str = "csv") -> None:
    def make() -> bytes | str:
        return content() if callable(content) else content

    make.__name__ = what
    _bad(*rules, suffix=suffix)(make)


def lines(*rows: str, header: str = HEADER) -> str:
    """A CSV file."""
    return "\n".join([header, *rows]) + "\n"


def sales(count: int = 50) -> pa.Table:
    """A good drop's rows."""
    return pa.table({
        "date": pa.array([DAY] * count, pa.date32()),
        "item_code": [f"{1000 + i}" for i in range(count)],
        "quantity_kg": np.linspace(1.0, 40.0, count),
        "avg_price_rmb_kg": np.linspace(2.0, 9.0, count),
    })  # fmt: skip


def parquet(table: pa.Table, **options: Any) -> bytes:
    """A Parquet file."""
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


GOOD = parquet(sales())
_FOOTER = struct.unpack("<I", GOOD[-8:-4])[0]
_BROKEN = ("readable", "file type")

# ---- Parquet: cut short ----

for _at in (1, 3, 4, 12, len(GOOD) // 4, len(GOOD) // 2, len(GOOD) - _FOOTER - 8, len(GOOD) - 9, len(GOOD) - 4, len(GOOD) - 1):
    _case(f"cut_at_{_at}", GOOD[:_at], *_BROKEN, suffix="parquet")
_case("empty", b"", "empty file", suffix="parquet")
_case("empty_csv", b"", "empty file")

# ---- Parquet: wrong magic, footers and pages ----


def _patched(at: int, by: bytes) -> bytes:
    at %= len(GOOD)
    return GOOD[:at] + by + GOOD[at + len(by):]  # fmt: skip


_case("magic_wrong_at_start", _patched(0, b"XARP"), "file type", suffix="parquet")
_case("magic_wrong_at_end", _patched(-4, b"XARP"), "readable", suffix="parquet")
_case("magic_of_an_encrypted_footer", _patched(-4, b"PARE"), "readable", suffix="parquet")
for _what, _length in (("zero", 0), ("one", 1), ("huge", 2**32 - 1), ("negative", 2**31), ("past_the_file", len(GOOD) + 1)):
    _case(f"footer_length_{_what}", _patched(-8, struct.pack("<I", _length)), "readable", suffix="parquet")
_case("footer_of_zeros", _patched(-8 - _FOOTER, b"\0" * _FOOTER), "readable", suffix="parquet")
_case("footer_of_noise", _patched(-8 - _FOOTER, random.Random(1).randbytes(_FOOTER)), "readable", suffix="parquet")
_case("footer_half_zeros", _patched(-8 - _FOOTER, b"\0" * (_FOOTER // 2)), "readable", suffix="parquet")
_case("page_header_of_zeros", _patched(4, b"\0" * 16), "readable", suffix="parquet")
_case("page_header_of_noise", _patched(4, random.Random(2).randbytes(16)), "readable", suffix="parquet")
_case("glued_behind_another_file", parquet(sales(7), compression="gzip") + GOOD, "readable", "type", suffix="parquet")


@_bad("readable", suffix="parquet")
def _page_that_its_checksum_belies() -> bytes:
    """A bit fell over on the way; uncompressed and plain, nothing but the checksum can tell."""
    good = bytearray(parquet(sales(), compression="none", use_dictionary=False, write_page_checksum=True,
                             write_statistics=False))
    at = good.index(struct.pack("<d", 40.0))
    good[at + 6] ^= 0x10
    return bytes(good)


# ---- files that are something else ----

_case("parquet_named_csv", GOOD, "file type")
_case("text_named_parquet", lines("2026-01-05,1,1,8"), "file type", suffix="parquet")
_case("gzip_named_parquet", gzip.compress(GOOD), "file type", suffix="parquet")
_case("html_of_a_failed_download", "<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>\n", "missing column")
_case("json_named_csv", '[{"date": "2026-01-05", "item_code": "1"}]', "missing column", "no rows")
_case("pdf_named_csv", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n", "missing column", "readable")
_case("jpeg_named_csv", b"\xff\xd8\xff\xe0\x00\x10JFIF" + random.Random(3).randbytes(500), "readable", "file type")
_case("sqlite_named_csv", b"SQLite format 3\0" + bytes(4000), "file type")
_case("zeros_named_csv", bytes(1 << 20), "file type")
_case("line_ends_and_no_more", "\n" * 5000, "header")


@_bad("file type", suffix="parquet")
def _arrow_named_parquet() -> bytes:
    out = io.BytesIO()
    pyarrow.feather.write_feather(sales(), out)
    return out.getvalue()


@_bad("file type", "readable")
def _spreadsheet_named_csv() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/worksheets/sheet1.xml", "<worksheet/>" * 100)
    return out.getvalue()


# ---- Parquet: types and values ----


def _with(column: str, values: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        table = sales(3)
        array = pa.array(values) if isinstance(values, list) else values
        return parquet(table.set_column(table.column_names.index(column), column, array))

    return make


def _not_utf8() -> bytes:
    """A writer in C that put GBK into a column of text; Parquet keeps it and says that it is UTF-8."""
    words = ["白菜".encode("gbk"), b"ok", b"\xff\xfe"]
    offsets = np.cumsum([0, *map(len, words)], dtype=np.int32)
    text = pa.StringArray.from_buffers(3, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(words)))
    return _with("item_code", text)()


_case("text_that_is_not_utf8", _not_utf8, "readable", suffix="parquet")
_case("dates_as_fractions", _with("date", [46027.0, 46027.5, 46028.0]), "type", suffix="parquet")
_case("dates_with_a_time", _with("date", pa.array([1767618000] * 3, pa.timestamp("s"))), "type", suffix="parquet")
_case("dates_as_structs", _with("date", [{"y": 2026}] * 3), "type", suffix="parquet")
_case("dates_as_booleans", _with("date", [True] * 3), "type", suffix="parquet")
_case("dates_at_the_end_of_time", _with("date", pa.array([2**31 - 1] * 3, pa.int32()).cast(pa.date32())), "not in the future",
      "type", suffix="parquet")  # fmt: skip
_case("times_at_the_end_of_time", _with("date", pa.array([2**62] * 3, pa.timestamp("us"))), "not in the future", "type",
      suffix="parquet")  # fmt: skip
_case("times_before_time", _with("date", pa.array([-(2**62)] * 3, pa.timestamp("us"))), "not before 1990", "type",
      suffix="parquet")  # fmt: skip
_case("codes_as_lists", _with("item_code", [["1"], ["2"], ["3"]]), "type", suffix="parquet")
_case("codes_as_bytes", _with("item_code", pa.array([b"1", b"2", b"3"])), "type", suffix="parquet")
_case("codes_as_fractions", _with("item_code", [1.0, 2.0, 3.0]), "type", suffix="parquet")
_case("codes_as_decimals", _with("item_code", [Decimal("1.5")] * 3), "type", suffix="parquet")
_case("quantities_as_booleans", _with("quantity_kg", [True] * 3), "type", suffix="parquet")
_case("quantities_as_times", _with("quantity_kg", [dt.time(1)] * 3), "type", suffix="parquet")
_case("quantities_as_structs", _with("quantity_kg", [{"kg": 1.0}] * 3), "type", suffix="parquet")
_case("quantities_all_missing", _with("quantity_kg", pa.nulls(3)), "missing value", "type", suffix="parquet")
_case("quantities_not_finite", _with("quantity_kg", [float("inf"), float("-inf"), float("nan")]), "finite", "missing value",
      suffix="parquet")  # fmt: skip
_case("quantities_as_huge_decimals", _with("quantity_kg", [Decimal("9" * 38)] * 3), "at_most", suffix="parquet")
_case("a_column_twice", lambda: parquet(pa.table([[DAY], ["1"], ["2"], [1.0], [8.0]],
      names=["date", "item_code", "item_code", "quantity_kg", "avg_price_rmb_kg"])), "column twice", suffix="parquet")  # fmt: skip
_case("no_columns", lambda: parquet(pa.table({})), "missing column", "no rows", suffix="parquet")
_case("no_rows", lambda: parquet(sales(0)), "no rows", suffix="parquet")
_case("a_column_inside_a_struct", lambda: parquet(pa.table({"row": [{"date": DAY, "item_code": "1"}]})), "missing column",
      suffix="parquet")  # fmt: skip


@_bad("missing column", "size", "readable", suffix="parquet")
def _nested_deeply() -> bytes:
    column: Any = pa.array([1])
    for _ in range(200):
        column = pa.StructArray.from_arrays([column], ["a"])
    return parquet(pa.table({"date": column}))


# ---- bombs: small files that unfold ----


@_bad("size", "length", suffix="parquet")
def _bomb_of_one_long_text_a_million_times() -> bytes:
    """1 MB of text, stored once and pointed to by a million rows: 1 TB."""
    rows = 1_000_000
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x" * 1_000_000]))
    table = pa.table({"date": pa.array([DAY] * rows, pa.date32()), "item_code": text,
                      "quantity_kg": np.ones(rows), "avg_price_rmb_kg": np.ones(rows)})  # fmt: skip
    return parquet(table, compression="zstd")


@_bad("size", suffix="parquet")
def _bomb_of_rows() -> bytes:
    """21 million rows of nothing in a few kilobytes."""
    return parquet(pa.table({"date": pa.nulls(21_000_000, pa.date32())}), compression="zstd", write_statistics=False)


@_bad("size", "length", suffix="parquet")
def _bomb_of_zeros_in_one_field() -> bytes:
    """One text of 600 MB, which packs to nothing."""
    size = 600_000_000
    text = pa.StringArray.from_buffers(1, pa.py_buffer(struct.pack("<ii", 0, size)), pa.py_buffer(b"0" * size))
    table = pa.table({"date": [DAY], "item_code": text, "quantity_kg": [1.0], "avg_price_rmb_kg": [8.0]})
    return parquet(table, compression="lz4", use_dictionary=False, write_statistics=False)


@_bad("size", suffix="csv.gz")
def _bomb_of_gzip() -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as file:
        for _ in range(530):
            file.write(bytes(1 << 20))
    return out.getvalue()


@_bad("size", "readable", suffix="csv.gz")
def _bomb_of_a_thousand_members() -> bytes:
    return gzip.compress(b"0" * (1 << 20)) * 530


_case("columns_100000", lambda: ",".join(f"c{i}" for i in range(100_000)) + "\n", "size")
_case("columns_10001_in_parquet", lambda: parquet(pa.table([[1]] * 10_001, names=[f"c{i}" for i in range(10_001)])), "size",
      suffix="parquet")  # fmt: skip
_case("columns_10000", lambda: ",".join(f"c{i}" for i in range(10_000)) + "\n" + ",".join(["1"] * 10_000) + "\n", "missing column")
_case("a_line_that_never_ends", lambda: HEADER + "\n" + "x" * (64 << 20), "row shape", "readable", "no rows")
_case("a_header_that_never_ends", lambda: "x" * (8 << 20), "missing column", "header", "no rows", "size")
_case("separators_and_no_more", "," * 5_000_000, "size", "header", "missing column")

# ---- CSV: packing, encodings, separators, quotes ----

_PACKED = gzip.compress(lines(*(f"2026-01-05,{i},1,8" for i in range(500))).encode())
_case("gzip_cut_short", _PACKED[:-9], "readable", suffix="csv.gz")
_case("gzip_with_a_wrong_checksum", _PACKED[:-8] + b"\0\0\0\0" + _PACKED[-4:], "readable", suffix="csv.gz")
_case("gzip_with_trash_behind_it", _PACKED + b"trash", "readable", suffix="csv.gz")
_case("gzip_that_is_none", lines("2026-01-05,1,1,8"), "readable", suffix="csv.gz")
_case("gzip_of_nothing", gzip.compress(b""), "no rows", "header", "empty file", suffix="csv.gz")
_case("utf16_without_a_mark", lines("2026-01-05,1,1,8").encode("utf-16-le"), "file type")
_case("utf32_with_a_mark", b"\xff\xfe\0\0" + lines("2026-01-05,1,1,8").encode("utf-32-le"), "file type", "readable")
_case("utf16_cut_in_a_character", lines("2026-01-05,白菜,1,8").encode("utf-16")[:-1], "readable")
_case("utf8_and_gb18030_mixed", lines("2026-01-05,小白菜,1,8").encode() + "2026-01-05,菠菜,1,8\n".encode("gb18030"), "readable")
_case("neither_utf8_nor_gb18030", lines("2026-01-05,1,1,8").encode() + b"2026-01-05,\x81\xff\xff,1,8\n", "readable")
_case("a_zero_byte_far_behind", lines(*(f"2026-01-05,{i},1,8" for i in range(900)), "2026-01-05,a\0b,1,8"), "file type")
_case("separated_by_bars", lines("2026-01-05|1|1|8", header=HEADER.replace(",", "|")), "missing column")
_case("separated_by_blanks", lines("2026-01-05 1 1 8", header=HEADER.replace(",", " ")), "missing column")
_case("header_by_comma_and_rows_by_semicolon", lines("2026-01-05;1;1;8"), "row shape")
_case("a_quote_that_never_closes", lines('2026-01-05,"1,1,8', "2026-01-05,2,1,8"), "row shape", "readable", "missing value")
_case("a_row_too_long", lines("2026-01-05,1,1,8", "2026-01-05,2,1,8,9"), "row shape")
_case("a_row_too_short", lines("2026-01-05,1,1,8", "2026-01-05,2,1"), "row shape")
_case("cut_in_the_last_row", lines("2026-01-05,1,1,8", "2026-01-05,2,1,8")[:-6], "row shape")
_case("header_and_no_rows", lines(), "no rows")
_case("header_twice", lines(HEADER, "2026-01-05,1,1,8"), "type")
_case("no_header", "2026-01-05,1,1,8\n2026-01-05,2,1,8\n", "missing column")
_case("header_of_another_case", lines("2026-01-05,1,1,8", header=HEADER.upper()), "missing column")
_case("a_column_renamed", lines("2026-01-05,1,1,8", header=HEADER.replace("quantity_kg", "qty")), "missing column")
_case("a_header_column_twice", lines("2026-01-05,1,1,8,8", header=HEADER + ",avg_price_rmb_kg"), "column twice")

# ---- CSV: values ----

for _what, _date in {
    "german": "05.01.2026", "american": "01/05/2026", "chinese": "2026年1月5日", "of_a_spreadsheet": "46027",
    "in_seconds": "1767571200", "with_a_time": "2026-01-05 13:30", "that_never_was": "2026-02-30", "of_month_13": "2026-13-05",
    "of_two_digits": "26-01-05", "in_wide_digits": "２０２６-０１-０５", "in_words": "5 January 2026",
    "of_the_future": "2032-01-05", "of_year_1": "0001-01-05", "of_1970": "1970-01-01", "of_zeros": "0000-00-00", "missing": "",
    "very_long": "2026-01-05" * 1000, "of_a_formula": "=TODAY()",
}.items():  # fmt: skip
    _case(f"date_{_what}", lines(f"{_date},1,1,8"), "type", "not in the future", "not before 1990", "missing value")
for _what, _number in {
    "infinite": "inf", "minus_infinite": "-Infinity", "no_number": "NaN", "beyond_a_double": "1e400", "negative": "-3.5",
    "too_large": "100001", "with_decimal_comma": '"3,5"', "with_thousands": '"1,234.5"', "in_money": "¥3.5", "with_unit": "3.5kg",
    "in_hex": "0x10", "in_words": "many", "of_a_spreadsheet_error": "#DIV/0!", "missing": "", "with_two_points": "1.2.3",
}.items():  # fmt: skip
    _case(f"number_{_what}", lines(f"2026-01-05,1,{_number},8"), "finite", "type", "at_least", "at_most", "missing value")
_case("code_rounded_by_a_spreadsheet", lines("2026-01-05,1.02E+17,1,8"), "type")
_case("code_missing", lines("2026-01-05,,1,8"), "missing value")
_case("code_of_a_page", lines(f"2026-01-05,{'x' * 5000},1,8"), "length")
_case("a_key_twice", lines("2026-01-05,1,1,8", "2026-01-05,1,2,8"), "unique key")
_case("a_key_twice_by_blanks", lines("2026-01-05,1,1,8", "2026/1/5, 1 ,2,8"), "unique key")
_bad("table", name="something_else.csv")(lambda: lines("2026-01-05,1,1,8"))
CORPUS["of_no_table"] = CORPUS.pop("<lambda>")
_bad("file type", name="daily_sales.xlsx")(lambda: b"PK\3\4")
CORPUS["of_another_suffix"] = CORPUS.pop("<lambda>")


# ---- odd, and right ----


def _two(day: int, code: str = "1") -> str:
    return lines(f"2026-02-{day:02d},{code},1,8", f"2026-02-{day:02d},{code}b,1,8")


def _two_rows(day: int, codes: pa.Array) -> bytes:
    table = pa.table({"date": [dt.date(2026, 2, day)] * 2, "item_code": codes, "quantity_kg": [1.0, 2.0],
                      "avg_price_rmb_kg": [8, 8]})  # fmt: skip
    return parquet(table)


ODD: dict[str, Callable[[], bytes]] = {
    "gzip_appended_to.csv.gz": lambda: gzip.compress(_two(1)[:60].encode()) + gzip.compress(_two(1)[60:].encode()),
    "gzip_padded_with_zeros.csv.gz": lambda: gzip.compress(_two(2).encode()) + bytes(512),
    "utf8_with_a_mark.csv": lambda: b"\xef\xbb\xbf" + _two(3, "白菜").encode(),
    "utf16_with_a_mark.csv": lambda: _two(4, "白菜").encode("utf-16"),
    "gb18030.csv": lambda: _two(5, "联通小白菜").encode("gb18030"),
    "semicolons_and_carriage_returns.csv": lambda: _two(6).replace(",", ";").replace("\n", "\r\n").encode(),
    "dictionary.parquet": lambda: _two_rows(7, pa.array(["1", "2"]).dictionary_encode()),
    "large_texts.parquet": lambda: _two_rows(8, pa.array(["1", "2"], pa.large_string())),
    "text_views.parquet": lambda: _two_rows(9, pa.array(["1", "2"], pa.string_view())),
    "numbered_dictionary.parquet": lambda: _two_rows(10, pa.array([1, 2]).dictionary_encode()),
}
"""By file name. What looks strange and is right: each holds two rows."""


HEAVY: dict[str, Bad] = {what: CORPUS.pop(what) for what in ("bomb_of_zeros_in_one_field", "bomb_of_a_thousand_members")}
"""Seconds each, so for `make test-long`."""


def damaged(seed: int) -> Iterator[tuple[str, bytes]]:
    """Endless (file name, content): good drops of each kind, cut, flipped, blotted, spliced. Some may still be good."""
    dice = random.Random(seed)
    text = lines(*(f"2026-01-05,{i},{i / 7:.3f},8" for i in range(300))).encode()
    seeds = [("parquet", GOOD), ("parquet", parquet(sales(300), compression="none", use_dictionary=False)),
             ("parquet", parquet(sales(300), compression="zstd", data_page_version="2.0", row_group_size=50)),
             ("parquet", parquet(sales(300), write_page_checksum=True, write_page_index=True)),
             ("csv", text), ("csv.gz", gzip.compress(text)), ("csv", text.decode().encode("utf-16"))]  # fmt: skip
    number = 0
    while True:
        suffix, good = dice.choice(seeds)
        bad = bytearray(good)
        for _ in range(dice.choice((1, 1, 2, 5, 30))):
            if len(bad) < 2:
                break
            at = dice.randrange(len(bad))
            # half of it where the structure is: the footer
            at = dice.randrange(max(0, len(bad) - 900), len(bad)) if dice.random() < 0.5 else at
            match dice.randrange(6):
                case 0:
                    bad[at] ^= 1 << dice.randrange(8)
                case 1:
                    bad[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
                case 2:
                    bad[at : at + 4] = struct.pack("<i", dice.choice((0, -1, 2**31 - 1, -(2**31))))
                case 3:
                    del bad[at : at + dice.randrange(1, 40)]
                case 4:
                    bad[at:at] = dice.randbytes(dice.randrange(1, 40))
                case _:
                    bad = bad[: at + 1] if dice.random() < 0.3 else bad
        number += 1
        yield f"daily_sales_{seed}_{number}.{suffix}", bytes(bad)
