"""What the resident costs while nothing happens, and how soon the command line answers, each beside its target.

Memory is the resident set of a daemon on a site without drops, after its first job (the store is prepared once) ended.
`retrainctl status` is held against `mlflow --version` on the same machine, since absolute times are not portable.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from real_site import Daemon, make_site, running
from system.test_light import HEAVY, imported

_MEMORY_MB = 60


def main() -> int:
    """Exit code 1 when a target is missed."""
    with tempfile.TemporaryDirectory() as folder:
        with running(make_site(Path(folder) / "site"), env={"PYTHONPROFILEIMPORTTIME": "1"}) as daemon:
            daemon.wait_for("job.ended", seconds=120)
            memory = resident_mb(daemon)
            status, status_cpu = median_seconds(["retrainctl", "status"], times=9, folder=daemon.site)
        heavy = sorted(imported(daemon.log) & HEAVY)
        mlflow, mlflow_cpu = median_seconds(["mlflow", "--version"], times=3, folder=Path(folder))
    rows = [
        ("resident memory of the idle daemon", f"{memory:.1f} MB", f"under {_MEMORY_MB} MB", memory < _MEMORY_MB),
        ("heavy libraries it imported", ", ".join(heavy) or "none", "none", not heavy),
        ("retrainctl status, median of 9", f"{status:.3f} s", "", True),
        ("mlflow --version, median of 3", f"{mlflow:.3f} s", "", True),
        ("status as a share of mlflow --version", f"1/{mlflow / status:.0f}", "at most 1/20", status <= mlflow / 20),
        ("the same in CPU time (a busy machine)", f"1/{mlflow_cpu / status_cpu:.0f}", "", True),
    ]  # fmt: skip
    for what, value, target, met in rows:
        print(f"{what:<40} {value:>12}   {target:<14} {'' if not target else 'met' if met else 'MISSED'}".rstrip())
    return 0 if all(met for *_, met in rows) else 1


def resident_mb(daemon: Daemon) -> float:
    """Resident memory of the daemon's own process, MB (10^6 bytes)."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{daemon.process.pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024 / 1e6


def median_seconds(command: Sequence[str], *, times: int, folder: Path) -> tuple[float, float]:
    """Median (wall, CPU) seconds of `command`, a script beside this Python, after one run that warms the disk."""
    program = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # installed programs are compiled
    walls, cpus = [], []
    for _ in range(times + 1):
        start, before = time.perf_counter(), os.times()
        subprocess.run(program, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        after = os.times()
        walls.append(time.perf_counter() - start)
        cpus.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return statistics.median(walls[1:]), statistics.median(cpus[1:])


if __name__ == "__main__":
    sys.exit(main())
