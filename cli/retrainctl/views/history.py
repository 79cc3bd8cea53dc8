"""Who was Production when, and why."""

from __future__ import annotations

import datetime as dt
from sqlite3 import Connection
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.text import Cell, Line, Screen, table
from retrainctl.views.times import day, duration, iso, moment, parsed
from retraind.core.events import DecisionMade
from retraind.core.state import Model
from retraind.journal import read

__all__ = ["drawn", "gather"]


def gather(model: Model, connection: Connection, at: dt.datetime | None = None) -> dict[str, Any]:
    """The tenures, oldest first, each with the decision that began it. at: only the one that held then."""
    tenures = model.tenures if at is None else [t for t in [model.held_at(at)] if t]
    decisions = {t.decision for t in tenures}
    why: dict[str, DecisionMade] = {
        r.event.decision: r.event
        for r in read.records(connection, kinds=("decision.made",))
        if r.event.decision in decisions
    }
    rows = []
    for tenure in tenures:
        version, decision = model.version(tenure.version), why.get(tenure.decision)
        rows.append({
            "number": tenure.version, "algorithm": version.candidate.algorithm if version else None,
            "since": iso(tenure.since_site), "until": iso(tenure.until_site),
            "since_wall": iso(tenure.since_wall), "until_wall": iso(tenure.until_wall),
            "decision": tenure.decision, "policy": decision.policy if decision else "",
            "words": decision.words if decision else "",
        })  # fmt: skip
    return {"version": 1, "model": model.name, "at": iso(at), "tenures": rows}


def drawn(data: dict[str, Any], on: Screen, zone: ZoneInfo, now: dt.datetime) -> list[Line]:
    """A row a tenure, the newest first."""
    if not data["tenures"] and data["at"]:
        return [[(f"{data['model']} had no champion at {moment(parsed(data['at']), zone, now)}", "")]]
    if not data["tenures"]:
        return [[(f"{data['model']} had no champion yet; why: retrainctl explain {data['model']}", "")]]
    today = now.astimezone(zone).date()
    rows: list[list[Cell]] = []
    for tenure in reversed(data["tenures"]):
        since, until = parsed(tenure["since"]), parsed(tenure["until"])
        assert since
        long = duration((until - since).total_seconds()) if until else "until now"
        rows.append([
            (f"v{tenure['number']}", "" if until else "green"), tenure["algorithm"] or "",
            day(since.astimezone(zone).date(), today), day(until.astimezone(zone).date(), today) if until else "",
            long, f"{tenure['words']} ({tenure['policy'] or 'no policy'})",
        ])  # fmt: skip
    return table((data["model"].upper(), "ALGORITHM", "SINCE", "UNTIL", "HELD", "WHY"), rows, on)
