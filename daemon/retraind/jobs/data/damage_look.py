"""Looks whether an accepted drop is damaged: its rows against the table's rows of the weeks before it.

What the rows of a table are held against comes from the store's files, each read once an examination. What is damage, the
drift library says; what becomes of a damaged drop is the core's: it is held back until a person says that it is real.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retraind.core.events import DropDamage, StoreFile
from retraind.drift.damage import Damage, Grouped, Limits, damaged_numbers, missing_values, new_values
from retraind.jobs.data import store
from retraind.settings import Contract, Drift

__all__ = ["Recent", "damages"]


class Recent:
    """Rows of the store's newest weeks, each file read at most once."""

    def __init__(self, state: Path, contract: Contract) -> None:
        self._state, self._contract = state, contract
        self._held: dict[tuple[str, str], tuple[dt.date | None, pa.Table]] = {}

    def rows(self, files: Sequence[StoreFile], table: str, since: dt.date | None, until: dt.date | None) -> pa.Table:
        """Rows of `files` from `since` to before `until`; rows that a later file replaced are among them.

        Raises RetraindError when a file has vanished or is damaged.
        """
        parts = [self._of(file, since) for file in files if file.table == table and _overlaps(file, since, until)]
        if not parts:
            return store.load(self._state, (), self._contract, table)
        found = pa.concat_tables(parts)
        date = self._contract.date
        if since is None or until is None or date not in found.column_names:
            return found
        day = found.column(date)
        return found.filter(pc.and_(pc.greater_equal(day, pa.scalar(since)), pc.less(day, pa.scalar(until))))

    def _of(self, file: StoreFile, since: dt.date | None) -> pa.Table:
        key = file.table, file.sha256
        held = self._held.get(key)
        if held and (held[0] is None or (since is not None and held[0] <= since)):
            return held[1]
        rows = store.load(self._state, (file,), self._contract, file.table, since=since)
        self._held[key] = since, rows
        return rows


def _overlaps(file: StoreFile, since: dt.date | None, until: dt.date | None) -> bool:
    if since is None or until is None or file.first_date is None or file.last_date is None:
        return True
    return file.first_date < until and file.last_date >= since


def damages(
    recent: Recent, files: Sequence[StoreFile], contract: Contract, drift: Drift, table: str, rows: pa.Table, file: StoreFile
) -> tuple[DropDamage, ...]:
    """What is damaged in the canonical rows of an accepted drop of `table`, which became `file`.

    files: the store before it, damaged drops not among them. Held against the `drift.reference` windows before its first
    date, or a lookup against all that is known; with under 100 rows there, or 20 in the drop, nothing is said of numbers.
    """
    if drift.damage is None:
        return ()
    rules = drift.damage
    limits = Limits(rules.missing.share, rules.new.share, rules.times, rules.times, rules.beyond.share)
    since = file.first_date and file.first_date - dt.timedelta(days=drift.reference * drift.days)
    before = recent.rows(files, table, since, file.first_date)
    levels = {t.column: replace(limits, middle=rules.level) for t in contract.targets.values() if t.nature == "level"}
    found = list(_columns(contract, table, before, rows, limits, levels))
    if contract.tables[table].role != "lookup":
        found += _names(recent, files, contract, before, rows, limits)
    return tuple(DropDamage(d.column, d.kind, d.value, d.limit, d.words) for d in found)


def _columns(
    contract: Contract, table: str, before: pa.Table, rows: pa.Table, limits: Limits, levels: Mapping[str, Limits]
) -> Iterator[Damage]:
    """Column by column: missing values, new categories, sizes and ranges. levels: the limits of targets that are levels."""
    entities = pc.unique(before.column(contract.entity))
    for name, column in contract.tables[table].columns.items():
        if name in contract.key(table):
            continue
        absent = name not in rows.column_names
        now = pa.nulls(rows.num_rows, before.column(name).type) if absent else rows.column(name)
        missing = missing_values(name, (before.column(name).null_count, before.num_rows),
                                 (now.null_count, rows.num_rows), limits, absent=absent)  # fmt: skip
        if missing:
            yield missing
        elif column.type == "category":
            known = set(pc.unique(before.column(name)).to_pylist()) - {None}
            if found := new_values(name, known, _counts(now), limits, "a category"):
                yield found
        elif column.type in ("number", "whole") and not absent:
            theirs, ours = (_grouped(contract, side, name, entities) for side in (before, rows))
            if found := damaged_numbers(name, theirs, ours, levels.get(name, limits)):
                yield found


def _names(
    recent: Recent, files: Sequence[StoreFile], contract: Contract, before: pa.Table, rows: pa.Table, limits: Limits
) -> Iterator[Damage]:
    """Items that were not there before, and the categories that lookups put them in."""
    counts = _counts(rows.column(contract.entity))
    known = set(pc.unique(before.column(contract.entity)).to_pylist()) if before.num_rows else set()
    if found := new_values(contract.entity, known, counts, limits, "an item"):
        yield found
    for name, table in contract.tables.items():
        categories = [c for c, column in table.columns.items() if column.type == "category"]
        if table.role != "lookup" or not categories or not known:
            continue
        lookup = recent.rows(files, name, None, None)
        of = lookup.column(contract.entity).to_pylist()
        for category in categories:
            named = dict(zip(of, lookup.column(category).to_pylist(), strict=True))
            now: dict[str, int] = {}
            for item, n in counts.items():
                if text := named.get(item):
                    now[text] = now.get(text, 0) + n
            before_ = {text for item in known if (text := named.get(item))}
            if found := new_values(category, before_, now, limits, "a category"):
                yield found


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    pairs = pc.value_counts(column).to_pylist()
    return {pair["values"]: pair["counts"] for pair in pairs if pair["values"] is not None}


def _grouped(contract: Contract, rows: pa.Table, name: str, entities: pa.Array) -> Grouped:
    values = pc.cast(rows.column(name), pa.float64())
    group = pc.fill_null(pc.index_in(rows.column(contract.entity), value_set=entities), -1)
    day: npt.NDArray[np.int64] = np.zeros(rows.num_rows, np.int64)
    if contract.date in rows.column_names:
        day = rows.column(contract.date).cast(pa.int32()).to_numpy().astype(np.int64)
    return Grouped(values.to_numpy().astype(np.float64), group.to_numpy().astype(np.int64), day)
