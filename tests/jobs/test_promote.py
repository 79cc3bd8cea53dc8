"""The jobs `prepare` and `promote`, on SQLite and on a server: one commit point, and nothing moves that should not."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from faulty_proxy import Fault, Faults, faulty_proxy
from held import held
from retraind.aliases import look
from retraind.core.steps import (
    Archive,
    Archived,
    Bare,
    Outcome,
    Prepare,
    Prepared,
    Promote,
    Promoted,
    Spent,
    Trained,
    Unmoved,
)
from retraind.errors import RetraindError
from retraind.jobs import checkup
from retraind.jobs import registry as mlflow_registry
from retraind.jobs.archive import ARCHIVE_POINTS, archive
from retraind.jobs.promote import PROMOTION_POINTS, prepare, promote
from retraind.jobs.train import train
from retraind.jobs.training import model_cache
from trained_shop import Shop, config, ended, frame, run, shop, start

LINEAR = {
    "models: [blend, linear_regression, ridge, random_forest, gradient_boosting]": "models: [linear_regression, ridge]"
}
SQLITE = "tracking_uri: sqlite:///mlflow/mlflow.db"


@contextlib.contextmanager
def server(folder: Path, python: str = sys.executable) -> Iterator[str]:
    """An MLflow server on a free port, ready to answer. python: of the environment whose MLflow it is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = f"sqlite:///{folder / 'server.db'}"
    command = [
        python,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        store,
        "--artifacts-destination",
        str(folder / "artifacts"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    log = (folder / "server.log").open("w")
    # nobody here asks for the server's own jobs, for which it starts eight more processes that import MLflow each
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **quiet})
    try:
        yield _when_ready(f"http://127.0.0.1:{port}", process, folder / "server.log")
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its store is thrown away
        process.wait(timeout=30)


def _when_ready(uri: str, process: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(720):
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{uri}/health", timeout=5):
            return uri
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.25)
    raise AssertionError(f"the server did not start:\n{log.read_text()[-2000:]}")


@dataclasses.dataclass(frozen=True)
class Versions:
    """A site with versions of `price`, with what the journal would know of them."""

    shop: Shop
    client: MlflowClient
    digests: dict[int, str]
    server: str | None
    """The release of the server, where there is one."""

    def step(self, version: int, champion: int | None, **more: object) -> Promote:
        values = {"to": "production", "decision": "d1", "policy": "p@1", "last_good": champion, **more}
        return Promote("price", version, champion=champion, model_digest=self.digests[version], **values)  # type: ignore[arg-type]

    def alias(self, name: str) -> int | None:
        found = self.client.get_registered_model("price").aliases
        return int(found[name]) if name in found else None

    def stage(self, version: int) -> str:
        return str(self.client.get_model_version("price", str(version)).tags["retraind.stage"])

    def set(self, champion: int | None, **aliases: int) -> None:
        """The registry as it was before a test: these aliases and no others."""
        wanted = {**aliases, **({"champion": champion} if champion else {})}
        for name in ("champion", "challenger", "last-good"):
            if name.replace("-", "_") in wanted:
                self.client.set_registered_model_alias("price", name, str(wanted[name.replace("-", "_")]))
            else:
                self.client.delete_registered_model_alias("price", name)
        for version in self.digests:
            stage = "Production" if version == champion else "None"
            self.client.set_model_version_tag("price", str(version), "retraind.stage", stage)


OLD = os.environ.get("RETRAIND_OLD_MLFLOW", "")
"""A virtual environment with the oldest MLflow whose server is promised to work (docs/mlflow.md); the server's tests run against
it, too."""


@pytest.fixture(scope="module", params=["sqlite", "server", *(["old server"] if OLD else [])])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Versions]:
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as stack:
        edits, release = dict(LINEAR), None
        if request.param != "sqlite":
            python = f"{OLD}/bin/python" if request.param == "old server" else sys.executable
            release = _release(python)
            edits[SQLITE] = f"tracking_uri: {stack.enter_context(server(folder, python))}"
        site = shop(folder / "site", frame(items=2, days=260), config(**edits))
        outcomes = [train(site.step(f"r{n}", ["price"]), site.job()) for n in (1, 2)]
        uri = mlflow_registry.tracking_uri(site.settings.mlflow, site.root)
        digests: dict[int, str] = {}
        for outcome in outcomes:
            assert isinstance(outcome, Trained)
            digests |= {c.version: c.model_digest for c in outcome.results[0].candidates}
        yield Versions(site, MlflowClient(tracking_uri=uri, registry_uri=uri), digests, release)


def _release(python: str) -> str:
    asks = "import importlib.metadata as m; print(m.version('mlflow'))"
    return subprocess.run([python, "-c", asks], capture_output=True, text=True, check=True).stdout.strip()


def test_a_training_on_this_store_made_one_version_a_candidate(made: Versions) -> None:
    assert sorted(made.digests) == [1, 2, 3, 4]


def test_the_first_champion_is_set_with_stage_decision_and_policy(made: Versions) -> None:
    made.set(None)
    assert promote(made.step(1, None), made.shop.job()) == Promoted(champion=1, last_good=None)
    tags = made.client.get_model_version("price", "1").tags
    assert (tags["retraind.stage"], tags["retraind.decision"], tags["retraind.policy"]) == ("Production", "d1", "p@1")
    assert (made.alias("champion"), made.alias("challenger"), made.alias("last-good")) == (1, None, None)


def test_the_old_champion_is_archived_and_the_way_back(made: Versions) -> None:
    made.set(1, challenger=2)
    outcome = promote(made.step(2, 1, supersede=(3,)), made.shop.job())
    assert outcome == Promoted(champion=2, last_good=1, archived=(1, 3))
    assert [made.stage(v) for v in (1, 2, 3)] == ["Archived", "Production", "Archived"]
    assert (made.alias("champion"), made.alias("challenger"), made.alias("last-good")) == (2, None, 1)


def test_a_challenger_that_is_somebody_else_stays(made: Versions) -> None:
    made.set(1, challenger=4)
    assert isinstance(promote(made.step(2, 1), made.shop.job()), Promoted)
    assert made.alias("challenger") == 4


def test_staging_sets_the_challenger_and_leaves_the_champion(made: Versions) -> None:
    made.set(1, last_good=3)
    outcome = promote(made.step(2, 1, to="staging", last_good=3, supersede=(4,)), made.shop.job())
    assert outcome == Promoted(champion=1, last_good=3, archived=(4,))
    assert (made.alias("champion"), made.alias("challenger"), made.stage(2), made.stage(1)) == (
        1,
        2,
        "Staging",
        "Production",
    )


def test_a_challenger_that_its_policy_gave_up_leaves_staging(made: Versions) -> None:
    made.set(champion=1, challenger=2)
    step = made.step(2, champion=1, to="archived", last_good=None)
    assert promote(step, made.shop.job()) == Promoted(champion=1, last_good=None)
    assert promote(step, made.shop.job()) == Promoted(champion=1, last_good=None), "again changes nothing"
    assert (made.alias("champion"), made.alias("challenger"), made.stage(2)) == (1, None, "Archived")


def test_the_daemon_sees_without_mlflow_what_the_registry_holds(made: Versions) -> None:
    made.set(champion=1, challenger=2, last_good=3)
    uri = made.shop.settings.mlflow.tracking_uri
    seen = look(uri, made.shop.root, ["price", "nobody"])
    assert seen is not None
    assert (seen["nobody"].aliases, seen["nobody"].versions) == ({}, {})
    assert seen["price"].aliases == {"champion": 1, "challenger": 2, "last-good": 3}
    assert seen["price"].versions == {n: made.client.get_model_version("price", str(n)).run_id for n in made.digests}


def test_a_deleted_version_is_seen_to_be_gone(made: Versions) -> None:
    made.set(champion=1)
    one = made.client.get_model_version("price", "1")
    extra = made.client.create_model_version("price", one.source, run_id=one.run_id, model_id=one.source.removeprefix("models:/"))
    asked = (made.shop.settings.mlflow.tracking_uri, made.shop.root, ["price"])
    before = look(*asked)
    made.client.delete_model_version("price", extra.version)
    after = look(*asked)
    assert before is not None
    assert after is not None
    assert set(before["price"].versions or ()) - set(after["price"].versions or ()) == {int(extra.version)}


def test_the_doctor_sees_versions_aliases_and_runs_that_were_left_running(made: Versions) -> None:
    made.set(champion=1, last_good=3)
    before = checkup.seen(made.shop.settings, made.shop.root, "r")
    assert (before["why"], before["experiment"], before["running"]) == ("", "active", [])
    assert {(v["model"], v["number"]) for v in before["versions"]} == {("price", n) for n in (1, 2, 3, 4)}
    assert {v["request"] for v in before["versions"]} == {"r1", "r2"}
    assert before["aliases"] == {"price": {"champion": 1, "last-good": 3}, "demand": {}}
    assert before["server"] == made.server
    there = mlflow_registry.existing(made.shop.settings.mlflow, made.shop.root)
    assert there
    left = mlflow_registry.open_run(there[0], "left", {"request": "r9"}, {})
    foreign = mlflow_registry.open_run(there[0], "not ours", {"request": "s9"}, {})
    assert checkup.seen(made.shop.settings, made.shop.root, "r")["running"] == [{"run": left, "request": "r9"}]
    for one in (left, foreign):
        made.client.set_terminated(one, "FAILED")


def test_a_promotion_killed_again_and_again_is_finished_once(made: Versions) -> None:
    made.set(1, challenger=2)
    step = made.step(2, 1, supersede=(3,))
    # a server's store is the same code a request away: the two places around the commit point show that it is reached
    on_a_server = not made.shop.settings.mlflow.tracking_uri.startswith("sqlite")
    for point in ("promotion.tagged", "promotion.alias_set") if on_a_server else PROMOTION_POINTS:
        assert run("promote", made.shop, step, failpoint=point) is None, point
        moved = PROMOTION_POINTS.index(point) >= PROMOTION_POINTS.index("promotion.alias_set")
        assert made.alias("champion") == (2 if moved else 1)
    assert promote(step, made.shop.job()) == Promoted(champion=2, last_good=1, archived=(1, 3))
    assert [made.stage(v) for v in (1, 2, 3)] == ["Archived", "Production", "Archived"]
    assert (made.alias("champion"), made.alias("challenger"), made.alias("last-good")) == (2, None, 1)
    assert len(made.client.search_model_versions("name = 'price'")) == 4


def test_a_champion_that_is_not_the_journals_is_reported_and_left(made: Versions) -> None:
    made.set(3)
    outcome = promote(made.step(2, 1), made.shop.job())
    assert isinstance(outcome, Unmoved)
    assert (outcome.alias, outcome.expected, outcome.found) == ("champion", 1, 3)
    assert (made.alias("champion"), made.stage(2)) == (3, "None")


def test_who_is_champion_was_said_although_others_moved_the_aliases(made: Versions) -> None:
    made.set(3, challenger=4)
    step = made.step(1, 1, settles=True, found=3, challenger=2, last_good=None)
    assert promote(step, made.shop.job()) == Promoted(champion=1, last_good=None)
    assert (made.alias("champion"), made.alias("challenger"), made.stage(1)) == (1, 2, "Production")


def test_an_alias_that_was_moved_again_since_is_not_overwritten(made: Versions) -> None:
    made.set(4)
    outcome = promote(made.step(1, 1, settles=True, found=3), made.shop.job())
    assert isinstance(outcome, Unmoved)
    assert (outcome.expected, outcome.found, made.alias("champion")) == (1, 4, 4)


def test_names_and_tags_that_are_not_ours_stay_as_they_are(made: Versions) -> None:
    made.set(1, challenger=2)
    made.client.set_registered_model_alias("price", "blessed-by-lab", "3")
    made.client.set_registered_model_tag("price", "team", "buyers")
    made.client.set_model_version_tag("price", "2", "stage", "mine")
    made.client.create_registered_model("cabbage", tags={"retraind.stage": "theirs"})
    assert isinstance(promote(made.step(2, 1, supersede=(3,)), made.shop.job()), Promoted)
    model, version = made.client.get_registered_model("price"), made.client.get_model_version("price", "2")
    assert (int(model.aliases["blessed-by-lab"]), model.tags) == (3, {"team": "buyers"})
    assert {k: v for k, v in version.tags.items() if not k.startswith("retraind.")} == {"stage": "mine"}
    assert made.client.get_registered_model("cabbage").tags == {"retraind.stage": "theirs"}
    made.client.delete_registered_model("cabbage")
    made.client.delete_registered_model_alias("price", "blessed-by-lab")


def test_a_champion_that_the_journal_does_not_know_is_not_overwritten(made: Versions) -> None:
    made.set(3)
    outcome = promote(made.step(2, None), made.shop.job())
    assert isinstance(outcome, Unmoved)
    assert (outcome.expected, outcome.found) == (None, 3)


def test_a_version_with_other_files_than_were_judged_is_not_promoted(made: Versions) -> None:
    made.set(1)
    outcome = promote(dataclasses.replace(made.step(2, 1), model_digest="0" * 16), made.shop.job())
    assert isinstance(outcome, Unmoved)
    assert outcome.alias == ""
    assert "other files than were judged" in outcome.why
    assert (made.alias("champion"), made.stage(2)) == (1, "None")


def test_a_version_that_is_gone_is_not_promoted(made: Versions) -> None:
    made.set(1)
    outcome = promote(dataclasses.replace(made.step(2, 1), version=99), made.shop.job())
    assert outcome == Unmoved("price v99 is not in MLflow any more")


def test_a_model_nobody_registered_is_an_error_and_not_the_absence_of_a_champion(made: Versions) -> None:
    with pytest.raises(RetraindError, match='no registered model "cabbage"'):
        promote(dataclasses.replace(made.step(2, None), model="cabbage"), made.shop.job())


def test_preparing_again_changes_nothing(made: Versions) -> None:
    first, second = (prepare(Prepare(), made.shop.job()) for _ in range(2))
    assert first == second
    assert first.tracking_uri == mlflow_registry.tracking_uri(made.shop.settings.mlflow, made.shop.root)


def test_spent_versions_lose_their_files_and_what_others_name_keeps_them(made: Versions) -> None:
    """Removes files that the tests above need, so it comes last of those with `made`."""
    made.set(1)
    made.client.set_registered_model_alias("price", "lab", "3")
    spent = tuple(Spent(n, made.digests[n]) for n in (3, 4))
    step = Archive("price", (*spent, Spent(2, "0" * 16), Spent(99, "0" * 16)), "p@1")
    assert run("archive", made.shop, step, failpoint=ARCHIVE_POINTS[-1]) is None
    outcome = archive(step, made.shop.job())
    assert isinstance(outcome, Archived)
    assert outcome.bare == (Bare(4, 0),), "the one that was killed removed them"
    assert [(one.version, one.why) for one in outcome.spared] == [
        (3, "alias lab names it"),
        (2, "what MLflow has under its number is not what a training of ours registered"),
        (99, "it is not in MLflow any more"),
    ]
    with pytest.raises(MlflowException):
        mlflow_registry.loads("price", 4)
    mlflow_registry.loads("price", 3)
    left = made.client.get_model_version("price", "4")
    assert left.tags["retraind.files"] == "removed by p@1"
    assert made.client.get_run(left.run_id).data.metrics
    assert not model_cache.folder_of(made.shop.root / "state", made.digests[4]).exists()


@pytest.fixture
def empty(tmp_path: Path) -> Shop:
    return Shop(tmp_path, config(), (), frame(days=2)["date"].max().date())


def test_a_server_that_falls_silent_while_a_version_is_fetched_does_not_make_it_unfit(
    made: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promotion fails and is tried again; it is not given up."""
    made.set(1)

    def silent(**_: object) -> str:
        raise MlflowException("API request failed: Read timed out")

    monkeypatch.setattr(mlflow_registry.mlflow.artifacts, "download_artifacts", silent)
    with pytest.raises(MlflowException, match="timed out"):
        promote(made.step(2, 1), made.shop.job())
    monkeypatch.undo()
    assert promote(made.step(2, 1), made.shop.job()) == Promoted(champion=2, last_good=1, archived=(1,))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_a_server_that_loses_answers_gets_each_version_once_and_the_alias_as_it_was_meant(
    made: Versions, monkeypatch: pytest.MonkeyPatch, seed: int, record_property: Callable[[str, object], None]
) -> None:
    """Each job is tried again as the daemon would, until the server is well."""
    if made.server is None:
        pytest.skip("a file has no network before it")
    for name, value in {"TIMEOUT": "3", "BACKOFF_FACTOR": "0", "BACKOFF_JITTER": "0"}.items():
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    faults = Faults(seed)
    with faulty_proxy(made.shop.settings.mlflow.tracking_uri, faults) as uri:
        settings = dataclasses.replace(made.shop.settings, mlflow=dataclasses.replace(made.shop.settings.mlflow, tracking_uri=uri))
        site = dataclasses.replace(made.shop, settings=settings)
        faults.kinds, faults.share = get_args(Fault), 0.3
        trained = _until_well(lambda: train(site.step(f"faults-{seed}", ["price"]), site.job()), faults)
        assert isinstance(trained, Trained)
        versions = [c.version for c in trained.results[0].candidates]
        digests = {c.version: c.model_digest for c in trained.results[0].candidates}
        made.set(1)
        faults.share = 0.3
        step = dataclasses.replace(made.step(1, 1), version=versions[0], model_digest=digests[versions[0]])
        assert isinstance(_until_well(lambda: promote(step, site.job()), faults), Promoted)
    assert (made.alias("champion"), made.alias("last-good")) == (versions[0], 1)
    assert (made.stage(versions[0]), made.stage(1)) == ("Production", "Archived")
    found = made.client.search_model_versions(f"tags.`retraind.request` = 'faults-{seed}'")
    assert sorted(int(v.version) for v in found) == sorted(versions)
    made.set(None)
    assert sum(faults.done.values()) > 5
    for what, number in faults.done.items():
        record_property("tried", f"requests to MLflow {what}: {number}")


def test_a_run_and_a_version_whose_answer_was_lost_and_which_were_asked_for_again_are_there_once(
    made: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's client sends a request again when its answer is lost, also one that makes something."""
    if made.server is None:
        pytest.skip("a file has no network before it")
    for name in ("FACTOR", "JITTER"):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_BACKOFF_{name}", "0")
    faults = Faults(0)
    faults.once = dict.fromkeys(("runs/create", "model-versions/create"), "applied, the answer dropped")
    with faulty_proxy(made.shop.settings.mlflow.tracking_uri, faults) as uri:
        settings = dataclasses.replace(made.shop.settings, mlflow=dataclasses.replace(made.shop.settings.mlflow, tracking_uri=uri))
        site = dataclasses.replace(made.shop, settings=settings)
        trained = train(site.step("lost-1", ["price"]), site.job())
    assert isinstance(trained, Trained)
    assert not faults.once
    candidates = trained.results[0].candidates
    found = made.client.search_model_versions("tags.`retraind.request` = 'lost-1'")
    assert sorted(int(v.version) for v in found) == sorted(c.version for c in candidates)
    experiment = made.client.get_experiment_by_name("retraind")
    assert experiment is not None
    runs = made.client.search_runs([experiment.experiment_id], "tags.`retraind.request` = 'lost-1'", run_view_type=ViewType.ALL)
    there = {run.info.run_id for run in runs if run.info.lifecycle_stage == "active"}
    assert there == {trained.parent_run, *(c.run_id for c in candidates)}
    assert {run.info.status for run in runs} == {"FINISHED", "FAILED"}, "also of those that were taken away, none runs for ever"


def _until_well(job: Callable[[], Outcome], faults: Faults) -> Outcome:
    for n in range(12):
        faults.share = 0.3 if n < 8 else 0.0
        with contextlib.suppress(RetraindError, MlflowException, OSError):
            return job()
    raise AssertionError("it did not get well")


def test_a_store_that_another_process_holds_is_waited_for(made: Versions) -> None:
    if made.server is not None:
        pytest.skip("a server keeps its own store")
    made.set(1)
    uri = mlflow_registry.tracking_uri(made.shop.settings.mlflow, made.shop.root)
    with held(Path(uri.removeprefix("sqlite:///"))):
        promotion = start("promote", made.shop, made.step(2, 1))
        promotion.join(1)
        assert promotion.is_alive()
        assert made.alias("champion") == 1
    assert ended(promotion, made.shop) == Promoted(champion=2, last_good=1, archived=(1,))


def test_three_that_prepare_a_new_store_at_once_all_succeed(empty: Shop) -> None:
    outcomes = [ended(process, empty) for process in [start("prepare", empty, Prepare()) for _ in range(3)]]
    assert all(isinstance(o, Prepared) for o in outcomes)
    uri = mlflow_registry.tracking_uri(empty.settings.mlflow, empty.root)
    experiment = MlflowClient(tracking_uri=uri).get_experiment_by_name("retraind")
    assert experiment is not None
    assert experiment.artifact_location == (empty.root / "mlflow" / "artifacts").as_uri()


def test_a_silent_server_is_said_and_may_be_tried_again(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound and not listening: refused
        settings = config(**{SQLITE: f"tracking_uri: http://127.0.0.1:{probe.getsockname()[1]}"})
        with pytest.raises(RetraindError, match="does not answer") as raised:
            prepare(Prepare(), Shop(tmp_path, settings, (), frame(days=2)["date"].max().date()).job())
    assert raised.value.retryable


def test_a_busy_store_is_asked_again_and_any_other_answer_is_not() -> None:
    tries: list[int] = []

    def busy(code: int, until: int) -> str:
        tries.append(code)
        if len(tries) < until:
            raise MlflowException("locked", error_code=code)
        return "done"

    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE

    assert mlflow_registry.patiently(busy, TEMPORARILY_UNAVAILABLE, 2) == "done"
    tries.clear()
    with pytest.raises(MlflowException):
        mlflow_registry.patiently(busy, INVALID_PARAMETER_VALUE, 2)
    assert len(tries) == 1
