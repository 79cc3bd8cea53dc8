"""Drops: a list, and one with every problem."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.text import Cell, Line, Screen, Style, labelled, table
from retrainctl.views.times import count, day, iso, moment, parsed
from retraind.core.binding import unbind
from retraind.core.state import Drop, Flow
from retraind.errors import told

__all__ = ["detail", "drawn_detail", "drawn_listing", "learned_from", "listing", "problem_words"]

_STYLES: dict[str, Style] = {"quarantined": "red", "waiting": "yellow", "duplicate": "dim", "discarded": "dim",
                            "withdrawn": "red"}


def listing(flow: Flow, state: str, newest: int | None) -> dict[str, Any]:
    """Drops of one state or all, the newest last."""
    found = [d for d in flow.drops.values() if not state or d.state == state]
    kept = found if newest is None else found[-newest:]
    return {"version": 1, "total": len(found), "state": state or None, "drops": [_fields(flow, d) for d in kept]}


def detail(flow: Flow, drop: Drop) -> dict[str, Any]:
    """Everything of one drop."""
    return {"version": 1, **_fields(flow, drop), "sha256": drop.sha256, "problems": unbind(drop.problems)}


def learned_from(flow: Flow, file: str) -> list[str]:
    """Versions that were trained on the store's file with that hash: `demand v15`."""
    place = flow.files.index(file) if file in flow.files else -1
    requests = {r.id for r in flow.requests.values() if any(first <= place < after for first, after in r.places)}
    if not requests:
        return []
    return [f"{m.name} v{v.version}" for m in flow.models.values() for v in m.versions.values() if v.request in requests]


def _fields(flow: Flow, drop: Drop) -> dict[str, Any]:
    held = flow.damaged.get(drop.id)
    return {
        "drop": drop.id, "name": drop.name, "path": drop.path, "state": drop.state, "bytes": drop.bytes,
        "arrived": iso(drop.arrived), "table": drop.table, "first_date": iso(drop.first_date),
        "last_date": iso(drop.last_date), "rows": drop.rows, "new_rows": drop.new_rows,
        "replaced_rows": drop.replaced_rows, "set_aside_rows": drop.set_aside_rows, "notes": list(drop.notes),
        "problem_count": drop.problem_count, "duplicate_of": drop.duplicate_of,
        "first_problem": problem_words(unbind(drop.problems[0])) if drop.problems else "",
        "damages": unbind(held.damages) if held else [],
    }  # fmt: skip


def drawn_listing(data: dict[str, Any], on: Screen, zone: ZoneInfo, now: dt.datetime) -> list[Line]:
    """A row a drop."""
    if not data["drops"]:
        what = f"no drop is {data['state']}" if data["state"] else "no drops yet: rename a file into drops/"
        return [[(what, "")]]
    rows: list[list[Cell]] = [
        [d["drop"], moment(parsed(d["arrived"]), zone, now), _state(d), d["name"],
         _became(d, now.astimezone(zone).date())]
        for d in data["drops"]
    ]  # fmt: skip
    lines = table(("DROP", "ARRIVED", "STATE", "FILE", "WHAT BECAME OF IT"), rows, on)
    hidden = data["total"] - len(data["drops"])
    return [[(f" {count(hidden, 'older drop')}: add --all", "dim")], *lines] if hidden else lines


def _state(drop: dict[str, Any]) -> tuple[str, Style]:
    return ("held back", "red") if drop["damages"] else (drop["state"], _STYLES.get(drop["state"], ""))


def _became(drop: dict[str, Any], today: dt.date) -> str:
    if drop["state"] == "accepted":
        dates = _dates(drop, today)
        replaced = f", {drop['replaced_rows']:,} replaced" if drop["replaced_rows"] else ""
        aside = f", {drop['set_aside_rows']:,} set aside" if drop["set_aside_rows"] else ""
        held = f"; looks damaged: {drop['damages'][0]['column']}: {drop['damages'][0]['words']}" if drop["damages"] else ""
        return f"{count(drop['rows'], 'row')} of {drop['table']}{dates}{replaced}{aside}{held}"
    if drop["state"] == "duplicate":
        return f"the same as {drop['duplicate_of']}"
    if drop["state"] == "quarantined":
        more = f" (and {drop['problem_count'] - 1} more)" if drop["problem_count"] > 1 else ""
        return f"{drop['first_problem']}{more}"
    if drop["state"] == "withdrawn":
        return "taken out of the store by a person"
    return "is examined next" if drop["state"] == "waiting" else ""


def _dates(drop: dict[str, Any], today: dt.date) -> str:
    if not drop["last_date"]:
        return ""
    first, last = (
        dt.date.fromisoformat(drop["first_date"] or drop["last_date"]),
        dt.date.fromisoformat(drop["last_date"]),
    )
    return f", {day(last, today)}" if first == last else f", {day(first, today)} to {day(last, today)}"


def problem_words(problem: dict[str, Any]) -> str:
    """`row 118, column quantity_kg: quantity_kg is -3.5, must be at least 0`."""
    place = [f"row {problem['row']}"] if problem["row"] is not None else []
    place += [f"column {problem['column']}"] if problem["column"] else []
    return f"{', '.join(place)}: {problem['what']}" if place else str(problem["what"])


def drawn_detail(data: dict[str, Any], on: Screen, zone: ZoneInfo, now: dt.datetime) -> list[Line]:
    """Facts, then problems."""
    state, (word, style) = data["state"], _state(data)
    lines: list[Line] = [[(f"drop {data['drop']} · ", "bold"), (word, style or "green")]]
    facts = [
        ("FILE", f"{data['name']} at {data['path']}, {data['bytes']:,} bytes"),
        ("ARRIVED", moment(parsed(data["arrived"]), zone, now)),
        ("BECAME", _became(data, now.astimezone(zone).date()) if state != "quarantined" else ""),
        ("NOTES", "; ".join(data["notes"])),
        ("SHA256", data["sha256"]),
    ]
    for label, text in facts:
        lines += labelled(label, text, on) if text else []
    for one in data["damages"]:
        lines += labelled("!", f"{one['column']}: {one['words']}", on, mark="red", indent=4)
    if data["damages"]:
        lines += labelled("", f"If it is real: retrainctl drops accept {data['drop']} --reason WHY. If not: retrainctl drops "
                          f"withdraw {data['drop']}", on, indent=1)  # fmt: skip
    for problem in data["problems"]:
        value = f" (value {problem['value']})" if problem["value"] is not None else ""
        lines += labelled(
            "!", told(f"{problem_words(problem)}{value}, rule: {problem['rule']}", problem["remedy"]), on, mark="red", indent=4
        )
    hidden = data["problem_count"] - len(data["problems"])
    if hidden > 0:
        lines += labelled(
            "!", f"and {count(hidden, 'more problem')} of which no list is kept", on, mark="red", indent=4
        )
    if state == "quarantined":
        lines += labelled(
            "", f"Mend the file at {data['path']}, then: retrainctl drops retry {data['drop']}", on, indent=1
        )
    return lines
