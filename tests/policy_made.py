"""Policies and facts made for tests: a good candidate, and what it takes to spoil it."""

from __future__ import annotations

import copy
import datetime as dt
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from retraind import strict_yaml
from retraind.core.figures import Candidate, RowSet, Scores, TargetResult
from retraind.core.policy.document import Policy, bind_policy
from retraind.core.policy.facts import Approval, Comparison, Facts, Significance, Slice, evidence
from retraind.core.units import Span

ROOT = Path(__file__).resolve().parents[1]
POLICIES = ROOT / "policies"
HORIZONS = (1, 7, 14, 30)
NOW = dt.datetime(2026, 12, 2, 2, tzinfo=dt.UTC)

MINIMAL: dict[str, Any] = {
    "version": 1,
    "policy": "made",
    "models": ["price"],
    "mode": "enforce",
    "staging": {
        "when": [
            {
                "id": "worth-it",
                "skill": {
                    "metric": "wape",
                    "horizon": 1,
                    "measured": "test",
                    "over": ["persistence"],
                    "at_least": "0%",
                },
            }
        ]
    },
    "production": {"when": [{"id": "recent", "fresh": {"trained_within": "7w"}}], "give_up_after": "8w"},
}


def plain(**blocks: Any) -> dict[str, Any]:
    """MINIMAL with blocks put in its place."""
    return {**copy.deepcopy(MINIMAL), **blocks}


def made(**blocks: Any) -> Policy:
    """The same, bound."""
    return bind_policy(plain(**blocks))


def staging(*conditions: dict[str, Any]) -> Policy:
    """A policy with these conditions of staging; ids are given where they lack."""
    return made(staging={"when": [{"id": f"c{i}", **c} for i, c in enumerate(conditions)]})


def production(*conditions: dict[str, Any], **block: Any) -> Policy:
    """A policy with these conditions of production."""
    when = [{"id": f"c{i}", **c} for i, c in enumerate(conditions)]
    return made(production={"when": when, "give_up_after": "8w", **block})


@cache
def example(name: str) -> Policy:
    """A policy that the project ships: `price`, `examples/price-conservative`."""
    return bind_policy(strict_yaml.read(POLICIES / f"{name}.yaml").value)


def scores(wape: float | None, *, digest: str = "rows", dates: int = 121, rows: int = 9874, **metrics: Any) -> Scores:
    """The same figure at each horizon."""
    values = {"wape": wape, **metrics}
    return Scores(
        {f"h{h}": RowSet(rows, dates, f"{digest}-{h}") for h in HORIZONS},
        {metric: {f"h{h}": value for h in HORIZONS} for metric, value in values.items()},
    )


def candidate(test: Scores, version: int = 18, **figures: float) -> Candidate:
    """A candidate with these test figures."""
    return Candidate(version, f"run{version}", "ridge", {}, "recipe", f"digest{version}", 1, test, figures)


def good(policy: Policy | None = None, **changes: Any) -> Facts:
    """Facts of a candidate in Staging that passes every shipped policy: everything is there, nobody waits."""
    own = scores(4.0, bias=1.0, mape=5.0, rmse=1.2, mae=0.4, mase=0.8, r2=0.95)
    champion = scores(4.4, bias=1.5, mape=5.5, rmse=1.4, mae=0.5, mase=0.9, r2=0.94)
    made_candidate = candidate(own, shap_share=0.3)
    result = TargetResult(
        "price",
        "price",
        (made_candidate,),
        {"persistence": scores(4.9), "seasonal_naive": scores(6.0), "moving_average": scores(5.5)},
        9,
        champion,
    )
    live = Comparison(
        scores(4.0, digest="live", dates=20, rows=700, bias=1.0),
        scores(4.1, digest="live", dates=20, rows=700, bias=1.0),
        9,
        {"persistence": scores(4.6, digest="live", dates=20)},
    )
    categories = ("Cabbage", "Flower/Leaf Vegetables", "Edible Mushroom", "Solanum")
    facts = Facts(
        "price",
        18,
        9,
        "staging",
        candidate=made_candidate,
        result=result,
        trained_at=NOW - dt.timedelta(days=14),
        data_end=dt.date(2026, 11, 17),
        newest_date=dt.date(2026, 12, 1),
        timezone="Asia/Shanghai",
        cadence=Span.parse("26h"),
        staged_at=NOW - dt.timedelta(days=14),
        scored_drops=6,
        live=live,
        test_slices={"category_name": {c: Slice(own, champion) for c in categories}},
        significance={f"wape.h{h}": Significance(0.0002, 121, 4) for h in HORIZONS},
        look_days=7.0,
        drift=(True, False, False, False),
    )
    if policy is not None:
        facts = replace(facts, approvals=tuple(approval(who, policy, made_candidate) for who in ("ops-a", "ops-b")))
    return replace(facts, **changes)


def approval(who: str, policy: Policy, given_to: Candidate, **changes: Any) -> Approval:
    """A valid one, of yesterday."""
    made_approval = Approval(who, ("ops",), NOW - dt.timedelta(days=1), policy.meaning, evidence(given_to))
    return replace(made_approval, **changes)


def with_test(facts: Facts, test: Scores, **result: Any) -> Facts:
    """The same candidate with other test figures, and its training with other results."""
    assert facts.candidate is not None
    assert facts.result is not None
    changed = replace(facts.candidate, test=test)
    return replace(facts, candidate=changed, result=replace(facts.result, **result))
