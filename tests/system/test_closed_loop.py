"""The loop on one site, from its first drops on: naive orders, a champion that only remembers, one that turns bad and is
taken back while the daemon is killed again and again, one that cannot be loaded, and MLflow away.

One story in five parts, each a fixture that goes on where the one before stopped, for trainings and promotions take
seconds; the tests look at what each part left. The data's clock drives it, a drop a week. A version is turned bad by
putting other estimators into the files that it serves, which is what a bad library or a bad disk would do: nothing in
MLflow or the journal knows.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import signal
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from skops.io import dump

from command_line import run_in
from real_site import aliases, events, make_site, run_until_idle, state_of, tags
from retraind import settings
from retraind.core import live
from retraind.core.figures import BASELINES, horizon_key
from retraind.core.state import Model, State
from retraind.jobs.data import forecasts as files
from retraind.jobs.data.features import FeatureTable, build
from retraind.jobs.data.splits import known_before
from retraind.jobs.data.store import main_frame
from retraind.jobs.training import model_cache, portfolio
from small_shop import EDITS, END, write_history, write_week

EARLY = END - dt.timedelta(days=21)
"""The first drops end here: too little to train on. The schedule counts from here: it is due a week after END, and four
weeks later."""
HORIZONS = (1, 7)
SITE = {key: "models: [ridge]" if key.startswith("models:") else text for key, text in EDITS.items()} | {
    "min_days: 180": "min_days: 390",
    "retries: 3": "retries: 1",
    "alerts: {}": 'alerts: {desk: {command: [sh, -c, "cat >> told.jsonl; echo >> told.jsonl"]}}',
}
RETRAINING = """\
    drift: {window: 100w}
    retraining:
      cooldown: 2d
      max_age: null
      drift: nothing
      accuracy: {asks: nothing}
      schedules: {monthly: {every: 4w}}
"""
"""Only the schedule asks for trainings. In the place of the last two blocks of config.yaml."""
POLICY = """\
version: 1
policy: live
models: ["*"]
mode: enforce
staging:
  when:
    - id: beats-doing-nothing
      skill: {metric: wape, horizon: 1, measured: test, over: [persistence], at_least: 1%}
production:
  give_up_after: 8w
  when:
    - id: soak
      soak: {drops: 2}
    - id: better-live
      better: {metric: wape, horizon: 1, measured: live, than: champion, by: 5%, min_dates: 3}
rollback:
  to: last_good
  watch: 6 drops
  cooldown: 14d
  block: true
  when_any:
    - id: worse-than-before
      for: 2 drops
      worse: {metric: wape, horizon: 1, measured: live, than: previous, by: 15%}
"""
FORECASTING = (  # week 4
    "forecast.file_written:daemon", "forecast.scores_written:daemon", "supervisor.before_outcome.forecast",
    "journal.appended.forecast.scored",
    # week 5
    "forecast.order_replaced:daemon#2", "forecast.orders_replaced:daemon", "journal.appended.forecast.made",
)  # fmt: skip
ROLLBACK = (
    "journal.appended.decision.made", "journal.appended.promotion.intended", "promotion.alias_set:daemon",
    "promotion.last_good_set:daemon", "supervisor.before_outcome.promote", "journal.appended.promotion.done",
    "forecast.order_replaced:daemon",
)  # fmt: skip
"""After each effect. Before the next one the disk is the same: tests/jobs kill the two jobs there too."""
SOME = (
    "forecast.scores_written:daemon", "forecast.order_replaced:daemon#2", "promotion.alias_set:daemon",
    "supervisor.before_outcome.promote", "forecast.order_replaced:daemon",
)  # fmt: skip
"""After what others read, figures, orders and the alias, and before the journal has it."""


@dataclass(frozen=True)
class Part:
    """What a part of the story left."""

    site: Path
    state: State
    orders: list[dict[str, str]]
    told: list[dict[str, Any]]
    """What the command was given."""
    aliases: dict[tuple[str, str], int]
    stages: dict[tuple[str, int], str]
    status: str
    """What `retrainctl status` said, in one line."""

    @property
    def model(self) -> Model:
        return self.state.flow("produce").models["demand"]

    @property
    def source(self) -> set[tuple[str, str]]:
        """Whose forecasts the orders file holds, and of which version."""
        return {(row["source"], row["version"]) for row in self.orders}


def left(site: Path) -> Part:
    told = site / "told.jsonl"
    given = [json.loads(line) for line in told.read_text("utf-8").splitlines()] if told.exists() else []
    with (site / "orders" / "orders.csv").open() as file:
        orders = list(csv.DictReader(file))
    status = " ".join(run_in(site)("status").out.split())
    return Part(site, state_of(site), orders, given, aliases(site), tags(site, "retraind.stage"), status)


def work(site: Path, code: int = 0) -> Part:
    done = run_until_idle(site, seconds=400)
    assert done.returncode == code, done.stderr
    return left(site)


# ---- the story ----


EVERY = pytest.param((*FORECASTING, *ROLLBACK), marks=pytest.mark.long, id="every")


@pytest.fixture(scope="module", params=[pytest.param(SOME, id="some"), EVERY])
def killed_at(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Where the daemon dies. At every point (long), the whole story is told once more."""
    points: tuple[str, ...] = request.param
    return points


@pytest.fixture(scope="module")
def first_drops(tmp_path_factory: pytest.TempPathFactory, killed_at: tuple[str, ...]) -> Part:
    """Too few days to train on."""
    site = make_site(tmp_path_factory.mktemp("closed loop") / "site", SITE, prepared=True)
    config = site / "config.yaml"
    before, found, after = config.read_text("utf-8").partition("    drift:\n")
    assert found
    assert "    retraining:\n" in after
    config.write_text(before + RETRAINING, "utf-8")
    for path in (site / "policies").glob("*.yaml"):
        path.unlink()
    (site / "policies" / "live.yaml").write_text(POLICY, "utf-8")
    write_history(site / "drops")
    later = site / "later"
    later.mkdir()
    for path in (site / "drops").glob("*_history.csv"):
        whole = pd.read_csv(path, dtype=str)
        early = whole["date"] <= EARLY.isoformat()
        whole[early].to_csv(path.with_name(path.name.replace("history", "early")), index=False)
        whole[~early].to_csv(later / path.name, index=False)
        path.unlink()
    return work(site)


@pytest.fixture(scope="module")
def honest(first_drops: Part) -> Part:
    """The rest of the history comes, and v1 becomes champion. Its files are swapped for a perfect memory, and three weeks
    come; after the first the schedule asks for v2, which soaks for two."""
    site = first_drops.site
    for path in (site / "later").iterdir():
        path.rename(site / "drops" / path.name)
    assert work(site).model.champion == 1
    plant(site, 1, "memory")
    for number in (1, 2, 3):
        write_week(site / "drops", number)
    return work(site)


@pytest.fixture(scope="module")
def taken_back(honest: Part, killed_at: tuple[str, ...]) -> Part:
    """v2's files are swapped for noise, v1's are damaged (MLflow has good ones), and two weeks come; the daemon is killed
    at points of forecasting, scoring and rollback, and then left alone."""
    site = honest.site
    plant(site, 2, "noise")
    estimators(site, 1).write_bytes(estimators(site, 1).read_bytes()[:1000])
    for number in (4, 5):
        write_week(site / "drops", number)
    for point in killed_at:
        died = run_until_idle(site, env={"RETRAIND_FAILPOINT": point}, seconds=180)
        assert died.returncode == -signal.SIGKILL, f"{point} was not reached:\n{died.stderr}"
    return work(site)


@pytest.fixture(scope="module")
def unloadable(taken_back: Part) -> tuple[Part, bytes]:
    """v1's estimators are cut off, here and in MLflow, and a week comes."""
    site, mine = taken_back.site, estimators(taken_back.site, 1)
    whole = mine.read_bytes()
    for path in (mine, *(p for p in (site / "mlflow").rglob(mine.name) if p.read_bytes() == whole)):
        path.write_bytes(whole[:1000])
    write_week(site / "drops", 6)
    return work(site), whole


@pytest.fixture(scope="module")
def away(unloadable: tuple[Part, bytes]) -> Part:
    """v1's files are put back, MLflow moves to a server that does not answer, and a week comes."""
    part, whole = unloadable
    estimators(part.site, 1).write_bytes(whole)
    config = part.site / "config.yaml"
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # not listening: connections are refused
        address = f"http://127.0.0.1:{held.getsockname()[1]}"
        config.write_text(config.read_text("utf-8").replace("sqlite:///mlflow/mlflow.db ", f"{address} "), "utf-8")
        write_week(part.site / "drops", 7)
        return work(part.site, code=1)  # something failed: preparing MLflow


# ---- files swapped behind everybody's back ----


def estimators(site: Path, version: int) -> Path:
    """The file that the version serves."""
    known = state_of(site).flow("produce").models["demand"].version(version)
    assert known
    return model_cache.folder_of(site / "state", known.candidate.model_digest) / model_cache.ESTIMATORS


def plant(site: Path, version: int, what: Literal["memory", "noise"]) -> None:
    """In the place of the version's files put a tree grown to its end on all that the version learnt from, or on the same
    with the targets shuffled."""
    flow = state_of(site).flow("produce")
    known = flow.models["demand"].version(version)
    assert known
    contract = settings.load(site / "config.yaml")[0].pipelines["produce"].contract
    table = build(main_frame(site / "state", flow.store, contract, known.data_end), contract, HORIZONS)
    if what == "noise":
        table = shuffled(table)
    tree = {"n_estimators": 1, "bootstrap": False, "max_features": 1.0}
    recipe = {**portfolio.recipe("random_forest", "demand", table, HORIZONS, seed=1), "params": tree}
    learn = {h: known_before(table.target_day(h), np.datetime64(known.data_end, "D") + 1) for h in HORIZONS}
    fitted = portfolio.fit(recipe, table, learn, threads=1)
    for h in HORIZONS:  # it knows every row by heart
        forecasts, truth = portfolio.forecast(fitted, table, h, learn[h]), table.targets["demand"][h][learn[h]]
        answered = np.isfinite(forecasts) & np.isfinite(truth)
        assert answered.mean() > 0.9
        np.testing.assert_allclose(forecasts[answered], truth[answered], rtol=1e-6)
    folder = estimators(site, version).parent
    (folder / model_cache.MODEL).write_text(json.dumps(dict(fitted.model)))
    dump(dict(fitted.estimators), folder / model_cache.ESTIMATORS)


def shuffled(table: FeatureTable) -> FeatureTable:
    """The table with each row's targets exchanged for some other row's."""
    random = np.random.default_rng(5)
    targets = {t: {h: random.permutation(values) for h, values in by.items()} for t, by in table.targets.items()}
    return replace(table, targets=targets)


# ---- what is to be seen ----


def rows(site: Path, kind: Literal["forecasts", "scores"]) -> pd.DataFrame:
    """Every row of every file that the journal names."""
    found = [r.event for r in events(site, "forecast.made" if kind == "forecasts" else "forecast.scored")]
    return files.read(site / "state", kind, [f.file for f in found if f.file])


def wape(sums: list[Any]) -> float:
    return float(sum(s.error for s in sums) / sum(s.actual for s in sums))


def live_sums(part: Part, forecaster: str) -> list[Any]:
    """One day ahead, of every scoring event."""
    scored = [r.event for r in events(part.site, "forecast.scored")]
    return [c.sums for e in scored for c in e.cells if (c.forecaster, c.horizon) == (forecaster, 1)]


def verdicts(site: Path, verdict: str) -> list[tuple[int, int]]:
    """(event, version) of each such decision."""
    return [(r.seq, r.event.version) for r in events(site, "decision.made") if r.event.verdict == verdict]


# ---- the tests ----


def test_orders_are_naive_and_say_so_while_there_is_too_little_to_train_on(first_drops: Part) -> None:
    assert [r.state for r in first_drops.state.flow("produce").requests.values()] == ["impossible"]
    assert first_drops.source == {("seasonal_naive", "")}
    assert len(first_drops.orders) == 12 * len(HORIZONS)
    assert {row["data_until"] for row in first_drops.orders} == {EARLY.isoformat()}


def test_a_champion_that_learnt_its_data_by_heart_loses_its_place_to_an_honest_challenger(honest: Part) -> None:
    moves = [(r.event.version, r.event.to) for r in events(honest.site, "promotion.done")]
    assert moves[:4] == [(1, "staging"), (1, "production"), (2, "staging"), (2, "production")]
    (last,) = [r.event for r in events(honest.site, "decision.made")
               if (r.event.version, r.event.verdict, r.event.to) == (2, "promote", "production")]  # fmt: skip
    assert {c.id: c.outcome for c in last.conditions} == {"beats-doing-nothing": "yes", "soak": "yes", "better-live": "yes"}
    assert honest.source == {("champion", "2")}


def test_a_perfect_memory_appears_in_no_figure(honest: Part) -> None:
    second = events(honest.site, "training.finished")[1].event.results[0]
    beside, own = second.champion.values["wape"], second.candidates[0].test.values["wape"]
    for key in map(horizon_key, HORIZONS):  # its test figures are those of its recipe, which is v2's too
        assert beside[key] == pytest.approx(own[key], rel=0.1)
    assert wape(live_sums(honest, "1")) > 1.05 * wape(live_sums(honest, "2"))
    scored = rows(honest.site, "scores")
    for version in honest.model.versions.values():
        mine = scored[scored.version == str(version.version)]
        assert len(mine)
        assert mine.target_date.min().date() > version.data_end


def test_a_champion_that_turns_bad_is_taken_back_after_its_second_bad_drop(taken_back: Part) -> None:
    site = taken_back.site
    ((decided, bad),) = verdicts(site, "rollback")
    assert bad == 2
    scored = [r for r in events(site, "forecast.scored") if r.seq < decided]
    newest = max(c.date for c in scored[-1].event.cells)
    assert newest == END + dt.timedelta(days=35)  # week 5, the second
    (done,) = [r for r in events(site, "promotion.done") if r.event.to == "rollback"]
    assert (done.event.version, done.event.archived) == (1, (2,))
    was, served = taken_back.model.version(2), taken_back.model.version(1)
    assert was
    assert served
    assert (was.stage, served.stage) == ("Archived", "Production")
    assert was.rolled_back == "rolled back to v1 (worse-than-before)"
    assert run_in(site)("versions", "show", "demand", "2", "--json").json["rolled_back"] == was.rolled_back


def test_after_a_rollback_the_orders_are_made_anew_by_the_version_that_serves(taken_back: Part) -> None:
    (done,) = [r for r in events(taken_back.site, "promotion.done") if r.event.to == "rollback"]
    assert taken_back.source == {("champion", "1")}
    assert {row["data_until"] for row in taken_back.orders} == {(END + dt.timedelta(days=35)).isoformat()}
    assert all(dt.datetime.fromisoformat(row["made_at"]) >= done.times.wall.replace(microsecond=0) for row in taken_back.orders)


def test_a_rollback_is_told_and_nothing_is_promoted_for_a_while(taken_back: Part) -> None:
    told = {(t["key"], t["kind"], t["words"]) for t in taken_back.told}  # at least once, and always the same
    ((_, *what),) = told
    assert what == ["rollback", "demand: v2 was rolled back to v1 (worse-than-before)"]
    waiting = taken_back.model.version(3)  # the schedule was due with week 5
    assert waiting
    assert (waiting.stage, waiting.verdict) == ("Staging", "hold")
    (cooling,) = [c for c in waiting.conditions if c.id == "cooldown"]
    assert cooling.until
    assert (cooling.outcome, cooling.until.date()) == ("wait", END + dt.timedelta(days=35 + 14))


def test_killed_at_each_point_everything_happened_once(taken_back: Part, away: Part) -> None:
    """Looked at after the last week, which also brings what could not be forecast while v1 did not load."""
    site = away.site
    last = END + dt.timedelta(days=49)
    oldest = {v.version: v.data_end for v in away.model.versions.values()}
    assert oldest == {1: END, 2: END + dt.timedelta(days=7), 3: END + dt.timedelta(days=35)}
    span = {str(version): (end + dt.timedelta(days=1), last) for version, end in oldest.items()}
    span |= {name: (EARLY - dt.timedelta(days=30), last) for name in BASELINES}
    expected = {
        (who, f"10{item:02d}", origin, h)
        for who, (first, end) in span.items()
        for day in pd.date_range(first, end)
        for h in HORIZONS
        if (origin := day.date() - dt.timedelta(days=h)) <= END + dt.timedelta(days=35) or who != "2"  # taken back then
        for item in range(12)
    }
    scored = rows(site, "scores")
    assert not scored.corrected.any()
    found = list(zip(scored.version, scored.item_code, scored.origin_date.dt.date, scored.horizon_days, strict=True))
    assert len(found) == len(set(found))
    assert set(found) == expected
    made = rows(site, "forecasts")
    named = list(zip(made.version, made.item_code, made.origin_date.dt.date, made.horizon_days, strict=True))
    assert len(named) == len(set(named))
    assert expected <= set(named)


def test_what_was_scored_is_what_was_forecast_and_what_came(away: Part) -> None:
    sold = pd.concat([pd.read_csv(p, dtype={"item_code": str}) for p in (away.site / "done").glob("daily_sales_*")])
    actual = {(r.item_code, r.date): r.quantity_kg for r in sold.itertuples()}
    scored, made = rows(away.site, "scores"), rows(away.site, "forecasts")
    came = [actual[item, f"{day:%Y-%m-%d}"] for item, day in zip(scored.item_code, scored.target_date, strict=True)]
    assert (scored.actual == came).all()
    key = ["version", "item_code", "origin_date", "horizon_days"]
    both = scored.merge(made, on=key, suffixes=("", "_made"), how="left", validate="one_to_one")
    answered = both[both.answered]
    assert (answered.forecast == answered.forecast_made).all()
    assert len(answered) > 0.99 * len(both)


def test_a_killed_job_leaves_no_file_that_its_repetition_did_not_make_too(away: Part) -> None:
    """Files are named by what they hold: had a killed job said anything else than the one after it, both would lie there."""
    for kind, event in (("forecasts", "forecast.made"), ("scores", "forecast.scored")):
        named = {r.event.file.sha256 for r in events(away.site, event) if r.event.file}
        assert {p.stem for p in (away.site / "state" / kind).iterdir()} == named


def test_journal_aliases_and_tags_agree_after_a_rollback_killed_at_each_point(taken_back: Part) -> None:
    model, site = taken_back.model, taken_back.site
    assert (model.champion, model.challenger, model.last_good, model.intention, model.diverged) == (1, 3, None, None, "")
    assert {("demand", v.version): v.stage for v in model.versions.values()} == taken_back.stages
    assert taken_back.aliases == {("demand", "champion"): 1, ("demand", "challenger"): 3}
    assert len([r for r in events(site, "promotion.intended") if r.event.to == "rollback"]) == 1


def test_files_that_were_damaged_are_fetched_from_mlflow_again(taken_back: Part) -> None:
    scored = rows(taken_back.site, "scores")
    mine = scored[(scored.version == "1") & (scored.target_date > pd.Timestamp(END + dt.timedelta(days=21)))]
    assert mine.answered.all()
    known = taken_back.state.flow("produce").live["demand"]
    later = {(END + dt.timedelta(days=n)).isoformat() for n in range(22, 36)}
    was = [live.sums_of(s) for day, s in live.days(known, "1", "h1").items() if day not in later]
    now = [live.sums_of(s) for day, s in live.days(known, "1", "h1").items() if day in later]
    assert len(now) == len(later)
    assert wape(now) < 0.95 * wape(was)  # the honest estimators of MLflow, not the memory


def test_a_champion_that_cannot_be_loaded_is_told_and_the_orders_are_named(unloadable: tuple[Part, bytes]) -> None:
    part, _ = unloadable
    ((source, version),) = part.source
    assert source in BASELINES  # there is no last good one either: v2 was taken back
    assert version == ""
    champion = part.model.version(1)
    assert champion
    assert champion.unloadable
    why = f"v1, the champion, CANNOT BE LOADED: {champion.unloadable}. Orders are by {source.replace('_', ' ')}"
    assert why in part.status
    assert [t["kind"] for t in part.told].count("unloadable") == 1


def test_a_version_that_comes_back_serves_again_though_mlflow_is_away(away: Part) -> None:
    assert any(f.step == "prepare" for f in away.state.flow("produce").failures.values())
    champion = away.model.version(1)
    assert champion
    assert champion.unloadable == ""
    assert away.source == {("champion", "1")}
    assert "FAILED 2 times, it is asked again from time to time: the MLflow server" in away.status
    assert {row["data_until"] for row in away.orders} == {(END + dt.timedelta(days=49)).isoformat()}
