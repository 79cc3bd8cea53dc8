"""A decision with its reasons: each condition by block, what would have changed it, and the evidence behind it.

What would change it is asked of the policy as it was, on the facts as they were: the journal is folded up to the event
before the decision, and the same pure functions that the daemon used are asked again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from sqlite3 import Connection
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.site import Site
from retrainctl.text import Cell, Line, Screen, Style, labelled, table
from retrainctl.views.status import override_words, overrides
from retrainctl.views.times import iso, moment, parsed
from retrainctl.views.versions import beside, drawn_beside
from retraind import __version__, strict_yaml
from retraind.core.binding import Mistakes, unbind
from retraind.core.events import PolicyLoaded, Record, TrainingFinished
from retraind.core.evidence import facts_of
from retraind.core.fold import apply
from retraind.core.policy.decision import Decision, counterfactuals, evaluate
from retraind.core.policy.document import Policy, bind_policy
from retraind.core.scene import Scene, World
from retraind.core.state import Model, State, Version
from retraind.errors import Refused
from retraind.journal import read

__all__ = ["drawn", "gather", "most_asked"]

_MARKS: dict[str, tuple[str, Style]] = {
    "yes": ("ok", "green"), "no": ("no", "red"), "wait": ("wait", "yellow"), "unknown": ("unknown", "yellow"),
    "not_needed": ("-", "dim"),
}  # fmt: skip
_HEADS = {"staging": "To Staging", "production": "To Production", "refresh": "To Production (refresh of the champion's recipe)",
          "rollback": "To roll back", "freeze": "Freeze windows", "limits": "Limits"}  # fmt: skip
_WHO = {"model": "the model", "policy": "the policy", "person": "a person", "fact": "time or facts"}


# ---- data ----


def gather(
    site: Site, state: State, model: Model, version: Version, connection: Connection, now: dt.datetime
) -> dict[str, Any]:
    """The document of one version."""
    flow = state.flow(site.pipeline)
    request = flow.requests.get(version.request)
    decided = _at(connection, version.decision_seq)
    training = _at(connection, request.ended_seq) if request else None
    found = training.event if training and isinstance(training.event, TrainingFinished) else None
    then = _then(site, version, connection, decided) if decided else None
    return {
        "version": 1, "model": model.name, "number": version.version, "algorithm": version.candidate.algorithm,
        "stage": version.stage, "verdict": version.verdict, "to": version.to, "would": version.would, "words": version.words,
        "policy": version.policy, "decision": version.decision, "decided": iso(decided.times.wall) if decided else None,
        "decided_site": iso(decided.times.site) if decided else None, "aborted": version.aborted,
        "conditions": unbind(version.conditions), "earliest": iso(then[0].earliest) if then else None,
        "what_would_change_it": [unbind(c) for c in then[1]] if then else [],
        "blocked": version.blocked, "tainted": version.tainted, "forced": version.forced,
        "overrides": overrides(state, now, model.name),
        "champion": model.champion, "compared_with": version.compared_with, "beside": beside(model, version),
        "request": version.request, "causes": [unbind(c) for c in request.causes] if request else [],
        "data_end": iso(version.data_end), "run_id": version.candidate.run_id,
        "test": {"from": iso(found.test_from), "to": iso(found.test_to)} if found else None,
        "rows": unbind(version.candidate.test.rows),
    }  # fmt: skip


def most_asked(model: Model) -> Version | None:
    """The version people mean who name none: of the newest training that was judged, what waits in Staging, else what
    became champion, else what the training put first."""
    judged = [v for v in model.versions.values() if v.decision]
    return max(
        judged,
        key=lambda v: (v.verdict != "superseded", v.trained_wall, v.stage == "Staging", v.stage == "Production", -v.candidate.rank),
        default=None,
    )  # fmt: skip


def _at(connection: Connection, seq: int) -> Record | None:
    return next(read.records(connection, seq - 1), None) if seq else None


def _then(
    site: Site, version: Version, connection: Connection, decided: Record
) -> tuple[Decision, tuple[Any, ...]] | None:
    """The decision asked again, and what would have changed it; None where the policy is not known any more."""
    policy = _policy(version.policy, connection)
    before = _state_before(connection, decided.seq)
    flow = before.flow(site.pipeline)
    model = flow.models.get(version.model)
    same = model.version(version.version) if model else None
    if policy is None or model is None or same is None:
        return None
    world = World(site.settings, {}, __version__)
    scene = Scene(before, flow, site.pipeline, site.settings.pipelines[site.pipeline], world, decided.times)
    facts = facts_of(scene, model, same)
    decision = evaluate(policy, facts, decided.times.site)
    if decision.verdict != version.verdict:  # decided beside a better one of its training, or by another release
        return None
    return decision, counterfactuals(policy, facts, decided.times.site)


def _policy(ref: str, connection: Connection) -> Policy | None:
    """The policy `name@hash` as the journal keeps it."""
    for record in read.records(connection, kinds=("policy.loaded",), newest_first=True):
        event: PolicyLoaded = record.event
        if ref == f"{event.policy}@{event.sha256[:8]}":
            try:
                return bind_policy(strict_yaml.parse(event.text, event.file).value)
            except (Refused, Mistakes):
                return None
    return None


def _state_before(connection: Connection, seq: int) -> State:
    state = State()
    for record in read.records(connection):
        if record.seq >= seq:
            break
        apply(state, record)
    return state


# ---- text ----


def drawn(data: dict[str, Any], on: Screen, zone: ZoneInfo, now: dt.datetime) -> list[Line]:
    """The screen."""
    when = moment(parsed(data["decided"]), zone, now) if data["decided"] else ""
    verdict = "WOULD " * data["would"] + (data["verdict"].replace("_", " ").upper() or "NOT JUDGED YET")
    style: Style = {"promote": "green", "hold": "yellow"}.get(data["verdict"], "red")  # type: ignore[assignment]
    policy = f"policy {data['policy']}" if data["policy"] else "no policy"
    lines: list[Line] = [[
        (f"{data['model']} v{data['number']} {data['algorithm']} · {data['stage']} · ", "bold"), (verdict, style),
        (f" {when} · {policy}", ""),
    ]]  # fmt: skip
    lines += labelled("", data["words"], on, indent=1) if data["words"] else []
    if data["forced"]:
        lines += labelled("!", f"by force, {data['forced']}", on, style="red", mark="red", indent=4)
    if data["blocked"] and data["verdict"] != "blocked":
        lines += labelled("!", f"blocked {data['blocked']}", on, style="yellow", mark="red", indent=4)
    if data["tainted"]:
        lines += labelled("!", f"TAINTED: {data['tainted']}", on, style="red", mark="red", indent=4)
    for override in data["overrides"]:
        lines += labelled("!", override_words(override, zone, now), on, style="yellow", mark="red", indent=4)
    lines += (
        labelled("!", f"not carried out: {data['aborted']}", on, style="red", mark="red", indent=4)
        if data["aborted"]
        else []
    )
    for block in dict.fromkeys(c["block"] for c in data["conditions"]):
        lines += _block(block, [c for c in data["conditions"] if c["block"] == block], on)
    lines += _changes(data, on)
    if len(data["beside"]) > 1:
        lines += [[], *drawn_beside(data["beside"], on)]
    return [*lines, [], *_evidence(data, zone, now, on)]


def _block(block: str, conditions: list[dict[str, Any]], on: Screen) -> Iterator[Line]:
    counted = [c for c in conditions if not c["dry_run"]]
    sums = [f"{n} {word}" for o, word in (("yes", "hold"), ("no", "no"), ("wait", "wait"), ("unknown", "unknown"),
            ("not_needed", "not needed")) if (n := sum(c["outcome"] == o for c in counted))]  # fmt: skip
    yield []
    yield [(f" {_HEADS.get(block, block.capitalize() or 'Conditions')}: {', '.join(sums)}", "bold")]
    rows: list[list[Cell]] = [
        [_MARKS[c["outcome"]], c["id"], c["words"] + (" (dry run, not counted)" if c["dry_run"] else "")]
        for c in conditions
    ]
    yield from table(("", "", ""), rows, on)


def _changes(data: dict[str, Any], on: Screen) -> Iterator[Line]:
    found = data["what_would_change_it"]
    if not found:
        return
    yield []
    yield [(" What would change it" if data["verdict"] == "hold" else " What would have changed it", "bold")]
    rows: list[list[Cell]] = [[_WHO.get(c["what"], c["what"]), c["condition"], c["words"]] for c in found]
    yield from table(("", "", ""), rows, on)


def _evidence(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime, on: Screen) -> Iterator[Line]:
    if data["verdict"] == "hold" and data["earliest"]:
        yield from labelled("EARLIEST", moment(parsed(data["earliest"]), zone, now), on)
    causes = "; ".join(c["words"] for c in data["causes"]) or "unknown"
    yield from labelled("BECAUSE", f"request {data['request']}: {causes}", on)
    test = f"test days {data['test']['from']} to {data['test']['to']}" if data["test"] else "test days unknown"
    first = next(iter(data["rows"].values()), None)
    digest = f", {first['dates']:,} dates, {first['rows']:,} rows, digest {first['digest'][:8]}" if first else ""
    yield from labelled("EVIDENCE", f"decision {data['decision'] or 'none'} · run {data['run_id']} · data until "
                                    f"{data['data_end']} · {test}{digest}", on)  # fmt: skip
