"""What `status` imports: so little that it starts in the blink of an eye."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import journals
from retrainctl.__main__ import PlainStatus, plain_status
from retraind import settings

HEAVY = {"mlflow", "pandas", "numpy", "pyarrow", "sklearn", "scipy", "skops", "shap", "apscheduler", "watchdog", "psutil",
         "rich", "typer", "pydantic"}  # fmt: skip


def imported_by(folder: Path, *words: str) -> set[str]:
    code = (
        "import sys; sys.argv = ['retrainctl', *sys.argv[1:]]\n"
        "from retrainctl.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "--config", str(folder / "config.yaml"), *words]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout
    return set(ran.stderr.split())


@pytest.mark.parametrize("words", [("status",), ("status", "--json")])
def test_status_imports_nothing_heavy(year: Path, words: tuple[str, ...]) -> None:
    found = imported_by(year, *words)
    assert "retraind" in found
    assert found & HEAVY == set()


def test_status_reads_no_yaml_where_the_daemon_kept_its_settings(tmp_path: Path) -> None:
    journals.a_year(tmp_path).stop()
    assert "ruamel" in imported_by(tmp_path, "status")
    loaded, _, sha256 = settings.load(tmp_path / "config.yaml")
    settings.keep(loaded, sha256, tmp_path / "state")
    assert "ruamel" not in imported_by(tmp_path, "status")


def test_status_makes_few_of_the_events(year: Path) -> None:
    code = (
        "import sys; from retrainctl.__main__ import main; sys.argv = ['retrainctl', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "from retraind.core.events import KINDS\n"
        "made = [k for k, cls in KINDS.items() if isinstance(vars(cls)['__dataclass_fields__'], dict)]\n"
        "print(len(made), len(KINDS), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "--config", str(year / "config.yaml"), "status"]
    made, all_of_them = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stderr.split())
    assert 0 < made < all_of_them / 2


@pytest.mark.parametrize("words", [("which", "price"), ("drops", "list"), ("explain", "price"), ("policy", "list")])
def test_other_commands_import_typer_and_nothing_heavier(year: Path, words: tuple[str, ...]) -> None:
    assert imported_by(year, *words) & HEAVY <= {"typer", "pydantic"}


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["status"], PlainStatus("config.yaml", json=False)),
        (["status", "--json"], PlainStatus("config.yaml", json=True)),
        (["--config", "a/b.yaml", "status"], PlainStatus("a/b.yaml", json=False)),
        (["--config=a/b.yaml", "status", "--json"], PlainStatus("a/b.yaml", json=True)),
        ([], None),
        (["status", "--watch"], None),
        (["status", "--help"], None),
        (["status", "--json", "--json"], None),
        (["--config", "status"], None),
        (["--config=", "status"], None),
        (["--config", "--json", "status"], None),
        (["drops", "status"], None),
    ],
)
def test_only_plain_status_goes_by_the_quick_door(words: list[str], meant: PlainStatus | None) -> None:
    assert plain_status(words) == meant
