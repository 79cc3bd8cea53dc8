"""State is a fold over events: `apply` adds one record to a state.

It changes the state it is given (a copy for each of a million events would be paid by everybody who looks) and nothing
else: same state, same record, same result. One handler an event; a test holds the table against the vocabulary.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from collections.abc import Callable, Iterable
from typing import Any

from retraind.core import events as e
from retraind.core import live, withdrawal
from retraind.core.figures import Candidate, Significance
from retraind.core.people import person, quoted
from retraind.core.policy.facts import Approval
from retraind.core.state import (
    Adoption,
    Channel,
    DamagedDrop,
    Delivery,
    Drop,
    Failure,
    Flow,
    Held,
    Intention,
    LoadedText,
    Model,
    OpenCause,
    Override,
    RaisedAlert,
    Refusal,
    Request,
    RunningJob,
    ScheduleState,
    State,
    Tenure,
    Version,
    WindowDrift,
)

__all__ = ["apply"]

_KEPT_WINDOWS = 120
_KEPT_MESSAGES = 1000


def apply(state: State, record: e.Record) -> State:
    """`state` after `record`. Returns the same object."""
    if record.seq != state.seq + 1:
        raise ValueError(f"event {record.seq} does not follow event {state.seq}")
    state.seq = record.seq
    state.site_time, state.machine_time = record.times.site, record.times.machine
    state.last_wall = record.times.wall
    if record.message:
        state.obeyed[record.message] = record.seq
        while len(state.obeyed) > _KEPT_MESSAGES:
            state.obeyed.pop(next(iter(state.obeyed)))
    _HANDLERS[type(record.event)](state, record, record.event)
    return state


Handler = Callable[[State, e.Record, Any], None]
_HANDLERS: dict[type[Any], Handler] = {}


def _on(kind: type[Any]) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        _HANDLERS[kind] = handler
        return handler

    return register


def _flow(state: State, record: e.Record) -> Flow:
    return state.flow(record.pipeline)


# ---- the daemon and what people gave it ----


@_on(e.DaemonStarted)
def _started(state: State, record: e.Record, event: e.DaemonStarted) -> None:
    state.started, state.stopped = record.times.wall, None
    state.site_id = state.site_id or hashlib.sha256(f"{record.times.wall}{event.pid}".encode()).hexdigest()[:6]
    state.pid, state.release = event.pid, event.version


@_on(e.DaemonStopped)
def _stopped(state: State, record: e.Record, event: e.DaemonStopped) -> None:
    state.stopped = record.times.wall


@_on(e.SettingsLoaded)
def _settings(state: State, record: e.Record, event: e.SettingsLoaded) -> None:
    state.settings_sha256, state.settings_text = event.sha256, event.text


@_on(e.PolicyLoaded)
def _policy_loaded(state: State, record: e.Record, event: e.PolicyLoaded) -> None:
    state.policies[event.file] = LoadedText(
        event.file, event.policy, event.sha256, event.text, event.models, record.times.wall
    )
    state.refusals.pop(event.file, None)


@_on(e.PolicyRefused)
def _policy_refused(state: State, record: e.Record, event: e.PolicyRefused) -> None:
    state.refusals[event.file] = Refusal(event.file, event.sha256, event.mistakes, record.times.wall)


@_on(e.PolicyRemoved)
def _policy_removed(state: State, record: e.Record, event: e.PolicyRemoved) -> None:
    state.policies.pop(event.file, None)
    state.refusals.pop(event.file, None)


@_on(e.OverrideSet)
def _override_set(state: State, record: e.Record, event: e.OverrideSet) -> None:
    _lift(state, event)
    state.overrides.append(
        Override(event.override, event.model, event.by, event.reason, record.times.wall, event.until)
    )


@_on(e.OverrideLifted)
def _override_lifted(state: State, record: e.Record, event: e.OverrideLifted) -> None:
    _lift(state, event)


def _lift(state: State, event: e.OverrideSet | e.OverrideLifted) -> None:
    state.overrides = [o for o in state.overrides if (o.kind, o.model) != (event.override, event.model)]


@_on(e.VersionBlocked)
def _blocked(state: State, record: e.Record, event: e.VersionBlocked) -> None:
    version = _flow(state, record).models[event.model].versions[str(event.version)]
    version.blocked = _said(event.by, event.reason)


def _said(by: str, reason: str) -> str:
    return f"by {by}{quoted(reason)}"


@_on(e.VersionUnblocked)
def _unblocked(state: State, record: e.Record, event: e.VersionUnblocked) -> None:
    version = _flow(state, record).models[event.model].versions[str(event.version)]
    version.blocked = version.rejected = version.rolled_back = ""


# ---- drops ----


@_on(e.DropArrived)
def _arrived(state: State, record: e.Record, event: e.DropArrived) -> None:
    _flow(state, record).drops[event.drop] = Drop(
        event.drop, event.path, event.name, event.sha256, event.bytes, event.mtime_ns, record.times.wall
    )


@_on(e.DropDated)
def _dated(state: State, record: e.Record, event: e.DropDated) -> None:
    drop = _flow(state, record).drops[event.drop]
    drop.dated, drop.table, drop.last_date = True, event.table, event.last_date


@_on(e.DropDuplicate)
def _duplicate(state: State, record: e.Record, event: e.DropDuplicate) -> None:
    drop = _flow(state, record).drops[event.drop]
    drop.state, drop.duplicate_of = "duplicate", event.of
    _examined(_flow(state, record), event.drop)


@_on(e.DropAccepted)
def _accepted(state: State, record: e.Record, event: e.DropAccepted) -> None:
    flow = _flow(state, record)
    flow.keep(event.file)
    drop = flow.drops[event.drop]
    drop.state, drop.table, drop.role = "accepted", event.file.table, event.role
    drop.first_date, drop.last_date = event.file.first_date, event.file.last_date
    drop.rows, drop.new_rows, drop.replaced_rows = event.file.rows, event.new_rows, event.replaced_rows
    drop.set_aside_rows, drop.notes, drop.problems = event.set_aside_rows, event.notes, event.set_aside
    if flow.withdrawn.pop(event.file.sha256, None):
        withdrawal.mark(flow)
    if event.role == "main":
        flow.newest_main, flow.overdue = record.times.wall, None
        if event.file.first_date and event.file.last_date:  # until the job has ended: a kill before it loses no look
            newest = flow.last_date(event.file.table)
            flow.look_again[event.drop] = tuple(withdrawal.judged(event.file.first_date, event.file.last_date, newest))
    _examined(flow, event.drop)


@_on(e.DropQuarantined)
def _quarantined(state: State, record: e.Record, event: e.DropQuarantined) -> None:
    drop = _flow(state, record).drops[event.drop]
    drop.state, drop.problems, drop.problem_count = "quarantined", event.problems, event.problem_count
    _examined(_flow(state, record), event.drop)


@_on(e.DropFiled)
def _filed(state: State, record: e.Record, event: e.DropFiled) -> None:
    drop = _flow(state, record).drops[event.drop]
    drop.filed = True
    drop.path = event.path or drop.path


@_on(e.DropRetried)
def _retried(state: State, record: e.Record, event: e.DropRetried) -> None:
    drop = _flow(state, record).drops[event.drop]
    drop.state, drop.filed, drop.problems, drop.problem_count = "waiting", False, (), 0


@_on(e.DropDiscarded)
def _discarded(state: State, record: e.Record, event: e.DropDiscarded) -> None:
    drop = _flow(state, record).drops[event.drop]
    drop.state = "discarded"
    _examined(_flow(state, record), event.drop)


def _examined(flow: Flow, drop: str) -> None:
    """The drop came to an end: what failed on the way there is over, and with the last of them what failed for several."""
    _settled(flow, "examine", drop)
    several = [key for key, f in flow.failures.items() if f.step in ("examine", "survey")]
    if several and not flow.waiting():
        for key in several:
            del flow.failures[key]


def _settled(flow: Flow, step: str, subject: str) -> None:
    """Nobody tries that step for that subject again, or from the beginning."""
    flow.failures.pop(f"{step} {subject}", None)


# ---- days ----


@_on(e.DayIncomplete)
def _incomplete(state: State, record: e.Record, event: e.DayIncomplete) -> None:
    _flow(state, record).incomplete[event.date.isoformat()] = event.why


@_on(e.DayComplete)
def _complete(state: State, record: e.Record, event: e.DayComplete) -> None:
    flow, day = _flow(state, record), event.date.isoformat()
    flow.incomplete.pop(day, None)
    if event.by:
        flow.vouched[day] = event.why


@_on(e.DayMarked)
def _marked(state: State, record: e.Record, event: e.DayMarked) -> None:
    _flow(state, record).vouched[event.date.isoformat()] = f"{withdrawal.MARKER}{event.path}"


@_on(e.DropWithdrawn)
def _withdrawn(state: State, record: e.Record, event: e.DropWithdrawn) -> None:
    flow = _flow(state, record)
    words = f"drop {event.drop}, withdrawn {_said(event.by, event.reason)}"
    withdrawal.withdraw(flow, flow.drops[event.drop], words)


@_on(e.DropDamaged)
def _damaged(state: State, record: e.Record, event: e.DropDamaged) -> None:
    """Its file leaves the store, so that whatever is planned does without it."""
    flow = _flow(state, record)
    file = next((f for f in flow.store if f.drop == event.drop), None)
    if file is None:
        return
    ahead = tuple(f.sha256 for f in flow.store[: flow.store.index(file)])
    flow.let_go(event.drop)
    flow.look_again.pop(event.drop, None)
    flow.damaged[event.drop] = DamagedDrop(file, event.damages, record.times.wall, ahead)


@_on(e.DropVouched)
def _vouched(state: State, record: e.Record, event: e.DropVouched) -> None:
    flow = _flow(state, record)
    held, drop = flow.damaged.pop(event.drop), flow.drops[event.drop]
    words = f"{event.by} says it is real{quoted(event.reason)}"
    ahead = set(held.ahead)
    behind = max((i + 1 for i, f in enumerate(flow.store) if f.sha256 in ahead), default=0)
    flow.keep(held.file, behind)
    drop.notes = (*drop.notes, words)
    if drop.role == "main" and drop.first_date and drop.last_date:
        for day in withdrawal.judged(drop.first_date, drop.last_date, flow.last_date(held.file.table)):
            flow.incomplete.pop(day.isoformat(), None)
            flow.vouched[day.isoformat()] = words


@_on(e.DropOverdue)
def _overdue(state: State, record: e.Record, event: e.DropOverdue) -> None:
    _flow(state, record).overdue = event.last_date


# ---- drift ----


@_on(e.DriftMeasured)
def _drift(state: State, record: e.Record, event: e.DriftMeasured) -> None:
    flow = _flow(state, record)
    flow.drift.append(
        WindowDrift(event.drop, event.last_date, event.drifting, event.rank, event.past, event.why, record.seq)
    )
    del flow.drift[:-_KEPT_WINDOWS]
    if event.drifting:
        cause = e.Cause("drift", f"drift:{event.drop}", f"drop {event.drop} drifted: {event.why}")
        flow.causes.append(OpenCause(cause, record.times.machine))


@_on(e.DriftSkipped)
def _drift_skipped(state: State, record: e.Record, event: e.DriftSkipped) -> None:
    _flow(state, record).drift_skipped_to = event.last_date
    _settled(_flow(state, record), "measure", event.drop)


# ---- forecasts ----

_OPEN_DAYS = 35
"""A forecast whose target date is older will not be scored any more: it expires after 30 days."""


@_on(e.ForecastMade)
def _forecast_made(state: State, record: e.Record, event: e.ForecastMade) -> None:
    flow = _flow(state, record)
    flow.forecast_key, flow.origin = event.key, event.origin
    flow.orders, flow.orders_at, flow.orders_stale = event.orders, record.times.wall, event.stale
    if event.file and event.file.sha256 not in {f.sha256 for f in flow.forecasts}:
        flow.forecasts.append(event.file)
    oldest = event.origin - dt.timedelta(days=_OPEN_DAYS)
    flow.forecasts = [f for f in flow.forecasts if f.last_date >= oldest]
    # a scored row is looked up as long as the forecast it scored is
    first = min((f.first_date for f in flow.forecasts), default=oldest)
    flow.scores = [f for f in flow.scores if f.last_date >= first]
    away = {(u.model, u.version): u.why for u in event.unloadable}
    for model in flow.models.values():
        for version in model.versions.values():
            version.unloadable = away.get((model.name, version.version), "")


@_on(e.ForecastScored)
def _forecast_scored(state: State, record: e.Record, event: e.ForecastScored) -> None:
    flow = _flow(state, record)
    if event.file.sha256 in {f.sha256 for f in flow.scores}:
        return
    flow.scores.append(event.file)
    for cell in event.cells:
        flow.live.setdefault(cell.target, live.Live())
    live.add(flow.live, event, record.seq)


# ---- retraining ----


@_on(e.ScheduleAnchored)
def _anchored(state: State, record: e.Record, event: e.ScheduleAnchored) -> None:
    _flow(state, record).schedules[event.name] = ScheduleState(event.spec, event.at)


@_on(e.ScheduleDue)
def _due(state: State, record: e.Record, event: e.ScheduleDue) -> None:
    flow = _flow(state, record)
    flow.schedules[event.name].last = event.due_at
    if any(c.cause.key.startswith(f"schedule:{event.name}:") for c in flow.causes):
        return  # it waits already
    missed = f", and {event.missed} missed before" if event.missed else ""
    words = f"schedule {event.name} was due {event.due_at:%Y-%m-%d %H:%M} UTC{missed}"
    cause = e.Cause("schedule", f"schedule:{event.name}:{event.due_at.isoformat()}", words)
    flow.causes.append(OpenCause(cause, record.times.machine))


@_on(e.RetrainAsked)
def _asked(state: State, record: e.Record, event: e.RetrainAsked) -> None:
    words = f"{event.by} asked{quoted(event.reason)}"
    cause = e.Cause("operator", f"operator:{record.seq}", words)
    _flow(state, record).causes.append(
        OpenCause(cause, record.times.machine, event.targets, event.now, event.by, event.search)
    )


@_on(e.CauseNoted)
def _noted(state: State, record: e.Record, event: e.CauseNoted) -> None:
    _flow(state, record).causes.append(OpenCause(event.cause, record.times.machine, event.targets))


@_on(e.RetrainRequested)
def _requested(state: State, record: e.Record, event: e.RetrainRequested) -> None:
    flow = _flow(state, record)
    _close(flow, event.causes)
    flow.requests[event.request] = Request(
        event.request, event.causes, event.targets, flow.places_of(event.store), event.data_end, event.fingerprint,
        record.times.site, record.times.wall, kind=event.kind, seq=record.seq, tables=flow.tables_of(event.store),
    )  # fmt: skip


@_on(e.RetrainHeld)
def _held(state: State, record: e.Record, event: e.RetrainHeld) -> None:
    _flow(state, record).held = Held(tuple(c.key for c in event.causes), event.reason, event.until)


@_on(e.RetrainDeclined)
def _declined(state: State, record: e.Record, event: e.RetrainDeclined) -> None:
    _close(_flow(state, record), event.causes)


def _close(flow: Flow, causes: tuple[e.Cause, ...]) -> None:
    keys = {c.key for c in causes}
    flow.causes = [c for c in flow.causes if c.cause.key not in keys]
    flow.held = None


@_on(e.TrainingFinished)
def _trained(state: State, record: e.Record, event: e.TrainingFinished) -> None:
    flow = _flow(state, record)
    request = flow.requests[event.request]
    count = sum(len(r.candidates) for r in event.results)
    _end(request, record, "finished", f"{count} candidate{'s' * (count != 1)} registered")
    request.parent_run, request.seconds = event.parent_run, event.seconds
    for result in event.results:
        model = flow.models.setdefault(result.model, Model(result.model, result.target))
        if result.champion:
            _look(model, event.request, result.champion_version, result.candidates, record)
        model.results[event.request] = dataclasses.replace(result, candidates=())
        for candidate in result.candidates:
            model.versions[str(candidate.version)] = Version(
                result.model, candidate.version, result.target, event.request, candidate, event.data_end,
                record.times.site, record.times.wall, result.champion_version,
            )  # fmt: skip
    if flow.withdrawn:
        withdrawal.mark(flow)


def _look(
    model: Model, request: str, champion: int | None, candidates: Iterable[Candidate], record: e.Record
) -> None:
    """A look is a search whose candidates were compared; the champion's own recipe was selected by nobody and spends no
    alpha (POLICIES.md, rules 5 and 8). Alpha accrues since the last look, before the first one since the first training."""
    serving = model.version(champion) if champion is not None else None
    own = serving.candidate.recipe_id if serving else ""
    if request in model.look_days or all(c.recipe_id == own for c in candidates):
        return
    earlier = [v.trained_site for v in model.versions.values() if v.request != request]
    since = model.last_look or min(earlier, default=record.times.site)
    model.look_days[request] = max((record.times.site - since).total_seconds() / 86400, 0.0)
    model.last_look = record.times.site


@_on(e.TrainingImpossible)
def _impossible(state: State, record: e.Record, event: e.TrainingImpossible) -> None:
    _end(_flow(state, record).requests[event.request], record, "impossible", event.why)


@_on(e.RetrainFailed)
def _failed(state: State, record: e.Record, event: e.RetrainFailed) -> None:
    _end(_flow(state, record).requests[event.request], record, "failed", event.what)
    _settled(_flow(state, record), "train", event.request)


def _end(request: Request, record: e.Record, state: Any, words: str) -> None:
    request.state, request.words = state, words
    request.ended_site, request.ended_seq = record.times.site, record.seq


# ---- jobs ----


@_on(e.JobStarted)
def _job_started(state: State, record: e.Record, event: e.JobStarted) -> None:
    _flow(state, record).jobs[event.job] = RunningJob(
        event.job, event.step, event.subject, event.pid, record.times.wall
    )


@_on(e.JobEnded)
def _job_ended(state: State, record: e.Record, event: e.JobEnded) -> None:
    flow = _flow(state, record)
    flow.jobs.pop(event.job, None)
    key = f"{event.step} {event.subject}"
    if event.outcome == "done":
        flow.failures.pop(key, None)
        _looked(flow, event)
    elif event.outcome != "killed":
        _step_failed(flow, record, event, _earlier(flow, event))


def _step_failed(flow: Flow, record: e.Record, event: e.JobEnded, before: Failure | None) -> None:
    lost = event.outcome == "lost"
    failure = Failure(
        event.step, event.subject, (before.count if before else 0) + (not lost), record.times.machine, event.what, event.remedy,
        event.retryable or lost, brought_down=event.outcome not in ("failed", "lost"),
        lost=(before.lost if before else 0) + 1 if lost else 0,
        since=before.since if before else record.times.wall.isoformat(),
    )  # fmt: skip
    if lost and before and before.count:  # what it failed of before says more than that the daemon died
        failure.what, failure.remedy, failure.brought_down = before.what, before.remedy, before.brought_down
    flow.failures[f"{event.step} {event.subject}"] = failure
    if event.step == "examine" and failure.of == 1 and failure.brought_down:  # it is found: the others are not suspected
        for key in [key for key, f in flow.failures.items() if f.step == "examine" and f.of > 1 and f.brought_down]:
            del flow.failures[key]


def _earlier(flow: Flow, event: e.JobEnded) -> Failure | None:
    """The same step's last failure. A batch of drops grows while it waits: it is the same batch by its first drop."""
    key = f"{event.step} {event.subject}"
    first, plus, _ = key.partition("+")
    same = [k for k, f in flow.failures.items() if plus and k.startswith(first + plus) and not f.brought_down]
    found = flow.failures.get(key) or next((flow.failures[k] for k in same), None)
    for other in same:
        del flow.failures[other]
    return found


def _looked(flow: Flow, event: e.JobEnded) -> None:
    if event.step == "examine":
        done = {event.subject.removeprefix("days of "), *(d.id for d in flow.drops.values() if d.state == "accepted")}
        flow.look_again = {drop: days for drop, days in flow.look_again.items() if drop not in done}


# ---- the registry ----


@_on(e.RegistryReady)
def _ready(state: State, record: e.Record, event: e.RegistryReady) -> None:
    state.registry = event.tracking_uri


@_on(e.DecisionMade)
def _decided(state: State, record: e.Record, event: e.DecisionMade) -> None:
    version = _flow(state, record).models[event.model].versions[str(event.version)]
    version.verdict, version.to, version.policy = event.verdict, event.to, event.policy
    version.conditions, version.words, version.would = event.conditions, event.words, event.would
    version.decision, version.decision_seq = event.decision, record.seq
    _void_approvals(version)
    if event.verdict == "promote":
        version.forced = _said(event.by, event.reason) if event.forced else ""
    if event.by:
        version.aborted = ""  # a person looked
    adoption = _flow(state, record).models[event.model].adoption
    if adoption and adoption.version == event.version and event.by:
        adoption.decision = event.decision


def _void_approvals(version: Version) -> None:
    """An approval counts as long as what held when it was given still does (POLICIES.md, rule 14)."""
    holds = {c.id for c in version.conditions if c.outcome in ("yes", "not_needed")}
    asked = {c.id for c in version.conditions}
    for i, approval in enumerate(version.approvals):
        lost = [c for c in version.approved_held.get(approval.by, ()) if c in asked and c not in holds]
        if lost and not approval.void:
            version.approvals[i] = dataclasses.replace(approval, void=f"{lost[0]} no longer holds")


@_on(e.ApprovalGiven)
def _approved(state: State, record: e.Record, event: e.ApprovalGiven) -> None:
    flow = _flow(state, record)
    version = flow.models[event.model].versions[str(event.version)]
    asked = any(
        c.kind == "operator" and person(c.words.split(" asked")[0]) == event.by for c in _causes_of(flow, version)
    )
    version.approvals = [a for a in version.approvals if a.by != event.by]
    version.approvals.append(
        Approval(event.by, event.groups, record.times.wall, event.meaning, event.figures, asked_for_training=asked)
    )
    version.approved_held[event.by] = event.held


def _causes_of(flow: Flow, version: Version) -> tuple[e.Cause, ...]:
    """Why it was trained; nothing is known of a version that was adopted."""
    request = flow.requests.get(version.request)
    return request.causes if request else ()


@_on(e.VersionRejected)
def _rejected(state: State, record: e.Record, event: e.VersionRejected) -> None:
    version = _flow(state, record).models[event.model].versions[str(event.version)]
    version.rejected = _said(event.by, event.reason)
    version.approvals = [dataclasses.replace(a, void=f"rejected by {event.by}") for a in version.approvals]


@_on(e.CandidateCompared)
def _compared(state: State, record: e.Record, event: e.CandidateCompared) -> None:
    flow = _flow(state, record)
    model = next(m for m in flow.models.values() if m.target == event.target)
    if event.request not in model.results:
        return
    compared = [v for v in model.versions.values() if v.request == event.request]
    if event.champion:
        _look(model, event.request, event.champion_version, [v.candidate for v in compared], record)
    model.results[event.request] = dataclasses.replace(
        model.results[event.request], champion_version=event.champion_version, champion=event.champion,
        champion_slices=event.slices,
    )  # fmt: skip
    for version in compared:
        now = event.significance.get(version.candidate.recipe_id, {})
        both = {key: _harder(version.candidate.significance.get(key), test) for key, test in now.items()}
        version.candidate = dataclasses.replace(version.candidate, significance=both)


def _harder(before: Significance | None, now: Significance) -> Significance:
    """One look is spent once: who was compared with another champion before must have been significant then too."""
    if before is None or before.adjusted is None or now.adjusted is None:
        return now
    return dataclasses.replace(now, adjusted=max(before.adjusted, now.adjusted))


@_on(e.PromotionIntended)
def _intended(state: State, record: e.Record, event: e.PromotionIntended) -> None:
    model = _flow(state, record).models[event.model]
    if model.adoption and event.settles and event.version != model.champion:
        model.versions[str(event.version)].adopted = _said(model.adoption.by, model.adoption.reason)
    model.adoption = None
    model.intention = Intention(
        event.version, event.to, event.champion, event.decision, event.policy, event.model_digest, record.seq, event.settles,
        event.found,
    )


@_on(e.PromotionDone)
def _promoted(state: State, record: e.Record, event: e.PromotionDone) -> None:
    flow = _flow(state, record)
    model = flow.models[event.model]
    model.intention = None
    if event.settles:
        _agree(model)
    for number in event.archived:
        _archive(model.versions[str(number)], record)
    version = model.versions[str(event.version)]
    if event.to == "staging":
        version.stage, version.staged_site, version.staged_seq = "Staging", record.times.site, record.seq
        model.challenger = event.version
    elif event.to == "archived":
        _archive(version, record)
        model.challenger = None if model.challenger == event.version else model.challenger
    else:
        _into_production(flow, model, version, record, event)


def _archive(version: Version, record: e.Record) -> None:
    version.stage, version.archived_site = "Archived", record.times.site


def _into_production(flow: Flow, model: Model, version: Version, record: e.Record, event: e.PromotionDone) -> None:
    if event.version == model.champion:  # the registry was set right, nobody else serves
        model.last_good = event.last_good
        return
    back = event.to == "rollback"
    version.stage = "Production"
    if back:
        version.verdict, version.conditions = "", ()
    model.last_good, model.champion = event.last_good, event.version
    if model.challenger is not None and model.versions[str(model.challenger)].stage != "Staging":
        model.challenger = None
    known = flow.live.get(model.target)
    if model.tenures:
        before = model.tenures[-1]
        before.served, before.rolled_back = flow.served_drops(model, before), back
        before.until_wall, before.until_site = record.times.wall, record.times.site
    if back and event.champion is not None:
        bad = model.versions[str(event.champion)]
        why = bad.words.removeprefix(f"roll back to v{event.version}").lstrip(":, ") or event.decision
        _archive(bad, record)
        bad.rolled_back = f"rolled back to v{event.version} ({why})"
    model.tenures.append(
        Tenure(event.version, record.times.wall, record.times.site, event.decision, record.seq, by_rollback=back)
    )
    if known:
        kept = [model.champion, model.challenger, model.last_good, *(t.version for t in model.tenures[-2:])]
        staged = [v.version for v in model.versions.values() if v.stage == "Staging"]
        live.forget(known, {str(n) for n in (*kept, *staged)})


@_on(e.PromotionAborted)
def _aborted(state: State, record: e.Record, event: e.PromotionAborted) -> None:
    flow = _flow(state, record)
    model = flow.models[event.model]
    if model.intention:
        _settled(flow, "promote", model.intention.subject(model.name))
    model.intention = None
    model.versions[str(event.version)].aborted = event.why


@_on(e.RegistryDiverged)
def _diverged(state: State, record: e.Record, event: e.RegistryDiverged) -> None:
    model = _flow(state, record).models[event.model]
    model.diverged, model.diverged_seq = event.words, record.seq
    model.diverged_alias, model.diverged_found, model.unadopted = event.alias, event.found, ""


@_on(e.RegistryAgreed)
def _agreed(state: State, record: e.Record, event: e.RegistryAgreed) -> None:
    _agree(_flow(state, record).models[event.model])


def _agree(model: Model) -> None:
    model.diverged, model.diverged_alias, model.diverged_found, model.unadopted = "", "", None, ""
    for version in model.versions.values():
        version.aborted = ""


@_on(e.VersionGone)
def _gone(state: State, record: e.Record, event: e.VersionGone) -> None:
    """It serves on from its kept files if it is the champion; else nothing is to be had of it any more."""
    model = _flow(state, record).models[event.model]
    version = model.versions[str(event.version)]
    version.gone = event.why
    if version.stage == "Staging":
        _archive(version, record)
    model.challenger = None if model.challenger == event.version else model.challenger
    model.last_good = None if model.last_good == event.version else model.last_good


@_on(e.VersionReturned)
def _returned(state: State, record: e.Record, event: e.VersionReturned) -> None:
    _flow(state, record).models[event.model].versions[str(event.version)].gone = ""


@_on(e.ArtifactsRemoved)
def _bare(state: State, record: e.Record, event: e.ArtifactsRemoved) -> None:
    version = _flow(state, record).models[event.model].versions[str(event.version)]
    version.spared = event.stays
    version.bare = "" if event.stays else f"its files were removed by policy {event.policy}"


@_on(e.AdoptionAsked)
def _adoption_asked(state: State, record: e.Record, event: e.AdoptionAsked) -> None:
    model = _flow(state, record).models.setdefault(event.model, Model(event.model, event.target))
    model.adoption = Adoption(event.version, event.by, event.reason, event.horizon, event.found, record.seq)
    model.unadopted = ""


@_on(e.VersionAdopted)
def _adopted(state: State, record: e.Record, event: e.VersionAdopted) -> None:
    model = _flow(state, record).models[event.model]
    if event.candidate and event.data_end and not model.version(event.version):
        model.versions[str(event.version)] = Version(
            event.model, event.version, event.target, f"adopted-{event.version}", event.candidate, event.data_end,
            record.times.site, record.times.wall, None, adopted_seq=record.seq,
        )  # fmt: skip
    model.versions[str(event.version)].adopted = _said(event.by, event.reason)


@_on(e.AdoptionRefused)
def _unadopted(state: State, record: e.Record, event: e.AdoptionRefused) -> None:
    flow = _flow(state, record)
    model = flow.models[event.model]
    if model.adoption:
        _settled(flow, "adopt", model.adoption.subject(model.name))
    model.adoption, model.unadopted = None, f"v{event.version} was not adopted: {event.why}"
    if not model.versions and not model.tenures:
        del flow.models[event.model]  # it was made for this version alone


# ---- alerts ----


@_on(e.AlertRaised)
def _alert_raised(state: State, record: e.Record, event: e.AlertRaised) -> None:
    state.alerts[event.key] = RaisedAlert(
        event.key, event.kind, event.words, event.remedy, record.seq, record.times.wall, record.times.machine,
        {channel: Delivery() for channel in event.channels},
    )  # fmt: skip


@_on(e.AlertDelivered)
def _alert_delivered(state: State, record: e.Record, event: e.AlertDelivered) -> None:
    delivery = state.alerts[event.key].deliveries.setdefault(event.channel, Delivery())
    delivery.state, delivery.what = "delivered", ""
    state.channels[event.channel] = Channel()


@_on(e.AlertUndelivered)
def _alert_undelivered(state: State, record: e.Record, event: e.AlertUndelivered) -> None:
    delivery = state.alerts[event.key].deliveries.setdefault(event.channel, Delivery())
    delivery.state = "given_up" if event.given_up else "waiting"
    delivery.tries, delivery.last, delivery.what = delivery.tries + 1, record.times.machine, event.what
    channel = state.channels.setdefault(event.channel, Channel())
    channel.failures, channel.last = channel.failures + 1, record.times.machine
