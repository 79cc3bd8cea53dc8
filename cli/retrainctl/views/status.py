"""What runs, what waits, what is wrong: the journal's word, with what the running daemon adds to it.

`gather` makes the document that `--json` prints (version 1: keys are added, never renamed); `drawn` lays it out.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from sqlite3 import Connection
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl import client
from retrainctl.errors import fields_of
from retrainctl.site import Site, now
from retrainctl.text import Cell, Line, Screen, Style, clipped, emit, labelled, print_json, screen, table
from retrainctl.views import events, serving
from retrainctl.views.drops import problem_words
from retrainctl.views.scored import RECENT_DAYS
from retrainctl.views.times import count, day, duration, iso, moment, parsed
from retraind.core.binding import unbind
from retraind.core.divergence import ways_out
from retraind.core.people import FOREIGN, quoted
from retraind.core.state import DROP_STATES, Drop, Flow, Model, State, Version
from retraind.errors import RetraindError, told
from retraind.journal import read

__all__ = [
    "Live",
    "document",
    "drawn",
    "drawn_above",
    "drawn_below",
    "forced_words",
    "gather",
    "job_words",
    "looked",
    "open_candidate",
    "override_words",
    "overrides",
    "show",
    "version_fields",
]

_STRENGTH = ("pause", "pin", "freeze")
_PASSED_OVER = 3
_WINDOWS = 40
_LAST = 5
_SHOWN_IN_QUARANTINE = 2
_SHOWN_DAYS = 2

Live = dict[str, Any] | None
"""The daemon's answer to `look`; None when nobody answers."""


# ---- data ----


def document(site: Site, state: State | None = None) -> dict[str, Any]:
    """What `--json` prints: the journal's word, and the daemon's where one answers.

    state: an earlier one, which is brought up to the journal's last event; None: the snapshot's is.
    """
    live, silent = looked(site)
    if not site.journal.exists():
        return gather(site, State(), None, live, now(), silent)
    with site.opened(state) as (connection, newest):
        return gather(site, newest, connection, live, now(), silent)


def looked(site: Site) -> tuple[Live, str]:
    """What the daemon tells, and why not when it is there and silent."""
    try:
        return client.look(site), ""
    except RetraindError as error:
        return None, str(error)


def gather(
    site: Site, state: State, connection: Connection | None, live: Live, now: dt.datetime, silent: str = ""
) -> dict[str, Any]:
    """The document. `silent`: why a daemon that is there does not answer."""
    flow = state.flow(site.pipeline)
    config = site.settings.pipelines[site.pipeline]
    names = {t: site.settings.mlflow.name_of(site.pipeline, t) for t in config.contract.targets}
    nearest = min(config.training.horizons)
    drops = Counter(d.state for d in flow.drops.values())
    return {
        "version": 1,
        "now": iso(now),
        "config": {"file": str(site.config), "mistakes": [fields_of(m) for m in site.refused.mistakes] if site.refused else []},
        "site": {"config": str(site.config), "root": str(site.root), "timezone": site.settings.site.timezone},
        "daemon": _daemon(state, live, silent),
        "clock": {"kind": site.settings.site.clock, "now": iso(_site_now(site, state, now))},
        "paused": _paused(state, now),
        "overrides": overrides(state, now),
        "policy": _policies(state),
        "mode": site.settings.site.mode,
        "targets": {t: _target(flow, flow.models.get(name), name, config.contract.targets[t].unit, nearest)
                    | {"orders": serving.orders(flow, t), "never_known": _never_known(state, flow.models.get(name)),
                       "without_policy": _without_policy(state, name)}
                    for t, name in names.items()},
        "orders": {"made": iso(flow.orders_at), "origin": iso(flow.origin), "stale": flow.orders_stale},
        "jobs": live["jobs"] if live else _jobs_in_journal(flow),
        "failures": [{**unbind(f), "retries": site.settings.jobs.retries} for f in flow.failures.values()
                     if f.count or f.lost > 1],
        "drops": {s: drops[s] for s in DROP_STATES},
        "data_until": iso(flow.last_date(config.contract.main)),
        "behind": {table: iso(flow.last_date(table)) for table in flow.behind(config.contract)},
        "incomplete": [
            {"date": d, "why": why, "drop": flow.holder(config.contract.main, dt.date.fromisoformat(d))}
            for d, why in sorted(flow.incomplete.items())
        ],
        "damaged": [{"drop": d, "name": flow.drops[d].name, "why": held.words} for d, held in flow.damaged.items()],
        "overdue": iso(flow.newest_main) if flow.overdue else None,
        "undelivered": _undelivered(state),
        "quarantine": [_in_quarantine(d) for d in _newest(flow, "quarantined")],
        "folder_trouble": live.get("folder_trouble", "") if live else "",
        "passed_over": live.get("passed_over", {}) if live else {},
        "drift": {
            "last": unbind(flow.drift[-1]) if flow.drift else None,
            "windows": [unbind(w) for w in flow.drift[-_WINDOWS:]],
            "min_past": config.drift.min_past,
        },
        "pending": _pending(flow),
        "waits": live["waits"] if live else [],
        "next_schedule": _next_schedule(site, flow, live),
        "journal": _journal(state, connection),
    }  # fmt: skip


def _daemon(state: State, live: Live, silent: str) -> dict[str, Any]:
    running = live is not None or bool(silent)
    ended = None if running or not state.started else "stopped" if state.stopped else "killed"
    return {"running": running, "answers": live is not None, "silent": silent, "pid": state.pid if running else None,
            "since": iso(state.started), "stopped": iso(state.stopped), "ended": ended, "release": state.release,
            "last_event": iso(state.last_wall)}  # fmt: skip


def _site_now(site: Site, state: State, now: dt.datetime) -> dt.datetime | None:
    return now if site.settings.site.clock == "wall" else state.site_time


def _paused(state: State, now: dt.datetime) -> dict[str, Any] | None:
    pause = state.pause
    if pause is None or (pause.until and pause.until <= now):
        return None
    return dict(unbind(pause))


def overrides(state: State, now: dt.datetime, model: str | None = None) -> list[dict[str, Any]]:
    """Those that hold now, the strongest first. model: only what speaks about that one."""
    found = [o for o in state.overrides if o.holds(now) and (model is None or o.model in (None, model))]
    fields: list[dict[str, Any]] = [{**unbind(o)} for o in sorted(found, key=lambda o: _STRENGTH.index(o.kind))]
    for row in fields:
        row["champion"] = _champion_of(state, row["model"]) if row["kind"] == "pin" else None
    return fields


def _champion_of(state: State, model: str) -> int | None:
    return next((f.models[model].champion for f in state.flows.values() if model in f.models), None)


def _policies(state: State) -> dict[str, Any]:
    files = sorted({*state.policies, *state.refusals})
    return {file: _policy(state, file) for file in files}


def _policy(state: State, file: str) -> dict[str, Any]:
    kept, refused = state.policies.get(file), state.refusals.get(file)
    return {
        "policy": kept.policy if kept else None, "sha256": kept.sha256 if kept else None,
        "models": list(kept.models) if kept else [], "since": iso(kept.since) if kept else None,
        "refused": {"sha256": refused.sha256, "at": iso(refused.at), "mistakes": list(refused.mistakes)} if refused else None,
    }  # fmt: skip


def version_fields(version: Version | None) -> dict[str, Any] | None:
    """A version as every view shows it."""
    if version is None:
        return None
    return {
        "version": version.version, "algorithm": version.candidate.algorithm, "stage": version.stage,
        "metrics": unbind(version.candidate.test.values), "rank": version.candidate.rank, "request": version.request,
        "run_id": version.candidate.run_id, "data_end": iso(version.data_end), "trained": iso(version.trained_wall),
        "verdict": version.verdict, "words": version.words, "policy": version.policy, "tainted": version.tainted,
        "blocked": version.blocked, "forced": version.forced, "unloadable": version.unloadable,
        "rejected": version.rejected, "rolled_back": version.rolled_back, "gone": version.gone, "adopted": version.adopted,
        "bare": version.bare,
    }  # fmt: skip


def _target(flow: Flow, model: Model | None, name: str, unit: str, nearest: int) -> dict[str, Any]:
    if model is None:
        return {"model": name, "unit": unit, "champion": None, "challenger": None, "last_good": None, "naive": {},
                "since": None, "decision": None, "diverged": "", "settle": "", "moving": None, **serving.NOBODY}  # fmt: skip
    champion = model.serving
    challenger = model.version(model.challenger) if model.challenger is not None else None
    return {
        "model": model.name, "unit": unit, "champion": version_fields(champion), "challenger": version_fields(challenger),
        "last_good": model.last_good, "naive": _naive(model, champion),
        "since": iso(model.tenures[-1].since_site) if model.tenures else None,
        "decision": _decision(flow, _judged(model)), "diverged": _diverged(model),
        "settle": ways_out(model) if model.diverged else "",
        "moving": {"version": model.intention.version, "to": model.intention.to} if model.intention else None,
        **(serving.champion(flow, model, champion, nearest) if champion else serving.NOBODY),
    }  # fmt: skip


def _without_policy(state: State, model: str) -> bool:
    """A daemon has looked, and no file in force speaks for it."""
    return bool(state.started) and not any(fnmatchcase(model, glob) for kept in state.policies.values() for glob in kept.models)


def _never_known(state: State, model: Model | None) -> list[str]:
    """Conditions that nobody can pass beside a champion that others made. Only then are policies read: that takes its time."""
    champion = model.serving if model else None
    if model is None or champion is None or not champion.adopted_seq:
        return []
    from retrainctl.views import adoption  # noqa: PLC0415
    from retraind.strict_policy import in_force  # noqa: PLC0415

    return adoption.never_known(in_force(state.policies), model)


def _diverged(model: Model) -> str:
    """With what came of taking theirs, where the settings say so."""
    return "; ".join(filter(None, (model.diverged, model.unadopted))) if model.diverged else ""


def _naive(model: Model, champion: Version | None) -> dict[str, float]:
    """WAPE by horizon of the best naive forecast on the champion's test days."""
    result = model.results.get(champion.request) if champion else None
    best: dict[str, float] = {}
    for scores in result.baselines.values() if result else ():
        for horizon, value in scores.values.get("wape", {}).items():
            if value is not None:
                best[horizon] = min(value, best.get(horizon, value))
    return best


def open_candidate(model: Model) -> Version | None:
    """The version that may still be promoted and is nearest to it, if there is one."""
    hopeful = [v for v in _after_champion(model) if v.verdict in ("", "promote", "hold", "no_policy")]
    return max(hopeful, key=_nearest, default=None)


def _judged(model: Model) -> Version | None:
    """The version whose decision a person waits for, or the newest one decided after the champion was trained."""
    return open_candidate(model) or max(_after_champion(model), key=_nearest, default=None)


def _nearest(version: Version) -> tuple[bool, dt.datetime, int]:
    return version.stage == "Staging", version.trained_wall, -version.candidate.rank


def _after_champion(model: Model) -> list[Version]:
    champion = model.serving
    return [v for v in model.versions.values() if v.stage not in ("Production", "Archived") and v.verdict != "superseded"
            and not (champion and v.trained_wall <= champion.trained_wall and v.stage != "Staging")]  # fmt: skip


def _decision(flow: Flow, version: Version | None) -> dict[str, Any] | None:
    if version is None:
        return None
    open_ = {
        o: [c.id for c in version.conditions if c.outcome == o and not c.dry_run] for o in ("no", "unknown", "wait")
    }
    return {"version": version.version, "stage": version.stage, "verdict": version.verdict, "to": version.to,
            "would": version.would, "words": version.words, "policy": version.policy, "aborted": version.aborted,
            **serving.challenger(flow, version), **open_}  # fmt: skip


def _jobs_in_journal(flow: Flow) -> list[dict[str, Any]]:
    return [{"job": j.job, "step": j.step, "subject": j.subject, "attempt": None, "progress": None,
             "seconds": None} for j in flow.jobs.values()]  # fmt: skip


def _newest(flow: Flow, state: str) -> list[Drop]:
    return sorted((d for d in flow.drops.values() if d.state == state), key=lambda d: d.arrived, reverse=True)[:10]


def _undelivered(state: State) -> list[dict[str, Any]]:
    """Channels that did not take what they were to be told."""
    waiting = [(name, d) for a in state.alerts.values() for name, d in a.deliveries.items() if d.what]
    return [{"channel": name, "alerts": sum(n == name for n, _ in waiting),
             "what": next(d.what for n, d in reversed(waiting) if n == name)} for name in dict.fromkeys(n for n, _ in waiting)]


def _in_quarantine(drop: Drop) -> dict[str, Any]:
    return {"drop": drop.id, "name": drop.name, "path": drop.path, "problem_count": drop.problem_count,
            "first": unbind(drop.problems[0]) if drop.problems else None}  # fmt: skip


def _pending(flow: Flow) -> dict[str, Any]:
    request, last = flow.open_request(), flow.last_ended()
    return {
        "waits_for_data": {"request": last.id, "why": last.words}
        if last and last.state == "impossible" and not request else None,
        "causes": [{**unbind(c.cause), "targets": list(c.targets), "now": c.now} for c in flow.causes],
        "held": {"reason": flow.held.reason, "until": iso(flow.held.until)} if flow.held and flow.causes else None,
        "request": {"id": request.id, "targets": list(request.targets), "causes": unbind(request.causes),
                    "data_end": iso(request.data_end)} if request else None,
    }  # fmt: skip


def _next_schedule(site: Site, flow: Flow, live: Live) -> dict[str, Any] | None:
    """The schedule that comes first. Without the daemon a cron line's time is not known, only its words."""
    told = live.get("next_schedules", {}) if live else {}
    found = []
    for name, schedule in site.settings.pipelines[site.pipeline].retraining.schedules.items():
        at, state = parsed(told.get(name)), flow.schedules.get(name)
        if at is None and schedule.every and state:
            at = (state.last or state.anchor) + schedule.every.delta
        found.append({"name": name, "spec": schedule.spec, "at": iso(at)})
    return min(found, key=lambda s: (s["at"] is None, s["at"] or "")) if found else None


def _journal(state: State, connection: Connection | None) -> dict[str, Any]:
    if connection is None or not state.seq:
        return {"events": 0, "head": "", "last": []}
    row = connection.execute("SELECT hash FROM events WHERE seq = ?", (state.seq,)).fetchone()
    newest = itertools.islice(read.records(connection, kinds=events.NOTABLE, newest_first=True), _LAST)
    last = [
        {"seq": r.seq, "kind": r.event.KIND, "at": iso(r.times.wall), "words": events.words(r.event)} for r in newest
    ]
    return {"events": state.seq, "head": row[0] if row else "", "last": last}


# ---- text ----


def show(site: Site, *, as_json: bool) -> None:
    """Print it."""
    data = document(site)
    if as_json:
        print_json(data)
        return
    on = screen()
    emit(drawn(data, on), on)


def drawn(data: dict[str, Any], on: Screen) -> list[Line]:
    """The screen."""
    gone = "" if data["daemon"]["running"] else " · was at work when the daemon ended"
    jobs = [line for job in data["jobs"] for line in labelled("JOB", job_words(job) + gone, on)]
    return [*drawn_above(data, on), *jobs, *drawn_below(data, on)]


def drawn_above(data: dict[str, Any], on: Screen) -> list[Line]:
    """What stands above the jobs: the daemon, what needs a person, the models."""
    zone, now = _zone_and_now(data)
    lines = _head(data, zone, now, on)
    alarms = list(_alarms(data, zone, now, on))
    lines += [[], *alarms] if alarms else []
    return [*lines, [], *_models(data, zone, now, on)]


def drawn_below(data: dict[str, Any], on: Screen) -> list[Line]:
    """What stands below the jobs: drops, drift, what is asked for, what happened last."""
    zone, now = _zone_and_now(data)
    lines = []
    for label, text, style in _rest(data, zone, now):
        lines += labelled(label, text, on, style=style)
    for i, words in enumerate(_last(data, zone, now)):
        lines += labelled("" if i else "LAST", clipped(words, on.width - 10), on, style="dim")
    return lines


def _zone_and_now(data: dict[str, Any]) -> tuple[ZoneInfo, dt.datetime]:
    now = parsed(data["now"])
    assert now
    return ZoneInfo(data["site"]["timezone"]), now


def _head(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime, on: Screen) -> list[Line]:
    daemon, events_ = data["daemon"], data["journal"]["events"]
    local = now.astimezone(zone)
    stamp = f"{local:%a} {local.day} {local:%b %H:%M %Z}"
    if data["clock"]["kind"] == "data":
        site_now = parsed(data["clock"]["now"])
        newest = site_now.astimezone(zone) - dt.timedelta(seconds=1) if site_now and data["data_until"] else None
        stamp += f" · data's clock: end of {day(newest.date(), local.date())}" if newest else " · data's clock"
    if daemon["running"]:
        up = duration((now - since).total_seconds()) if (since := parsed(daemon["since"])) else "an unknown time"
        jobs = count(len(data["jobs"]), "job") + " running" if data["jobs"] else "idle"
        return _wrapped_head(f"retraind up {up} · {stamp} · {jobs} · journal {events_:,} events", on, "bold")
    if not events_:
        return _wrapped_head("the daemon is not running and has never run here. "
                             f"Start it: retraind --config {data['site']['config']}", on, "yellow")  # fmt: skip
    last = moment(parsed(daemon["last_event"]), zone, now)
    how = "" if daemon["ended"] == "stopped" else " It ended without a word (killed, crashed or a power cut)."
    return [
        *_wrapped_head("the daemon is not running; this is the journal's word of "
                       f"{last if ' ' in last else 'today ' + last}.{how}", on, "yellow"),
        *_wrapped_head(f"{stamp} · journal {events_:,} events · start it: retraind --config {data['site']['config']}", on, ""),
    ]  # fmt: skip


def _wrapped_head(text: str, on: Screen, style: Style) -> list[Line]:
    return labelled("", text, on, style=style, indent=1)


def _alarms(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime, on: Screen) -> Iterator[Line]:
    """Overrides first, then what a person has to mend."""
    if data["mode"] == "observe":
        words = "the site only OBSERVES: it trains, scores and decides, and moves nothing (config.yaml: site.mode)"
        yield from labelled("!", words, on, style="yellow", mark="yellow", indent=4)
    yield from _by_people(data, zone, now, on)
    if silent := data["daemon"]["silent"]:
        yield from _alarm(f"the daemon is there and does not answer: {silent}", on)
    yield from _broken_config(data["config"], on)
    for file, policy in data["policy"].items():
        if policy["refused"]:
            yield from _refused(file, policy, moment(parsed(policy["refused"]["at"]), zone, now), on)
    for name, target in data["targets"].items():
        if target["without_policy"]:
            yield from _alarm(f"no POLICY speaks for {target['model']}: nothing is promoted or rolled back by itself. "
                              "Put a file for it into policies/; see: retrainctl policy list", on)  # fmt: skip
        yield from _stuck(name, target, on)
        for words, style in serving.alarms(target, paused=bool(data["paused"])):
            yield from labelled("!", words, on, style=style, mark=style, indent=4)
    yield from _drops_folder(data, on)
    for failure in data["failures"]:
        yield from _alarm(_failure_words(failure), on)
    yield from _days(data, zone, now, on)
    for one in data["undelivered"]:
        yield from _alarm(f"{count(one['alerts'], 'ALERT')} not taken by {one['channel']}: {one['what']}. "
                          "See: retrainctl alerts list", on)  # fmt: skip
    yield from _quarantine(data, on)


def override_words(override: dict[str, Any], zone: ZoneInfo, now: dt.datetime) -> str:
    """`price is PINNED to v9 by ops-a until Fri 4 Dec 18:00: "supplier dispute"`, and how to lift it."""
    until = f" until {moment(parsed(override['until']), zone, now)}" if override["until"] else ""
    who, model = f"by {override['by']}{until}{quoted(override['reason'])}.", override["model"]
    match override["kind"]:
        case "pause":
            return f"PAUSED {who} No training, no promotion. To go on: retrainctl resume"
        case "pin":
            return f"{model} is PINNED to v{override['champion']} {who} To lift: retrainctl unpin {model}"
        case _:
            return (f"{f'{model} is' if model else 'every model is'} FROZEN {who} Nothing goes to Production by policy. "
                    f"To lift: retrainctl unfreeze {model or '--all'}")  # fmt: skip


def _by_people(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime, on: Screen) -> Iterator[Line]:
    for override in data["overrides"]:
        yield from _alarm(override_words(override, zone, now), on)
    for target in data["targets"].values():
        for version in (target["champion"], target["challenger"]):
            if version and version["forced"]:
                yield from _alarm(forced_words(target["model"], version), on)


def forced_words(model: str, version: dict[str, Any]) -> str:
    """`price v11 is in Production BY FORCE by ops-a: "the old one is useless"`."""
    return (f"{model} v{version['version']} is in {version['stage']} BY FORCE, {version['forced']}; "
            "its policy had not let it through")  # fmt: skip


def _broken_config(config: dict[str, Any], on: Screen) -> Iterator[Line]:
    if config["mistakes"]:
        yield from _alarm(
            f"{config['file']} CANNOT BE TAKEN; until it can, the settings that were loaded last hold", on
        )
    for mistake in config["mistakes"][:3]:
        line = f"line {mistake['where']['line']}, column {mistake['where']['column']}: " if mistake["where"] else ""
        yield from labelled("", f"{line}{told(mistake['what'], mistake['remedy'])}", on, indent=4)


def _refused(file: str, policy: dict[str, Any], when: str, on: Screen) -> Iterator[Line]:
    kept = f"version {policy['sha256'][:8]} goes on" if policy["sha256"] else "its models hold"
    yield from _alarm(f"policy file {file} was REFUSED {when}, {kept}", on)
    for mistake in policy["refused"]["mistakes"][:3]:
        yield from labelled("", mistake, on, indent=4)


def _stuck(name: str, target: dict[str, Any], on: Screen) -> Iterator[Line]:
    if target["diverged"]:
        yield from _alarm(f"{name} HOLDS, somebody else moved the registry: {target['diverged']}. {target['settle']}", on)
    if target["champion"] and (why := target["champion"]["adopted"]).startswith(f"by {FOREIGN}"):
        number = target["champion"]["version"]
        yield from _alarm(f"{name} v{number} is champion because {FOREIGN} moved the alias to it. "
                          f"Say why: retrainctl adopt {name} {number} --reason WHY", on)  # fmt: skip
    if target["champion"] and (why := target["champion"]["tainted"]):
        yield from _alarm(f"{name}'s champion v{target['champion']['version']} is TAINTED: {why}", on)
    if target["decision"] and (why := target["decision"]["aborted"]):
        yield from _alarm(f"{name} v{target['decision']['version']} was NOT PROMOTED: {why}", on)


_ASKED = "it is asked again from time to time"
_AT_THE_END = {"prepare": _ASKED, "promote": _ASKED, "forecast": "it is tried again with the next drop"}
"""What becomes of a step whose retries are used up, where that is not the end of it."""


def _failure_words(failure: dict[str, Any]) -> str:
    times = "once" if failure["count"] == 1 else f"{failure['count']} times"
    over = not failure["retryable"] or failure["count"] > failure["retries"]
    again = _AT_THE_END.get(failure["step"], "it is not tried again") if over else "it is tried again"
    why = told(failure["what"], failure["remedy"])
    return f"{failure['step']} {failure['subject']} FAILED {times}, {again}: {why}"


def _days(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime, on: Screen) -> Iterator[Line]:
    """Drops that are held back, days that do not count, the newest first, and drops that do not come."""
    today = now.astimezone(zone).date()
    for one in data["damaged"][: -_SHOWN_DAYS - 1 : -1]:
        yield from _alarm(
            f"drop {one['drop']} ({one['name']}) looks DAMAGED and is held back: {one['why']}. If it is real: retrainctl drops "
            f"accept {one['drop']} --reason WHY; if not: retrainctl drops withdraw {one['drop']}",
            on,
        )
    for one in data["incomplete"][: -_SHOWN_DAYS - 1 : -1]:
        yield from _alarm(
            f"{day(dt.date.fromisoformat(one['date']), today)} is INCOMPLETE and does not count: {one['why']}. Bring the rest, "
            f"or say that it is real: retrainctl drops accept {one['drop'] or 'DROP'}",
            on,
        )
    if (more := len(data["incomplete"]) - _SHOWN_DAYS) > 0:
        yield from _alarm(f"{count(more, 'older day')} incomplete, too: retrainctl status --json names them", on)
    if data["overdue"]:
        yield from _alarm(f"NO DROP since {moment(parsed(data['overdue']), zone, now)}: forecasts are made of old data", on)


def _quarantine(data: dict[str, Any], on: Screen) -> Iterator[Line]:
    for drop in data["quarantine"][:_SHOWN_IN_QUARANTINE]:
        more = f" (and {drop['problem_count'] - 1} more)" if drop["problem_count"] > 1 else ""
        what = problem_words(drop["first"]) if drop["first"] else "no reason was given"
        yield from _alarm(
            f"drop {drop['drop']} in QUARANTINE: {drop['path']}, {what}{more}. "
            f"Mend it and run: retrainctl drops retry {drop['drop']}",
            on,
        )
    rest = data["drops"]["quarantined"] - min(len(data["quarantine"]), _SHOWN_IN_QUARANTINE)
    if rest > 0:
        yield from _alarm(f"{count(rest, 'more drop')} in quarantine: retrainctl drops list --state quarantined", on)


def _drops_folder(data: dict[str, Any], on: Screen) -> Iterator[Line]:
    if data["folder_trouble"]:
        yield from _alarm(f"the drops folder cannot be read: {data['folder_trouble']}", on)
    passed_over = list(data["passed_over"].items())
    for name, why in passed_over[:_PASSED_OVER]:
        yield from _alarm(f"passed over in the drops folder: {name} {why}", on)
    if more := len(passed_over[_PASSED_OVER:]):
        yield from _alarm(f"and {more} more passed over there", on)


def _alarm(text: str, on: Screen) -> list[Line]:
    return labelled("!", text, on, style="red", mark="red", indent=4)


def _models(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime, on: Screen) -> list[Line]:
    rows: list[list[Cell]] = []
    today = now.astimezone(zone).date()
    for target in data["targets"].values():
        champion = target["champion"]
        since = parsed(target["since"])
        who: Cell = ("none yet", "yellow")
        if champion:
            # on the data's clock a promotion happens at the midnight that ends its newest date
            when = day((since.astimezone(zone) - dt.timedelta(seconds=1)).date(), today) if since else ""
            who = (f"v{champion['version']} {champion['algorithm']}" + (f" since {when}" if when else ""), "green")
        rows.append([target["model"], who, _wape(target), _next_words(target)])
    nearest = next((t["live"]["horizon"] for t in data["targets"].values() if t["live"]), None)
    header = f"LIVE WAPE {nearest}, {RECENT_DAYS} d" if nearest else "TEST WAPE h1"
    return table(("MODEL", "CHAMPION", header, "NEXT"), rows, on)


def _wape(target: dict[str, Any]) -> str:
    """`33.0 (naive 37.9)` of the newest scored days; before there are any, of the test days, and says so."""
    if live := target["live"]:
        few = f", {live['days']} d" if live["days"] < RECENT_DAYS else ""
        return _beside_naive(live["wape"], live["naive"]) + few
    value = (target["champion"] or {"metrics": {}})["metrics"].get("wape", {}).get("h1")
    return f"test {_beside_naive(value, target['naive'].get('h1'))}" if value is not None else "-"


def _beside_naive(value: float | None, naive: float | None) -> str:
    return ("-" if value is None else f"{value:.1f}") + (f" (naive {naive:.1f})" if naive is not None else "")


def _next_words(target: dict[str, Any]) -> str:
    decision = target["decision"]
    if moving := target["moving"]:
        if moving["to"] == "rollback":
            return f"is being rolled back to v{moving['version']}"
        return f"v{moving['version']} is on its way to {moving['to'].capitalize()}"
    if decision is None:
        return "no candidate" if target["champion"] else "the first training will bring candidates"
    stage = "" if decision["stage"] == "None" else f" in {decision['stage']}"
    words = decision["words"] or "not judged yet"
    soak = f", soak {soaked['drops']}/{soaked['of']}" if (soaked := decision["soak"]) else ""
    return f"v{decision['version']}{stage}{soak}, {'would ' if decision['would'] else ''}{words}"


def job_words(job: dict[str, Any]) -> str:
    """A job with how far it is."""
    progress = job["progress"]
    parts = [f"{job['step']} {job['subject']}"]
    if job["attempt"] and job["attempt"] > 1:
        parts.append(f"attempt {job['attempt']}")
    if progress:
        parts.append(f"{progress['done']} of {progress['of']}, {progress['stage']}")
    if job["seconds"] is not None:
        parts.append(duration(job["seconds"]))
    if left := time_left(job):
        parts.append(left)
    return " · ".join(parts)


def time_left(job: dict[str, Any]) -> str:
    """By how long it took so far, in words; empty as long as that says nothing."""
    progress, seconds = job["progress"], job["seconds"]
    if not progress or not seconds or not 0.02 * progress["of"] < progress["done"] < progress["of"]:
        return ""
    left = seconds * (progress["of"] / progress["done"] - 1)
    return f"about {duration(left if left < 90 else round(left / 60) * 60)} left"


def _rest(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime) -> Iterator[tuple[str, str, Style]]:
    today = now.astimezone(zone).date()
    yield "DROPS", _drops_words(data, today), "yellow" if data["behind"] else ""
    yield "DRIFT", _drift_words(data, today), ""
    if words := _orders_words(data, zone, now):
        yield "ORDERS", words, "yellow" if data["orders"]["stale"] else ""
    yield from _pending_words(data, zone, now)
    if schedule := data["next_schedule"]:
        at = parsed(schedule["at"])
        when = f"next {moment(at, zone, now)}" if at else "not counted yet"
        yield "SCHEDULE", f"{schedule['name']} ({schedule['spec']}), {when}", ""
    if not data["policy"]:
        yield "POLICY", "none is in force, so nothing is promoted: put one into the policies folder", "yellow"


def _last(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime) -> list[str]:
    return [f"{moment(parsed(r['at']), zone, now)} {r['words']}" for r in reversed(data["journal"]["last"])]


def _drops_words(data: dict[str, Any], today: dt.date) -> str:
    shown = [f"{n:,} {state}" for state, n in data["drops"].items() if n]
    if not shown:
        return "no drops yet: rename a file into drops/"
    until = dt.date.fromisoformat(data["data_until"]) if data["data_until"] else None
    behind = (
        f" · {table} only until {day(dt.date.fromisoformat(end), today)}" if end else f" · no {table} yet"
        for table, end in data["behind"].items()
    )
    return " · ".join(shown) + (f" · data until {day(until, today)}" if until else "") + "".join(behind)


def _drift_words(data: dict[str, Any], today: dt.date) -> str:
    drift = data["drift"]
    last = drift["last"]
    if not last:
        return "no window measured yet: the first comes after the first training"
    strip = "".join("▲" if w["drifting"] else "·" for w in drift["windows"])
    verdict = "drifting" if last["drifting"] else "quiet"
    until = day(dt.date.fromisoformat(last["last_date"]), today)
    return f"{strip}  {verdict}, days to {until}: {last['why']}"


def _orders_words(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime) -> str:
    """`made 09:54 from data to 12 Dec: price by champion v1, demand by champion v5`."""
    orders = data["orders"]
    if not orders["made"]:
        return ""
    origin = day(dt.date.fromisoformat(orders["origin"]), now.astimezone(zone).date())
    by = ", ".join(f"{name} by {serving.source_words(t['orders'])}" for name, t in data["targets"].items() if t["orders"])
    return f"made {moment(parsed(orders['made']), zone, now)} from data to {origin}{', STALE' if orders['stale'] else ''}: {by}"


def _pending_words(data: dict[str, Any], zone: ZoneInfo, now: dt.datetime) -> Iterator[tuple[str, str, Style]]:
    pending = data["pending"]
    if request := pending["request"]:
        yield (
            "PENDING",
            f"request {request['id']} for {' and '.join(request['targets'])}: "
            + "; ".join(c["words"] for c in request["causes"]),
            "",
        )
    if pending["causes"]:
        words = "; ".join(c["words"] for c in pending["causes"])
        held = pending["held"]
        if held:
            until = f" until {moment(parsed(held['until']), zone, now)}" if held["until"] else ""
            words += f" (held: {held['reason']}{until})"
        yield "PENDING", words, ""
    elif vain := pending["waits_for_data"]:
        yield "PENDING", f"request {vain['request']} waits for data: {vain['why']}", "yellow"
    elif not request:
        yield "PENDING", "nothing asks for a retraining", ""
