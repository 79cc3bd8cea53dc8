"""The settings as types: they check config.yaml, and docs, JSON Schema and samples follow them. `settings` reads the file.

To add a setting: a field with a default, a comment line in the root's config.yaml. The file's number (VERSION) rises only
when an old file would be read with another meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from retraind.core.binding import Mistake, Mistakes, nearest
from retraind.core.units import Percent, Size, Span

__all__ = [
    "SPACES", "TIED", "TRANSFORMS", "VERSION", "Accuracy", "Alert", "AlertKind", "Choices", "Choose", "Column", "Contract",
    "Damage", "Drift", "Drops", "FeatureSource", "Jobs", "Mlflow", "Name", "OnBadRow", "Paths", "Pipeline", "Range", "Retraining",
    "Schedule", "Search", "Settings", "Site", "Space", "Split", "Table", "Target", "Training",
    "fixed_of",
]  # fmt: skip

VERSION = 1


def _mistake(problem: str, *path: str, remedy: str = "") -> Mistakes:
    return Mistakes([Mistake(path, problem, remedy)])


@dataclass(frozen=True)
class Site:
    """What the whole site shares."""

    timezone: str = "Asia/Shanghai"
    clock: Literal["wall", "data"] = "wall"
    mode: Literal["enforce", "observe"] = "enforce"
    """observe: trains, scores and decides, and moves nothing."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Who may approve: the names that policies use, each with its users."""

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            raise _mistake(f'"{self.timezone}" is no time zone', "timezone",
                           remedy="write an IANA name such as Asia/Shanghai") from None

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.timezone)


@dataclass(frozen=True)
class Paths:
    """Folders, relative to the folder of config.yaml."""

    drops: str = "drops"
    done: str = "done"
    quarantine: str = "quarantine"
    policies: str = "policies"
    state: str = "state"
    orders: str = "orders"


@dataclass(frozen=True)
class Mlflow:
    """Where runs and versions go."""

    tracking_uri: str = "sqlite:///mlflow/mlflow.db"
    artifacts: str = "mlflow/artifacts"
    experiment: str = "retraind"
    model_name: str = "{target}"
    tag_prefix: str = "retraind"
    on_foreign_change: Literal["hold", "adopt"] = "hold"
    """When somebody else moves the alias champion. hold: nothing automatic until a person says which. adopt: as moved."""

    def __post_init__(self) -> None:
        if not self.tracking_uri.startswith(("sqlite:///", "http://", "https://")):
            raise _mistake(f'"{self.tracking_uri}" is neither a SQLite file nor a server', "tracking_uri",
                           remedy="write sqlite:///mlflow/mlflow.db or http://host:5000; MLflow's file store is closed")
        if "{target}" not in self.model_name:
            raise _mistake("must contain {target}", "model_name", remedy='write "{target}" or "{pipeline}.{target}"')

    def name_of(self, pipeline: str, target: str) -> str:
        """The registered name of a target's model."""
        return self.model_name.replace("{target}", target).replace("{pipeline}", pipeline)


@dataclass(frozen=True)
class Jobs:
    """Limits of the child processes."""

    memory: Size = Size(3 * 1024**3)
    threads: int = 2
    time_limits: Mapping[str, Span] = field(default_factory=dict)
    grace: Span = Span(10)
    retries: int = 3
    backoff: Span = Span(30)

    DEFAULT_LIMITS: ClassVar[Mapping[str, int]] = {
        "survey": 600, "examine": 1800, "forecast": 1800, "measure": 900, "prepare": 300, "train": 7200, "compare": 3600,
        "promote": 600, "adopt": 600, "archive": 600,
    }  # fmt: skip

    def __post_init__(self) -> None:
        for name in self.time_limits:
            if name not in self.DEFAULT_LIMITS:
                raise _mistake(f'"{name}" is no job', "time_limits", name,
                               remedy=f"jobs are {', '.join(self.DEFAULT_LIMITS)}")

    def limit(self, job: str) -> int:
        """Seconds a job may take."""
        span = self.time_limits.get(job)
        return span.seconds if span else self.DEFAULT_LIMITS[job]


@dataclass(frozen=True)
class OnBadRow:
    """What a row that breaks the contract does to its drop: `reject`, or `set_aside up to 0.5%`."""

    up_to: Percent | None
    """None: the drop is rejected."""
    EXPECTED = "write reject, or set_aside up to 0.5%"

    @classmethod
    def parse(cls, text: str) -> OnBadRow:
        """Raises ValueError."""
        if text == "reject":
            return cls(None)
        if text.startswith("set_aside up to "):
            return cls(Percent.parse(text.removeprefix("set_aside up to ")))
        raise ValueError(f'"{text}" is not a rule for bad rows')

    def __str__(self) -> str:
        return "reject" if self.up_to is None else f"set_aside up to {self.up_to}"


@dataclass(frozen=True)
class Drops:
    """How files come in."""

    after: Literal["move", "leave", "delete"] = "move"
    on_bad_row: OnBadRow = OnBadRow(None)
    settle: Span = Span(3)
    companion_wait: Span = Span(7200)
    expect: Span | None = None
    """How often a drop is expected; None: nobody waits for one."""
    complete: Percent = Percent(50)
    """A day with less than this share of its weekday's usual items is incomplete; 0%: every day is complete."""
    marker: str | None = None
    """`{date}.complete`: a day is complete when that file came, and not before."""

    def __post_init__(self) -> None:
        if self.complete.value > 100:
            raise _mistake("is a share of what is usual, at most 100%", "complete")
        if self.marker is not None and (self.marker.count("{date}") != 1 or "/" in self.marker):
            raise _mistake("must be a file's name that holds {date} once", "marker", remedy='write "{date}.complete"')


@dataclass(frozen=True)
class Column:
    """What a column may hold."""

    type: Literal["date", "text", "category", "number", "whole"]
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    optional: bool = False
    """The column may be absent; where it is there, its values must fit."""
    nullable: bool = False
    """Single values may be missing."""
    feature: bool = False
    """A ready-made feature: it passes through to the models as it is."""
    lag: int | None = None
    """For a feature: the value of a row is known this many days after the row's date. 0: on that day."""

    def __post_init__(self) -> None:
        if self.feature and self.lag is None:
            raise _mistake("a feature column states its lag", "lag",
                           remedy="lag: 0 when the value is known on the row's own date, lag: 1 a day later")
        if self.lag is not None and (self.lag < 0 or not self.feature):
            raise _mistake("lag stands with feature: true and is 0 or more days", "lag")
        if self.type not in ("number", "whole") and (self.at_least, self.at_most, self.above) != (None, None, None):
            raise _mistake(f"a {self.type} column has no range", "type")


@dataclass(frozen=True)
class Table:
    """One kind of file."""

    match: str
    role: Literal["main", "companion", "lookup"]
    columns: Mapping[str, Column]
    required: bool = False
    """For a companion: must reach a date before that date is trained on."""


@dataclass(frozen=True)
class Target:
    """What is forecast."""

    column: str
    nature: Literal["level", "flow"]
    """level: carried from day to day, like a price. flow: an amount per day, zero when nothing was sold."""
    unit: str = ""


@dataclass(frozen=True)
class Name:
    """What reports call a column."""

    en: str
    zh: str


@dataclass(frozen=True)
class Contract:
    """What drops must look like, so that another shop's columns need no code."""

    entity: str
    date: str
    targets: Mapping[str, Target]
    tables: Mapping[str, Table]
    names: Mapping[str, Name] = field(default_factory=dict)
    """What reports call the columns, in English and Chinese; a column that is not named is called as it is."""

    def __post_init__(self) -> None:
        problems: list[Mistake] = []
        mains = [name for name, t in self.tables.items() if t.role == "main"]
        if len(mains) != 1:
            problems.append(Mistake(("tables",), f"needs one table with role: main, has {len(mains)}"))
        for name, table in self.tables.items():
            needed = (self.entity,) if table.role == "lookup" else (self.entity, self.date)
            problems += [
                Mistake(("tables", name, "columns"), f'the key column "{column}" is missing')
                for column in needed if column not in table.columns
            ]
        if mains:
            known = self.tables[mains[0]].columns
            problems += [
                Mistake(("targets", name, "column"), f'"{t.column}" is no column of the main table',
                        f"its columns: {', '.join(known)}")
                for name, t in self.targets.items() if t.column not in known
            ]
        if not self.targets:
            problems.append(Mistake(("targets",), "names nothing to forecast"))
        columns = sorted({column for table in self.tables.values() for column in table.columns})
        problems += [
            Mistake(("names", column), "is no column of any table", f"columns: {', '.join(columns)}")
            for column in self.names if column not in columns
        ]
        if problems:
            raise Mistakes(problems)

    @property
    def main(self) -> str:
        """The name of the main table."""
        return next(name for name, t in self.tables.items() if t.role == "main")

    @property
    def categories(self) -> Mapping[str, bool]:
        """The category columns, those of lookups first, then the main table's; live figures are told by the first that is there.
        False: the column is optional, and may be absent."""
        found: dict[str, bool] = {}
        for table in sorted(self.tables.values(), key=lambda table: ("lookup", "main", "companion").index(table.role)):
            for name, column in table.columns.items():
                if column.type == "category":
                    found[name] = found.get(name, False) or not column.optional
        return found

    def key(self, table: str) -> tuple[str, ...]:
        """The columns that identify a row of that table."""
        return (self.entity,) if self.tables[table].role == "lookup" else (self.date, self.entity)


@dataclass(frozen=True)
class Split:
    """Shares of the target dates."""

    train: Percent = Percent(70)
    validation: Percent = Percent(15)
    test: Percent = Percent(15)

    def __post_init__(self) -> None:
        if abs(self.train.value + self.validation.value + self.test.value - 100) > 1e-6:
            raise _mistake("train, validation and test must sum to 100%")


@dataclass(frozen=True)
class Range:
    """A parameter between two ends: a random search draws from it, a grid takes both ends and the middle.
    Between whole numbers lie whole numbers."""

    low: int | float
    high: int | float
    log: bool = False
    """Drawn evenly in its logarithm."""

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise _mistake("low is not below high", "low")
        if self.log and self.low <= 0:
            raise _mistake("a logarithmic range begins above 0", "low")


Choices = tuple[Any, ...] | Range | bool | int | float | str | None
"""What a parameter may be: one of a list, a range, or always this one value."""
Space = Mapping[str, Choices]
"""Parameter -> its choices. `transform` is one for every model: what its estimator learns."""
TRANSFORMS = ("log_ratio", "root_ratio", "difference", "level")
SPACES: Mapping[str, Space] = {
    "blend": {},
    "linear_regression": {"transform": ("log_ratio", "difference")},
    "ridge": {"alpha": (10.0, 100.0, 1000.0, 10000.0), "transform": ("log_ratio", "difference")},
    "random_forest": {"min_samples_leaf": (5, 20)},
    "gradient_boosting": {"loss": ("absolute_error", "squared_error"), "max_iter": (40, 80)},
}
"""The models that come with us, and what a search tries of each where the settings do not say."""


def fixed_of(space: Space) -> dict[str, Any]:
    """The parameters that a space leaves no choice of."""
    return {name: choices for name, choices in space.items() if not isinstance(choices, tuple | Range)}


@dataclass(frozen=True)
class Search:
    """How a model's parameters are found."""

    kind: Literal["grid", "random", "halving"] = "grid"
    """grid: every combination. random: as many as `trials`. halving: those, first on the newest days alone; the better third
    goes on to three times as many."""
    trials: int = 12
    """At most so many sets of parameters a model and target; 1: nothing is searched, the usual parameters are used."""
    folds: int = 3
    seconds: int | None = None
    """A guard for each target's search. One that it cut short says so, and need not come out the same again."""

    def __post_init__(self) -> None:
        for name in ("trials", "folds"):
            if getattr(self, name) < 1:
                raise _mistake("must be at least 1", name)
        if self.seconds is not None and self.seconds < 1:
            raise _mistake("must be at least 1, or null for no guard", "seconds")


TIED = 1.01
"""What validation days do not tell apart: two seeds of one model differ by half a percent."""


@dataclass(frozen=True)
class Choose:
    """What makes one recipe better than another: its errors against persistence's, and how steady they are."""

    wape: float = 0.7
    mape: float = 0.0
    rmse: float = 0.3
    stability: float = 0.1
    """Times the standard deviation over the folds, added."""

    def __post_init__(self) -> None:
        for name in ("wape", "mape", "rmse", "stability"):
            if getattr(self, name) < 0:
                raise _mistake("must not be negative", name)
        if not self.wape + self.mape + self.rmse:
            raise _mistake("wape, mape and rmse are all 0: nothing is left to choose by", "wape")

    @property
    def weights(self) -> Mapping[str, float]:
        """By metric, of sum 1."""
        total = self.wape + self.mape + self.rmse
        return {m: getattr(self, m) / total for m in ("wape", "mape", "rmse") if getattr(self, m)}

    def __str__(self) -> str:
        errors = " + ".join(f"{weight:.2g} {metric.upper()}" for metric, weight in self.weights.items())
        steady = f", plus {self.stability:g} times their standard deviation over the folds" if self.stability else ""
        tied = f"within {100 * (TIED - 1):.2g} % of the best the order of training.models decides"
        return f"{errors}, each against persistence's{steady}; {tied}"


FeatureSource = Literal["built", "from_drop"]
"""built: everything that can be made of the contract's columns. from_drop: what the drops bring, as it came."""


@dataclass(frozen=True)
class Training:
    """What the train job does."""

    horizons: tuple[int, ...] = (1, 7, 14, 30)
    split: Split = Split()
    models: tuple[str | Mapping[str, Space], ...] = tuple(SPACES)
    """Each a name, or a name with its search space."""
    search: Search = Search()
    choose: Choose = Choose()
    seed: int = 20
    min_days: int = 180
    pickle: bool = False
    """Also log best_model.pkl, for tools that read nothing else: who loads a pickle runs whatever it says."""
    features: FeatureSource = "built"
    features_kept: int = 90
    """At most so many features are used by a new recipe: see `jobs.training.selection`."""

    def __post_init__(self) -> None:
        if not self.horizons or any(h < 1 for h in self.horizons) or len(set(self.horizons)) < len(self.horizons):
            raise _mistake("horizons are different whole numbers of days, at least 1", "horizons")
        if not self.models:
            raise _mistake("names no model", "models")
        problems = [m for i, model in enumerate(self.models) for m in _model_mistakes(i, model)]
        if not problems and len(self.spaces) < len(self.models):
            problems.append(Mistake(("models",), "names a model twice"))
        if self.features_kept < 1:
            problems.append(Mistake(("features_kept",), "must be at least 1"))
        if problems:
            raise Mistakes(problems)

    @property
    def spaces(self) -> Mapping[str, Space]:
        """Model -> what a search tries of it, in the order of the settings."""
        found: dict[str, Space] = {}
        for model in self.models:
            name, space = (model, SPACES.get(model, {})) if isinstance(model, str) else next(iter(model.items()))
            found[name] = space
        return found


def _model_mistakes(index: int, model: str | Mapping[str, Space]) -> list[Mistake]:
    if not isinstance(model, str) and len(model) != 1:
        return [Mistake(("models", index), f"names {len(model)} models at once", "begin each with a dash of its own")]
    name, space = (model, {}) if isinstance(model, str) else next(iter(model.items()))
    if name not in SPACES and not (name.count(".") and all(part.isidentifier() for part in name.split("."))):
        return [Mistake(("models", index), f'"{name}" is no model',
                        f"{nearest(name, list(SPACES))}; or write an estimator's dotted path, lightgbm.LGBMRegressor")]
    if name == "blend" and space:
        return [Mistake(("models", index, name), "the blend has no search space: it chooses its weights by itself")]
    problems = []
    for key, choices in space.items():
        where = ("models", index, name, key)
        if choices == ():
            problems.append(Mistake(where, "is a list of nothing", "write at least one value"))
        elif key == "transform":
            odd = [c for c in (choices if isinstance(choices, tuple) else (choices,)) if c not in TRANSFORMS]
            if odd:
                problems.append(Mistake(where, f'"{odd[0]}" is no transform', f"write {', '.join(TRANSFORMS)}"))
    return problems


@dataclass(frozen=True)
class Damage:
    """When a drop looks broken and is held back until a person says that it is real: see docs/drift.md."""

    missing: Percent = Percent(20)
    """A column's missing values rose by more."""
    new: Percent = Percent(30)
    """More rows are of items or of a category that the weeks before did not have."""
    times: float = 5.0
    """Half of the values are so many times what is usual of their items, or that part of it."""
    level: float = 1.6
    """Half of the values of a target that is a level, such as a price, are: a unit was mistaken (jin for kg), or all is on sale."""
    beyond: Percent = Percent(10)
    """More values than on the worst day of the weeks before, by this, are (`times`); or lie far outside of their range."""

    def __post_init__(self) -> None:
        for name in ("times", "level"):
            if not getattr(self, name) > 1:
                raise _mistake("is a factor above 1", name)


@dataclass(frozen=True)
class Drift:
    """When a drop drifts: see docs/drift.md."""

    window: Span = Span(7 * 86400)
    reference: int = 8
    min_past: int = 30
    rank: Percent = Percent(10)
    psi: float = 0.1
    ks: float = 0.1
    fdr: float = 0.01
    drifting: int = 1
    of: int = 1
    """Asks for a training when so many of the last `of` windows drift."""
    damage: Damage | None = Damage()
    """null: no drop is held back."""

    def __post_init__(self) -> None:
        if self.window.seconds % 86400 or not self.window.seconds:
            raise _mistake("is not a whole number of days", "window", remedy="write 7d or 1w")
        if not 1 <= self.drifting <= self.of:
            raise _mistake(f"{self.drifting} of the last {self.of} windows cannot drift", "drifting")

    @property
    def days(self) -> int:
        """Days in a window."""
        return self.window.seconds // 86400


@dataclass(frozen=True)
class Schedule:
    """A cron line of five fields in the site's zone, or an interval."""

    cron: str | None = None
    every: Span | None = None
    asks: Literal["refresh", "search"] = "refresh"

    def __post_init__(self) -> None:
        if (self.cron is None) == (self.every is None):
            raise _mistake("needs either cron or every", remedy='write {cron: "0 3 * * 1"} or {every: 4w}')

    @property
    def spec(self) -> str:
        """What it says, to notice an edit."""
        return f"cron {self.cron}" if self.cron else f"every {self.every}"


@dataclass(frozen=True)
class Accuracy:
    """When the champion's errors ask for a training: Page-Hinkley on the daily log ratio to persistence's errors."""

    horizons: tuple[int, ...] = (1, 7)
    delta: float = 0.05
    """What the ratio may rise by without notice."""
    threshold: float = 1.5
    """How far the summed rise may go."""
    asks: Literal["refresh", "search", "nothing"] = "refresh"


@dataclass(frozen=True)
class Retraining:
    """When causes become a training."""

    quiet: Span = Span(120)
    cooldown: Span = Span(21 * 86400)
    budget: int = 4
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    accuracy: Accuracy = Accuracy()
    drift: Literal["refresh", "search", "nothing"] = "refresh"
    """What a drifting window asks for."""
    max_age: Span | None = Span(42 * 86400)
    """A champion whose data are older asks for a refresh."""


AlertKind = Literal["rollback", "approval", "quarantine", "damage", "incomplete_day", "blind", "no_drop", "unloadable", "diverged",
                    "retrain_failed", "stuck"]  # fmt: skip
"""What an alert can be about."""


@dataclass(frozen=True)
class Alert:
    """Where alerts go: a command that gets one as JSON on its standard input, or a webhook that gets it as a POST."""

    command: tuple[str, ...] = ()
    webhook: str = ""
    kinds: tuple[AlertKind, ...] = ()
    """All of them where none is named."""

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.webhook):
            raise _mistake("needs either command or webhook", "command",
                           remedy='write {command: ["./tell.sh"]} or {webhook: "https://..."}')
        if self.webhook and not self.webhook.startswith(("http://", "https://")):
            raise _mistake(f'"{self.webhook}" is no http address', "webhook")


@dataclass(frozen=True)
class Pipeline:
    """One flow of drops to models."""

    contract: Contract
    drops: Drops = Drops()
    training: Training = Training()
    drift: Drift = Drift()
    retraining: Retraining = Retraining()


@dataclass(frozen=True)
class Settings:
    """The whole file."""

    version: int
    pipelines: Mapping[str, Pipeline]
    site: Site = Site()
    paths: Paths = Paths()
    mlflow: Mlflow = Mlflow()
    jobs: Jobs = Jobs()
    alerts: Mapping[str, Alert] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise _mistake(f"version {self.version} is not known", "version", remedy=f"this release reads {VERSION}")
        if len(self.pipelines) != 1:
            raise _mistake(f"names {len(self.pipelines)} pipelines", "pipelines",
                           remedy="this release runs exactly one; several come later")
