"""A person promotes, against a real daemon and a real registry: as the policy allows, then by force; then others meddle with
the registry, and the person adopts what they brought."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from command_line import run_in
from real_site import aliases, events, make_site, running, state_of, tags
from retraind import settings
from retraind.jobs import registry as mlflow_registry
from small_shop import EDITS, write_history, write_policies, write_week


@dataclass(frozen=True)
class Promoted:
    """What the first part left."""

    site: Path


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Promoted:
    """v1 was promoted by hand and v2 by force."""
    site = make_site(tmp_path_factory.mktemp("by hand") / "site", EDITS, prepared=True)
    write_policies(site)
    policy = site / "policies" / "small.yaml"
    only_people = policy.read_text("utf-8").replace("mode: enforce", "mode: dry_run")
    policy.write_text(only_people, "utf-8")
    write_history(site / "drops")
    retrainctl = run_in(site)
    with running(site) as daemon:
        daemon.wait_for("training.finished", seconds=180)
        by_hand = retrainctl("promote", "demand", "1", "--to", "production", "--yes")
        assert by_hand.code == 0, by_hand.err
        daemon.wait_for("promotion.done")
        assert aliases(site) == {("demand", "champion"): 1}
        refused = retrainctl("promote", "demand", "2", "--to", "production", "--yes")
        assert "demand v2 is not promoted by hand" in refused.err
        assert "--force --reason WHY" in refused.err
        forced = retrainctl("promote", "demand", "2", "--to", "production", "--force", "--reason", "v1 is odd", "--yes")
        assert forced.code == 0, forced.err
        daemon.wait_for("promotion.done", times=2)
        assert daemon.stop() == 0
    return Promoted(site)


def test_a_version_promoted_by_hand_serves_and_one_promoted_by_force_takes_its_place(promoted: Promoted) -> None:
    site = promoted.site
    assert aliases(site) == {("demand", "champion"): 2}  # v1 served too shortly to be the way back
    assert tags(site, "retraind.stage") == {("demand", 1): "Archived", ("demand", 2): "Production"}
    assert tags(site, "retraind.policy") == {("demand", 1): "by hand", ("demand", 2): "by hand"}
    model = state_of(site).flow("produce").models["demand"]
    assert (model.champion, model.last_good, model.intention) == (2, None, None)
    assert model.versions["2"].forced.endswith('"v1 is odd"')
    intended = events(site, "promotion.intended")
    decided = {r.event.decision: r for r in events(site, "decision.made")}
    assert [(r.event.version, decided[r.event.decision].seq) for r in intended] == [
        (n, r.seq - 1) for n, r in zip((1, 2), intended, strict=True)
    ]
    assert [decided[r.event.decision].event.forced for r in intended] == [False, True]


def meddle(site: Path) -> int:
    """Somebody deletes v1 and registers a model of his own, made of the features in the orders folder, as champion; its
    number."""
    registry = mlflow_registry.connect(settings.load(site / "config.yaml")[0].mlflow, site)
    registry.client.delete_model_version("demand", "1")
    features = pd.read_parquet(site / "orders" / "features.parquet").select_dtypes("number").dropna(axis=1)
    columns = list(features.columns)[:3]
    model = LinearRegression().fit(features[columns], features[columns[0]])
    with mlflow.start_run(experiment_id=registry.experiment):
        made = mlflow.sklearn.log_model(model, name="lab", registered_model_name="demand", pip_requirements=[])
    number = int(made.registered_model_version)
    registry.client.set_registered_model_alias("demand", "champion", str(number))
    registry.client.set_registered_model_alias("demand", "lab", str(number))
    return number


def test_what_others_did_to_the_registry_is_told_and_settled_by_a_person(promoted: Promoted) -> None:
    """Goes on where the others looked, so it comes last."""
    site, retrainctl = promoted.site, run_in(promoted.site)
    theirs = meddle(site)
    with running(site) as daemon:
        daemon.wait_for("registry.diverged")
        daemon.wait_for("version.gone")
        assert aliases(site)["demand", "champion"] == theirs, "never overwritten silently"
        status = " ".join(retrainctl("status", columns=200).out.split())
        assert f"demand HOLDS, somebody else moved the registry: alias champion names v{theirs}, the journal says v2." in status
        assert f"retrainctl adopt demand 2 sets it back · retrainctl adopt demand {theirs} takes theirs" in status
        refused = retrainctl("adopt", "demand", str(theirs), "--yes")
        assert "it says one number a row and not for which horizon" in refused.err
        assert "--horizon: 1, 7" in refused.err
        words = ("adopt", "demand", str(theirs), "--horizon", "1", "--reason", "the lab's", "--yes")
        taken = retrainctl(*words)
        assert taken.code == 0, taken.err
        assert taken.out.startswith(f"demand v{theirs} is champion; it says nothing for 7 days ahead")
        write_week(site / "drops", 1)
        daemon.wait_for("forecast.made", times=3)
        assert daemon.stop() == 0
    assert aliases(site) == {("demand", "champion"): theirs, ("demand", "lab"): theirs}
    model = state_of(site).flow("produce").models["demand"]
    assert (model.champion, model.diverged, model.versions["1"].gone) == (theirs, "", "it is not in MLflow any more")
    orders = pd.read_csv(site / "orders" / "orders.csv", dtype=str)
    assert set(orders[orders.horizon_days == "1"].version) == {str(theirs)}
    listed = retrainctl("versions", "list", columns=200).out
    assert "GONE, it is not in MLflow any more" in listed
    assert 'adopt v3 as champion, says' in retrainctl("history", "demand", columns=200).out
    shown = retrainctl("versions", "show", "demand", str(theirs), columns=200).out
    assert "by somebody else, adopted by" in shown
