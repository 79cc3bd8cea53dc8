"""Runs a job for a person, in a child of this program: what the daemon's runner does, without a daemon.

For jobs that change nothing. The child reads its request from a folder that is gone afterwards, and ends itself when this
program does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from retrainctl.site import Site
from retraind.core.binding import bind, unbind
from retraind.core.steps import VERSION, Failed, Job, JobRequest, Outcome, Progress, decode_outcome
from retraind.errors import RetraindError

__all__ = ["outcome_of"]


def outcome_of(site: Site, name: str, step: Job, config: str, said: Callable[[Progress], None]) -> Outcome:
    """The outcome of a job. config: the text of config.yaml that it goes by. Raises RetraindError when it fails."""
    request = JobRequest(VERSION, name, name, site.pipeline, str(site.root), config, unbind(step), site.settings.jobs.threads)
    with tempfile.TemporaryDirectory(prefix="retrainctl-") as folder:
        path = Path(folder, "request.json")
        path.write_text(json.dumps(unbind(request), ensure_ascii=False), "utf-8")
        with Path(folder, "log.txt").open("w+", encoding="utf-8") as log:
            outcome = _outcome([sys.executable, "-P", "-m", "retraind.jobs", name, str(path)], site.root, log.fileno(), said)
            log.seek(0)
            if outcome is None:
                raise RetraindError(f"the job {name} ended without an outcome: {_last(log.read())}")
    if isinstance(outcome, Failed):
        raise RetraindError(outcome.what, remedy=outcome.remedy, retryable=outcome.retryable)
    return outcome


def _outcome(command: list[str], root: Path, log: int, said: Callable[[Progress], None]) -> Outcome | None:
    found: Outcome | None = None
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=root, text=True) as child:
        assert child.stdout
        for line in child.stdout:
            told = json.loads(line)
            if "progress" in told:
                said(bind(Progress, told["progress"], strict=False))
            elif "outcome" in told:
                found = decode_outcome(told["outcome"])
    return found


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
