"""Jobs `survey` and `examine`: what waiting drops hold, and whether it may enter the store.

`survey` reads as little as it can, so that on the data clock many drops can be put in the order of their dates.
`examine` checks each drop in the order given, writes what is good into the store, and counts what it brings against the
store as it is by then, the drops before it in the same job included. Then it looks how full the newest days are that
they brought. Files stay where they lie: moving them is the daemon's.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import stat
import traceback
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from retraind.core.events import ContractProblem, StoreFile
from retraind.core.steps import (
    Accepted,
    Damaged,
    Dated,
    Examine,
    Examined,
    Quarantined,
    SameContent,
    Survey,
    Surveyed,
    WaitingDrop,
)
from retraind.errors import RetraindError
from retraind.failpoint import failpoint
from retraind.jobs.child import JobContext
from retraind.jobs.data import contract as contracts
from retraind.jobs.data import store, tabular
from retraind.jobs.data.completeness import days_of, look_at
from retraind.jobs.data.damage_look import Recent, damages
from retraind.jobs.data.tabular import Unreadable
from retraind.settings import Contract

__all__ = ["examine", "survey"]

_AGAIN = "Write it to another name, then rename it into the drops folder"


def survey(step: Survey, job: JobContext) -> Surveyed:
    """Table and last date of each drop; None where the name fits no table, or no date can be read."""
    dated = []
    for i, drop in enumerate(step.drops):
        job.progress(f"looking at {drop.name}", i, len(step.drops))
        table = contracts.table_of(job.config.contract, drop.name)
        dated.append(Dated(drop.drop, table, _last_date(job.root / drop.path, drop.name, job.config.contract, table)))
    return Surveyed(tuple(dated))


def examine(step: Examine, job: JobContext) -> Examined:
    """One end for each drop. Raises RetraindError when the store cannot be read or written."""
    store.sweep(job.state)
    config = job.config
    bench = _Bench(list(step.store), Recent(job.state, config.contract), set(step.look), {}, [])
    ends = []
    for i, drop in enumerate(step.drops):
        job.progress(f"examining {drop.name}", i, len(step.drops))
        failpoint("examine.before_drop")
        ends.append(_examine_one(drop, bench, step.today, job))
    looks = look_at(job.state, bench.sound, config.contract, config.drops, bench.touched, step.incomplete)
    return Examined(
        accepted=tuple(end for end in ends if isinstance(end, Accepted)),
        quarantined=tuple(end for end in ends if isinstance(end, Quarantined)),
        same=tuple(end for end in ends if isinstance(end, SameContent)),
        days=looks,
        damaged=tuple(bench.damaged),
    )


@dataclass
class _Bench:
    """What an examination knows while it goes from drop to drop."""

    sound: list[StoreFile]
    """The store by now, damaged drops not among them."""
    recent: Recent
    touched: set[dt.date]
    """Days of accepted main drops."""
    broken: dict[str, StoreFile]
    """Files of damaged drops, by sha256."""
    damaged: list[Damaged]


def _examine_one(
    drop: WaitingDrop, bench: _Bench, today: dt.date, job: JobContext
) -> Accepted | Quarantined | SameContent:
    """The drop's end; an accepted one is on the bench then, as sound or as damaged."""
    contract, drops = job.config.contract, job.config.drops
    table = contracts.table_of(contract, drop.name)
    try:
        data = _bytes_that_arrived(job.root / drop.path, drop)
    except Unreadable as error:
        return Quarantined(drop.drop, (error.problem,), 1)
    try:
        checked = contracts.check(data, drop.name, contract, table, today=today, on_bad_row=drops.on_bad_row)
    except (MemoryError, OSError, RetraindError):
        raise  # the machine's fault
    except Exception as error:  # noqa: BLE001 (we stumbled over what this drop holds: the others must not wait for our mending)
        traceback.print_exc()
        what = f"examining it failed: {type(error).__name__}: {error}"
        problem = ContractProblem("can be examined", what[:300], f"Report it with the log in {job.folder}")
        return Quarantined(drop.drop, (problem,), 1)
    if checked.rows is None or table is None:
        return Quarantined(drop.drop, checked.problems, checked.problem_count)
    sha256 = store.content_hash(table, checked.rows)
    came = (*bench.sound, *bench.broken.values())
    known = next((file for file in came if file.table == table and file.sha256 == sha256), None)
    if known is not None:
        return SameContent(drop.drop, known.drop)
    brings = store.compare(job.state, bench.sound, contract, table, checked.rows)
    file = store.write(job.state, contract, table, checked.rows, drop=drop.drop)
    found = damages(bench.recent, bench.sound, contract, job.config.drift, table, checked.rows, file)
    if found:
        bench.broken[sha256] = file
        bench.damaged.append(Damaged(drop.drop, found))
    else:
        bench.sound.append(file)
    if table == contract.main and not found:
        bench.touched |= days_of(contract, checked.rows)
    return Accepted(
        drop=drop.drop,
        file=file,
        role=contract.tables[table].role,
        new_rows=brings.new,
        replaced_rows=brings.replaced,
        unchanged_rows=brings.unchanged,
        set_aside=checked.set_aside,
        set_aside_rows=checked.set_aside_rows,
        notes=checked.notes,
    )


def _bytes_that_arrived(path: Path, drop: WaitingDrop) -> bytes:
    """The file's bytes, read once, so that what is hashed is what is examined. Raises Unreadable."""
    try:
        data = _bytes_of(path)
    except FileNotFoundError:
        what = "the file was taken away before it was examined"
        raise Unreadable("vanished", what, "Put it into the drops folder again") from None
    except OSError as error:
        what = f"the file cannot be read: {error.strerror}"
        raise Unreadable("readable", what, "Check its permissions and the disk") from error
    if hashlib.sha256(data).hexdigest() != drop.sha256:
        raise Unreadable("changed while waiting", "the file was written to after it had arrived", _AGAIN)
    return data


def _bytes_of(path: Path) -> bytes:
    """As many as it has when it is opened. A link or a pipe that took the file's place is not waited for. Raises OSError, and
    Unreadable for more than are read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 (it is open already)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("changed while waiting", "something that is no file took the file's place", _AGAIN)
        tabular.refuse_too_heavy(status.st_size)
        return file.read(status.st_size + 1)


def _last_date(path: Path, name: str, contract: Contract, table: str | None) -> dt.date | None:
    if table is None or contract.date not in contract.tables[table].columns:
        return None
    try:
        if tabular.kind_of(name) == "parquet":
            noted = _noted_last_date(path, contract.date)
            if noted is not None:
                return noted
        raw = tabular.read_columns(_bytes_of(path), name, (contract.date,))
        return contracts.latest_date(raw, contract.date) if contract.date in raw.header else None
    except (Unreadable, OSError, ValueError, pa.ArrowException):  # its examination will tell
        return None


def _noted_last_date(path: Path, column: str) -> dt.date | None:
    """The largest date by the statistics of a Parquet file's row groups, where it has them."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        metadata = pa.parquet.read_metadata(path)
    except (pa.ArrowException, OSError):
        return None
    names = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
    if column not in names:
        return None
    at = names.index(column)
    found = []
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(at).statistics
        if statistics is None or not statistics.has_min_max:
            return None
        with contextlib.suppress(OverflowError, ValueError):  # beyond the calendar
            found.append(statistics.max)
    latest = max(found, default=None)
    if isinstance(latest, dt.datetime):
        return latest.date()
    return latest if isinstance(latest, dt.date) else None
