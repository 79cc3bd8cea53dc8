"""A retraining request from its causes to what came of it: why, when, on which data, what it trained, what was decided."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from sqlite3 import Connection
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.site import Site
from retrainctl.text import Cell, Line, Screen, Style, labelled, table
from retrainctl.views import events
from retrainctl.views.links import drops_of, report_link, run_link, told
from retrainctl.views.status_data import version_fields
from retrainctl.views.times import count, duration, iso, moment, parsed
from retrainctl.views.versions import STAGE_STYLES, beside, drawn_beside, figure, horizons
from retraind.core.binding import unbind
from retraind.core.events import Record, RetrainRequested
from retraind.core.state import Flow, Model, Request, State, Version
from retraind.journal import read

__all__ = ["drawn", "gather", "moved"]

_STATES: dict[str, Style] = {"finished": "green", "waiting": "yellow", "impossible": "yellow", "failed": "red"}


# ---- data ----


def gather(site: Site, state: State, request: Request, connection: Connection) -> dict[str, Any]:
    """The document of one request."""
    flow = state.flow(site.pipeline)
    ended = next(read.records(connection, request.ended_seq - 1), None) if request.ended_seq else None
    made = _made(flow, ended)
    return {
        "version": 1, "what": "request", "request": request.id, "kind": request.kind, "state": request.state,
        "words": request.words, "causes": [unbind(c) for c in request.causes], "targets": list(request.targets),
        "requested": iso(request.at_wall), "requested_site": iso(request.at_site), "seq": request.seq,
        "way": [*_before(connection, flow, request), _granted(request), *_jobs(connection, flow, request)],
        "data": _data(flow, request), "fingerprint": request.fingerprint,
        "ended": iso(ended.times.wall) if ended else None, "seconds": request.seconds or None,
        "test": _test_days(ended), "notes": list(getattr(ended.event, "notes", ())) if ended else [],
        "models": [_model(model, versions) for model, versions in made],
        "decisions": _decisions(connection, request, made),
        "drops": drops_of(request.causes), "run": run_link(site, request.parent_run), "report": report_link(site, request.id),
    }  # fmt: skip


def _before(connection: Connection, flow: Flow, request: Request) -> Iterator[dict[str, Any]]:
    """When its causes came up and what held them back until they were granted; since the request before it."""
    keys = {c.key for c in request.causes}
    kinds = ("cause.noted", "retrain.asked", "schedule.due", "drift.measured", "retrain.held")
    before = max((r.seq for r in flow.requests.values() if r.seq < request.seq), default=0)
    for record in read.records(connection, before, until=request.seq - 1, kinds=kinds):
        if keys.intersection(_keys(record)):
            yield moved(record)


def _granted(request: Request) -> dict[str, Any]:
    """The event that granted it, from the state: in the journal it names every file of the store."""
    event: Any = RetrainRequested(request.id, request.causes, request.targets, (), request.data_end, request.fingerprint)
    return {"seq": request.seq, "kind": event.KIND, "at": iso(request.at_wall), "site": iso(request.at_site),
            "words": events.words(event)}  # fmt: skip


def _keys(record: Record) -> Iterator[str]:
    """Of the causes that an event brings up or holds."""
    event = record.event
    match event.KIND:
        case "cause.noted":
            yield event.cause.key
        case "retrain.asked":
            yield f"operator:{record.seq}"
        case "schedule.due":
            yield f"schedule:{event.name}:{event.due_at.isoformat()}"
        case "drift.measured":
            yield f"drift:{event.drop}"
        case "retrain.held":
            yield from (c.key for c in event.causes)


def _jobs(connection: Connection, flow: Flow, request: Request) -> Iterator[dict[str, Any]]:
    """Its training's tries, all of them before the next request."""
    kinds = ("job.started", "job.ended", "training.finished", "training.impossible", "retrain.failed")
    after = min((r.seq for r in flow.requests.values() if r.seq > request.seq), default=None)
    tries = read.matching(connection, kinds[:2], request.seq, until=after, step="train", subject=request.id)
    ends = read.matching(connection, kinds[2:], request.seq, until=after, request=request.id)
    yield from (moved(r) for r in sorted([*tries, *ends], key=lambda r: r.seq))


def moved(record: Record) -> dict[str, Any]:
    """One event of a way."""
    return {"seq": record.seq, "kind": record.event.KIND, "at": iso(record.times.wall), "site": iso(record.times.site),
            "words": events.words(record.event)}  # fmt: skip


def _data(flow: Flow, request: Request) -> dict[str, Any]:
    """The store as the training read it, by table."""
    withdrawn = sum(sha256 in flow.withdrawn for sha256 in flow.store_of(request)) if flow.withdrawn else 0
    return {"until": iso(request.data_end), "files": sum(t.files for t in request.tables.values()), "withdrawn": withdrawn,
            "tables": unbind(request.tables)}  # fmt: skip


def _test_days(ended: Record | None) -> dict[str, Any] | None:
    if ended is None or ended.event.KIND != "training.finished":
        return None
    return {"from": iso(ended.event.test_from), "to": iso(ended.event.test_to)}


def _made(flow: Flow, ended: Record | None) -> list[tuple[Model, list[Version]]]:
    """What it brought by model, the version first that the training itself would choose."""
    if ended is None or ended.event.KIND != "training.finished":
        return []
    numbers = {r.target: [c.version for c in r.candidates] for r in ended.event.results}
    made = ((m, [v for n in numbers.get(m.target, ()) if (v := m.version(n))]) for m in flow.models.values())
    return [(model, sorted(versions, key=lambda v: v.candidate.rank)) for model, versions in made if versions]


def _model(model: Model, made: list[Version]) -> dict[str, Any]:
    return {"model": model.name, "target": model.target, "versions": [version_fields(v) for v in made],
            "beside": beside(model, made[0])}  # fmt: skip


def _decisions(connection: Connection, request: Request, made: list[tuple[Model, list[Version]]]) -> list[dict[str, Any]]:
    """What was decided about its versions, and where they went."""
    kinds = ("decision.made", "promotion.done", "promotion.aborted", "approval.given", "version.rejected", "version.blocked")
    found = [
        r for model, versions in made for version in versions
        for r in read.matching(connection, kinds, request.ended_seq, model=model.name, version=version.version)
    ]  # fmt: skip
    return [{**moved(r), "model": r.event.model, "number": r.event.version, "verdict": getattr(r.event, "verdict", None),
             "policy": getattr(r.event, "policy", None), "by": getattr(r.event, "by", "")}
            for r in sorted(found, key=lambda r: r.seq)]  # fmt: skip


# ---- text ----


def drawn(data: dict[str, Any], on: Screen, zone: ZoneInfo, now: dt.datetime) -> list[Line]:
    """The screen."""
    lines: list[Line] = [[(f"request {data['request']} · {data['kind']} of {', '.join(data['targets'])} · ", "bold"),
                          (data["state"], _STATES[data["state"]])]]  # fmt: skip
    for i, cause in enumerate(data["causes"]):
        lines += labelled("" if i else "BECAUSE", cause["words"], on)
    took = f", the training took {duration(data['seconds'])}" if data["seconds"] else ""
    lines += labelled("WHEN", f"{moment(parsed(data['requested']), zone, now)}{took}", on)
    lines += labelled("DATA", _data_words(data["data"]), on)
    test = f", scored on test days {data['test']['from']} to {data['test']['to']}" if data["test"] else ""
    lines += labelled("RESULT", f"{data['words'] or 'not trained yet'}{test}", on)
    lines += [line for note in data["notes"] for line in labelled("NOTE", note, on)]
    links = [told(data["run"], data["report"]), *(f"retrainctl explain {drop}" for drop in data["drops"])]
    if any(links):
        lines += labelled("SEE", " · ".join(filter(None, links)), on)
    lines += [[], *drawn_way(data["way"], on, zone, now)]
    for model in data["models"]:
        lines += [[], *_drawn_model(model, on)]
    return [*lines, [], *drawn_way(data["decisions"], on, zone, now, "WHAT WAS DECIDED")] if data["decisions"] else lines


def drawn_way(
    way: Sequence[dict[str, Any]], on: Screen, zone: ZoneInfo, now: dt.datetime, head: str = "WHAT HAPPENED"
) -> list[Line]:
    """A row an event."""
    rows: list[list[Cell]] = [[moment(parsed(step["at"]), zone, now), step["words"]] for step in way]
    return table(("", head), rows, on)


def _data_words(data: dict[str, Any]) -> str:
    tables = ", ".join(f"{name} {count(t['rows'], 'row')} in {count(t['files'], 'file')}" for name, t in data["tables"].items())
    gone = f"; {count(data['withdrawn'], 'file')} of these withdrawn since" if data["withdrawn"] else ""
    return f"until {data['until']}: {tables}{gone}"


def _drawn_model(data: dict[str, Any], on: Screen) -> list[Line]:
    columns = horizons(data["versions"][0]["metrics"])
    rows: list[list[Cell]] = [
        [data["model"], f"v{v['version']}", v["algorithm"], *(figure(v["metrics"], "wape", h) for h in columns),
         (v["stage"], STAGE_STYLES.get(v["stage"], "")), v["words"] or "not judged yet"]
        for v in data["versions"]
    ]  # fmt: skip
    heads = ("MODEL", "VERSION", "ALGORITHM", *(f"WAPE {h}" if i == 0 else h for i, h in enumerate(columns)), "STAGE", "VERDICT")
    others = {who: wape for i, (who, wape) in enumerate(data["beside"].items()) if i}
    return [*table(heads, rows, on), *(drawn_beside(others, on) if others else [])]
