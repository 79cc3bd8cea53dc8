"""What an adoption changes, in words: before anybody says yes, after it, and as long as such a version is champion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retraind.core.events import AdoptionAsked
from retraind.core.policy.document import LoadedPolicy, conditions, policy_for
from retraind.core.scene import Scene
from retraind.core.state import Model

__all__ = ["never_known", "told", "way_on"]


def told(scene: Scene, event: Any) -> str:
    """Of the event that `core.adoption` makes of the message."""
    if not isinstance(event, AdoptionAsked):
        return f"Note why {event.model} v{event.version} was adopted."
    model = scene.flow.models.get(event.model) or Model(event.model, event.target)
    name = f"{event.model} v{event.version}"
    if event.version == model.champion:
        return f"Set the registry back: {name} stays champion, and the aliases of {event.model} name what the journal says."
    before = f" in the place of v{model.champion}" if model.champion is not None else ""
    known = model.version(event.version)
    if known and not known.adopted_seq:
        return f"Take {name} as champion{before}, whatever its policy says."
    words = (f"Take {name} as champion{before}, whatever its policy says, if it loads and answers on this site's features. "
             "Loading it runs its author's code. It is scored on days that come from now on.")  # fmt: skip
    asks = _test_comparisons(scene.world.policies, event.model)
    return f"{words} {way_on(event.model, event.version, asks)}" if asks else words


def never_known(policies: Mapping[str, LoadedPolicy], model: Model) -> list[str]:
    """Conditions of the policy in force that no candidate can fulfil beside the present champion: it came without a recipe."""
    champion = model.serving
    return _test_comparisons(policies, model.name) if champion and champion.adopted_seq else []


def way_on(model: str, champion: int, asks: list[str]) -> str:
    """What a person can do about them."""
    return (f"Test comparisons with v{champion} stay unknown, for nobody here can fit it again: while it is champion the policy "
            f"lets nobody pass {', '.join(asks)}, and no approval changes that. Promote what is to replace it by force (retrainctl "
            f"promote {model} VERSION --to production --force --reason WHY), or have the policy ask for `measured: live` there.")


def _test_comparisons(policies: Mapping[str, LoadedPolicy], model: str) -> list[str]:
    """Of `production` alone: `refresh` is for the champion's own recipe, and it has none."""
    loaded = policy_for(policies, model)
    found = conditions(loaded.policy, "production") if loaded else ()
    return [str(c.id) for c in found if not c.dry_run and getattr(c.asks, "than", "") == "champion" and c.asks.measured == "test"]
