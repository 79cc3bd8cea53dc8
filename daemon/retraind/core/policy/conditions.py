"""The kinds of condition, one table entry each: parameters, where it may stand, what it means, which way is stricter.

A new kind is a class of parameters, a function that judges them, and an entry in KINDS; the loader, the schema, `diff`,
the linter's place check and the explanations follow the table. What they share is in `answers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from retraind.core.policy.answers import Answer, Direction, Question
from retraind.core.policy.comparing import (
    Better,
    Figure,
    Limit,
    LiveLimit,
    LiveSkill,
    NoWorse,
    Significant,
    Skill,
    Slices,
    Worse,
    judge_better,
    judge_figure,
    judge_limit,
    judge_significant,
    judge_skill,
    judge_slices,
    judge_worse,
)
from retraind.core.policy.readiness import (
    Approvals,
    Drift,
    Fresh,
    Samples,
    Soak,
    judge_approval,
    judge_drift,
    judge_fresh,
    judge_samples,
    judge_soak,
)
from retraind.core.policy.terms import Place

__all__ = ["KINDS", "Kind", "judge"]

@dataclass(frozen=True)
class Kind:
    """One entry of the table."""

    name: str
    asks: type[Any]
    """Its parameters."""
    places: tuple[Place, ...]
    judge: Callable[[Any, Question], Answer]
    holds: str
    """In a sentence: when it is yes."""
    no: str
    """What its no does to a candidate."""
    stricter: Mapping[str, Direction]
    """By parameter; a parameter that is not named compares as other."""
    in_rollback: type[Any] | None = None
    """Its parameters in rollback, where they differ."""
    waived_for_first: bool = False
    """A very first champion need not pass it, unless its policy says `first: as_any`."""
    timely: bool = False
    """Its answer may change with time alone; any other stays as long as the figures do."""

    def asks_in(self, place: Place) -> type[Any]:
        """The class of its parameters where it stands."""
        return self.in_rollback if place == "rollback" and self.in_rollback else self.asks


_ALL: tuple[Place, ...] = ("staging", "production", "refresh", "rollback")
_GATES: tuple[Place, ...] = ("staging", "production", "refresh")
_LATE: tuple[Place, ...] = ("production", "refresh")
_LIMITS: Mapping[str, Direction] = {"at_most": "less", "at_least": "more", "horizon": "superset"}
_REJECTS = "test: reject, live: hold"

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("limit", Limit, _ALL, judge_limit, "the figure is within the limit", _REJECTS, _LIMITS, LiveLimit),
        Kind("skill", Skill, _ALL, judge_skill, "1 - loss / loss of each baseline is at least that", _REJECTS,
             {"at_least": "more", "over": "superset", "horizon": "superset"}, LiveSkill),
        Kind("better", Better, ("production",), judge_better,
             "the candidate is better than the champion by that much, on the same rows", _REJECTS,
             {"by": "more", "horizon": "superset", "min_dates": "more"}),
        Kind("no_worse", NoWorse, _LATE, judge_better,
             "the candidate is not worse than the champion by more than that, on the same rows", _REJECTS,
             {"within": "less", "horizon": "superset", "min_dates": "more"}),
        Kind("worse", Worse, ("rollback",), judge_worse,
             "the champion is worse than the champion before by that much, on the same live rows", "", {"by": "less"}),
        Kind("significant", Significant, ("production",), judge_significant,
             "the gain over the champion is hardly chance; alpha is per year and accrues", "reject",
             {"alpha": "less", "horizon": "superset"}),
        Kind("samples", Samples, _GATES, judge_samples, "there are at least so many distinct dates and rows",
             "test: reject, live: wait", {"dates": "more", "rows": "more"}),
        Kind("slices", Slices, _LATE, judge_slices, "every slice is no worse than the champion's, but for may_fail",
             _REJECTS, {"within": "less", "may_fail": "less", "small": "other", "horizon": "superset"}),
        Kind("fresh", Fresh, _GATES, judge_fresh, "neither model nor data is stale", "model: reject, data: hold",
             {"trained_within": "less", "data_within": "less"}, timely=True),
        Kind("drift", Drift, _LATE, judge_drift, "the newest drops were not drifting by more than that", "hold",
             {"drifting_drops.at_most": "less", "drifting_drops.of": "more"}),
        Kind("soak", Soak, _LATE, judge_soak, "so many scored drops and so long in Staging, without interruption", "wait",
             {"drops": "more", "for": "more"}, waived_for_first=True, timely=True),
        Kind("approval", Approvals, _LATE, judge_approval, "enough valid approvals", "wait",
             {"from": "subset", "count": "more", "valid_for": "less"}, timely=True),
        Kind("figure", Figure, _GATES, judge_figure, "a number that the training logged is within the limit", "reject",
             {"at_most": "less", "at_least": "more"}),
    )
}  # fmt: skip


def judge(kind: str, asks: Any, q: Question, *, lenient_first: bool) -> Answer:
    """How one condition comes out. lenient_first: a very first champion needs no soak and no live figures."""
    if q.facts.champion is None:
        if getattr(asks, "than", None) == "champion":
            return Answer("not_needed", "not needed: first version, no champion to compare with")
        if lenient_first and (KINDS[kind].waived_for_first or getattr(asks, "measured", None) == "live"):
            return Answer("not_needed", "not needed: first version")
    return KINDS[kind].judge(asks, q)
