"""A whole train job on the real sales, beside the plain script that most people write for the same fits.

The job is ours as the daemon starts it: features, search, fits of all models for both targets and all horizons, figures,
explanations, logging and registering. The plain script gets its features ready and makes the same fits with the same
estimator classes and search spaces: GridSearchCV(n_jobs=2) on the same folds where a search is made, plain fits elsewhere
(each model on the days before the test days and on all days, the blend's parts on three borders), with MLflow's
autologging on. What autologging takes by itself is measured apart, and so are the script's features. Both work on a SQLite
store that is there already. A refresh of what the job chose, as if its champions were a week old, is measured after it.

    python bench/training.py [--threads 2] [--no-autolog] [--horizons 1,7,14,30] [--days N]

Writes bench/training.md, unless it is only tried out (--days).
"""

from __future__ import annotations

import argparse
import datetime as dt
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as jobs have it; read when scikit-learn is loaded

import mlflow
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from retraind import settings
from retraind.core.binding import unbind
from retraind.core.events import StoreFile
from retraind.core.figures import horizon_key
from retraind.core.steps import VERSION, Champion, JobRequest, Prepare, Train
from retraind.jobs.data import store
from retraind.jobs.data.contract import arrow_type
from retraind.jobs.data.features import FeatureTable, ahead_suffix, build
from retraind.jobs.data.splits import Borders, borders, known_before, within
from retraind.jobs.training import portfolio, selection, served_model
from retraind.jobs.training.estimators import ESTIMATORS
from retraind.jobs.training.evaluate import measure
from retraind.jobs.training.search import folds

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
FILES = {"sales": "daily_sales.parquet", "wholesale": "wholesale_prices.parquet", "items": "items.csv", "loss": "loss_rates.csv"}
STAGES = ("reading", "building", "searching", "fitting", "explaining", "registering", "reporting")
GOAL = 5.0
ERRORS = ("wape", "mape", "rmse")
Errors = dict[str, float | None]
TOLD = 0.05
"""Percent: less is not told apart."""
WHY = (
    "An amount's MAPE, and its WAPE a little, is least where forecasts are too low (see the bias): the job puts right what each",
    "part misses on average on the days it learnt from, since orders add up, and the script does not. A blend's errors here are by",
    "weights that the other days chose; the script's best had these days to be picked on.",
)
WEEK = dt.timedelta(days=7)
ALL = 100_000
"""Days: more than there are."""


def main() -> None:
    """Print the comparison."""
    options = _options()
    if options.plain:
        _plain(options)
        return
    if not DATA.exists():
        sys.exit("the real sales do not lie beside this checkout (shared/data)")
    with tempfile.TemporaryDirectory() as folder:
        ours, refresh = _ours(Path(folder), options)
        plain = _measured([sys.executable, __file__, "--plain", folder, *_passed_on(options)])
    lines = _report(ours, refresh, plain, options)
    print("\n".join(lines))
    if options.days == ALL:
        (ROOT / "bench" / "training.md").write_text("\n".join(lines) + "\n", "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--horizons", default="1,7,14,30")
    parser.add_argument("--days", type=int, default=ALL, help="only the newest so many days, to try it out")
    parser.add_argument("--no-autolog", action="store_true", help="leave MLflow out of the plain script")
    parser.add_argument("--plain", metavar="FOLDER", help=argparse.SUPPRESS)
    return parser.parse_args()


def _passed_on(options: argparse.Namespace) -> list[str]:
    kept = ["--threads", str(options.threads), "--horizons", options.horizons, "--days", str(options.days)]
    return [*kept, "--no-autolog"] if options.no_autolog else kept


# ---- measuring ----


@dataclass
class Run:
    """A process and what it took."""

    wall: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    """The largest resident set of its whole tree, bytes, looked at five times a second."""
    lines: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    """Seconds since its start, and what it said."""

    @property
    def outcome(self) -> dict[str, Any]:
        """What a job said last."""
        return dict(self.lines[-1][1]["outcome"])

    @property
    def stages(self) -> Counter[str]:
        """Seconds by the first word of what it said it was doing."""
        found: Counter[str] = Counter()
        known = [(at, line["progress"]["stage"].split()[0]) for at, line in self.lines if "progress" in line]
        ends = [*(at for at, _ in known[1:]), self.wall]
        for (at, stage), end in zip(known, ends, strict=True):
            found[stage] += end - at
        found["starting"] = known[0][0] if known else 0.0
        return found


def _measured(command: list[str]) -> Run:
    """Run it to its end; what it prints are JSON lines."""
    run, began, before = Run(), time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    # the clock starts with the process: what it imports counts, as it does for whoever waits
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    watch = threading.Thread(target=_watch, args=(psutil.Process(process.pid), run), daemon=True)
    watch.start()
    assert process.stdout
    for line in process.stdout:
        if line.startswith("{"):
            run.lines.append((time.monotonic() - began, json.loads(line)))
    if process.wait():
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    watch.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    run.wall = time.monotonic() - began
    run.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return run


def _watch(process: psutil.Process, run: Run) -> None:
    while process.is_running():
        try:
            tree = [process, *process.children(recursive=True)]
            run.memory = max(run.memory, sum(p.memory_info().rss for p in tree))
        except psutil.NoSuchProcess:
            continue
        time.sleep(0.2)


# ---- ours ----


def _ours(folder: Path, options: argparse.Namespace) -> tuple[Run, Run]:
    """The job `train` as a daemon starts it, on a store that holds all of the real data: a search, and a refresh of its choice."""
    text = (ROOT / "config.yaml").read_text("utf-8").replace("[1, 7, 14, 30]", f"[{options.horizons}]")
    pipeline = settings.parse(text).pipelines["produce"]
    files = tuple(_stored(folder, pipeline, options.days))
    end = max(file.last_date for file in files if file.last_date)
    train = Train("bench", tuple(pipeline.contract.targets), files, end, {}, ("bench/training.py",))

    def job(kind: str, name: str, step: Prepare | Train) -> Run:
        request = JobRequest(VERSION, name, kind, "produce", str(folder), text, unbind(step), options.threads)
        (folder / name).mkdir()
        (folder / name / "request.json").write_text(json.dumps(unbind(request)), "utf-8")
        run = _measured([sys.executable, "-m", "retraind.jobs", kind, str(folder / name / "request.json")])
        if run.outcome["kind"] == "failed":
            sys.exit(f"{name}: {run.outcome['what']}")
        return run

    job("prepare", "prepare", Prepare())
    search = job("train", "search", train)
    champions = {
        result["target"]: Champion(1, result["candidates"][0]["recipe"], end - WEEK) for result in search.outcome["results"]
    }
    return search, job("train", "refresh", replace(train, request="refresh", champions=champions, kind="refresh"))


def _stored(folder: Path, pipeline: settings.Pipeline, days: int) -> Iterator[StoreFile]:
    contract = pipeline.contract
    for name, table in contract.tables.items():
        path = DATA / FILES[name]
        rows = _newest(pd.read_parquet(path), days) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)
        there = {c: kind for c, kind in table.columns.items() if c in rows.columns}
        rows = rows[list(there)].astype({c: float for c, kind in there.items() if kind.type == "number"})
        if "category_name" in there:
            rows["category_name"] = rows["category_name"].fillna("unknown")
        rows = rows.sort_values(list(contract.key(name)))
        schema = pa.schema([(c, arrow_type(kind)) for c, kind in there.items()])
        yield store.write(
            folder / "state", contract, name, pa.Table.from_pandas(rows, schema, preserve_index=False), drop=name
        )


# ---- the plain script ----


class _Clock:
    """Seconds spent inside scikit-learn's own `fit`, whatever is patched around it later."""

    def __init__(self) -> None:
        self.inside = 0.0
        self.depth = 0

    def time(self, kind: type) -> None:
        original = kind.fit  # type: ignore[attr-defined]

        @functools.wraps(original)
        def fit(model: Any, *arguments: Any, **named: Any) -> Any:
            began = time.monotonic()
            self.depth += 1
            try:
                return original(model, *arguments, **named)
            finally:
                self.depth -= 1
                if not self.depth:
                    self.inside += time.monotonic() - began

        kind.fit = fit  # type: ignore[attr-defined]


def _plain(options: argparse.Namespace) -> None:
    """Says what it took: features, fits, autologging, how many fits, and validation WAPEs by target and horizon."""
    clock = _Clock()
    for kind in (GridSearchCV, Pipeline, HistGradientBoostingRegressor, RandomForestRegressor):
        clock.time(kind)
    folder = Path(options.plain).resolve()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/plain.db")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("plain", (folder / "artifacts").as_uri()))
    if not options.no_autolog:
        mlflow.sklearn.autolog(silent=True)
    ready = time.monotonic()
    table, cut, config = _features(options)
    targets = {target: _Plain(table, cut, config, target, options.threads) for target in config.contract.targets}
    features = time.monotonic() - ready
    for plain in targets.values():
        plain.run()
    outer = sum(plain.seconds for plain in targets.values())
    said = {"features": features, "fits": clock.inside, "autologging": outer - clock.inside}
    number = sum(p.fits for p in targets.values())
    errors = {name: {h: [p.chosen[h][1], p.best[h][1]] for h in p.best} for name, p in targets.items()}
    print(json.dumps({**said, "number": number, "errors": errors}), flush=True)


def _features(options: argparse.Namespace) -> tuple[FeatureTable, Borders, settings.Pipeline]:
    text = (ROOT / "config.yaml").read_text("utf-8").replace("[1, 7, 14, 30]", f"[{options.horizons}]")
    config = settings.parse(text).pipelines["produce"]
    table = build(_sales(options.days), config.contract, config.training.horizons)
    return table, borders(table.origin, config.training.split), config


def _newest(rows: pd.DataFrame, days: int) -> pd.DataFrame:
    return rows[rows["date"] > rows["date"].max() - pd.Timedelta(days=days)]


def _sales(days: int) -> pd.DataFrame:
    frame = _newest(pd.read_parquet(DATA / FILES["sales"]), days)
    frame = frame.merge(pd.read_parquet(DATA / FILES["wholesale"]), on=["date", "item_code"], how="left")
    for lookup in (FILES["items"], FILES["loss"]):
        frame = frame.merge(pd.read_csv(DATA / lookup, dtype={"item_code": str}), on="item_code", how="left")
    return frame.assign(category_name=frame["category_name"].fillna("unknown"))


class _Plain:
    """The plain script on one target: what it fits, and what that takes with all that is patched around `fit`."""

    def __init__(self, table: FeatureTable, cut: Borders, config: settings.Pipeline, target: str, threads: int) -> None:
        kept = config.training.features_kept
        self.features = selection.choose(table, target, config.training.horizons, cut.validation, kept).kept
        self.table, self.cut, self.training, self.target, self.threads = table, cut, config.training, target, threads
        self.fits, self.seconds = 0, 0.0
        self.best: dict[str, tuple[float, Errors]] = {}
        """By near horizon, of the model that comes out best on the validation days themselves: its WAPE, and its errors there."""
        self.chosen: dict[str, tuple[float, Errors]] = {}
        """By near horizon, of the model with the best cross-validation score: that score, and its errors on validation days."""

    def run(self) -> None:
        near = sorted(self.training.horizons)[:2]
        blend = portfolio.recipe("blend", self.target, self.table, self.training.horizons, self.training.seed)
        params: dict[str, dict[str, Any]] = {}
        for h in sorted(self.training.horizons):
            rows = _Rows(self.table, self.cut, self.training, self.target, h, self.features)
            for name in ESTIMATORS:
                if h in near:
                    params[name] = self._search(name, h, rows)
                for border in (self.cut.test, self.cut.end):
                    self._fit(name, params[name], "log", rows, border)
            for part in blend["params"]["parts"].values():
                for border in (self.cut.validation, self.cut.test, self.cut.end):
                    self._fit(part["estimator"], part["params"], part["scale"], rows, border, tuple(part["rows"]))

    def _search(self, name: str, h: int, rows: _Rows) -> dict[str, Any]:
        """The best parameters. Each transform is a search of its own, and since scores in other units cannot be compared, the
        usual one, which is the first, makes the choice."""
        kind, space = ESTIMATORS[name], self.training.spaces[name]
        model = kind.make(kind.params, self.training.seed, 1)
        prefix = f"{model.steps[-1][0]}__" if isinstance(model, Pipeline) else ""
        grid = {prefix + k: list(v) for k, v in space.items() if k != "transform"}
        x, splits = rows.seen.matrix(kind.tames), rows.splits()
        usual, *others = [portfolio.SCALES[transform] for transform in space.get("transform", ("log_ratio",))]
        made = {}
        for scale in (usual, *others):
            made[scale] = GridSearchCV(
                model, grid, cv=splits, scoring="neg_mean_absolute_error", n_jobs=2, refit=scale == usual
            )
            self._timed(made[scale], x[rows.training], rows.learnt[scale][rows.training])
            self.fits += len(made[scale].cv_results_["params"]) * len(splits) * bool(space)
        searched = made[usual]
        self.fits += 1
        said = rows.reference[rows.scored] * np.exp(searched.predict(x[rows.scored])) - rows.floor
        actual = rows.actual[rows.scored]
        key, measured = horizon_key(h), measure(actual, said, None)
        errors = {metric: measured[metric] for metric in (*ERRORS, "bias")}
        self.best[key] = min(self.best.get(key, (np.inf, {})), (float(errors["wape"] or 0.0), errors), key=itemgetter(0))
        self.chosen[key] = max(self.chosen.get(key, (-np.inf, {})), (float(searched.best_score_), errors), key=itemgetter(0))
        return {k.removeprefix(prefix): v for k, v in searched.best_params_.items()}

    def _fit(
        self, name: str, params: dict[str, Any], scale: str, rows: _Rows, border: np.datetime64, share: portfolio.Share = (0, 1)
    ) -> None:
        kind, learn = ESTIMATORS[name], np.flatnonzero(known_before(rows.day, border) & rows.usable)
        learn = learn[portfolio.dealt(share, len(learn))]
        model = kind.make({**kind.params, **params}, self.training.seed, self.threads)
        self._timed(model, rows.seen.matrix(kind.tames)[learn], rows.learnt[scale][learn])
        self.fits += 1

    def _timed(self, model: Any, x: np.ndarray, y: np.ndarray) -> None:
        began = time.monotonic()
        model.fit(x, y)
        self.seconds += time.monotonic() - began


class _Rows:
    """One horizon's features, ready as matrices, and what is learnt from them."""

    def __init__(self, table: FeatureTable, cut: Borders, training: Any, target: str, h: int, features: Sequence[str]) -> None:
        self.day, self.actual, self.origin = table.target_day(h), table.targets[target][h], table.origin
        learn = known_before(self.day, cut.validation) & ~np.isnan(self.actual)
        self.floor = portfolio.floor_of({h: self.actual}, {h: learn}) if table.floored[target] else 0.0
        self.reference = table.x[table.reference[target]].to_numpy() + self.floor
        self.usable = (self.actual + self.floor > 0) & (self.reference > 0)
        self.folds = folds(self.origin, cut, training.search.folds)
        x = table.x[[feature.replace("_ahead_*", ahead_suffix(h)) for feature in features]]
        # what the first fold has no value of at all, histogram boosting refuses
        first = portfolio.inputs(x.loc[known_before(self.day, self.folds[0].start) & self.usable], tamed=False)
        x = x[[*first["columns"], *first["words"]]]
        entry = portfolio.inputs(x.loc[learn & self.usable], tamed=True)
        self.seen = served_model.Matrices(entry, x)
        with np.errstate(invalid="ignore", divide="ignore"):
            self.learnt = {
                scale: served_model.towards(scale, self.actual + self.floor, self.reference)
                for scale in portfolio.SCALES.values()
            }
        self.training = np.flatnonzero(known_before(self.day, cut.validation) & self.usable)
        self.scored = within(self.origin, self.day, cut.validation, cut.test) & self.usable

    def splits(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """What GridSearchCV takes: places among the training rows to learn from and to score."""
        day, origin = self.day[self.training], self.origin[self.training]
        return [
            (np.flatnonzero(known_before(day, f.start)), np.flatnonzero(within(origin, day, f.start, f.end)))
            for f in self.folds
        ]


# ---- the report ----


def _report(ours: Run, refresh: Run, plain: Run, options: argparse.Namespace) -> list[str]:
    said, outcome = plain.lines[-1][1], ours.outcome
    stages = ours.stages
    fitted = stages["searching"] + stages["fitting"]
    peer = plain.wall - said["features"]
    times = (
        f"The job is {peer / ours.wall:.1f} times as fast (aim: {GOAL:g}); without the script's autologging "
        f"{(peer - said['autologging']) / ours.wall:.1f} times; its search and fits alone {said['fits'] / fitted:.1f} times."
    )
    lines = [
        "# A train job beside a plain script",
        "",
        f"`make bench-training`, {dt.date.today()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} when it ended.",  # noqa: DTZ011
        f"Both make {said['number']} fits, of equal estimators on equal rows, for {len(said['errors'])} targets and the horizons",
        f"{options.horizons}. {(__doc__ or '').split(chr(10) * 2)[1]}",
        "",
        "| | wall s | CPU s | peak MB |",
        "|---|---|---|---|",
        f"| train job, all of it | {ours.wall:.1f} | {ours.cpu:.1f} | {ours.memory / 1e6:.0f} |",
        f"| plain script, less its features | {peer:.1f} | {plain.cpu:.1f} with them | {plain.memory / 1e6:.0f} |",
        f"| refresh of the job's choice | {refresh.wall:.1f} | {refresh.cpu:.1f} | {refresh.memory / 1e6:.0f} |",
        "",
        times,
        "",
        f"Where the job's time goes: {_shares(ours)}.",
        f"Where the refresh's goes ({_choices(outcome)}): {_shares(refresh)}.",
        "Where the script's goes: "
        + ", ".join(f"{name} {said[name]:.1f} s" for name in ("fits", "autologging"))
        + f"; features, which are not counted, {said['features']:.1f} s.",
        "",
        "The job chooses one model for all horizons of a target, by forecasts of days it has not seen. The script chooses, at each",
        "horizon, by cross-validation; its best is picked on the very days that the errors are of.",
        "",
    ]
    return lines + _errors(outcome, said["errors"])


def _errors(outcome: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """A row a forecaster at each near horizon, and where the job's is the worse one. theirs: target -> horizon -> the script's
    errors, of its choice and of its best."""
    lines = ["| on the validation days | | WAPE % | MAPE % | RMSE | bias % |", "|---|---|---|---|---|---|"]
    ratios, above = [], []
    for result in outcome["results"]:
        figures = result["candidates"][0]["figures"]
        for h, (chosen, best) in theirs[result["target"]].items():
            ours_there = {metric: figures[f"validation_{metric}_{h}"] for metric in (*ERRORS, "bias")}
            whose = {"train job's choice": ours_there, "plain script's choice": chosen, "plain script's best": best}
            lines += [
                f"| {result['target']} {h} | {who} | {e['wape']:.2f} | {e['mape']:.2f} | {e['rmse']:.3f} | {e['bias']:+.1f} |"
                for who, e in whose.items()
            ]
            ratios.append([[ours_there[metric] / other[metric] for metric in ERRORS] for other in (chosen, best)])
            more = {metric: 100 * (ours_there[metric] / chosen[metric] - 1) for metric in ERRORS}
            above += [f"{result['target']} {h} {metric.upper()} {m:+.1f} %" for metric, m in more.items() if m > TOLD]
    means = 100 * (np.mean(ratios, axis=0) - 1)
    lines += [
        f"| mean of the job's against it | {who} | {' | '.join(f'{mean:+.1f} %' for mean in of)} | |"
        for who, of in zip(("plain script's choice", "plain script's best"), means, strict=True)
    ]
    return [*lines, "", f"Worse than the script's choice: {', '.join(above) or 'nothing'}.", *WHY]


def _shares(run: Run) -> str:
    stages = run.stages
    return ", ".join(f"{name} {stages[name]:.1f} s" for name in ("starting", *STAGES) if stages[name])


def _choices(outcome: dict[str, Any]) -> str:
    return ", ".join(f"{result['target']}: {result['candidates'][0]['recipe']['algorithm']}" for result in outcome["results"])


if __name__ == "__main__":
    main()
