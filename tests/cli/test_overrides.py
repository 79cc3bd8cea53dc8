"""What a person says over the policies is shown first, wherever it matters."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

import journals
from command_line import Run, run_in
from retraind.core import messages as m


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Champions that are pinned, frozen and paused."""
    story = journals.a_year(tmp_path_factory.mktemp("held"))
    story.ask(m.Freeze(None, "stocktaking"))
    story.ask(m.Pin("price", "supplier dispute", dt.datetime(2199, 12, 4, 10, tzinfo=dt.UTC)))
    story.ask(m.Block("price", 5, "wrong region"))
    story.ask(m.Pause("power cut"))
    story.ask(m.Freeze("demand", "over at once", dt.datetime(2020, 1, 1, tzinfo=dt.UTC)))
    story.kill()
    return run_in(story.root)


def test_status_tells_overrides_first_and_the_strongest_of_them_before_the_others(held: Run) -> None:
    alarms = [line for line in held("status").out.splitlines() if line.startswith(" !")]
    assert alarms[0].endswith('PAUSED by ops-a: "power cut". No training, no promotion. To go on: retrainctl resume')
    assert 'price is PINNED to v1 by ops-a until Wed 4 Dec 2199 18:00: "supplier dispute".' in alarms[1]
    assert 'every model is FROZEN by ops-a: "stocktaking".' in alarms[2]
    assert "over at once" not in "".join(alarms)
    data = held("status", "--json").json
    assert [(o["kind"], o["model"], o["champion"]) for o in data["overrides"]] == [
        ("pause", None, None), ("pin", "price", 1), ("freeze", None, None),
    ]  # fmt: skip


def test_explain_tells_the_overrides_that_speak_about_the_model(held: Run) -> None:
    assert "price is PINNED to v1 by ops-a" in held("explain", "price").out
    assert "PINNED" not in held("explain", "demand").out
    assert [o["kind"] for o in held("explain", "demand", "--json").json["overrides"]] == ["pause", "freeze"]


def test_a_freeze_names_a_model_or_all_of_them(held: Run) -> None:
    for words in (["freeze"], ["freeze", "price", "--all"], ["unfreeze"]):
        ran = held(*words, "--dry-run")
        assert ran.code == 2, words
        assert ran.err == "error: name a model, or all of them with --all, and not both\n"
    assert held("freeze", "--all", "--dry-run").out == "would freeze all until somebody says unfreeze\n"
    assert held("unfreeze", "price", "--dry-run").out == "would unfreeze price\n"


def test_a_dry_run_asks_nobody(held: Run) -> None:
    assert held("pin", "price", "--dry-run").out == "would pin price until somebody says unpin\n"
    assert held("unpin", "price", "--dry-run").out == "would unpin price\n"
    assert held("pin", "pric", "--dry-run").code == 2


@pytest.mark.parametrize(
    "words",
    [["pin", "price", "-y"], ["unpin", "price"], ["freeze", "--all", "-y"], ["unfreeze", "--all"],
     ["block", "price", "5", "-y"], ["unblock", "price", "v5"]],
)  # fmt: skip
def test_an_override_needs_the_daemon(held: Run, words: list[str]) -> None:
    assert held(*words).code == 3


def test_a_block_is_told_where_the_version_is_shown(held: Run) -> None:
    assert 'blocked by ops-a: "wrong region"' in held("explain", "price", "5").out
    assert held("versions", "list", "price", "--json").json["versions"][4]["blocked"] == 'by ops-a: "wrong region"'
    assert held("block", "price", "v6", "--dry-run").out == "would block price v6\n"
    assert held("block", "price", "99", "--dry-run").code == 2


def test_a_forced_promotion_is_told_in_red_where_people_look(tmp_path: Path) -> None:
    story = journals.a_year(tmp_path)
    assert story.ask(m.Promote("price", 6, "production", True, "leeks")) is None
    story.work(journals.Children())
    story.kill()
    run = run_in(tmp_path)
    assert ' !  price v6 is in Production BY FORCE, by ops-a: "leeks"; its policy had not let it through' in run("status").out
    assert ' !  by force, by ops-a: "leeks"' in run("explain", "price", "6").out
    assert 'promote to production, says ops-a: "leeks" (by force, its policy' in run("history", "price").out


def test_a_promotion_by_hand_names_stage_and_reason(held: Run) -> None:
    assert held("promote", "price", "6", "--to", "prodution").err == (
        'error: --to: "prodution" is no stage; did you mean production?\n'
    )
    assert held("promote", "price", "6", "--to", "production", "--force").err == (
        "error: --force needs a reason; say why with: --reason WHY\n"
    )
    ran = held("promote", "price", "6", "--to", "staging", "--dry-run")
    assert ran.out == "would promote price v6 to Staging if its policy allows it\n"
    assert held("promote", "price", "6", "--to", "staging", "--yes").code == 3
