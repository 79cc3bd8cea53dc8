"""What a policy may know about a version at one moment. `plan` fills it from the state; policies only read it.

A fact that nobody collected is None or empty and makes the conditions that ask for it *unknown*, which holds; it can never
help a version through. Facts are plain data (`core.binding` writes and reads them), so that the journaled facts of a
decision give the same decision again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from retraind.core.figures import Candidate, Scores, Significance, TargetResult
from retraind.core.policy.terms import Measured
from retraind.core.units import Span

__all__ = ["Approval", "Comparison", "Facts", "Frozen", "Significance", "Slice", "evidence"]

VersionStage = Literal["none", "staging", "production", "archived"]


@dataclass(frozen=True)
class Slice:
    """One value of a column (one category, say) on its own rows."""

    own: Scores | None
    """None: the candidate lost this slice."""
    champion: Scores | None = None


@dataclass(frozen=True)
class Comparison:
    """One forecaster beside its opponents, on the test days or on live days."""

    own: Scores | None
    champion: Scores | None = None
    champion_version: int | None = None
    """Whom `champion` stands for."""
    baselines: Mapping[str, Scores] = field(default_factory=dict)
    previous: Scores | None = None
    """The champion before, which forecasts in the shadow while a new one is watched."""
    previous_version: int | None = None
    slices: Mapping[str, Mapping[str, Slice]] = field(default_factory=dict)
    """Column -> value -> figures."""


@dataclass(frozen=True)
class Approval:
    """A person's yes to one version."""

    by: str
    groups: tuple[str, ...]
    at: dt.datetime
    """Wall clock."""
    meaning: str
    """`Policy.meaning` of the policy as it was shown."""
    figures: str
    """`facts.evidence` of the version as it was shown."""
    asked_for_training: bool = False
    void: str = ""
    """Why it no longer counts, where the caller knows: rejected since, a condition that held no longer does."""


@dataclass(frozen=True)
class Frozen:
    """A person's freeze: nothing goes to Production before it ends."""

    by: str
    reason: str = ""
    until: dt.datetime | None = None
    """Wall clock; None: until somebody lifts it."""
    site: bool = False
    """Of all models."""


@dataclass(frozen=True)
class Facts:
    """Everything about one version of one model. Times are site times unless their text says wall."""

    model: str
    version: int
    champion: int | None
    """Who holds Production now; None is a fact of the journal: there is no champion, not: nobody found it."""
    stage: VersionStage = "none"
    kind: Literal["search", "refresh"] = "search"
    """refresh: the champion's own recipe on newer data, selected by nobody."""
    candidate: Candidate | None = None
    result: TargetResult | None = None
    """Of the training that made the candidate: baselines, and the champion's recipe on the same rows."""
    trained_at: dt.datetime | None = None
    data_end: dt.date | None = None
    """The last date that the version was fitted on."""
    newest_date: dt.date | None = None
    """The last date in the store."""
    overdue: str = ""
    """In words, when a drop that should have come did not (`expect_drop`)."""
    timezone: str = "UTC"
    """The site's; a policy's own outranks it."""
    clock: Literal["wall", "data"] = "wall"
    wall: dt.datetime | None = None
    """Now on the people's clock; None: the same as `now`."""
    cadence: Span | None = None
    """How often drops are expected; lets `earliest` look beyond waits for drops."""
    staged_at: dt.datetime | None = None
    scored_drops: int | None = None
    """Since the entry into Staging; None: nobody counts yet."""
    live: Comparison | None = None
    """Since the version's data end; None: nobody scores live forecasts yet. No rows: no figure is due yet."""
    test_slices: Mapping[str, Mapping[str, Slice]] = field(default_factory=dict)
    significance: Mapping[str, Significance] = field(default_factory=dict)
    """By metric and horizon: `wape.h7`."""
    look_days: float | None = None
    """Days since this model's last look: how long alpha accrued."""
    drift: tuple[bool | None, ...] = ()
    """Whether the newest drops were drifting, oldest first."""
    approvals: tuple[Approval, ...] = ()
    promotions: tuple[dt.datetime, ...] = ()
    """To Production of this model, oldest first."""
    rollbacks: tuple[dt.datetime, ...] = ()
    frozen: tuple[Frozen, ...] = ()
    """By people, beside the windows of the policy."""
    blocked: str = ""
    """Why, when the version was rolled back or blocked by a person."""
    superseded_by: int | None = None
    blind_drops: int = 0
    """Scored drops without a figure of the champion, counted back from now."""
    watched: tuple[Comparison, ...] | None = None
    """For a version in Production: its live figures drop by drop since its promotion, oldest first."""
    last_good: int | None = None
    """Where a rollback would lead."""

    def comparison(self, measured: Measured) -> Comparison | None:
        """The figures that a condition with `measured:` reads."""
        if measured == "live":
            return self.live
        if self.candidate is None:
            return None
        result = self.result
        if result is None:
            return Comparison(self.candidate.test, slices=self.test_slices)
        return Comparison(
            self.candidate.test, result.champion, result.champion_version, result.baselines, slices=self.test_slices
        )


def evidence(candidate: Candidate) -> str:
    """What an approval binds to besides the version: run, model and row digests of the figures shown."""
    rows = ",".join([f"{h}={r.digest}" for h, r in sorted(candidate.test.rows.items())])
    return f"{candidate.run_id}/{candidate.model_digest}/{rows}"
