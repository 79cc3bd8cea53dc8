"""What a site knows of itself: settings, daemon, journal and backups, the store's files, policies, what fails, champions that
cannot forecast, who is not told."""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from sqlite3 import Connection

from retrainctl import client
from retrainctl.health.finding import Finding, note, ok, wrong
from retrainctl.site import Site, models_of
from retrainctl.views.serving import orders, source_words
from retrainctl.views.times import count, duration
from retraind import __version__
from retraind.core.policy.document import policy_for
from retraind.core.state import Flow, Model, State
from retraind.errors import RetraindError
from retraind.journal import beside, read
from retraind.strict_policy import in_force

__all__ = ["backups", "champions", "channels", "daemon", "journal", "policies", "settings", "steps", "store"]

_BACKUP_AGE = dt.timedelta(hours=36)


def settings(site: Site, state: State) -> Iterator[Finding]:
    """config.yaml can be taken, and is what the daemon works by."""
    if site.refused:
        for mistake in site.refused.mistakes:
            yield wrong("config", str(mistake), "mend the line; until then the daemon does not start")
        return
    digest = hashlib.sha256(site.config.read_bytes()).hexdigest()
    if state.settings_sha256 and digest != state.settings_sha256:
        yield note("config", f"{site.config} was edited since the daemon loaded it", "restart the daemon to take it")
    else:
        yield ok("config", f"{site.config} can be taken")


def daemon(site: Site, state: State) -> Iterator[Finding]:
    """Lock and socket agree about whether one runs, and it is of this release."""
    held = _lock_is_held(site.journal.parent / "retraind.lock")
    try:
        answers, silent = client.look(site) is not None, ""
    except (RetraindError, OSError) as error:
        answers, silent = False, str(error)
    if held is None:
        yield wrong("daemon", "this user may not look at the lock in the state folder", "run this as the daemon's user or group")
    elif held and not answers:
        yield wrong("daemon", f"one holds the site's lock and does not answer on {site.socket}{': ' * bool(silent)}{silent}",
                    f"see its log; if it hangs: kill {state.pid}, and start it again")  # fmt: skip
    elif answers and state.release != __version__:
        yield wrong("daemon", f"it is release {state.release}, this is {__version__}", "restart the daemon")
    elif answers:
        yield ok("daemon", f"runs, pid {state.pid}, release {state.release}, and answers on {site.socket}")
    elif state.started and not state.stopped:
        yield note("daemon", "does not run, and did not stop of its own will", "start it: it goes on where it was")
    else:
        yield note("daemon", "does not run", "start it: retraind, or systemctl start retraind")


def _lock_is_held(path: Path) -> bool | None:
    """None: this user may not ask."""
    try:
        with path.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return False


def journal(site: Site, connection: Connection) -> Iterator[Finding]:
    """Every event follows from the one before, and SQLite finds its file whole."""
    try:
        found = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
        events, head, flaw = read.verify(connection)
    except sqlite3.DatabaseError as error:
        yield wrong("journal", str(error), beside.what_to_do(site.journal))
        return
    if found != ["ok"]:
        yield wrong("journal", f"its file is damaged: {found[0]}", beside.what_to_do(site.journal))
    elif flaw:
        yield wrong("journal", f"{flaw.what}; see all: retrainctl audit verify", beside.what_to_do(site.journal))
    else:
        yield ok("journal", f"{count(events, 'event')}, each follows from the one before, head {head[:12]}")


def backups(site: Site, connection: Connection, now: dt.datetime) -> Iterator[Finding]:
    """One a day, as long as there was a day."""
    kept = beside.backups(site.journal)
    newest = beside.made_at(kept[-1]) if kept else None
    first = connection.execute("SELECT wall FROM events ORDER BY seq LIMIT 1").fetchone()
    since = newest or (dt.datetime.fromisoformat(first[0]) if first else now)
    if now - since > _BACKUP_AGE:
        what = f"the newest is {duration((now - since).total_seconds())} old" if newest else "there is none"
        yield wrong("backups", what, "start the daemon, which makes one a day, or now: retrainctl journal backup")
    elif newest:
        yield ok("backups", f"{len(kept)}, the newest {kept[-1].name}")
    else:
        yield ok("backups", "none yet: the first comes a day after the journal's first event")


def store(site: Site, flow: Flow) -> Iterator[Finding]:
    """The files that the journal lists are there. (They are named by what they hold; a training reads them all.)"""
    folder = site.journal.parent / "store"
    gone = [f for f in flow.store if not (folder / f.table / f"{f.sha256}.parquet").is_file()]
    for file in gone[:5]:
        yield wrong("store", f"{file.table}/{file.sha256}.parquet of drop {file.drop} is gone",
                    f"put it back from a copy of the state folder, or: retrainctl drops withdraw {file.drop}")  # fmt: skip
    if len(gone) > 5:
        yield wrong("store", f"and {count(len(gone) - 5, 'more file')}", "put the folder back from a copy")
    if not gone:
        yield ok("store", f"{count(len(flow.store), 'file')}, all there")


def policies(site: Site, state: State) -> Iterator[Finding]:
    """Each target has one in force, and no edit was refused."""
    for refusal in state.refusals.values():
        yield wrong("policies", f"{refusal.file} is refused: {refusal.mistakes[0] if refusal.mistakes else 'no reason was given'}",
                    f"mend it, then: retrainctl policy check {site.settings.paths.policies}/{refusal.file}")  # fmt: skip
    loaded = in_force(state.policies)
    for target in site.settings.pipelines[site.pipeline].contract.targets:
        name = site.settings.mlflow.name_of(site.pipeline, target)
        found = policy_for(loaded, name)
        if found:
            yield ok("policies", f"{name}: {found.ref} of {found.file}")
        elif state.seq:
            yield wrong("policies", f"no policy speaks for {name}: nothing of it is promoted",
                        f"name it under models: of a file in {site.settings.paths.policies}/")  # fmt: skip


def steps(flow: Flow) -> Iterator[Finding]:
    """What fails over and over."""
    for failure in flow.failures.values():
        yield wrong("steps", f"{failure.step} {failure.subject} failed {count(failure.count, 'time')}: {failure.what}",
                    failure.remedy or "see its log in state/jobs")  # fmt: skip
    for model in flow.models.values():
        if model.diverged:
            yield wrong("steps", f"{model.name}: {model.diverged}", "set the alias back in MLflow; until then nothing is automatic")
    if not flow.failures and not any(m.diverged for m in flow.models.values()):
        yield ok("steps", "none fails")


def champions(site: Site, flow: Flow) -> Iterator[Finding]:
    """Each could forecast, last time. What is no target any more forecasts nothing."""
    away = [(m, v) for m in models_of(site, flow) if (v := m.serving) and v.unloadable]
    for model, version in away:
        by = orders(flow, model.target)
        instead = f"; orders are by {source_words(by)}" if by else ""
        yield wrong("champion", f"{model.name} v{version.version}, the champion, cannot be loaded: {version.unloadable}{instead}",
                    _another(model))  # fmt: skip
    if not away:
        yield ok("champion", "none that could not be loaded")


def _another(model: Model) -> str:
    """The newest that may take a champion's place today, else the way to one."""
    ready = [v.version for v in model.versions.values()
             if v.stage == "Staging" and not (v.unloadable or v.lost or v.blocked or v.rejected)]  # fmt: skip
    if ready:
        return f"take another: retrainctl promote {model.name} {max(ready)} --to production --force --reason WHY"
    return f"train another: retrainctl retrain {model.target} --search --now"


def channels(site: Site, state: State) -> Iterator[Finding]:
    """Whoever is to be told is told."""
    if not site.settings.alerts:
        yield note("alerts", "nobody is told of anything", "name a command or a webhook under alerts: of config.yaml")
    for name in site.settings.alerts:
        channel = state.channels.get(name)
        if channel and channel.failures:
            last = next((a.deliveries[name].what for a in reversed(state.alerts.values())
                         if name in a.deliveries and a.deliveries[name].what), "")  # fmt: skip
            yield wrong("alerts", f"{name} took nothing {count(channel.failures, 'time')}: {last}",
                        "mend the receiver; what was not taken is sent again: retrainctl alerts list")  # fmt: skip
        else:
            yield ok("alerts", f"{name} takes them")
