"""Trainings: a list, and one as the table that a forecaster knows. The journal's word, with what the report adds to it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from sqlite3 import Connection
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.site import Site
from retrainctl.text import Cell, Line, Screen, Style, labelled, table
from retrainctl.views.links import report_link, run_link, told
from retrainctl.views.times import duration, iso, moment, parsed
from retrainctl.views.versions import figure, horizons
from retraind.core.binding import unbind
from retraind.core.events import TrainingFinished
from retraind.core.figures import Candidate, TargetResult
from retraind.core.state import Flow, Request
from retraind.errors import RetraindError, Usage
from retraind.journal import read

__all__ = ["drawn_list", "drawn_reports", "drawn_show", "finished", "jobs_of", "listing", "named", "show"]

_STATES: dict[str, Style] = {"finished": "green", "waiting": "yellow", "impossible": "yellow", "failed": "red"}
_TOP = 3
"""Features that a row names."""
_PREFIX = 6
"""Letters of a run's id that are enough."""


# ---- data ----


def listing(site: Site, flow: Flow, connection: Connection) -> dict[str, Any]:
    """Every training, oldest first."""
    working = {job.subject for job in flow.jobs.values() if job.step == "train"}
    return {"version": 1, "runs": [_row(site, r, connection, is_running=r.id in working) for r in flow.requests.values()]}


def _row(site: Site, request: Request, connection: Connection, *, is_running: bool) -> dict[str, Any]:
    ended = next(read.records(connection, request.ended_seq - 1), None) if request.ended_seq else None
    return {
        "request": request.id, "kind": request.kind, "state": "running" if is_running else request.state,
        "causes": [c.words for c in request.causes], "targets": list(request.targets), "requested": iso(request.at_wall),
        "ended": iso(ended.times.wall) if ended else None, "data_end": iso(request.data_end),
        "seconds": request.seconds or None, "words": request.words, "parent_run": request.parent_run or None,
        "report": report_link(site, request.id),
    }  # fmt: skip


def named(flow: Flow, name: str) -> Request:
    """The request of that id, or whose MLflow run (or a candidate's) begins so; the newest finished one where none is named.

    Raises Usage, and RetraindError when nothing was trained yet.
    """
    if name in flow.requests:
        return flow.requests[name]
    if name:
        found = {r.id: r for r in flow.requests.values() if len(name) >= _PREFIX and any(_runs(flow, r, name))}
        if len(found) == 1:
            return next(iter(found.values()))
        raise Usage(f'there is no training "{name}"', remedy="see: retrainctl runs list")
    trained = [r for r in flow.requests.values() if r.state == "finished"]
    if not trained:
        raise RetraindError("nothing was trained yet", remedy="see what is under way: retrainctl status")
    return trained[-1]


def _runs(flow: Flow, request: Request, name: str) -> Iterator[bool]:
    yield request.parent_run.startswith(name)
    for model in flow.models.values():
        yield from (v.candidate.run_id.startswith(name) for v in model.versions.values() if v.request == request.id)


def finished(connection: Connection, request: Request) -> TrainingFinished:
    """What its training found. Raises RetraindError when it found nothing."""
    ended = next(read.records(connection, request.ended_seq - 1), None) if request.ended_seq else None
    if ended is None or not isinstance(ended.event, TrainingFinished):
        raise RetraindError(f"request {request.id} is {request.state}: {request.words or 'it was not trained yet'}",
                            remedy=f"see: retrainctl explain {request.id}")  # fmt: skip
    return ended.event


def jobs_of(connection: Connection, request: str) -> list[str]:
    """The jobs that worked on it, oldest first."""
    return [r.event.job for r in read.matching(connection, ("job.started",), step="train", subject=request)]


def show(site: Site, request: Request, connection: Connection) -> dict[str, Any]:
    """One training with the figures of every forecaster."""
    found = finished(connection, request)
    explained = _explained(site, request.id)
    return {
        **_row(site, request, connection, is_running=False),
        "version": 1, "test": {"from": iso(found.test_from), "to": iso(found.test_to)}, "notes": list(found.notes),
        "run": run_link(site, request.parent_run),
        "results": [_result(result, explained) for result in found.results],
    }  # fmt: skip


def _result(result: TargetResult, explained: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    rows = [_candidate(c, explained.get(c.run_id, [])) for c in result.candidates]
    return {
        "target": result.target, "model": result.model, "candidates": rows,
        "champion": {"number": result.champion_version, "metrics": unbind(result.champion.values)} if result.champion else None,
        "baselines": {name: unbind(scores.values) for name, scores in result.baselines.items()},
        "rows": unbind(result.candidates[0].test.rows),
    }  # fmt: skip


def _candidate(candidate: Candidate, features: list[dict[str, Any]]) -> dict[str, Any]:
    figures = candidate.figures
    return {
        "number": candidate.version, "algorithm": candidate.algorithm, "rank": candidate.rank, "run_id": candidate.run_id,
        "metrics": unbind(candidate.test.values), "intervals": unbind(candidate.intervals),
        "validation_cost": figures.get("validation_cost"), "search_cost": figures.get("search_cost"),
        "search_std": figures.get("search_std"), "importance": features,
    }  # fmt: skip


def _explained(site: Site, request: str) -> dict[str, list[dict[str, Any]]]:
    """Run -> its most important features, from the report; empty where there is none."""
    path = site.root / site.settings.paths.state / "reports" / f"{request}.json"
    if not path.exists():
        return {}
    told_ = json.loads(path.read_text("utf-8"))
    return {
        c["run_id"]: [{k: w[k] for k in ("feature", "english", "rise", "shap")} for w in c["explained"][0]["features"][:10]]
        for one in told_["targets"] for c in one["candidates"] if c["explained"]
    }  # fmt: skip


# ---- text ----


def drawn_list(data: dict[str, Any], on: Screen, zone: ZoneInfo, now: dt.datetime) -> list[Line]:
    """A row a training, the newest first."""
    rows: list[list[Cell]] = [
        [r["request"], moment(parsed(r["requested"]), zone, now), r["kind"], ", ".join(r["targets"]),
         duration(r["seconds"]) if r["seconds"] else "-", (r["state"], _STATES.get(r["state"], "")),
         f"{'; '.join(r['causes'])}{': ' * bool(r['words'])}{r['words']}"]
        for r in reversed(data["runs"])
    ]  # fmt: skip
    if not rows:
        return [[("nothing was trained yet; why: retrainctl retrain --why-not", "")]]
    return table(("REQUEST", "WHEN", "KIND", "TARGETS", "TOOK", "STATE", "WHY AND WHAT CAME OF IT"), rows, on)


def drawn_reports(data: dict[str, Any], on: Screen, zone: ZoneInfo, now: dt.datetime) -> list[Line]:
    """A row a report, the newest first."""
    rows: list[list[Cell]] = [
        [r["request"], moment(parsed(r["ended"]), zone, now), ", ".join(r["targets"]), r["report"]]
        for r in reversed(data["runs"])
    ]
    if not rows:
        return [[("there is no report yet: each training makes one", "")]]
    return table(("REQUEST", "MADE", "TARGETS", "REPORT"), rows, on)


def drawn_show(data: dict[str, Any], on: Screen, zone: ZoneInfo, now: dt.datetime, horizon: int | None = None) -> list[Line]:
    """Each target's table at its nearest horizon, or at the one that is named."""
    lines: list[Line] = [[(f"{data['request']} · a {data['kind']} · {', '.join(data['targets'])}", "bold")]]
    when = f"{moment(parsed(data['requested']), zone, now)}, on data until {data['data_end']}"
    took = f", took {duration(data['seconds'])}" if data["seconds"] else ""
    facts = [("BECAUSE", "; ".join(data["causes"])), ("MADE", when + took),
             ("TEST", f"{data['test']['from']} to {data['test']['to']}, days that no recipe had seen")]  # fmt: skip
    for label, text in facts:
        lines += labelled(label, text, on)
    for result in data["results"]:
        lines += [[], *_drawn_result(result, on, horizon)]
    for note in data["notes"]:
        lines += labelled("NOTE", note, on, style="yellow")
    links = told(data["run"], data["report"])
    lines += [[], *labelled("SEE", f"{links}{' · ' * bool(links)}retrainctl runs logs {data['request']}", on)]
    return lines


def _drawn_result(result: dict[str, Any], on: Screen, horizon: int | None) -> Iterator[Line]:
    known = horizons(result["candidates"][0]["metrics"])
    at = f"h{horizon}" if horizon else known[0]
    if at not in known:
        days = ", ".join(h[1:] for h in known)
        raise Usage(f"--horizon: nothing was forecast {horizon} days ahead", remedy=f"name one of {days}")
    rows: list[list[Cell]] = [
        [f"v{c['number']} {c['algorithm']}", _cost(c["validation_cost"]), _search(c), *_figures(c["metrics"], at), _top(c)]
        for c in result["candidates"]
    ]
    if result["champion"]:
        rows.append([f"v{result['champion']['number']}'s recipe", "", "", *_figures(result["champion"]["metrics"], at), ""])
    rows += [[(name.replace("_", " "), "dim"), "", "", *_figures(values, at), ""] for name, values in result["baselines"].items()]
    head = f"{result['target'].upper()}, {at[1:]} d ahead"
    yield from table((head, "VALIDATION", "SEARCH", "MAPE", "RMSE", "R²", "WAPE", "BIAS", "MOST IMPORTANT"), rows, on)


def _figures(metrics: dict[str, Any], at: str) -> list[Cell]:
    return [figure(metrics, metric, at) for metric in ("mape", "rmse", "r2", "wape", "bias")]


def _cost(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _search(candidate: dict[str, Any]) -> str:
    mean, std = candidate["search_cost"], candidate["search_std"]
    return "-" if mean is None else f"{mean:.3f} ± {std:.3f}"


def _top(candidate: dict[str, Any]) -> str:
    return ", ".join(f"{w['english']} {w['rise']:+.0f} %" for w in candidate["importance"][:_TOP]) or "-"
