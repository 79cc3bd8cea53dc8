"""What `plan` looks at: one pipeline's state with the time, the settings and the policies."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from retraind.core.events import OverrideKind, Times
from retraind.core.policy.document import LoadedPolicy
from retraind.core.settings import Pipeline, Settings
from retraind.core.state import Failure, Flow, Model, Override, State
from retraind.core.steps import Job

__all__ = ["PlannedJob", "Scene", "Wait", "World", "asked_again", "attempt", "patience"]


_SELDOM, _AT_MOST_EACH = dt.timedelta(hours=1), dt.timedelta(seconds=30)
_LOST = 20
"""A job with which the daemon died more often in a row is not started again."""
_LOST_DOUBLED = 3
"""So often the wait after such a death is doubled."""


@dataclass(frozen=True)
class World:
    """What is given besides the state: settings and policies in force, the code's release."""

    settings: Settings
    policies: Mapping[str, LoadedPolicy]
    """By file."""
    code: str


@dataclass(frozen=True)
class Wait:
    """Something that only time or people can move."""

    why: str
    clock: Literal["machine", "site", "people"]
    until: dt.datetime | None = None


@dataclass(frozen=True)
class PlannedJob:
    """A job that may start now."""

    pipeline: str
    name: str
    subject: str
    step: Job
    attempt: int = 1


@dataclass(frozen=True)
class Scene:
    """One pipeline, now."""

    state: State
    flow: Flow
    pipeline: str
    config: Pipeline
    world: World
    now: Times

    @property
    def settings(self) -> Settings:
        """The whole site's settings."""
        return self.world.settings

    @property
    def in_step(self) -> bool:
        """On the data's clock: one thing after the other, so that a run over the past is the same everywhere."""
        return self.settings.site.clock == "data"

    @property
    def paused(self) -> bool:
        """A person stopped training and promotion, and the time is not over."""
        return bool(self.overrides("pause"))

    def overrides(self, kind: OverrideKind, model: str | None = None) -> list[Override]:
        """Those of that kind that hold now: the whole site's, and the model's own."""
        speaking = (self.state.override(kind, name) for name in dict.fromkeys((None, model)))
        return [o for o in speaking if o and o.holds(self.now.wall)]

    def model_of(self, target: str) -> Model | None:
        """A target's registered model, once a training made one."""
        return self.flow.models.get(self.settings.mlflow.name_of(self.pipeline, target))

    def busy(self, *steps: str) -> bool:
        """A job of one of these steps (or any) is at work."""
        return any(not steps or job.step in steps for job in self.flow.jobs.values())

    def failure(self, step: str, subject: str) -> Failure | None:
        """How often that step failed for that subject since it last succeeded."""
        return self.flow.failures.get(f"{step} {subject}")


def attempt(scene: Scene, step: str, subject: str) -> tuple[int, Wait | None, Failure | None]:
    """(which attempt is next, what to wait for before it, the failure that ends the attempts).

    Back-off doubles with each failure and is counted on the machine's clock. That the daemon died once is nobody's fault; if
    it dies each time, that is waited for too, and ends the attempts at last.
    """
    failure = scene.failure(step, subject)
    if failure is None:
        return 1, None, None
    jobs = scene.settings.jobs
    if not failure.retryable or failure.count > jobs.retries or failure.lost > _LOST:
        return failure.count, None, failure
    doubled = max(failure.count - 1, min(failure.lost - 2, _LOST_DOUBLED))
    due = failure.last + (jobs.backoff.delta * 2**doubled if doubled >= 0 else dt.timedelta())
    times = f"failed {failure.count} times ({failure.what})" if failure.count else f"died with the daemon {failure.lost} times"
    why = f"{step} {subject} {times}, tried again"
    return failure.count + 1, Wait(why, "machine", due) if due > scene.now.machine else None, None


def asked_again(scene: Scene, over: Failure, after: dt.timedelta, why: str) -> Wait | None:
    """The wait before a registry that did not answer is asked once more, None when it is time.

    Its end is told on the people's clock, for waiting for somebody's server is idle; it is counted on the machine's.
    """
    left = over.last + max(after, _AT_MOST_EACH) - scene.now.machine
    return Wait(f"{why}: {over.what}", "people", scene.now.wall + left) if left > dt.timedelta() else None


def patience(scene: Scene, failure: Failure) -> dt.timedelta:
    """How long to wait for the world to mend after the settings' attempts: the back-off goes on doubling, up to an hour."""
    doubled: dt.timedelta = scene.settings.jobs.backoff.delta * 2 ** min(failure.count, 20)
    return min(doubled, _SELDOM)
