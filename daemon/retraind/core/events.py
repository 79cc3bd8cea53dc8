"""The vocabulary of the journal: what can have happened.

To add a field: give it a default; old events are read with it. To change a meaning: a new event beside the old one,
`apply` keeps both, and tests/data/ gains a journal written by the last release. Never rename or reuse a name: it stands
in journals that we cannot see. Raise VERSION when an older release must not read a journal that holds the new event.

Events are named NOUN.past-tense and are facts; whether a fact is welcome is for `plan` to say.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, TypeVar, dataclass_transform

from retraind.core.binding import bind, unbind
from retraind.core.figures import Candidate, Scores, Significance, SliceFigures, Sums, TargetResult

__all__ = [
    "KINDS", "SERVING", "SITE", "VERSION", "AdoptionAsked", "AdoptionRefused", "AlertDelivered", "AlertRaised",
    "AlertUndelivered", "ApprovalGiven", "ArtifactsRemoved", "CandidateCompared", "Cause", "CauseNoted",
    "ConditionOutcome", "ContractProblem", "Counterfactual", "DaemonStarted", "DaemonStopped", "DayComplete",
    "DayIncomplete", "DayMarked", "DecisionMade", "DriftFeature", "DriftMeasured", "DriftSkipped", "DropAccepted",
    "DropArrived", "DropDamage", "DropDamaged", "DropDated", "DropDiscarded", "DropDuplicate", "DropFiled",
    "DropOverdue", "DropQuarantined", "DropRetried", "DropVouched", "DropWithdrawn", "Event", "ForecastFile",
    "ForecastMade", "ForecastRole", "ForecastScored", "JobEnded", "JobStarted", "LiveCell", "Move", "OrderSource",
    "OverrideKind", "OverrideLifted", "OverrideSet", "PolicyLoaded", "PolicyRefused", "PolicyRemoved",
    "PromotionAborted", "PromotionDone", "PromotionIntended", "Record", "RegistryAgreed", "RegistryDiverged",
    "RegistryReady", "RetrainAsked", "RetrainDeclined", "RetrainFailed", "RetrainHeld", "RetrainRequested",
    "ScheduleAnchored", "ScheduleDue", "SettingsLoaded", "SliceCell", "Spell", "StoreFile", "Times", "TrainingFinished",
    "TrainingImpossible", "TrainingKind", "Unloadable", "VersionAdopted", "VersionBlocked", "VersionGone",
    "VersionRejected", "VersionReturned", "VersionUnblocked", "decode", "encode",
]

VERSION = 1
SITE = "-"
"""The pipeline of events that concern the whole site."""


class Event(Protocol):
    """Any class below."""

    KIND: ClassVar[str]


@dataclass(frozen=True)
class Times:
    """When something happened, on the three clocks of POLICIES.md rule 26. All UTC."""

    wall: dt.datetime
    site: dt.datetime
    """The wall clock, or with `clock: data` the end of the newest accepted date."""
    machine: dt.datetime
    """Never goes back: the wall clock of the first start, advanced by the monotonic one."""


@dataclass(frozen=True)
class Record:
    """An event with its place in the journal."""

    seq: int
    pipeline: str
    times: Times
    event: Any
    message: str = ""
    """The id of the CLI's message that caused it, so that a message sent twice is obeyed once."""


KINDS: dict[str, type[Any]] = {}
E = TypeVar("E")


class _Later:
    """Stands in a class for what `dataclass` makes of it, and has it made when somebody first asks.

    All forty at once cost 30 ms, a seventh of what `retrainctl status` took; a command meets a few of them. No lock: the
    daemon makes events in one thread.
    """

    NAMES = ("__init__", "__dataclass_fields__")

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object | None, owner: type[Any]) -> Any:
        for name in self.NAMES:
            delattr(owner, name)
        made = dataclass(frozen=True)(owner)
        return getattr(made if instance is None else instance, self.name)


@dataclass_transform(frozen_default=True)
def _event(kind: str) -> Callable[[type[E]], type[E]]:
    """A frozen dataclass that the journal knows as `kind`."""

    def register(cls: type[E]) -> type[E]:
        for name in _Later.NAMES:
            setattr(cls, name, _Later(name))
        setattr(cls, "KIND", kind)  # noqa: B010 (mypy does not know that E is an event)
        KINDS[kind] = cls
        return cls

    return register


def encode(event: Event) -> dict[str, Any]:
    """The event's fields as JSON can hold them."""
    plain = unbind(event)
    assert isinstance(plain, dict)
    return plain


def decode(kind: str, fields: Mapping[str, Any]) -> Any:
    """The event of that kind. Raises KeyError for a kind this release does not know, Mistakes for fields that do not fit.

    Fields that a later release added are passed over here and stay in the journal as they are.
    """
    return bind(KINDS[kind], fields, strict=False)


# ---- the daemon and what people gave it ----


@_event("daemon.started")
class DaemonStarted:
    """The daemon runs."""

    version: str
    pid: int
    until_idle: bool = False


@_event("daemon.stopped")
class DaemonStopped:
    """The daemon ended of its own will. Its absence before the next daemon.started means a crash."""

    reason: str


@_event("settings.loaded")
class SettingsLoaded:
    """config.yaml as it is in force from here on."""

    sha256: str
    text: str


@_event("policy.loaded")
class PolicyLoaded:
    """A policy file is in force from here on."""

    file: str
    policy: str
    sha256: str
    text: str
    models: tuple[str, ...]
    changes: tuple[str, ...] = ()
    """In words, against the version before: `stricter better-at-a-week by 1% -> 2%`."""


@_event("policy.refused")
class PolicyRefused:
    """An edit that is not taken; the last good version stays in force."""

    file: str
    sha256: str
    mistakes: tuple[str, ...]
    """Each with line and remedy."""
    keeps: str | None = None
    """sha256 of the version that stays in force."""


@_event("policy.removed")
class PolicyRemoved:
    """The file is gone; its models hold."""

    file: str
    policy: str


OverrideKind = Literal["pause", "pin", "freeze"]
"""pause: no training, no promotion. pin: the champion stays. freeze: nothing goes to Production by policy."""


@_event("override.set")
class OverrideSet:
    """A person overrides the policies."""

    override: OverrideKind
    by: str
    reason: str
    until: dt.datetime | None = None
    """Wall clock; None: until somebody lifts it."""
    model: str | None = None
    """None: the whole site."""


@_event("override.lifted")
class OverrideLifted:
    """An override ends."""

    override: OverrideKind
    by: str
    """`retraind` when its time was over."""
    reason: str = ""
    model: str | None = None


@_event("version.blocked")
class VersionBlocked:
    """A person wants a version never to be promoted, until it is unblocked."""

    model: str
    version: int
    by: str
    reason: str = ""


@_event("version.unblocked")
class VersionUnblocked:
    """The policy may judge the version again."""

    model: str
    version: int
    by: str
    reason: str = ""


# ---- drops ----


@dataclass(frozen=True)
class ContractProblem:
    """One reason why a drop cannot be taken."""

    rule: str
    """`at_least`, `type`, `unique key`, `missing column`, ..."""
    what: str
    remedy: str
    row: int | None = None
    """From 1, the header not counted."""
    column: str | None = None
    value: str | None = None


@dataclass(frozen=True)
class StoreFile:
    """One file of the store: immutable, named by what it holds, `store/TABLE/SHA256.parquet`."""

    drop: str
    table: str
    sha256: str
    rows: int
    first_date: dt.date | None = None
    last_date: dt.date | None = None


@_event("drop.arrived")
class DropArrived:
    """A file lies in the drops folder and is complete."""

    drop: str
    """Its id: the first 8 hex digits of the content's sha256, with -2, -3 when the same content comes again."""
    path: str
    """Relative to the site where it lies inside it."""
    name: str
    sha256: str
    bytes: int
    mtime_ns: int


@_event("drop.dated")
class DropDated:
    """On the data clock: what a waiting drop holds, so that drops go in the order of their dates."""

    drop: str
    table: str | None
    last_date: dt.date | None


@_event("drop.duplicate")
class DropDuplicate:
    """Content that the store holds already."""

    drop: str
    of: str


@_event("drop.accepted")
class DropAccepted:
    """The drop is a file of the store now."""

    drop: str
    file: StoreFile
    role: Literal["main", "companion", "lookup"]
    new_rows: int
    replaced_rows: int
    """Rows that replaced an earlier row of the same key with other values."""
    unchanged_rows: int = 0
    set_aside: tuple[ContractProblem, ...] = ()
    """Bad rows left out, where `on_bad_row` allows it; at most 20 are listed."""
    set_aside_rows: int = 0
    notes: tuple[str, ...] = ()


@_event("drop.quarantined")
class DropQuarantined:
    """The drop breaks the contract."""

    drop: str
    problems: tuple[ContractProblem, ...]
    """At most 20 are listed."""
    problem_count: int


@_event("drop.filed")
class DropFiled:
    """The file was put where its end wants it: done/, quarantine/, deleted, or left."""

    drop: str
    path: str | None
    """None when it was deleted or had vanished."""


@_event("drop.retried")
class DropRetried:
    """A person wants a quarantined file examined again."""

    drop: str
    by: str
    reason: str = ""


@_event("drop.discarded")
class DropDiscarded:
    """A person gave a waiting or quarantined drop up."""

    drop: str
    by: str
    reason: str = ""


# ---- drift ----


@dataclass(frozen=True)
class DriftFeature:
    """How much one feature moved against the drops before."""

    feature: str
    psi: float | None
    d: float | None
    """The two-sample Kolmogorov-Smirnov statistic; None for a category."""
    p: float | None
    """Benjamini-Hochberg adjusted, the smaller of KS (or chi-squared) and PSI."""
    changed: bool
    """Real and large."""
    scaled: float | None = None
    """D (of a category the total variation distance) over what 9 of 10 past drops stayed below."""
    role: Literal["feature", "target", "forecast"] = "feature"
    """A target, or a movement of one; a forecast relative to doing nothing; or what they are made from."""
    needed: float | None = None
    """The distance above which it would have been unusual."""
    since_training: float | None = None
    """Its distance from what the champion learned from."""


@_event("drift.measured")
class DriftMeasured:
    """A drop was held against the drops before it."""

    drop: str
    first_date: dt.date
    last_date: dt.date
    rows: int
    features: tuple[DriftFeature, ...]
    rank: int | None
    """Of the largest scaled change among past drops, 1 is the largest; None with too little past."""
    past: int
    """How many past drops it was ranked among."""
    drifting: bool
    why: str
    """The verdict in words."""
    finds: float | None = None
    """The change, as a D, that so many rows find to be real and large nine times of ten."""
    forecasts: str = ""
    """In words, when the forecasts moved beyond what they do and the inputs did not."""
    report: str = ""
    """Its page, relative to the state folder."""


@_event("drift.skipped")
class DriftSkipped:
    """A window could not be measured; the next one will be."""

    drop: str
    last_date: dt.date
    why: str


# ---- is the day complete ----


@_event("day.incomplete")
class DayIncomplete:
    """A day of the main table looks half exported: it is neither forecast from, scored nor trained on until it is complete."""

    drop: str
    date: dt.date
    items: int
    usual_items: float
    """Median of the same weekday's past."""
    why: str


@_event("day.complete")
class DayComplete:
    """An incomplete day counts now: a later drop brought the rest, its marker came, or a person says that it is real."""

    date: dt.date
    why: str
    by: str = ""


@_event("day.marked")
class DayMarked:
    """A marker file says that the day is complete."""

    date: dt.date
    path: str


@_event("drop.withdrawn")
class DropWithdrawn:
    """A person took a valid but wrong drop out of the store's list; its file stays on the disk."""

    drop: str
    by: str
    reason: str = ""


@dataclass(frozen=True)
class DropDamage:
    """One column of a drop that no change of the market explains."""

    column: str
    kind: Literal["vanished", "missing", "new", "times", "beyond", "range"]
    value: float
    """What was found: a share of the rows, or for `times` a factor."""
    limit: float
    words: str


@_event("drop.damaged")
class DropDamaged:
    """An accepted drop looks broken: it is held back, as if it had not come, until a person says that it is real."""

    drop: str
    damages: tuple[DropDamage, ...]


@_event("drop.vouched")
class DropVouched:
    """A person says that a drop which looked broken is real: it takes its place in the store, and its days count."""

    drop: str
    by: str
    reason: str = ""


@_event("drop.overdue")
class DropOverdue:
    """No drop came within `expect_drop` of the newest one."""

    last_date: dt.date
    since: dt.datetime
    """When the newest main drop came, wall."""


# ---- forecasts ----


ForecastRole = Literal["champion", "challenger", "previous", "last_good", "baseline"]


@dataclass(frozen=True)
class ForecastFile:
    """Forecasts, or scored forecasts, that were written once: immutable, named by what they hold."""

    sha256: str
    rows: int
    first_date: dt.date
    """The oldest target date in it."""
    last_date: dt.date
    """The newest target date in it."""


@dataclass(frozen=True)
class OrderSource:
    """Whose forecasts of one target stand in the orders file."""

    target: str
    source: str
    """champion, last_good, or the naive forecast's name."""
    version: int | None
    rows: int
    filled: int = 0
    """Rows that this source had no answer for: the naive forecast stands there, named."""


@dataclass(frozen=True)
class Unloadable:
    """A version that could not be loaded to forecast."""

    model: str
    version: int
    why: str


@_event("forecast.made")
class ForecastMade:
    """Forecasts of every new origin day are written and the orders file is renewed."""

    key: str
    """Digest of the store's list and of who forecasts: the same is not made twice."""
    origin: dt.date
    """The newest origin day."""
    file: ForecastFile | None
    """None when nothing new was to be forecast."""
    orders: tuple[OrderSource, ...]
    stale: bool = False
    unloadable: tuple[Unloadable, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class LiveCell:
    """The live errors of one forecaster of one target at one horizon on one target date."""

    target: str
    forecaster: str
    """A version's number as text, or a baseline's name."""
    role: ForecastRole
    horizon: int
    date: dt.date
    issued: bool
    """Made before the actual came; else a backcast."""
    sums: Sums


@dataclass(frozen=True)
class Spell:
    """Dates without a gap."""

    first: dt.date
    last: dt.date


@dataclass(frozen=True)
class SliceCell:
    """The same of one category, over all dates of the event; also of the rows whose origin had no sale (category '')."""

    target: str
    forecaster: str
    role: ForecastRole
    horizon: int
    category: str
    observed: bool
    """The item was sold on the origin day."""
    sums: Sums
    days: tuple[Spell, ...] = ()
    """Its target dates; empty in events of old."""


@_event("forecast.scored")
class ForecastScored:
    """Forecasts whose actual is known by now: each version, item, origin and horizon once."""

    key: str
    file: ForecastFile
    """Row by row, what the sums below are made of."""
    cells: tuple[LiveCell, ...]
    """Of rows whose origin was observed: what policies read."""
    slices: tuple[SliceCell, ...] = ()
    corrected: int = 0
    """Actuals that changed after they were scored: counted, not scored again."""
    expired: int = 0
    """Forecasts whose actual did not come within 30 days."""
    sliced_by: str = ""
    """The column that `slices` tell by; empty in events of old."""


# ---- retraining ----


TrainingKind = Literal["refresh", "search"]
"""refresh: the champion's recipe on newer data. search: the whole portfolio, the champion's recipe among it."""


@dataclass(frozen=True)
class Cause:
    """Why somebody or something wants a retraining."""

    kind: Literal["first", "drift", "accuracy", "age", "schedule", "operator"]
    key: str
    """Names it for good: `drift:9f2c01ab`, `schedule:weekly:2026-11-22T18:00:00+00:00`."""
    words: str
    """For people: `drop 9f2c01ab drifted, rank 3 of 58`."""


@_event("schedule.anchored")
class ScheduleAnchored:
    """From when on a schedule counts: it is new or was edited."""

    name: str
    spec: str
    at: dt.datetime


@_event("schedule.due")
class ScheduleDue:
    """A schedule came due; those missed while the daemon was down count once."""

    name: str
    due_at: dt.datetime
    missed: int = 0


@_event("retrain.asked")
class RetrainAsked:
    """A person wants a retraining."""

    by: str
    reason: str
    now: bool = False
    """Do not wait for the quiet period or the budget."""
    targets: tuple[str, ...] = ()
    """All of them where none is named."""
    search: bool = False
    """Try the whole portfolio; else fit the champion's recipe on the newest data."""


@_event("cause.noted")
class CauseNoted:
    """`plan` sees a reason to retrain that no other event names: a target without a champion, one that got worse or old."""

    cause: Cause
    targets: tuple[str, ...] = ()


@_event("retrain.requested")
class RetrainRequested:
    """A retraining is wanted: `plan` starts it when the training lane is free."""

    request: str
    causes: tuple[Cause, ...]
    targets: tuple[str, ...]
    store: tuple[str, ...]
    """Store files it reads, in order."""
    data_end: dt.date
    fingerprint: str
    """Digest of data, settings and code: the same is never trained twice unless a person asks."""
    kind: TrainingKind = "search"


@_event("retrain.held")
class RetrainHeld:
    """Causes wait: for the quiet period, the cool-down, the budget, a companion table, a person."""

    causes: tuple[Cause, ...]
    reason: str
    until: dt.datetime | None


@_event("retrain.declined")
class RetrainDeclined:
    """Causes that lead to nothing, and why."""

    causes: tuple[Cause, ...]
    reason: str


@_event("training.finished")
class TrainingFinished:
    """Candidates are registered; everything that a policy can ask is here."""

    request: str
    data_end: dt.date
    test_from: dt.date
    test_to: dt.date
    results: tuple[TargetResult, ...]
    parent_run: str
    seconds: float
    notes: tuple[str, ...] = ()


@_event("training.impossible")
class TrainingImpossible:
    """The data cannot be trained on yet: no failure, it waits for data."""

    request: str
    why: str


@_event("retrain.failed")
class RetrainFailed:
    """The training failed as often as the settings allow; the champion stays, the next cause may ask again."""

    request: str
    what: str
    remedy: str = ""


# ---- jobs ----


@_event("job.started")
class JobStarted:
    """A step is carried out in a child process."""

    job: str
    step: str
    """survey, examine, measure, prepare, train, promote."""
    subject: str
    """What it is about: a drop, a request, model@version."""
    pid: int
    attempt: int = 1


@_event("job.ended")
class JobEnded:
    """The child is gone."""

    job: str
    step: str
    subject: str
    outcome: Literal["done", "failed", "crashed", "killed", "timed_out", "out_of_memory", "lost"]
    """lost: the daemon died first."""
    seconds: float
    peak_mb: int = 0
    what: str = ""
    remedy: str = ""
    retryable: bool = True


# ---- the registry ----


@_event("registry.ready")
class RegistryReady:
    """The tracking store and the registry exist and answer."""

    tracking_uri: str
    mlflow: str


@dataclass(slots=True, unsafe_hash=True)
class ConditionOutcome:
    """How one condition of a policy came out. Nobody changes one; `frozen` makes it five times as slow to make, and a
    decision makes ten."""

    id: str
    kind: str
    outcome: Literal["yes", "no", "wait", "unknown", "not_needed"]
    words: str
    """For people: `skill 2.9 % over persistence, needs 0.5 %`."""
    block: str = ""
    """staging, production, refresh, rollback."""
    value: float | None = None
    limit: float | None = None
    margin: float | None = None
    """How far it is from changing its outcome, in the unit of value; negative when it says no."""
    until: dt.datetime | None = None
    """For wait: when it may become yes at the earliest, where that is known."""
    dry_run: bool = False


@dataclass(frozen=True)
class Counterfactual:
    """One thing that would have changed a decision."""

    what: Literal["model", "policy", "person", "fact"]
    condition: str
    words: str


@_event("decision.made")
class DecisionMade:
    """A policy was asked about a version, and its answer changed."""

    decision: str
    model: str
    version: int
    verdict: Literal["promote", "hold", "reject", "gave_up", "superseded", "rollback", "blocked", "no_policy"]
    to: Literal["staging", "production"] | None
    """Where to, for promote."""
    policy: str
    """name@sha256[:8], or empty without one."""
    conditions: tuple[ConditionOutcome, ...]
    words: str
    """The verdict in a sentence."""
    would: bool = False
    """Dry run: decided, not carried out."""
    by: str = ""
    """The person who decided; empty for a policy."""
    reason: str = ""
    forced: bool = False
    """A person decided otherwise than the policy would."""
    target: int | None = None
    """For rollback: the version to go back to."""
    look_days: float | None = None
    """Days since the model's last look, which `significant` was judged by (POLICIES.md, rule 8)."""
    changes: tuple[Counterfactual, ...] | None = None
    """What would have changed it, the smallest first. None: the release that decided did not say."""
    earliest: dt.datetime | None = None
    """For a hold: when it might be promoted, as far as was known then."""


Move = Literal["staging", "production", "archived", "rollback"]
"""Where a version is moved: up, out of Staging when its policy gave it up, or back to Production when the champion is bad."""
SERVING: tuple[Move, ...] = ("production", "rollback")
"""Moves that change who is served."""


@_event("promotion.intended")
class PromotionIntended:
    """Before the registry is touched (POLICIES.md, order of a promotion, 1)."""

    model: str
    version: int
    to: Move
    champion: int | None
    """Who holds Production as far as the journal knows."""
    decision: str
    policy: str
    model_digest: str
    settles: bool = False
    """It was said who is champion although others moved the registry: the aliases are set to what the journal says."""
    found: int | None = None
    """Where that alias stood when it was said; one that was moved again since is left alone."""


@_event("promotion.done")
class PromotionDone:
    """Aliases and tags are set and were read back."""

    model: str
    version: int
    to: Move
    champion: int | None
    """Who held Production before."""
    last_good: int | None
    decision: str
    archived: tuple[int, ...] = ()
    settles: bool = False
    """As in the intention."""


@_event("promotion.aborted")
class PromotionAborted:
    """The registry is not as the intention expected and nothing was moved; `plan` judges again."""

    model: str
    version: int
    why: str


@_event("candidate.compared")
class CandidateCompared:
    """The champion changed under a training's candidates: its recipe was scored on their test rows."""

    request: str
    target: str
    champion_version: int
    champion: Scores | None
    """None: its recipe cannot be fitted there."""
    significance: Mapping[str, Mapping[str, Significance]] = field(default_factory=dict)
    """Of the training's candidates against this champion's recipe: recipe id -> `wape.h7`."""
    slices: SliceFigures = field(default_factory=dict)
    """Of the champion's recipe."""


@_event("approval.given")
class ApprovalGiven:
    """A person says yes to a version's way to Production, for what was shown."""

    model: str
    version: int
    by: str
    groups: tuple[str, ...]
    meaning: str
    """Digest of the production block as it was shown."""
    figures: str
    """Run, model and rows of the test figures shown."""
    held: tuple[str, ...] = ()
    """Conditions that said yes at that time: the approval is void when one no longer does."""
    reason: str = ""


@_event("version.rejected")
class VersionRejected:
    """A person says no to a version, for good."""

    model: str
    version: int
    by: str
    reason: str = ""


# ---- alerts ----


@_event("alert.raised")
class AlertRaised:
    """Something a person should know of."""

    key: str
    """Names it for good: a receiver that gets it twice can tell."""
    kind: str
    """rollback, approval, quarantine, incomplete_day, blind, no_drop, ..."""
    words: str
    remedy: str = ""
    channels: tuple[str, ...] = ()
    """Who is told: those of the settings that want this kind."""


@_event("alert.delivered")
class AlertDelivered:
    """A channel took it."""

    key: str
    channel: str


@_event("alert.undelivered")
class AlertUndelivered:
    """A channel did not take it; it is tried again."""

    key: str
    channel: str
    what: str
    given_up: bool = False


@_event("registry.diverged")
class RegistryDiverged:
    """Somebody else moved an alias: nothing automatic for this model until it names again what the journal says."""

    model: str
    alias: str
    expected: int | None
    found: int | None
    why: str = ""
    """Where more is known: the version was deleted."""

    @property
    def words(self) -> str:
        """For people."""
        def named(version: int | None) -> str:
            return f"v{version}" if version else "nothing"

        why = f" ({self.why})" if self.why else ""
        return f"alias {self.alias} names {named(self.found)}, the journal says {named(self.expected)}{why}"


@_event("registry.agreed")
class RegistryAgreed:
    """The registry says again what the journal says."""

    model: str


@_event("version.gone")
class VersionGone:
    """Somebody deleted a version, or a restored backup does not hold it: nothing moves it any more."""

    model: str
    version: int
    why: str
    """`it is not in MLflow any more`, or that another model has its number."""


@_event("version.returned")
class VersionReturned:
    """A version that was gone is in the registry again."""

    model: str
    version: int


@_event("adoption.asked")
class AdoptionAsked:
    """A version is to be champion because a person says so, or because somebody moved the alias and the settings adopt that."""

    model: str
    target: str
    version: int
    by: str
    reason: str = ""
    horizon: int | None = None
    """Which horizon the one number a row of somebody's model is for."""
    found: int | None = None
    """Where the alias champion stood."""


@_event("version.adopted")
class VersionAdopted:
    """A version that no training of ours made, as it was found in the registry; or who stands for an adoption, and why."""

    model: str
    target: str
    version: int
    by: str
    reason: str = ""
    candidate: Candidate | None = None
    """None: the version was known before."""
    data_end: dt.date | None = None
    """The newest date in the store at that moment: it is scored on later days only, for nobody knows what it learnt from."""
    notes: tuple[str, ...] = ()


@_event("adoption.refused")
class AdoptionRefused:
    """The version cannot be champion here."""

    model: str
    version: int
    why: str
    remedy: str = ""


@_event("artifacts.removed")
class ArtifactsRemoved:
    """A version's files are gone from MLflow by its policy's block `archive`; or they stay, and why."""

    model: str
    version: int
    policy: str
    bytes: int = 0
    stays: str = ""
    """Why they stay: others name the version, or what MLflow holds is not what was judged."""
