"""Reads the bytes of a drop as columns, before anything is known about their meaning.

Parquet keeps its types. CSV is read as text, so that a bad value can be told as it stands in the file: UTF-8 with or
without a mark, UTF-16 with one, or GB18030 (what Chinese spreadsheets export); separated by comma, semicolon or tab;
quoted or not; packed with gzip or not. What cannot be read at all is `Unreadable`, with the rule it breaks.

A small file may unfold to more than a machine holds (bytes that pack well, one long text that a million rows point to). So
what it says of its size is looked at before it is read, and texts are held as a dictionary until their sum is known.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
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
_CHUNK = 16 * 1024**2
_NO_ROWS = ("Empty CSV", "Could not skip initial")
"""What pyarrow says of a file that ends with its header."""
_UTF8_AMONG_OTHERS = re.compile(rb"(?<![\x80-\xff])(?:[\xe3-\xe9\xef][\x80-\xbf]{2})+(?![\x80-\xff])")
"""Chinese words in UTF-8. As GB18030 they would be three rare characters, six bytes that all fall right."""
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
        file = _opened(data)
        header = tuple(file.schema_arrow.names)
        _refuse_too_large(len(header), file.metadata.num_rows)
        present = _present(header, wanted)
        texts = [f.name for f in file.schema_arrow if f.name in present and pa.types.is_string(f.type)]
        _refuse_too_long(_bytes_unpacked(file.metadata, present))
        columns = _unfolded(_opened(data, texts).read(columns=present, use_threads=False))
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # a damaged footer says impossible things
        raise Unreadable(
            "readable",
            f"the Parquet file is damaged or cut short: {_brief(error)}",
            "Write it to another name first, then rename it into the drops folder",
        ) from error
    _refuse_too_large(len(header), columns.num_rows)
    return Raw(columns.combine_chunks(), header, np.arange(1, columns.num_rows + 1))


def _opened(data: bytes, texts: Sequence[str] = ()) -> pa.parquet.ParquetFile:
    """texts: columns that are read as a dictionary."""
    return pa.parquet.ParquetFile(pa.BufferReader(data), read_dictionary=list(texts), page_checksum_verification=True)


def _bytes_unpacked(metadata: pa.parquet.FileMetaData, columns: Sequence[str]) -> int:
    """What these columns take when they are unpacked and their dictionaries are not unfolded, by the file's own word.

    Of a file that is not large as a whole, all columns: looking at one whose footer is damaged can end the process.
    """
    whole = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    if 0 <= whole <= MAX_BYTES:
        return int(whole)
    at = [i for i in range(metadata.num_columns) if metadata.schema.column(i).path.split(".")[0] in columns]
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return sum(group.column(i).total_uncompressed_size for group in groups for i in at)


def _unfolded(columns: pa.Table) -> pa.Table:
    """Without dictionaries. Raises Unreadable when that is too much, pa.ArrowInvalid when a text is no UTF-8."""
    columns.validate(full=True)
    for i, field in enumerate(columns.schema):
        if not pa.types.is_dictionary(field.type):
            continue
        if pa.types.is_string(field.type.value_type) or pa.types.is_binary(field.type.value_type):
            _refuse_too_long(sum(_text_bytes(chunk) for chunk in columns.column(i).chunks))
        columns = columns.set_column(i, field.name, columns.column(i).cast(field.type.value_type))
    return columns


def _text_bytes(chunk: pa.DictionaryArray) -> int:
    lengths = pa.compute.binary_length(chunk.dictionary)
    return pa.compute.sum(lengths.take(chunk.indices).cast(pa.int64())).as_py() or 0


def _refuse_too_long(size: int) -> None:
    if size > MAX_BYTES:
        what = f"the file unpacks to {size / 1024**2:,.0f} MB, at most {MAX_BYTES // 1024**2} are read"
        raise Unreadable("size", what, _CUT)


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
        if not any(words in str(error) for words in _NO_ROWS):
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
    """All members of the file, however often it was appended to. Their checksums are held against them."""
    out = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while chunk := file.read(_CHUNK):
                out.write(chunk)
                if out.tell() > MAX_BYTES:
                    raise Unreadable("size", f"the file unpacks to more than {MAX_BYTES // 1024**2} MB", _CUT)
    except EOFError as error:
        remedy = "Write it to another name first, then rename it"
        raise Unreadable("readable", "the packed file is cut short", remedy) from error
    except (zlib.error, OSError) as error:
        raise Unreadable("readable", f"the file is not packed with gzip, or damaged: {error}", "Pack it again") from error
    return out.getvalue()


def _decode(data: bytes) -> bytes:
    """The text as UTF-8 without a mark."""
    if data[:4] == b"PAR1":
        raise Unreadable("file type", "the file is named as CSV and is Parquet", "Give it the suffix .parquet")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = _recoded(data, "utf-16")
    elif _is_utf8(data):
        text = data.removeprefix(b"\xef\xbb\xbf")
    elif _UTF8_AMONG_OTHERS.search(data):
        raise Unreadable("readable", "the file is UTF-8 text in some places and not in others", _RESAVE)
    else:
        text = _recoded(data, "gb18030")
    if b"\0" in text:
        raise Unreadable("file type", "the file is named as CSV and is not text", _SUFFIX)
    return text


def _recoded(data: bytes, encoding: str) -> bytes:
    try:
        return data.decode(encoding).encode()
    except UnicodeError:  # the second: half of a pair of surrogates
        raise Unreadable("readable", "the file is neither UTF-8 nor GB18030 text", _RESAVE) from None


def _is_utf8(data: bytes) -> bool:
    """Without making a text of it, which takes up to four times the room."""
    ends = pa.array([0, len(data)], pa.int64()).buffers()[1]
    try:
        pa.LargeStringArray.from_buffers(1, ends, pa.py_buffer(data)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


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
