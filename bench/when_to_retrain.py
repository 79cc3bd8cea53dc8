"""When does retraining pay? Every rule over the same walk through the real sales, and what our default costs and gains.

    make bench-when                                the 52 weeks to March 2023
    python bench/when_to_retrain.py --year tune    the 52 weeks before them, on which the default was chosen

A fast model (the portfolio's histogram boosting) is fitted once on the data up to each week's end, for three seeds, and
each fit forecasts all later weeks. What a rule loses is then arithmetic over the matrix error[week trained][origin day]:
the model of week k serves the origins after that week's end until the rule trains again. A rule sees only what is known
at a week's end: an error becomes known with its target's day, drift of a week when the week is over. Fits are kept in a
folder of the system's temporary one, named by what they depend on; without them a year takes 10 to 30 minutes.
`when_to_retrain.md` beside this file holds the table and what follows from it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import mean

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes share the cores; boosting collapses when its threads wait

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from retraind import settings
from retraind.core.accuracy import worsening
from retraind.core.events import StoreFile
from retraind.core.figures import Sums
from retraind.core.steps import Measure
from retraind.core.units import Span
from retraind.jobs import measure as measuring
from retraind.jobs.child import JobContext
from retraind.jobs.data import features, panel, store
from retraind.jobs.data.contract import arrow_type
from retraind.jobs.data.features import FeatureTable, build
from retraind.jobs.data.splits import known_before
from retraind.jobs.training import evaluate, portfolio, served_model
from retraind.jobs.training.evaluate import Ground, ground

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
SETTINGS = settings.load(ROOT / "config.yaml")[0]
CONTRACT = SETTINGS.pipelines["produce"].contract

ALGORITHM, QUICKER = "gradient_boosting", {"max_iter": 40, "learning_rate": 0.12}
"""The portfolio's, with half the trees: as good here (WAPE 4.75 / 11.5 / 35.7 / 41.3 of a year's forecasts from one fit
instead of 4.77 / 11.4 / 35.8 / 41.4), for 0.6 of the time."""
PROCESSES = 2
WEEKS, SEEDS = 52, (0, 1, 2)
CELLS = tuple((target, h) for target in ("price", "demand") for h in (1, 7))
HORIZONS = (1, 7)
KNOWN = {"tune": dt.date(2021, 4, 2), "test": dt.date(2022, 4, 1)}
"""The last day that the first model of a year knows."""
DRAWS = 200
"""Random schedules for each count and seed."""

Cell = tuple[str, int]
"""Target, days ahead."""
Values = npt.NDArray[np.float64]
Schedule = tuple[int, ...]
"""The week ends (1 to 51) at which a rule trains again; the first model is nobody's choice."""


# ---- the matrix of errors ----


@dataclass(frozen=True)
class Walk:
    """The rows of one year, with all features."""

    start: dt.date
    """The first origin day that is forecast."""
    table: FeatureTable
    grounds: Mapping[str, Ground]

    def by_day(self, cell: Cell, values: npt.ArrayLike) -> Values:
        """Values of the ground's rows summed by origin day, shape (364,)."""
        target, horizon = cell
        origin = self.table.origin[self.grounds[target].marked[horizon]]
        day = (origin - np.datetime64(self.start)).astype(np.int64)
        return np.bincount(day, weights=np.asarray(values, np.float64), minlength=7 * WEEKS).astype(np.float64)

    def errors_by_day(self, cell: Cell, forecast: Values) -> Values:
        """Sums of |forecast - actual|; a row without an answer is scored with the seasonal naive forecast."""
        rows, horizon = self.grounds[cell[0]], cell[1]
        answered = np.where(np.isfinite(forecast), forecast, rows.naive["seasonal_naive"][horizon])
        return self.by_day(cell, np.abs(answered - rows.actual[horizon]))


@cache
def walk(year: str) -> Walk:
    """Made before the processes fork, which then share it."""
    start = KNOWN[year] + dt.timedelta(1)
    table = build(sales(), CONTRACT, HORIZONS)
    end = np.datetime64(start + dt.timedelta(7 * WEEKS))
    columns = {name: target.column for name, target in CONTRACT.targets.items()}
    return Walk(start, table, {t: ground(table, t, c, HORIZONS, np.datetime64(start), end) for t, c in columns.items()})


def sales() -> pd.DataFrame:
    """The main table with its companion and lookups joined."""
    rows = pd.read_parquet(DATA / "daily_sales.parquet")
    rows = rows.merge(pd.read_parquet(DATA / "wholesale_prices.parquet"), on=["date", "item_code"], how="left")
    for lookup in ("items.csv", "loss_rates.csv"):
        rows = rows.merge(pd.read_csv(DATA / lookup, dtype={"item_code": str}), on="item_code", how="left")
    return rows


def kept(year: str) -> Path:
    """The folder for a year's fits, named by the code and the data that make them."""
    modules = (features, panel, portfolio, served_model, evaluate)
    parts = [Path(str(m.__file__)).read_bytes() for m in modules]
    parts += [file.read_bytes() for file in sorted(DATA.iterdir())]
    digest = hashlib.sha256(b"\0".join(parts) + repr((ALGORITHM, QUICKER, CELLS, WEEKS)).encode()).hexdigest()
    folder = Path(tempfile.gettempdir()) / "retraind-bench-when" / f"{year}-{digest[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fit_and_forecast(year: str, folder: Path, model: tuple[int, int]) -> None:
    """Fit both targets on what week `model[1]` knows, with seed `model[0]`, and keep the errors of all later origins."""
    seed, week = model
    here = walk(year)
    border = np.datetime64(here.start + dt.timedelta(7 * week))
    errors: dict[str, Values] = {}
    for target, rows in here.grounds.items():
        recipe = portfolio.recipe(ALGORITHM, target, here.table, HORIZONS, seed)
        fitted = portfolio.fit(
            recipe | {"params": recipe["params"] | QUICKER},
            here.table,
            {h: known_before(here.table.target_day(h), border) for h in HORIZONS},
            threads=1,
        )
        for h in HORIZONS:
            forecast = portfolio.forecast(fitted, here.table, h, rows.marked[h])
            served = here.table.origin[rows.marked[h]] >= border
            errors[f"{target} {h}"] = here.errors_by_day((target, h), np.where(served, forecast, rows.actual[h]))
    partial_file = folder / f"{seed}-{week}.partial.npz"
    np.savez(partial_file, **errors)  # type: ignore[arg-type]
    partial_file.replace(folder / f"{seed}-{week}.npz")


def fits(year: str) -> Mapping[tuple[int, int], Mapping[Cell, Values]]:
    """By (seed, week trained): errors by cell and origin day, shape (364,), 0 before the model serves."""
    folder = kept(year)
    wanted = [(seed, week) for seed in SEEDS for week in range(WEEKS)]
    missing = [(seed, week) for seed, week in wanted if not (folder / f"{seed}-{week}.npz").exists()]
    if missing:
        walk(year)
        with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
            for number, _ in enumerate(pool.imap_unordered(partial(fit_and_forecast, year, folder), missing), 1):
                print(f"\r{year}: {number} of {len(missing)} fits", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    found = {}
    for seed, week in wanted:
        with np.load(folder / f"{seed}-{week}.npz") as errors:
            found[seed, week] = {(t, h): errors[f"{t} {h}"] for t, h in CELLS}
    return found


# ---- drift, as the measure job sees it ----


def drifting_weeks(year: str) -> tuple[bool, ...]:
    """For each week end (0 is the start): does the week drift by the job's own rule and settings?"""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        files = (
            put(site, "sales", pd.read_parquet(DATA / "daily_sales.parquet")),
            put(site, "wholesale", pd.read_parquet(DATA / "wholesale_prices.parquet")),
            put(site, "items", pd.read_csv(DATA / "items.csv", dtype=str)),
            put(site, "loss", pd.read_csv(DATA / "loss_rates.csv", dtype={"item_code": str})),
        )
        job = JobContext(SETTINGS, "produce", site, site, 1, lambda _stage, _done, _of: None)
        ends = [KNOWN[year] + dt.timedelta(7 * week) for week in range(WEEKS)]
        steps = [Measure("d", end - dt.timedelta(6), end, files) for end in ends]
        return tuple(measuring.measure(step, job).drift.drifting for step in steps)


def put(site: Path, table: str, frame: pd.DataFrame) -> StoreFile:
    """The rows in the store, in its canonical form."""
    columns = CONTRACT.tables[table].columns
    frame = frame.sort_values(list(CONTRACT.key(table)))[[c for c in columns if c in frame]]
    schema = pa.schema([(name, arrow_type(columns[name])) for name in frame.columns])
    rows = pa.Table.from_pandas(frame, schema=schema, preserve_index=False).replace_schema_metadata()
    return store.write(site / "state", CONTRACT, table, rows, drop="d")


# ---- what rules and their scores are computed from ----


@dataclass(frozen=True, eq=False)
class Year:
    """One year's matrix, and what could be known at each of its week ends."""

    start: dt.date
    errors: Mapping[tuple[int, int], Mapping[Cell, Values]]
    """By (seed, week trained): see `fits`."""
    naive: Mapping[Cell, Values]
    """Persistence's errors by origin day."""
    rows: Mapping[Cell, Values]
    """Rows by origin day."""
    drifting: tuple[bool, ...]
    """By week end; 0 is the start."""

    @cache  # noqa: B019 (a year lives as long as the program)
    def alarm(self, seed: int, trained: int, cell: Cell, delta: float, threshold: float) -> int:
        """The first week end that knows of Page-Hinkley's alarm on the model's live errors; WEEKS if there is none."""
        days = [day for day in range(7 * trained, 7 * WEEKS) if self.rows[cell][day]]
        mine, its = (
            {day: Sums(rows=int(self.rows[cell][day]), error=float(of[day])) for day in days}
            for of in (self.errors[seed, trained][cell], self.naive[cell])
        )
        target_day = {day: self.start + dt.timedelta(day + cell[1]) for day in days}
        found = worsening(
            {target_day[day]: sums for day, sums in mine.items()},
            {target_day[day]: sums for day, sums in its.items()},
            delta,
            threshold,
        )
        return WEEKS if found is None else -(-((found.date - self.start).days + 1) // 7)

    @cache  # noqa: B019
    def weekly_errors(self, seed: int, cell: Cell) -> Values:
        """By week trained and week of the origin, shape (52, 52)."""
        return np.array([self.errors[seed, week][cell].reshape(WEEKS, 7).sum(axis=1) for week in range(WEEKS)])

    def excess(self, seed: int, schedule: Schedule) -> dict[Cell, float]:
        """By cell: WAPE above that of retraining every week, in percent of it. The rows are the same."""
        trained = np.zeros(WEEKS, np.int64)
        trained[list(schedule)] = schedule
        serving = np.maximum.accumulate(trained)
        found = {}
        for cell in CELLS:
            by_week = self.weekly_errors(seed, cell)
            found[cell] = 100 * (by_week[serving, np.arange(WEEKS)].sum() / by_week.diagonal().sum() - 1)
        return found


def prepared(year: str) -> Year:
    """Everything of a year; fits what is not kept."""
    errors, here = fits(year), walk(year)
    naive, rows = {}, {}
    for target, horizon in CELLS:
        on = here.grounds[target]
        naive[target, horizon] = here.errors_by_day((target, horizon), on.naive["persistence"][horizon])
        rows[target, horizon] = here.by_day((target, horizon), np.ones(len(on.actual[horizon])))
    return Year(here.start, errors, naive, rows, drifting_weeks(year))


# ---- rules ----


@dataclass(frozen=True)
class Rule:
    """Causes for a training at a week's end; any of them is enough once `apart` weeks have passed since the last."""

    age: int | None = None
    """Weeks after which a model is too old."""
    threshold: float | None = None
    """Page-Hinkley's; None: accuracy asks for nothing."""
    delta: float = 0.0
    cells: tuple[Cell, ...] = CELLS
    """Whose accuracy is watched."""
    drift: bool = False
    """At least two windows after the last training."""
    apart: int = 2
    every: tuple[int, ...] = ()
    """Intervals of schedules, in weeks since the start, whatever else was trained."""

    def schedule(self, year: Year, seed: int) -> Schedule:
        """When it trains, knowing only what is known at each week's end."""
        found: list[int] = []
        last = 0
        for week in range(1, WEEKS):
            if week - last >= self.apart and self._asks(year, seed, last, week):
                found.append(week)
                last = week
        return tuple(found)

    def _asks(self, year: Year, seed: int, last: int, week: int) -> bool:
        if self.age is not None and week - last >= self.age:
            return True
        if any(week // interval > last // interval for interval in self.every):
            return True
        if self.drift and week - last >= 2 and year.drifting[week]:
            return True
        limit = self.threshold
        return limit is not None and any(year.alarm(seed, last, cell, self.delta, limit) <= week for cell in self.cells)


def shipped() -> Rule:
    """The default, from config.yaml: schedules by interval, age limit, cool-down, accuracy trigger, what drift asks for."""
    rules = SETTINGS.pipelines["produce"].retraining
    return Rule(
        age=_weeks(rules.max_age) if rules.max_age else None,
        threshold=None if rules.accuracy.asks == "nothing" else rules.accuracy.threshold,
        delta=rules.accuracy.delta,
        cells=tuple(cell for cell in CELLS if cell[1] in rules.accuracy.horizons),
        drift=rules.drift != "nothing",
        apart=max(1, _weeks(rules.cooldown)),
        every=tuple(_weeks(schedule.every) for schedule in rules.schedules.values() if schedule.every),
    )


def _weeks(span: Span) -> int:
    """Rounded up: a rule is asked at week ends."""
    return -(-span.seconds // (7 * 86400))


def evenly(count: int) -> Schedule:
    """So many trainings, as evenly as weeks allow."""
    return tuple(round(i * WEEKS / (count + 1)) for i in range(1, count + 1))


def every(weeks: int, first: int | None = None) -> Schedule:
    """Every so many weeks, from the first of them or another."""
    return tuple(range(first or weeks, WEEKS, weeks))


# ---- the frontier ----


@dataclass(frozen=True)
class Line:
    """One rule's row of the table, by seed."""

    counts: tuple[float, ...]
    excess: tuple[Mapping[Cell, float], ...]

    def average(self, cell: Cell) -> float:
        """Over the seeds."""
        return mean(found[cell] for found in self.excess)

    @property
    def trainings(self) -> float:
        """Over the seeds."""
        return mean(self.counts)

    def words(self, name: str) -> str:
        """A row of a Markdown table: means, with the lowest and highest seed."""
        spread = "" if min(self.counts) == max(self.counts) else f" ({min(self.counts):.0f} to {max(self.counts):.0f})"
        shown = [f"{self.trainings:.1f}".removesuffix(".0") + spread]
        for cell in CELLS:
            seeds = [found[cell] for found in self.excess]
            shown.append(f"{mean(seeds):.2f} ({min(seeds):.2f} to {max(seeds):.2f})")
        return f"| {name} | {' | '.join(shown)} |"


def line(year: Year, schedule: Callable[[int], Schedule]) -> Line:
    """schedule: seed -> weeks."""
    schedules = [schedule(seed) for seed in SEEDS]
    return Line(
        tuple(len(s) for s in schedules), tuple(year.excess(seed, s) for seed, s in zip(SEEDS, schedules, strict=True))
    )


def at_random(year: Year, counts: Sequence[int]) -> Line:
    """Random weeks, so many as a rule trained for each seed: the mean of DRAWS schedules."""
    random = np.random.default_rng(20)
    excess = []
    for seed, count in zip(SEEDS, counts, strict=True):
        drawn = [
            year.excess(seed, tuple(sorted(random.choice(np.arange(1, WEEKS), count, replace=False).tolist())))
            for _ in range(DRAWS)
        ]
        excess.append({cell: mean(one[cell] for one in drawn) for cell in CELLS})
    return Line(tuple(counts), tuple(excess))


def rules() -> Iterator[tuple[str, Rule]]:
    """The rules that are compared, by name; Page-Hinkley's (delta, threshold) in brackets."""
    yield "Page-Hinkley (0, 0.5) alone", Rule(threshold=0.5)
    yield "Page-Hinkley (0, 0.5) on price alone", Rule(threshold=0.5, cells=CELLS[:2])
    yield "at 8 weeks or Page-Hinkley (0, 0.5) on price", Rule(age=8, threshold=0.5, cells=CELLS[:2])
    yield "Page-Hinkley (0.05, 1.5) alone", Rule(delta=0.05, threshold=1.5)
    yield "drift alone", Rule(drift=True)
    for apart in (2, 3):
        for age in (4, 5, 6, 8):
            name = f"at {age} weeks, Page-Hinkley (0.05, 1.5) or drift, {apart} weeks apart"
            yield name, Rule(age, threshold=1.5, delta=0.05, drift=True, apart=apart)
    searched = Rule(6, threshold=1.5, delta=0.05, drift=True, apart=3, every=(26,))
    yield "the one at 6 weeks, 3 weeks apart, and a schedule every 26 weeks", searched


def frontier(year: Year) -> bool:
    """Print the table. Returns whether the shipped default keeps its promise."""
    print(f"| rule | trainings | {' | '.join(f'{target} {h}' for target, h in CELLS)} |")
    print("|---" * (2 + len(CELLS)) + "|")
    print(line(year, lambda _seed: ()).words("never"))
    for weeks in (1, 2, 3, 4, 5, 6, 8):
        print(
            line(year, lambda _seed, weeks=weeks: every(weeks)).words(f"every {weeks} weeks" if weeks > 1 else "weekly")
        )
    for name, rule in rules():
        three_ways(year, name, rule)
    default = three_ways(year, "**the shipped default**", shipped())
    monthly = [line(year, lambda _seed, first=first: every(4, first)) for first in (4, 1, 2, 3)]
    return promise(default, *monthly)


def three_ways(year: Year, name: str, rule: Rule) -> Line:
    """The rule, and as many trainings evenly and at random."""
    chosen = line(year, lambda seed: rule.schedule(year, seed))
    counts = [int(c) for c in chosen.counts]
    by_seed = dict(zip(SEEDS, counts, strict=True))
    print(chosen.words(name))
    print(line(year, lambda seed: evenly(by_seed[seed])).words("- as many, evenly"))
    print(at_random(year, counts).words("- as many, at random"), flush=True)
    return chosen


def promise(default: Line, monthly: Line, *begun: Line) -> bool:
    """At most 13 trainings, within 1.5 % of weekly retraining, not worse than every 4 weeks: means of the seeds.

    begun: every 4 weeks too, but from another week on; how far they lie apart says what chance there is in it.
    """
    worst = max(CELLS, key=default.average)
    high = default.average(worst)
    against, *others = (mean(default.average(c) - one.average(c) for c in CELLS) for one in (monthly, *begun))
    checks = {
        f"{default.trainings:.1f} trainings, at most 13": default.trainings <= 13,
        f"{high:.2f} % above weekly ({worst[0]} {worst[1]}), at most 1.5 % anywhere": high <= 1.5,
        f"{against:+.2f} % against every 4 weeks, at most 0 (mean of the four)": against <= 0,
    }
    print()
    for what, holds in checks.items():
        print(f"the shipped default: {what}: {'met' if holds else 'MISSED'}")
    shown = ", ".join(f"{other:+.2f}" for other in others)
    print(f"against every 4 weeks begun after one, two and three weeks instead of four: {shown} %")
    return all(checks.values())


def main() -> int:
    """Exit code 1 when the shipped default does not keep its promise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--year", choices=KNOWN, default="test")
    return 0 if frontier(prepared(parser.parse_args().year)) else 1


if __name__ == "__main__":
    sys.exit(main())
