"""Holds what the registry says against what the journal says.

The registry follows the journal. An alias that somebody else moved stops everything automatic for its model, is reported
and never overwritten; once the registry says again what the journal says, the model goes on.
"""

from __future__ import annotations

from collections.abc import Mapping

from retraind.core.events import RegistryAgreed, RegistryDiverged
from retraind.core.state import Flow, Model

__all__ = ["divergence"]


def divergence(flow: Flow, aliases: Mapping[str, Mapping[str, int]]) -> list[RegistryDiverged | RegistryAgreed]:
    """The events that bring the journal up to what was seen. aliases: model -> alias -> version.

    A model with a promotion under way is passed over: its aliases are being moved by us.
    """
    told: list[RegistryDiverged | RegistryAgreed] = []
    for name, seen in aliases.items():
        model = flow.models.get(name)
        if model is None or model.intention is not None:
            continue
        moved = _moved(model, seen)
        if moved and moved.words != model.diverged:
            told.append(moved)
        elif moved is None and model.diverged:
            told.append(RegistryAgreed(name))
    return told


def _moved(model: Model, seen: Mapping[str, int]) -> RegistryDiverged | None:
    expected = {"champion": model.champion, "challenger": model.challenger, "last-good": model.last_good}
    for alias, version in expected.items():
        if seen.get(alias) != version:
            return RegistryDiverged(model.name, alias, version, seen.get(alias))
    return None
