"""A past training made again, and every figure compared.

The journal is folded up to where the training began; the daemon's own rule then says the same step as it said then: the same
files by their hashes, the same champions, the same settings. A child trains by it and registers nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from sqlite3 import Connection
from typing import Any

from retrainctl import children
from retrainctl.scene import scene_at
from retrainctl.site import Site
from retrainctl.text import Line, Screen, Style, labelled
from retrainctl.views.judging import state_before
from retrainctl.views.runs import finished
from retrainctl.views.times import count
from retraind import __version__, settings
from retraind.core import retraining
from retraind.core.binding import unbind
from retraind.core.events import Record, TrainingFinished
from retraind.core.figures import TargetResult
from retraind.core.state import Request
from retraind.core.steps import Progress, Train, Trained
from retraind.errors import RetraindError
from retraind.journal import read
from retraind.source import source_digest, version_of

__all__ = ["drawn", "gather"]

_NOT_COMPARED = ("version", "run_id", "model_digest", "seconds", "parent_run", "request", "notes")
"""Names of what was registered, and what a clock says."""
_SHOWN = 12


def gather(site: Site, request: Request, connection: Connection, said: Callable[[Progress], None]) -> dict[str, Any]:
    """The document. Raises RetraindError when it was not trained, or cannot be trained now."""
    then = finished(connection, request)
    step, config = _step(site, request, connection)
    outcome = children.outcome_of(site, "reproduce", step, config, said)
    if not isinstance(outcome, Trained):
        raise RetraindError(f"{request.id} cannot be trained now: {getattr(outcome, 'why', outcome)}",
                            remedy=f"see: retrainctl explain {request.id}")  # fmt: skip
    before, after = (dict(_figures("", _compared(one))) for one in (then, outcome))
    differences = [{"what": w, "then": was, "now": after.get(w)} for w, was in before.items() if was != after.get(w)]
    return {
        "version": 1, "request": request.id, "same": not differences, "figures": len(before), "differences": differences,
        "new": len(after.keys() - before.keys()),
        "cut_short": _cut_short(then) or _cut_short(outcome),
        "changed": _changed(site, request.id),
    }  # fmt: skip


def _cut_short(one: TrainingFinished | Trained) -> bool:
    """Its guard of seconds ended a search: how far that came is the clock's, so a difference is no fault."""
    return any(c.figures.get("search_cut_short") for r in one.results for c in r.candidates)


def _step(site: Site, request: Request, connection: Connection) -> tuple[Train, str]:
    """What the daemon asked for then, and the text of the settings of then."""
    started = list(read.matching(connection, ("job.started",), step="train", subject=request.id))
    began = next((r for r in reversed(started) if r.seq < request.ended_seq), None)
    loaded = _loaded(connection, began) if began else None
    if began is None or loaded is None:
        raise RetraindError(f"the journal does not say how {request.id} was trained", remedy="see: retrainctl audit verify")
    text = str(loaded.event.text)
    before = state_before(connection, began.seq)
    scene = scene_at(replace(site, settings=settings.parse(text)), before, began.times)
    planned, wait = retraining.train(scene)
    if planned is None or not isinstance(planned.step, Train):
        raise RetraindError(f"this release would not have trained {request.id} then: {wait.why if wait else 'no reason'}",
                            remedy=f"use the release that trained it; see: retrainctl explain {request.id}")  # fmt: skip
    return planned.step, text


def _loaded(connection: Connection, began: Record) -> Record | None:
    return next(read.records(connection, until=began.seq, kinds=("settings.loaded",), newest_first=True), None)


def _compared(one: TrainingFinished | Trained) -> dict[str, Any]:
    return {
        "test": [one.test_from.isoformat(), one.test_to.isoformat()],
        **{result.target: _of_target(result) for result in one.results},
    }


def _of_target(result: TargetResult) -> dict[str, Any]:
    candidates = {f"{c.algorithm} {c.recipe_id}": unbind(c) | {"recipe": None} for c in result.candidates}
    return {
        "candidates": ", ".join(candidates), "baselines": unbind(result.baselines), "champion": unbind(result.champion),
        **candidates,
    }  # fmt: skip


def _figures(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every leaf by its path; floats as JSON gives them back, so that journal and child say the same."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _NOT_COMPARED:
                yield from _figures(f"{name} {key}".strip(), inner)
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from _figures(f"{name} {i + 1}", inner)
    else:
        yield name, value


def _changed(site: Site, request: str) -> list[str]:
    """What figures may depend on and is not as it was then, as far as the report says."""
    path = site.root / site.settings.paths.state / "reports" / f"{request}.json"
    if not path.exists():
        return []
    then = json.loads(path.read_text("utf-8"))
    now: dict[str, Any] = {name: version_of(name) for name in then["libraries"]}
    was = then["libraries"] | {"retraind": then["code"]}
    now["retraind"] = __version__
    if "source" in then:
        was["source"], now["source"] = then["source"], source_digest()
    was["threads"], now["threads"] = then["threads"], site.settings.jobs.threads
    return [f"{name} {was[name]} then, {now[name]} now" for name in was if was[name] != now[name]]


def drawn(data: dict[str, Any], on: Screen) -> list[Line]:
    """What came of it."""
    if data["same"]:
        all_of = f": all {data['figures']:,} figures of {data['request']}, to the last digit"
        lines: list[Line] = [[("the same", "green"), (all_of, "")]]
    else:
        style: Style = "yellow" if data["cut_short"] else "red"
        found = len(data["differences"])
        lines = [[("different", style), (f": {found:,} of {data['figures']:,} figures of {data['request']}", "")]]
        for one in data["differences"][:_SHOWN]:
            lines += labelled("", f"{one['what']}: {one['then']} then, {one['now']} now", on, indent=1)
        if found > _SHOWN:
            lines += labelled("", f"and {found - _SHOWN:,} more: --json", on, indent=1)
        if data["cut_short"]:
            lines += labelled("NOTE", "the guard training.search.seconds cut the search short, so differences are allowed", on)
    if data["new"]:
        lines += labelled("NOTE", f"{count(data['new'], 'figure')} beside them that the release of then did not measure", on)
    for change in data["changed"]:
        lines += labelled("CHANGED", change, on, style="yellow")
    return lines
