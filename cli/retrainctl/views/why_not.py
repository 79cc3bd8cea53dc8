"""What holds a training back right now: the daemon's own rules asked on the journal's state, as it is and as if you asked."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.scene import scene_now
from retrainctl.site import Site
from retrainctl.text import Line, Screen, labelled
from retrainctl.views.times import iso, moment, parsed
from retraind.core.events import Cause, RetrainDeclined, RetrainHeld, RetrainRequested
from retraind.core.retraining import retraining, train
from retraind.core.scene import Scene
from retraind.core.state import OpenCause, State

__all__ = ["drawn", "gather"]

Told = dict[str, Any]


def gather(site: Site, state: State, now: dt.datetime, *, running: bool) -> dict[str, Any]:
    """The document. running: a daemon serves the site. `state` is not changed."""
    scene = scene_now(site, copy.deepcopy(state), now)
    request = scene.flow.open_request()
    found = _about_request(scene, request.id) if request else _about_causes(scene)
    causes = request.causes if request else [c.cause for c in scene.flow.causes]
    asked = Cause("operator", "operator:why-not", "you ask")
    scene.flow.causes.append(OpenCause(asked, scene.now.machine))
    return {
        "version": 1, "daemon": running, "request": request.id if request else None, "causes": [c.words for c in causes],
        "holds": found, "if_asked": _about_causes(scene),
    }  # fmt: skip


def _told(why: str, until: dt.datetime | None = None) -> Told:
    return {"why": why, "until": iso(until)}


def _about_request(scene: Scene, request: str) -> Told:
    if scene.busy("train"):
        return _told(f"nothing: request {request} is being trained")
    if scene.state.registry != scene.settings.mlflow.tracking_uri:
        return _told(f"request {request} waits for the registry, which has not answered yet")
    _, wait = train(scene)
    return _told(wait.why, wait.until) if wait else _told(f"nothing: request {request} starts as soon as the daemon can")


def _about_causes(scene: Scene) -> Told:
    note, waits = retraining(scene)
    event = note.event if note else None
    if isinstance(event, RetrainHeld):
        return _told(event.reason, event.until)
    if isinstance(event, RetrainDeclined):
        return _told(event.reason)
    if isinstance(event, RetrainRequested):
        return _told("nothing: a request follows at once")
    if waits:
        return _told(waits[0].why, waits[0].until)
    return _told("nothing asks for a retraining") if event is None else _told("nothing: a cause was just seen")


def drawn(data: dict[str, Any], on: Screen, zone: ZoneInfo, now: dt.datetime) -> Iterator[Line]:
    """The screen."""
    if not data["daemon"]:
        yield from labelled("!", "the daemon is not running, so nothing is trained", on, style="yellow", mark="red", indent=4)
    yield from labelled("ASKS", "; ".join(data["causes"]) or "nobody", on)
    yield from labelled("HOLDS", _words(data["holds"], zone, now), on)
    yield from labelled("IF ASKED", _words(data["if_asked"], zone, now), on)


def _words(told: Told, zone: ZoneInfo, now: dt.datetime) -> str:
    return str(told["why"]) + (f", until {moment(parsed(told['until']), zone, now)}" if told["until"] else "")
