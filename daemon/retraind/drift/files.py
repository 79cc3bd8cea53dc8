"""Columns of a table: from a Parquet or CSV file, a few at a time, or from arrays in memory.

A table says its names and reads the columns asked for; what they mean is `tables`' work. pyarrow is needed for files only,
and imported where a file is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
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


def table_of(source: Source) -> Table:
    """Open a table. A file's format is told by its ending: .parquet, .csv, else ValueError.

    Raises OSError when a file cannot be opened, ValueError when it is no such table or names a column twice.
    """
    if isinstance(source, Mapping):
        held = {str(name): np.asarray(values) for name, values in source.items()}
        return Table(tuple(held), 0, lambda names: {name: _from_array(held[name]) for name in names})
    path = Path(source)
    ending = path.suffix.lower()
    if ending not in (".parquet", ".csv"):
        raise ValueError(f"{path}: not a .parquet or .csv file")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        table = _parquet(path) if ending == ".parquet" else _csv(path)
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as {ending[1:]}: {error}") from error
    twice = sorted({name for name in table.names if table.names.count(name) > 1})
    if twice:
        raise ValueError(f'{path}: has two columns named "{twice[0]}"')
    return table


def _parquet(path: Path) -> Table:
    import pyarrow.parquet as pq  # noqa: PLC0415 (for files only)

    with pq.ParquetFile(path) as file:
        names, rows = tuple(file.schema_arrow.names), file.metadata.num_rows

    def read(wanted: Sequence[str]) -> dict[str, Column]:
        out = {}
        with pq.ParquetFile(path) as opened:
            for name in wanted:  # one after the other: the decoded column before is gone by then
                out[name] = _from_arrow(opened.read(columns=[name])[name])
        return out

    return Table(names, 8 * rows, read)


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
