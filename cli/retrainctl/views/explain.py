"""A decision with its reasons: each condition by block, what would change it, who approved, and the evidence behind it.

A version that waits, and a champion that is watched, are shown with the figures of now; a final decision with those that it
was made on (`judging` asks the policy again).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from sqlite3 import Connection
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.scene import scene_now
from retrainctl.site import Site
from retrainctl.text import Cell, Line, Screen, Style, labelled, table
from retrainctl.views.adoption import never_known, way_on
from retrainctl.views.chance import chance, drawn_chance, slices
from retrainctl.views.judging import Judged, approvals, judged_now, judged_then
from retrainctl.views.links import drops_of, report_link, run_link, told
from retrainctl.views.scored import beside_live, drawn_live
from retrainctl.views.status_alarms import override_words
from retrainctl.views.status_data import open_candidate, overrides
from retrainctl.views.times import count, iso, moment, parsed
from retrainctl.views.versions import beside, drawn_beside
from retraind.core.binding import unbind
from retraind.core.events import Counterfactual, Record, TrainingFinished
from retraind.core.scene import Scene
from retraind.core.state import Model, State, Tenure, Version
from retraind.journal import read

__all__ = ["asked_about", "drawn", "drawn_to_approve", "gather", "shown_to_approve"]

_MARKS: dict[str, tuple[str, Style]] = {
    "yes": ("ok", "green"), "no": ("no", "red"), "wait": ("wait", "yellow"), "unknown": ("unknown", "yellow"),
    "not_needed": ("-", "dim"),
}  # fmt: skip
_ROLLBACK_MARKS: dict[str, tuple[str, Style]] = {**_MARKS, "yes": ("YES", "red"), "no": ("no", "green")}
"""A condition of rollback that holds is bad news."""
_HEADS = {"staging": "To Staging", "production": "To Production", "refresh": "To Production (refresh of the champion's recipe)",
          "rollback": "To roll back (any one is enough)", "freeze": "Freeze windows", "limits": "Limits"}  # fmt: skip
_WHO = {"model": "the model", "policy": "the policy", "person": "a person", "fact": "time or facts"}


# ---- data ----


def gather(
    site: Site, state: State, model: Model, version: Version, connection: Connection, now: dt.datetime
) -> dict[str, Any]:
    """The document of one version."""
    scene = scene_now(site, state, now)
    request = scene.flow.requests.get(version.request)
    decided = _at(connection, version.decision_seq)
    training = _at(connection, request.ended_seq) if request else None
    found = training.event if training and isinstance(training.event, TrainingFinished) else None
    fresh = _of_now(scene, model, version)
    changes, earliest = (fresh.changes, fresh.decision.earliest) if fresh else _of_then(site, version, connection, decided)
    return {
        "version": 1, "what": "version", "model": model.name, "number": version.version,
        "algorithm": version.candidate.algorithm, "stage": version.stage, "verdict": version.verdict, "to": version.to,
        "would": version.would, "words": version.words,
        "policy": version.policy, "decision": version.decision, "decided": iso(decided.times.wall) if decided else None,
        "decided_site": iso(decided.times.site) if decided else None, "aborted": version.aborted,
        "figures_of": "now" if fresh else "then",
        "conditions": unbind(fresh.decision.conditions if fresh else version.conditions),
        "earliest": iso(earliest), "what_would_change_it": [unbind(c) for c in changes],
        "blocked": version.blocked, "tainted": version.tainted, "forced": version.forced,
        "gone": version.gone, "adopted": version.adopted, "never_known": _never_known(scene, model, version),
        "rolled_back": version.rolled_back, "rejected": version.rejected, "unloadable": version.unloadable,
        "approvals": approvals(scene, model, version), "overrides": overrides(state, now, model.name),
        "champion": model.champion, "compared_with": version.compared_with, "beside": beside(model, version),
        **chance(model, version), "slices": slices(model, version),
        "live": beside_live(scene.flow, model, version), "serves": _serves(scene, model, version, connection),
        "newest_judged": _newest_judged(model, version), "request": version.request,
        "causes": [unbind(c) for c in request.causes] if request else [], "kind": request.kind if request else None,
        "data_end": iso(version.data_end), "run_id": version.candidate.run_id,
        "drops": drops_of(request.causes) if request else [],
        "run": run_link(site, version.candidate.run_id), "report": report_link(site, version.request),
        "test": {"from": iso(found.test_from), "to": iso(found.test_to)} if found else None,
        "rows": unbind(version.candidate.test.rows), "choice": _choice(model, version, found),
    }  # fmt: skip


def _waits(version: Version) -> bool:
    """It may still be promoted."""
    return version.stage in ("None", "Staging") and version.verdict in ("", "hold")


def _never_known(scene: Scene, model: Model, version: Version) -> list[str]:
    """Of a champion that others made, and of who would replace it."""
    return never_known(scene.world.policies, model) if _waits(version) or version.version == model.champion else []


def shown_to_approve(scene: Scene, model: Model, version: Version) -> dict[str, Any]:
    """What an approval binds to: the test figures, and each condition of the way to Production as it stands now."""
    judged = judged_now(scene, model, version, for_production=True)
    return {
        "model": model.name, "number": version.version, "algorithm": version.candidate.algorithm, "stage": version.stage,
        "policy": judged.loaded.ref if judged else "", "conditions": unbind(judged.decision.conditions) if judged else [],
        "approvals": approvals(scene, model, version), "beside": beside(model, version),
        "live": beside_live(scene.flow, model, version),
    }  # fmt: skip


def asked_about(model: Model) -> Version | None:
    """The version people mean who name none: the candidate that may still go up, else the champion, else the newest that
    was judged."""
    champion = model.serving
    return open_candidate(model) or champion or _newest(model)


def _newest(model: Model) -> Version | None:
    """Of the newest training that was judged: what was not passed over for another."""
    judged = [v for v in model.versions.values() if v.decision]
    return max(judged, key=lambda v: (v.trained_wall, v.verdict != "superseded", -v.candidate.rank), default=None)


def _newest_judged(model: Model, version: Version) -> dict[str, Any] | None:
    """Beside the champion: what came of the last candidate."""
    newest = _newest(model)
    if newest is None or version.version != model.champion or newest.trained_wall <= version.trained_wall:
        return None
    return {"number": newest.version, "verdict": newest.verdict, "words": newest.rolled_back or newest.words}


def _of_now(scene: Scene, model: Model, version: Version) -> Judged | None:
    """A version that waits, or a champion that its policy watches, as it stands now. None where the policy would say
    something else by now: the daemon has not said it yet."""
    watched = version.version == model.champion and version.verdict in ("hold", "rollback")
    found = judged_now(scene, model, version) if _waits(version) or watched else None
    return found if found and found.decision.verdict == (version.verdict or "hold") else None


def _of_then(
    site: Site, version: Version, connection: Connection, decided: Record | None
) -> tuple[Sequence[Counterfactual], dt.datetime | None]:
    """What would have changed a final decision, as it says itself; one of an older release is made again."""
    if decided is None:
        return (), None
    if decided.event.changes is not None:
        return decided.event.changes, decided.event.earliest
    judged = judged_then(site, version, connection, decided)
    return (judged.changes, judged.decision.earliest) if judged else ((), None)


def _serves(scene: Scene, model: Model, version: Version, connection: Connection) -> dict[str, Any] | None:
    """Of the champion: since when, how long, and why it came."""
    if version.version != model.champion:
        return None
    tenure = model.tenures[-1]
    return {"since": iso(tenure.since_site), "drops": scene.flow.served_drops(model, tenure), "by_rollback": tenure.by_rollback,
            "because": _came(tenure, connection)}  # fmt: skip


def _came(tenure: Tenure, connection: Connection) -> str:
    made = read.records(connection, until=tenure.seq, kinds=("decision.made",), newest_first=True)
    return next((str(r.event.words) for r in made if r.event.decision == tenure.decision), "")


def _choice(model: Model, version: Version, training: TrainingFinished | None) -> dict[str, Any] | None:
    """Where its training put it among its candidates, and by what rule; None when it was alone."""
    result, figures = model.results.get(version.request), version.candidate.figures
    if result is None or training is None or not result.rule or figures.get("validation_cost") is None:
        return None
    beside_it = sum(len(r.candidates) for r in training.results if r.target == model.target)
    return {"rank": version.candidate.rank, "of": beside_it, "cost": figures["validation_cost"],
            "std": figures.get("validation_std"), "trials": int(figures.get("search_trials") or 0),
            "rule": result.rule}  # fmt: skip


def _at(connection: Connection, seq: int) -> Record | None:
    return next(read.records(connection, seq - 1), None) if seq else None


# ---- text ----

_VERDICTS = {"promote": "PROMOTE", "hold": "HOLD", "reject": "REJECT", "rollback": "ROLL BACK", "no_policy": "NO POLICY",
             "gave_up": "GAVE UP", "superseded": "SUPERSEDED", "blocked": "BLOCKED", "": "NOT JUDGED YET"}  # fmt: skip


def drawn(data: dict[str, Any], on: Screen, zone: ZoneInfo, now: dt.datetime) -> list[Line]:
    """The screen."""
    when = moment(parsed(data["decided"]), zone, now) if data["decided"] else ""
    policy = f"policy {data['policy']}" if data["policy"] else "no policy"
    lines: list[Line] = [[
        (f"{data['model']} v{data['number']} {data['algorithm']} · {data['stage']} · ", "bold"), _verdict(data),
        (f" {when} · {policy}", ""),
    ]]  # fmt: skip
    lines += labelled("", data["words"], on, indent=1) if data["words"] else []
    for words, style in _alarms(data, zone, now):
        lines += labelled("!", words, on, style=style, mark="red", indent=4)
    lines += drawn_conditions(data, on)
    lines += _changes(data, on)
    if len(data["beside"]) > 1:
        lines += [[], *drawn_beside(data["beside"], on)]
    if sure := drawn_chance(data, on):
        lines += [[], *sure]
    if data["live"]["wape"]:
        lines += [[], *drawn_live(data["live"], on)]
    return [*lines, [], *_evidence(data, zone, now, on)]


def _verdict(data: dict[str, Any]) -> tuple[str, Style]:
    """A champion that is watched stays, which is good; a candidate that is held is not yet."""
    verdict = data["verdict"]
    word, style = "WOULD " * data["would"] + _VERDICTS[verdict], {"promote": "green", "hold": "yellow"}.get(verdict, "red")
    if data["serves"] and verdict == "hold":
        word, style = "STAYS", "green"
    return word, style  # type: ignore[return-value]


def _alarms(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime) -> Iterator[tuple[str, Style]]:
    if data["forced"]:
        yield f"by force, {data['forced']}", "red"
    if data["blocked"] and data["verdict"] != "blocked":
        yield f"blocked {data['blocked']}", "yellow"
    if data["rolled_back"]:
        yield data["rolled_back"], "red"
    if data["rejected"] and data["verdict"] != "blocked":
        yield f"rejected {data['rejected']}", "yellow"
    for key, words in (("unloadable", "CANNOT BE LOADED"), ("gone", "GONE"), ("tainted", "TAINTED")):
        if data[key]:
            yield f"{words}: {data[key]}", "red"
    if data["never_known"]:
        yield way_on(data["model"], data["champion"], data["never_known"]), "yellow"
    for override in data["overrides"]:
        yield override_words(override, zone, now), "yellow"
    if data["aborted"]:
        yield f"not carried out: {data['aborted']}", "red"


def drawn_to_approve(data: dict[str, Any], on: Screen, zone: ZoneInfo, now: dt.datetime) -> list[Line]:
    """The screen before the question."""
    policy = f"policy {data['policy']}" if data["policy"] else "no policy"
    head: Line = [(f"{data['model']} v{data['number']} {data['algorithm']} · {data['stage']}", "bold"), (f" · {policy}", "")]
    lines: list[Line] = [head, *drawn_conditions(data, on), [], *drawn_beside(data["beside"], on)]
    lines += [[], *drawn_live(data["live"], on)] if data["live"]["wape"] else []
    given = list(drawn_approvals(data["approvals"], on, zone, now))
    return [*lines, *([[], *given] if given else [])]


def drawn_conditions(data: dict[str, Any], on: Screen) -> Iterator[Line]:
    """Block by block."""
    for block in dict.fromkeys(c["block"] for c in data["conditions"]):
        yield from _block(block, [c for c in data["conditions"] if c["block"] == block], on)


def _block(block: str, conditions: list[dict[str, Any]], on: Screen) -> Iterator[Line]:
    counted = [c for c in conditions if not c["dry_run"]]
    sums = [f"{n} {word}" for o, word in (("yes", "hold"), ("no", "no"), ("wait", "wait"), ("unknown", "unknown"),
            ("not_needed", "not needed")) if (n := sum(c["outcome"] == o for c in counted))]  # fmt: skip
    yield []
    yield [(f" {_HEADS.get(block, block.capitalize() or 'Conditions')}: {', '.join(sums)}", "bold")]
    marks = _ROLLBACK_MARKS if block == "rollback" else _MARKS
    rows: list[list[Cell]] = [
        [marks[c["outcome"]], c["id"], c["words"] + (" (dry run, not counted)" if c["dry_run"] else "")]
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
    yield from drawn_approvals(data["approvals"], on, zone, now)
    if data["verdict"] == "hold" and data["earliest"]:
        when = moment(parsed(data["earliest"]), zone, now)
        yield from labelled("EARLIEST", f"{when}, if drops go on coming and nothing gets worse", on)
    if serves := data["serves"]:
        since = moment(parsed(serves["since"]), zone, now)
        how = "by a rollback" if serves["by_rollback"] else "by promotion"
        drops = count(serves["drops"], "scored drop")
        yield from labelled("SERVES", f"since {since} {how}, {drops} so far: {serves['because']}", on)
    if newest := data["newest_judged"]:
        yield from labelled("NEWEST", f"v{newest['number']} {newest['words']}; "
                                      f"see: retrainctl explain {data['model']} {newest['number']}", on)  # fmt: skip
    causes = "; ".join(c["words"] for c in data["causes"])
    kind = f", a {data['kind']}" if data["kind"] else ""
    because = "no training of this site made it"
    if data["causes"]:
        because = f"request {data['request']}{kind}: {causes}; see: retrainctl explain {data['request']}"
        because += "".join(f", retrainctl explain {drop}" for drop in data["drops"])
    if data["adopted"]:
        because += f"; adopted {data['adopted']}"
    yield from labelled("BECAUSE", because, on)
    if choice := data["choice"]:
        trials = f"; its parameters are the best of {count(choice['trials'], 'trial')}" if choice["trials"] else ""
        yield from labelled("CHOICE", f"rank {choice['rank']} of {choice['of']} on validation days, cost {choice['cost']:.3f} "
                                      f"(doing nothing: 1): {choice['rule']}{trials}", on)  # fmt: skip
    test = f"test days {data['test']['from']} to {data['test']['to']}" if data["test"] else "test days unknown"
    first = next(iter(data["rows"].values()), None)
    digest = f", {first['dates']:,} dates, {first['rows']:,} rows, digest {first['digest'][:8]}" if first else ""
    yield from labelled("EVIDENCE", f"decision {data['decision'] or 'none'} · run {data['run_id']} · data until "
                                    f"{data['data_end']} · {test}{digest}", on)  # fmt: skip
    if (data["run"] and data["run"]["page"]) or data["report"]:
        yield from labelled("SEE", told(data["run"], data["report"]), on)


def drawn_approvals(given: list[dict[str, Any]], on: Screen, zone: ZoneInfo, now: dt.datetime) -> Iterator[Line]:
    """Who said yes, until when that counts, and why it does not."""
    for i, approval in enumerate(given):
        who = approval["by"] + (f" ({', '.join(approval['groups'])})" if approval["groups"] else "")
        when = moment(parsed(approval["at"]), zone, now)
        if approval["void"]:
            words, style = f"{who} {when}, VOID: {approval['void']}", "yellow"
        else:
            until = f", counts until {moment(parsed(approval['until']), zone, now)}" if approval["until"] else ""
            words, style = f"{who} {when}{until}", ""
        yield from labelled("" if i else "APPROVED", words, on, style=style)  # type: ignore[arg-type]
