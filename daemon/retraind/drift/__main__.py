"""`python -m retraind.drift REFERENCE CURRENT [--json]`: compares two Parquet or CSV files, column by column.

Exit codes: 0 compared, 1 a file cannot be read as a table (told on standard error), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from math import isnan
from typing import Any

from retraind.drift.tables import TableComparison, compare_tables

__all__ = ["as_json", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser("python -m retraind.drift", description="Compares two tables column by column.")
    parser.add_argument("reference", help="a .parquet or .csv file")
    parser.add_argument("current", help="another, held against it")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    told = parser.parse_args(arguments)
    try:
        found = compare_tables(told.reference, told.current)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    sys.stdout.write(f"{json.dumps(as_json(found)) if told.json else _plain(found)}\n")
    return 0


def as_json(found: TableComparison) -> dict[str, Any]:
    """The comparison as JSON can hold it: NaN is null, each column with `changed` and its `verdict`."""
    columns = [
        {**{k: _known(v) for k, v in asdict(c).items()}, "changed": c.changed, "verdict": c.verdict}
        for c in found.columns
    ]
    return {"version": 1, **asdict(found), "columns": columns}


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and isnan(value) else value


def _plain(found: TableComparison) -> str:
    """A line a column."""
    wide = max([len(name) for name in (*(c.name for c in found.columns), *found.left_out)], default=0)
    lines = [
        f"{c.name:<{wide}}  distance {c.distance:.3f}  PSI {c.psi:.3f}  p {c.p:.1e}  {'; '.join((c.verdict, *c.notes))}"
        for c in found.columns
    ]
    lines += [f"{name:<{wide}}  left out: {why}" for name, why in found.left_out.items()]
    sides = (("reference", found.only_reference), ("current", found.only_current))
    lines += [f"only in the {side}: {', '.join(names)}" for side, names in sides if names]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
