"""`retraind [--config config.yaml] [--until-idle [--once-asked]]`: builds the parts from the settings and runs them."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from retraind import __version__, log, schedule, settings
from retraind.core.settings import Settings
from retraind.errors import Place, Refused, RetraindError
from retraind.site_lock import SiteLock
from retraind.supervisor import Site, Stop, Supervisor

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """The daemon's command. Exit codes: 0 done, 1 refused or failed, 2 wrong usage."""
    parser = argparse.ArgumentParser("retraind", description="Takes drops in, watches for drift, retrains, promotes.")
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="the site's settings (config.yaml here)")
    parser.add_argument("--until-idle", action="store_true",
                        help="work off what is pending and exit; waiting for people or for a later date is idle")  # fmt: skip
    parser.add_argument("--once-asked", action="store_true",
                        help="with --until-idle: not idle before somebody asked for something, for 30 s at most")  # fmt: skip
    parser.add_argument("--version", action="version", version=f"retraind {__version__}")
    options = parser.parse_args(arguments)
    try:
        return _run(options.config, until_idle=options.until_idle, once_asked=options.once_asked)
    except Refused as error:
        for mistake in error.mistakes:
            log.say(f"error: {mistake}")
    except RetraindError as error:
        log.say(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:  # before there was a loop to stop
        log.say("stopped before it was ready")
    return 1


def _run(config: Path, *, until_idle: bool, once_asked: bool) -> int:
    if not config.exists():
        raise RetraindError("there is no such file", where=Place(str(config)),
                            remedy="make a site with: retrainctl init DIR --sample, or name one with --config")  # fmt: skip
    loaded, text, sha256 = settings.load(config)
    _check_schedules(loaded, config)
    site = Site(config.resolve().parent, loaded, text, sha256)
    lock = SiteLock(site.state / "retraind.lock")
    lock.take()
    try:
        supervisor = Supervisor(site, until_idle=until_idle, once_asked=once_asked)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda n, _: supervisor.wake(Stop(signal.Signals(n).name)))
        return supervisor.run()
    finally:
        lock.release()


def _check_schedules(loaded: Settings, config: Path) -> None:
    for name, pipeline in loaded.pipelines.items():
        for key, entry in pipeline.retraining.schedules.items():
            problem = schedule.check(entry, loaded.site.zone)
            if problem:
                raise RetraindError(f"schedule {key} of {name} cannot be read: {problem}", where=Place(str(config)),
                                    remedy='write {cron: "0 3 * * 1"} or {every: 4w}')  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
