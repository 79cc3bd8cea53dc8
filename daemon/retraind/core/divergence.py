"""Holds what the registry says against what the journal says.

The registry follows the journal. An alias that somebody else moved stops everything automatic for its model, is reported
and never overwritten; once the registry says again what the journal says, the model goes on. A version that is gone is told
once; the alias that named it went with it, which counts as moved for the champion alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from retraind.core.events import RegistryAgreed, RegistryDiverged, VersionGone, VersionReturned
from retraind.core.state import Flow, Model

__all__ = ["Registered", "divergence", "ways_out"]

Told = RegistryDiverged | RegistryAgreed | VersionGone | VersionReturned
ABSENT = "it is not in MLflow any more"


@dataclass(frozen=True)
class Registered:
    """What the registry holds of one model."""

    aliases: Mapping[str, int]
    versions: Mapping[int, str] | None = None
    """Number -> the run it came from. None: nobody looked."""


def divergence(flow: Flow, seen: Mapping[str, Registered]) -> list[Told]:
    """The events that bring the journal up to what was seen, by model.

    A model with a promotion or an adoption under way is passed over: its aliases are being moved by us.
    """
    told: list[Told] = []
    for name, registered in seen.items():
        model = flow.models.get(name)
        if model is None or model.intention is not None or model.adoption is not None:
            continue
        gone = {v.version: v.gone for v in model.versions.values() if v.gone}
        for event in _versions(model, registered.versions):
            told.append(event)
            if isinstance(event, VersionGone):
                gone[event.version] = event.why
            else:
                del gone[event.version]
        moved = _moved(model, registered.aliases, gone)
        if moved and moved.words != model.diverged:
            told.append(moved)
        elif moved is None and model.diverged:
            told.append(RegistryAgreed(name))
    return told


def _versions(model: Model, seen: Mapping[int, str] | None) -> Iterator[VersionGone | VersionReturned]:
    """Versions that are gone since the last look, or there again."""
    if seen is None:
        return
    for version in model.versions.values():
        run, why = seen.get(version.version), ""
        if run is None:
            why = ABSENT
        elif run != version.candidate.run_id:
            why = f"MLflow's v{version.version} is another model, of run {run or 'none'}"
        if bool(why) != bool(version.gone):
            yield VersionGone(model.name, version.version, why) if why else VersionReturned(model.name, version.version)


def _moved(model: Model, seen: Mapping[str, int], gone: Mapping[int, str]) -> RegistryDiverged | None:
    expected = {"champion": model.champion, "challenger": model.challenger, "last-good": model.last_good}
    for alias, version in expected.items():
        found = seen.get(alias)
        if version in gone and found is None and alias != "champion":
            continue
        if found != version:
            why = f"v{version}: {gone[version]}" if version is not None and version in gone else ""
            return RegistryDiverged(model.name, alias, version, found, why)
    return None


def ways_out(model: Model) -> str:
    """What a person can do about a registry that others moved, as commands."""
    ours, theirs = model.champion, model.diverged_found if model.diverged_alias == "champion" else None
    champion = model.serving
    if champion and champion.gone:
        ours = None
    ways = [f"retrainctl adopt {model.name} {ours} sets it back"] if ours is not None else []
    ways += [f"retrainctl adopt {model.name} {theirs} takes theirs"] if theirs is not None and theirs != ours else []
    return " · ".join(ways) or f"say who is champion: retrainctl adopt {model.name} VERSION"
