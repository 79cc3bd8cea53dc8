"""An adoption as people see it: what they are told before they say yes, and what every view says of such a version."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from command_line import Run, run_in
from journals import first_days, stranger, week
from loop_shop import CONFIG, POLICY, search
from retraind.core import events as e
from retraind.core import messages as m

THEIRS = 7


@dataclass(frozen=True)
class Seen:
    """The same site before, and with two hands in the registry after."""

    before: Run
    moved: Run
    adopted: Run


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    runs = []
    for part in ("before", "moved", "adopted"):
        story, children = first_days(tmp_path_factory.mktemp(part), config=CONFIG)
        story.put_in_force("price", POLICY.replace("{more}", ""))
        children.trainings = [search(1, 5.0)]
        children.strangers[THEIRS] = stranger(THEIRS)
        story.work(children)
        week(story, children, 1)
        if part == "moved":
            story.append(e.RegistryDiverged("price", "champion", 1, THEIRS))
            story.settle()
        if part == "adopted":
            story.ask(m.Adopt("price", THEIRS, 1, "the lab's model"))
            story.work(children)
            story.append(e.VersionGone("price", 1, "it is not in MLflow any more"))
        story.kill()
        runs.append(run_in(story.root))
    return Seen(*runs)


def test_before_a_yes_a_person_is_told_what_an_adoption_means(seen: Seen) -> None:
    told = seen.before("adopt", "price", "7", "--dry-run")
    assert told.code == 0
    assert told.out.startswith("would take price v7 as champion in the place of v1, whatever its policy says, if it loads")
    assert "Loading it runs its author's code." in told.out
    assert "the policy lets nobody pass better, and no approval changes that." in told.out
    assert "retrainctl promote price VERSION --to production --force" in told.out
    document = seen.before("versions", "adopt", "price", "v7", "--dry-run", "--json").json
    assert (document["version"], document["model"], document["number"], document["dry_run"]) == (1, "price", 7, True)


def test_what_the_daemon_would_refuse_is_refused_before_it_is_asked(seen: Seen) -> None:
    assert seen.before("adopt", "cabbage", "7", "--dry-run").err == (
        "error: cabbage is no model of this site; its targets: price, demand\n"
    )
    assert seen.before("adopt", "price", "seven").code == 2
    assert seen.before("adopt", "price", "7").code == 2, "nobody can be asked"
    assert seen.before("adopt", "price", "7", "--yes").code == 3, "no daemon"


def test_status_says_what_others_moved_and_both_ways_out(seen: Seen) -> None:
    words = " ".join(seen.moved("status", columns=200).out.split())
    assert ("price HOLDS, somebody else moved the registry: alias champion names v7, the journal says v1. "
            "retrainctl adopt price 1 sets it back · retrainctl adopt price 7 takes theirs") in words  # fmt: skip
    assert seen.moved("adopt", "price", "1", "--dry-run").out == (
        "would set the registry back: price v1 stays champion, and the aliases of price name what the journal says.\n"
    )


def test_every_view_says_whose_version_serves(seen: Seen) -> None:
    assert 'adopt v7 as champion, says ops-a: "the lab' in seen.adopted("history", "price", columns=200).out
    shown = seen.adopted("versions", "show", "price", "7", columns=200).out
    assert "by somebody else, adopted by ops-a" in shown
    explained = seen.adopted("explain", "price", columns=200).out
    assert "BECAUSE  no training of this site made it; adopted by ops-a" in explained
    assert "GONE, it is not in MLflow any more" in seen.adopted("versions", "list", columns=200).out
    page = seen.adopted("audit", "show", "price", "7", columns=200).out
    assert "no training of this site made it: it was adopted" in page
    assert 'price v7 is to be adopted, says ops-a: "the lab' in page
    assert seen.adopted("audit", "show", "price", "7", "--json").json["data"]["files"] == []
    assert seen.adopted("status", "--json").json["targets"]["price"]["champion"]["adopted"].startswith("by ops-a")


def test_whoever_looks_later_is_told_what_nobody_can_know_beside_it_and_what_to_do(seen: Seen) -> None:
    told = " ".join(seen.adopted("status").out.split())
    assert "nobody can pass better beside it. What to do: retrainctl explain price 7" in told
    assert seen.adopted("status", "--json").json["targets"]["price"]["never_known"] == ["better"]
    shown = " ".join(seen.adopted("explain", "price", "7").out.split())
    assert "lets nobody pass better, and no approval changes that." in shown
    assert "retrainctl promote price VERSION --to production --force" in shown
    assert seen.moved("status", "--json").json["targets"]["price"]["never_known"] == []
    assert "lets nobody pass" not in seen.moved("explain", "price", "1").out
