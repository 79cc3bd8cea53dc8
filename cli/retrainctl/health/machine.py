"""The machine under a site: folders and their rights, disk, inotify, the clock, systemd."""

from __future__ import annotations

import ctypes
import datetime as dt
import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from retrainctl.health.finding import Finding, note, ok, wrong
from retrainctl.site import Site
from retrainctl.views.times import count, duration
from retraind.core.state import State

__all__ = ["clock", "disk", "folders", "inotify", "systemd"]

_REMOTE = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "fuse.s3", "vboxsf")
"""File systems on which the kernel does not tell what another machine writes."""
_LEAST_FREE = 1 << 30
_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")


def folders(site: Site) -> Iterator[Finding]:
    """Every folder of the settings is there and this user may work in it; files can be moved from one to the other."""
    user = getpass.getuser()
    for name in ("drops", "done", "quarantine", "policies", "state", "orders"):
        path = site.root / getattr(site.settings.paths, name)
        wanted = os.R_OK | os.X_OK | (0 if name == "policies" else os.W_OK)
        if not path.exists():
            if name in ("done", "quarantine", "orders", "state"):
                yield note("folders", f"{name}: {path} is not there; the daemon makes it")
            else:
                yield wrong("folders", f"{name}: {path} is not there", f"mkdir {path}, or name another one under paths")
        elif not path.is_dir():
            yield wrong("folders", f"{name}: {path} is no folder", "move the file away, or name a folder under paths")
        elif not os.access(path, wanted):
            may = "read" if name == "policies" else "write"
            yield wrong("folders", f"{name}: {user} may not {may} in {path}",
                        f"give the right to (chgrp, chmod g+rwx {path}), or run this as the daemon's user")  # fmt: skip
        else:
            yield ok("folders", f"{name}: {path}")
    drops, done = (site.root / getattr(site.settings.paths, n) for n in ("drops", "done"))
    if drops.is_dir() and done.is_dir() and drops.stat().st_dev != done.stat().st_dev:
        yield note("folders", "drops and done lie on different disks: each file is copied, not moved")


def disk(site: Site) -> Iterator[Finding]:
    """Room for a few more journals and for what trainings write."""
    journal = site.journal.stat().st_size if site.journal.exists() else 0
    for name, path in {"state": site.journal.parent, "drops": site.root / site.settings.paths.drops}.items():
        if not path.exists():
            continue
        usage, table = shutil.disk_usage(path), os.statvfs(path)
        words = f"{name}: {usage.free / 1e9:.1f} GB of {usage.total / 1e9:.0f} GB free"
        if usage.free < max(_LEAST_FREE, 3 * journal):
            yield wrong("disk", words, "make room: old files of done/, runs of MLflow, state/damaged-*, or a larger disk")
        elif table.f_files and table.f_favail < 10_000:
            yield wrong("disk", f"{name}: {count(table.f_favail, 'inode')} left", "remove small files on that disk")
        else:
            yield ok("disk", words)


def inotify(site: Site) -> Iterator[Finding]:
    """Whether the daemon can watch folders; where it cannot, a scan a minute finds everything all the same."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0:
        why = os.strerror(ctypes.get_errno())
        limit = _INSTANCES.read_text("utf-8").strip() if _INSTANCES.exists() else "?"
        mend = "sysctl fs.inotify.max_user_instances=512, and the same in /etc/sysctl.d"
        yield wrong("inotify", f"no folder can be watched: {why} (max_user_instances {limit}); drops wait up to a minute", mend)
        return
    os.close(descriptor)
    drops = site.root / site.settings.paths.drops
    kind = _file_system(drops)
    if kind.startswith(_REMOTE):
        yield note("inotify", f"drops lie on {kind}: what other machines write there is found by the scan, within a minute")
    else:
        yield ok("inotify", f"folders can be watched ({kind or 'file system unknown'})")


def _file_system(path: Path) -> str:
    """The kind that the longest mount point above `path` has."""
    best, found = "", ""
    try:
        mounts = Path("/proc/mounts").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in mounts:
        _, point, kind, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if path.resolve().is_relative_to(point) and len(point) >= len(best):
            best, found = point, kind
    return found


def clock(state: State, now: dt.datetime) -> Iterator[Finding]:
    """The wall clock is not behind the journal, and something keeps it right."""
    last = state.last_wall
    if last and now < last - dt.timedelta(minutes=1):
        behind = duration((last - now).total_seconds())
        yield wrong("clock", f"the machine's clock is {behind} behind the journal's newest event",
                    "set it: timedatectl set-ntp true; schedules and approvals go by it")  # fmt: skip
        return
    answer = _said("timedatectl", "show", "-p", "NTPSynchronized", "--value")
    if answer == "no":
        yield note("clock", "nothing synchronises the machine's clock", "timedatectl set-ntp true")
    else:
        yield ok("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC" + (", synchronised" if answer == "yes" else ""))


def systemd() -> Iterator[Finding]:
    """The unit, where there is one."""
    shown = _said("systemctl", "show", "retraind", "-p", "LoadState,ActiveState,SubState,UnitFileState,NRestarts")
    if shown is None:
        yield note("systemd", "no systemd answers here: nothing starts the daemon again after a crash or a boot")
        return
    unit = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    if unit.get("LoadState") != "loaded":
        yield note("systemd", "there is no unit retraind: nothing starts the daemon again after a crash or a boot",
                   "see systemd/retraind.service of the source")  # fmt: skip
    elif unit.get("ActiveState") == "failed":
        yield wrong("systemd", "the unit retraind failed", "journalctl -u retraind; then: systemctl reset-failed retraind")
    elif unit.get("UnitFileState") != "enabled":
        yield note("systemd", "the unit retraind is not enabled: it does not start with the machine", "systemctl enable retraind")
    else:
        yield ok("systemd", f"unit retraind {unit.get('ActiveState')}, started again {unit.get('NRestarts', '0')} times")


def _said(*command: str) -> str | None:
    """What a program of the machine prints; None where it is not there or does not answer."""
    if shutil.which(command[0]) is None:
        return None
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout.strip() if ran.returncode == 0 else None
