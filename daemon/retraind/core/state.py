"""What is known after the journal's last event. `fold.apply` is the only way to get there.

Everything here is rebuilt from events; the snapshot is a cache. To change a class: raise VERSION, and old snapshots are
left aside. Times are UTC; the clock of each is said where it matters (POLICIES.md, rule 26).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, MutableMapping, MutableSequence
from dataclasses import dataclass, field
from typing import Any, Literal

from retraind.core.events import (
    Cause,
    ConditionOutcome,
    ContractProblem,
    DropDamage,
    ForecastFile,
    Move,
    OrderSource,
    OverrideKind,
    StoreFile,
    TrainingKind,
)
from retraind.core.figures import Candidate, TargetResult
from retraind.core.live import Live, scored_drops
from retraind.core.policy.facts import Approval
from retraind.core.settings import Contract

__all__ = [
    "STAGES", "VERSION", "Adoption", "Channel", "DamagedDrop", "Delivery", "Drop", "DropState", "Failure", "Flow",
    "Held", "Intention", "LoadedText", "Model", "OpenCause", "Override", "RaisedAlert", "Refusal", "Request",
    "RunningJob", "ScheduleState", "Stage", "State", "TableRead", "Tenure", "Version", "WindowDrift",
]

VERSION = 6
DropState = Literal["waiting", "accepted", "quarantined", "duplicate", "discarded", "withdrawn"]
DROP_STATES: tuple[DropState, ...] = ("waiting", "accepted", "quarantined", "duplicate", "discarded", "withdrawn")
Stage = Literal["None", "Staging", "Production", "Archived"]
STAGES: tuple[Stage, ...] = ("None", "Staging", "Production", "Archived")


@dataclass
class Drop:
    """A file that came in."""

    id: str
    path: str
    name: str
    sha256: str
    bytes: int
    mtime_ns: int
    arrived: dt.datetime
    """Wall."""
    state: DropState = "waiting"
    filed: bool = False
    """The file lies where its end wants it."""
    dated: bool = False
    table: str | None = None
    role: str | None = None
    first_date: dt.date | None = None
    last_date: dt.date | None = None
    rows: int = 0
    new_rows: int = 0
    replaced_rows: int = 0
    set_aside_rows: int = 0
    notes: tuple[str, ...] = ()
    problems: tuple[ContractProblem, ...] = ()
    problem_count: int = 0
    duplicate_of: str | None = None


@dataclass
class DamagedDrop:
    """An accepted drop that looks broken: its file is kept out of the store until a person says what it is."""

    file: StoreFile
    damages: tuple[DropDamage, ...]
    since: dt.datetime
    """Wall."""
    ahead: tuple[str, ...]
    """sha256 of the store's files that came before it: it takes its place behind them."""

    @property
    def words(self) -> str:
        """For people."""
        return "; ".join(f"{d.column}: {d.words}" for d in self.damages)


@dataclass
class WindowDrift:
    """The verdict on one window of data."""

    drop: str
    last_date: dt.date
    drifting: bool
    rank: int | None
    past: int
    why: str
    seq: int
    """Of the event with all figures."""


@dataclass
class OpenCause:
    """Somebody or something wants a retraining; no request holds it yet."""

    cause: Cause
    since: dt.datetime
    """Machine."""
    targets: tuple[str, ...] = ()
    now: bool = False
    by: str = ""
    search: bool = False
    """A person wants the whole portfolio tried."""


@dataclass
class Held:
    """Why the open causes wait."""

    keys: tuple[str, ...]
    reason: str
    until: dt.datetime | None


@dataclass
class TableRead:
    """What a training reads of one table."""

    files: int
    rows: int
    newest_drop: str
    first_date: dt.date | None
    last_date: dt.date | None


@dataclass
class Request:
    """A retraining."""

    id: str
    causes: tuple[Cause, ...]
    targets: tuple[str, ...]
    places: tuple[tuple[int, int], ...]
    """Of the store files it reads, in order, in `Flow.files`: from, and up to but without."""
    data_end: dt.date
    fingerprint: str
    at_site: dt.datetime
    at_wall: dt.datetime
    state: Literal["waiting", "finished", "impossible", "failed"] = "waiting"
    ended_site: dt.datetime | None = None
    ended_seq: int = 0
    kind: TrainingKind = "search"
    words: str = ""
    """What came of it."""
    parent_run: str = ""
    seconds: float = 0.0
    seq: int = 0
    """Of the event that granted it."""
    tables: dict[str, TableRead] = field(default_factory=dict)
    """Those files summed up: whoever explains it does not go through all of them."""


@dataclass
class ScheduleState:
    """Since when a schedule counts and when it was due last, on the site's clock."""

    spec: str
    anchor: dt.datetime
    last: dt.datetime | None = None


@dataclass
class Version:
    """A registered version."""

    model: str
    version: int
    target: str
    request: str
    candidate: Candidate
    data_end: dt.date
    trained_site: dt.datetime
    trained_wall: dt.datetime
    compared_with: int | None
    """The champion its figures stand beside."""
    stage: Stage = "None"
    staged_site: dt.datetime | None = None
    staged_seq: int = 0
    verdict: str = ""
    to: str | None = None
    policy: str = ""
    """name@hash that gave the verdict."""
    conditions: tuple[ConditionOutcome, ...] = ()
    words: str = ""
    decision: str = ""
    decision_seq: int = 0
    would: bool = False
    blocked: str = ""
    """Why, in words, while nothing may promote it."""
    forced: str = ""
    """Who promoted it by force and why, in words, until its policy lets it through."""
    aborted: str = ""
    """Why its promotion could not be carried out; a person has to look."""
    approvals: list[Approval] = field(default_factory=list)
    approved_held: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By person: the conditions that held when they approved."""
    rolled_back: str = ""
    """Why it was taken back from Production, in words."""
    rejected: str = ""
    """By whom and why a person rejected it for good."""
    unloadable: str = ""
    """Why it could not be loaded to forecast, last time."""
    tainted: str = ""
    """It was trained on a drop that was withdrawn since."""
    gone: str = ""
    """Why it is not in the registry any more, in words."""
    adopted: str = ""
    """Who took it as champion and why, in words, where no training of ours made it or somebody else moved it there."""
    adopted_seq: int = 0
    """Of the event that made a version of somebody else's known."""
    archived_site: dt.datetime | None = None
    """When it came to Archived, last time."""
    bare: str = ""
    """By which policy its files were removed, in words."""
    spared: str = ""
    """Why its files stay although its policy would remove them."""

    @property
    def lost(self) -> str:
        """Why it can not be had any more; empty as long as it can."""
        return self.gone or self.bare


@dataclass
class Tenure:
    """A version's time in Production."""

    version: int
    since_wall: dt.datetime
    since_site: dt.datetime
    decision: str
    seq: int
    until_wall: dt.datetime | None = None
    until_site: dt.datetime | None = None
    served: int = 0
    """Scored drops it served, counted when it ended."""
    rolled_back: bool = False
    """It ended because the version was bad."""
    by_rollback: bool = False
    """It began by a rollback from another version."""


@dataclass
class Intention:
    """A promotion between its two events."""

    version: int
    to: Move
    champion: int | None
    decision: str
    policy: str
    model_digest: str
    seq: int
    settles: bool = False
    found: int | None = None

    def subject(self, model: str) -> str:
        """What the step that carries it out is called."""
        return f"{model}@{self.version} {self.to} {self.decision}"


@dataclass
class Adoption:
    """A version that is to be champion because somebody says so, until the promotion is intended or it is refused."""

    version: int
    by: str
    reason: str
    horizon: int | None
    found: int | None
    seq: int
    decision: str = ""
    """Once the version is known and it was decided."""

    def subject(self, model: str) -> str:
        """What the step that looks the version up is called."""
        return f"{model}@{self.version} {self.seq}"


@dataclass
class Model:
    """A registered model: one for each target."""

    name: str
    target: str
    champion: int | None = None
    challenger: int | None = None
    last_good: int | None = None
    tenures: list[Tenure] = field(default_factory=list)
    versions: MutableMapping[str, Version] = field(default_factory=dict)
    """By number as text (JSON's keys are text)."""
    results: MutableMapping[str, TargetResult] = field(default_factory=dict)
    """By request, without the candidates: what their versions are judged beside."""
    intention: Intention | None = None
    diverged: str = ""
    diverged_seq: int = 0
    """Of the event that said so."""
    last_look: dt.datetime | None = None
    """When a search's candidates were last compared with a champion, site."""
    look_days: dict[str, float] = field(default_factory=dict)
    """By request: how long alpha had accrued at that look."""
    diverged_alias: str = ""
    diverged_found: int | None = None
    """Which alias others moved, and what it names."""
    adoption: Adoption | None = None
    unadopted: str = ""
    """Why the version that was last to be adopted is not, in words."""

    def held_at(self, site: dt.datetime) -> Tenure | None:
        """The tenure of that moment on the site's clock."""
        held = (t for t in self.tenures if t.since_site <= site and (t.until_site is None or site < t.until_site))
        return next(held, None)

    @property
    def serving(self) -> Version | None:
        """The champion's version, if there is a champion that a training of ours made."""
        return self.version(self.champion) if self.champion is not None else None

    def version(self, number: int) -> Version | None:
        """The version of that number, if a training of ours made it."""
        return self.versions.get(str(number))


@dataclass
class RunningJob:
    """A child at work, or one that was at work when the daemon died."""

    job: str
    step: str
    subject: str
    pid: int
    since: dt.datetime
    """Wall."""


@dataclass
class Failure:
    """A step that failed and will be tried again."""

    step: str
    subject: str
    count: int
    last: dt.datetime
    """Machine."""
    what: str
    remedy: str
    retryable: bool
    brought_down: bool = False
    """The child did not live to say what was wrong: what it worked on may be to blame. Otherwise it found the world amiss."""
    lost: int = 0
    """So many times in a row the daemon died with it."""
    since: str = ""
    """When it failed first (wall): tells this trouble from a later one of the same step."""

    @property
    def of(self) -> int:
        """How many its subject names: an examination `9f2c+3` is of four drops."""
        _, _, more = self.subject.partition("+")
        return 1 + int(more) if more.isdigit() else 1


@dataclass
class Flow:
    """The state of one pipeline."""

    drops: MutableMapping[str, Drop] = field(default_factory=dict)
    store: MutableSequence[StoreFile] = field(default_factory=list)
    """In the order in which they count. `keep` and `let_go` change it."""
    spans: dict[str, tuple[dt.date, dt.date]] = field(default_factory=dict)
    """First and last date in the store, by table."""
    damaged: dict[str, DamagedDrop] = field(default_factory=dict)
    """By drop."""
    drift: list[WindowDrift] = field(default_factory=list)
    """The newest 120 windows, oldest first."""
    drift_skipped_to: dt.date | None = None
    causes: list[OpenCause] = field(default_factory=list)
    held: Held | None = None
    requests: dict[str, Request] = field(default_factory=dict)
    files: MutableSequence[str] = field(default_factory=list)
    """Store files that a request ever named, in the order of their first mention. Requests name nearly the same ones again and
    again: as places in here a hundred of them over ten thousand files take no room."""
    schedules: dict[str, ScheduleState] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    jobs: dict[str, RunningJob] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    """By `step subject`."""
    forecasts: list[ForecastFile] = field(default_factory=list)
    """Those with a target date that may still be scored, oldest first."""
    scores: list[ForecastFile] = field(default_factory=list)
    """Those that a forecast of `forecasts` may stand in."""
    forecast_key: str = ""
    """Of the newest forecast.made."""
    origin: dt.date | None = None
    """Its newest origin day."""
    orders: tuple[OrderSource, ...] = ()
    """What stands in the orders file."""
    orders_at: dt.datetime | None = None
    """Wall."""
    orders_stale: bool = False
    live: dict[str, Live] = field(default_factory=dict)
    """By target."""
    incomplete: dict[str, str] = field(default_factory=dict)
    """ISO date -> why that day of the main table does not count (core/days.py)."""
    vouched: dict[str, str] = field(default_factory=dict)
    """ISO date -> who says that the day is complete, whatever it looks like: a marker, a person."""
    withdrawn: dict[str, str] = field(default_factory=dict)
    """sha256 of a file that a person took out of the store -> in words; what was computed from it is tainted."""
    look_again: dict[str, tuple[dt.date, ...]] = field(default_factory=dict)
    """Drop -> newest days of it whose fullness is still to be seen: it was just accepted, or withdrawn and others hold rows
    of them too."""
    newest_main: dt.datetime | None = None
    """When the newest main drop was accepted, wall."""
    overdue: dt.date | None = None
    """The newest date, when no main drop came for too long since; None: not overdue."""

    def waiting(self) -> list[Drop]:
        """Drops that were not examined yet."""
        return [d for d in self.drops.values() if d.state == "waiting"]

    def last_date(self, table: str) -> dt.date | None:
        """The newest date of a table in the store."""
        span = self.spans.get(table)
        return span[1] if span else None

    def behind(self, contract: Contract) -> list[str]:
        """Required companion tables that do not reach the newest date of the main one: what comes next waits for them."""
        last = self.last_date(contract.main)
        return [
            name for name, table in contract.tables.items()
            if table.role == "companion" and table.required and last and (self.last_date(name) or dt.date.min) < last
        ]  # fmt: skip

    def keep(self, file: StoreFile, place: int | None = None) -> None:
        """Into the store: at its end, or where it has its place."""
        self.store.insert(len(self.store) if place is None else place, file)
        self._widen(file)

    def let_go(self, drop: str) -> list[StoreFile]:
        """Out of the store, all of a drop. Returns what it held."""
        gone = [f for f in self.store if f.drop == drop]
        self.store = [f for f in self.store if f.drop != drop]
        self.spans = {}
        for file in self.store:
            self._widen(file)
        return gone

    def _widen(self, file: StoreFile) -> None:
        if file.first_date and file.last_date:
            first, last = self.spans.get(file.table, (file.first_date, file.last_date))
            self.spans[file.table] = min(first, file.first_date), max(last, file.last_date)

    def holder(self, table: str | None, day: dt.date) -> str | None:
        """The last drop of a table whose dates hold that day: it may have brought rows of it."""
        held = (f.drop for f in reversed(self.store) if f.table == table and f.first_date and f.last_date
                and f.first_date <= day <= f.last_date)  # fmt: skip
        return next(held, None)

    def served_drops(self, model: Model, tenure: Tenure) -> int:
        """Scored drops that a tenure served: as counted when it ended, or up to now."""
        if tenure.until_site is not None:
            return tenure.served
        return len(scored_drops(self.live.get(model.target), tenure.seq))

    def store_of(self, request: Request) -> tuple[str, ...]:
        """The store files that a request reads, in order."""
        return tuple(sha256 for first, after in request.places for sha256 in self.files[first:after])

    def places_of(self, store: Iterable[str]) -> tuple[tuple[int, int], ...]:
        """Where those files stand in `files`, which takes up the new ones."""
        known = {sha256: place for place, sha256 in enumerate(self.files)}
        found: list[tuple[int, int]] = []
        for sha256 in store:
            place = known.setdefault(sha256, len(self.files))
            if place == len(self.files):
                self.files.append(sha256)
            if found and found[-1][1] == place:
                found[-1] = (found[-1][0], place + 1)
            else:
                found.append((place, place + 1))
        return tuple(found)

    def tables_of(self, store: Iterable[str]) -> dict[str, TableRead]:
        """Those files of the store, summed up by table."""
        wanted = set(store)
        by_table: dict[str, list[StoreFile]] = {}
        for file in self.store:
            if file.sha256 in wanted:
                by_table.setdefault(file.table, []).append(file)
        return {
            table: TableRead(
                len(files), sum(f.rows for f in files), files[-1].drop,
                min((f.first_date for f in files if f.first_date), default=None),
                max((f.last_date for f in files if f.last_date), default=None),
            )
            for table, files in by_table.items()
        }  # fmt: skip

    def open_request(self) -> Request | None:
        """The request that waits for its training to end."""
        return next((r for r in self.requests.values() if r.state == "waiting"), None)

    def last_ended(self) -> Request | None:
        """The request whose training ended last."""
        return max((r for r in self.requests.values() if r.ended_site), key=lambda r: r.ended_seq, default=None)

    def with_content(self, sha256: str) -> list[Drop]:
        """Drops with exactly that content, oldest first."""
        return [d for d in self.drops.values() if d.sha256 == sha256]


@dataclass
class LoadedText:
    """A policy file in force."""

    file: str
    policy: str
    sha256: str
    text: str
    models: tuple[str, ...]
    since: dt.datetime


@dataclass
class Refusal:
    """An edit that was not taken."""

    file: str
    sha256: str
    mistakes: tuple[str, ...]
    at: dt.datetime


@dataclass
class Override:
    """A person's word over the policies, until it is lifted or over. Times are wall times."""

    kind: OverrideKind
    model: str | None
    """None: the whole site."""
    by: str
    reason: str
    since: dt.datetime
    until: dt.datetime | None

    def holds(self, wall: dt.datetime) -> bool:
        """Its time is not over."""
        return self.until is None or self.until > wall


@dataclass
class Delivery:
    """An alert on its way to one channel."""

    state: Literal["waiting", "delivered", "given_up"] = "waiting"
    tries: int = 0
    last: dt.datetime | None = None
    """Of the last try that failed, machine."""
    what: str = ""
    """Why it failed."""


@dataclass
class RaisedAlert:
    """Something a person should know of."""

    key: str
    kind: str
    words: str
    remedy: str
    seq: int
    at: dt.datetime
    """Wall."""
    since: dt.datetime
    """Machine."""
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    """By channel."""


@dataclass
class Channel:
    """How a channel fared lately."""

    failures: int = 0
    """Since it last took an alert."""
    last: dt.datetime | None = None
    """Of the last failure, machine."""


@dataclass
class State:
    """Everything that is known."""

    seq: int = 0
    site_id: str = ""
    """Made from the first event: tells this site's requests from another's in a registry that both use."""
    started: dt.datetime | None = None
    stopped: dt.datetime | None = None
    """None while it runs, or after it was killed."""
    pid: int = 0
    release: str = ""
    settings_sha256: str = ""
    settings_text: str = ""
    policies: dict[str, LoadedText] = field(default_factory=dict)
    """By file."""
    refusals: dict[str, Refusal] = field(default_factory=dict)
    overrides: list[Override] = field(default_factory=list)
    """Of each kind one a model and one for the whole site, in the order they were set."""
    registry: str = ""
    """The tracking URI that is known to be ready."""
    site_time: dt.datetime | None = None
    machine_time: dt.datetime | None = None
    last_wall: dt.datetime | None = None
    flows: dict[str, Flow] = field(default_factory=dict)
    """By pipeline."""
    alerts: dict[str, RaisedAlert] = field(default_factory=dict)
    """By key: what was told once is not told again."""
    channels: dict[str, Channel] = field(default_factory=dict)
    obeyed: dict[str, Any] = field(default_factory=dict)
    """The newest 1,000 message ids -> the answer's words."""

    @property
    def pause(self) -> Override | None:
        """The pause, which may be over by now."""
        return self.override("pause")

    def override(self, kind: OverrideKind, model: str | None = None) -> Override | None:
        """The override of that kind on exactly that model (None: on the whole site), which may be over by now."""
        return next((o for o in self.overrides if (o.kind, o.model) == (kind, model)), None)

    def flow(self, pipeline: str) -> Flow:
        """The state of a pipeline, made when it is first spoken of."""
        return self.flows.setdefault(pipeline, Flow())
