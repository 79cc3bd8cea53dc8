"""How sure a version's test figures are, and how they spread: 95 % intervals, p-values, figures by category.

The arithmetic is the training's; here stands what is shown of it. A version of an older release, or one that nobody could be
compared with, has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retrainctl.text import Cell, Line, Screen, table
from retraind.core.binding import unbind
from retraind.core.state import Model, Version

__all__ = ["chance", "drawn_chance", "drawn_slices", "slices"]

_LABELS = {"wape": "WAPE", "mape": "MAPE", "rmse": "RMSE", "bias": "bias"}
_SHOWN_SLICES = 12
"""Values of a column on the screen; JSON has all."""


def chance(model: Model, version: Version) -> dict[str, Any]:
    """Intervals by metric and horizon, and the tests against the champion's recipe by loss and horizon."""
    return {
        "intervals": unbind(version.candidate.intervals),
        "significance": unbind(version.candidate.significance),
        "against": _against(model, version) if version.candidate.significance else None,
        "look_days": model.look_days.get(version.request),
    }


def _against(model: Model, version: Version) -> int | None:
    result = model.results.get(version.request)
    return result.champion_version if result else None


def slices(model: Model, version: Version) -> dict[str, Any]:
    """Column -> value -> rows by horizon, WAPE of the version and of the champion's recipe by horizon."""
    result = model.results.get(version.request)
    theirs = result.champion_slices if result else {}
    return {
        column: {
            value: {
                "dates": {h: r.dates for h, r in rows.items()}, "rows": {h: r.rows for h, r in rows.items()},
                "wape": _wape(version.candidate.slices, column, value), "champion": _wape(theirs, column, value),
            }
            for value, rows in values.items()
        }
        for column, values in (result.slice_rows if result else {}).items()
    }  # fmt: skip


def _wape(figures: Mapping[str, Any], column: str, value: str) -> dict[str, float | None]:
    return dict(figures.get(column, {}).get(value, {}).get("wape", {}))


def drawn_chance(data: Mapping[str, Any], on: Screen) -> list[Line]:
    """A row an interval, a row a loss with its p. Nothing where nothing is known."""
    intervals, tests = data["intervals"], data["significance"]
    columns = _days({h for by in intervals.values() for h in by} | {key.partition(".")[2] for key in tests})
    rows: list[list[Cell]] = [
        [f"{_LABELS[m]}, 95 %", *(_interval(intervals[m].get(h)) for h in columns), ""] for m in _LABELS if m in intervals
    ]
    who = f" beside v{data['against']}'s recipe" if data["against"] else ""
    for metric in dict.fromkeys(key.partition(".")[0] for key in tests):
        rows.append([f"p of {_LABELS[metric]}{who}", *(_p(tests.get(f"{metric}.{h}")) for h in columns), ""])
    lines = table(("TEST", *columns, ""), rows, on) if rows else []
    return [*lines, [(f" {_note(tests, data['look_days'])}", "dim")]] if tests else lines


def _note(tests: Mapping[str, Any], look_days: float | None) -> str:
    """What the p-values are corrected for."""
    among = max(test["candidates"] for test in tests.values())
    words = [f"p after Holm over {among} searched" if among > 1 else "p of one candidate"]
    words += [f"{look_days:.0f} d since the last look"] if look_days is not None else []
    words += ["?: not calibrated"] if any(not test["calibrated"] for test in tests.values()) else []
    return "; ".join(words)


def _days(found: set[str]) -> list[str]:
    return sorted(found, key=lambda h: int(h[1:]))


def _interval(pair: Any) -> str:
    return "-" if pair is None else f"{pair[0]:.4g} to {pair[1]:.4g}"


def _p(test: Mapping[str, Any] | None) -> Cell:
    if test is None or test["adjusted"] is None:
        return "-"
    return f"{test['adjusted']:.2g}" if test["calibrated"] else (f"{test['adjusted']:.2g} ?", "yellow")


def drawn_slices(data: Mapping[str, Any], on: Screen) -> list[Line]:
    """WAPE by each column's values, the version's and in brackets the champion's recipe's; those with the most rows."""
    lines: list[Line] = []
    for column, values in data.items():
        columns = _days({h for one in values.values() for h in one["rows"]})
        most = sorted(values, key=lambda v: -max(values[v]["rows"].values(), default=0))[:_SHOWN_SLICES]
        rows: list[list[Cell]] = [
            [value, *(_pair(values[value], h) for h in columns), str(max(values[value]["dates"].values(), default=0))]
            for value in most
        ]
        heads = [f"{h} (champion)" if i == 0 else h for i, h in enumerate(columns)]
        lines += [[], *table((f"WAPE, test, by {column}", *heads, "DATES"), rows, on)]
    return lines


def _pair(one: Mapping[str, Any], horizon: str) -> str:
    own, theirs = one["wape"].get(horizon), one["champion"].get(horizon)
    return ("-" if own is None else f"{own:.2f}") + ("" if theirs is None else f" ({theirs:.2f})")
