"""Ten thousand drops at once, written by another process: all taken, each once, in their order, with bounded memory."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from real_site import HEADER, events, make_site, running, state_of

# Each a day before the last: the weeks before a drop, against which it is held, hold nothing to be read.
WRITER = """
import datetime, os, sys
folder, header, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for i in range(count):
    day = datetime.date(2025, 12, 31) - datetime.timedelta(days=i)
    text = f"{header}\\n{day},{i},3.5,4.2,0.0,3\\n"
    name = os.path.join(folder, f"daily_sales_{i:05d}.csv")
    with open(name + ".part" if i % 2 else name, "w") as file:
        file.write(text)
    if i % 2:
        os.rename(name + ".part", name)
"""


def taken(site: Path, count: int, *, megabytes: int) -> tuple[float, int]:
    """(seconds until all were put away, the daemon's most resident MB)."""
    with running(site) as daemon:
        daemon.wait_for("registry.ready", seconds=300)
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", WRITER, str(site / "drops"), HEADER, str(count)], check=True)
        daemon.wait_for("drop.filed", times=count, seconds=3000)
        seconds = time.monotonic() - began
        status = Path(f"/proc/{daemon.process.pid}/status").read_text()
        assert daemon.stop(seconds=120) == 0
        assert "Traceback" not in daemon.log
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found
    peak = int(found[1]) // 1024
    assert peak < megabytes
    drops = state_of(site).flow("produce").drops.values()
    assert len(drops) == count
    assert {d.state for d in drops} == {"accepted"}
    arrived = [r.event.drop for r in events(site, "drop.arrived")]
    accepted = [r.event.drop for r in events(site, "drop.accepted")]
    assert accepted == arrived, "in the order in which they came"
    assert not list((site / "drops").iterdir())
    assert len(list((site / "done").iterdir())) == count
    return seconds, peak


@pytest.mark.long
def test_ten_thousand_drops_at_once_are_all_taken_in_order(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    site = make_site(tmp_path / "site", {"min_days: 180": "min_days: 20000"})
    seconds, peak = taken(site, 10_000, megabytes=400)
    record_property("tried", "drops at once, written by another process: 10000")
    record_property("tried", f"MB that the daemon held at most meanwhile: {peak}")
    record_property("tried", f"seconds until all were put away: {seconds:.0f}")
