"""`retrainctl policy`: what is said of files, of edits, and by the policies' own tests."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import journals
from command_line import Run, run_in
from policy_made import POLICIES
from retraind.core.policy.schema import printed

CONSERVATIVE = POLICIES / "examples" / "price-conservative.yaml"


@pytest.fixture
def anywhere(tmp_path: Path) -> Run:
    """Where there is no site."""
    return run_in(tmp_path)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The conservative example with its tests."""
    folder = tmp_path / "policies"
    shutil.copytree(POLICIES / "examples", folder)
    return folder / CONSERVATIVE.name


def edit(path: Path, old: str, new: str) -> Path:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    return path


# ---- schema ----


def test_the_schema_is_printed_as_editors_take_it(anywhere: Run) -> None:
    assert anywhere("policy", "schema").out == printed() == anywhere("policy", "schema", "--json").out
    assert json.loads(printed())["title"] == "retraind promotion policy"


# ---- check ----


def test_a_check_tells_the_earliest_promotion_and_rollback_at_both_cadences(anywhere: Run) -> None:
    ran = anywhere("policy", "check", str(CONSERVATIVE))
    assert ran.code == 0
    assert "with daily drops: earliest promotion 12 d after a training, rollback 6 d after a promotion" in ran.out
    assert "with weekly drops: earliest promotion 28 d after a training, rollback 14 d after a promotion" in ran.out
    assert "Not checked without a site: whether its models, horizons and columns exist." in ran.out
    weekly = anywhere("policy", "check", str(CONSERVATIVE), "--cadence", "weekly", "--json").json["files"][0]
    assert weekly["earliest"] == {"weekly": {"promotion_days": 28.0, "rollback_days": 14.0}}


def test_what_a_cadence_makes_unreachable_is_a_note_until_that_cadence_is_asked_for(anywhere: Run, copy: Path) -> None:
    edit(edit(copy, "give_up_after: 8w", "give_up_after: 20d"), "\ntests: tests/price-conservative.yaml", "")
    ran = anywhere("policy", "check", str(copy))
    assert ran.code == 0
    assert "note: with weekly drops: takes 28 days at a drop every 1w, but a candidate is given up after 20d" in ran.out
    assert "with daily drops: takes" not in ran.out
    assert anywhere("policy", "check", str(copy), "--cadence", "daily").code == 0
    refused = anywhere("policy", "check", str(copy), "--cadence", "weekly")
    assert refused.code == 1
    assert "takes 28 days" in refused.out


def test_a_check_runs_the_tests_that_keep_an_edit_out(anywhere: Run, copy: Path) -> None:
    edit(copy, "by: 2%", "by: 90%")
    ran = anywhere("policy", "check", str(copy))
    assert ran.code == 1
    assert "An edit like this is refused" in ran.out
    mistakes = anywhere("policy", "check", str(copy), "--json").json["files"][0]["mistakes"]
    assert {m["where"]["file"] for m in mistakes} == {"tests/price-conservative.yaml"}
    assert f"tests/price-conservative.yaml, line {mistakes[0]['where']['line']}, column " in ran.out


def test_a_site_is_what_models_and_horizons_are_checked_against(run: Run, copy: Path) -> None:
    edit(copy, "models: [price]", "models: [cabbage]")
    ran = run("policy", "check", str(copy))
    assert ran.code == 0
    assert 'note: "cabbage" fits no model of this site' in ran.out
    assert "Not checked" not in ran.out


def test_a_site_is_what_folds_and_columns_are_checked_against(run: Run, copy: Path) -> None:
    text = (POLICIES / "examples" / "demand-by-category.yaml").read_text("utf-8").replace("by: category_name", "by: shelf")
    file = copy.with_name("shelves.yaml")
    file.write_text("\n".join(line for line in text.splitlines() if not line.startswith("tests:")), "utf-8")
    edit(file, "staging:\n  when:\n", "staging:\n  when:\n    - id: f\n      figure: {name: fold_9_wape_h1, at_most: 50}\n")
    ran = run("policy", "check", str(file))
    assert ran.code == 0, ran.out
    assert "there is no fold 9" in ran.out
    assert '"shelf" is no category column of the contract' in ran.out


def test_a_broken_config_does_not_keep_anybody_from_checking_a_policy(tmp_path: Path, copy: Path) -> None:
    story, _ = journals.first_days(tmp_path / "site")
    story.stop()
    story.config.write_text("nonsense: 1\n", "utf-8")
    assert run_in(tmp_path / "site")("policy", "check", str(copy)).code == 0


# ---- test ----


def test_the_tests_of_a_policy_are_run_and_what_they_never_saw_is_named(anywhere: Run) -> None:
    ran = anywhere("policy", "test", str(CONSERVATIVE))
    assert ran.code == 0
    data = anywhere("policy", "test", str(CONSERVATIVE), "--json").json
    file = data["files"][0]
    assert (data["ok"], file["failures"], file["passed"]) == (True, [], file["cases"])
    assert f"{file['cases']} of {file['cases']} tests passed" in ran.out
    assert file["never_unknown"]
    assert f"never unknown in any test: {', '.join(file['never_unknown'])}" in ran.out


def test_a_failed_test_is_told_with_its_line_and_what_came_instead(anywhere: Run, copy: Path) -> None:
    edit(copy, "by: 2%", "by: 0.1%")
    data = anywhere("policy", "test", str(copy), "--json").json
    ran = anywhere("policy", "test", str(copy))
    assert (ran.code, data["ok"]) == (1, False)
    failure = data["files"][0]["failures"][0]
    tests = (copy.parent / "tests" / copy.name).read_text("utf-8").splitlines()
    assert failure["name"] in tests[failure["line"] - 1]
    assert f"line {failure['line']}: {failure['name']}" in ran.out
    assert f"expected  {failure['expected']}" in ran.out
    assert f"got       {failure['got']}" in ran.out
    assert "An edit like this is refused" in ran.out


def test_tests_that_do_not_keep_an_edit_out_say_so(anywhere: Run, copy: Path) -> None:
    edit(edit(copy, "by: 2%", "by: 0.1%"), "\ntests: tests/price-conservative.yaml", "")
    ran = anywhere("policy", "test", str(copy))
    assert ran.code == 1
    assert "These tests do not keep an edit out: the policy has no line tests:" in ran.out


def test_a_policy_without_tests_is_named_and_alone_it_is_a_failure(anywhere: Run, copy: Path, tmp_path: Path) -> None:
    lonely = tmp_path / "lonely.yaml"
    shutil.copy(POLICIES / "price.yaml", lonely)
    assert f"--   {lonely}: no tests" in anywhere("policy", "test", str(copy), str(lonely)).out
    ran = anywhere("policy", "test", str(lonely))
    assert ran.code == 1
    assert "no policy here has tests" in ran.err


def test_mistakes_in_the_tests_are_told_with_their_file(anywhere: Run, copy: Path) -> None:
    tests = edit(copy.parent / "tests" / copy.name, "cadence:", "cadense:")
    ran = anywhere("policy", "test", str(copy))
    assert ran.code == 1
    assert f"{tests}, line 3, column 1: " in ran.out
    assert "did you mean cadence?" in ran.out


# ---- diff ----


def test_two_files_are_compared_in_words(anywhere: Run, copy: Path) -> None:
    edit(edit(copy, "by: 2%", "by: 3%"), "count: 2", "count: 1")
    ran = anywhere("policy", "diff", str(CONSERVATIVE), str(copy))
    assert ran.code == 0
    assert [line.split() for line in ran.out.splitlines()[1:]] == [
        ["stricter", "production.better-at-a-week", "by", "2%", "->", "3%"],
        ["looser", "production.buyers-agree", "count", "2", "->", "1"],
    ]
    data = anywhere("policy", "diff", str(CONSERVATIVE), str(copy), "--json").json
    assert data["changes"][0] == {"verdict": "stricter", "where": "production.better-at-a-week", "what": "by 2% -> 3%"}
    assert anywhere("policy", "diff", str(copy), str(copy)).out.endswith(" the same file\n")


def test_an_edit_of_comments_means_the_same(anywhere: Run, copy: Path) -> None:
    copy.write_text(copy.read_text("utf-8") + "\n# more\n", "utf-8")
    assert "other words, the same meaning" in anywhere("policy", "diff", str(CONSERVATIVE), str(copy)).out


def test_one_file_is_compared_with_what_is_in_force(run: Run, year: Path, tmp_path: Path) -> None:
    mine = tmp_path / "price.yaml"
    shutil.copy(year / "policies" / "price.yaml", mine)
    assert run("policy", "diff", str(mine)).out.endswith(" the same file\n")
    edit(mine, "within: 1%", "within: 2%")
    assert run("policy", "diff", str(mine)).out.splitlines()[1].split()[:2] == [
        "looser",
        "production.no-worse-than-champion",
    ]


def test_a_file_that_is_not_in_force_has_nothing_to_be_compared_with(run: Run, anywhere: Run, copy: Path) -> None:
    ran = run("policy", "diff", str(copy))
    assert (ran.code, ran.err) == (
        1, "error: no version of price-conservative.yaml is in force; compare two files: retrainctl policy diff OLD NEW\n",
    )  # fmt: skip
    assert anywhere("policy", "diff", str(copy)).code == 2
