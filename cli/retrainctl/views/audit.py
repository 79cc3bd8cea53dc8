"""One version as an auditor files it: the data with its hashes, the recipe, the figures, every decision with the policy's text that
made it, the people, and when it stood in which stage. From the journal alone; `audit_page` makes a page of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from sqlite3 import Connection
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.site import Site
from retrainctl.text import Cell, Line, Screen, labelled, table
from retrainctl.views import events
from retrainctl.views.links import report_link, run_link
from retrainctl.views.request import moved
from retrainctl.views.scored import beside_live, drawn_live
from retrainctl.views.times import count, duration, iso, parsed
from retrainctl.views.versions import beside, drawn_beside, figure, horizons
from retraind.core.binding import unbind
from retraind.core.events import Record
from retraind.core.state import Flow, Model, Request, State, Version
from retraind.journal import read

__all__ = ["because", "drawn", "gather", "said_by", "stamp"]

_ABOUT = ("decision.made", "adoption.asked", "version.adopted", "approval.given", "version.rejected", "version.blocked",
          "version.unblocked", "promotion.aborted")  # fmt: skip
_BY_PEOPLE = ("adoption.asked", "approval.given", "version.rejected", "version.blocked", "version.unblocked", "override.set",
              "override.lifted", "retrain.asked")  # fmt: skip
_FILES = 12
"""Of the store in the text; the page and the document hold them all."""


# ---- data ----


def gather(site: Site, state: State, model: Model, version: Version, connection: Connection, now: dt.datetime) -> dict[str, Any]:
    """The document."""
    flow = state.flow(site.pipeline)
    request = flow.requests.get(version.request) or _adopted(version)
    about = [r for kind in _ABOUT for r in read.matching(connection, (kind,), model=model.name, version=version.version)]
    decisions = sorted((r for r in about if r.event.KIND == "decision.made"), key=lambda r: r.seq)
    trained = next(read.records(connection, request.ended_seq - 1))
    asked = next(read.matching(connection, ("retrain.requested",), request=request.id), trained)
    stages = list(_stages(connection, model, version, trained))
    return {
        "version": 1, "what": "audit", "model": model.name, "target": model.target, "number": version.version, "made": iso(now),
        "journal": _journal(site, state, connection), "stage": version.stage, "algorithm": version.candidate.algorithm,
        "run": run_link(site, version.candidate.run_id), "parent_run": request.parent_run, "report": report_link(site, request.id),
        "model_digest": version.candidate.model_digest, "recipe": unbind(version.candidate.recipe),
        "recipe_id": version.candidate.recipe_id,
        "request": {
            "id": request.id, "kind": request.kind, "causes": [unbind(c) for c in request.causes], "at": iso(request.at_wall),
            "fingerprint": request.fingerprint, "seconds": request.seconds or None, "trained": iso(trained.times.wall),
            "notes": list(trained.event.notes), "release": _release(connection, trained.seq),
            "settings": _settings(connection, asked.seq),
        },
        "data": _data(flow, version, request, trained),
        "figures": {
            "test": unbind(version.candidate.test), "other": unbind(version.candidate.figures), "rank": version.candidate.rank,
            "beside": beside(model, version), "live": beside_live(flow, model, version), "compared_with": version.compared_with,
        },
        "decisions": [_decision(r) for r in decisions],
        "policies": list(_policies(connection, decisions)),
        "people": _people(connection, model, about, stages, request),
        "stages": stages,
        "marks": {"blocked": version.blocked, "rejected": version.rejected, "rolled_back": version.rolled_back,
                  "gone": version.gone, "adopted": version.adopted and f"adopted {version.adopted}",
                  "forced": version.forced, "tainted": version.tainted, "aborted": version.aborted},
    }  # fmt: skip


def _adopted(version: Version) -> Request:
    """What stands for the training of a version that somebody else made: nothing of it is known here but when it was taken."""
    return Request(version.request, (), (), (), version.data_end, "", version.trained_site, version.trained_wall,
                   ended_seq=version.adopted_seq)  # fmt: skip


def _journal(site: Site, state: State, connection: Connection) -> dict[str, Any]:
    """What the page rests on: to be noted, so that the journal can be held against it later."""
    (head,) = connection.execute("SELECT hash FROM events WHERE seq = ?", (state.seq,)).fetchone()
    return {"file": str(site.journal.relative_to(site.root)) if site.journal.is_relative_to(site.root) else str(site.journal),
            "site": state.site_id, "events": state.seq, "head": head}  # fmt: skip


def _release(connection: Connection, seq: int) -> str | None:
    started = next(read.records(connection, until=seq, kinds=("daemon.started",), newest_first=True), None)
    return started.event.version if started else None


def _settings(connection: Connection, seq: int) -> dict[str, Any] | None:
    """config.yaml as it was in force."""
    loaded = next(read.records(connection, until=seq, kinds=("settings.loaded",), newest_first=True), None)
    return {"sha256": loaded.event.sha256, "since": iso(loaded.times.wall), "text": loaded.event.text} if loaded else None


def _data(flow: Flow, version: Version, request: Request, trained: Record) -> dict[str, Any]:
    """Every file of the store that the training read, in order, with the drop it came from."""
    kept = {f.sha256: f for f in flow.store}
    files = []
    for sha256 in flow.store_of(request):
        file = kept.get(sha256)
        drop = flow.drops.get(file.drop) if file else None
        files.append({
            "sha256": sha256, "table": file.table if file else None, "rows": file.rows if file else None,
            "first_date": iso(file.first_date) if file else None, "last_date": iso(file.last_date) if file else None,
            "drop": file.drop if file else None, "name": drop.name if drop else None, "drop_sha256": drop.sha256 if drop else None,
            "withdrawn": flow.withdrawn.get(sha256, "") if not file else "",
        })  # fmt: skip
    return {"until": iso(version.data_end), "files": files,
            "test": {end: iso(getattr(trained.event, f"test_{end}", None)) for end in ("from", "to")}}  # fmt: skip


def _decision(record: Record) -> dict[str, Any]:
    event = record.event
    return {**moved(record), "decision": event.decision, "verdict": event.verdict, "to": event.to, "policy": event.policy,
            "said": event.words, "by": event.by, "reason": event.reason, "forced": event.forced, "would": event.would,
            "conditions": unbind(event.conditions)}  # fmt: skip


def _policies(connection: Connection, decisions: Sequence[Record]) -> Iterator[dict[str, Any]]:
    """The text of each policy that decided, as it was in force then."""
    for ref in dict.fromkeys(r.event.policy for r in decisions if "@" in r.event.policy):
        name, _, digest = ref.partition("@")
        loaded = read.matching(connection, ("policy.loaded",), policy=name)
        found = next((r for r in loaded if r.event.sha256.startswith(digest)), None)
        if found:
            yield {"policy": ref, "file": found.event.file, "sha256": found.event.sha256, "loaded": iso(found.times.wall),
                   "changes": list(found.event.changes), "text": found.event.text}  # fmt: skip


def _stages(connection: Connection, model: Model, version: Version, trained: Record) -> Iterator[dict[str, Any]]:
    """Where it stood from when to when, and which move ended each."""
    why = f"registered by training {version.request}" if not version.adopted_seq else events.words(trained.event)
    since, stage = trained, "None"
    for record in read.matching(connection, ("promotion.done",), model=model.name):
        to = _moved_to(record.event, version.version)
        if record.seq > trained.seq and to and to != stage:
            yield {**_stage(since, stage, why), "until": iso(record.times.wall), "until_site": iso(record.times.site)}
            since, stage, why = record, to, events.words(record.event)
    yield {**_stage(since, stage, why), "until": None, "until_site": None}


def _stage(since: Record, stage: str, why: str) -> dict[str, Any]:
    return {"stage": stage, "since": iso(since.times.wall), "since_site": iso(since.times.site), "seq": since.seq, "because": why,
            "decision": getattr(since.event, "decision", None)}  # fmt: skip


def _moved_to(event: Any, number: int) -> str | None:
    """Where a move brought that version, which may be another's move."""
    if event.version == number:
        return {"staging": "Staging", "archived": "Archived"}.get(event.to, "Production")
    gone = number in event.archived or (event.to == "rollback" and event.champion == number)
    return "Archived" if gone else None


def _people(
    connection: Connection, model: Model, about: Iterable[Record], stages: Sequence[dict[str, Any]], request: Request
) -> list[dict[str, Any]]:
    """Who did what: to the version itself, to its model while it was open or served, and who asked for its training."""
    asked = {c.key for c in request.causes}
    last = max(s["seq"] for s in stages) if stages[-1]["stage"] in ("Archived", "None") else None
    found = {r.seq: r for r in about if r.event.KIND in _BY_PEOPLE or bool(getattr(r.event, "by", ""))}
    for record in read.records(connection, until=last, kinds=("override.set", "override.lifted", "retrain.asked")):
        event = record.event
        over_it = event.KIND != "retrain.asked" and record.seq > stages[0]["seq"] and event.model in (None, model.name)
        if over_it or f"operator:{record.seq}" in asked:
            found[record.seq] = record
    return [{**moved(r), "by": r.event.by, "reason": r.event.reason, "groups": list(getattr(r.event, "groups", ()))}
            for _, r in sorted(found.items())]  # fmt: skip


# ---- text ----


def stamp(text: str | None, zone: ZoneInfo) -> str:
    """`2026-11-24 10:12:05 CST`: a page is filed, so its times stand for themselves."""
    time = parsed(text)
    return f"{time.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}" if time else "now"


def drawn(data: dict[str, Any], on: Screen, zone: ZoneInfo) -> list[Line]:
    """The page as text."""
    lines: list[Line] = [[(f"{data['model']} v{data['number']} {data['algorithm']} · {data['stage']}", "bold")]]
    for label, words in _head(data, zone):
        lines += labelled(label, words, on)
    lines += [[], [("STAGES", "bold")], *_drawn_stages(data, on, zone), [], [("DATA", "bold")], *_drawn_data(data["data"], on)]
    lines += [[], [("FIGURES", "bold")], *_drawn_figures(data["figures"], on)]
    lines += [[], [("DECISIONS", "bold")]]
    for decision in data["decisions"]:
        lines += _drawn_decision(decision, on, zone)
    lines += [[], [("PEOPLE", "bold")], *_drawn_people(data["people"], on, zone)]
    for policy in data["policies"]:
        head = f"POLICY {policy['policy']}, {policy['file']} as loaded {stamp(policy['loaded'], zone)}, sha256 {policy['sha256']}"
        text: list[Line] = [[(f"  {line}", "")] for line in policy["text"].splitlines()]
        lines += [[], [(head, "bold")], *text]
    return lines


def _head(data: dict[str, Any], zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    request, journal = data["request"], data["journal"]
    yield "BECAUSE", because(request)
    took = f" in {duration(request['seconds'])}" if request["seconds"] else ""
    yield "TRAINED", f"{stamp(request['trained'], zone)}{took} by retraind {request['release']}"
    yield "RECIPE", f"{data['recipe_id']}: {_flat(data['recipe'])}"
    yield "MODEL", f"sha256 {data['model_digest']}"
    if data["run"]:
        page = f", {data['run']['page']}" if data["run"]["page"] else ""
        yield "RUN", f"{data['run']['run']}, parent {data['parent_run']}{page}"
    if data["report"]:
        yield "REPORT", data["report"]
    if request["settings"]:
        yield "SETTINGS", f"sha256 {request['settings']['sha256']}, in force since {stamp(request['settings']['since'], zone)}"
    for mark, words in data["marks"].items():
        if words:
            yield "!", f"by force, {words}" if mark == "forced" else words
    yield "MADE", f"{stamp(data['made'], zone)} from {journal['file']} at event {journal['events']}, head {journal['head']}"


def because(request: dict[str, Any]) -> str:
    """Why the version was made."""
    if not request["causes"]:
        return "no training of this site made it: it was adopted"
    return f"request {request['id']}, a {request['kind']}: " + "; ".join(c["words"] for c in request["causes"])


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_flat(v) if not isinstance(v, dict) else '{' + _flat(v) + '}'}" for k, v in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _drawn_stages(data: dict[str, Any], on: Screen, zone: ZoneInfo) -> list[Line]:
    rows: list[list[Cell]] = [
        [s["stage"], stamp(s["since"], zone), stamp(s["until"], zone), s["because"]] for s in data["stages"]
    ]
    return table(("STAGE", "SINCE", "UNTIL", "BECAUSE"), rows, on)


def _drawn_data(data: dict[str, Any], on: Screen) -> list[Line]:
    files = data["files"]
    rows: list[list[Cell]] = [
        [f["table"] or "-", f["first_date"] or "-", f["last_date"] or "-", "-" if f["rows"] is None else f"{f['rows']:,}",
         f"{f['name'] or f['withdrawn'] or 'unknown'} sha256 {f['sha256']}"]
        for f in files[-_FILES:]
    ]  # fmt: skip
    lines = labelled("", f"{count(len(files), 'file')} of the store, until {data['until']}; "
                         f"test days {data['test']['from']} to {data['test']['to']}", on, indent=1)  # fmt: skip
    if len(files) > _FILES:
        lines += labelled("", f"the newest {_FILES}; all of them are in --json and --html", on, indent=1)
    return [*lines, *table(("TABLE", "FROM", "TO", "ROWS", "FILE"), rows, on)]


def _drawn_figures(figures: dict[str, Any], on: Screen) -> list[Line]:
    values = figures["test"]["values"]
    columns = horizons(values)
    rows: list[list[Cell]] = [[metric, *(figure(values, metric, h) for h in columns), ""] for metric in values]
    on_rows: list[list[Cell]] = [
        [("rows", "dim"), *((f"{figures['test']['rows'][h]['rows']:,}", "dim") for h in columns), ""],
        [("digest", "dim"), *((figures["test"]["rows"][h]["digest"][:8], "dim") for h in columns), ""],
    ]
    lines = [*table(("TEST", *columns, ""), [*rows, *on_rows], on), [], *drawn_beside(figures["beside"], on)]
    return [*lines, [], *drawn_live(figures["live"], on)] if figures["live"]["wape"] else lines


def _drawn_decision(decision: dict[str, Any], on: Screen, zone: ZoneInfo) -> list[Line]:
    said = f"{stamp(decision['at'], zone)} {decision['decision']} {said_by(decision)}"
    rows: list[list[Cell]] = [
        [c["block"], c["outcome"].replace("_", " "), c["id"], c["words"] + (" (dry run, not counted)" if c["dry_run"] else "")]
        for c in decision["conditions"]
    ]
    return [*labelled("", said, on, indent=1, style="bold"), *table(("", "", "", ""), rows, on)]


def said_by(decision: dict[str, Any]) -> str:
    """`promote to staging: 2 conditions hold (policy demand@ac81d0f8)`: the decision in words, and who made it."""
    who = f"by {decision['by']}" if decision["by"] else f"policy {decision['policy'] or 'none'}"
    who += ", by force" if decision["forced"] else ""
    reason = f": {decision['reason']}" if decision["reason"] else ""
    return f"{'would ' if decision['would'] else ''}{decision['said']} ({who}{reason})"


def _drawn_people(people: list[dict[str, Any]], on: Screen, zone: ZoneInfo) -> list[Line]:
    groups = [f" ({', '.join(p['groups'])})" if p["groups"] else "" for p in people]
    rows: list[list[Cell]] = [
        [stamp(p["at"], zone), p["by"] + of, p["words"]] for p, of in zip(people, groups, strict=True)
    ]
    return table(("WHEN", "WHO", "WHAT"), rows, on) or [[(" nobody: policies alone decided", "")]]
