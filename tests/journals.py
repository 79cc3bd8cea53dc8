"""Makes journals as a daemon would write them, without a daemon: the real core decides, the children's outcomes are told.

A `Story` appends events through the real journal and folds them; `settle` lets the real `plan` speak until only jobs are
left; `finish` ends a job with a given outcome. `a_year` is a site that has seen most of what can happen.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from retraind import settings, strict_yaml
from retraind.core import events as e
from retraind.core import messages as m
from retraind.core import steps as s
from retraind.core.arrivals import arrived
from retraind.core.by_hand import ByHand, by_hand
from retraind.core.figures import Candidate, RowSet, Scores, Sums, TargetResult
from retraind.core.fold import apply
from retraind.core.orders import is_sites, order
from retraind.core.outcomes import events_of
from retraind.core.plan import PlannedJob, plan
from retraind.core.policy.document import LoadedPolicy, bind_policy
from retraind.core.scene import Scene, World
from retraind.core.settings import Choose
from retraind.core.state import State
from retraind.journal import snapshot
from retraind.journal.append import Journal
from retraind.journal.read import opened, records

ROOT = Path(__file__).resolve().parents[1]
START = dt.datetime(2026, 11, 2, 1, 0, tzinfo=dt.UTC)
"""Mon 2 Nov 2026, 09:00 in Shanghai."""
RELEASE = "0.1.0"
END = dt.date(2026, 10, 31)
"""The last day of the history of `first_days`."""
HORIZONS = ("h1", "h7", "h14", "h30")

POLICY = """version: 1
policy: {target}
models: [{target}]
mode: enforce
staging:
  when:
    - id: enough-evidence
      samples: {{measured: test, dates: 21, rows: 200}}
    - id: beats-doing-nothing
      skill: {{metric: wape, horizon: [1, 7], measured: test, over: [persistence, seasonal_naive], at_least: 0.5%}}
production:
  give_up_after: 8w
  when:
    - id: no-worse-than-champion
      no_worse: {{metric: wape, horizon: [1, 7], measured: test, than: champion, within: 1%}}
    - id: fresh
      fresh: {{trained_within: 7w}}
"""


class Story:
    """A site's folder with a journal that grows, on the wall clock."""

    def __init__(self, root: Path, *, config: str | None = None) -> None:
        text = config if config is not None else (ROOT / "config.yaml").read_text("utf-8")
        self.root, self.config, self.now = root, root / "config.yaml", START
        root.mkdir(parents=True, exist_ok=True)
        self.config.write_text(text, "utf-8")
        (root / "drops").mkdir(exist_ok=True)
        (root / "policies").mkdir(exist_ok=True)
        for target in ("price", "demand"):
            (root / "policies" / f"{target}.yaml").write_text(POLICY.format(target=target), "utf-8")
        self.settings = settings.parse(text)
        self.pipeline = next(iter(self.settings.pipelines))
        self.journal = Journal(root / self.settings.paths.state / "journal.db")
        self.state = State()
        self.policies: dict[str, LoadedPolicy] = {}

    # ---- the daemon's hands ----

    def append(self, event: Any, pipeline: str | None = None, message: str = "") -> e.Record:
        """Write and fold one event, a second after the one before."""
        self.now += dt.timedelta(seconds=1)
        record = self.journal.append(pipeline or self.pipeline, event, self.times(), message)
        apply(self.state, record)
        return record

    def times(self) -> e.Times:
        """Now, the same on all three clocks."""
        return e.Times(self.now, self.now, self.now)

    def wait(self, **span: float) -> None:
        """Let time pass: `wait(days=7)`."""
        self.now += dt.timedelta(**span)

    def settle(self) -> tuple[PlannedJob, ...]:
        """Let `plan` note what it has to note; the jobs that may start then."""
        for _ in range(1000):
            steps = plan(self.state, self.times(), World(self.settings, self.policies, RELEASE))
            for note in steps.notes:
                if isinstance(note, s.Note):
                    self.append(note.event, note.pipeline)
                else:
                    self.append(e.DropFiled(note.drop, f"{note.to}/{Path(note.path).name}"), note.pipeline)
            if not steps.notes:
                return steps.jobs
        raise AssertionError("plan did not come to rest")

    def begin(self, planned: PlannedJob) -> str:
        """Start a job; its id."""
        job = f"{self.state.seq + 1:06d}-{planned.name}"
        self.append(e.JobStarted(job, planned.name, planned.subject, 4711, planned.attempt), planned.pipeline)
        return job

    def finish(self, planned: PlannedJob, outcome: s.Outcome, *, seconds: float = 60.0) -> None:
        """Start a job and end it with an outcome."""
        job = self.begin(planned)
        self.wait(seconds=seconds)
        ended = outcome.ended if isinstance(outcome, Ended) else "failed" if isinstance(outcome, s.Failed) else "done"
        failed = outcome if isinstance(outcome, s.Failed) else s.Failed("")
        if ended == "done":
            for event in events_of(planned.step, outcome, self.state.flow(self.pipeline), seconds):
                self.append(event)
        self.append(e.JobEnded(job, planned.name, planned.subject, ended, seconds, 300, failed.what, failed.remedy,
                               failed.retryable))  # fmt: skip

    def work(self, outcome_of: Callable[[PlannedJob], s.Outcome]) -> None:
        """Carry out jobs until none is left."""
        while jobs := self.settle():
            self.finish(jobs[0], outcome_of(jobs[0]))

    def start(self) -> None:
        """The daemon starts and reads settings and policies."""
        self.append(e.DaemonStarted(RELEASE, 4242), e.SITE)
        text = self.config.read_text("utf-8")
        self.append(e.SettingsLoaded(hashlib.sha256(text.encode()).hexdigest(), text), e.SITE)
        for path in sorted((self.root / "policies").glob("*.yaml")):
            self._load(path)

    def put_in_force(self, target: str, text: str) -> None:
        """Somebody edits the policy of a target, and the daemon takes it."""
        path = self.root / "policies" / f"{target}.yaml"
        path.write_text(text.format(target=target), "utf-8")
        self._load(path)

    def _load(self, path: Path) -> None:
        document = strict_yaml.read(path)
        policy = bind_policy(document.value)
        loaded = LoadedPolicy(path.name, hashlib.sha256(document.text.encode()).hexdigest(), policy)
        self.policies[path.name] = loaded
        self.append(e.PolicyLoaded(path.name, policy.id, loaded.sha256, document.text, policy.models), e.SITE)

    def ask(self, message: m.Message, by: str = "ops-a") -> m.Answer | None:
        """A person's message, obeyed as the supervisor obeys it; None: done."""
        flow = self.state.flow(self.pipeline)
        config = self.settings.pipelines[self.pipeline]
        if isinstance(message, ByHand):
            world = World(self.settings, self.policies, RELEASE)
            told = by_hand(Scene(self.state, flow, self.pipeline, config, world, self.times()), message, by)
        else:
            told = order(self.state, flow, message, by, config.contract.targets)
        if isinstance(told, m.Answer):
            return told
        pairs = [(e.SITE if is_sites(event) else self.pipeline, event) for event in told]
        self.now += dt.timedelta(seconds=1)
        for record in self.journal.together(pairs, self.times()):
            apply(self.state, record)
        return None

    def drop(self, name: str, content: str = "") -> str:
        """A file comes in; its id."""
        raw = (content or name).encode()
        told = arrived(self.state.flow(self.pipeline), f"drops/{name}", name, hashlib.sha256(raw).hexdigest(), len(raw),
                       self.state.seq)  # fmt: skip
        for event in told:
            self.append(event)
        return str(told[0].drop)

    def stop(self) -> None:
        """A clean stop: the last event, the snapshot, the journal out of WAL mode."""
        self.append(e.DaemonStopped("SIGTERM"), e.SITE)
        snapshot.save(self.state, self.journal.head, snapshot.path_beside(self.journal.path))
        self.journal.close()

    def kill(self) -> None:
        """Gone without a word; the journal stays as it is."""
        self.journal.close()


# ---- what children say ----


def scores(wape: Mapping[str, float], *, rows: int = 2400, dates: int = 60, digest: str = "e3c9aa17") -> Scores:
    """Figures of one forecaster: WAPE by horizon as given, the others in proportion."""
    values: dict[str, dict[str, float | None]] = {"wape": dict(wape)}
    for metric, factor in (("mape", 1.2), ("rmse", 0.3), ("mae", 0.2), ("mase", 0.025), ("bias", 0.05)):
        values[metric] = {h: round(v * factor, 4) for h, v in wape.items()}
    values["r2"] = {h: round(1 - v / 100, 4) for h, v in wape.items()}
    return Scores({h: RowSet(rows, dates, f"{digest}{h}") for h in wape}, values)


def curve(h1: float) -> dict[str, float]:
    """WAPE that grows with the horizon from `h1` on."""
    return {h: round(h1 * f, 2) for h, f in zip(HORIZONS, (1.0, 1.3, 1.5, 1.8), strict=True)}


def candidate(version: int, algorithm: str, h1: float, rank: int) -> Candidate:
    """One version that a training registered."""
    recipe = {"algorithm": algorithm, "parameters": {"seed": 20}, "transform": "log_ratio"}
    return Candidate(version, f"run{version:04d}f3a9", algorithm, recipe, f"recipe-{algorithm}", f"{version:064x}", rank,
                     scores(curve(h1)), {"validation_cost": 0.9 + rank / 50, "search_trials": 4.0})  # fmt: skip


def stranger(version: int) -> s.Adopted:
    """A version that somebody else trained, as the adopt job finds it."""
    how = {"inputs": ["price_now", "price_mean_7"], "answers": {"h1": ""}, "whole_rows": False}
    recipe = {"algorithm": "Ridge", "target": "price", "adopted": how}
    return s.Adopted(Candidate(version, f"theirs{version:04d}", "Ridge", recipe, f"adopted-{version:016x}", f"{version:016x}", 1,
                               Scores({}, {})))  # fmt: skip


def result(
    target: str, first: int, h1: tuple[float, ...], naive: float, champion: tuple[int, float] | None = None
) -> TargetResult:
    """A target's share of a training: candidates numbered from `first`, ranked as they stand."""
    names = ("gradient_boosting", "random_forest", "ridge", "linear_regression")
    found = tuple(candidate(first + i, names[i], value, i + 1) for i, value in enumerate(h1))
    baselines = {"persistence": scores(curve(naive)), "seasonal_naive": scores(curve(naive * 1.1))}
    return TargetResult(target, target, found, baselines, champion[0] if champion else None,
                        scores(curve(champion[1])) if champion else None, rule=str(Choose()) * (len(found) > 1))  # fmt: skip


def trained(step: s.Train, *results: TargetResult) -> s.Trained:
    """The outcome of a training."""
    end = step.data_end
    return s.Trained(step.request, end, end - dt.timedelta(days=60), end, results, "parentrun01")


def accepted(drop: str, table: str, role: Any, rows: int, first: dt.date | None, last: dt.date | None) -> s.Accepted:
    """A good drop."""
    digest = hashlib.sha256(f"{drop}{table}".encode()).hexdigest()
    return s.Accepted(drop, e.StoreFile(drop, table, digest, rows, first, last), role, rows, 0)


def measured(step: s.Measure, *, rank: int, past: int, drifting: bool) -> s.Measured:
    """A window's drift."""
    why = f"sell-through moved most (KS 0.21), rank {rank} of {past}"
    feature = e.DriftFeature("wholesale_price_rmb_kg", 0.3 if drifting else 0.02, 0.21, 0.001, drifting, 1.4)
    return s.Measured(
        e.DriftMeasured(step.drop, step.first_date, step.last_date, 310, (feature,), rank, past, drifting, why)
    )


@dataclass(frozen=True)
class Ended(s.Failed):
    """A child that said nothing."""

    what: str = "ended with signal 9 and without an outcome"
    ended: Literal["crashed", "timed_out", "out_of_memory", "lost", "killed"] = "crashed"


class Children:
    """Outcomes for `Story.work`: every drop is good, trainings take the results they were given in turn."""

    def __init__(self, *trainings: Callable[[s.Train], s.Outcome]) -> None:
        self.trainings = list(trainings)
        self.tables: dict[str, tuple[str, Any, int, dt.date | None, dt.date | None]] = {}
        self.bad: dict[str, s.Quarantined] = {}
        self.drifting: set[dt.date] = set()
        self.windows = 40
        self.live: dict[str, dict[str, float]] = {}
        """Target -> forecaster -> live WAPE; a version that is not named makes 5, a baseline 10 percent error."""
        self.silent: set[tuple[str, int]] = set()
        """(target, version) that cannot be loaded."""
        self.strangers: dict[int, s.Adopted] = {}
        """Versions in the registry that no training of ours made."""
        self.seen: dt.date | None = None
        """The newest day whose forecasts were scored."""

    def forecast(self, step: s.Forecast) -> s.Forecasted:
        """Every forecaster answers every row of the days since the last time, with the errors of `live`."""
        days = [step.newest - dt.timedelta(days=n) for n in range((step.newest - (self.seen or step.newest)).days)]
        cells = [
            cell for target in step.forecasters for horizon in (1, 7, 14, 30) for day in reversed(days)
            for cell in self._cells(step, target, horizon, day)
        ]  # fmt: skip
        self.seen = step.newest
        digest = hashlib.sha256(f"{step.key}{len(step.scored)}".encode()).hexdigest()
        file = e.ForecastFile(digest, 1200, step.newest, step.newest + dt.timedelta(days=30))
        away = tuple(e.Unloadable(t, f.version, "ValueError: damaged") for t, fs in step.forecasters.items() for f in fs
                     if (t, f.version) in self.silent)  # fmt: skip
        scored = e.ForecastFile(digest[::-1], len(cells), step.newest, step.newest) if cells else None
        return s.Forecasted(file, tuple(self._orders(step)), away, scored, tuple(cells))

    def _orders(self, step: s.Forecast) -> Iterator[e.OrderSource]:
        for target, forecasters in step.forecasters.items():
            first = next((f for f in forecasters if (target, f.version) not in self.silent), None)
            source = first.role if first and first.role in ("champion", "last_good") else step.naive[target]
            yield e.OrderSource(target, source, first.version if first else None, 60)

    def _cells(self, step: s.Forecast, target: str, horizon: int, day: dt.date) -> Iterator[e.LiveCell]:
        made = self.live.get(target, {})
        who = [(str(f.version), f.role, 5.0) for f in step.forecasters[target]
               if f.data_end < day and (target, f.version) not in self.silent]  # fmt: skip
        who += [(name, "baseline", 10.0) for name in ("persistence", "seasonal_naive", "moving_average")]
        digest = hashlib.sha256(f"{target}{horizon}{day}".encode()).hexdigest()[:16]
        for name, role, usual in who:
            wape = made.get(name, usual)
            sums = Sums(40, digest, wape * 4, wape, wape**2, wape * 0.4, 40, 400.0, 5000.0)
            yield e.LiveCell(target, name, role, horizon, day, horizon > 7, sums)

    def __call__(self, planned: PlannedJob) -> s.Outcome:
        match planned.step:
            case s.Prepare() as step:
                return s.Prepared(getattr(step, "tracking_uri", "") or planned.subject, "3.17.2")
            case s.Examine() as step:
                good = tuple(accepted(d.drop, *self.tables[d.drop]) for d in step.drops if d.drop in self.tables)
                return s.Examined(good, tuple(self.bad[d.drop] for d in step.drops if d.drop in self.bad))
            case s.Forecast() as step:
                return self.forecast(step)
            case s.Compare() as step:
                return s.Compared(scores(curve(self.live.get(step.target, {}).get(str(step.champion.version), 5.0))))
            case s.Measure() as step:
                self.windows += 1
                drifting = step.last_date in self.drifting
                return measured(step, rank=2 if drifting else 17, past=self.windows, drifting=drifting)
            case s.Train() as step:
                return self.trainings.pop(0)(step) if self.trainings else s.Impossible(step.request, "the story ends")
            case s.Adopt() as step:
                return self.strangers.get(step.version, s.Unadoptable(f"{step.model} has no version {step.version} in MLflow"))
            case s.Promote() as step:
                return s.Promoted(step.version if step.to in e.SERVING else step.champion, step.last_good)
        raise AssertionError(planned)


# ---- whole stories ----

ROW_118 = e.ContractProblem("at_least", "quantity_kg is -3.5, must be at least 0", "Give the weight as sold.", 118,
                            "quantity_kg", "-3.5")  # fmt: skip


def first_days(root: Path, *, config: str | None = None) -> tuple[Story, Children]:
    """A site with its first drops accepted and its first training waiting to start."""
    story = Story(root, config=config)
    story.start()
    children = Children()
    end = END
    history = dt.date(2023, 11, 1)
    for name, table in (
        ("items.csv", ("items", "lookup", 60, None, None)),
        ("loss_rates.csv", ("loss", "lookup", 60, None, None)),
        ("wholesale_prices_history.parquet", ("wholesale", "companion", 47517, history, end)),
        ("daily_sales_history.parquet", ("sales", "main", 38992, history, end)),
    ):
        children.tables[story.drop(name)] = table  # type: ignore[assignment]
    story.finish(_only(story.settle(), "prepare"), s.Prepared(story.settings.mlflow.tracking_uri, "3.17.2"))
    story.finish(_only(story.settle(), "examine"), children(_only(story.settle(), "examine")))
    story.finish(_only(story.settle(), "forecast"), children(_only(story.settle(), "forecast")))
    story.settle()
    story.wait(minutes=3)
    return story, children


def kinds(story: Story, *wanted: str) -> list[e.Record]:
    """The journal's records of these kinds."""
    with opened(story.journal.path) as connection:
        return list(records(connection, kinds=wanted))


def good(step: s.Train) -> s.Trained:
    """Four candidates a target; numbered after all that were registered before."""
    first = 1 + 4 * (int(step.request.rsplit("-", 1)[1]) - 1)
    champion = {t: (c.version, 5.0) for t, c in step.champions.items()}
    return trained(step, *(
        result(t, first, (4.0, 4.2, 4.4, 4.6), 4.7, champion.get(t)) for t in step.targets
    ))  # fmt: skip


def week(story: Story, children: Children, number: int, *, drifting: bool = False) -> None:
    """Week `number` after END comes in and everything is worked off."""
    story.wait(days=7)
    first, last = END + dt.timedelta(days=7 * number - 6), END + dt.timedelta(days=7 * number)
    if drifting:
        children.drifting.add(last)
    for name, table, role in (("wholesale_prices", "wholesale", "companion"), ("daily_sales", "sales", "main")):
        children.tables[story.drop(f"{name}_{last}.csv")] = (table, role, 301, first, last)
    story.work(children)
    story.wait(minutes=5)
    story.work(children)


def _only(jobs: tuple[PlannedJob, ...], name: str) -> PlannedJob:
    return next(job for job in jobs if job.name == name)


def a_year(root: Path) -> Story:
    """Champions for both targets, six weeks of drops, drift, a second training that is refused, and things to mend."""
    story, children = first_days(root)
    children.live = {
        "price": {"1": 4.6, "persistence": 4.7, "seasonal_naive": 6.1, "moving_average": 5.9},
        "demand": {"1": 34.1, "5": 33.0, "persistence": 38.8, "seasonal_naive": 37.9, "moving_average": 40.2},
    }
    children.trainings = [
        lambda step: trained(
            step,
            result("price", 1, (4.2, 4.4, 4.5, 4.6), 4.7),
            result("demand", 1, (33.0, 33.4, 35.1, 36.0), 37.9),
        ),
        lambda step: trained(
            step,
            result("price", 5, (4.55, 4.9, 5.0, 5.1), 4.7, (1, 4.3)),
            result("demand", 5, (31.4, 33.2, 36.0, 37.0), 37.9, (1, 33.1)),
        ),
    ]
    story.work(children)
    last = dt.date(2026, 10, 31)
    for week in range(6):
        story.wait(days=7)
        first, last = last + dt.timedelta(days=1), last + dt.timedelta(days=7)
        if week == 4:
            children.drifting.add(last)
        for name, table, role in (("wholesale_prices", "wholesale", "companion"), ("daily_sales", "sales", "main")):
            children.tables[story.drop(f"{name}_{last}.csv")] = (table, role, 301, first, last)
        story.work(children)
        story.wait(minutes=5)
        story.work(children)
    bad = story.drop("daily_sales_broken.csv")
    children.bad[bad] = s.Quarantined(bad, (ROW_118,), 1)
    story.work(children)
    story.drop("daily_sales_again.csv", "daily_sales_2026-11-07.csv")
    story.settle()
    story.append(e.PolicyRefused("price.yaml", "ab" * 32, (
        'price.yaml, line 26: unknown key "at_mots" (in staging, condition enough-evidence); did you mean at_most?',
    ), story.state.policies["price.yaml"].sha256), e.SITE)  # fmt: skip
    return story
