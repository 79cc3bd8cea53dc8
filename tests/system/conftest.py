"""A site that several files break: made once a file, and copied."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from real_site import make_site, run_until_idle
from small_shop import EDITS, write_history, write_policies


@pytest.fixture(scope="module")
def trainable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop on the brink of its first training. Copy it."""
    site = make_site(tmp_path_factory.mktemp("trainable") / "site", EDITS, prepared=True)
    write_policies(site)
    write_history(site / "drops")
    done = run_until_idle(site, env={"RETRAIND_FAILPOINT": "journal.appended.retrain.requested"}, seconds=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return site
