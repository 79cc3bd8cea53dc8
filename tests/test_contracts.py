"""The import contracts of `.importlinter` hold, and each is broken on purpose once to see that it bites."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# (what somebody might do, the module it stands in, the line, the contract that must catch it)
BREAKS = [
    ("a new module that chose no floor", "retraind/novelty.py", "", "floors"),
    ("a core that reads settings", "retraind/core/plan.py", "import retraind.settings", "floors"),
    ("errors that know the core", "retraind/errors.py", "import retraind.core.events", "floors"),
    ("drift that uses ours", "retraind/drift/statistics.py", "import retraind.errors", "floors"),
    ("settings that look into the journal", "retraind/settings.py", "import retraind.journal.read", "floors"),
    ("a shell module that knows its neighbour", "retraind/inbox.py", "import retraind.runner", "floors"),
    ("a job that knows the shell", "retraind/jobs/examine.py", "import retraind.inbox", "floors"),
    ("a runner that knows the supervisor", "retraind/runner.py", "import retraind.supervisor", "floors"),
    ("a circle in the core", "retraind/core/state.py", "import retraind.core.plan", "circles"),
    ("a circle hidden in a function", "retraind/core/events.py", "def f():\n    import retraind.core.fold", "circles"),
    ("pandas in the loop", "retraind/supervisor.py", "import pandas", "light"),
    ("numpy in a function of the inbox", "retraind/inbox.py", "def f():\n    from numpy import array", "light"),
    ("mlflow in the command line", "retrainctl/app.py", "import mlflow.tracking", "light"),
    ("an explainer not used so far", "retraind/schedule.py", "import shap", "light"),
    ("a job called in the daemon's process", "retraind/__main__.py", "import retraind.jobs.examine", "jobs-apart"),
    ("drift measured by the command line", "retrainctl/app.py", "import retraind.drift.statistics", "drift-apart"),
    ("a command that writes the journal", "retrainctl/app.py", "import retraind.journal.append", "one-writer"),
    ("a job that writes the journal", "retraind/jobs/examine.py", "import retraind.journal.append", "one-writer"),
    ("a command that starts children", "retrainctl/app.py", "import retraind.runner", "command-line"),
    ("a daemon that knows its command line", "retraind/log.py", "import retrainctl.app", "daemon-without-cli"),
    ("a core with files", "retraind/core/plan.py", "from pathlib import Path", "pure-core"),
    ("a core with a clock", "retraind/core/policy/decision.py", "import time", "pure-core"),
    ("a core that reads YAML", "retraind/core/units.py", "import ruamel.yaml", "pure-core"),
]  # fmt: skip


def lint(tree: Path, contract: str = "") -> subprocess.CompletedProcess[str]:
    """`lint-imports` on the packages below `tree`, of one contract or of all."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo",
         *(["--contract", contract] if contract else [])],
        cwd=tree, env=os.environ | {"PYTHONPATH": f"{tree / 'daemon'}:{tree / 'cli'}", "COLUMNS": "200"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def shell_modules() -> set[str]:
    """The modules that the contract `floors` puts on the shell's floor, without the jobs."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    floors = contracts["importlinter:contract:floors"]["layers"].split("\n")
    shell = next(floor for floor in floors if "runner" in floor)
    return {f"retraind.{name.strip(' ()')}" for name in shell.split("|")} - {"retraind.jobs"}


def test_every_contract_holds() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_command_line_is_held_away_from_every_shell_module() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    forbidden = set(contracts["importlinter:contract:command-line"]["forbidden_modules"].split())
    assert forbidden == shell_modules() | {"retraind.__main__", "retraind.supervisor"}


@pytest.mark.parametrize(("file", "line", "contract"), [b[1:] for b in BREAKS], ids=[b[0] for b in BREAKS])
def test_a_break_is_caught_by_its_contract(file: str, line: str, contract: str, tmp_path: Path) -> None:
    for name in ("daemon", "cli"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "site"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    top = "daemon" if file.startswith("retraind/") else "cli"
    with (tmp_path / top / file).open("a") as module:
        module.write(f"\n{line}\n")
    result = lint(tmp_path, contract)
    assert result.returncode == 1
    assert "0 kept, 1 broken" in result.stdout, result.stdout + result.stderr
