"""A training and a promotion that are killed with their daemon, stopped, or kept waiting: in the end everything happened once.

kill -9 comes at each point, one after the other on one site: each start finishes what the last one left and dies a point
later. SIGTERM comes at moments by a dice. MLflow's store is held by another process.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from held import held
from real_site import aliases, copy_site, events, run_until_idle, running, state_of, tags

TRAINING = (  # the first, "journal.appended.retrain.requested", is where the site comes from
    "runner.before_start.train", "runner.started.train",
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

SOME = ("train.logged:daemon", "train.registered:daemon", "train.result_saved:daemon")
"""After each thing that MLflow or the disk keeps."""
COMMIT = ("promotion.before_alias:daemon", "promotion.alias_set:daemon", "promotion.archived:daemon",
          "supervisor.before_outcome.promote")  # fmt: skip
"""Around the one alias that consumers read; tests/jobs/test_promote.py kills the job itself at every point."""


def runs(site: Path) -> Counter[str]:
    with sqlite3.connect(f"file:{site / 'mlflow' / 'mlflow.db'}?mode=ro", uri=True) as registry:
        return Counter(status for (status,) in registry.execute("SELECT status FROM runs"))


def die_at(site: Path, point: str) -> None:
    done = run_until_idle(site, env={"RETRAIND_FAILPOINT": point}, seconds=600)
    assert done.returncode == -signal.SIGKILL, f"{point} was not reached:\n{done.stderr}"


@pytest.fixture
def site(tmp_path: Path, trainable: Path) -> Path:
    return copy_site(trainable, tmp_path / "site")


@pytest.mark.parametrize("points", [SOME, pytest.param(TRAINING, marks=pytest.mark.long)], ids=["some", "every"])
def test_a_training_killed_at_each_point_ends_once(site: Path, points: tuple[str, ...]) -> None:
    for point in points:
        die_at(site, point)
    done = run_until_idle(site, seconds=600)
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
    done = run_until_idle(site, seconds=600)
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


# ---- a stop at any moment of a training ----


def stopped(site: Path, moment: float) -> None:
    """Stop a daemon `moment` seconds after its training began: exit 0, every job's end told, no process left."""
    with running(site) as daemon:
        daemon.wait_for("step=train", seconds=120)
        time.sleep(moment)  # the moment is what is tried
        below = psutil.Process(daemon.process.pid).children(recursive=True)
        assert daemon.stop(seconds=40) == 0, daemon.log
        assert "Traceback" not in daemon.log
    assert not [process for process in below if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert events(site)[-1].event.KIND == "daemon.stopped"
    started, ended = ([r.event.job for r in events(site, kind)] for kind in ("job.started", "job.ended"))
    assert sorted(started) == sorted(ended)


def ends_once(site: Path) -> None:
    """What was interrupted is finished: one training, each version once, nothing left running, alias as the journal has it."""
    done = run_until_idle(site, seconds=600)
    assert done.returncode == 0, done.stderr
    assert len(events(site, "training.finished")) == 1
    assert Counter(tags(site, "retraind.algorithm").values()) == {"linear_regression": 1, "ridge": 1}
    with sqlite3.connect(f"file:{site / 'mlflow' / 'mlflow.db'}?mode=ro", uri=True) as registry:
        assert not registry.execute("SELECT count(*) FROM runs WHERE status = 'RUNNING'").fetchone()[0]
    assert aliases(site)["demand", "champion"] == events(site, "promotion.done")[-1].event.version


def test_a_stop_in_a_training_ends_it_and_leaves_no_child(tmp_path: Path, trainable: Path) -> None:
    site = copy_site(trainable, tmp_path / "site")
    stopped(site, 0.0)
    (told,) = [r.event for r in events(site, "job.ended") if r.event.step == "train" and r.event.outcome != "lost"]
    assert (told.outcome, told.what) == ("killed", "was ended because the daemon stops")


MOMENTS = 6


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_a_stop_at_any_moment_of_a_training_ends_clean_and_the_training_is_made_once(
    tmp_path: Path, trainable: Path, seed: int, record_property: Callable[[str, object], None]
) -> None:
    site = copy_site(trainable, tmp_path / "whole")
    began = time.monotonic()
    with running(site) as daemon:
        daemon.wait_for("step=train", seconds=120)
        began = time.monotonic()
        daemon.wait_for("training.finished", seconds=600)
        whole = time.monotonic() - began
    dice, site = random.Random(seed), copy_site(trainable, tmp_path / "site")
    for n in range(MOMENTS):  # one after the other on one site: each finds what the one before had begun
        if events(site, "training.finished"):
            ends_once(site)
            site = copy_site(trainable, tmp_path / f"site-{n}")
        stopped(site, whole * (n + dice.random()) / MOMENTS)
    ends_once(site)
    record_property("tried", f"SIGTERM in a training, at moments by seed: {MOMENTS}")


# ---- a store that another process holds ----


@pytest.mark.long
@pytest.mark.parametrize("seconds", [10, 60])
def test_a_store_that_another_process_holds_in_a_training_and_a_promotion_costs_only_time(
    tmp_path: Path, trainable: Path, seconds: int, record_property: Callable[[str, object], None]
) -> None:
    site = copy_site(trainable, tmp_path / "site")
    with running(site) as daemon:
        for began, ended in (("step=train", "training.finished"), ("promotion.intended", "promotion.done")):
            daemon.wait_for(began, seconds=120)
            with held(site / "mlflow" / "mlflow.db"):
                time.sleep(seconds)
                assert daemon.process.poll() is None
            daemon.wait_for(ended, seconds=600)
        assert daemon.stop(seconds=60) == 0
    ends_once(site)
    record_property("tried", f"seconds that MLflow's store was held by another process: {2 * seconds}")
