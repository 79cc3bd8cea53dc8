"""`python -m retraind.jobs.look`: reads forecasts and the store for the command line, which may not load pyarrow itself.

A question comes as JSON on standard input: one of the classes below, with its name under `what`. The answer goes to
standard output or to a file. Exit codes: 0 answered, 1 not, with the reason on standard error.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from retraind import settings
from retraind.core.binding import bind
from retraind.core.events import ForecastFile, StoreFile
from retraind.errors import RetraindError
from retraind.jobs.data import forecasts, store

__all__ = ["Actuals", "Export", "main"]


@dataclass(frozen=True)
class Export:
    """The forecasts of those files, as one table."""

    state: str
    files: tuple[ForecastFile, ...]
    target: str
    """Empty for all; `role` likewise."""
    role: str
    first: dt.date | None
    """The oldest target date; None for all."""
    last: dt.date | None
    format: Literal["csv", "parquet"]
    output: str
    """A file, replaced in one move; empty for standard output."""


@dataclass(frozen=True)
class Actuals:
    """What the store holds of an item, by target, a value a day or null."""

    state: str
    config: str
    pipeline: str
    files: tuple[StoreFile, ...]
    item: str
    first: dt.date
    last: dt.date


def main() -> int:
    """Answer one question."""
    asked = json.load(sys.stdin)
    try:
        if asked.pop("what") == "export":
            _export(bind(Export, asked, strict=False))
        else:
            json.dump(_actuals(bind(Actuals, asked, strict=False)), sys.stdout)
    except RetraindError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _export(asked: Export) -> None:
    rows = forecasts.load(Path(asked.state), "forecasts", asked.files)
    for column, wanted in (("target", asked.target), ("role", asked.role)):
        if wanted:
            rows = rows.filter(pc.field(column) == wanted)
    for holds, day in ((pc.greater_equal, asked.first), (pc.less_equal, asked.last)):
        if day:
            rows = rows.filter(holds(rows.column("target_date"), pa.scalar(day, pa.date32())))
    rows = rows.sort_by([(c, "ascending") for c in ("target_date", "target", "item_code", "horizon_days", "version")])
    write = forecasts.write_csv if asked.format == "csv" else forecasts.write_parquet
    if asked.output:
        forecasts.replace({Path(asked.output).absolute(): lambda path: write(rows, path)})
        sys.stdout.write(f"{rows.num_rows}\n")
    else:
        write(rows, sys.stdout.buffer)


def _actuals(asked: Actuals) -> Mapping[str, list[float | None]]:
    contract = settings.parse(Path(asked.config).read_text("utf-8")).pipelines[asked.pipeline].contract
    table = store.load(Path(asked.state), asked.files, contract, contract.main, since=asked.first, until=asked.last)
    mine = table.filter(pc.equal(table.column(contract.entity), asked.item))
    dates = mine.column(contract.date).to_pylist()
    days = [asked.first + dt.timedelta(days=n) for n in range((asked.last - asked.first).days + 1)]
    found = {}
    for name, target in contract.targets.items():
        known = dict(zip(dates, mine.column(target.column).to_pylist(), strict=True))
        found[name] = [known.get(day) for day in days]
    return found


if __name__ == "__main__":
    sys.exit(main())
