"""Joins and sums of forecasts: whatever drops do, each is made and scored at most once and never by a version that knew."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from retraind.core.figures import BASELINES, Sums
from retraind.core.steps import Forecast, Forecaster
from retraind.jobs import forecast as job
from retraind.jobs.child import JobContext
from retraind.jobs.data import forecasts as files
from retraind.jobs.data import scoring
from retraind.jobs.data.features import FeatureTable
from retraind.jobs.data.panel import panel
from retraind.jobs.data.scoring import KEY, OPEN_DAYS, Scoring, row_hashes
from retraind.jobs.data.store import UNSOLD
from trained_shop import config

START = dt.date(2022, 3, 1)
CONTEXT = JobContext(config(), "produce", Path(), Path(), 1, lambda *_: None)
AT = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
TARGETS = ("price", "demand")
Rows = dict[tuple[str, int], float]
"""(item, day since START) -> price."""


class Memory:
    """A version that learnt its table by heart, and says what stands there whenever it is asked."""

    horizons = ("h1", "h7")

    def __init__(self, known: Rows) -> None:
        self.known = known

    def forecast(self, horizon: str, x: pd.DataFrame) -> np.ndarray[Any, Any]:
        ahead = int(horizon[1:])
        return np.array([self.known.get((i, d + ahead), np.nan) for i, d in zip(x["item"], x["day"], strict=True)])


def empty(schema: pa.Schema) -> pd.DataFrame:
    frame: pd.DataFrame = schema.empty_table().to_pandas(date_as_object=False)
    return frame


@dataclass
class Site:
    """What the daemon remembers from job to job: the store, the files that the journal's fold keeps, the versions."""

    store: Rows = field(default_factory=dict)
    made: list[pd.DataFrame] = field(default_factory=list)
    scored: list[pd.DataFrame] = field(default_factory=list)
    versions: list[tuple[Forecaster, Memory]] = field(default_factory=list)
    ever_made: list[pd.DataFrame] = field(default_factory=list)
    results: list[Scoring] = field(default_factory=list)

    @property
    def newest(self) -> dt.date:
        return START + dt.timedelta(days=max(day for _, day in self.store))

    def train(self) -> None:
        version = Forecaster(len(self.versions) + 1, "challenger", self.newest, "digest")
        self.versions.append((version, Memory(dict(self.store))))

    def work(self) -> Scoring:
        """One forecast job."""
        task = self._task()
        made = pd.concat([empty(files.FORECASTS), *self.made], ignore_index=True)
        fresh = job._forecasts(task, made)
        fresh = files.table_of(fresh, files.FORECASTS).to_pandas(date_as_object=False)
        result = scoring.score(
            pd.concat([made, fresh], ignore_index=True),
            pd.concat([empty(files.SCORES), *self.scored], ignore_index=True),
            job._actuals(task),
            self.newest,
            scoring.open_from(self.newest, made),
            {(t, str(v.version)): v.data_end for t in TARGETS for v, _ in self.versions},
        )
        self.ever_made.append(fresh)
        self.results.append(result)
        self._keep(fresh, files.table_of(result.rows, files.SCORES).to_pandas(date_as_object=False))
        return result

    def _keep(self, made: pd.DataFrame, scored: pd.DataFrame) -> None:
        """As core/fold does."""
        self.made += [made] if len(made) else []
        self.scored += [scored] if len(scored) else []
        oldest = pd.Timestamp(self.newest) - pd.Timedelta(days=OPEN_DAYS + 5)
        self.made = [m for m in self.made if m.target_date.max() >= oldest]
        first = min((m.target_date.min() for m in self.made), default=oldest)
        self.scored = [s for s in self.scored if s.target_date.max() >= first]

    def _task(self) -> job._Task:
        day = (self.newest - START).days
        unsold = {i for i, d in self.store if day - 28 < d <= day} - {i for i, d in self.store if d == day}
        rows = [(i, d, v, False) for (i, d), v in self.store.items()] + [(i, day, np.nan, True) for i in unsold]
        frame = pd.DataFrame(rows, columns=["item_code", "day", "avg_price_rmb_kg", UNSOLD])
        frame["date"] = pd.Timestamp(START) + pd.to_timedelta(frame.day, unit="D")
        frame = frame.assign(quantity_kg=frame.avg_price_rmb_kg * 2, category_name="roots")
        p = panel(frame, "item_code", "date", ["avg_price_rmb_kg", "quantity_kg"], ["category_name"], UNSOLD)
        entity, origin = p.entities[p.row_entity], p.start + p.row_day.astype("timedelta64[D]")
        x = pd.DataFrame({"item": entity, "day": (origin - np.datetime64(START, "D")).astype(int)})
        task = job._Task(
            Forecast("k", (), self.newest, (), {t: tuple(v for v, _ in self.versions) for t in TARGETS},
                     {"price": "persistence", "demand": "seasonal_naive"}, (), (), AT),
            CONTEXT,
            FeatureTable(x, entity, origin, {}, {}, {}, p, (), ()),
        )  # fmt: skip
        task.loaded.update({(t, v.version): memory for t in TARGETS for v, memory in self.versions})  # type: ignore[misc]
        return task


@st.composite
def lives(draw: st.DrawFn) -> list[Rows | None]:
    """Drops in any order, split, repeated and corrected, over half a year; None is a training."""
    days = st.integers(0, 20) if draw(st.booleans()) else st.integers(0, 180)
    # mostly one week after the other, as drops come; then anything
    steps: list[Rows | None] = []
    for week in range(draw(st.integers(2, 5))):
        dates = range(7 * week, 7 * week + 7)
        steps.append({(i, d): float(draw(st.integers(1, 9))) for i in "ab" for d in dates if draw(st.booleans())})
        if draw(st.booleans()):
            steps.append(None)
        extra = draw(st.dictionaries(st.tuples(st.sampled_from("abc"), days), st.integers(1, 9).map(float), max_size=4))
        steps.append(extra)
    order = draw(st.permutations(range(len(steps)))) if draw(st.booleans()) else range(len(steps))
    return [steps[i] for i in order]


def live(steps: list[Rows | None]) -> Site:
    site = Site()
    for i, step in enumerate(steps):
        if step is None and site.store:
            site.train()
        elif step:
            site.store |= step
        if site.store and (i % 3 or i == len(steps) - 1):  # at times a job takes several drops at once
            site.work()
    return site


@settings(max_examples=20, deadline=None)
@given(lives())
def test_each_forecast_is_made_and_scored_at_most_once_and_never_in_sample(steps: list[Rows | None]) -> None:
    site = live(steps)
    if not site.results:
        return
    made = pd.concat(site.ever_made, ignore_index=True)
    rows = pd.concat([r.rows for r in site.results], ignore_index=True)
    scored = rows[~rows.corrected.astype(bool)]
    assert not made.duplicated([*KEY]).any()
    assert not scored.duplicated([*KEY]).any()
    assert len(scored.merge(made, on=[*KEY])) == len(scored)
    for version, _ in site.versions:
        for frame in (made, scored):
            mine = frame[frame.version == str(version.version)]
            assert (mine.target_date > pd.Timestamp(version.data_end)).all()


Where = tuple[str, str, int, dt.date]


def pooled(results: list[Scoring]) -> dict[Where, Sums]:
    """By forecaster, target, horizon and date, issued or not: rows, digests and errors added up."""
    found: dict[Where, Sums] = {}
    for cell in (c for result in results for c in scoring.cells(result.rows)):
        key, now = (cell.forecaster, cell.target, cell.horizon, cell.date), cell.sums
        before = found.get(key, Sums())
        digest = f"{(int(before.digest, 16) + int(now.digest, 16)) % 2**64:016x}"
        unanswered = before.unanswered + now.unanswered
        found[key] = Sums(before.rows + now.rows, digest, round(before.error + now.error, 9), unanswered=unanswered)
    return found


@settings(max_examples=10, deadline=None)
@given(lives())
def test_naive_forecasts_are_scored_on_the_same_rows(steps: list[Rows | None]) -> None:
    found = pooled(live(steps).results)
    for (name, *where), sums in found.items():
        if name in BASELINES:
            beside = found["persistence", *where]  # type: ignore[index]
            assert (sums.rows, sums.digest) == (beside.rows, beside.digest)


def grown(days: int = 30) -> Site:
    site = Site()
    for day in range(days):
        site.store |= {(i, day): 5.0 + (day * 7 + ord(i)) % 5 for i in "ab"}
    site.work()
    return site


def test_a_version_that_knows_its_data_by_heart_gains_nothing() -> None:
    site = grown()
    site.train()
    for day in range(30, 37):
        site.store |= {(i, day): 5.0 + day % 4 for i in "ab"}
    result = site.work()
    mine = result.rows[result.rows.version == "1"]
    assert mine.target_date.min() == pd.Timestamp(START + dt.timedelta(days=30))
    # it has no answer for a day that it does not know, and gets the seasonal naive forecast, counted
    assert not mine.answered.any()
    found = pooled(site.results)
    own = {key: sums for key, sums in found.items() if key[0] == "1"}
    assert len(own) == 2 * 2 * 7
    for (_, *where), sums in own.items():
        naive = found["seasonal_naive", *where]  # type: ignore[index]
        assert (sums.error, sums.digest, sums.unanswered) == (naive.error, naive.digest, sums.rows)


def test_a_corrected_actual_is_counted_once_and_not_scored_again() -> None:
    site = grown()
    before = len(site.results[-1].rows)
    assert before
    site.store["a", 25] = 99.0
    first, second = site.work(), site.work()
    assert (first.corrected, second.corrected) == (2, 0)  # of price and of demand
    assert first.rows.corrected.all()
    assert not scoring.cells(first.rows)
    assert not scoring.slices(first.rows)
    site.store["a", 25] = 77.0
    assert site.work().corrected == 2


def test_a_forecast_whose_actual_never_comes_expires_once() -> None:
    site = grown()
    assert site.results[-1].expired == 0
    told = []
    for day in range(31, 75):  # nothing is sold on day 30, and a never again
        site.store["b", day] = 5.0
        told.append(site.work().expired)
    assert told[:31] == [0] * 30 + [2 * 2 * 3 * 2]  # day 30: items, horizons, naive forecasts, targets
    made = pd.concat(site.ever_made)
    day_of = (made.target_date - pd.Timestamp(START)).dt.days
    never = (day_of == 30) | ((made.item_code == "a") & (day_of > 29))
    assert sum(told) == (never & (day_of < 74 - OPEN_DAYS)).sum()


def test_a_store_that_leaps_ahead_loses_no_forecast_that_the_leap_made_known() -> None:
    site = grown()
    site.store |= {(i, day): 5.0 for i in "ab" for day in range(30, 100)}
    rows = site.work().rows
    ahead = rows[(rows.origin_date == pd.Timestamp(START + dt.timedelta(days=29))) & (rows.version == "persistence")]
    assert sorted(set(ahead.horizon_days)) == [1, 7]


def test_sums_do_not_depend_on_the_order_of_rows_and_digests_add_up() -> None:
    rows = grown().results[-1].rows
    mixed = rows.sample(frac=1, random_state=1)
    assert scoring.cells(mixed) == scoring.cells(rows)
    assert scoring.slices(mixed) == scoring.slices(rows)
    (whole,) = [s for s in scoring.slices(rows) if (s.target, s.forecaster, s.horizon) == ("price", "persistence", 1)]
    days = [c.sums for c in scoring.cells(rows) if (c.target, c.forecaster, c.horizon) == ("price", "persistence", 1)]
    assert whole.category == "roots"
    dates = {c.date for c in scoring.cells(rows) if (c.target, c.forecaster, c.horizon) == ("price", "persistence", 1)}
    told = [spell.first + dt.timedelta(days=d) for spell in whole.days for d in range((spell.last - spell.first).days + 1)]
    assert told == sorted(dates)
    assert all(one.last + dt.timedelta(days=1) < other.first for one, other in itertools.pairwise(whole.days))
    assert sum(s.rows for s in days) == whole.sums.rows
    assert f"{sum(int(s.digest, 16) for s in days) % 2**64:016x}" == whole.sums.digest
    np.testing.assert_allclose(sum(s.error for s in days), whole.sums.error)


def test_sums_are_what_their_names_say() -> None:
    site = grown()
    rows = site.results[-1].rows
    mine = rows[(rows.target == "demand") & (rows.version == "moving_average") & (rows.horizon_days == 7)]
    (cell,) = scoring.slices(mine)
    error = mine.forecast - mine.actual
    expected = [len(mine), abs(error).sum(), error.sum(), (error**2).sum(), (abs(error) / mine.actual).sum()]
    sums = cell.sums
    np.testing.assert_allclose([sums.rows, sums.error, sums.signed, sums.squared, sums.relative], expected)
    np.testing.assert_allclose([sums.actual, sums.actual_squared], [mine.actual.sum(), (mine.actual**2).sum()])


def test_row_hashes_stay_what_they_are() -> None:
    # written down so that an edit which would make all old digests incomparable is seen
    def day(first: str, last: str) -> np.ndarray[Any, Any]:
        return np.arange(first, last, dtype="datetime64[D]")

    few = row_hashes(np.array(["a", "102900005115168"], object), day("2022-03-01", "2022-03-03"), np.array([1, 7]))
    assert [f"{h:016x}" for h in few.tolist()] == ["7b99a4c07582d957", "ed5172cd2945e841"]
    items, days = np.repeat(np.array(["a", "b"], object), 200), np.tile(day("2022-01-01", "2022-04-11"), 4)
    assert len(set(row_hashes(items, days, np.tile(np.repeat([1, 7], 100), 2)).tolist())) == 400
