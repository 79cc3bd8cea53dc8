"""State is a fold over events: `apply` adds one record to a state.

It changes the state it is given (a copy for each of a million events would be paid by everybody who looks) and nothing
else: same state, same record, same result. One handler an event; a test holds the table against the vocabulary.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

from retraind.core import events as e
from retraind.core.state import (
    Drop,
    Failure,
    Flow,
    Held,
    Intention,
    LoadedText,
    Model,
    OpenCause,
    Override,
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
    return f"by {by}" + (f': "{reason}"' if reason else "")


@_on(e.VersionUnblocked)
def _unblocked(state: State, record: e.Record, event: e.VersionUnblocked) -> None:
    _flow(state, record).models[event.model].versions[str(event.version)].blocked = ""


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
    flow.store.append(event.file)
    drop = flow.drops[event.drop]
    drop.state, drop.table, drop.role = "accepted", event.file.table, event.role
    drop.first_date, drop.last_date = event.file.first_date, event.file.last_date
    drop.rows, drop.new_rows, drop.replaced_rows = event.file.rows, event.new_rows, event.replaced_rows
    drop.set_aside_rows, drop.notes, drop.problems = event.set_aside_rows, event.notes, event.set_aside
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


# ---- retraining ----


@_on(e.ScheduleAnchored)
def _anchored(state: State, record: e.Record, event: e.ScheduleAnchored) -> None:
    _flow(state, record).schedules[event.name] = ScheduleState(event.spec, event.at)


@_on(e.ScheduleDue)
def _due(state: State, record: e.Record, event: e.ScheduleDue) -> None:
    flow = _flow(state, record)
    flow.schedules[event.name].last = event.due_at
    missed = f", and {event.missed} missed before" if event.missed else ""
    words = f"schedule {event.name} was due {event.due_at:%Y-%m-%d %H:%M} UTC{missed}"
    cause = e.Cause("schedule", f"schedule:{event.name}:{event.due_at.isoformat()}", words)
    flow.causes.append(OpenCause(cause, record.times.machine))


@_on(e.RetrainAsked)
def _asked(state: State, record: e.Record, event: e.RetrainAsked) -> None:
    words = f"{event.by} asked" + (f': "{event.reason}"' if event.reason else "")
    cause = e.Cause("operator", f"operator:{record.seq}", words)
    _flow(state, record).causes.append(OpenCause(cause, record.times.machine, event.targets, event.now, event.by))


@_on(e.CauseNoted)
def _noted(state: State, record: e.Record, event: e.CauseNoted) -> None:
    _flow(state, record).causes.append(OpenCause(event.cause, record.times.machine, event.targets))


@_on(e.RetrainRequested)
def _requested(state: State, record: e.Record, event: e.RetrainRequested) -> None:
    flow = _flow(state, record)
    _close(flow, event.causes)
    flow.requests[event.request] = Request(
        event.request, event.causes, event.targets, event.store, event.data_end, event.fingerprint,
        record.times.site, record.times.wall,
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
    _end(request, record, "finished", f"{count} candidates registered")
    request.parent_run, request.seconds = event.parent_run, event.seconds
    for result in event.results:
        model = flow.models.setdefault(result.model, Model(result.model, result.target))
        model.results[event.request] = dataclasses.replace(result, candidates=())
        for candidate in result.candidates:
            model.versions[str(candidate.version)] = Version(
                result.model, candidate.version, result.target, event.request, candidate, event.data_end,
                record.times.site, record.times.wall, result.champion_version,
            )  # fmt: skip


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
    elif event.outcome not in ("lost", "killed"):
        before = flow.failures.get(key)
        flow.failures[key] = Failure(
            event.step, event.subject, (before.count if before else 0) + 1, record.times.machine,
            event.what, event.remedy, event.retryable,
        )  # fmt: skip


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
    if event.verdict == "promote":
        version.forced = _said(event.by, event.reason) if event.forced else ""
    if event.by:
        version.aborted = ""  # a person looked


@_on(e.PromotionIntended)
def _intended(state: State, record: e.Record, event: e.PromotionIntended) -> None:
    _flow(state, record).models[event.model].intention = Intention(
        event.version, event.to, event.champion, event.decision, event.policy, event.model_digest, record.seq
    )


@_on(e.PromotionDone)
def _promoted(state: State, record: e.Record, event: e.PromotionDone) -> None:
    model = _flow(state, record).models[event.model]
    model.intention = None
    for number in event.archived:
        model.versions[str(number)].stage = "Archived"
    version = model.versions[str(event.version)]
    if event.to == "staging":
        version.stage, version.staged_site = "Staging", record.times.site
        model.challenger = event.version
        return
    if event.to == "archived":
        version.stage = "Archived"
        model.challenger = None if model.challenger == event.version else model.challenger
        return
    version.stage = "Production"
    model.last_good = event.last_good
    model.champion = event.version
    if model.challenger is not None and model.versions[str(model.challenger)].stage != "Staging":
        model.challenger = None
    if model.tenures:
        model.tenures[-1].until_wall, model.tenures[-1].until_site = record.times.wall, record.times.site
    model.tenures.append(
        Tenure(event.version, record.times.wall, record.times.site, event.decision, record.seq)
    )


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
    _flow(state, record).models[event.model].diverged = event.words


@_on(e.RegistryAgreed)
def _agreed(state: State, record: e.Record, event: e.RegistryAgreed) -> None:
    model = _flow(state, record).models[event.model]
    model.diverged = ""
    for version in model.versions.values():
        version.aborted = ""
