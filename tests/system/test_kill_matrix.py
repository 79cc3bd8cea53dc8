"""The whole matrix: one site a seed is killed at every point in an order of its own, and ends as one that never was.

Other than tests/system/test_kills.py, which walks through a training and a promotion, this takes every point there is: each
event the journal can get, each job's start and outcome, each effect, with the daemon, or the child alone, as the victim.
"""

from __future__ import annotations

import random
import re
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from real_site import aliases, events, make_site, run_until_idle, state_of, tags
from small_shop import EDITS, write_history, write_policies, write_week

ROOT = Path(__file__).resolve().parents[2]
NAMES = re.compile(r'failpoint\(f?"([^"]+)"\)')
WEEKS = 2
QUICK = EDITS | {"models: [blend, linear_regression, ridge, random_forest, gradient_boosting]": "models: [ridge]",
                 "retries: 3 ": "retries: 99 "}  # fmt: skip
"""A hundred restarts: one light model, and no job is given up for the children of it that were killed."""


def points(undisturbed: Path) -> list[str]:
    """Every failpoint that the code has, its variables filled in with what this site does."""
    kinds = sorted({r.event.KIND for r in events(undisturbed)})
    steps = sorted({r.event.step for r in events(undisturbed, "job.started")})
    found: list[str] = []
    for path in sorted((ROOT / "daemon").rglob("*.py")):
        for name in NAMES.findall(path.read_text("utf-8")):
            filled = [kinds, steps][not name.startswith("journal.")] if "{" in name else [""]
            inside = "/jobs/" in str(path)
            victims = [":daemon", ""] if inside else [""]
            found += [re.sub(r"\{.*\}", value, name) + victim for value in filled for victim in victims]
    return list(dict.fromkeys(found))


def made(folder: Path) -> Path:
    site = make_site(folder, QUICK)
    write_policies(site)
    write_history(site / "drops")
    return site


def projection(site: Path) -> dict[str, Any]:
    """What must be the same, whatever happened on the way."""
    flow = state_of(site).flow("produce")
    algorithm = {v: name for (_, v), name in tags(site, "retraind.algorithm").items()}
    with sqlite3.connect(f"file:{site / 'mlflow' / 'mlflow.db'}?mode=ro", uri=True) as registry:
        running = registry.execute("SELECT count(*) FROM runs WHERE status = 'RUNNING'").fetchone()[0]
    return {
        "drops": {d.name: d.state for d in flow.drops.values()},
        "left in drops": sorted(p.name for p in (site / "drops").iterdir()),
        "store": sorted((f.table, f.sha256) for f in flow.store),  # a batch that died is found by halves: others go ahead
        "store on disk": sorted(p.name for p in (site / "state" / "store").rglob("*") if p.is_file()),
        "requests": [(r.state, r.data_end) for r in flow.requests.values()],
        "versions": sorted(algorithm.values()),
        "aliases": sorted((model, alias, algorithm[version]) for (model, alias), version in aliases(site).items()),
        "stages": sorted(tags(site, "retraind.stage").values()),
        "forecasts": sorted(p.name for p in (site / "state" / "forecasts").iterdir()),
        "scores": sorted(p.name for p in (site / "state" / "scores").iterdir()),
        "orders": (site / "orders" / "orders.csv").read_text().splitlines()[0],
        "runs left running": running,
    }  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = made(tmp_path_factory.mktemp("undisturbed") / "site")
    for week in range(WEEKS + 1):
        if week:
            write_week(site / "drops", week)
        done = run_until_idle(site, seconds=600)
        assert done.returncode == 0, done.stderr
    return site


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_a_site_killed_at_every_point_ends_as_one_that_never_was(
    tmp_path: Path, undisturbed: Path, seed: int, record_property: Callable[[str, object], None]
) -> None:
    dice, told = random.Random(seed), tmp_path / "told"
    left = points(undisturbed)
    site, week = made(tmp_path / "site"), 0
    told.touch()
    while True:
        armed = dice.sample(left, (len(left) + 1) // 2)
        done = run_until_idle(site, env={"RETRAIND_FAILPOINT": ",".join(armed), "RETRAIND_FAILPOINT_TOLD": str(told)}, seconds=600)
        assert "Traceback" not in done.stderr, done.stderr[-3000:]
        died = set(told.read_text().split()) & set(left)
        left = [point for point in left if point not in died]
        if done.returncode == -signal.SIGKILL or died:
            continue
        assert done.returncode == 0, done.stderr[-3000:]
        if week == WEEKS:
            break
        week += 1
        write_week(site / "drops", week)
    kills = len(told.read_text().split())
    done = run_until_idle(site, seconds=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert kills > 20
    assert projection(site) == projection(undisturbed)
    record_property("tried", f"kill -9 of the daemon or a child, at points in an order by seed: {kills}")
