"""Columns of a table: from Parquet (a file or a folder of them) or CSV, a few at a time, or from arrays in memory.

A table says its names and reads the columns asked for; what they mean is `tables`' work. Of Parquet one row group of one
column is decoded at a time, so that a column takes no more than its values; `chunks` does not even keep these. pyarrow is
needed for files only, and imported where a file is read.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from retraind.drift.reference import CategoryReference, prepare_categories
from retraind.drift.statistics import Floats

__all__ = ["Column", "Source", "Table", "table_of"]

Source = str | os.PathLike[str] | Mapping[str, npt.ArrayLike]
"""A file's path, or columns by name."""
Kind = Literal["number", "whole", "text", "date", "empty", "other"]

MOST_TEXTS = 100_000
"""Distinct texts of a column beyond which it is not compared: its counts would no longer be small."""


@dataclass(frozen=True)
class Column:
    """One column. `values` are floats with NaN for missing, or counts of texts; None of what is not compared."""

    kind: Kind
    rows: int
    values: Floats | CategoryReference | None
    type: str
    """As the file says it, for people."""


@dataclass(frozen=True)
class Table:
    """A table's column names, and how to read some of them at once."""

    names: tuple[str, ...]
    bytes_a_column: int
    """About what one column takes to read."""
    read: Callable[[Sequence[str]], dict[str, Column]]
    rows: int = 0
    """0 where it is not known before reading."""
    chunks: Callable[[str], Iterator[Column]] | None = None
    """One column part by part, where the format allows that."""


def table_of(source: Source) -> Table:
    """Open a table. A file's format is told by its ending: .parquet, .csv, else ValueError; a folder holds Parquet files.

    Raises OSError when a file cannot be opened, ValueError when it is no such table or names a column twice.
    """
    if isinstance(source, Mapping):
        held = {str(name): np.asarray(values) for name, values in source.items()}
        return Table(tuple(held), 0, lambda names: {name: _from_array(held[name]) for name in names})
    path = Path(source)
    ending = ".parquet" if path.is_dir() else path.suffix.lower()
    if ending not in (".parquet", ".csv"):
        raise ValueError(f"{path}: not a .parquet or .csv file")
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        table = _csv(path) if ending == ".csv" else _parquet(sorted(path.glob("*.parquet")) if path.is_dir() else [path])
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as {ending[1:]}: {error}") from error
    twice = sorted({name for name in table.names if table.names.count(name) > 1})
    if twice:
        raise ValueError(f'{path}: has two columns named "{twice[0]}"')
    return table


def _parquet(paths: Sequence[Path]) -> Table:
    """Of files that have the same columns, one after the other."""
    import pyarrow.parquet as pq  # noqa: PLC0415 (for files only)

    if not paths:
        raise ValueError("the folder holds no .parquet file")
    names: tuple[str, ...] | None = None
    rows = 0
    for path in paths:
        with pq.ParquetFile(path) as file:
            if names is not None and set(file.schema_arrow.names) != set(names):
                raise ValueError(f"{path.name} has other columns than {paths[0].name}")
            names, rows = names or tuple(file.schema_arrow.names), rows + file.metadata.num_rows

    def chunks(name: str) -> Iterator[Column]:
        for path in paths:
            with pq.ParquetFile(path) as opened:
                groups = opened.num_row_groups
                for group in range(groups):
                    yield _from_arrow(opened.read_row_group(group, columns=[name])[name])
                if not groups:
                    yield _from_arrow(opened.read(columns=[name])[name])

    return Table(names or (), 8 * rows, lambda wanted: {name: _joined(chunks(name), rows) for name in wanted}, rows, chunks)


def _joined(chunks: Iterator[Column], rows: int) -> Column:
    """The parts of a column as one, each gone before the next is read."""
    first = next(chunks)
    kinds, at = {first.kind}, 0
    values: Floats | None = None
    texts: Counter[str] = Counter()
    missing = 0
    if first.rows == rows:
        return first
    for part in chain((first,), chunks):
        kinds.add(part.kind)
        if isinstance(part.values, np.ndarray):
            values = np.full(rows, np.nan) if values is None else values
            values[at : at + part.rows] = part.values
        elif isinstance(part.values, CategoryReference):
            texts.update(part.values.counts)
            missing += part.values.missing
        elif part.kind != "empty":
            return Column(part.kind, rows, None, part.type)
        at += part.rows
    return _of_parts(kinds, values, texts, missing, rows, first.type)


def _of_parts(
    kinds: set[Kind], values: Floats | None, texts: Counter[str], missing: int, rows: int, named: str
) -> Column:
    kinds = kinds - {"empty"}
    if kinds <= {"number", "whole"} and values is not None:
        return Column("whole" if kinds == {"whole"} else "number", rows, values, named)
    if kinds == {"text"} and len(texts) <= MOST_TEXTS:
        return _text(CategoryReference(dict(texts), missing), rows, named)
    if not kinds:
        return Column("empty", rows, CategoryReference({}, rows), named)
    words = f"more than {MOST_TEXTS:,} distinct texts" if kinds == {"text"} else "a column of several types"
    return Column("other", rows, None, words)


def _csv(path: Path) -> Table:
    from pyarrow import csv  # noqa: PLC0415

    with csv.open_csv(path) as opened:
        names = tuple(opened.schema.names)

    def read(wanted: Sequence[str]) -> dict[str, Column]:
        options = csv.ConvertOptions(include_columns=list(wanted), strings_can_be_null=True)
        try:
            table = csv.read_csv(path, convert_options=options)
        except ValueError as error:
            raise ValueError(f"{path}: cannot be read as csv: {error}") from error
        return {name: _from_arrow(table[name]) for name in wanted}

    return Table(names, path.stat().st_size // max(len(names), 1), read)


def _from_arrow(column: Any) -> Column:
    """From a pyarrow.ChunkedArray."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind, rows, named = _kind(column.type), len(column), str(column.type)
    if kind in ("number", "whole"):
        return Column(kind, rows, column.cast(pa.float64(), safe=False).to_numpy(), named)
    if kind != "text":
        return Column(kind, rows, None, named)
    counted = pc.value_counts(column)
    if len(counted) > MOST_TEXTS:
        return Column("other", rows, None, f"more than {MOST_TEXTS:,} distinct texts")
    pairs = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    counts = {None if value is None else str(value): n for value, n in pairs}
    missing = counts.pop(None, 0)
    return _text(CategoryReference({str(value): n for value, n in counts.items()}, missing), rows, named)


def _text(counts: CategoryReference, rows: int, named: str) -> Column:
    return Column("text" if counts.counts else "empty", rows, counts, named)


def _kind(type_: Any) -> Kind:
    from pyarrow import types  # noqa: PLC0415

    kinds: tuple[tuple[Kind, Iterable[Callable[[Any], bool]]], ...] = (
        ("empty", (types.is_null,)),
        ("whole", (types.is_integer,)),
        ("number", (types.is_floating, types.is_decimal)),
        ("text", (types.is_string, types.is_large_string, types.is_boolean)),
        ("date", (types.is_temporal,)),
    )
    return next((kind for kind, tests in kinds if any(test(type_) for test in tests)), "other")


def _from_array(values: npt.NDArray[Any]) -> Column:
    if values.ndim != 1:
        raise ValueError(f"a column has one dimension, not {values.ndim}")
    code, rows, named = values.dtype.kind, len(values), str(values.dtype)
    if code in "iuf":
        return Column("number" if code == "f" else "whole", rows, values.astype(np.float64), named)
    if code in "mM":
        return Column("date", rows, None, named)
    if code not in "bOUS":
        return Column("other", rows, None, named)
    counts = prepare_categories(values.astype(object))
    if len(counts.counts) > MOST_TEXTS:
        return Column("other", rows, None, f"more than {MOST_TEXTS:,} distinct texts")
    return _text(counts, rows, named)
