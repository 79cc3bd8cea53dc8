"""What `status --json` prints (version 1: keys are added, never renamed): the journal's word, and what the running daemon adds."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from fnmatch import fnmatchcase
from sqlite3 import Connection
from typing import Any

from retrainctl import client
from retrainctl.errors import fields_of
from retrainctl.site import Site, now
from retrainctl.views import events, serving
from retrainctl.views.times import iso, parsed
from retraind.core.binding import unbind
from retraind.core.divergence import ways_out
from retraind.core.state import DROP_STATES, Drop, Flow, Model, State, Version
from retraind.errors import RetraindError
from retraind.journal import read

__all__ = ["Live", "document", "gather", "looked", "open_candidate", "overrides", "version_fields"]

_STRENGTH = ("pause", "pin", "freeze")
_WINDOWS = 40
_LAST = 5

Live = dict[str, Any] | None
"""The daemon's answer to `look`; None when nobody answers."""


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
