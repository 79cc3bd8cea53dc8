"""Holds a drop against the contract of the settings and gives it the one form that the store keeps.

A drop fails as a whole (unreadable, columns missing) or by rows; each row's problem is told with row, column, value and
rule. What passes is canonical: the contract's columns in its order, one type each, sorted by key, so that the same rows
are the same content whatever file brought them. Deciding what to do with it is left to `examine`.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retraind.core.binding import nearest
from retraind.core.events import ContractProblem
from retraind.jobs.data import tabular
from retraind.jobs.data.tabular import Raw, Unreadable
from retraind.settings import Column, Contract, OnBadRow

__all__ = [
    "EARLIEST",
    "LISTED",
    "Checked",
    "arrow_type",
    "check",
    "key_codes",
    "latest_date",
    "parse_date",
    "read",
    "table_of",
]

LISTED = 20
"""So many problems are listed; all are counted."""
EARLIEST = dt.date(1990, 1, 1)
_LONGEST_TEXT = 1000

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Checked:
    """What became of a drop's rows. `rows` is None when the drop is refused."""

    table: str | None
    rows: pa.Table | None
    problems: tuple[ContractProblem, ...] = ()
    problem_count: int = 0
    set_aside: tuple[ContractProblem, ...] = ()
    """Problems of the rows that were left out, where `on_bad_row` allows it."""
    set_aside_rows: int = 0
    notes: tuple[str, ...] = ()


def arrow_type(column: Column) -> pa.DataType:
    """The type in which the store keeps a column."""
    return {"date": pa.date32(), "number": pa.float64(), "whole": pa.int64()}.get(column.type, pa.string())


def table_of(contract: Contract, name: str) -> str | None:
    """The table whose glob fits a file's name, with or without its suffix; the most literal glob wins."""
    forms = {name.lower(), tabular.stem_of(name).lower()}
    fitting = [
        (len(re.sub(r"\[.*?\]|[*?]", "", table.match)), table_name)
        for table_name, table in contract.tables.items()
        if any(fnmatch.fnmatchcase(form, table.match.lower()) for form in forms)
    ]
    return max(fitting, key=lambda f: f[0])[1] if fitting else None


def read(path: Path, contract: Contract, table: str | None, *, today: dt.date, on_bad_row: OnBadRow) -> Checked:
    """The file at `path` held against a table of the contract: see `check`. Raises OSError."""
    try:
        tabular.refuse_too_heavy(path.stat().st_size)
    except Unreadable as error:
        return _refused(table, [error.problem])
    return check(path.read_bytes(), path.name, contract, table, today=today, on_bad_row=on_bad_row)


def check(
    data: bytes, name: str, contract: Contract, table: str | None, *, today: dt.date, on_bad_row: OnBadRow
) -> Checked:
    """The bytes of a file called `name` held against a table of the contract (None: no table fits its name).

    today: dates beyond the next day are refused. Never raises for what the file holds: that is the answer.
    """
    if table is None:
        globs = ", ".join(t.match for t in contract.tables.values())
        remedy = f"Name the file like one of {globs}, or add a table to config.yaml"
        return _refused(None, [ContractProblem("table", f"no table of the contract matches {name}", remedy)])
    columns = contract.tables[table].columns
    try:
        raw = tabular.read_columns(data, name, tuple(columns))
    except Unreadable as error:
        return _refused(table, [error.problem])
    missing = _missing(raw.header, columns)
    if missing:
        return _refused(table, missing)
    checker = _Checker(raw, today)
    present = {c: column for c, column in columns.items() if c in raw.header}
    canonical = {
        c: checker.column(c, column, key=c in contract.key(table), entity=c == contract.entity)
        for c, column in present.items()
    }
    checker.keys(contract.key(table), canonical)
    return checker.verdict(table, canonical, contract.key(table), on_bad_row, _notes(raw.header, columns))


def key_codes(dates: pa.Array | None, entities: pa.Array, known: pa.Array) -> npt.NDArray[np.int64]:
    """One number a row that orders rows by (date, entity). `known`: every entity, sorted."""
    ranks = pc.index_in(entities, value_set=known)
    codes: npt.NDArray[np.int64] = ranks.to_numpy(zero_copy_only=False).astype(np.int64)
    if dates is not None:
        codes += dates.cast(pa.int32()).to_numpy(zero_copy_only=False).astype(np.int64) * len(known)
    return codes


def latest_date(raw: Raw, column: str) -> dt.date | None:
    """The latest date of a file that was not checked; None where it holds none."""
    dates = _as_dates(_plain(raw.columns.column(column)))
    if dates is None:
        return None
    latest: dt.date | None = pc.max(dates.filter(pc.less_equal(dates, dt.date.max))).as_py()
    return latest


def parse_date(text: str) -> dt.date | None:
    """`2023-04-02`, `2023/4/2`, `20230402`, each also with a midnight behind it; None for anything else."""
    match = _DATE.fullmatch(text.strip())
    if not match:
        return None
    try:
        return dt.date(*(int(part) for part in match.groups() if part is not None))
    except ValueError:
        return None


_DATE = re.compile(
    r"(?:(\d{4})-(\d{1,2})-(\d{1,2})|(\d{4})/(\d{1,2})/(\d{1,2})|(\d{4})(\d{2})(\d{2}))"
    r"(?:[ T]0?0:00(?::00(?:\.0+)?)?(?:Z|\+00:00)?)?",
    re.ASCII,
)
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_WHOLE = r"^[+-]?[0-9]{1,18}(\.0*)?$"
_NOT_FINITE = r"(?i)^[+-]?(nan|inf|infinity)$"
_ROUNDED_CODE = r"^[0-9]+(\.[0-9]+)?[eE]\+?[0-9]+$|^[0-9]+\.0+$"


def _refused(table: str | None, problems: Sequence[ContractProblem], notes: tuple[str, ...] = ()) -> Checked:
    return Checked(table, None, tuple(problems[:LISTED]), len(problems), notes=notes)


def _missing(header: Sequence[str], columns: Mapping[str, Column]) -> list[ContractProblem]:
    unknown = [name for name in header if name and name not in columns]
    problems = []
    for name, column in columns.items():
        if name in header or column.optional:
            continue
        guess = nearest(name, unknown) if unknown else ""
        if guess.startswith("known here"):
            guess = f"the file's other columns: {', '.join(unknown[:10])}"
        remedy = f"Add or rename it ({guess})" if guess else "Add it"
        problems.append(ContractProblem("missing column", f'there is no column "{name}"', remedy, column=name))
    return problems


def _notes(header: Sequence[str], columns: Mapping[str, Column]) -> tuple[str, ...]:
    unknown = [name or "(no name)" for name in header if name not in columns]
    if not unknown:
        return ()
    more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
    return (f"passed over columns that the contract does not name: {', '.join(unknown[:10])}{more}",)


class _Checker:
    """Collects the problems of one file's rows while its columns take their canonical form."""

    def __init__(self, raw: Raw, today: dt.date) -> None:
        self.raw = raw
        self.today = today
        self.bad: Mask = np.zeros(raw.columns.num_rows, dtype=bool)
        self.count = raw.ragged_count
        self.told: list[ContractProblem] = list(raw.ragged)
        self.whole_file: list[ContractProblem] = []

    def column(self, name: str, column: Column, *, key: bool, entity: bool) -> pa.Array:
        """The column in its canonical type; a value that breaks a rule becomes null and is told."""
        array = _plain(self.raw.columns.column(name))
        present = array.is_valid().to_numpy(zero_copy_only=False)
        convert = {"date": self._dates, "number": self._numbers, "whole": self._wholes}.get(column.type, self._texts)
        out: pa.Array = convert(name, array, column, entity)
        if key or not column.nullable:
            self.tell(~present, name, None, "missing value", "there", remedy="Fill it in")
        return out

    def tell(self, mask: Mask, column: str, values: pa.Array | None, rule: str, must: str, *, remedy: str = "") -> None:
        """Every row of `mask` breaks `rule`: its value is not what it `must` be. The first ones are worded."""
        where = np.flatnonzero(mask)
        if not len(where):
            return
        self.bad |= mask
        self.count += len(where)
        for i in where[:LISTED].tolist():
            shown = None if values is None else _shown_of(values[i])
            what = f"{column} is {shown or 'missing'}, must be {must}"
            row = int(self.raw.rows[i])
            self.told.append(ContractProblem(rule, what, remedy or "Mend the row", row, column, shown))

    def _refuse_column(self, name: str, array: pa.Array, kind: str, remedy: str) -> pa.Array:
        what = f"{name} is stored as {array.type}, must be {kind}"
        self.whole_file.append(ContractProblem("type", what, remedy, column=name))
        return pa.nulls(len(array))

    # ---- one method a type: raw array -> canonical array, problems told ----

    def _dates(self, name: str, array: pa.Array, column: Column, entity: bool) -> pa.Array:
        del column, entity
        kind, remedy = "a date such as 2023-04-02", "Write dates as 2023-04-02"
        dates = _as_dates(array)
        if dates is None:
            return self._refuse_column(name, array, kind, remedy)
        no_date = _true(pc.and_(array.is_valid(), dates.is_null()))
        self.tell(no_date, name, array, "type", f"{kind} without a time of day", remedy=remedy)
        latest = self.today + dt.timedelta(days=1)
        late, early = _true(pc.greater(dates, latest)), _true(pc.less(dates, EARLIEST))
        self.tell(late, name, dates, "not in the future", f"at most {latest}")
        self.tell(early, name, dates, "not before 1990", f"at least {EARLIEST}")
        return _nulled(dates, late | early)

    def _numbers(self, name: str, array: pa.Array, column: Column, entity: bool) -> pa.Array:
        del entity
        if _is_text(array.type):
            array = self._numbers_of_text(name, array, _NUMBER, "a number")
        elif not _is_number(array.type):
            return self._refuse_column(name, array, "a number", "Write it as a number")
        numbers = array.cast(pa.float64(), safe=False)
        nan = _true(pc.is_nan(numbers))
        if not column.nullable:
            self.tell(nan, name, numbers, "missing value", "a number", remedy="Fill it in")
        infinite = _true(pc.is_inf(numbers))
        self.tell(infinite, name, numbers, "finite", "finite")
        numbers = _nulled(numbers, nan | infinite)
        self._ranges(name, numbers, column)
        return pc.add(numbers, 0.0)  # -0.0 and 0.0 are one value and must be one content

    def _wholes(self, name: str, array: pa.Array, column: Column, entity: bool) -> pa.Array:
        del entity
        kind = "a whole number"
        if _is_text(array.type):
            array = self._numbers_of_text(name, array, _WHOLE, kind)
            wholes = pc.replace_substring_regex(array, r"^\+|\.0*$", "").cast(pa.int64())
        elif pa.types.is_integer(array.type):
            wholes = _nulled(array, _true(pc.greater(array, 10**18))).cast(pa.int64())
        elif _is_number(array.type):
            numbers = array.cast(pa.float64(), safe=False)
            if column.nullable:
                array = numbers = _nulled(numbers, _true(pc.is_nan(numbers)))
            fits = _true(pc.and_(pc.equal(numbers, pc.round(numbers)), pc.less(pc.abs(numbers), 1e15)))
            wholes = _nulled(numbers, ~fits).cast(pa.int64())
        else:
            return self._refuse_column(name, array, kind, "Write it as a whole number")
        self.tell(_true(pc.and_(array.is_valid(), wholes.is_null())), name, array, "type", kind)
        self._ranges(name, wholes, column)
        return wholes

    def _numbers_of_text(self, name: str, array: pa.Array, pattern: str, kind: str) -> pa.Array:
        """Text that is no number becomes null and is told. The rest stays text."""
        fits = pc.fill_null(pc.match_substring_regex(array, pattern), True)
        endless = _true(pc.match_substring_regex(array, _NOT_FINITE))
        self.tell(endless, name, array, "finite", "finite")
        wrong = ~fits.to_numpy(zero_copy_only=False) & ~endless
        plainly = "Write numbers with a decimal point and without separators of thousands"
        self.tell(wrong, name, array, "type", kind, remedy=plainly)
        return _nulled(array, wrong | endless)

    def _ranges(self, name: str, numbers: pa.Array, column: Column) -> None:
        for limit, rule, words, breaks in (
            (column.at_least, "at_least", "at least", pc.less),
            (column.above, "above", "above", pc.less_equal),
            (column.at_most, "at_most", "at most", pc.greater),
        ):
            if limit is not None:
                self.tell(_true(breaks(numbers, limit)), name, numbers, rule, f"{words} {_shown(limit)}")

    def _texts(self, name: str, array: pa.Array, column: Column, entity: bool) -> pa.Array:
        del column
        if pa.types.is_floating(array.type) or pa.types.is_decimal(array.type):
            remedy = "Write it as text: numbers with fractions lose the last digits of a code"
            return self._refuse_column(name, array, "text", remedy)
        if not (_is_text(array.type) or pa.types.is_integer(array.type)):
            return self._refuse_column(name, array, "text", "Write it as text")
        text = array.cast(pa.string())
        wrong = _true(pc.greater(pc.utf8_length(text), _LONGEST_TEXT))
        must = f"at most {_LONGEST_TEXT:,} characters long"
        self.tell(wrong, name, text, "length", must, remedy="Look for a missing quote")
        if entity:
            rounded = _true(pc.match_substring_regex(text, _ROUNDED_CODE))
            must = "the code itself, not a number that a spreadsheet made of it"
            remedy = "Export the column as text: lost digits cannot be guessed"
            self.tell(rounded, name, text, "type", must, remedy=remedy)
            wrong |= rounded
        return _nulled(text, wrong)

    # ---- the file as a whole ----

    def keys(self, key: tuple[str, ...], canonical: dict[str, pa.Array]) -> None:
        """Rows that share a key are all bad: which of them is right would be a guess."""
        if self.whole_file:
            return
        entities = canonical[key[-1]]
        dates = canonical[key[0]] if len(key) == 2 else None
        usable = entities.is_valid() if dates is None else pc.and_(entities.is_valid(), dates.is_valid())
        where = np.flatnonzero(usable.to_numpy(zero_copy_only=False))
        if not len(where):
            return
        known = pc.unique(entities).drop_null()
        codes = key_codes(None if dates is None else dates.take(where), entities.take(where), known)
        _, first, inverse, counts = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
        twice: Mask = np.zeros(len(entities), dtype=bool)
        twice[where] = counts[inverse] > 1
        if not twice.any():
            return
        words = _key_words(key, canonical)
        first_rows = dict(zip(where.tolist(), self.raw.rows[where[first[inverse]]].tolist(), strict=True))
        for i in np.flatnonzero(twice)[:LISTED].tolist():
            what = f"{words(i)} stands in this file more than once, first in row {first_rows[i]}"
            row = int(self.raw.rows[i])
            self.told.append(ContractProblem("unique key", what, "Keep one row for each key", row, ", ".join(key)))
        self.count += int(twice.sum())
        self.bad |= twice

    def verdict(
        self,
        table: str,
        canonical: dict[str, pa.Array],
        key: tuple[str, ...],
        on_bad_row: OnBadRow,
        notes: tuple[str, ...],
    ) -> Checked:
        """Refused, taken, or taken without its bad rows."""
        if self.whole_file:
            return _refused(table, self.whole_file, notes)
        told = tuple(sorted(self.told, key=lambda p: (p.row or 0, p.column or ""))[:LISTED])
        bad_rows = int(self.bad.sum()) + self.raw.ragged_count
        share = 0.0 if on_bad_row.up_to is None else on_bad_row.up_to.share
        allowed = share * (len(self.raw.rows) + self.raw.ragged_count)
        if bad_rows and (bad_rows > allowed or self.bad.all()):
            return Checked(table, None, told, self.count, notes=notes)
        rows = pa.table({name: array.filter(pa.array(~self.bad)) for name, array in canonical.items()})
        rows = rows.sort_by([(column, "ascending") for column in key]).combine_chunks()
        return Checked(table, rows, set_aside=told, set_aside_rows=bad_rows, notes=notes)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _true(mask: pa.Array) -> Mask:
    """Null counts as false."""
    out: Mask = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    return out


def _nulled(array: pa.Array, mask: Mask) -> pa.Array:
    return pc.if_else(pa.array(mask), pa.scalar(None, array.type), array) if mask.any() else array


def _as_dates(array: pa.Array) -> pa.Array | None:
    """As date32, null where a value is no date or has a time of day; None for a type that holds no dates."""
    if pa.types.is_date(array.type):
        return array.cast(pa.date32(), safe=False)
    if pa.types.is_timestamp(array.type):
        local = pc.local_timestamp(array) if array.type.tz else array
        dates = pc.floor_temporal(local, unit="day").cast(pa.date32(), safe=False)
        return pc.if_else(pc.equal(local, dates.cast(local.type, safe=False)), dates, pa.scalar(None, pa.date32()))
    if not (_is_text(array.type) or pa.types.is_integer(array.type)):
        return None
    coded = array.cast(pa.string()).dictionary_encode()
    parsed = pa.array([parse_date(text) for text in coded.dictionary.to_pylist()], pa.date32())
    return parsed.take(coded.indices)


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array; text trimmed, and missing where nothing is left."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if _is_text(array.type):
        array = pc.utf8_trim_whitespace(array.cast(pa.string()))
        array = pc.if_else(pc.equal(array, ""), pa.scalar(None, pa.string()), array)
    return array


def _shown_of(value: pa.Scalar) -> str:
    try:
        return _shown(value.as_py())
    except (OverflowError, ValueError):
        return "beyond the calendar"  # a day or an instant that Python has no name for


def _shown(value: object) -> str:
    """A value as a message shows it: -3 for -3.0, and never a page of text."""
    return f"{value:.15g}" if isinstance(value, float) else str(value)[:80]


def _key_words(key: tuple[str, ...], canonical: dict[str, pa.Array]) -> Callable[[int], str]:
    return lambda i: ", ".join(f"{column} {canonical[column][i].as_py()}" for column in key)
