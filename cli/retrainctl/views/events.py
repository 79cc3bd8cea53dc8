"""An event of the journal in words: one sentence each, for the last lines of `status` and for a watch without a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from retrainctl.views.times import count
from retraind.core import events as e
from retraind.core.people import quoted

__all__ = ["NOTABLE", "source_words", "words"]


def words(event: Any) -> str:
    """`drop 9f2c01ab accepted, 1,204 rows`. Every kind of event has words."""
    return _WORDS[type(event)](event)


def _daemon(event: e.DaemonStarted) -> str:
    return f"daemon started, release {event.version}"


def _accepted(event: e.DropAccepted) -> str:
    replaced = f", {event.replaced_rows:,} of them replaced" if event.replaced_rows else ""
    aside = f", {event.set_aside_rows:,} set aside" if event.set_aside_rows else ""
    return f"drop {event.drop} accepted, {count(event.file.rows, 'row')} of {event.file.table}{replaced}{aside}"


def _quarantined(event: e.DropQuarantined) -> str:
    return f"drop {event.drop} quarantined: {event.problems[0].what if event.problems else 'no reason was given'}"


def _measured(event: e.DriftMeasured) -> str:
    also = f"; {event.forecasts}" if event.forecasts else ""
    return f"drift measured to {event.last_date}: {'drifting' if event.drifting else 'quiet'}, {event.why}{also}"


def _causes(causes: tuple[e.Cause, ...]) -> str:
    return "; ".join(c.words for c in causes)


def _trained(event: e.TrainingFinished) -> str:
    found = count(sum(len(r.candidates) for r in event.results), "candidate")
    return f"training {event.request} finished, {found} registered"


def _job_ended(event: e.JobEnded) -> str:
    why = f": {event.what}" if event.what else ""
    return f"{event.step} {event.subject} {event.outcome.replace('_', ' ')}{why}"


def _decided(event: e.DecisionMade) -> str:
    return f"{event.model} v{event.version} {'would: ' if event.would else ''}{event.words}"


def _intended(event: e.PromotionIntended) -> str:
    if event.to == "rollback":
        return f"{event.model} is on its way back to v{event.version}"
    return f"{event.model} v{event.version} is on its way to {event.to.capitalize()}"


def _promoted(event: e.PromotionDone) -> str:
    if event.to == "rollback":
        return f"{event.model} was rolled back from v{event.champion or '-'} to v{event.version}"
    return f"{event.model} v{event.version} is in {event.to.capitalize()}"


def _forecasts(event: e.ForecastMade) -> str:
    """Who stands in the orders file; what cannot be loaded is said too."""
    orders = ", ".join(f"{o.target} by {source_words(o)}" for o in event.orders) or "nothing to order by"
    away = "".join(f"; {u.model} v{u.version} cannot be loaded" for u in event.unloadable)
    return f"forecasts from {event.origin}{', stale' if event.stale else ''}: {orders}{away}"


def source_words(order: e.OrderSource) -> str:
    """`champion v9`, `last good v7`, `seasonal naive`."""
    named = order.source in ("champion", "last_good") and order.version is not None
    return order.source.replace("_", " ") + (f" v{order.version}" if named else "")


def _scored(event: e.ForecastScored) -> str:
    more = [f"{count(event.corrected, 'earlier actual')} corrected"] * bool(event.corrected)
    more += [f"{count(event.expired, 'forecast')} expired"] * bool(event.expired)
    days = f"{event.file.first_date} to {event.file.last_date}"
    return "; ".join([f"{count(event.file.rows, 'forecast')} scored, {days}", *more])


def _compared(event: e.CandidateCompared) -> str:
    how = "stand beside" if event.champion else "cannot be compared with"
    return f"{event.target} candidates of {event.request} {how} the recipe of v{event.champion_version}"


def _by(event: e.ApprovalGiven | e.VersionRejected, what: str) -> str:
    return f"{event.model} v{event.version} {what} by {event.by}{quoted(event.reason)}"


def _diverged(event: e.RegistryDiverged) -> str:
    return f"{event.model}: {event.words}; nothing automatic for it until they agree"


def _asked_to_adopt(event: e.AdoptionAsked) -> str:
    return f"{event.model} v{event.version} is to be adopted, says {event.by}{quoted(event.reason)}"


def _adopted(event: e.VersionAdopted) -> str:
    notes = "".join(f"; {note}" for note in event.notes)
    return f"{event.model} v{event.version} adopted by {event.by}{quoted(event.reason)}{notes}"


_SET = {"pause": "paused", "pin": "pinned", "freeze": "frozen"}
_LIFTED = {"pause": "resumed", "pin": "unpinned", "freeze": "unfrozen"}


def _overridden(event: e.OverrideSet) -> str:
    on = "" if event.override == "pause" else f"{event.model or 'everything'} "
    return f"{on}{_SET[event.override]} by {event.by}{quoted(event.reason)}"


def _lifted(event: e.OverrideLifted) -> str:
    on = "" if event.override == "pause" else f"{event.model or 'everything'} "
    return f"{on}{_LIFTED[event.override]} by {event.by}{quoted(event.reason)}"


_WORDS: dict[type[Any], Callable[[Any], str]] = {
    e.DaemonStarted: _daemon,
    e.DaemonStopped: lambda v: f"daemon stopped ({v.reason})",
    e.SettingsLoaded: lambda _: "settings loaded",
    e.PolicyLoaded: lambda v: f"policy {v.policy} loaded from {v.file}",
    e.PolicyRefused: lambda v: (
        f"policy file {v.file} refused: {v.mistakes[0] if v.mistakes else 'no reason was given'}"
    ),
    e.PolicyRemoved: lambda v: f"policy file {v.file} is gone",
    e.OverrideSet: _overridden,
    e.OverrideLifted: _lifted,
    e.VersionBlocked: lambda v: (
        f"{v.model} v{v.version} blocked by {v.by}{quoted(v.reason)}"
    ),
    e.VersionUnblocked: lambda v: (
        f"{v.model} v{v.version} unblocked by {v.by}{quoted(v.reason)}"
    ),
    e.DropArrived: lambda v: f"drop {v.drop} arrived: {v.name}",
    e.DropDated: lambda v: f"drop {v.drop} reaches {v.last_date}" if v.last_date else f"drop {v.drop} has no date",
    e.DropDuplicate: lambda v: f"drop {v.drop} is a duplicate of {v.of}",
    e.DropAccepted: _accepted,
    e.DropQuarantined: _quarantined,
    e.DropFiled: lambda v: f"drop {v.drop} filed as {v.path}" if v.path else f"drop {v.drop} is filed",
    e.DropRetried: lambda v: f"drop {v.drop} retried by {v.by}",
    e.DropDiscarded: lambda v: f"drop {v.drop} discarded by {v.by}",
    e.DriftMeasured: _measured,
    e.DriftSkipped: lambda v: f"drift to {v.last_date} not measured: {v.why}",
    e.ScheduleAnchored: lambda v: f"schedule {v.name} counts from now: {v.spec}",
    e.ScheduleDue: lambda v: f"schedule {v.name} is due",
    e.RetrainAsked: lambda v: f"{v.by} asked for a retraining{quoted(v.reason)}",
    e.CauseNoted: lambda v: v.cause.words,
    e.RetrainRequested: lambda v: f"retrain {v.request} requested: {_causes(v.causes)}",
    e.RetrainHeld: lambda v: f"retraining held: {v.reason}",
    e.RetrainDeclined: lambda v: f"retraining declined: {v.reason}",
    e.TrainingFinished: _trained,
    e.TrainingImpossible: lambda v: f"training {v.request} waits for data: {v.why}",
    e.RetrainFailed: lambda v: f"training {v.request} failed for good: {v.what}",
    e.JobStarted: lambda v: f"{v.step} {v.subject} started",
    e.JobEnded: _job_ended,
    e.RegistryReady: lambda v: f"registry ready, mlflow {v.mlflow}",
    e.DecisionMade: _decided,
    e.PromotionIntended: _intended,
    e.PromotionDone: _promoted,
    e.PromotionAborted: lambda v: f"{v.model} v{v.version} was not promoted: {v.why}",
    e.CandidateCompared: _compared,
    e.ApprovalGiven: lambda v: _by(v, "approved"),
    e.VersionRejected: lambda v: _by(v, "rejected"),
    e.ForecastMade: _forecasts,
    e.ForecastScored: _scored,
    e.DayIncomplete: lambda v: f"{v.date} is incomplete: {v.why}",
    e.DayComplete: lambda v: f"{v.date} is complete: {v.why}",
    e.DayMarked: lambda v: f"{v.date} is marked as complete by {v.path}",
    e.DropDamaged: lambda v: f"drop {v.drop} looks broken and is held back: "
                             + "; ".join(f"{d.column}: {d.words}" for d in v.damages),
    e.DropVouched: lambda v: f"drop {v.drop} is real, says {v.by}{quoted(v.reason)}",
    e.DropWithdrawn: lambda v: f"drop {v.drop} withdrawn by {v.by}{quoted(v.reason)}",
    e.DropOverdue: lambda v: f"no drop came since the data of {v.last_date}",
    e.AlertRaised: lambda v: f"alert: {v.words}",
    e.AlertDelivered: lambda v: f"alert {v.key} delivered to {v.channel}",
    e.AlertUndelivered: lambda v: (
        f"alert {v.key} not delivered to {v.channel}: {v.what}" + ("; given up" if v.given_up else "")
    ),
    e.RegistryDiverged: _diverged,
    e.RegistryAgreed: lambda v: f"{v.model}: the registry and the journal agree again",
    e.VersionGone: lambda v: f"{v.model} v{v.version} is gone: {v.why}",
    e.ArtifactsRemoved: lambda v: (
        f"the files of {v.model} v{v.version} stay: {v.stays}" if v.stays else f"the files of {v.model} v{v.version} were removed"
    ),
    e.VersionReturned: lambda v: f"{v.model} v{v.version} is in MLflow again",
    e.AdoptionAsked: _asked_to_adopt,
    e.VersionAdopted: _adopted,
    e.AdoptionRefused: lambda v: f"{v.model} v{v.version} was not adopted: {v.why}",
}

_QUIET = (e.DropDated, e.DropFiled, e.ScheduleAnchored, e.SettingsLoaded, e.JobStarted, e.JobEnded, e.PromotionIntended,
          e.DropArrived, e.DayMarked, e.AlertRaised, e.AlertDelivered, e.ForecastScored)  # fmt: skip
NOTABLE: tuple[str, ...] = tuple(kind for kind, cls in e.KINDS.items() if cls not in _QUIET)
"""Kinds worth a line of `status`. Not what the screen says anyhow: what an alert is about, and scores, whose events of
thousands of sums are slow to read."""
