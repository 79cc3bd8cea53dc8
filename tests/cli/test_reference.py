"""The reference pages say everything that exists, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer.main

from retrainctl import reference
from retrainctl.app import app
from retraind.core.binding import choices
from retraind.core.policy import answers, decision, document
from retraind.core.policy.cases import Expect, bind_cases, run
from retraind.core.policy.conditions import KINDS
from retraind.core.policy.readiness import DriftingDrops
from retraind.strict_policy import read_policy
from retraind.strict_yaml import parse

ROOT = Path(__file__).resolve().parents[2]
POLICIES = (ROOT / "docs" / "policies.md").read_text("utf-8")
CLI = (ROOT / "docs" / "cli.md").read_text("utf-8")


def keys(kind: type[Any]) -> set[str]:
    return {f.name.rstrip("_") for f in fields(kind)}


def section(heading: str, page: str = POLICIES) -> str:
    """What stands between a heading and the next."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def rows(text: str, header: str) -> list[str]:
    """The words in backticks that begin the rows of the table with that header."""
    table = text.split(f"| {header} |", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_the_command_line_page_is_what_the_commands_say() -> None:
    assert reference.commands() == CLI, "stale: run python -m retrainctl.reference docs"


def test_every_command_stands_in_the_page_once_with_its_exit_codes() -> None:
    named = re.findall(r"^### `retrainctl (.*)`$", CLI, re.MULTILINE)
    words = [" ".join(w) for w, _ in reference._leaves(typer.main.get_command(app))]
    assert len(words) > 20
    assert [w for name in named if (w := re.sub(r" (\[?[A-Z]+.*)$", "", name))] == words
    assert len(re.findall(r"^Exit codes: 0, 1.*, 2(, 3)?(, 4)?\.$", CLI, re.MULTILINE)) == len(words)
    assert set(reference.EXITS) <= set(words)


def test_the_table_of_kinds_is_what_the_code_says() -> None:
    assert reference.with_kinds(POLICIES) == POLICIES, "stale: run python -m retrainctl.reference docs"
    assert rows(POLICIES, "kind") == list(KINDS)


def test_the_pages_are_written_by_one_command(tmp_path: Path) -> None:
    (tmp_path / "policies.md").write_text(POLICIES.replace("| `soak` | `drops`", "| `soap` | `drops`"), "utf-8")
    subprocess.run([sys.executable, "-m", "retrainctl.reference", str(tmp_path)], check=True)
    assert (tmp_path / "policies.md").read_text("utf-8") == POLICIES
    assert (tmp_path / "cli.md").read_text("utf-8") == CLI


def test_every_parameter_of_every_kind_is_explained_and_nothing_else() -> None:
    classes = {kind.asks_in(place) for kind in KINDS.values() for place in kind.places}
    wanted = set().union(*map(keys, classes), keys(DriftingDrops))
    told = rows(section("Conditions"), "parameter")
    assert set(told) == wanted
    assert len(told) == len(set(told))


@pytest.mark.parametrize(
    ("heading", "kind"),
    [("The file", document.Policy), ("`staging`, `refresh`", document.Staging), ("`staging`, `refresh`", document.Refresh),
     ("`production`", document.Production), ("`rollback`", document.Rollback), ("`archive`", document.Archive),
     ("`freeze`", document.Window), ("`limits`", document.Limits), ("Conditions", document._RollbackEnvelope)],
)  # fmt: skip
def test_every_key_of_every_block_is_explained_and_nothing_else(heading: str, kind: type[Any]) -> None:
    told = rows(section(heading), "key")
    assert set(told) == keys(kind)
    assert len(told) == len(set(told))


def test_every_outcome_and_decision_is_explained_and_nothing_else() -> None:
    assert set(rows(section("The four outcomes"), "outcome")) == set(choices(answers.Outcome))
    assert set(rows(section("What is decided"), "decision")) == set(choices(decision.Verdict))


def test_every_command_that_the_policy_page_names_exists() -> None:
    known = {" ".join(w) for w, _ in reference._leaves(typer.main.get_command(app))}
    named = set(re.findall(r"retrainctl ([a-z]+ [a-z]+|[a-z]+)", re.sub(r"retrainctl\.reference", "", POLICIES)))
    assert len(named) >= 5
    assert named <= known


def test_the_example_of_a_test_file_passes_the_shipped_policy() -> None:
    example = re.search(r"```yaml\n(policy: .*?)```", POLICIES, re.DOTALL)
    assert example
    file = bind_cases(parse(example[1], "docs/policies.md").value)
    report = run(read_policy(ROOT / "policies" / "price.yaml").loaded.policy, file)
    assert (report.cases, report.failures) == (2, ())


def test_what_a_test_may_expect_is_named() -> None:
    words = choices(get_type_hints(Expect)["decision"])
    assert all(f"`{word}`" in section("Tests") for word in words)
    assert all(f"`{key}`" in section("Tests") for key in keys(Expect) - {"decision"})
