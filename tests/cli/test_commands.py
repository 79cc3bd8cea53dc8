"""The commands that look: what they print, and with which exit code they end."""

from __future__ import annotations

import datetime as dt
import sqlite3
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import journals
from command_line import Run, run_in
from retrainctl.commands.pause import until_when
from retraind.core import events as e
from retraind.errors import Usage

NOW = dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")


def test_which_prints_the_number_and_nothing_else(run: Run) -> None:
    assert run("which", "price").out == "1\n"
    assert run("which", "demand", "production").out == "5\n"
    assert run("which", "demand", "last-good").out == "1\n"
    assert run("which", "price", "--json").json == {"version": 1, "model": "price", "stage": "production", "number": 1}


def test_which_says_on_standard_error_that_there_is_none(run: Run) -> None:
    ran = run("which", "demand", "staging")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "error: demand has no version in staging; see: retrainctl versions list demand\n"


def test_a_wrong_name_is_wrong_usage_with_the_nearest_right_one(run: Run) -> None:
    for words in (["which", "pric"], ["history", "pric"], ["explain", "pric"], ["versions", "list", "pric"]):
        ran = run(*words)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err == 'error: there is no model "pric"; did you mean price?\n'
    assert run("which", "price", "prodution").err == 'error: "prodution" is no stage; did you mean production?\n'
    assert run("explain", "price", "99").code == 2
    assert run("retrain", "pric").err == 'error: "pric" is no target; did you mean price?\n'
    assert run("status", "--nonsense").code == 2
    assert run("statsu").code == 2


def test_explain_tells_each_condition_and_what_would_have_changed_it(run: Run) -> None:
    ran = run("explain", "price", "5")
    assert ran.code == 0
    assert ran.out.startswith("price v5 gradient_boosting · None · REJECT Mon 7 Dec")
    assert " ok  enough-evidence      60 dates and 2,400 rows (test), needs 21 dates and 200 rows" in ran.out
    assert (
        " no  no-worse-than-champion  WAPE 5.92 against 5.59 of v1's recipe 7 days ahead (test): 5.9 % worse" in ran.out
    )
    assert " the policy  no-worse-than-champion  within: 5.91%" in ran.out
    assert "drop 89db805e drifted" in ran.out
    assert "test days 2026-10-06 to 2026-12-05, 60 dates, 2,400 rows" in ran.out
    data = run("explain", "price", "5", "--json").json
    assert {c["id"]: c["outcome"] for c in data["conditions"]} == {
        "enough-evidence": "yes", "beats-doing-nothing": "yes", "no-worse-than-champion": "no",
    }  # fmt: skip
    assert [c["what"] for c in data["what_would_change_it"]] == ["model", "policy", "person"]
    assert data["beside"]["v1's recipe"]["h7"] == 5.59


def test_explain_of_a_champion_tells_why_it_came(run: Run) -> None:
    data = run("explain", "demand", "v5", "--json").json
    assert (data["verdict"], data["to"], data["stage"]) == ("promote", "production", "Production")
    assert data["what_would_change_it"] == []
    assert "PROMOTE" in run("explain", "demand", "v5").out


def test_explain_without_a_version_means_the_champion_when_no_candidate_is_open(run: Run) -> None:
    data = run("explain", "price", "--json").json
    assert (data["number"], data["stage"]) == (1, "Production")
    assert data["newest_judged"] == {"number": 5, "verdict": "reject", "words": "rejected: no-worse-than-champion says no"}
    out = run("explain", "price").out
    assert " NEWEST   v5 rejected: no-worse-than-champion says no; see: retrainctl explain price 5" in out
    assert run("explain", "demand", "--json").json["number"] == 5  # 6 to 8 are superseded


def test_explain_keeps_to_the_facts_of_the_decision_when_the_policy_was_edited_since(tmp_path: Path) -> None:
    story = journals.a_year(tmp_path)
    before = run_in(tmp_path)("explain", "price", "5", "--json").json
    text = journals.POLICY.format(target="price").replace("within: 1%", "within: 50%")
    story.append(e.PolicyLoaded("price.yaml", "price", "cd" * 32, text, ("price",)), e.SITE)
    story.kill()
    assert run_in(tmp_path)("explain", "price", "5", "--json").json == before


def test_explain_before_any_decision_says_so(tmp_path: Path) -> None:
    story, _ = journals.first_days(tmp_path)
    story.kill()
    ran = run_in(tmp_path)("explain", "price")
    assert (ran.code, ran.err) == (1, "error: price has no version yet; look at what is under way: retrainctl status\n")


def test_history_tells_who_was_production_and_why(run: Run) -> None:
    rows = run("history", "demand", "--json").json["tenures"]
    assert [(r["number"], r["until"] is None) for r in rows] == [(1, False), (5, True)]
    assert rows[0]["until"] == rows[1]["since"]
    assert rows[1]["words"] == "promote to production: 4 conditions hold"
    lines = run("history", "demand").out.splitlines()
    assert lines[1].split()[:2] == ["v5", "gradient_boosting"]
    assert "until now" in lines[1]


def test_versions_are_listed_with_stage_and_figures(run: Run) -> None:
    rows = run("versions", "list", "--json").json["versions"]
    assert [(r["model"], r["version"]) for r in rows] == [(m, v) for m in ("price", "demand") for v in range(1, 9)]
    assert {r["stage"] for r in rows} == {"None", "Production", "Archived"}
    line = next(line for line in run("versions", "list", "demand").out.splitlines() if line.startswith(" demand  v5"))
    assert line.split()[:7] == ["demand", "v5", "gradient_boosting", "390426-2", "Production", "31.40", "40.82"]


def test_a_version_is_shown_with_its_recipe_and_neighbours(run: Run) -> None:
    data = run("versions", "show", "demand", "v5", "--json").json
    assert data["recipe"]["transform"] == "log_ratio"
    assert list(data["beside"]) == ["v5", "v1's recipe", "persistence", "seasonal_naive"]
    out = run("versions", "show", "demand", "5").out
    assert " r2    0.686  0.592  0.529  0.435" in out
    assert " seasonal naive  41.69  54.20  62.54  75.04" in out


def test_drops_are_listed_by_state(run: Run) -> None:
    assert len(run("drops", "list", "--json").json["drops"]) == 18
    bad = run("drops", "list", "--state", "quarantined", "--json").json["drops"]
    assert [d["name"] for d in bad] == ["daily_sales_broken.csv"]
    assert "row 118, column quantity_kg: quantity_kg is -3.5, must be at least 0" in run("drops", "list").out
    assert run("drops", "list", "--state", "withdrawn").out == "no drop is withdrawn\n"
    assert run("drops", "list", "--state", "quarantine").err.endswith("did you mean quarantined?\n")


def test_a_drop_is_found_by_how_its_id_begins(run: Run) -> None:
    whole = run("drops", "list", "--state", "quarantined", "--json").json["drops"][0]["drop"]
    assert run("drops", "show", whole[:3], "--json").json["drop"] == whole
    ran = run("drops", "show", whole[:3])
    assert "rule: at_least. Give the weight as sold." in ran.out
    assert f"then: retrainctl drops retry {whole}" in ran.out
    assert run("drops", "show", "zz").code == 2
    assert run("drops", "show", "zz").err == 'error: there is no drop "zz"; see: retrainctl drops list --all\n'
    # 897115a7 and its duplicate 897115a7-2 begin alike; the whole id is exact
    assert "begins the ids of 2 drops" in run("drops", "show", "897115").err
    assert run("drops", "show", "897115a7", "--json").json["drop"] == "897115a7"


def test_what_changes_something_needs_the_daemon(run: Run) -> None:
    for words in (
        ["retrain"],
        ["pause", "--yes"],
        ["resume"],
        ["drops", "retry", "dc8"],
        ["drops", "discard", "dc8", "-y"],
    ):
        ran = run(*words, "--json")
        assert ran.code == 3, words
        assert ran.json["error"]["what"] == "the daemon is not running"
        assert ran.json["error"]["retryable"] is True


def test_policies_are_listed_with_refused_edits(run: Run) -> None:
    rows = {r["file"]: r for r in run("policy", "list", "--json").json["policies"]}
    assert rows["price.yaml"]["mode"] == "enforce"
    assert rows["price.yaml"]["refused"]["mistakes"][0].startswith("price.yaml, line 26")
    assert "an edit of price.yaml was REFUSED" in run("policy", "list").out


def test_the_shipped_policies_pass_the_check(tmp_path: Path) -> None:
    shipped = [str(p) for p in sorted((journals.ROOT / "policies").glob("*.yaml"))]
    assert shipped
    ran = run_in(tmp_path)("policy", "check", *shipped)  # no site needed
    assert (ran.code, ran.out.count(" ok  ")) == (0, len(shipped))


def test_a_policy_with_mistakes_is_told_with_lines(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "price.yaml"
    file.write_text(journals.POLICY.format(target="price").replace("at_least: 0.5%", "at_mots: 0.5%"), "utf-8")
    ran = run("policy", "check", str(file))
    assert ran.code == 1
    assert "line 10, column 99: unknown key" in ran.out
    mistake = run("policy", "check", str(file), "--json").json["files"][0]["mistakes"][0]
    assert (mistake["where"]["line"], mistake["where"]["file"]) == (10, str(file))
    assert run("policy", "check", str(tmp_path / "none.yaml")).code == 2


def test_policy_check_without_files_checks_the_sites_own(run: Run) -> None:
    data = run("policy", "check", "--json").json
    assert [Path(f["file"]).name for f in data["files"]] == ["demand.yaml", "price.yaml"]
    assert data["ok"]


def test_a_good_config_is_said_to_be_good(run: Run) -> None:
    ran = run("config", "check")
    assert ran.code == 0
    assert "is good (produce: 4 tables, 2 targets)" in ran.out
    data = run("config", "check", "--json").json
    assert (data["ok"], data["in_force"]) == (True, True)


def test_every_mistake_in_a_config_is_told_with_its_line(tmp_path: Path) -> None:
    text = (journals.ROOT / "config.yaml").read_text("utf-8")
    text = text.replace("clock: wall", "clock: sundial").replace("cooldown: 3w", "cooldwn: 3w")
    (tmp_path / "config.yaml").write_text(text, "utf-8")
    lines = text.splitlines()
    at = [next(i for i, line in enumerate(lines, 1) if word in line) for word in ("sundial", "cooldwn")]
    ran = run_in(tmp_path)("config", "check")
    assert (ran.code, ran.out) == (1, "")
    told = ran.err.splitlines()
    assert [f"line {n}, column " in line for n, line in zip(at, told, strict=True)] == [True, True]
    assert told[1].endswith("did you mean cooldown?")
    error = run_in(tmp_path)("config", "check", "--json").json["error"]
    assert [m["where"]["line"] for m in error["mistakes"]] == at


def test_a_missing_config_says_how_to_get_one(tmp_path: Path) -> None:
    ran = run_in(tmp_path)("status")
    assert ran.code == 2
    assert "make a site with: retrainctl init DIR --sample" in ran.err


def test_audit_counts_and_gives_the_head(run: Run) -> None:
    data = run("audit", "verify", "--json").json
    assert (data["events"], data["flaw"]) == (run("status", "--json").json["journal"]["events"], None)
    assert data["head"] == run("status", "--json").json["journal"]["head"]
    assert (
        f"{data['events']} events, each follows from the one before\nhead {data['head']}\n"
        == run("audit", "verify").out
    )


def test_audit_finds_the_first_changed_event(tmp_path: Path) -> None:
    story, _ = journals.first_days(tmp_path)
    story.kill()
    with sqlite3.connect(story.journal.path) as db:
        db.execute("UPDATE events SET body = replace(body, 'items.csv', 'other.csv') WHERE seq = 5")
    ran = run_in(tmp_path)("audit", "verify")
    assert ran.code == 1
    assert "event 5 (drop.arrived) does not follow from event 4" in ran.err
    ran = run_in(tmp_path)("audit", "verify", "--json")
    assert (ran.code, ran.json["events"], ran.json["flaw"]["seq"]) == (1, 4, 5)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("3h", NOW + dt.timedelta(hours=3)),
        ("2d", NOW + dt.timedelta(days=2)),
        ("2026-12-04T18:00", dt.datetime(2026, 12, 4, 10, tzinfo=dt.UTC)),
        ("2026-12-04T18:00+00:00", dt.datetime(2026, 12, 4, 18, tzinfo=dt.UTC)),
        ("2026-12-04", dt.datetime(2026, 12, 3, 16, tzinfo=dt.UTC)),
    ],
)
def test_until_is_a_span_from_now_or_a_time_in_the_sites_zone(text: str, meant: dt.datetime) -> None:
    assert until_when(text, NOW, SHANGHAI) == meant


@pytest.mark.parametrize("text", ["tomorrow", "3", "2026-11-24T09:00", "-1d"])
def test_until_is_refused_when_it_is_past_or_unreadable(text: str) -> None:
    with pytest.raises(Usage):
        until_when(text, NOW, SHANGHAI)
