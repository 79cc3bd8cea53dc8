"""A resident daemon is light: heavy libraries are for its children."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from real_site import make_site, running

HEAVY = {"holidays", "matplotlib", "mlflow", "numpy", "pandas", "pyarrow", "scipy", "shap", "skops", "sklearn"}


def imported(log: str) -> set[str]:
    """Top-level names of what a process run with PYTHONPROFILEIMPORTTIME says it imported."""
    return {m[1].split(".")[0] for m in re.finditer(r"^import time: +\d+ \| +\d+ \| +(\S+)$", log, re.MULTILINE)}


def test_a_daemon_that_worked_and_stopped_never_imported_a_heavy_library(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site")
    # children inherit the variable, but what they say goes into their own logs
    with running(site, env={"PYTHONPROFILEIMPORTTIME": "1"}) as daemon:
        unfit = site / "drops" / "daily_sales_1.csv.tmp"
        unfit.write_text("date,item_code\n")
        unfit.rename(unfit.with_suffix(""))
        daemon.wait_for("drop.arrived")
        daemon.wait_for("job.started")
        assert daemon.stop() == 0
    names = imported(daemon.log)
    assert {"retraind", "watchdog", "psutil", "apscheduler"} <= names  # the list is what it should be
    assert not names & HEAVY


def test_status_reads_no_yaml_on_a_site_whose_daemon_started(tmp_path: Path) -> None:
    site = make_site(tmp_path / "site")
    with running(site) as daemon:
        daemon.wait_for("daemon.started")
        assert daemon.stop() == 0
    env = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    ran = subprocess.run([sys.executable, "-m", "retrainctl", "status"], cwd=site, env=env, capture_output=True, text=True,
                         check=True)  # fmt: skip
    assert "retraind" in imported(ran.stderr)
    assert "ruamel" not in imported(ran.stderr)
