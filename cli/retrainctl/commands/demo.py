"""`retrainctl demo`: a sample site, its daemon at work, week after week, until drift was answered. `make run` calls it.

Everything shown is the real thing: the daemon is a child process that reads the sample's files, trains, and decides by the
shipped policies. The demo only moves the next week's files into the drops folder when the daemon has come to rest.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from retrainctl.client import ask
from retrainctl.commands.init import init
from retrainctl.daemons import at_rest, started
from retrainctl.site import Site, site_at
from retrainctl.views import live
from retraind.core.figures import Scores
from retraind.core.messages import Look
from retraind.core.state import Flow, Model, Request, Version
from retraind.errors import NotRunning, RetraindError

__all__ = ["demo"]

_PATIENCE = 20 * 60
_STOP_SECONDS = 30


def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the sample site is made, or goes on.")] = Path(
        "demo"
    ),
) -> None:
    """Make a sample site, start its daemon and watch it until a drifted week was answered."""
    if not (folder / "config.yaml").exists():
        init(folder, sample=True)
    site = site_at(str(folder / "config.yaml"))
    with suppress(NotRunning):
        ask(site, Look())
        raise RetraindError("a daemon runs on this site already", remedy="look at it with: retrainctl status --watch")
    log = site.root / site.settings.paths.state / "daemon.log"
    daemon = started(site, log)
    stage = _Stage(site, daemon)
    interrupted = False
    try:
        live.watch(site, until=stage.is_over)
        if stage.finished:
            _tell("\n".join(_summary(site, log)))
            if sys.stdout.isatty():
                _tell("\nThe daemon goes on. Ctrl-C stops it.\n")
                live.watch(site, until=lambda: daemon.poll() is not None)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        code = _stop(daemon)
    if not stage.finished and not interrupted:
        raise RetraindError(stage.trouble or f"the daemon ended with code {code}", remedy=f"read its log: {log}")


class _Stage:
    """Feeds the daemon week by week and knows when the story is told."""

    def __init__(self, site: Site, daemon: subprocess.Popen[bytes]) -> None:
        self.site, self.daemon = site, daemon
        self.finished = False
        self.trouble = ""
        self._rested = self._fed = 0
        self._ends = time.monotonic() + _PATIENCE

    def is_over(self) -> bool:
        """Called each second: feed the next week, or see that all is done."""
        if self.daemon.poll() is not None:
            return True
        if time.monotonic() > self._ends:
            self.trouble = f"not done after {_PATIENCE // 60} minutes"
            return True
        if not self._at_rest():
            self._rested = 0
            return False
        self._rested += 1
        if self._rested < 2:
            return False
        if not (self._fed and _is_answered(self.site)) and self._feed():
            self._rested, self._fed = 0, self._fed + 1
            return False
        self.finished = True
        return True

    def _at_rest(self) -> bool:
        """At rest after the first drops were examined."""
        try:
            return bool(self.site.state().flow(self.site.pipeline).drops) and at_rest(self.site)
        except RetraindError:
            return False

    def _feed(self) -> bool:
        """Rename the next week's files into the drops folder, companions first. False when none is left."""
        incoming = self.site.root / "incoming"
        left = sorted(incoming.glob("*.csv")) if incoming.is_dir() else []
        weeks = sorted({path.stem.rsplit("_", 1)[-1] for path in left})
        for path in sorted((p for p in left if p.stem.endswith(weeks[0])), reverse=True):
            path.rename(_drops(self.site) / path.name)
        return bool(weeks)


def _is_answered(site: Site) -> bool:
    """A week drifted and its training has ended; what is left of the weeks is for the next call."""
    requests = site.state().flow(site.pipeline).requests.values()
    return any(r.state != "waiting" and any(c.kind == "drift" for c in r.causes) for r in requests)


def _drops(site: Site) -> Path:
    return site.root / site.settings.paths.drops


def _stop(daemon: subprocess.Popen[bytes]) -> int:
    if daemon.poll() is None:
        daemon.send_signal(signal.SIGTERM)
    try:
        return daemon.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        daemon.kill()
        return daemon.wait()


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _summary(site: Site, log: Path) -> list[str]:
    flow = site.state().flow(site.pipeline)
    lines = ["", "What stands now"]
    lines += [_champion(model) for model in flow.models.values() if model.champion is not None]
    lines += ["", "What drift did", *_drift(flow)]
    root, tool = _short(site.root), f"{_short(Path(sys.executable).parent)}/retrainctl --config {_short(site.config)}"
    mlflow = f"{_short(Path(sys.executable).parent)}/mlflow ui --backend-store-uri"
    lines += [
        "", "Where things are",
        f" journal    {root}/state/journal.db          {tool} audit verify",
        f" policies   {root}/policies/*.yaml           edit one while the daemon runs",
        f" drops      {root}/done, {root}/quarantine   {tool} drops list",
        f" log        {_short(log)}; each job's in {root}/state/jobs/",
        f" runs       {mlflow} {_uri(site)}   (figures and reports of each run: its artifacts)",
        "", "What to type next",
        f" {tool} status",
        f" {tool} explain price",
        f" {tool} history demand",
        " make run goes on from here",
    ]  # fmt: skip
    return lines


def _champion(model: Model) -> str:
    version = model.version(model.champion or 0)
    if version is None:
        return f" {model.name}: v{model.champion}"
    result = model.results.get(version.request)
    naive = _wape(result.baselines.get("persistence") if result else None)
    return (f" {model.name}: champion v{version.version}, {version.candidate.algorithm}, "
            f"WAPE one day ahead {_wape(version.candidate.test)} on untouched test days (tomorrow as today: {naive})")  # fmt: skip


def _wape(scores: Scores | None) -> str:
    values = scores.values.get("wape", {}) if scores else {}
    value = next(iter(values.values()), None)
    return "unknown" if value is None else f"{value:.2f} %"


def _drift(flow: Flow) -> list[str]:
    asked = [r for r in flow.requests.values() if any(c.kind == "drift" for c in r.causes)]
    if not asked:
        return [" no week drifted"]
    return [line for request in asked for line in _answer(flow, request)]


def _answer(flow: Flow, request: Request) -> list[str]:
    lines = [f" {c.words}" for c in request.causes if c.kind == "drift"]
    lines.append(f" so request {request.id} trained again: {request.words}")
    for model in flow.models.values():
        chosen = sorted((v for v in model.versions.values() if v.request == request.id), key=_by_stage)
        lines += [f" {model.name} v{v.version} ({v.candidate.algorithm}, {v.stage}): {v.words}" for v in chosen[:1]]
    return lines


def _by_stage(version: Version) -> tuple[int, int]:
    return ("Production", "Staging", "Archived", "None").index(version.stage), version.candidate.rank


def _uri(site: Site) -> str:
    uri = site.settings.mlflow.tracking_uri
    return f"sqlite:///{_short(site.root / uri.removeprefix('sqlite:///'))}" if uri.startswith("sqlite:///") else uri


def _short(path: Path) -> Path:
    """Relative to the folder the person stands in, where it lies below."""
    absolute = Path.cwd() / path
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute
