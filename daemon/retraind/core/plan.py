"""Decides what the daemon does next.

`plan` looks at the state and never at the outside world: the same state gives the same steps, which is what lets the
daemon be killed at any moment and carry on. Carrying a step out is `supervisor`'s work. The parts: `intake` (drops and
drift windows), `retraining` (causes and requests), `promotion` (policies and the registry).

Where a newcomer puts a new trigger: an event that says it happened, a cause in `fold`, nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from retraind.core import adoption, archive, days, forecasting, intake, promotion, retraining
from retraind.core.alerts import alerts
from retraind.core.events import SITE, OverrideLifted, Times
from retraind.core.scene import PlannedJob, Scene, Wait, World
from retraind.core.state import State
from retraind.core.steps import FileAway, Note

__all__ = ["Plan", "PlannedJob", "Wait", "World", "plan"]


@dataclass(frozen=True)
class Plan:
    """What can be done now, and what only time or people can move. Notes and files come first and alone."""

    notes: tuple[Note | FileAway, ...] = ()
    jobs: tuple[PlannedJob, ...] = ()
    waits: tuple[Wait, ...] = ()


LANES: dict[str, tuple[str, ...]] = {
    "registry": ("prepare", "promote", "adopt", "archive"),
    "training": ("compare", "train"), "data": ("measure", "forecast", "survey", "examine"),
}  # fmt: skip
"""One job at a time in each: a verdict is told before models take their time. On the data's clock the lanes take turns, in
this order."""

_PLANNERS: dict[str, Callable[[Scene], tuple[PlannedJob | None, Wait | None]]] = {
    "prepare": promotion.prepare, "promote": promotion.promote, "adopt": adoption.adopt, "archive": archive.archive,
    "compare": promotion.compare, "train": retraining.train,
    "forecast": forecasting.forecast, "measure": intake.measure, "survey": intake.survey, "examine": intake.examine,
}  # fmt: skip


def plan(state: State, now: Times, world: World) -> Plan:
    """The next steps of every pipeline."""
    over = tuple(Note(SITE, OverrideLifted(o.kind, "retraind", "its time is over", o.model))
                 for o in state.overrides if not o.holds(now.wall))  # fmt: skip
    if over:
        return Plan(notes=over)
    notes: list[Note | FileAway] = []
    jobs: list[PlannedJob] = []
    waits: list[Wait] = []
    for name, config in world.settings.pipelines.items():
        part = _plan(Scene(state, state.flow(name), name, config, world, now))
        notes += part.notes
        jobs += part.jobs
        waits += part.waits
    return Plan(tuple(notes), () if notes else tuple(jobs), tuple(waits))


def _plan(scene: Scene) -> Plan:
    files = intake.file_away(scene)
    if files:
        return Plan(notes=tuple(files))
    waits: list[Wait] = []
    for note, held in _notes(scene):
        waits += held
        if note:
            return Plan(notes=(note,))
    if told := alerts(scene):
        return Plan(notes=told)
    if scene.in_step and scene.busy():
        return Plan(waits=tuple(waits))
    jobs: list[PlannedJob] = []
    for lane, names in LANES.items():
        job, held = _next_in_lane(scene, lane, names)
        waits += held
        jobs += [job] if job else []
        if scene.in_step and (jobs or any(w.clock == "machine" for w in waits)):
            break
    return Plan(jobs=tuple(jobs), waits=tuple(waits))


def _notes(scene: Scene) -> Iterator[tuple[Note | None, list[Wait]]]:
    yield intake.given_up(scene), []
    yield days.overdue(scene)
    yield promotion.promotion(scene)
    if not (scene.in_step and scene.busy()):
        yield retraining.retraining(scene)


def _next_in_lane(scene: Scene, lane: str, names: tuple[str, ...]) -> tuple[PlannedJob | None, list[Wait]]:
    if scene.busy(*names):
        return None, []
    waits: list[Wait] = []
    if lane == "training" and scene.state.registry != scene.settings.mlflow.tracking_uri:
        return None, []  # `prepare` comes first, and waits for itself
    for name in names:
        job, wait = _PLANNERS[name](scene)
        if job:
            return job, waits
        waits += [wait] if wait else []
    return None, waits
