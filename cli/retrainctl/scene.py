"""The scene that the daemon looks at, made from the journal: so that a view asks the daemon's own rules and gets its answer.

Imported by views that ask policies; `status` does not, for reading policies costs more than all of it.
"""

from __future__ import annotations

import datetime as dt
import getpass
from typing import Any

from retrainctl.site import Site
from retraind import __version__
from retraind.core.by_hand import ByHand, by_hand
from retraind.core.events import Times
from retraind.core.messages import Answer
from retraind.core.scene import Scene, World
from retraind.core.state import State
from retraind.errors import RetraindError
from retraind.strict_policy import in_force

__all__ = ["foreseen", "scene_at", "scene_now"]


def scene_now(site: Site, state: State, now: dt.datetime) -> Scene:
    """What the daemon would look at now. now: on the wall."""
    on_data = site.settings.site.clock == "data"
    since = now - state.last_wall if state.last_wall else dt.timedelta()
    return scene_at(site, state, Times(now, (state.site_time or now) if on_data else now, (state.machine_time or now) + since))


def scene_at(site: Site, state: State, times: Times) -> Scene:
    """What the daemon looked at when `state` was so, under the policies that were in force then."""
    world = World(site.settings, in_force(state.policies), __version__)
    return Scene(state, state.flow(site.pipeline), site.pipeline, site.settings.pipelines[site.pipeline], world, times)


def foreseen(scene: Scene, message: ByHand) -> list[Any]:
    """The events that a decision by hand would make, if whoever runs this asked for it now. Raises RetraindError where the
    daemon would refuse, with its words."""
    told = by_hand(scene, message, getpass.getuser())
    if isinstance(told, Answer):
        raise RetraindError(told.refused or told.done, remedy=told.remedy)
    return told
