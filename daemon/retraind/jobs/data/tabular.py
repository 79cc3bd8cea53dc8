"""Reads the bytes of a drop as columns, before anything is known about their meaning.

Parquet keeps its types. CSV is read as text, so that a bad value can be told as it stands in the file: UTF-8 with or
without a mark, UTF-16 with one, or GB18030 (what Chinese spreadsheets export); separated by comma, semicolon or tab;
quoted or not; packed with gzip or not. What cannot be read at all is `Unreadable`, with the rule it breaks.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from retraind.core.events import ContractProblem

__all__ = [
    "MAX_BYTES",
    "MAX_COLUMNS",
    "MAX_ROWS",
    "SUFFIXES",
    "Raw",
    "Unreadable",
    "kind_of",
    "read_columns",
    "refuse_too_heavy",
    "stem_of",
]

MAX_BYTES = 512 * 1024**2
MAX_ROWS = 20_000_000
MAX_COLUMNS = 10_000
SUFFIXES = {".csv": "csv", ".csv.gz": "csv.gz", ".parquet": "parquet", ".pq": "parquet"}
_SUFFIX = "Give it the suffix of what it holds"
_CUT = "Cut it into several files"
_SEPARATORS = ",;\t"
_RESAVE = "Save it as CSV (UTF-8) or Parquet again and put it back into the drops folder"


class Unreadable(Exception):  # noqa: N818 (it is an end of a drop, told as a problem)
    """The file is no table that can be read."""

    def __init__(self, rule: str, what: str, remedy: str) -> None:
        self.problem = ContractProblem(rule=rule, what=what, remedy=remedy)
        super().__init__(what)


@dataclass(frozen=True)
class Raw:
    """The columns that were asked for and exist, as the file holds them."""

    columns: pa.Table
    header: tuple[str, ...]
    """Every column of the file."""
    rows: npt.NDArray[np.int64]
    """The number in the file of each row of `columns`, from 1, the header and blank lines not counted."""
    ragged: tuple[ContractProblem, ...] = ()
    """The first rows whose number of fields is not the header's; they are not in `columns`."""
    ragged_count: int = 0


def kind_of(name: str) -> str | None:
    """`csv`, `csv.gz`, `parquet`, or None for another suffix."""
    lower = name.lower()
    return next((kind for suffix, kind in SUFFIXES.items() if lower.endswith(suffix)), None)


def stem_of(name: str) -> str:
    """The name without its suffix."""
    lower = name.lower()
    suffix = next((s for s in SUFFIXES if lower.endswith(s)), "")
    return name[: len(name) - len(suffix)]


def refuse_too_heavy(size: int) -> None:
    """Raises Unreadable for a file of more bytes than are read."""
    if size > MAX_BYTES:
        what = f"the file has {size / 1024**2:,.0f} MB, at most {MAX_BYTES // 1024**2} are read"
        raise Unreadable("size", what, _CUT)


def read_columns(data: bytes, name: str, wanted: Sequence[str]) -> Raw:
    """The columns of `wanted` that the file has. Raises Unreadable."""
    kind = kind_of(name)
    if kind is None:
        raise Unreadable("file type", f"{name} is neither .csv nor .parquet", _SUFFIX)
    if not data:
        raise Unreadable("empty file", "the file is empty", "Write to another name, then rename it")
    raw = _read_parquet(data, wanted) if kind == "parquet" else _read_csv(data, kind, wanted)
    if not raw.columns.num_rows and not raw.ragged_count:
        raise Unreadable("no rows", "the file has a header and no rows", "Check what writes it")
    return raw


# ---- Parquet ----


def _read_parquet(data: bytes, wanted: Sequence[str]) -> Raw:
    if data[:4] != b"PAR1":
        what = "is text" if _looks_like_text(data) else "does not start like one"
        raise Unreadable("file type", f"the file is named as Parquet and {what}", _SUFFIX)
    try:
        file = pa.parquet.ParquetFile(pa.BufferReader(data))
        header = tuple(file.schema_arrow.names)
        _refuse_too_large(len(header), file.metadata.num_rows)
        present = _present(header, wanted)
        columns = file.read(columns=present, use_threads=False) if present else file.read(columns=[])
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(
            "readable",
            f"the Parquet file is damaged or cut short: {_brief(error)}",
            "Write it to another name first, then rename it into the drops folder",
        ) from error
    return Raw(columns.combine_chunks(), header, np.arange(1, columns.num_rows + 1))


def _refuse_too_large(columns: int, rows: int) -> None:
    if columns > MAX_COLUMNS:
        what = f"the file has {columns:,} columns, at most {MAX_COLUMNS:,} are read"
        raise Unreadable("size", what, "Leave out what the contract does not name")
    if rows > MAX_ROWS:
        raise Unreadable("size", f"the file has {rows:,} rows, at most {MAX_ROWS:,} are read", _CUT)


def _present(header: Sequence[str], wanted: Sequence[str]) -> list[str]:
    for column in wanted:
        times = header.count(column)
        if times > 1:
            raise Unreadable("column twice", f'the file has {times} columns named "{column}"', "Keep one of them")
    return [column for column in wanted if column in header]


# ---- CSV ----


def _read_csv(data: bytes, kind: str, wanted: Sequence[str]) -> Raw:
    text = _decode(_unpack(data) if kind == "csv.gz" else data)
    header, separator, lines = _header(text, wanted)
    _refuse_too_large(len(header), 0)
    present = _present(header, wanted)
    invalid = _Invalid(lines)
    options = {
        "read_options": pa.csv.ReadOptions(
            use_threads=False,  # only then are bad rows numbered
            block_size=min(max(len(text), 1) + 1, 2**31 - 1),
            skip_rows=lines,
            column_names=[f"{i}" for i in range(len(header))],
        ),
        "parse_options": pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=invalid),
        "convert_options": pa.csv.ConvertOptions(
            column_types={f"{header.index(c)}": pa.string() for c in present},
            include_columns=[f"{header.index(c)}" for c in present] or ["0"],
            strings_can_be_null=True,
            null_values=[""],
        ),
    }
    try:
        columns = pa.csv.read_csv(pa.BufferReader(text), **options)
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            raise Unreadable("readable", f"the file is no CSV: {_brief(error)}", _RESAVE) from error
        columns = pa.table({name: pa.array([], pa.string()) for name in options["convert_options"].include_columns})
    columns = columns.select(range(len(present))).rename_columns(present) if present else columns
    numbers = np.arange(1, columns.num_rows + len(invalid.numbers) + 1)
    if invalid.numbers:
        numbers = np.delete(numbers, np.asarray(invalid.numbers) - 1)
    _refuse_too_large(len(header), len(numbers))
    return Raw(columns.combine_chunks(), tuple(header), numbers, tuple(invalid.told), len(invalid.numbers))


class _Invalid:
    """Takes the rows that have too many or too few fields."""

    def __init__(self, header_lines: int) -> None:
        self.header_lines = header_lines
        self.numbers: list[int] = []
        self.told: list[ContractProblem] = []

    def __call__(self, row: Any) -> str:
        number = row.number - self.header_lines
        self.numbers.append(number)
        if len(self.told) < 20:
            what = f"the row has {row.actual_columns} fields, the header has {row.expected_columns}"
            remedy = "Look for a missing quote or a separator inside a value"
            self.told.append(ContractProblem("row shape", what, remedy, row=number, value=row.text[:80]))
        return "skip"


def _unpack(data: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        out = unpacker.decompress(data, MAX_BYTES + 1)
    except zlib.error as error:
        raise Unreadable("readable", f"the file is not packed with gzip: {error}", "Pack it again") from error
    if len(out) > MAX_BYTES:
        raise Unreadable("size", f"the file unpacks to more than {MAX_BYTES // 1024**2} MB", _CUT)
    if not unpacker.eof:
        raise Unreadable("readable", "the packed file is cut short", "Write it to another name first, then rename it")
    return out


def _decode(data: bytes) -> bytes:
    """The text as UTF-8 without a mark."""
    if data[:4] == b"PAR1":
        raise Unreadable("file type", "the file is named as CSV and is Parquet", "Give it the suffix .parquet")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings: tuple[str, ...] = ("utf-16",)
    else:
        data = data.removeprefix(b"\xef\xbb\xbf")
        encodings = ("utf-8", "gb18030")
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text[:4096]:
            raise Unreadable("file type", "the file is named as CSV and is not text", _SUFFIX)
        return data if encoding == "utf-8" else text.encode()
    raise Unreadable("readable", "the file is neither UTF-8 nor GB18030 text", _RESAVE)


def _header(text: bytes, wanted: Sequence[str]) -> tuple[list[str], str, int]:
    """Column names, separator, and the number of lines they take: the separator that finds most of `wanted` wins."""
    start = text[: 1024**2].decode("utf-8", errors="ignore")
    best: tuple[tuple[int, int], list[str], str, int] | None = None
    for separator in _SEPARATORS:
        try:
            names, lines = _first_row(csv.reader(io.StringIO(start, newline=""), delimiter=separator))
        except csv.Error:
            continue
        score = (sum(name in wanted for name in names), len(names))
        if best is None or score > best[0]:
            best = (score, names, separator, lines)
    if best is None or not best[1]:
        raise Unreadable("header", "the first line names no columns", _RESAVE)
    return best[1], best[2], best[3]


def _first_row(reader: Any) -> tuple[list[str], int]:
    rows: Iterable[list[str]] = reader
    for row in rows:
        if any(field.strip() for field in row):
            return [field.strip() for field in row], reader.line_num
    return [], 0


def _looks_like_text(data: bytes) -> bool:
    return b"\0" not in data[:1024]


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
