"""The closed loop on the real data: weekly drops for 2022 and to March 2023, worked off by the daemon.

    python bench/loop.py [--weeks N] [--clock data|wall] [--models LIST] [--against FOLDER] [--keep FOLDER]

History to the end of 2021, then a drop a week, four horizons, both targets, shipped policies and settings but for the clock
(and quicker waits). Prints by month the champion's live WAPE beside persistence and seasonal naive, and what was trained,
promoted and rolled back, with causes. `--clock wall` starts the daemon anew on the day after each drop; `--against` holds the
events of two runs against each other, times aside.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from retraind.core.figures import Sums
from retraind.core.live import figures
from retraind.journal.read import opened, records

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
CUT, FIRST = pd.Timestamp("2021-12-31"), pd.Timestamp("2022-01-01")
WEEKS = 65


def main() -> None:
    """Run, print, compare."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--weeks", type=int, default=WEEKS)
    arguments.add_argument("--clock", choices=("data", "wall"), default="data")
    arguments.add_argument("--models", help="training.models, such as gradient_boosting,ridge; all where none is named")
    arguments.add_argument("--keep", type=Path, help="the site's folder; a temporary one where none is named")
    arguments.add_argument("--against", type=Path, help="the kept site of another run")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        site = asked.keep or Path(temporary) / "site"
        if not (site / "config.yaml").exists():
            began = time.monotonic()
            _make(site, asked.clock, asked.models)
            (_on_data_clock if asked.clock == "data" else _on_wall_clock)(site, asked.weeks)
            print(f"{asked.weeks} weeks on the {asked.clock} clock in {(time.monotonic() - began) / 60:.1f} min\n")
        found = _events(site)
        for line in [*_weeks(found), "", *_months(found), "", *_deeds(found)]:
            print(line)
        if asked.against:
            print()
            for line in _beside(_decisions(found), _decisions(_events(asked.against))):
                print(line)


# ---- the run ----


def _make(site: Path, clock: str, models: str | None) -> None:
    subprocess.run([sys.executable, "-m", "retrainctl", "init", str(site)], check=True, stdout=subprocess.DEVNULL)
    config = (site / "config.yaml").read_text("utf-8")
    edits = {"clock: wall ": f"clock: {clock} ", "quiet: 2m": "quiet: 0s", "settle: 3s": "settle: 0s"}
    if models:
        edits["models: [blend, linear_regression, ridge, random_forest, gradient_boosting]"] = f"models: [{models}]"
    for old, new in edits.items():
        if config.count(old) != 1:
            raise SystemExit(f"config.yaml holds {old!r} {config.count(old)} times")
        config = config.replace(old, new)
    (site / "config.yaml").write_text(config, "utf-8")
    for name in ("items.csv", "loss_rates.csv"):
        (site / "drops" / name).write_bytes((DATA / name).read_bytes())
    for table, frame in _tables():
        frame[frame.date <= CUT].to_parquet(site / "drops" / f"{table}_history.parquet")


def _tables() -> Iterator[tuple[str, pd.DataFrame]]:
    for table in ("wholesale_prices", "daily_sales"):
        yield table, pd.read_parquet(DATA / f"{table}.parquet")


def _drop(site: Path, week: int) -> pd.Timestamp:
    start = FIRST + pd.Timedelta(days=7 * week)
    end = start + pd.Timedelta(days=6)
    for table, frame in _tables():
        rows = frame[(frame.date >= start) & (frame.date <= end)]
        if len(rows):
            rows.to_csv(site / "drops" / f"{table}_{end:%Y-%m-%d}.csv", index=False)
    return end


def _on_data_clock(site: Path, weeks: int) -> None:
    for week in range(weeks):
        _drop(site, week)
    _daemon(site, {})


def _on_wall_clock(site: Path, weeks: int) -> None:
    """Shanghai's one o'clock of the day after each drop."""
    end = CUT
    for week in range(weeks + 1):
        if week:
            end = _drop(site, week - 1)
        _daemon(site, {"RETRAIND_CLOCK": f"{end + pd.Timedelta(days=1):%Y-%m-%d}T01:00:00+08:00"})


def _daemon(site: Path, env: dict[str, str]) -> None:
    with (site / "daemon.log").open("ab") as log:
        subprocess.run([sys.executable, "-m", "retraind", "--config", str(site / "config.yaml"), "--until-idle"],
                       check=True, stdout=log, stderr=log, env={**os.environ, **env})  # fmt: skip


# ---- what came of it ----


def _events(site: Path) -> list[Any]:
    with opened(site / "state" / "journal.db") as connection:
        return list(records(connection))


def _weeks(found: list[Any]) -> list[str]:
    kinds = defaultdict(int)
    for record in found:
        kinds[record.event.KIND] += 1
    names = ("drop.accepted", "drop.quarantined", "forecast.made", "forecast.scored", "drift.measured", "day.incomplete",
             "training.finished", "promotion.done")  # fmt: skip
    return [", ".join(f"{kinds[name]} {name}" for name in names)]


def _months(found: list[Any]) -> list[str]:
    cells = [
        (cell.target, cell.horizon, cell.date, "champion" if cell.role == "champion" else cell.forecaster, cell.sums)
        for record in found if record.event.KIND == "forecast.scored" for cell in record.event.cells
    ]  # fmt: skip
    served = {(target, horizon, date) for target, horizon, date, who, _ in cells if who == "champion"}
    sums: dict[tuple[str, int, str, str], list[Sums]] = defaultdict(list)
    for target, horizon, date, who, one in cells:
        sums[target, horizon, f"{date:%Y-%m}", who].append(one)
        if (target, horizon, date) in served:
            sums[target, horizon, "served", who].append(one)
    lines = ["live WAPE %, by month of the target day: champion / persistence / seasonal naive; served: days with a champion"]
    for target in sorted({k[0] for k in sums}):
        horizons = sorted({k[1] for k in sums if k[0] == target})
        lines.append(f"{target:8}" + "".join(f"{f'{h} days ahead':>25}" for h in horizons))
        for month in sorted({k[2] for k in sums if k[0] == target}):
            named = (sums[target, h, month, w] for h in horizons for w in ("champion", "persistence", "seasonal_naive"))
            shown = [f"{v:6.2f}" if v is not None else "     -" for v in map(_wape, named)]
            triples = (" / ".join(shown[i : i + 3]) for i in range(0, len(shown), 3))
            lines.append(f"{month:8}" + "".join(f"{t:>25}" for t in triples))
    return lines


def _wape(parts: list[Sums]) -> float | None:
    rows = sum(s.rows for s in parts)
    return figures(Sums(rows, error=sum(s.error for s in parts), actual=sum(s.actual for s in parts)))["wape"]


def _deeds(found: list[Any]) -> list[str]:
    lines = ["what was trained, promoted and taken back (site time)"]
    for record in found:
        event, day = record.event, f"{record.times.site + dt.timedelta(hours=8):%Y-%m-%d}"
        if event.KIND == "retrain.requested":
            lines.append(f"{day}  {event.kind} of {', '.join(event.targets)}: {'; '.join(c.words for c in event.causes)}")
        elif event.KIND == "promotion.done":
            lines.append(f"{day}  {event.model} v{event.version} -> {event.to} (champion was {event.champion})")
    return lines


_SAID: dict[str, Any] = {
    "drop.accepted": lambda e: [str(e.file.last_date), e.file.sha256],
    "forecast.scored": lambda e: [[c.target, c.forecaster, c.horizon, str(c.date), round(c.sums.error, 6)] for c in e.cells],
    "drift.measured": lambda e: [str(e.last_date), e.rank, e.drifting],
    "retrain.requested": lambda e: [e.kind, str(e.data_end), sorted(c.kind for c in e.causes)],
    "decision.made": lambda e: [e.model, e.version, e.verdict, e.to, [[c.id, c.outcome] for c in e.conditions]],
    "promotion.done": lambda e: [e.model, e.version, e.to, e.champion, e.last_good],
}
"""What an event said of the site, times and names aside."""


def _decisions(found: list[Any]) -> dict[str, list[str]]:
    """By kind, each in its own order: on the wall clock lanes run side by side."""
    said: dict[str, list[str]] = defaultdict(list)
    for record in found:
        if record.event.KIND in _SAID:
            said[record.event.KIND].append(json.dumps(_SAID[record.event.KIND](record.event)))
    said["drop.accepted"].sort()  # files that came together are taken in any order
    return said


def _beside(one: dict[str, list[str]], other: dict[str, list[str]]) -> list[str]:
    """Of two runs, the shorter one may still be under way."""
    lines = []
    for kind in sorted({*one, *other}):
        mine, theirs = one.get(kind, []), other.get(kind, [])
        differing = [f"   {a[:200]}\n   {b[:200]}" for a, b in zip(mine, theirs, strict=False) if a != b]
        lines += [f"{kind}: {len(mine)} and {len(theirs)}, {len(differing) or 'none'} differ", *differing[:3]]
    return lines


if __name__ == "__main__":
    main()
