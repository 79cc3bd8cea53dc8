"""A person promotes, against a real daemon and a real registry: as the policy allows, then by force."""

from __future__ import annotations

from pathlib import Path

from command_line import run_in
from real_site import aliases, events, make_site, running, state_of, tags
from small_shop import EDITS, write_history, write_policies


def test_a_version_promoted_by_hand_serves_and_one_promoted_by_force_takes_its_place(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", EDITS)
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
