"""Drift as a library of its own: numpy, nothing of ours; usable without the daemon.

    statistics   the field's formulas on arrays: PSI, two-sample Kolmogorov-Smirnov, chi-squared, their p-values,
                 Benjamini-Hochberg; Jensen-Shannon and Wasserstein distances, tails
    laws         the tails of Kolmogorov's and of the chi-squared law
    reference    a column's reference, prepared once, held against any number of samples
    saved        references as bytes, to be held against samples elsewhere
    stream       distributions too large to hold, counted chunk by chunk, with the error of D stated
    verdict      which features changed (real and large), and whether a drop moved more than past drops did (maxT)
    damage       what no shift explains: vanished columns, values ten times too large, unknown codes
    tables       two whole tables held against each other: `compare_tables`, the door for who has no daemon
    files        the columns of Parquet and CSV files (through pyarrow, imported only there) and of arrays

It knows no settings and no dates: what is a window, and which columns make features, is the measure job's work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retraind.drift.tables import ColumnChange, TableComparison, compare_tables

__all__ = ["ColumnChange", "TableComparison", "compare_tables"]


def __getattr__(name: str) -> Any:
    """Loads what is named when it is asked for: who wants a part must not wait for all."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from retraind.drift import tables  # noqa: PLC0415

    return getattr(tables, name)
