"""Who was Production when, and why."""

from __future__ import annotations

import datetime as dt
from sqlite3 import Connection
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.text import Cell, Line, Screen, table
from retrainctl.views.times import day, duration, iso, moment, parsed
from retraind.core.events import DecisionMade
from retraind.core.state import Flow, Model, Tenure
from retraind.journal import read

__all__ = ["drawn", "gather"]


def gather(flow: Flow, model: Model, connection: Connection, at: dt.datetime | None = None) -> dict[str, Any]:
    """The tenures, oldest first, each with the decision that began it. at: only the one that held then."""
    kept = [(i, t) for i, t in enumerate(model.tenures) if at is None or t is model.held_at(at)]
    rows = [_row(flow, model, i, _why(connection, tenure)) for i, tenure in kept]
    return {"version": 1, "model": model.name, "at": iso(at), "tenures": rows}


def _why(connection: Connection, tenure: Tenure) -> DecisionMade | None:
    """The decision that began it."""
    found = read.matching(connection, ("decision.made",), until=tenure.seq, decision=tenure.decision)
    return next((r.event for r in found), None)


def _row(flow: Flow, model: Model, number: int, decision: DecisionMade | None) -> dict[str, Any]:
    tenure = model.tenures[number]
    version = model.version(tenure.version)
    return {
        "number": tenure.version, "algorithm": version.candidate.algorithm if version else None,
        "since": iso(tenure.since_site), "until": iso(tenure.until_site),
        "since_wall": iso(tenure.since_wall), "until_wall": iso(tenure.until_wall),
        "drops": flow.served_drops(model, tenure), "by_rollback": tenure.by_rollback,
        "rolled_back": version.rolled_back if tenure.rolled_back and version else "",
        "decision": tenure.decision, "policy": decision.policy if decision else "",
        "words": decision.words if decision else "",
    }  # fmt: skip


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
            long, f"{tenure['drops']:,}", f"{tenure['words']} ({tenure['policy'] or 'no policy'})",
        ])  # fmt: skip
        if tenure["rolled_back"]:
            rows.append([*[""] * 6, (f"ended: {tenure['rolled_back']}", "red")])
    return table((data["model"].upper(), "ALGORITHM", "SINCE", "UNTIL", "HELD", "DROPS", "WHY"), rows, on)
