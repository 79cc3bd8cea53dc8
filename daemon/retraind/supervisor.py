"""The loop: take a wake, append, plan, act.

Everything that wakes the daemon (a file, a due time, a message, a child's line, a signal) is a small message in one queue;
this one thread takes it. There are no locks. Nothing here decides: `core.plan` says what to do, the shell beside this
module does it, and what came of it is appended. This is the only module that writes the journal.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from retraind import __version__, housekeeping, inbox, log, policy_files, schedule, service, settings
from retraind.alerts import AlertTried, Deliveries
from retraind.aliases import AliasesSeen, AliasWatch
from retraind.backups import BackupEnded, Backups
from retraind.clock import Clock, end_of
from retraind.control import Asked, Control
from retraind.core import alerts, archive, arrivals, days, intake
from retraind.core import events as e
from retraind.core import messages as m
from retraind.core.binding import unbind
from retraind.core.by_hand import ByHand, by_hand
from retraind.core.divergence import divergence
from retraind.core.fold import apply
from retraind.core.orders import FoundFile, done, is_sites, order
from retraind.core.outcomes import events_of
from retraind.core.plan import Plan, PlannedJob, World, plan
from retraind.core.policy.document import LoadedPolicy
from retraind.core.policy.lint import Site as LintSite
from retraind.core.scene import Scene
from retraind.core.settings import Settings
from retraind.core.steps import VERSION as STEPS_VERSION
from retraind.core.steps import Failed, FileAway, JobRequest, Note, Progress
from retraind.errors import RetraindError
from retraind.failpoint import failpoint
from retraind.journal import snapshot
from retraind.journal.append import Journal, unwritable
from retraind.runner import ChildEnded, ChildProgressed, Runner
from retraind.strict_policy import in_force

__all__ = ["Site", "Stop", "Supervisor"]

_NOTES_A_TURN = 100_000
_FILED_TOGETHER = 100
_SNAPSHOT_EVERY = 500
_POLICY_QUIET = 2.0
_LONGEST_SLEEP = 30.0
_ASKED_WITHIN = 30.0
"""Seconds that a daemon which was started to be asked something waits for it, before it may be idle."""
_LONGEST_START = 60
"""Seconds that systemd waits for the next sign of a start that takes long."""
_SWEEP_EVERY = 50
"""Jobs between two looks at what nobody needs any more."""
_GIVEN_UP = (e.DropQuarantined, e.DriftSkipped, e.RetrainFailed, e.PromotionAborted)
"""As notes of plan: a step failed as often as the settings allow. (As the outcome of a job they are something else.)"""
_CHANGES_THE_REGISTRY = ("promote", "train", "adopt", "archive")
"""Jobs after which an older look at the registry says nothing: it lacks what they made."""


@dataclass(frozen=True)
class Site:
    """What the daemon is started on."""

    root: Path
    settings: Settings
    text: str
    sha256: str

    @property
    def state(self) -> Path:
        """The folder that only the daemon writes."""
        return self.root / self.settings.paths.state


@dataclass(frozen=True)
class Stop:
    """Somebody wants the daemon to end."""

    why: str


@dataclass(frozen=True)
class PoliciesTouched:
    """Something changed in the policies folder."""


Wake = (
    Stop | PoliciesTouched | inbox.FileComplete | inbox.ScanEnded | ChildEnded | ChildProgressed | Asked | AliasesSeen
    | AlertTried | BackupEnded
)


@dataclass
class _Running:
    planned: PlannedJob
    since: float
    progress: Progress | None = None


def _opened(path: Path) -> Journal:
    """Waits for a process that holds it. Raises RetraindError when waiting does not help."""
    while True:
        try:
            return Journal(path)
        except RetraindError as error:
            if not error.retryable:
                raise
            log.say("journal cannot be opened, trying again", error=error)
            _tell_that_it_lasts(str(error))


def _tell_that_it_reads(seq: int) -> None:
    """Without a snapshot that fits, a million events take half a minute."""
    _tell_that_it_lasts(f"reading the journal: event {seq}")


def _tell_that_it_lasts(status: str) -> None:
    """No reason for systemd to lose patience."""
    service.notify(f"EXTEND_TIMEOUT_USEC={_LONGEST_START * 1_000_000}", f"STATUS={status}")


class Supervisor:
    """One daemon on one site. The caller holds the site's lock."""

    def __init__(self, site: Site, *, until_idle: bool = False, once_asked: bool = False) -> None:
        self._site, self._until_idle = site, until_idle
        self._asked_within = _ASKED_WITHIN if once_asked else 0.0
        self._unasked_until = 0.0
        self._queue: SimpleQueue[Wake] = SimpleQueue()
        self._journal = _opened(site.state / "journal.db")
        self._snapshot = snapshot.path_beside(self._journal.path)
        self._state, self._saved_at = snapshot.restored(self._journal.path, _tell_that_it_reads)
        self._clock = Clock(self._state.machine_time)
        self._pipeline = next(iter(site.settings.pipelines))
        self._policies: dict[str, LoadedPolicy] = {}
        self._policies_due: float | None = None
        self._runner = Runner(self._queue.put)
        self._running: dict[str, _Running] = {}
        self._arrived: dict[str, list[tuple[str, Any]]] = {}
        self._inbox = inbox.Inbox(site.root / site.settings.paths.drops, self._config.drops.settle.seconds,
                                  self._known_files(), self._queue.put)  # fmt: skip
        self._watch = policy_files.Watch(site.root / site.settings.paths.policies,
                                         lambda: self._queue.put(PoliciesTouched()))  # fmt: skip
        self._control = Control(site.state / "retraind.sock", self._queue.put)
        self._aliases = AliasWatch(site.settings.mlflow.tracking_uri, site.root, self._model_names, self._queue.put)
        self._backups = Backups(self._journal.path, self._journal.began, self._queue.put)
        self._alerts = Deliveries(site.settings.alerts, site.root, self._queue.put)
        self._delivering: dict[str, str] = {}
        self._registry_moved = 0.0
        self._ended_jobs = 0
        self._plan = Plan()
        self._stopping = self._asked_to_stop = ""
        self._scan: inbox.ScanEnded | None = None
        self._passed_over: Mapping[str, str] = {}
        self._scanned_at_seq = -1
        self._gave_up = False
        self._takes: Mapping[type[Any], Callable[[Any], None]] = {
            inbox.FileComplete: self._file_complete, inbox.ScanEnded: self._scan_ended, ChildProgressed: self._child_progressed,
            ChildEnded: self._child_ended, AliasesSeen: self._aliases_seen, AlertTried: self._alert_tried,
            BackupEnded: self._backup_ended,
        }  # fmt: skip

    @property
    def _on_data_clock(self) -> bool:
        return self._site.settings.site.clock == "data"

    @property
    def _config(self) -> Any:
        return self._site.settings.pipelines[self._pipeline]

    # ---- life ----

    def wake(self, message: Wake) -> None:
        """From any thread or signal handler."""
        if isinstance(message, Stop):
            self._asked_to_stop = message.why
        self._queue.put(message)

    def run(self) -> int:
        """Until somebody stops it, or until idle. 0, or 1 when it became idle with steps that failed for good."""
        self._begin()
        try:
            while not self._stopping:
                self._turn()
                if self._until_idle and self._is_idle():
                    self._stopping = "idle"
                    break
                self._take_all()
        finally:
            self._end()
        failed = self._gave_up or any(f.count for flow in self._state.flows.values() for f in flow.failures.values())
        return 1 if self._until_idle and failed else 0

    def _begin(self) -> None:
        self._append(e.SITE, e.DaemonStarted(__version__, os.getpid(), self._until_idle))
        if self._site.sha256 != self._state.settings_sha256:
            self._append(e.SITE, e.SettingsLoaded(self._site.sha256, self._site.text))
        self._keep_settings()
        for name, flow in self._state.flows.items():
            for job in list(flow.jobs.values()):
                self._append(name, e.JobEnded(job.job, job.step, job.subject, "lost", 0.0, what="the daemon died first"))
        self._sweep()
        self._policies = in_force(self._state.policies)
        self._reload_policies()
        self._control.start()
        self._unasked_until = time.monotonic() + self._asked_within  # from now on: reading a long journal took its time
        self._watch.start()
        self._inbox.start()
        self._aliases.start()
        self._alerts.start()
        service.notify("READY=1", f"STATUS=watching {self._site.settings.paths.drops}")
        failpoint("daemon.ready")

    def _end(self) -> None:
        service.notify("STOPPING=1", "STATUS=stopping")
        self._aliases.stop()
        self._alerts.stop()
        self._backups.stop()
        self._inbox.stop()
        self._watch.stop()
        self._control.stop()
        self._runner.stop(self._site.settings.jobs.grace.seconds)
        with contextlib.suppress(Empty):
            while True:
                message = self._queue.get_nowait()
                if isinstance(message, ChildEnded):
                    self._child_ended(message)
                elif isinstance(message, AlertTried):
                    self._alert_tried(message)
        self._append(e.SITE, e.DaemonStopped(self._stopping or "an error"))
        self._save_snapshot()
        self._journal.close()

    # ---- one turn ----

    def _turn(self) -> None:
        """Plan and act until only waiting is left."""
        if self._policies_due is not None and time.monotonic() >= self._policies_due:
            self._policies_due = None
            self._reload_policies()
        for _ in range(_NOTES_A_TURN):
            self._append_due_schedules()
            self._plan = plan(self._state, self._now(), World(self._site.settings, self._policies, __version__))
            self._carry_out(self._plan.notes)
            if self._plan.notes:
                continue
            if not self._plan.jobs:
                break
            for job in self._plan.jobs:
                self._start(job)
        else:
            raise RetraindError(f"plan did not come to rest: {self._plan.notes[:1]}", remedy="report this as a bug")
        self._deliver_alerts()
        self._backups.look(self._now().wall)
        if self._state.seq - self._saved_at >= _SNAPSHOT_EVERY:
            self._save_snapshot()
        service.notify("WATCHDOG=1", f"STATUS={self._status()}")

    def _now(self) -> e.Times:
        wall = self._clock.wall()
        return e.Times(wall, self._site_time(wall), self._clock.machine())

    def _site_time(self, wall: dt.datetime) -> dt.datetime:
        if not self._on_data_clock:
            return wall
        newest = self._state.flow(self._pipeline).last_date(self._config.contract.main)
        return end_of(newest, self._site.settings.site.zone) if newest else wall

    def _append(self, pipeline: str, event: Any, message: str = "") -> None:
        self._append_together([(pipeline, event)], message)

    def _append_together(self, events: Sequence[tuple[str, Any]], message: str = "") -> None:
        """Write and fold events, all or none. A disk that takes nothing stops the daemon's work, not the daemon.

        Raises RetraindError when it is asked to stop meanwhile: what cannot be written is then done again at the next start.
        """
        written: Sequence[e.Record] = ()
        while events and not written:
            try:
                written = self._journal.together(events, self._now(), message)
            except sqlite3.OperationalError as error:
                log.say("journal cannot be written, trying again", error=error)
                service.notify("WATCHDOG=1", f"STATUS=the journal cannot be written: {error}")
                if self._asked_to_stop:
                    raise unwritable(self._journal.path, error) from error
                time.sleep(2)
        for record in written:
            apply(self._state, record)
            log.event(record)

    def _append_due_schedules(self) -> None:
        flow, config = self._state.flow(self._pipeline), self._config
        if self._on_data_clock and not flow.last_date(config.contract.main):
            return
        zone = self._site.settings.site.zone
        for event in schedule.due(config.retraining.schedules, flow.schedules, self._now().site, zone):
            self._append(self._pipeline, event)

    def _carry_out(self, notes: Sequence[Note | FileAway]) -> None:
        """A hundred files are put away and then told together: the disk is asked once. A kill between does it again."""
        filed: dict[str, tuple[str, Any]] = {}
        for note in notes:
            if isinstance(note, Note) or len(filed) == _FILED_TOGETHER or Path(note.path).name in filed:
                self._append_together(list(filed.values()))
                filed.clear()
            if isinstance(note, Note):
                self._append(note.pipeline, note.event)
                self._gave_up |= isinstance(note.event, _GIVEN_UP)
            else:
                filed[Path(note.path).name] = note.pipeline, self._put_away(note)
        self._append_together(list(filed.values()))

    def _put_away(self, note: FileAway) -> e.DropFiled:
        root = self._site.root
        try:
            target = inbox.put_away(note, root, self._folders())
        except OSError as error:  # it stays, known as what it is: told again it would be a duplicate of itself for ever
            log.say("file cannot be put away", drop=note.drop, to=note.to, error=error)
            target = root / note.path
        if target != root / note.path:
            self._inbox.forget(root / note.path)
        return e.DropFiled(note.drop, self._shown(target) if target else None)

    def _folders(self) -> dict[str, Path]:
        paths = self._site.settings.paths
        return {name: self._site.root / getattr(paths, name) for name in ("done", "quarantine")}

    def _start(self, planned: PlannedJob) -> None:
        jobs = self._site.settings.jobs
        job = f"{self._state.seq + 1:06d}-{planned.name}"
        request = JobRequest(STEPS_VERSION, job, planned.name, planned.pipeline, str(self._site.root), self._site.text,
                             unbind(planned.step), jobs.threads)  # fmt: skip
        folder = self._site.state / "jobs" / job
        try:
            pid = self._runner.start(request, folder, limit_seconds=jobs.limit(planned.name),
                                     limit_bytes=jobs.memory.bytes)  # fmt: skip
        except (OSError, RetraindError) as error:
            self._append(planned.pipeline, e.JobStarted(job, planned.name, planned.subject, 0, planned.attempt))
            self._append(planned.pipeline, e.JobEnded(job, planned.name, planned.subject, "failed", 0.0, what=str(error)))
            return
        self._running[job] = _Running(planned, time.monotonic())
        self._append(planned.pipeline, e.JobStarted(job, planned.name, planned.subject, pid, planned.attempt))

    # ---- what wakes it ----

    def _take_all(self) -> None:
        """Wait for one message, then take what else is there, so that a burst is planned for once.

        How far a child is tells who looks and changes no plan: ten thousand drops say so once each.
        """
        deadline = time.monotonic() + self._patience()
        try:
            while isinstance(message := self._queue.get(timeout=max(0.0, deadline - time.monotonic())), ChildProgressed):
                self._child_progressed(message)
            self._take(message)
            for _ in range(1000):
                self._take(self._queue.get_nowait())
        except Empty:
            pass
        self._tell_arrivals()

    def _patience(self) -> float:
        """Seconds until something is due without a wake."""
        now = self._now()
        due = [_LONGEST_SLEEP, service.watchdog_seconds() or _LONGEST_SLEEP]
        for wait in self._plan.waits:
            if wait.until and not (wait.clock == "site" and self._on_data_clock):  # data move that clock, not time
                clock = now.machine if wait.clock == "machine" else now.wall
                due.append((wait.until - clock).total_seconds())
        if self._policies_due is not None:
            due.append(self._policies_due - time.monotonic())
        if next_try := alerts.next_due(self._state, set(self._site.settings.alerts).difference(self._delivering)):
            due.append((next_try - now.machine).total_seconds())
        due += [(at - now.site).total_seconds() for at in self._next_schedules().values() if at]
        return max(0.02, min(due))

    def _next_schedules(self) -> dict[str, dt.datetime | None]:
        if self._on_data_clock:
            return {}
        states = self._state.flow(self._pipeline).schedules
        zone = self._site.settings.site.zone
        return {n: schedule.next_due(s, states[n], zone)
                for n, s in self._config.retraining.schedules.items() if n in states}  # fmt: skip

    def _take(self, message: Wake) -> None:
        if not isinstance(message, inbox.FileComplete):
            self._tell_arrivals()
        match message:
            case Stop():
                self._stopping = message.why
            case PoliciesTouched():
                self._policies_due = time.monotonic() + _POLICY_QUIET
            case Asked():
                if not isinstance(message.envelope.message, m.Look):
                    self._unasked_until = 0.0
                message.answer.put(self._answer(message))
            case _:
                self._takes[type(message)](message)

    def _file_complete(self, file: inbox.FileComplete) -> None:
        flow = self._state.flow(self._pipeline)
        path = self._shown(file.path)
        date = days.marker_of(self._config.drops, file.path.name)
        if date:
            self._marker_came(date, path)
            return
        if file.sha256 in self._arrived:  # what becomes of it hangs on the one before
            self._tell_arrivals()
        told = arrivals.arrived(flow, path, file.path.name, file.sha256, file.bytes, file.mtime_ns)
        self._arrived[file.sha256] = [(self._pipeline, event) for event in told]

    def _tell_arrivals(self) -> None:
        """What came in one burst, together: the disk is asked once."""
        arrived, self._arrived = self._arrived, {}
        self._append_together([event for told in arrived.values() for event in told])

    def _marker_came(self, date: dt.date, path: str) -> None:
        """Told first and put away then: a kill between the two finds it there again, and says nothing twice."""
        for event in days.marked(self._state.flow(self._pipeline), date, path):
            self._append(self._pipeline, event)
        place = intake.place(self._config.drops)
        try:
            inbox.put_away(FileAway(self._pipeline, "", path, place), self._site.root, self._folders())
        except OSError as error:
            log.say("marker cannot be put away", path=path, to=place, error=error)
        else:
            if place != "leave":
                self._inbox.forget(self._site.root / path)

    def _scan_ended(self, scan: inbox.ScanEnded) -> None:
        for name, why in scan.passed_over.items():
            if name not in self._passed_over:
                log.say("passed over in the drops folder", name=name, why=why)
        self._scan, self._passed_over = scan, scan.passed_over
        self._policies_due = self._policies_due or time.monotonic()  # a look each minute, events or not
        if scan.watched_anew:
            log.say("the drops folder is another than before, watching it", folder=self._site.settings.paths.drops)
        if scan.trouble:
            log.say("drops folder cannot be read", error=scan.trouble)

    def _child_progressed(self, child: ChildProgressed) -> None:
        if child.job in self._running:
            self._running[child.job].progress = child.progress

    def _child_ended(self, child: ChildEnded) -> None:
        running = self._running.pop(child.job, None)
        if running is None:
            return
        planned, ended, outcome = running.planned, child.ended, child.outcome
        if planned.name in _CHANGES_THE_REGISTRY:
            self._registry_moved = time.monotonic()
        pipeline = planned.pipeline
        failpoint(f"supervisor.before_outcome.{planned.name}")
        told: list[Any] = []
        if ended == "done" and outcome is not None:
            try:
                told = events_of(planned.step, outcome, self._state.flow(pipeline), child.seconds)
            except ValueError as error:
                ended, outcome = "crashed", Failed(str(error))
        failed = outcome if isinstance(outcome, Failed) else Failed("")
        where = f"{failed.where}: " if failed.where else ""
        told.append(e.JobEnded(
            child.job, planned.name, planned.subject, ended, child.seconds, child.peak_mb,
            where + failed.what, failed.remedy, failed.retryable,
        ))  # fmt: skip
        self._append_together([(pipeline, event) for event in told])
        self._ended_jobs += 1
        if self._ended_jobs % _SWEEP_EVERY == 0 and not self._running:
            self._sweep()

    def _sweep(self) -> None:
        """Only while no child reads or writes there."""
        models, jobs = housekeeping.sweep(self._site.state, archive.needed(self._state.flow(self._pipeline)))
        if models or jobs:
            log.say("swept what nobody needs", models=models, jobs=jobs)

    def _backup_ended(self, backup: BackupEnded) -> None:
        self._backups.ended(backup)
        if backup.why:
            log.say("journal cannot be backed up, trying again in an hour", path=self._shown(backup.path), error=backup.why)
        else:
            log.say("journal is backed up", path=self._shown(backup.path))

    def _model_names(self) -> list[str]:
        """From the watch's thread: a name list that is a moment old does no harm."""
        return list(self._state.flow(self._pipeline).models)

    def _aliases_seen(self, seen: AliasesSeen) -> None:
        moving = any(r.planned.name == "promote" for r in self._running.values())
        if moving or seen.began <= self._registry_moved:
            return
        for event in divergence(self._state.flow(self._pipeline), seen.models):
            self._append(self._pipeline, event)

    # ---- policies ----

    def _reload_policies(self) -> None:
        try:
            known = LintSite(self._config.drops.expect, clock=self._site.settings.site.clock)
            for event in policy_files.changes(self._site.root / self._site.settings.paths.policies,
                                              self._policies, self._state.refusals, site=known):  # fmt: skip
                self._append(e.SITE, event)
        except OSError as error:
            log.say("policies folder cannot be read, what is in force stays", error=error)
        self._policies = in_force(self._state.policies)

    # ---- messages ----

    def _deliver_alerts(self) -> None:
        """Give each channel that is free and due the next alert."""
        channels = self._site.settings.alerts
        for due in alerts.due(self._state, channels, self._delivering, self._now().machine):
            self._delivering[due.channel] = due.alert.key
            self._alerts.give(due.channel, alerts.document(self._state, due.alert))

    def _alert_tried(self, tried: AlertTried) -> None:
        self._delivering.pop(tried.channel, None)
        if not tried.why:
            self._append(self._pipeline, e.AlertDelivered(tried.key, tried.channel))
            return
        over = alerts.is_given_up(self._state.alerts[tried.key], tried.channel, self._now().machine)
        self._append(self._pipeline, e.AlertUndelivered(tried.key, tried.channel, tried.why, over))

    def _answer(self, asked: Asked) -> m.Answer:
        message, id_ = asked.envelope.message, asked.envelope.id
        if id_ in self._state.obeyed:
            return m.Answer(done="already done", data={"seq": self._state.obeyed[id_]})
        if isinstance(message, m.Look):
            return m.Answer(done="", data=self._look())
        told = self._told(message, asked.by)
        if isinstance(told, m.Answer):
            return told
        self._append_together([(e.SITE if is_sites(event) else self._pipeline, event) for event in told], id_)
        return m.Answer(done=done(told[-1]), data={"seq": self._state.seq})

    def _told(self, message: m.Message, by: str) -> list[Any] | m.Answer:
        """What the message makes happen, or why nothing happens."""
        flow = self._state.flow(self._pipeline)
        if isinstance(message, ByHand):
            world = World(self._site.settings, self._policies, __version__)
            return by_hand(Scene(self._state, flow, self._pipeline, self._config, world, self._now()), message, by)
        try:
            file = self._file_of(message)
        except OSError as error:
            return m.Answer(refused=f"the file cannot be read: {error}", remedy="give the daemon's user the right to")
        return order(self._state, flow, message, by, self._config.contract.targets, file)

    def _file_of(self, message: m.Message) -> FoundFile | None:
        """The file of a drop to retry, as it lies there now. Raises OSError when it cannot be read."""
        drop = self._state.flow(self._pipeline).drops.get(message.drop) if isinstance(message, m.DropRetry) else None
        file = self._site.root / drop.path if drop else None
        if file is None or not file.is_file():
            return None
        status = file.stat()
        return FoundFile(file.name, inbox.digest_of(file), status.st_size, status.st_mtime_ns)

    def _look(self) -> Mapping[str, Any]:
        """What a person who looks wants to know and the journal cannot tell."""
        return {
            "jobs": [
                {"job": job, "step": r.planned.name, "subject": r.planned.subject, "attempt": r.planned.attempt,
                 "seconds": round(time.monotonic() - r.since, 1), "progress": unbind(r.progress)}
                for job, r in self._running.items()
            ],
            "waits": [unbind(w) for w in self._plan.waits],
            "next_schedules": unbind(self._next_schedules()),
            "folder_trouble": self._scan.trouble if self._scan else "",
            "passed_over": dict(self._passed_over),
        }  # fmt: skip

    # ---- small things ----

    def _is_idle(self) -> bool:
        """Nothing runs, nothing waits for the machine's clock, and a scan after the last event found nothing more."""
        if time.monotonic() < self._unasked_until:
            return False
        if self._running or self._delivering or self._backups.running or self._policies_due is not None:
            return False
        if any(w.clock == "machine" for w in self._plan.waits):
            return False
        if self._scanned_at_seq != self._state.seq:
            self._scan, self._scanned_at_seq = None, self._state.seq
            self._inbox.scan_soon()
            return False
        return self._scan is not None and self._scan.unsettled == 0 and self._queue.empty()

    def _known_files(self) -> dict[Path, inbox.Seen]:
        """Files that may lie where they came in and were told already: left there, or they could not be put away."""
        flow, deleted = self._state.flow(self._pipeline), self._config.drops.after == "delete"
        inside = f"{self._shown(self._site.root / self._site.settings.paths.drops)}/"  # text: there may be a hundred thousand
        return {self._site.root / d.path: (d.bytes, d.mtime_ns) for d in flow.drops.values()
                if d.path.startswith(inside) and (not d.filed or not (deleted or intake.is_another(d)))}  # fmt: skip

    def _shown(self, path: Path) -> str:
        """Relative to the site where it lies inside it."""
        return str(path.relative_to(self._site.root)) if path.is_relative_to(self._site.root) else str(path)

    def _status(self) -> str:
        if self._running:
            return ", ".join(f"{r.planned.name} {r.planned.subject}" for r in self._running.values())
        return self._plan.waits[0].why if self._plan.waits else "idle"

    def _keep_settings(self) -> None:
        try:
            settings.keep(self._site.settings, self._site.sha256, self._site.state)
        except OSError as error:
            log.say("settings cannot be kept", error=error)  # for who looks: they read config.yaml instead

    def _save_snapshot(self) -> None:
        try:
            snapshot.save(self._state, self._journal.head, self._snapshot)
            self._saved_at = self._state.seq
        except OSError as error:
            log.say("snapshot cannot be saved", error=error)  # a cache: the next start is slower, nothing else
