"""Forecasts and scored forecasts in files that are written once, and the orders file that is renewed.

`STATE/forecasts/SHA256.parquet` and `STATE/scores/SHA256.parquet` are named by what they hold, without the time at which it
was made: a job that is done again after a kill makes the same files. Which of them count is in the journal. The files for
whoever orders the goods are replaced in one move each, so that a reader sees the old ones or the new ones, whole.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from retraind.core.events import ForecastFile
from retraind.errors import Place, RetraindError
from retraind.jobs.data.store import content_hash
from retraind.whole_file import to_disk

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORECASTS", "ORDERS", "SCORES", "load", "path_of", "read", "replace", "table_of", "write", "write_csv",
           "write_orders", "write_parquet"]  # fmt: skip

Kind = Literal["forecasts", "scores"]

_ROW = [
    ("target", pa.string()),
    ("item_code", pa.string()),
    ("origin_date", pa.date32()),
    ("target_date", pa.date32()),
    ("horizon_days", pa.int32()),
    ("forecast", pa.float64()),
    ("model", pa.string()),
    ("version", pa.string()),
    ("role", pa.string()),
    ("origin_observed", pa.bool_()),
    ("issued", pa.bool_()),
]
FORECASTS = pa.schema([*_ROW, ("made_at", pa.timestamp("us", "UTC"))])
"""One row a forecast. model and version: the registered name and its number as text, or nothing and a baseline's name.
forecast: NaN where the model had no answer. issued: made before the target's day was known."""
SCORES = pa.schema(
    [*_ROW, ("actual", pa.float64()), ("answered", pa.bool_()), ("category", pa.string()), ("corrected", pa.bool_())]
)
"""One row a scored forecast. forecast: what it was scored with, the seasonal naive one where it was not `answered`.
origin_observed: the item was sold on the origin day, by what the store held when it was scored. corrected: the row only
says that the actual of an earlier one has become another; it counts in no sum."""
ORDERS = pa.schema(
    [
        ("target", pa.string()),
        ("item_code", pa.string()),
        ("item_name", pa.string()),
        ("origin_date", pa.date32()),
        ("target_date", pa.date32()),
        ("horizon_days", pa.int32()),
        ("forecast", pa.float64()),
        ("unit", pa.string()),
        ("source", pa.string()),
        ("version", pa.string()),
        ("made_at", pa.timestamp("us", "UTC")),
        ("data_until", pa.date32()),
        ("stale", pa.bool_()),
    ]
)
"""One row an item, target and horizon; always a forecast, and `source` says whose."""


def path_of(state: Path, kind: Kind, sha256: str) -> Path:
    """Where a file lies."""
    return state / kind / f"{sha256}.parquet"


def table_of(rows: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Rows as a table of that schema; columns beyond it are left out, NaN stays NaN."""
    return pa.table([_column(rows[field.name], field.type) for field in schema], schema=schema)


def _column(values: pd.Series[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_floating(kind):
        return pa.array(values.to_numpy(dtype="float64"), kind, from_pandas=False)
    if pa.types.is_timestamp(kind):
        return pa.array(values.dt.tz_convert(None).to_numpy().astype("datetime64[us]")).cast(kind)
    return pa.Array.from_pandas(values, type=kind)


def write(state: Path, kind: Kind, rows: pa.Table) -> ForecastFile:
    """Put rows of FORECASTS or SCORES into their file, durably; one that is there already is left as it is.

    rows: at least one, in the order in which they shall lie. Raises RetraindError when the disk does not take them.
    """
    hashed = rows.drop_columns(["made_at"]) if "made_at" in rows.column_names else rows
    for i, field in enumerate(hashed.schema):
        if pa.types.is_boolean(field.type):
            hashed = hashed.set_column(i, field.name, hashed.column(i).cast(pa.int8()))
    sha256 = content_hash(kind, hashed.combine_chunks())
    target = path_of(state, kind, sha256)
    if not target.exists():
        _sweep(target.parent)
        replace({target: lambda path: write_parquet(rows, path)})
    span = pc.min_max(rows.column("target_date")).as_py()
    return ForecastFile(sha256, rows.num_rows, span["min"], span["max"])


def _sweep(folder: Path) -> None:
    """Remove what killed jobs left half written. Only one job writes at a time (the data lane)."""
    for partial in folder.glob(".*.part"):
        partial.unlink(missing_ok=True)


def load(state: Path, kind: Kind, files: Sequence[ForecastFile]) -> pa.Table:
    """The rows of the files, in their order. Raises RetraindError when one is gone or damaged."""
    schema = FORECASTS if kind == "forecasts" else SCORES
    tables = [_read_one(path_of(state, kind, f.sha256), schema) for f in files]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def read(state: Path, kind: Kind, files: Sequence[ForecastFile]) -> pd.DataFrame:
    """`load` as a frame, dates as datetime64."""
    frame: pd.DataFrame = load(state, kind, files).to_pandas(date_as_object=False)
    return frame


def _read_one(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        with pa.parquet.ParquetFile(path, page_checksum_verification=True) as parquet:
            return parquet.read(columns=schema.names).select(schema.names).cast(schema)
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise RetraindError(
            f"a file that the journal names cannot be read: {str(error).splitlines()[0]}",
            where=Place(str(path)),
            remedy="Put it back from a backup of the state folder",
        ) from error


def replace(files: dict[Path, Callable[[Path], None]], replaced: Callable[[Path], None] = lambda _: None) -> None:
    """Write each file whole beside its place, then move them all there, one after the other.

    Calls `replaced` with each one's place after its move. Raises RetraindError when the disk does not take them.
    """
    beside = {place: place.with_name(f".{place.name}.{os.getpid()}.part") for place in files}
    try:
        for place, fill in files.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            fill(beside[place])
            to_disk(beside[place])
        for place, whole in beside.items():
            whole.replace(place)
            replaced(place)
        for folder in {place.parent for place in files}:
            to_disk(folder)
    except OSError as error:
        raise RetraindError(
            f"a file cannot be written: {error.strerror or error}",
            where=Place(str(next(iter(files)).parent)),
            remedy="Make room on the disk, or give the daemon's user the right to write there",
            retryable=True,
        ) from error
    finally:
        for whole in beside.values():
            whole.unlink(missing_ok=True)


def write_parquet(rows: pa.Table, to: Path | BinaryIO) -> None:
    """With a checksum on each page, so that damage is seen on reading."""
    pa.parquet.write_table(rows, to, compression="zstd", write_page_checksum=True)


def write_orders(folder: Path, orders: pa.Table, features: pa.Table, replaced: Callable[[Path], None]) -> None:
    """Renew what lies in the orders folder: orders.csv, orders.parquet and features.parquet, each in one move."""
    _sweep(folder)
    replace(
        {
            folder / "features.parquet": lambda path: write_parquet(features, path),
            folder / "orders.parquet": lambda path: write_parquet(orders, path),
            folder / "orders.csv": lambda path: write_csv(orders, path),
        },
        replaced,
    )


def write_csv(rows: pa.Table, to: Path | BinaryIO) -> None:
    """As text; times in ISO 8601 with their zone, as every other program reads them."""
    at = rows.schema.get_field_index("made_at")
    texts = [time.astimezone(dt.UTC).isoformat(timespec="seconds") for time in rows.column(at).to_pylist()]
    pyarrow.csv.write_csv(rows.set_column(at, "made_at", pa.array(texts, pa.string())), to)
