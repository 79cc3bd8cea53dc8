"""kill -9 of the daemon (and its child) at each point of a training and of a promotion, one after the other on one site.

Each start finishes what the last one left and dies a point later; in the end everything happened once. `chain` is the
whole matrix in one walk: the points are visited in their order, so a restart repeats every step that was done before.
"""

from __future__ import annotations

import signal
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from real_site import aliases, events, make_site, run_until_idle, state_of, tags
from small_shop import EDITS, write_history, write_policies

TRAINING = (
    "journal.appended.retrain.requested", "runner.before_start.train", "runner.started.train",
    "train.before_log:daemon", "train.logged:daemon", "train.before_register:daemon", "train.registered:daemon",
    "train.registered:daemon#2", "train.before_result:daemon", "train.result_saved:daemon",
    "supervisor.before_outcome.train", "journal.appended.training.finished",
)  # fmt: skip
PROMOTION = (
    "journal.appended.promotion.intended", "runner.before_start.promote", "runner.started.promote",
    "promotion.before_tag:daemon", "promotion.tagged:daemon", "promotion.before_alias:daemon",
    "promotion.alias_set:daemon", "promotion.after_alias:daemon", "promotion.archived:daemon",
    "promotion.read_back:daemon", "supervisor.before_outcome.promote", "journal.appended.promotion.done",
)  # fmt: skip

SOME = ("runner.started.train", "train.logged:daemon", "train.registered:daemon", "train.result_saved:daemon",
        "journal.appended.training.finished")  # fmt: skip
"""After each thing that another start finds."""
COMMIT = ("promotion.before_alias:daemon", "promotion.alias_set:daemon", "promotion.archived:daemon",
          "supervisor.before_outcome.promote")  # fmt: skip
"""Around the one alias that consumers read; tests/jobs/test_promote.py kills the job itself at every point."""


def runs(site: Path) -> Counter[str]:
    with sqlite3.connect(f"file:{site / 'mlflow' / 'mlflow.db'}?mode=ro", uri=True) as registry:
        return Counter(status for (status,) in registry.execute("SELECT status FROM runs"))


def die_at(site: Path, point: str) -> None:
    done = run_until_idle(site, env={"RETRAIND_FAILPOINT": point}, seconds=180)
    assert done.returncode == -signal.SIGKILL, f"{point} was not reached:\n{done.stderr}"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = make_site(tmp_path / "site", EDITS)
    write_policies(site)
    write_history(site / "drops")
    return site


@pytest.mark.parametrize("points", [SOME, pytest.param(TRAINING, marks=pytest.mark.long)], ids=["some", "every"])
def test_a_training_killed_at_each_point_ends_once(site: Path, points: tuple[str, ...]) -> None:
    for point in points:
        die_at(site, point)
    done = run_until_idle(site, seconds=180)
    assert done.returncode == 0, done.stderr
    flow = state_of(site).flow("produce")
    assert [r.state for r in flow.requests.values()] == ["finished"]
    assert len(events(site, "training.finished")) == 1
    assert {d.state for d in flow.drops.values()} == {"accepted"}
    registered = Counter(tags(site, "retraind.algorithm").values())
    assert registered == {"linear_regression": 1, "ridge": 1}
    assert "RUNNING" not in runs(site)
    agrees(site)


@pytest.mark.long  # the job alone is killed at each point in tests/jobs/test_promote.py
def test_a_promotion_killed_at_every_point_is_whole(site: Path) -> None:
    for point in PROMOTION:  # the first promotion, to Staging
        die_at(site, point)
    for point in COMMIT:  # the second, to Production
        die_at(site, point)
    done = run_until_idle(site, seconds=180)
    assert done.returncode == 0, done.stderr
    assert [(r.event.version, r.event.to) for r in events(site, "promotion.done")] == [(1, "staging"), (1, "production")]
    assert len(events(site, "promotion.intended")) == 2
    agrees(site)


def agrees(site: Path) -> None:
    """Journal, aliases and tags say the same."""
    model = state_of(site).flow("produce").models["demand"]
    assert model.champion is not None
    assert model.intention is None
    found = aliases(site)
    assert found.get(("demand", "champion")) == model.champion
    assert found.get(("demand", "challenger")) == model.challenger
    assert found.get(("demand", "last-good")) == model.last_good
    stages = tags(site, "retraind.stage")
    assert {v.version: v.stage for v in model.versions.values()} == {n: s for (_, n), s in stages.items()}
