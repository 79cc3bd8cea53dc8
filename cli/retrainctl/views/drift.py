"""What drift was measured: the newest window feature by feature, one feature window by window; and two files compared.

What was measured is read from the journal's `drift.measured` events, so that the screen answers while the daemon is down. A
feature's rank is among the windows that the journal holds; the window's own is among all past ones, the history's included.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from sqlite3 import Connection
from typing import Any

from retrainctl.text import Cell, Line, Screen, Style, clipped, labelled, table, wrapped
from retrainctl.views.times import count, day, iso
from retraind.core.binding import nearest, unbind
from retraind.core.events import DriftFeature, DriftMeasured, DriftSkipped
from retraind.core.state import Flow
from retraind.errors import Usage
from retraind.journal import read

__all__ = ["drawn_comparison", "drawn_feature", "drawn_window", "feature", "held_back", "sparkline", "window"]

STRIP = 16
"""Windows of a sparkline, the newest at its right end."""
_BARS = "▁▂▃▄▅▆▇█"
_FIGURES = 44
"""Columns that everything but the name takes in a row of figures."""


# ---- gathering ----


def window(connection: Connection, flow: Flow, pipeline: str, fdr: float) -> dict[str, Any]:
    """The newest measured window with all its features, what came of the windows before, and drops that are held back.

    fdr: the rate at which a change counts as real, `drift.fdr` of the settings.
    """
    measured, skipped = _events(connection, pipeline)
    note = {"last_date": iso(skipped.last_date), "why": skipped.why} if skipped else None
    if not measured:
        return {"version": 1, "window": None, "windows": [], "features": [], "skipped": note, "damaged": held_back(flow)}
    last = measured[-1]
    return {
        "version": 1,
        "window": {key: value for key, value in unbind(last).items() if key != "features"},
        "windows": [_mark(event) for event in measured[-STRIP:]],
        "features": [_row(measured, moved, fdr) for moved in last.features],
        "skipped": note,
        "damaged": held_back(flow),
    }


def held_back(flow: Flow) -> list[dict[str, Any]]:
    """Drops that look damaged, until a person says what they are."""
    return [
        {"drop": name, "name": flow.drops[name].name, "words": held.words, "damages": unbind(held.damages)}
        for name, held in flow.damaged.items()
    ]


def feature(connection: Connection, pipeline: str, name: str, fdr: float) -> dict[str, Any]:
    """One feature in every window that the journal holds, oldest first. Raises Usage for a name that none measured."""
    measured, _ = _events(connection, pipeline)
    known = list(dict.fromkeys(f.feature for event in reversed(measured) for f in event.features))
    if name not in known:
        see = nearest(name, known) if known else "no window was measured yet; see: retrainctl status"
        raise Usage(f'there is no drift feature "{name}"', remedy=see)
    rows = []
    for i, event in enumerate(measured):
        if moved := _found(event, name):
            figures = _row(measured[: i + 1], moved, fdr)
            rows.append(
                {"first_date": iso(event.first_date), **_mark(event), **_without(figures, "feature", "history")}
            )
    return {"version": 1, "feature": name, "windows": rows}


def _events(connection: Connection, pipeline: str) -> tuple[list[DriftMeasured], DriftSkipped | None]:
    """All measured windows, and the window that was skipped after the last of them."""
    measured: list[DriftMeasured] = []
    skipped: DriftSkipped | None = None
    for record in read.records(connection, kinds=("drift.measured", "drift.skipped")):
        if record.pipeline != pipeline:
            continue
        if isinstance(record.event, DriftMeasured):
            measured.append(record.event)
            skipped = None
        else:
            skipped = record.event
    return measured, skipped


def _mark(event: DriftMeasured) -> dict[str, Any]:
    return {"last_date": iso(event.last_date), "drop": event.drop, "drifting": event.drifting}


def _without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key not in names}


def _found(event: DriftMeasured, name: str) -> DriftFeature | None:
    return next((f for f in event.features if f.feature == name), None)


def _row(measured: Sequence[DriftMeasured], moved: DriftFeature, fdr: float) -> dict[str, Any]:
    """A feature's figures in the last of these windows, its rank among them and its verdict in words."""
    all_of_it = [_found(event, moved.feature) for event in measured]
    sizes = [size for f in all_of_it if f and (size := _size(f)) is not None]
    mine = _size(moved)
    return {
        **unbind(moved),
        "rank": None if mine is None else 1 + sum(size > mine for size in sizes),
        "among": len(sizes),
        "words": _verdict(moved, fdr),
        "history": [f.scaled if f else None for f in all_of_it[-STRIP:]],
    }


def _size(moved: DriftFeature) -> float | None:
    """What a feature is ranked by: D, and PSI of a category, which has no D."""
    return moved.psi if moved.d is None else moved.d


def _verdict(moved: DriftFeature, fdr: float) -> str:
    """One of six verdicts. "Usual" is what 9 of 10 past windows stayed below."""
    if moved.p is None:
        return "not comparable: no value on one side"
    if not moved.changed:
        return "real but small" if moved.p <= fdr else "no more than chance"
    if moved.scaled is None:
        return "changed; too little past to say how usual that is"
    return "changed, more than usual" if moved.scaled > 1 else "changed, as it usually does"


# ---- drawing ----


def sparkline(values: Iterable[float | None]) -> str:
    """Eight heights, the highest for the largest value and at least for 1, the usual; a dot where there is no figure."""
    held = list(values)
    top = max((v for v in held if v is not None), default=0.0)
    top = max(top, 1.0)
    return "".join("·" if v is None else _BARS[min(int(8 * v / top), 7)] for v in held)


def drawn_window(data: dict[str, Any], on: Screen, today: dt.date) -> list[Line]:
    """The window's verdict, then a row a feature, those that moved most by their own measure first."""
    last = data["window"]
    if not last:
        none: Line = [("no window measured yet: the first comes after the first training", "")]
        return [none, *_skipped(data, on, today), *_damaged(data, on)]
    word, style = _drifting(last["drifting"])
    rank = f" · rank {last['rank']} of {last['past']} past windows" if last["rank"] else ""
    lines: list[Line] = [
        [
            (f"drift of {_days(last, today)} · ", "bold"),
            (word, style),
            (f" · {count(last['rows'], 'row')}{rank}", "bold"),
        ]
    ]
    lines += labelled("WHY", last["why"], on)
    lines += labelled("WINDOWS", "".join("▲" if w["drifting"] else "·" for w in data["windows"]), on)
    if last["forecasts"]:
        lines += labelled("FORECASTS", last["forecasts"], on, style="yellow")
    if last["finds"]:
        lines += labelled("POWER", f"{count(last['rows'], 'row')} find a change of D {last['finds']:.2f} nine times of ten", on)
    if last["report"]:
        lines += labelled("REPORT", f"{last['report']} in the state folder", on)
    lines += _skipped(data, on, today)
    lines += _damaged(data, on)
    rows: list[list[Cell]] = [
        [clipped(f["feature"], max(on.width - _FIGURES, 12)), *_figures(f), f"{sparkline(f['history'])}  {f['words']}"]
        for f in data["features"]
    ]
    return [*lines, [], *table(("FEATURE", *_HEADERS, "LAST WINDOWS, VERDICT"), rows, on)]


def drawn_feature(data: dict[str, Any], on: Screen, today: dt.date) -> list[Line]:
    """A row a window, the newest first."""
    strip = sparkline(w["scaled"] for w in data["windows"][-STRIP:])
    head: Line = [(f"{data['feature']}  ", "bold"), (strip, "")]
    rows: list[list[Cell]] = []
    for held in reversed(data["windows"]):
        word, style = _drifting(held["drifting"])
        rows.append([_days(held, today), (word, style), *_figures(held), held["words"]])
    return [head, *table(("WINDOW", "DRIFT", *_HEADERS, "VERDICT"), rows, on)]


_HEADERS = ("PSI", "D", "P", "CHANGED", "TIMES", "RANK")


def _figures(moved: dict[str, Any]) -> list[Cell]:
    """PSI, D, p, whether it changed, times what is usual, rank among the windows measured so far."""
    rank = f"{moved['rank']} of {moved['among']}" if moved["rank"] else "-"
    changed: Cell = ("yes", "yellow") if moved["changed"] else "no"
    return [*(_short(moved[key]) for key in ("psi", "d", "p")), changed, _short(moved["scaled"], 1), rank]


def _short(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if value == 0 or value >= 0.005 else f"{value:.0e}"


def _days(held: dict[str, Any], today: dt.date) -> str:
    first, last = (dt.date.fromisoformat(held[key]) for key in ("first_date", "last_date"))
    return day(last, today) if first == last else f"{day(first, today)} to {day(last, today)}"


def _drifting(drifting: bool) -> tuple[str, Style]:
    return ("drifting", "yellow") if drifting else ("quiet", "")


def _skipped(data: dict[str, Any], on: Screen, today: dt.date) -> list[Line]:
    if not (skipped := data["skipped"]):
        return []
    until = day(dt.date.fromisoformat(skipped["last_date"]), today)
    return labelled("SKIPPED", f"days to {until} could not be measured: {skipped['why']}", on, style="yellow")


def _damaged(data: dict[str, Any], on: Screen) -> list[Line]:
    lines: list[Line] = []
    for one in data["damaged"]:
        text = f"drop {one['drop']} ({one['name']}) is held back and not measured: {one['words']}"
        lines += labelled("DAMAGED", text, on, style="red")
    return lines


# ---- two files ----


def drawn_comparison(data: dict[str, Any], reference: str, current: str, on: Screen) -> list[Line]:
    """A row a column, those that changed first, then what was left out and why."""
    columns = data["columns"]
    changed = sum(c["changed"] for c in columns)
    head = (f"{current} ({count(data['current_rows'], 'row')}) beside {reference} ({count(data['reference_rows'], 'row')}): "
            f"{changed} of {count(len(columns), 'column')} changed")  # fmt: skip
    lines: list[Line] = [[(part, "bold")] for part in wrapped(head, on.width)]
    rows: list[list[Cell]] = [
        [
            clipped(c["name"], max(on.width - _FIGURES, 12)),
            *(_short(c[key]) for key in ("psi", "distance", "p")),
            f"{_share(c['missing_reference'])} → {_share(c['missing_current'])}",
            ("; ".join((c["verdict"], *c["notes"])), "yellow" if c["changed"] else ""),
        ]
        for c in columns
    ]
    lines += table(("COLUMN", "PSI", "D", "P", "MISSING", "VERDICT"), rows, on)
    for name, why in data["left_out"].items():
        lines += labelled("LEFT OUT", f"{name}: {why}", on)
    for file, names in ((reference, data["only_reference"]), (current, data["only_current"])):
        if names:
            lines += labelled("ONLY IN", f"{file}: {', '.join(names)}", on)
    return lines


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
