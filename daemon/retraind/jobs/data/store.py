"""The store: accepted rows in immutable files, named by what they hold.

`STATE/store/TABLE/SHA256.parquet`, where the hash is of the canonical rows and not of the bytes on disk: a CSV and a
Parquet file of the same rows, written by any release of pyarrow, are the same content. Which files count, and in which
order, is in the journal: a later file's row wins over an earlier one's of the same key, on reading. So everything
written twice is the same file, and any past state of the store can be read again from its list.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from retraind.core.events import StoreFile
from retraind.errors import Place, RetraindError
from retraind.failpoint import failpoint
from retraind.jobs.data.contract import arrow_type, key_codes
from retraind.settings import Contract
from retraind.whole_file import to_disk

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "UNSOLD",
    "Comparison",
    "compare",
    "content_hash",
    "load",
    "main_frame",
    "main_table",
    "path_of",
    "sweep",
    "write",
]

UNSOLD = "retraind.unsold"
"""The column that marks rows of `main_table` that are no sale."""

_ROW_GROUP = 131_072  # rows; dates are sorted, so that a reader of a few weeks passes over the other groups
_HASH_VERSION = b"retraind store 1\0"  # a new number gives every content a new name: never without a migration


@dataclass(frozen=True)
class Comparison:
    """What rows bring to the store, by key."""

    new: int
    replaced: int
    """Known keys with another value in some column."""
    unchanged: int


def path_of(state: Path, table: str, sha256: str) -> Path:
    """Where a file of the store lies."""
    return state / "store" / table / f"{sha256}.parquet"


def content_hash(table: str, rows: pa.Table) -> str:
    """sha256 of canonical rows: names, types, and for each column what is missing and the values of the rest.

    rows: in canonical form (contract.check). Independent of chunks, compression and the pyarrow release.
    """
    digest = hashlib.sha256(_HASH_VERSION + table.encode() + b"\0" + str(rows.num_rows).encode())
    for name in rows.column_names:
        column = _one(rows.column(name))
        digest.update(f"\0{name}\0{column.type}\0".encode())
        digest.update(np.packbits(column.is_valid().to_numpy(zero_copy_only=False)).tobytes())
        digest.update(_value_bytes(column))
    return digest.hexdigest()


def _value_bytes(column: pa.Array) -> bytes:
    if pa.types.is_string(column.type):
        column = pc.fill_null(column, "")
        lengths = pc.binary_length(column).to_numpy(zero_copy_only=False).astype("<i4").tobytes()
        return bytes(lengths) + "".join(column.to_pylist()).encode()
    if pa.types.is_date32(column.type):
        column = column.cast(pa.int32())
    values = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
    raw: bytes = values.astype(values.dtype.newbyteorder("<")).tobytes()
    return raw


def write(state: Path, contract: Contract, table: str, rows: pa.Table, *, drop: str) -> StoreFile:
    """Put canonical rows into the store, durably. Done again it replaces the file by an equal one.

    Raises RetraindError when the disk does not take it.
    """
    sha256 = content_hash(table, rows)
    target = path_of(state, table, sha256)
    failpoint("examine.before_store")
    try:
        _write_durably(rows, target)
    except OSError as error:
        raise RetraindError(
            f"the store cannot be written: {error.strerror or error}",
            where=Place(str(target.parent)),
            remedy="Make room on the disk, or give the daemon's user the right to write there",
            retryable=True,
        ) from error
    failpoint("examine.stored")
    first, last = _date_range(contract, rows)
    return StoreFile(drop, table, sha256, rows.num_rows, first, last)


def _write_durably(rows: pa.Table, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            pa.parquet.write_table(rows, file, compression="zstd", row_group_size=_ROW_GROUP, write_page_checksum=True)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    to_disk(target.parent)


def sweep(state: Path) -> None:
    """Remove what killed children left half written. Only one child writes at a time (the data lane)."""
    for partial in (state / "store").glob("*/*.partial"):
        partial.unlink(missing_ok=True)


def _date_range(contract: Contract, rows: pa.Table) -> tuple[dt.date | None, dt.date | None]:
    if contract.date not in rows.column_names or not rows.num_rows:
        return None, None
    bounds = pc.min_max(rows.column(contract.date)).as_py()
    return bounds["min"], bounds["max"]


# ---- reading ----


def load(
    state: Path,
    files: Sequence[StoreFile],
    contract: Contract,
    table: str,
    *,
    since: dt.date | None = None,
    until: dt.date | None = None,
) -> pa.Table:
    """The rows of one table in the store that `files` lists, in its order: one a key, the latest file's, sorted by key.

    since, until: both included; only files and row groups that overlap are read. Every column of the contract is there,
    missing values as null. Raises RetraindError when a file has vanished or is damaged.
    """
    schema = pa.schema([(name, arrow_type(column)) for name, column in contract.tables[table].columns.items()])
    date = contract.date if contract.date in schema.names else None
    parts = [
        _read(state, file, schema, date, since or dt.date.min, until or dt.date.max)
        for file in files if file.table == table and _overlaps(file, since, until)
    ]  # fmt: skip
    if not parts:
        return schema.empty_table()
    return _latest_by_key(pa.concat_tables(parts), contract.key(table))


def _overlaps(file: StoreFile, since: dt.date | None, until: dt.date | None) -> bool:
    if file.first_date is None or file.last_date is None:
        return True
    return (until is None or file.first_date <= until) and (since is None or file.last_date >= since)


def _read(state: Path, file: StoreFile, schema: pa.Schema, date: str | None, since: dt.date, until: dt.date) -> pa.Table:
    """The file's rows from `since` to `until` by its column `date`, or all where the table has none."""
    path = path_of(state, file.table, file.sha256)
    try:
        # not by read_table: that imports pyarrow's datasets first, which takes as long as a drop takes to be examined
        with pa.parquet.ParquetFile(path, page_checksum_verification=True) as parquet:
            present = [name for name in schema.names if name in parquet.schema_arrow.names]
            groups = _groups(parquet, date, since, until) if date else range(parquet.num_row_groups)
            rows = parquet.read_row_groups(list(groups), columns=present)
        if date:
            day = rows.column(date)
            rows = rows.filter(pc.and_(pc.greater_equal(day, since), pc.less_equal(day, until)))
    except (pa.ArrowException, OSError) as error:
        what = "is missing from the store" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        raise RetraindError(
            f"a file of the store {what.splitlines()[0]}",
            where=Place(str(path)),
            remedy=f"Bring it back from a backup of the state folder. What it was made from: "
            f"retrainctl drops show {file.drop}",
        ) from error
    columns = [
        rows.column(field.name).cast(field.type) if field.name in present else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _groups(parquet: pa.parquet.ParquetFile, date: str, since: dt.date, until: dt.date) -> Iterator[int]:
    """The row groups that may hold these days."""
    at = parquet.schema_arrow.names.index(date)
    for group in range(parquet.num_row_groups):
        noted = parquet.metadata.row_group(group).column(at).statistics
        if noted is None or not noted.has_min_max or (noted.min <= until and noted.max >= since):
            yield group


def _latest_by_key(rows: pa.Table, key: tuple[str, ...]) -> pa.Table:
    codes = _codes(rows, key, _known(rows.column(key[-1])))
    order = np.argsort(codes, kind="stable")
    ranked = codes[order]
    last = np.append(ranked[1:] != ranked[:-1], True) if len(ranked) else np.zeros(0, dtype=bool)
    if last.all() and (order[1:] > order[:-1]).all():
        return rows.combine_chunks()
    return rows.take(pa.array(order[last])).combine_chunks()


def _known(*entities: pa.ChunkedArray) -> pa.Array:
    """Every entity once, sorted."""
    unique = pc.unique(pa.concat_arrays([pc.unique(column) for column in entities]))
    return unique.take(pc.array_sort_indices(unique))


def _codes(rows: pa.Table, key: tuple[str, ...], known: pa.Array) -> npt.NDArray[np.int64]:
    dates = _one(rows.column(key[0])) if len(key) == 2 else None
    return key_codes(dates, _one(rows.column(key[-1])), known)


def _one(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def compare(state: Path, files: Sequence[StoreFile], contract: Contract, table: str, rows: pa.Table) -> Comparison:
    """What `rows` (canonical) would bring to the store that `files` lists. Reads only what overlaps in dates."""
    since, until = _date_range(contract, rows)
    known_rows = load(state, files, contract, table, since=since, until=until)
    key = contract.key(table)
    if not known_rows.num_rows:
        return Comparison(rows.num_rows, 0, 0)
    known = _known(rows.column(key[-1]), known_rows.column(key[-1]))
    ours, theirs = _codes(rows, key, known), _codes(known_rows, key, known)
    at = np.minimum(np.searchsorted(theirs, ours), len(theirs) - 1)
    found = theirs[at] == ours
    mine, other = rows.filter(pa.array(found)), known_rows.take(pa.array(at[found]))
    equal = np.ones(int(found.sum()), dtype=bool)
    for name in contract.tables[table].columns:
        if name not in key:
            theirs_column = _one(other.column(name))
            given = name in mine.column_names
            column = _one(mine.column(name)) if given else pa.nulls(len(equal), theirs_column.type)
            equal &= _same(column, theirs_column)
    unchanged = int(equal.sum())
    return Comparison(rows.num_rows - len(equal), len(equal) - unchanged, unchanged)


def _same(left: pa.Array, right: pa.Array) -> npt.NDArray[np.bool_]:
    both_missing = pc.and_(left.is_null(), right.is_null())
    out: npt.NDArray[np.bool_] = pc.or_(pc.fill_null(pc.equal(left, right), False), both_missing).to_numpy(
        zero_copy_only=False
    )
    return out


# ---- the main table with what belongs to its rows ----


def main_table(
    state: Path,
    files: Sequence[StoreFile],
    contract: Contract,
    *,
    since: dt.date | None = None,
    until: dt.date | None = None,
    excluded: Collection[dt.date] = (),
    assortment: int = 0,
) -> pa.Table:
    """The main table with its companions by (date, entity) and its lookups by entity, sorted by date and entity.

    since, until: the first and the last date, included. excluded: days whose rows are as if they were not there (incomplete
    ones). A missing companion is null; a missing category is the text `unknown`. A column whose name is taken already is
    called TABLE.COLUMN. assortment: where it is not 0, every entity with a row in so many days up to `until` has a row on
    that day; the column UNSOLD marks those that are no sale, whose values are null. Raises RetraindError.
    """
    rows = load(state, files, contract, contract.main, since=since, until=until)
    if excluded:
        left_out = pc.is_in(rows.column(contract.date), value_set=pa.array(sorted(excluded), pa.date32()))
        rows = rows.filter(pc.invert(left_out))
    if assortment and until:
        rows = _with_unsold(rows, contract, until, assortment)
    for name, table in contract.tables.items():
        if table.role == "main":
            continue
        key = contract.key(name)
        side = load(state, files, contract, name, since=since, until=until)
        at = _places(rows, side, key)
        taken = set(rows.column_names)
        for column, kind in table.columns.items():
            if column in key:
                continue
            values = side.column(column).take(at)
            values = pc.fill_null(values, "unknown") if kind.type == "category" else values
            rows = rows.append_column(f"{name}.{column}" if column in taken else column, values)
    return rows


def _places(rows: pa.Table, side: pa.Table, key: tuple[str, ...]) -> pa.Array:
    """Where in `side`, which is sorted by key, the key of each row is; null where it is not."""
    known = _known(rows.column(key[-1]), side.column(key[-1]))
    wanted, there = _codes(rows, key, known), _codes(side, key, known)
    at = np.searchsorted(there, wanted)
    found = np.append(there, -1)[at] == wanted
    return pa.array(at, mask=~found)


def _with_unsold(rows: pa.Table, contract: Contract, day: dt.date, days: int) -> pa.Table:
    date, entity = contract.date, contract.entity
    dates, entities = rows.column(date), rows.column(entity)
    since = pa.scalar(day - dt.timedelta(days=days), pa.date32())
    lately = pc.unique(entities.filter(pc.and_(pc.greater(dates, since), pc.less_equal(dates, day))))
    today = pc.unique(entities.filter(pc.equal(dates, day)))
    missing = lately.filter(pc.invert(pc.is_in(lately, value_set=today)))
    unsold = pa.table({date: pa.repeat(pa.scalar(day, pa.date32()), len(missing)), entity: missing})
    both = pa.concat_tables([rows, unsold], promote_options="default")
    is_unsold = np.arange(both.num_rows) >= rows.num_rows
    return both.append_column(UNSOLD, pa.array(is_unsold)).sort_by([(date, "ascending"), (entity, "ascending")])


# ---- for the jobs that compute on frames ----


def main_frame(
    state: Path,
    files: Sequence[StoreFile],
    contract: Contract,
    until: dt.date | None = None,
    *,
    excluded: Collection[dt.date] = (),
    assortment: int = 0,
) -> pd.DataFrame:
    """`main_table` as a frame: dates as datetime64[ns], text as str, numbers as float64, whole numbers as int64 (float64
    with NaN where some are missing)."""
    rows = main_table(state, files, contract, until=until, excluded=excluded, assortment=assortment)
    frame: pd.DataFrame = rows.to_pandas(date_as_object=False)
    for field in rows.schema:
        if pa.types.is_date32(field.type):
            frame[field.name] = frame[field.name].astype("datetime64[ns]")
    return frame
