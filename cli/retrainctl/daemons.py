"""Has a daemon do something and waits until it has come to rest: the one that runs, or one that is started for it.

The one that is started is `retraind --until-idle`: asked as soon as its socket answers, which it waits for, it works that and
everything else off and ends. Should it end before it heard, it is started again; the message keeps its id, so that it is obeyed
once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from retrainctl import client
from retrainctl.site import Site
from retrainctl.views import live
from retraind.core.messages import Answer, Message
from retraind.errors import NotRunning, RetraindError

__all__ = ["Daemon", "at_rest", "daemon_of", "started"]

_READY_SECONDS = 120
_STOP_SECONDS = 30
_LOOK_EVERY = 0.05
_STARTS = 3


@dataclass
class Daemon:
    """The daemon of a site for the length of one command."""

    site: Site
    asks: bool
    """Something will be asked of it, so that it is not to be idle before."""
    own: subprocess.Popen[bytes] | None = None
    """None: it ran already."""
    _starts: int = 0

    @property
    def log(self) -> Path:
        """What a daemon that was started here says."""
        return self.site.root / self.site.settings.paths.state / "daemon.log"

    def ask(self, message: Message) -> Answer:
        """Its answer. Raises RetraindError when it refuses, or none can be started."""
        ends, id_ = time.monotonic() + _READY_SECONDS, os.urandom(8).hex()
        while True:
            try:
                return client.ask(self.site, message, id_=id_)
            except NotRunning:
                if self.own is not None and self.own.poll() is not None:
                    self.start()
                if self.own is None or time.monotonic() > ends:
                    raise
            time.sleep(_LOOK_EVERY)

    def start(self) -> None:
        """Start one that ends by itself. Raises RetraindError when it did so too often before it answered."""
        if self._starts >= _STARTS:
            raise RetraindError("the daemon ended before it answered", remedy=f"read its log: {self.log}")
        self._starts += 1
        self.own = started(self.site, self.log, "--until-idle", *["--once-asked"] * self.asks)

    def rest(self, *, quietly: bool) -> None:
        """Return when it has ended, or has nothing left to do; show what happens unless quietly.

        Raises RetraindError when a daemon of ours ended with steps that failed for good.
        """
        over = self._is_over()
        if quietly:
            while not over():
                time.sleep(1.0)
        else:
            live.watch(self.site, until=over)
        if self.own is not None and self.own.wait() != 0:
            raise RetraindError(f"the daemon ended with code {self.own.returncode}: something failed for good",
                                remedy=f"see: retrainctl status, and its log: {self.log}")  # fmt: skip

    def _is_over(self) -> Callable[[], bool]:
        own = self.own
        if own is not None:
            return lambda: own.poll() is not None
        rested = 0

        def over() -> bool:  # twice: between an answer and the next plan nothing runs either
            nonlocal rested
            rested = rested + 1 if at_rest(self.site) else 0
            return rested > 2 or client.look(self.site) is None

        return over


@contextmanager
def daemon_of(site: Site, *, asks: bool = True) -> Iterator[Daemon]:
    """The daemon that runs on the site, or one that is started; of the latter nothing is left when somebody interrupts.

    asks: whether the caller will ask it something, or only waits until it rests.
    """
    daemon = Daemon(site, asks)
    if client.look(site) is None:
        daemon.start()
    try:
        yield daemon
    except BaseException:
        if daemon.own is not None and daemon.own.poll() is None:
            daemon.own.send_signal(signal.SIGTERM)
            try:
                daemon.own.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                daemon.own.kill()
        raise


def at_rest(site: Site) -> bool:
    """A daemon answers, and nothing runs or waits to be examined, to be trained or for the machine's clock."""
    look = client.look(site)
    if look is None:
        return False
    flow = site.state().flow(site.pipeline)
    stirring = any(wait["clock"] == "machine" for wait in look["waits"])
    drops = site.root / site.settings.paths.drops
    return not (look["jobs"] or stirring or flow.waiting() or flow.open_request() or (drops.is_dir() and any(drops.iterdir())))


def started(site: Site, log: Path, *options: str) -> subprocess.Popen[bytes]:
    """A daemon on the site, in a session of its own: Ctrl-C is for this program."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen([sys.executable, "-P", "-m", "retraind", "--config", str(site.config), *options],
                                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)  # fmt: skip
