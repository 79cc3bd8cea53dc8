"""One item's newest forecasts as they stand in the orders file, with what was sold lately."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.text import Cell, Line, Screen, table
from retrainctl.views.times import day, moment, parsed
from retraind.core.binding import nearest
from retraind.errors import Place, RetraindError, Usage

__all__ = ["drawn", "item", "trend"]

_BARS = "▁▂▃▄▅▆▇█"


def item(orders: Path, name: str, target: str) -> dict[str, Any]:
    """The rows of the item with that code or name. target: empty for all.

    Raises RetraindError when there is no orders file, Usage for an item that is not in it.
    """
    try:
        with orders.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise RetraindError(
            "there are no forecasts yet",
            where=Place(str(orders)),
            remedy="look at what is under way: retrainctl status",
        ) from None
    mine = [row for row in rows if name.casefold() in (row["item_code"].casefold(), row["item_name"].casefold())]
    if not mine:
        known = dict.fromkeys(word for row in rows for word in (row["item_code"], row["item_name"]) if word)
        raise Usage(f'"{name}" was not sold in the last 28 days', remedy=nearest(name, list(known)))
    first = mine[0]
    return {
        "version": 1,
        **{key: first[key] for key in ("item_code", "item_name", "origin_date", "data_until", "made_at")},
        "stale": first["stale"] == "true",
        "forecasts": [
            {
                "target": row["target"],
                "horizon": int(row["horizon_days"]),
                "target_date": row["target_date"],
                "forecast": float(row["forecast"]) if row["forecast"] else None,
                "unit": row["unit"],
                "source": row["source"],
                "version": int(row["version"]) if row["version"] else None,
            }
            for row in mine
            if not target or row["target"] == target
        ],
    }


def drawn(
    data: dict[str, Any], actuals: Mapping[str, Sequence[float | None]], on: Screen, zone: ZoneInfo, now: dt.datetime
) -> list[Line]:
    """What was sold, then a row a target and horizon. actuals: by target, a value a day up to the newest one."""
    today = now.astimezone(zone).date()
    until = dt.date.fromisoformat(data["data_until"])
    head = f"{data['item_name'] or data['item_code']}  {data['item_code'] if data['item_name'] else ''}".rstrip()
    lines: list[Line] = [
        [(head, "bold"), (f" · from {day(until, today)}, made {moment(parsed(data['made_at']), zone, now)}", "")]
    ]
    if data["stale"]:
        lines.append([(f" STALE: no complete day since {day(until, today)}", "yellow")])
    for target in dict.fromkeys(row["target"] for row in data["forecasts"]):
        values = actuals.get(target, ())
        if any(value is not None for value in values):
            last = next(value for value in reversed(values) if value is not None)
            lines.append([(f" {target:<8} ", ""), (trend(values), ""), (f"  {len(values)} days, last {last:g}", "")])
    rows: list[list[Cell]] = [
        [
            row["target"],
            f"h{row['horizon']}",
            day(dt.date.fromisoformat(row["target_date"]), today),
            "-" if row["forecast"] is None else f"{row['forecast']:g} {row['unit']}".rstrip(),
            _source(row),
        ]
        for row in data["forecasts"]
    ]
    return [*lines, [], *table(("TARGET", "AHEAD", "DAY", "FORECAST", "BY"), rows, on)]


def _source(row: dict[str, Any]) -> Cell:
    """Anything but the champion stands out."""
    name = row["source"].replace("_", " ")
    if row["source"] == "champion":
        return f"champion v{row['version']}"
    return (f"{name} v{row['version']}" if row["version"] else f"{name} !", "yellow")


def trend(values: Sequence[float | None]) -> str:
    """Eight heights between the smallest and the largest value; a dot where there is none."""
    known = [value for value in values if value is not None]
    low, span = min(known), (max(known) - min(known)) or 1.0
    return "".join("·" if v is None else _BARS[min(int(8 * (v - low) / span), 7)] for v in values)
