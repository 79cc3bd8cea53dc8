"""The closed loop as people see it: a challenger that soaks and waits for them, a champion that turned bad, what can be done."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import journals
from command_line import Run, answering, run_in
from journals import Children, Story, first_days, week
from loop_shop import APPROVAL, CONFIG, POLICY, challenge, search
from retrainctl.site import Site, site_at
from retrainctl.text import Screen, rendered
from retrainctl.views import events, explain, status, status_data
from retraind.core import events as e
from retraind.core import messages as m
from retraind.core.binding import unbind
from retraind.core.policy.facts import evidence
from retraind.journal.read import opened, records


@dataclass(frozen=True)
class Seen:
    """A site as it was at a moment of the story."""

    site: Site
    now: dt.datetime
    run: Run

    def status(self, **changed: Any) -> str:
        """The screen of that moment."""
        with self.site.opened() as (connection, state):
            data = status_data.gather(self.site, state, connection, None, self.now) | changed
        return rendered(status.drawn(data, Screen(160)), Screen(160))

    def explain(self, number: int | None = None, *, later: dt.timedelta = dt.timedelta()) -> tuple[dict[str, Any], str]:
        """The document and the screen of price's version."""
        with self.site.opened() as (connection, state):
            model = state.flow("produce").models["price"]
            asked = explain.asked_about(model) if number is None else model.version(number)
            assert asked
            data = explain.gather(self.site, state, model, asked, connection, self.now + later)
        return data, rendered(explain.drawn(data, Screen(160), self.site.zone, self.now + later), Screen(160))


def seen(story: Story, copy: Path) -> Seen:
    """A copy of the site as it is now."""
    shutil.copytree(story.root, copy)
    return Seen(site_at(str(copy / "config.yaml")), story.now, run_in(copy))


def served(root: Path, config: str = CONFIG) -> tuple[Story, Children]:
    """Champions v1 of both targets that have served five weeks."""
    quiet = config.replace("        half-yearly: {every: 26w, asks: search}", "        {}").replace("max_age: 6w", "max_age: null")
    story, children = first_days(root, config=quiet.replace("groups: {}", "groups: {pricing: [ops-a, ops-b]}"))
    for target in ("price", "demand"):
        story.put_in_force(target, POLICY.replace("{more}", ""))
    children.trainings = [search(1, 5.0)]
    story.work(children)
    for number in range(1, 6):
        week(story, children, number)
    return story, children


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """One story at its moments: v2 in Staging, approved, champion, bad and pinned, rolled back."""
    folder = tmp_path_factory.mktemp("loop")
    story, children = served(folder / "story")
    story.put_in_force("price", POLICY.replace("{more}", APPROVAL))
    children.live = {"price": {"2": 4.5}}
    challenge(story, children)
    week(story, children, 6)
    moments = {"staging": seen(story, folder / "staging")}
    assert story.ask(m.Approve("price", 2, reason="as agreed")) is None
    moments["approved"] = seen(story, folder / "approved")
    week(story, children, 7)
    assert story.ask(m.Approve("price", 2, reason="once more"), by="ops-b") is None  # the first one is too old by now
    story.work(children)
    week(story, children, 8)
    moments["champion"] = seen(story, folder / "champion")
    assert story.ask(m.Pin("price", "supplier dispute")) is None
    children.live = {"price": {"2": 9.0}}
    week(story, children, 9)
    week(story, children, 10)
    moments["bad"] = seen(story, folder / "bad")
    assert story.ask(m.Unpin("price")) is None
    story.work(children)
    moments["back"] = seen(story, folder / "back")
    story.kill()
    return moments


# ---- status ----


def test_status_tells_how_far_a_challenger_is_and_who_is_waited_for(loop: dict[str, Seen]) -> None:
    out = loop["staging"].status()
    assert " v2 in Staging, soak 1/2, holds: waiting: soak, buyers-agree" in out
    assert " !  price v2 waits for an APPROVAL (buyers-agree): retrainctl approve price 2" in out
    assert "LIVE WAPE h1, 7 d" in out
    assert " 5.0 (naive 10.0) " in out
    assert "ORDERS   made 10:0" in out
    assert "from data to 12 Dec: price by champion v1, demand by champion v1" in out


def test_status_tells_in_red_who_would_be_rolled_back_but_for_a_pin(loop: dict[str, Seen]) -> None:
    line = " !  price v2 WOULD BE ROLLED BACK: roll back to v1: live-worse, but v2 is pinned by ops-a"
    assert line in loop["bad"].status().splitlines()
    assert "ROLLED BACK" not in loop["champion"].status()
    assert "ROLLED BACK" not in loop["back"].status()
    data = loop["bad"].run("status", "--json").json["targets"]["price"]
    assert data["rollback"]["because"] == ["live-worse"]
    assert (data["live"]["wape"], data["live"]["naive"]) == (9.0, 10.0)


def test_status_tells_who_would_be_rolled_back_but_for_a_pause(tmp_path: Path) -> None:
    story, children = served(tmp_path)
    challenge(story, children)
    week(story, children, 6)
    week(story, children, 7)
    children.live = {"price": {"2": 9.0}}
    week(story, children, 8)
    assert story.ask(m.Pause("stocktaking")) is None
    week(story, children, 9)
    out = Seen(site_at(str(story.config)), story.now, run_in(tmp_path)).status()
    assert " !  price v2 WOULD BE ROLLED BACK: roll back to v1: live-worse, but the site is paused" in out.splitlines()
    story.kill()


def test_status_tells_a_bad_champion_that_has_no_way_back_and_what_a_person_can_do(tmp_path: Path) -> None:
    story, children = served(tmp_path)
    children.live = {"price": {"1": 70.0}}
    week(story, children, 6)
    week(story, children, 7)
    out = Seen(site_at(str(story.config)), story.now, run_in(tmp_path)).status()
    assert (
        " !  price v1 is BAD: its policy would roll back (hopeless), but there is no version to go back to. By hand: "
        "retrainctl rollback price --to VERSION" in " ".join(out.split("\n")).replace("     ", " ")
    )
    story.kill()


def test_status_tells_a_champion_that_cannot_be_loaded_who_orders_are_by_and_that_nobody_sees(tmp_path: Path) -> None:
    story, children = served(tmp_path)
    children.silent = {("price", 1)}
    for number in range(6, 9):
        week(story, children, number)
    there = Seen(site_at(str(story.config)), story.now, run_in(tmp_path))
    alarms = [line for line in there.status().splitlines() if line.startswith(" !")]
    assert " !  price v1, the champion, CANNOT BE LOADED: ValueError: damaged. Orders are by persistence" in alarms
    assert " !  FLYING BLIND: no live figure of price v1 for 3 scored drops" in alarms
    assert "CANNOT BE LOADED: ValueError: damaged" in there.explain(1)[1]
    data = there.run("status", "--json").json["targets"]["price"]
    assert (data["orders"]["source"], data["blind_drops"]) == ("persistence", 3)
    story.kill()


def test_status_says_of_a_site_that_observes_that_it_moves_nothing(loop: dict[str, Seen]) -> None:
    assert "OBSERVES" not in loop["staging"].status()
    assert loop["staging"].status(mode="observe").splitlines()[3].startswith(" !  the site only OBSERVES")


# ---- explain ----


def test_a_version_that_waits_is_explained_with_the_figures_of_now(loop: dict[str, Seen]) -> None:
    data, out = loop["approved"].explain()
    assert (data["number"], data["figures_of"]) == (2, "now")
    assert {c["id"]: c["outcome"] for c in data["conditions"]} == {
        "beats-doing-nothing": "yes", "better": "yes", "soak": "wait", "live-no-worse": "yes", "buyers-agree": "yes",
    }  # fmt: skip
    assert " wait  soak           1 of 2 scored drops" in out
    assert " ok    live-no-worse  WAPE 4.5 against 5 of v1 1 day ahead (live): 10.0 % better, may be 2 % worse" in out
    assert data["live"]["wape"]["v2"]["h1"] == 4.5
    assert list(data["live"]["wape"]) == ["v2", "v1", "persistence", "seasonal_naive", "moving_average"]
    assert data["live"]["dates"] == {"h1": 7, "h7": 7, "h14": 7, "h30": 7}


NOW = dt.datetime(2026, 12, 15, 2, 14, tzinfo=dt.UTC)
"""When somebody looks at the year of the fixture."""


def test_a_candidates_place_in_its_training_is_told_with_the_rule_that_gave_it(year: Path) -> None:
    site = site_at(str(year / "config.yaml"))
    with site.opened() as (connection, state):
        model = state.flow("produce").models["price"]
        version = next(v for v in model.versions.values() if v.candidate.rank == 2)
        beside = [v for v in model.versions.values() if v.request == version.request]
        data = explain.gather(site, state, model, version, connection, NOW)
    out = " ".join(rendered(explain.drawn(data, Screen(160), site.zone, NOW), Screen(160)).split())
    assert (
        f"CHOICE rank 2 of {len(beside)} on validation days, cost 0.940 (doing nothing: 1): 0.7 WAPE + 0.3 RMSE, "
        "each against persistence's, plus 0.1 times their standard deviation over the folds; "
        "within 1 % of the best the order of training.models decides; its parameters are the best of 4 trials"
    ) in out


def test_an_approval_is_told_with_its_end_and_with_what_made_it_void(loop: dict[str, Seen], tmp_path: Path) -> None:
    approved = loop["approved"]
    assert " APPROVED ops-a (pricing) 10:0" in approved.explain()[1]
    assert ", counts until Mon 21 Dec 10:0" in approved.explain()[1]
    assert "VOID: it is older than 1w" in approved.explain(later=dt.timedelta(days=8))[1]
    copy = tmp_path / "copy"
    shutil.copytree(approved.site.root, copy)
    site = site_at(str(copy / "config.yaml"))
    with site.opened() as (connection, state):
        kept = state.policies["price.yaml"]
        kept.text = kept.text.replace("soak: {drops: 2}", "soak: {drops: 1}")
        model = state.flow("produce").models["price"]
        version = model.version(2)
        assert version
        data = explain.gather(site, state, model, version, connection, approved.now)
    assert data["approvals"][0]["void"] == "the policy was edited since"


def test_a_hold_says_when_it_may_end_where_drops_come_as_expected(tmp_path: Path) -> None:
    story, children = served(tmp_path, CONFIG.replace("# expect: 26h ", "expect: 8d "))
    challenge(story, children)
    week(story, children, 6)
    data, out = Seen(site_at(str(story.config)), story.now, run_in(tmp_path)).explain()
    assert data["earliest"] == (story.now + dt.timedelta(days=8)).isoformat()
    assert " EARLIEST Tue 22 Dec" in out
    story.kill()


def test_the_champion_is_explained_by_what_would_take_it_back(loop: dict[str, Seen]) -> None:
    data, out = loop["champion"].explain()
    assert (data["number"], data["serves"]["by_rollback"], data["approvals"][0]["void"]) == (2, False, "")
    assert out.startswith("price v2 gradient_boosting · Production · STAYS")
    assert " To roll back (any one is enough): " in out
    assert "by promotion, 1 scored drop so far: promote to production: 5 conditions hold" in out
    bad = loop["bad"].explain()[1]
    assert bad.startswith("price v2 gradient_boosting · Production · WOULD ROLL BACK")
    assert " YES  live-worse  WAPE 9 against 5 of v1 1 day ahead (live): 80.0 % worse" in bad


def test_a_version_that_was_rolled_back_is_explained_by_the_figures_of_then(loop: dict[str, Seen]) -> None:
    data, out = loop["back"].explain(2)
    assert (data["verdict"], data["stage"], data["figures_of"]) == ("rollback", "Archived", "then")
    assert " !  rolled back to v1 (live-worse)" in out
    data, out = loop["back"].explain()
    assert (data["number"], data["serves"]["by_rollback"]) == (1, True)
    assert " NEWEST   v2 rolled back to v1 (live-worse); see: retrainctl explain price 2" in out


def test_history_tells_rollbacks_with_their_cause_and_how_many_drops_each_served(loop: dict[str, Seen]) -> None:
    rows = loop["back"].run("history", "price", "--json").json["tenures"]
    assert [(r["number"], r["drops"], r["by_rollback"], r["rolled_back"]) for r in rows] == [
        (1, 7, False, ""), (2, 3, False, "rolled back to v1 (live-worse)"), (1, 0, True, ""),
    ]  # fmt: skip
    assert "ended: rolled back to v1 (live-worse)" in loop["back"].run("history", "price").out
    assert "price was rolled back from v2 to v1" in loop["back"].status()


def test_a_version_is_shown_with_its_live_figures_beside_its_test_figures(loop: dict[str, Seen]) -> None:
    out = loop["staging"].run("versions", "show", "price", "2").out
    assert " WAPE, test " in out
    assert " WAPE, live " in out
    assert loop["staging"].run("versions", "show", "price", "2", "--json").json["live"]["wape"]["v1"]["h7"] == 5.0
    assert loop["staging"].run("versions", "show", "price", "1").code == 0


# ---- what people decide ----


def done(asked: Any) -> m.Answer:
    return m.Answer(done="done as asked", data={"seq": 7})


def test_an_approval_shows_what_it_binds_to_and_sends_exactly_that(loop: dict[str, Seen]) -> None:
    there = loop["staging"]
    with answering(there.site, done):
        shown = there.run("approve", "price", "2", "--yes").out
    assert " ok    better         WAPE 4 against 5 of v1's recipe 1 day ahead (test): 20.0 % better, needs 1 %" in shown
    assert " v1's recipe     5.00  6.50   7.50   9.00" in shown
    version = there.site.state().flow("produce").models["price"].version(2)
    assert version
    with answering(there.site, done) as heard:
        assert there.run("approve", "price", "2", "--yes", "--reason", "as agreed").out.endswith(
            "done as asked; take it back with: retrainctl reject price 2\n"
        )
        data = there.run("approve", "price", "2", "--yes", "--json").json
    assert unbind(heard[0].envelope.message) == {
        "model": "price", "number": 2, "figures": evidence(version.candidate), "reason": "as agreed",
    }  # fmt: skip
    assert (data["done"], data["figures"]) == ("done as asked", evidence(version.candidate))


def test_an_approval_on_trial_says_what_the_daemon_would_say(loop: dict[str, Seen]) -> None:
    stranger = loop["staging"].run("approve", "price", "2", "--dry-run")
    assert stranger.code == 1
    assert "is not among those who may approve (pricing)" in stranger.err
    assert "the policy of demand asks for no approval" in loop["staging"].run("approve", "demand", "2", "--dry-run").err


def test_a_rejection_names_the_version(loop: dict[str, Seen]) -> None:
    there = loop["staging"]
    assert there.run("reject", "price", "v2", "--dry-run").out == "would reject price v2\n"
    assert there.run("reject", "price", "v1", "--dry-run").err.startswith("error: price v1 is the champion; take it back with")
    with answering(there.site, done) as heard:
        assert there.run("reject", "price", "v2", "-y", "--reason", "smells").code == 0
    assert heard[0].envelope.message == m.Reject("price", 2, "smells")


def test_a_rollback_says_where_it_leads_and_what_changes(loop: dict[str, Seen]) -> None:
    there = loop["champion"]
    told = there.run("rollback", "price", "--dry-run").out
    assert told.startswith("would roll price back: price goes back to v1 (champion until Mon 21 Dec ")
    assert "served 7 scored drops). v2 (champion since" in told
    assert "live WAPE 4.5 on its last 7 days) is archived and blocked until: retrainctl unblock price 2." in told
    with answering(there.site, done) as heard:
        assert there.run("rollback", "price", "--yes", "--reason", "buyers complain").code == 0
    assert heard[0].envelope.message == m.Rollback("price", 1, "buyers complain")
    assert there.run("rollback", "price", "--json").json["error"]["remedy"] == "add --yes"


def test_a_rollback_that_cannot_be_is_refused_before_anybody_is_asked(loop: dict[str, Seen]) -> None:
    nowhere = loop["back"].run("rollback", "price", "--dry-run")
    assert (nowhere.code, nowhere.out) == (1, "")
    assert "no earlier version of price served well enough to go back to" in nowhere.err
    blocked = loop["back"].run("rollback", "price", "--to", "v2", "--dry-run")
    assert "price v2 is blocked since it was rolled back to v1" in blocked.err
    assert "v2 of price is pinned by ops-a" in loop["bad"].run("rollback", "price", "--yes").err
    assert loop["bad"].run("rollback", "price", "--to", "99").code == 2


@pytest.mark.parametrize("words", [["approve", "price", "2"], ["reject", "price", "2"], ["rollback", "price"]])
def test_a_decision_needs_the_daemon_and_a_yes(loop: dict[str, Seen], words: list[str]) -> None:
    assert loop["champion"].run(*words, "--yes").code == 3
    assert loop["champion"].run(*words).code == 2


def test_every_event_of_the_loop_is_told_in_one_line(loop: dict[str, Seen]) -> None:
    with opened(loop["back"].site.journal) as connection:
        told = {type(r.event): events.words(r.event) for r in records(connection)}
    assert told[e.ApprovalGiven] == 'price v2 approved by ops-b: "once more"'
    assert told[e.ForecastMade] == "forecasts from 2027-01-09: price by champion v1, demand by champion v2"
    assert told[e.ForecastScored].startswith("280 forecasts scored, ")
    assert [words for words in told.values() if not words or "\n" in words] == []
    assert journals.RELEASE in told[e.DaemonStarted]
