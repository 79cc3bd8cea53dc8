"""What `plan` can ask for, and how it can end: the contract between the daemon and its children.

A `Note` is carried out by the supervisor at once (an event is appended); a `FileAway` by the inbox; every other step is a
job: the runner starts `python -m retraind.jobs NAME REQUEST`, where REQUEST is a JSON file holding a `JobRequest`. The
child prints JSON lines: {"progress": {...}} as it goes and {"outcome": {"kind": ..., ...}} once, last. A child whose
daemon dies sees the end of its standard input and ends itself.

Version of this contract: VERSION, in every request. A foreign trainer may stand in for `train`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from retraind.core.binding import bind, unbind
from retraind.core.events import (
    ContractProblem,
    DriftMeasured,
    DropDamage,
    ForecastFile,
    ForecastRole,
    LiveCell,
    Move,
    OrderSource,
    SliceCell,
    StoreFile,
    TrainingKind,
    Unloadable,
)
from retraind.core.figures import Candidate, Foreign, Scores, Significance, SliceFigures, TargetResult

__all__ = [
    "JOBS", "OUTCOMES", "VERSION", "Accepted", "Adopt", "Adopted", "Archive", "Archived", "Bare", "Champion",
    "Compare", "Compared", "Damaged", "Dated", "DayLook", "Examine", "Examined", "Failed", "FileAway", "Forecast",
    "Forecasted", "Forecaster", "Impossible", "Job", "JobRequest", "Measure", "Measured", "Note", "Outcome", "Place",
    "Prepare", "Prepared", "Progress", "Promote", "Promoted", "Quarantined", "SameContent", "Spared", "Spent",
    "Step", "Survey", "Surveyed", "Train", "Trained", "Unadoptable", "Unmoved", "WaitingDrop", "decode_outcome",
    "encode_outcome",
]

VERSION = 1

# ---- steps ----


@dataclass(frozen=True)
class Note:
    """Append this event."""

    pipeline: str
    event: Any


Place = Literal["done", "quarantine", "delete", "leave"]
"""Where a drop's file ends."""


@dataclass(frozen=True)
class FileAway:
    """Put a drop's file where its end wants it, with the reason beside it when it is quarantined."""

    pipeline: str
    drop: str
    path: str
    to: Place
    reason: str = ""
    sha256: str = ""
    """Of what was examined, with its size and time: another file that lies there by now is left alone."""
    bytes: int = 0
    mtime_ns: int = 0


@dataclass(frozen=True)
class WaitingDrop:
    """A drop that was not examined yet."""

    drop: str
    path: str
    name: str
    sha256: str


@dataclass(frozen=True)
class Survey:
    """Say the table and the last date of each drop, reading as little as possible (data clock)."""

    drops: tuple[WaitingDrop, ...]


@dataclass(frozen=True)
class Examine:
    """Check each drop against the contract and turn the good ones into files of the store, in this order."""

    drops: tuple[WaitingDrop, ...]
    store: tuple[StoreFile, ...]
    today: dt.date
    """By the wall clock in the site's zone, whatever the site's clock: dates beyond tomorrow are refused."""
    look: tuple[dt.date, ...] = ()
    """Days whose fullness is to be seen beside those that the drops bring: a drop that held rows of them was withdrawn."""
    incomplete: tuple[dt.date, ...] = ()
    """Days that do not count: nothing is held against them."""
    marker: str | None = None
    """The settings' name of a day's marker file: without it a day does not count, however full it is."""


@dataclass(frozen=True)
class Measure:
    """Hold the newest window of the main table against the windows before it."""

    drop: str
    """The main drop that completed the window."""
    first_date: dt.date
    last_date: dt.date
    store: tuple[StoreFile, ...]
    excluded: tuple[dt.date, ...] = ()
    """Incomplete days: as if they were not there."""
    forecasts: tuple[ForecastFile, ...] = ()
    """Those whose origins may lie in the window or the windows before it."""
    learned: str = ""
    """The request that the newest champion came from: its drift reference lies beside the journal."""
    drifted: bool = False
    """Whether the window before drifted."""


@dataclass(frozen=True)
class Prepare:
    """Create the MLflow store and the experiment, once and alone."""

    tracking_uri: str = ""
    """As the settings write it: that one is ready afterwards."""


@dataclass(frozen=True)
class Champion:
    """The version that a training compares its candidates with."""

    version: int
    recipe: Mapping[str, Any]
    data_end: dt.date


@dataclass(frozen=True)
class Forecaster:
    """A version that forecasts beside the naive baselines."""

    version: int
    role: ForecastRole
    data_end: dt.date
    """The last day it was fitted on: it is never scored on a day up to this one."""
    model_digest: str
    """Names its files under STATE/models, and in MLflow."""
    foreign: Foreign | None = None
    """Of a version that was adopted: how it is asked."""


@dataclass(frozen=True)
class Forecast:
    """Forecast every origin day that is new, score what became known, renew the orders file.

    The store, less the excluded days, is all that the job knows of the world; what was made and scored before it reads from
    the files that are listed here.
    """

    key: str
    store: tuple[StoreFile, ...]
    newest: dt.date
    """The newest complete day."""
    excluded: tuple[dt.date, ...]
    """Incomplete days: as if they were not there."""
    forecasters: Mapping[str, tuple[Forecaster, ...]]
    """By target; champion first. Empty where there is none."""
    naive: Mapping[str, str]
    """By target: the baseline that stands in where no version answers."""
    made: tuple[ForecastFile, ...]
    scored: tuple[ForecastFile, ...]
    at: dt.datetime
    """Wall: `made_at` of the rows."""
    stale: bool = False
    """The data are older than they should be."""
    last_good: Mapping[str, int] = field(default_factory=dict)
    """By target: the version that stands in for a champion that cannot be loaded. It is among the forecasters, in whatever
    role."""


@dataclass(frozen=True)
class Compare:
    """Fit a champion's recipe beside the candidates of an earlier training and score it on their test rows."""

    request: str
    target: str
    store: tuple[StoreFile, ...]
    data_end: dt.date
    champion: Champion
    excluded: tuple[dt.date, ...] = ()


@dataclass(frozen=True)
class Train:
    """Build features, fit the portfolio, evaluate recipes on the untouched test days, fit on all days, register."""

    request: str
    targets: tuple[str, ...]
    store: tuple[StoreFile, ...]
    data_end: dt.date
    champions: Mapping[str, Champion]
    """By target; absent where there is none."""
    causes: tuple[str, ...]
    """In words, for the run's tags."""
    kind: TrainingKind = "search"
    """A refresh fits the recipes of `champions` only; a target without a champion is searched."""
    excluded: tuple[dt.date, ...] = ()
    """Incomplete days: as if they were not there."""


@dataclass(frozen=True)
class Promote:
    """Move aliases and tags in the order of POLICIES.md. The intention is in the journal already."""

    model: str
    version: int
    to: Move
    champion: int | None
    """Who the journal says holds Production."""
    model_digest: str
    decision: str
    policy: str
    last_good: int | None
    """What the alias last-good is to name afterwards."""
    supersede: tuple[int, ...] = ()
    """Versions to be tagged Archived because this one is promoted past them."""
    settles: bool = False
    """Others moved aliases, and it was said who is champion: set them to what the journal says."""
    found: int | None = None
    """Where the alias champion stood when that was said."""
    challenger: int | None = None
    """Of one that settles: what the alias challenger is to name afterwards."""


@dataclass(frozen=True)
class Adopt:
    """Look a version up that no training of ours made: is it there, does it load, can it answer on our features?"""

    model: str
    target: str
    version: int
    horizon: int | None
    store: tuple[StoreFile, ...]
    newest: dt.date
    """The newest complete day: it is asked for forecasts from it."""
    excluded: tuple[dt.date, ...] = ()


@dataclass(frozen=True)
class Spent:
    """A version whose files are to go."""

    version: int
    model_digest: str


@dataclass(frozen=True)
class Archive:
    """Remove the files of versions that are past both bounds of their policy's block `archive`."""

    model: str
    versions: tuple[Spent, ...]
    policy: str


Job = Survey | Examine | Forecast | Measure | Prepare | Train | Compare | Promote | Adopt | Archive
Step = Note | FileAway | Job
JOBS: dict[str, type[Any]] = {
    "survey": Survey, "examine": Examine, "forecast": Forecast, "measure": Measure, "prepare": Prepare, "train": Train,
    "reproduce": Train, "compare": Compare, "promote": Promote, "adopt": Adopt, "archive": Archive,
}
IN_TURN: dict[str, tuple[str, ...]] = {
    "light": ("survey", "examine", "measure"), "models": ("compare", "promote", "archive", "forecast"),
}  # fmt: skip
"""Jobs that follow one another and import for longer than they work, by what a child is told that does them in turn and
imports once. Light ones do without pandas and scipy."""


@dataclass(frozen=True)
class JobRequest:
    """What a child gets."""

    version: int
    job: str
    """Its id."""
    name: str
    """A key of JOBS."""
    pipeline: str
    root: str
    """The site's folder; every relative path of the settings starts here."""
    config: str
    """The text of config.yaml as it was when the step was planned."""
    step: Mapping[str, Any]
    threads: int = 2


@dataclass(frozen=True)
class Progress:
    """How far a job is; shown, never journaled."""

    stage: str
    """In words: `fitting demand, gradient_boosting, 7 days ahead`."""
    done: int
    of: int


# ---- outcomes ----


@dataclass(frozen=True)
class Dated:
    """What a waiting drop holds."""

    drop: str
    table: str | None
    last_date: dt.date | None


@dataclass(frozen=True)
class Surveyed:
    """Of survey."""

    drops: tuple[Dated, ...]


@dataclass(frozen=True)
class Accepted:
    """The drop is in the store."""

    drop: str
    file: StoreFile
    role: Literal["main", "companion", "lookup"]
    new_rows: int
    replaced_rows: int
    unchanged_rows: int = 0
    set_aside: tuple[ContractProblem, ...] = ()
    set_aside_rows: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Quarantined:
    """The drop breaks the contract."""

    drop: str
    problems: tuple[ContractProblem, ...]
    problem_count: int


@dataclass(frozen=True)
class SameContent:
    """Other bytes, but the same rows as a file of the store."""

    drop: str
    of: str


@dataclass(frozen=True)
class DayLook:
    """How full a day of the main table is, with all that the store holds of it by now."""

    drop: str
    """The last drop that brought rows of it."""
    date: dt.date
    items: int
    usual_items: float
    """Median over the same weekday's past; 0 where there is too little of it to say anything."""
    complete: bool
    why: str
    """In words, when it is not: `41 of usually 62 items, less than 60 %`."""


@dataclass(frozen=True)
class Damaged:
    """What looks broken in an accepted drop."""

    drop: str
    damages: tuple[DropDamage, ...]


@dataclass(frozen=True)
class Examined:
    """Of examine; in the order of the step, one for each drop."""

    accepted: tuple[Accepted, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    same: tuple[SameContent, ...] = ()
    days: tuple[DayLook, ...] = ()
    """Of each of the newest days of the main table that these drops touched or that were to be looked at."""
    damaged: tuple[Damaged, ...] = ()
    """Those of the accepted that look broken."""


@dataclass(frozen=True)
class Measured:
    """Of measure."""

    drift: DriftMeasured


@dataclass(frozen=True)
class Forecasted:
    """Of forecast."""

    made: ForecastFile | None
    orders: tuple[OrderSource, ...]
    unloadable: tuple[Unloadable, ...] = ()
    scored: ForecastFile | None = None
    """None when nothing became known."""
    cells: tuple[LiveCell, ...] = ()
    slices: tuple[SliceCell, ...] = ()
    corrected: int = 0
    expired: int = 0
    sliced_by: str = ""


@dataclass(frozen=True)
class Compared:
    """Of compare."""

    champion: Scores | None
    why: str = ""
    """Why there are no scores."""
    significance: Mapping[str, Mapping[str, Significance]] = field(default_factory=dict)
    """Of the training's candidates against this champion's recipe: recipe id -> `wape.h7`; empty where their losses are gone."""
    slices: SliceFigures = field(default_factory=dict)
    """Of the champion's recipe."""


@dataclass(frozen=True)
class Prepared:
    """Of prepare."""

    tracking_uri: str
    mlflow: str


@dataclass(frozen=True)
class Trained:
    """Of train."""

    request: str
    data_end: dt.date
    test_from: dt.date
    test_to: dt.date
    results: tuple[TargetResult, ...]
    parent_run: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Impossible:
    """Of train: too little history, or nothing that can be scored. Waits for data."""

    request: str
    why: str


@dataclass(frozen=True)
class Promoted:
    """Of promote: set and read back."""

    champion: int | None
    last_good: int | None
    archived: tuple[int, ...] = ()


@dataclass(frozen=True)
class Unmoved:
    """Of promote: the registry is not as expected, nothing was moved."""

    why: str
    alias: str = ""
    """Set when an alias diverged."""
    expected: int | None = None
    found: int | None = None


@dataclass(frozen=True)
class Adopted:
    """Of adopt: the version can be champion."""

    candidate: Candidate
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bare:
    """A version without its files from now on."""

    version: int
    bytes: int


@dataclass(frozen=True)
class Spared:
    """A version whose files stay, and why."""

    version: int
    why: str


@dataclass(frozen=True)
class Archived:
    """Of archive."""

    bare: tuple[Bare, ...] = ()
    spared: tuple[Spared, ...] = ()


@dataclass(frozen=True)
class Unadoptable:
    """Of adopt: it cannot, and why."""

    why: str
    remedy: str = ""


@dataclass(frozen=True)
class Failed:
    """Of any job."""

    what: str
    remedy: str = ""
    retryable: bool = True
    where: str = ""


Outcome = (
    Surveyed | Examined | Forecasted | Measured | Prepared | Trained | Compared | Impossible | Promoted | Unmoved | Adopted
    | Unadoptable | Archived | Failed
)
OUTCOMES: dict[str, type[Any]] = {
    c.__name__.lower(): c
    for c in (Surveyed, Examined, Forecasted, Measured, Prepared, Trained, Compared, Impossible, Promoted, Unmoved, Adopted,
              Unadoptable, Archived, Failed)
}


def encode_outcome(outcome: Outcome) -> dict[str, Any]:
    """For the child's last line."""
    return {"kind": type(outcome).__name__.lower(), **unbind(outcome)}


def decode_outcome(fields: Mapping[str, Any]) -> Outcome:
    """From the child's last line. Raises KeyError or Mistakes when it is not one of ours."""
    outcome: Outcome = bind(OUTCOMES[str(fields["kind"])], {k: v for k, v in fields.items() if k != "kind"}, strict=False)
    return outcome


