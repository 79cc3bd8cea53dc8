"""References as bytes: prepared once, where the data are, and held against samples anywhere else.

A column of numbers is saved whole where it has few distinct values, so that D against it is exact, and as a summary of 4,096
points otherwise, with the error of D that this costs; a column of categories as its counts. Ninety columns take a few MB.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from retraind.drift.reference import CategoryReference, Difference, NumericReference, Reference, compare
from retraind.drift.statistics import Empirical
from retraind.drift.stream import POINTS, Summary, Tally, compare_summaries, summarize

__all__ = ["Saved", "compact", "compare_saved", "from_bytes", "to_bytes"]

VERSION = 1
"""Of the saved form; raise it when an older reader would misread the bytes."""
Saved = Reference | Summary


def compact(reference: Reference, most: int = POINTS) -> Saved:
    """A reference as it is saved: a summary where it has more than `most` distinct values."""
    if isinstance(reference, CategoryReference) or len(reference.sample.values) <= most:
        return reference
    return summarize(reference, most)


def compare_saved(reference: Saved, values: npt.ArrayLike) -> Difference:
    """Hold a sample, shape (rows,), against a saved reference; its `error` says how far off the distance may be."""
    if isinstance(reference, Summary):
        return compare_summaries(reference, Tally(reference.points, reference.edges).add(values).summary())
    return compare(reference, values)


def to_bytes(references: Mapping[str, Saved]) -> bytes:
    """References by column, as a compressed npz without pickles."""
    columns: list[dict[str, object]] = []
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for i, (name, reference) in enumerate(references.items()):
        head: dict[str, object] = {"name": name, "missing": reference.missing}
        if isinstance(reference, CategoryReference):
            head["counts"] = dict(reference.counts)
        elif isinstance(reference, Summary):
            head |= {"rows": reference.rows, "error": reference.error}
            arrays |= {
                f"values{i}": reference.points,
                f"up_to{i}": np.diff(reference.up_to, prepend=0),
                f"below{i}": np.diff(reference.below, prepend=0),
                f"edges{i}": reference.edges,
                f"bins{i}": reference.counts,
            }
        else:
            arrays |= {f"values{i}": reference.sample.values, f"rows{i}": np.diff(reference.sample.below),
                       f"edges{i}": reference.edges}  # fmt: skip
        columns.append(head)
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps({"version": VERSION, "columns": columns}).encode(), dtype=np.uint8)
    np.savez_compressed(buffer, allow_pickle=False, head=text, **arrays)
    return buffer.getvalue()


def from_bytes(raw: bytes) -> dict[str, Saved]:
    """What `to_bytes` saved. Raises ValueError when it is of another version or no such file."""
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            head = json.loads(file["head"].tobytes())
            if head["version"] != VERSION:
                raise ValueError(f"a drift reference of version {head['version']}, this release reads {VERSION}")
            return {column["name"]: _read(column, i, file) for i, column in enumerate(head["columns"])}
    except (KeyError, OSError, EOFError, BadZipFile) as error:
        raise ValueError(f"this is no saved drift reference: {error}") from error


def _read(column: Mapping[str, object], i: int, file: Mapping[str, npt.NDArray[np.generic]]) -> Saved:
    missing = int(column["missing"])  # type: ignore[call-overload]
    if "counts" in column:
        return CategoryReference(dict(column["counts"]), missing)  # type: ignore[call-overload]
    values, edges = file[f"values{i}"].astype(np.float64), file[f"edges{i}"].astype(np.float64)
    if "rows" in column:
        up_to, below = (np.cumsum(file[f"{part}{i}"]).astype(np.int64) for part in ("up_to", "below"))
        counts = file[f"bins{i}"].astype(np.int64)
        return Summary(values, up_to, below, edges, counts, int(column["rows"]), missing)  # type: ignore[call-overload]
    below = np.concatenate(([0], np.cumsum(file[f"rows{i}"]))).astype(np.int64)
    # every edge is a reference value, and a bin includes its edge
    counts = np.diff(below[np.concatenate(([0], np.searchsorted(values, edges) + 1, [len(values)]))])
    return NumericReference(Empirical.of(values, below), edges, counts, missing)
