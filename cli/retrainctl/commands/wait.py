"""`retrainctl wait`: until a version was decided on or is Production, for scripts and CI. Reads the journal, asks nobody."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from retrainctl.options import Json
from retrainctl.site import model_named, open_site, version_named
from retrainctl.text import print_json
from retraind.core.binding import nearest
from retraind.core.state import Model, State, Version
from retraind.core.units import Span
from retraind.errors import OutOfTime, RetraindError, Usage

__all__ = ["wait"]

_FINAL = ("reject", "gave_up", "superseded", "blocked", "rollback")
_LOOK_EVERY = 1.0


def wait(
    ctx: typer.Context,
    model: str,
    version: str,
    goal: Annotated[
        str, typer.Option("--for", metavar="GOAL", help="decision (its policy said yes or a final no) or production.")
    ] = "decision",
    timeout: Annotated[str, typer.Option(metavar="SPAN", help="Such as 30m or 2d; without it as long as it takes.")] = "",
    json: Json = False,
) -> None:
    """Wait until a version was decided on, or until it is Production; end at once when that can never be."""
    reached = _GOALS.get(goal)
    if reached is None:
        raise Usage(f'--for: "{goal}" is no goal', remedy=nearest(goal, list(_GOALS)))
    site, ends, state = open_site(ctx), _ends(timeout), None
    while True:
        with site.opened(state) as (_, newest):
            state = newest
        named = model_named(site, state.flow(site.pipeline), model)
        asked = version_named(named, version)
        if reached(named, asked):
            _tell(state, named, asked, as_json=json)
            return
        if ends is not None and time.monotonic() >= ends:
            raise OutOfTime(f"{named.name} v{asked.version}: {asked.words or 'not judged yet'}",
                            remedy=f"see: retrainctl explain {named.name} {asked.version}", retryable=True)  # fmt: skip
        time.sleep(_LOOK_EVERY)


def _ends(timeout: str) -> float | None:
    """On the machine's clock. Raises Usage."""
    if not timeout:
        return None
    try:
        return time.monotonic() + Span.parse(timeout).seconds
    except ValueError as error:
        raise Usage(f"--timeout: {error}", remedy="write 30m, 3h or 2d") from None


def _decided(model: Model, version: Version) -> bool:  # noqa: ARG001 (every goal is asked alike)
    return version.verdict == "promote" or version.verdict in _FINAL


def _in_production(model: Model, version: Version) -> bool:
    """It is, or was. Raises RetraindError when it can never be."""
    if any(t.version == version.version for t in model.tenures):
        return True
    if version.verdict in _FINAL or version.aborted or version.stage == "Archived":
        raise RetraindError(f"{model.name} v{version.version} does not come to Production: {version.aborted or version.words}",
                            remedy=f"see: retrainctl explain {model.name} {version.version}")  # fmt: skip
    return False


_GOALS: dict[str, Callable[[Model, Version], bool]] = {"decision": _decided, "production": _in_production}


def _tell(state: State, model: Model, version: Version, *, as_json: bool) -> None:
    data: dict[str, Any] = {"version": 1, "model": model.name, "number": version.version, "stage": version.stage,
                            "verdict": version.verdict, "words": version.words, "events": state.seq}  # fmt: skip
    if as_json:
        print_json(data)
    else:
        stage = "in no stage" if version.stage == "None" else f"in {version.stage}"
        sys.stdout.write(f"{model.name} v{version.version} is {stage}: {version.words}\n")
