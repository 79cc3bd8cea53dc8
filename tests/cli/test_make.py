"""The make targets by hand: all are there and listed, and each is nothing but calls of commands that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import typer.main

from retrainctl.app import app
from retrainctl.reference import _leaves

MAKEFILE = Path(__file__).resolve().parents[2] / "Makefile"
TARGETS = (
    "train-models", "evaluate-models", "register-models", "promote-champion", "setup-model-infrastructure",
    "pipeline-training-basic", "pipeline-training-registry", "pipeline-training-full", "pipeline-training-prod",
    "validate-models", "generate-model-reports", "monitor-model-drift", "retrain-scheduled", "retrain-performance",
)  # fmt: skip


def recipe(target: str) -> list[str]:
    """The lines of a target, as they stand in the Makefile."""
    found = re.search(rf"^{target}:[^\n]*\n((?:\t[^\n]*\n)*)", MAKEFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, target
    return found[1].splitlines()


def test_make_alone_lists_every_target_with_what_it_does() -> None:
    said = subprocess.run(["make", "-s"], cwd=MAKEFILE.parent, capture_output=True, text=True, check=True).stdout
    listed = dict(line.removeprefix("make ").split(maxsplit=1) for line in said.splitlines())
    assert set(TARGETS) <= set(listed)
    assert {"run", "test"} <= set(listed)


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_nothing_but_calls_of_commands_that_exist(target: str) -> None:
    commands = dict(_leaves(typer.main.get_command(app)))
    for line in recipe(target):
        called = re.fullmatch(r"\t@\$\(CTL\) (.+)", line)
        assert called, line
        words = tuple(called[1].split(" --")[0].split())
        assert words in commands, line
        options = {name for parameter in commands[words].params for name in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", called[1])) <= options, line
