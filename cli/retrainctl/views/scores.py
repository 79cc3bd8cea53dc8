"""Live errors: the champion's WAPE beside forecasts that cost nothing, by month, week or category.

Read from the journal's `forecast.scored` events, so that the screen covers everything that was ever scored. Forecasters stand
beside one another on the days on which they were scored on the same rows, by the rows' digest; other days are left out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any, Literal

from retrainctl.text import Cell, Line, Screen, labelled, table
from retrainctl.views.times import count
from retraind.core.figures import BASELINES
from retraind.journal import read

__all__ = ["BY", "By", "drawn", "scores"]

By = Literal["all", "month", "week", "category"]
BY: tuple[str, ...] = ("month", "week", "category")
_OTHERS = ("challenger", "previous", "last_good")
_UNSOLD = "not sold that day"


@dataclass(frozen=True)
class _Part:
    """Sums of one forecaster on one day."""

    who: str
    digest: int
    rows: int
    error: float
    signed: float
    actual: float
    unanswered: int

    def __add__(self, other: _Part) -> _Part:
        return _Part(
            self.who if self.who == other.who else "",
            (self.digest + other.digest) % 2**64,
            self.rows + other.rows,
            self.error + other.error,
            self.signed + other.signed,
            self.actual + other.actual,
            self.unanswered + other.unanswered,
        )


_Key = tuple[str, int, str, str]
"""Target, horizon, period, issued or backcast."""
_Days = dict[str, dict[str, dict[str, _Part]]]
"""Day -> role (of a naive forecast its name) -> forecaster -> sums."""


# ---- gathering ----


def scores(connection: Connection, pipeline: str, target: str, by: By) -> dict[str, Any]:
    """A row a target, horizon and period, and within it one of what was issued and one of backcasts.

    target: empty for all. Periods are of the day that was forecast; categories are not told apart by issued or not.
    """
    found: dict[_Key, _Days] = {}
    totals = {"corrected": 0, "expired": 0, "from": "", "to": ""}
    for seq, event in read.bodies(connection, pipeline, "forecast.scored"):
        for name in ("corrected", "expired"):
            totals[name] += event.get(name, 0)
        for cell in event.get("slices" if by == "category" else "cells", ()):
            if not target or cell["target"] == target:
                _take(found, cell, by, str(seq))
        dates = [cell["date"] for cell in event.get("cells", ())]
        totals["from"] = min((d for d in (totals["from"], *dates) if d), default="")
        totals["to"] = max((totals["to"], *dates))
    rows = [_row(key, days) for key, days in sorted(found.items())]
    return {"version": 1, "by": by, **totals, "rows": rows}


def _take(found: dict[_Key, _Days], cell: Mapping[str, Any], by: By, seq: str) -> None:
    if by == "category":
        period, made, day = (cell["category"] if cell["observed"] else _UNSOLD), "both", seq
    else:
        period, made, day = _period(cell["date"], by), "issued" if cell["issued"] else "backcast", cell["date"]
    who, sums = cell["forecaster"], cell["sums"]
    role = who if who in BASELINES else cell["role"]
    part = _Part(who, int(sums["digest"], 16), sums["rows"], sums["error"], sums["signed"], sums["actual"],
                 sums.get("unanswered", 0))  # fmt: skip
    by_who = (
        found.setdefault((cell["target"], cell["horizon"], period, made), {}).setdefault(day, {}).setdefault(role, {})
    )
    by_who[who] = by_who[who] + part if who in by_who else part


def _period(date: str, by: By) -> str:
    if by == "month":
        return date[:7]
    if by == "week":
        year, week, _ = dt.date.fromisoformat(date).isocalendar()
        return f"{year}-W{week:02d}"
    return ""


def _row(key: _Key, days: _Days) -> dict[str, Any]:
    target, horizon, period, made = key
    champion = _series(days, "champion")
    on = champion or _series(days, BASELINES[0])
    naive = {name: _figures(_series(days, name), on) for name in BASELINES}
    others = {role: _beside(_series(days, role), champion) for role in _OTHERS}
    return {
        "target": target,
        "horizon": horizon,
        "period": period,
        "made": made,
        "rows": sum(part.rows for part in on.values()),
        "dates": len(on),
        "champion": _figures(champion, champion),
        "versions": sorted({int(part.who) for part in champion.values() if part.who}),
        **naive,
        **others,
    }


def _series(days: _Days, role: str) -> dict[str, _Part]:
    """The role's sums on each day on which it stands on the naive forecasts' rows.

    Where several versions held a role on a day, the one that was there first; or all of them, where they share the rows.
    """
    found = {}
    for day, by_role in days.items():
        (base,) = by_role.get(BASELINES[0], {"": None}).values()
        parts = sorted(by_role.get(role, {}).values(), key=lambda part: (len(part.who), part.who))
        fitting = [part for part in (*parts, *_pooled(parts)) if base and part.digest == base.digest]
        if fitting:
            found[day] = fitting[0]
    return found


def _pooled(parts: list[_Part]) -> list[_Part]:
    total = parts[0] if parts else None
    for part in parts[1:]:
        total = total + part if total else part
    return [total] if total else []


def _figures(series: Mapping[str, _Part], days: Iterable[str]) -> dict[str, float | int | None] | None:
    """WAPE and bias in percent over exactly these days; None without them all."""
    wanted = list(days)
    if not wanted or not series.keys() >= set(wanted):
        return None
    kept = [series[day] for day in wanted]
    actual = sum(part.actual for part in kept)
    return {
        "wape": round(100 * sum(part.error for part in kept) / actual, 4) if actual else None,
        "bias": round(100 * sum(part.signed for part in kept) / actual, 4) if actual else None,
        "unanswered": sum(part.unanswered for part in kept),
    }


def _beside(series: Mapping[str, _Part], champion: Mapping[str, _Part]) -> dict[str, Any] | None:
    """A version's figures on the days that it shares with the champion, and the champion's on them."""
    shared = series.keys() & champion.keys()
    mine, theirs = _figures(series, shared), _figures(champion, shared)
    return {**mine, "dates": len(shared), "champion_wape": theirs["wape"]} if mine and theirs else None


# ---- drawing ----


def drawn(data: dict[str, Any], on: Screen) -> list[Line]:
    """A table a target."""
    if not data["rows"]:
        return [[("nothing scored yet: a forecast is scored when the day that it is for has come", "")]]
    lines: list[Line] = [[(f"WAPE in % on the same rows, days from {data['from']} to {data['to']}", "bold")]]
    for target in dict.fromkeys(row["target"] for row in data["rows"]):
        rows = [row for row in data["rows"] if row["target"] == target]
        lines += [[], [(target, "bold")], *_table(rows, data["by"], on)]
    told = [f"{count(data['corrected'], 'actual')} corrected after scoring"] if data["corrected"] else []
    told += [f"{count(data['expired'], 'forecast')} expired without an actual"] if data["expired"] else []
    return [*lines, [], *labelled("ALSO", ", ".join(told), on)] if told else lines


def _table(rows: list[dict[str, Any]], by: By, on: Screen) -> list[Line]:
    others = [role for role in _OTHERS if any(row[role] for row in rows)]
    period = [] if by == "all" else [by.upper()]
    made = [] if by == "category" else ["MADE"]
    names = ["CHAMPION", *(name.split("_")[0].upper() for name in BASELINES), *(role.upper() for role in others)]
    cells: list[list[Cell]] = [
        [
            *([row["period"] or "-"] if period else []),
            f"h{row['horizon']}",
            *([row["made"]] if made else []),
            _champion(row),
            *(_wape(row[name]) for name in BASELINES),
            *(_against(row[role]) for role in others),
            f"{count(row['rows'], 'row')}" + (f", {count(row['dates'], 'date')}" if made else ""),
        ]
        for row in rows
    ]
    return table([*period, "AHEAD", *made, *names, "ROWS"], cells, on)


def _champion(row: dict[str, Any]) -> Cell:
    """Marked when it loses to one of the naive forecasts."""
    text = _wape(row["champion"])
    naive = [row[name]["wape"] for name in BASELINES if row[name] and row[name]["wape"] is not None]
    if text == "-" or not naive:
        return text
    return (text, "green") if row["champion"]["wape"] < min(naive) else (f"{text} !", "yellow")


def _wape(figures: dict[str, Any] | None) -> str:
    return "-" if figures is None or figures["wape"] is None else f"{figures['wape']:.2f}"


def _against(figures: dict[str, Any] | None) -> str:
    """`31.20 -2.1 %`: its own, and relative to the champion's on the days that they share."""
    if figures is None or figures["wape"] is None or not figures["champion_wape"]:
        return "-"
    return f"{figures['wape']:.2f} {100 * (figures['wape'] / figures['champion_wape'] - 1):+.1f} %"
