"""A drop's way: when it came, what was made of it and why, how the forecasts of its days did, its drift, what it caused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from sqlite3 import Connection
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.site import Site
from retrainctl.text import Cell, Line, Screen, labelled, table
from retrainctl.views import drops
from retrainctl.views.links import drift_link, drop_link
from retrainctl.views.request import drawn_way, moved
from retrainctl.views.times import count, iso
from retraind.core.binding import unbind
from retraind.core.events import ForecastScored, LiveCell, Record
from retraind.core.figures import BASELINES
from retraind.core.state import Drop, Flow, State
from retraind.journal import read

__all__ = ["drawn", "gather"]

_OF_A_DROP = ("drop.arrived", "drop.dated", "drop.accepted", "drop.quarantined", "drop.duplicate", "drop.filed", "drop.retried",
              "drop.discarded", "drop.damaged", "drop.vouched", "drop.withdrawn", "day.incomplete",
              "drift.measured", "drift.skipped")  # fmt: skip
_SHOWN_VERSIONS = 6


# ---- data ----


def gather(site: Site, state: State, drop: Drop, connection: Connection) -> dict[str, Any]:
    """The document of one drop."""
    flow = state.flow(site.pipeline)
    way = list(read.matching(connection, _OF_A_DROP, drop=drop.id))
    accepted = next((r for r in reversed(way) if r.event.KIND == "drop.accepted"), None)
    scored = _scored(connection, drop, accepted)
    held = drop.state == "accepted" and drop.id not in flow.damaged
    drift = _windows(site, flow, drop, accepted, site.settings.pipelines[site.pipeline].drift.days)
    steps = sorted([*way, *([scored] if scored else []), *_caused(connection, way)], key=lambda r: r.seq)
    return {
        **drops.detail(flow, drop), "what": "drop", "way": [moved(r) for r in steps],
        "store_file": accepted.event.file.sha256 if accepted else None,
        "live": _live(scored.event, drop) if scored else None,
        "drift": drift, "trained": drops.learned_from(flow, accepted.event.file.sha256) if accepted and held else [],
        "requests": [r.id for r in flow.requests.values() if any(c.key == f"drift:{drop.id}" for c in r.causes)],
        "alerts": [{"key": a.key, "at": iso(a.at), "words": a.words} for a in state.alerts.values() if drop.id in a.key],
        "file": drop_link(site, drop),
    }  # fmt: skip


def _scored(connection: Connection, drop: Drop, accepted: Record | None) -> Record | None:
    """The scoring that the drop's rows made possible: the first one after it that holds its days."""
    if accepted is None or drop.role != "main" or drop.first_date is None or drop.last_date is None:
        return None
    first = next(read.records(connection, accepted.seq, kinds=("forecast.scored",)), None)
    fits = first is not None and first.event.file.first_date <= drop.last_date and drop.first_date <= first.event.file.last_date
    return first if fits else None


def _windows(site: Site, flow: Flow, drop: Drop, accepted: Record | None, days: int) -> list[dict[str, Any]]:
    """The verdicts on windows that hold days of the drop, measured since it came."""
    if accepted is None or drop.first_date is None or drop.last_date is None:
        return []
    held = (w for w in flow.drift if w.seq > accepted.seq and drop.first_date <= w.last_date < drop.last_date + dt.timedelta(days))
    return [{**unbind(w), "report": drift_link(site, w.last_date)} for w in held]


def _caused(connection: Connection, way: Sequence[Record]) -> Iterator[Record]:
    """What became of the cause that its drift was: held, then declined or granted."""
    drifted = next((r for r in way if r.event.KIND == "drift.measured" and r.event.drifting), None)
    if drifted is None:
        return
    key, held = f"drift:{drifted.event.drop}", False
    for record in read.records(connection, drifted.seq, kinds=("retrain.held", "retrain.declined", "retrain.requested")):
        if key not in {c.key for c in record.event.causes}:
            continue
        if record.event.KIND != "retrain.held" or not held:
            yield record
        if record.event.KIND != "retrain.held":
            return
        held = True


def _live(event: ForecastScored, drop: Drop) -> list[dict[str, Any]]:
    """WAPE of the champion and the naive forecasts on the drop's days, at the shortest horizon, by target."""
    assert drop.first_date
    assert drop.last_date
    cells = [c for c in event.cells if drop.first_date <= c.date <= drop.last_date]
    out = []
    for target in dict.fromkeys(c.target for c in cells):
        horizon = min(c.horizon for c in cells if c.target == target)
        own = [c for c in cells if c.target == target and c.horizon == horizon]
        who = {_name(c): _wape([o for o in own if o.forecaster == c.forecaster])
               for c in own if c.role == "champion" or c.forecaster in BASELINES}  # fmt: skip
        out.append({"target": target, "horizon": f"h{horizon}", "days": len({c.date for c in own}), "wape": who})
    return out


def _name(cell: LiveCell) -> str:
    return f"v{cell.forecaster}" if cell.role == "champion" else cell.forecaster


def _wape(cells: Sequence[LiveCell]) -> float | None:
    actual = sum(c.sums.actual for c in cells)
    return 100 * sum(c.sums.error for c in cells) / actual if actual else None


# ---- text ----


def drawn(data: dict[str, Any], on: Screen, zone: ZoneInfo, now: dt.datetime) -> list[Line]:
    """The drop as `drops show` has it, then its way and what came of it."""
    lines = [*drops.drawn_detail(data, on, zone, now), [], *drawn_way(data["way"], on, zone, now)]
    if data["live"]:
        lines += [[], *_drawn_live(data["live"], on)]
    consequences = [
        *(f"request {r}; see: retrainctl explain {r}" for r in data["requests"]), *(f"alert: {a['words']}" for a in data["alerts"])
    ]  # fmt: skip
    for window in data["drift"]:
        verdict = "drifting" if window["drifting"] else "quiet"
        lines += labelled("DRIFT", f"the window to {window['last_date']} is {verdict}: {window['why']}", on)
        if window["report"]:
            lines += labelled("", f"report {window['report']}", on)
    for i, words in enumerate(consequences):
        lines += labelled("" if i else "CAUSED", words, on)
    if data["trained"]:
        newest = data["trained"][-_SHOWN_VERSIONS:]
        older = len(data["trained"]) - len(newest)
        lines += labelled("TAUGHT", ", ".join(newest) + (f" and {count(older, 'older version')}" if older else ""), on)
    if data["store_file"]:
        lines += labelled("STORE", f"file {data['store_file']}", on)
    return lines


def _drawn_live(live: list[dict[str, Any]], on: Screen) -> list[Line]:
    rows: list[list[Cell]] = [
        [one["target"], who.replace("_", " "), "-" if wape is None else f"{wape:.2f}", f"{count(one['days'], 'day')}"]
        for one in live for who, wape in one["wape"].items()
    ]  # fmt: skip
    return table(("ON ITS DAYS", "", f"WAPE {live[0]['horizon']}", ""), rows, on)
