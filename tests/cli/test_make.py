"""The make targets by hand: all are there and listed, each is nothing but calls of commands that exist, and three are made."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from real_site import aliases, events, make_site, running, state_of
from retrainctl.app import app
from retrainctl.reference import _leaves
from small_shop import EDITS, write_history

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


# ---- really made ----


def make(target: str, site: Path) -> str:
    """What `make TARGET SITE=site` says, with the commands of this Python's environment; it must end well, and install nothing."""
    here = ["-o", ".venv/.installed", f"BIN={Path(sys.executable).parent}", "PIP=false"]
    made = subprocess.run(
        ["make", "-s", *here, target, f"SITE={site}"],
        cwd=MAKEFILE.parent, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop with its history in drops/, and demand's policy, which leaves promotions to people."""
    edits = EDITS | {key: "models: [ridge]" for key in EDITS if key.startswith("models:")}
    folder = make_site(tmp_path_factory.mktemp("made") / "site", edits, prepared=True)
    for name in ("price.yaml", "tests/price.yaml"):
        (folder / "policies" / name).unlink()
    policy = folder / "policies" / "demand.yaml"
    policy.write_text(policy.read_text("utf-8").replace("mode: enforce", "mode: dry_run"), "utf-8")
    write_history(folder / "drops")
    return folder


def test_make_trains_without_a_daemon_and_checks_what_it_trained(site: Path) -> None:
    shown = make("train-models", site)
    (request,) = state_of(site).flow("produce").requests.values()
    assert (request.state, request.kind) == ("finished", "search")
    assert [r.event.reason for r in events(site, "retrain.asked")] == ["make train-models"]
    assert f"{request.id} · a search · demand" in shown
    assert "v1 ridge" in shown
    checked = " ".join(make("validate-models", site).split())
    assert "policies/demand.yaml: policy demand for demand" in checked
    assert re.search(r" (\d+) of \1 tests passed", checked)
    assert f"{len(events(site))} events, each follows from the one before" in checked
    assert re.search(rf"the same: all \d{{3}} figures of {request.id}, to the last digit", checked)


def test_make_asks_the_daemon_that_runs(site: Path) -> None:
    """Goes on where the test before stopped."""
    with running(site):
        assert "promoted demand v1" in make("promote-champion", site)
    assert aliases(site) == {("demand", "champion"): 1}
    assert [r.event.until_idle for r in events(site, "daemon.started")] == [True, False]
