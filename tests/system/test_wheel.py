"""The wheel, installed where there is no checkout, carries all that a site needs and runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from real_site import ROOT

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"COLUMNS": "120"}


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel and, from ours, what it depends on."""

    folder: Path

    def run(self, command: str, *arguments: str, cwd: Path, seconds: float = 120) -> str:
        """What a command of the environment printed. It must end with 0."""
        result = subprocess.run(
            [self.folder / "bin" / command, *arguments], cwd=cwd, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True,
                   capture_output=True, timeout=120)  # fmt: skip
    (wheel,) = folder.glob("retraind-*.whl")
    venv.create(folder / "env")
    python = folder / "env" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel],
                   check=True, capture_output=True, timeout=120)  # fmt: skip
    # A folder named in a .pth is searched, but its own .pth files are not read: our checkout stays out.
    (library,) = (folder / "env" / "lib").glob("python*/site-packages")
    ours = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    (library / "dependencies.pth").write_text("\n".join(ours) + "\n")
    return Installed(folder / "env")


def test_the_wheel_and_not_the_checkout_is_what_runs(installed: Installed, tmp_path: Path) -> None:
    code = "import json, sys, retraind, retrainctl; print(json.dumps([retraind.__file__, retrainctl.__file__, sys.path]))"
    daemon, command_line, path = json.loads(installed.run("python", "-c", code, cwd=tmp_path))
    assert Path(daemon).is_relative_to(installed.folder)
    assert Path(command_line).is_relative_to(installed.folder)
    assert not [p for p in path if Path(p) in (ROOT, ROOT / "daemon", ROOT / "cli")]


def test_a_site_made_by_the_wheel_takes_a_drop_in(installed: Installed, tmp_path: Path) -> None:
    installed.run("retrainctl", "init", "shop", cwd=tmp_path)
    site = tmp_path / "shop"
    assert (site / "config.yaml").read_text() == (ROOT / "config.yaml").read_text()
    for name in ("demand.yaml", "price.yaml"):
        assert (site / "policies" / name).read_text() == (ROOT / "policies" / name).read_text()
    installed.run("retrainctl", "config", "check", cwd=site)
    installed.run("retrainctl", "policy", "check", cwd=site)
    rows = [f"2024-03-{day:02},{item},{day}.5,{4 + item}.2" for day in range(1, 11) for item in (1, 2)]
    drop = "\n".join(["date,item_code,quantity_kg,avg_price_rmb_kg", *rows]) + "\n"
    (site / "drops" / "daily_sales_2024-03-10.csv").write_text(drop)
    installed.run("retraind", "--until-idle", cwd=site)
    status = json.loads(installed.run("retrainctl", "status", "--json", cwd=site))
    assert status["drops"]["accepted"] == 1
    assert status["drops"]["quarantined"] == 0


def test_the_wheel_makes_a_sample_with_its_history_and_weeks_to_come(installed: Installed, tmp_path: Path) -> None:
    installed.run("retrainctl", "init", "sample", "--sample", cwd=tmp_path)
    assert len(list((tmp_path / "sample" / "drops").glob("*"))) == 4
    assert list((tmp_path / "sample" / "incoming").glob("daily_sales_*.csv"))
