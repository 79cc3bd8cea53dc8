"""What an adoption would change, in words, before anybody says yes."""

from __future__ import annotations

from typing import Any

from retraind.core.events import AdoptionAsked
from retraind.core.policy.document import conditions, policy_for
from retraind.core.policy.terms import Place
from retraind.core.scene import Scene
from retraind.core.state import Model

__all__ = ["told"]

_LATE: tuple[Place, ...] = ("production", "refresh")


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
    asks = _test_comparisons(scene, event.model)
    if asks:
        words += (f" Test comparisons with it stay unknown, so while it is champion the policy lets nobody pass {', '.join(asks)}: "
                  "what replaces it is promoted by hand, or judged on live days.")  # fmt: skip
    return words


def _test_comparisons(scene: Scene, model: str) -> list[str]:
    """Conditions of the policy in force that a candidate cannot fulfil beside a champion without a recipe."""
    loaded = policy_for(scene.world.policies, model)
    found = [c for place in _LATE for c in conditions(loaded.policy, place)] if loaded else []
    asks = [c for c in found if getattr(c.asks, "than", "") == "champion" and getattr(c.asks, "measured", "test") == "test"]
    return list(dict.fromkeys(str(c.id) for c in asks))
