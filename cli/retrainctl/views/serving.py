"""How the served model does, for `status`: its newest live figures, whether it should go, who orders are by, and how far its
challenger is. Read from the journal's state alone; policies are not asked, the daemon's last decision says what they said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from retrainctl.text import Style
from retrainctl.views import events
from retrainctl.views.scored import recent, soaked
from retrainctl.views.times import count, iso
from retraind.core import live
from retraind.core.binding import unbind
from retraind.core.events import OrderSource
from retraind.core.figures import horizon_key
from retraind.core.state import Flow, Model, Version

__all__ = ["NOBODY", "alarms", "challenger", "champion", "orders", "source_words"]

_BLIND = 3
"""Scored drops without a figure of the champion that are worth an alarm; when promotions are held, their policy says."""

NOBODY: dict[str, Any] = {"live": None, "blind_drops": 0, "rollback": None}
"""What is known of a champion that is not there."""


# ---- data ----


def champion(flow: Flow, model: Model, version: Version, horizon: int) -> dict[str, Any]:
    """How the champion does at the shortest horizon."""
    known = flow.live.get(model.target)
    blind = live.blind_drops(known, str(version.version), horizon_key(horizon), model.tenures[-1].seq)
    return {"live": recent(flow, model, horizon), "blind_drops": blind, "rollback": _rollback(model, version)}


def _rollback(model: Model, version: Version) -> dict[str, Any] | None:
    """Conditions of its policy that want the champion gone, and what is to come of that. None: nothing does, or it goes."""
    want = [c.id for c in version.conditions if c.block == "rollback" and c.outcome == "yes" and not c.dry_run]
    if not want or (model.intention and model.intention.to == "rollback"):
        return None
    return {"because": want, "verdict": version.verdict, "would": version.would, "words": version.words}


def orders(flow: Flow, target: str) -> dict[str, Any] | None:
    """Whose forecasts of a target stand in the orders file."""
    return next((dict(unbind(o)) for o in flow.orders if o.target == target), None)


def challenger(flow: Flow, version: Version) -> dict[str, Any]:
    """How far the version that is decided about is: its soak, and the people it waits for."""
    if version.stage != "Staging":
        return {"soak": None, "approval": None}
    return {"soak": _soak(flow, version), "approval": _approval(version)}


def _soak(flow: Flow, version: Version) -> dict[str, Any] | None:
    """The limit is the decision's; drops are counted anew, for a decision is not noted when only a number moves."""
    asked = next((c for c in version.conditions if c.kind == "soak" and not c.dry_run), None)
    if asked is None or asked.limit is None:
        return None
    return {"drops": soaked(flow, version), "of": int(asked.limit), "until": iso(asked.until)}


def _approval(version: Version) -> dict[str, Any] | None:
    """None while something else than time and people is missing: nobody need look yet."""
    asked = [c.id for c in version.conditions if c.kind == "approval" and c.outcome == "wait" and not c.dry_run]
    if not asked or any(c.outcome in ("no", "unknown") and not c.dry_run for c in version.conditions):
        return None
    return {"asked": asked, "given": [a.by for a in version.approvals if not a.void]}


# ---- text ----


def alarms(target: dict[str, Any], *, paused: bool) -> Iterator[tuple[str, Style]]:
    """What a person has to know of one target: the champion should go and does not, cannot be loaded, is not who orders are
    by, or nobody knows how good it is; and an approval that is waited for."""
    served, model = target["champion"], target["model"]
    if served:
        name = f"{model} v{served['version']}"
        if target["rollback"]:
            yield _rollback_words(name, model, target["rollback"], paused=paused), "red"
        yield from _not_served(name, target)
        if target["blind_drops"] >= _BLIND:
            yield f"FLYING BLIND: no live figure of {name} for {count(target['blind_drops'], 'scored drop')}", "red"
        if target["never_known"]:
            yield (f"{name} was adopted: nobody can pass {', '.join(target['never_known'])} beside it. "
                   f"What to do: retrainctl explain {model} {served['version']}"), "yellow"  # fmt: skip
    decision = target["decision"]
    if decision and (wanted := decision["approval"]):
        given = f", given so far by {' and '.join(wanted['given'])}" if wanted["given"] else ""
        name = f"{model} v{decision['version']}"
        yield (f"{name} waits for an APPROVAL ({', '.join(wanted['asked'])}{given}): "
               f"retrainctl approve {model} {decision['version']}"), "yellow"  # fmt: skip


def _rollback_words(name: str, model: str, back: dict[str, Any], *, paused: bool) -> str:
    if back["verdict"] != "rollback":  # frozen, or nowhere to go
        return f"{name} is BAD: its policy {back['words']}. By hand: retrainctl rollback {model} --to VERSION"
    held = ", but the site is paused" if paused and not back["would"] else ""
    return f"{name} WOULD BE ROLLED BACK: {back['words']}{held}"


def _not_served(name: str, target: dict[str, Any]) -> Iterator[tuple[str, Style]]:
    by = source_words(target["orders"]) if target["orders"] else "nothing"
    if why := target["champion"]["unloadable"]:
        yield f"{name}, the champion, CANNOT BE LOADED: {why}. Orders are by {by}", "red"
    elif target["orders"] and target["orders"]["source"] != "champion":
        yield f"orders are by {by}, NOT BY THE CHAMPION {name}", "red"


def source_words(orders: dict[str, Any]) -> str:
    """`champion v9`, and how many rows it had no answer for."""
    filled = f" ({count(orders['filled'], 'row')} by a naive forecast)" if orders["filled"] else ""
    return events.source_words(OrderSource(**orders)) + filled
