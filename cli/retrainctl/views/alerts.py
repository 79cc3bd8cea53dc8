"""Alerts: what a person was told of, and who took it."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.text import Cell, Line, Screen, Style, table
from retrainctl.views.times import count, iso, moment, parsed
from retraind.core.state import Delivery, State
from retraind.errors import told

__all__ = ["drawn_listing", "listing"]

_STYLES: dict[str, Style] = {"waiting": "yellow", "given_up": "red", "delivered": "green"}


def listing(state: State, newest: int | None) -> dict[str, Any]:
    """Every alert or the newest ones, the newest last."""
    found = sorted(state.alerts.values(), key=lambda a: a.seq)
    return {
        "version": 1, "total": len(found),
        "alerts": [
            {"key": a.key, "kind": a.kind, "at": iso(a.at), "words": a.words, "remedy": a.remedy,
             "deliveries": {name: _delivery(one) for name, one in a.deliveries.items()}}
            for a in (found if newest is None else found[-newest:])
        ],
    }  # fmt: skip


def _delivery(delivery: Delivery) -> dict[str, Any]:
    return {"state": delivery.state, "tries": delivery.tries, "what": delivery.what}


def drawn_listing(data: dict[str, Any], on: Screen, zone: ZoneInfo, now: dt.datetime) -> list[Line]:
    """A row an alert."""
    if not data["alerts"]:
        return [[("no alert was raised yet", "")]]
    rows: list[list[Cell]] = [
        [moment(parsed(a["at"]), zone, now), a["kind"].replace("_", " "), _taken(a["deliveries"]), told(a["words"], a["remedy"])]
        for a in data["alerts"]
    ]
    lines = table(("RAISED", "KIND", "DELIVERED", "WHAT"), rows, on)
    hidden = data["total"] - len(data["alerts"])
    return [[(f" {count(hidden, 'older alert')}: add --all", "dim")], *lines] if hidden else lines


def _taken(deliveries: dict[str, Any]) -> Cell:
    """`ops`, or the channel that did not take it, which is what matters more."""
    if not deliveries:
        return "to nobody", "yellow"
    for state in ("given_up", "waiting"):
        for name, one in deliveries.items():
            if one["state"] == state:
                why = f": {one['what']}" if one["what"] else ""
                return f"{name} {state.replace('_', ' ')}{why}", _STYLES[state]
    return ", ".join(deliveries), _STYLES["delivered"]
