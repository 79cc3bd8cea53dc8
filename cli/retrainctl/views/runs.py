"""Trainings: a list, and one as the table that a forecaster knows. The journal's word, with what the report adds to it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from sqlite3 import Connection
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.site import Site
from retrainctl.text import Cell, Line, Screen, Style, labelled, table
from retrainctl.views.links import report_link, run_link, told
from retrainctl.views.times import count, duration, iso, moment, parsed
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
_PARTS = {"train": "TRAIN", "validation": "VALIDATE", "test": "TEST"}
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
    report = _report(site, request.id)
    explained = _explained(report)
    return {
        **_row(site, request, connection, is_running=False),
        "version": 1, "test": {"from": iso(found.test_from), "to": iso(found.test_to)}, "split": report.get("split", []),
        "notes": list(found.notes), "run": run_link(site, request.parent_run),
        "results": [_result(result, explained) for result in found.results],
    }  # fmt: skip


def _result(result: TargetResult, explained: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rows = [_candidate(c, explained.get(c.run_id, {})) for c in result.candidates]
    return {
        "target": result.target, "model": result.model, "candidates": rows,
        "champion": {"number": result.champion_version, "metrics": unbind(result.champion.values)} if result.champion else None,
        "baselines": {name: unbind(scores.values) for name, scores in result.baselines.items()},
        "rows": unbind(result.candidates[0].test.rows),
    }  # fmt: skip


def _candidate(candidate: Candidate, explained: Mapping[str, Any]) -> dict[str, Any]:
    figures = candidate.figures
    return {
        "number": candidate.version, "algorithm": candidate.algorithm, "rank": candidate.rank, "run_id": candidate.run_id,
        "metrics": unbind(candidate.test.values), "intervals": unbind(candidate.intervals),
        "validation_cost": figures.get("validation_cost"), "validation_std": figures.get("validation_std"),
        "search_cost": figures.get("search_cost"), "search_std": figures.get("search_std"),
        "importance": explained.get("features", []), "importance_horizon": explained.get("horizon"),
    }  # fmt: skip


def _report(site: Site, request: str) -> dict[str, Any]:
    """The report's document; empty where there is none."""
    path = site.root / site.settings.paths.state / "reports" / f"{request}.json"
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def _explained(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Run -> its most important features at the nearest horizon, and that horizon."""
    nearest = {c["run_id"]: c["explained"][0] for one in report.get("targets", ()) for c in one["candidates"] if c["explained"]}
    kept = ("feature", "english", "rise", "shap")
    return {
        run: {"horizon": one["horizon"], "features": [{k: w[k] for k in kept} for w in one["features"][:10]]}
        for run, one in nearest.items()
    }


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
    facts = [("BECAUSE", "; ".join(data["causes"])), ("MADE", when + took), *_split(data)]
    for label, text in facts:
        lines += labelled(label, text, on)
    for result in data["results"]:
        lines += [[], *_drawn_result(result, on, horizon)]
    for note in _once(data["notes"]):
        lines += labelled("NOTE", note, on, style="yellow")
    links = told(data["run"], data["report"])
    lines += [[], *labelled("SEE", f"{links}{' · ' * bool(links)}retrainctl runs logs {data['request']}", on)]
    return lines


def _split(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A line a part; the test days alone where no report tells the others."""
    for part in data["split"]:
        sizes = [count(part[what], noun) for what, noun in (("days", "day"), ("rows", "row"), ("items", "item"))]
        sizes += [f"{n} categor{'y' if n == 1 else 'ies'}"] if (n := len(part["categories"])) else []
        unseen = " · unseen" if part["part"] == "test" else ""
        yield _PARTS[part["part"]], f"{part['from']} to {part['to']}: {', '.join(sizes)}{unseen}"
    if not data["split"]:
        yield "TEST", f"{data['test']['from']} to {data['test']['to']}, days that no recipe had seen"


def _once(notes: Sequence[str]) -> list[str]:
    """Without those that another one begins with: what it goes on to say is said of the same."""
    return [note for note in dict.fromkeys(notes) if not any(other != note and other.startswith(note) for other in notes)]


def _drawn_result(result: dict[str, Any], on: Screen, horizon: int | None) -> Iterator[Line]:
    known = horizons(result["candidates"][0]["metrics"])
    at = f"h{horizon}" if horizon else known[0]
    if at not in known:
        days = ", ".join(h[1:] for h in known)
        raise Usage(f"--horizon: nothing was forecast {horizon} days ahead", remedy=f"name one of {days}")
    rows: list[list[Cell]] = [
        [_name(c), _cost(c, "validation"), _cost(c, "search"), *_figures(c["metrics"], at), ""] for c in result["candidates"]
    ]
    if result["champion"]:
        rows.append([f"v{result['champion']['number']}'s recipe", "", "", *_figures(result["champion"]["metrics"], at), ""])
    rows += [[(name.replace("_", " "), "dim"), "", "", *_figures(values, at), ""] for name, values in result["baselines"].items()]
    head = f"{result['target'].upper()}, {at[1:]} d ahead"
    yield from table((head, "VALIDATION", "CV", "MAPE", "RMSE", "R²", "WAPE", "BIAS", ""), rows, on)
    yield from _drawn_importance(result["candidates"], on)


def _drawn_importance(candidates: Sequence[dict[str, Any]], on: Screen) -> Iterator[Line]:
    """A row a candidate that is explained, under the horizon that it is explained at, which may be another than the figures'."""
    for days in sorted({c["importance_horizon"] for c in candidates if c["importance"]}):
        rows = [[_name(c), _top(c)] for c in candidates if c["importance"] and c["importance_horizon"] == days]
        yield from table((f"MOST IMPORTANT, {days} d ahead", ""), rows, on)


def _name(candidate: dict[str, Any]) -> str:
    """Of a dotted path its last name: beside the number that is enough, and the figures keep their place."""
    return f"v{candidate['number']} {candidate['algorithm'].rpartition('.')[2]}"


def _figures(metrics: dict[str, Any], at: str) -> list[Cell]:
    return [figure(metrics, metric, at) for metric in ("mape", "rmse", "r2", "wape", "bias")]


def _cost(candidate: dict[str, Any], of: str) -> str:
    """`0.755 ± 0.021`; without the second where there was one fold, which is what a deviation of exactly 0 means."""
    cost, std = candidate[f"{of}_cost"], candidate[f"{of}_std"]
    return "-" if cost is None else f"{cost:.3f} ± {std:.3f}" if std else f"{cost:.3f}"


def _top(candidate: dict[str, Any]) -> str:
    return ", ".join(f"{w['english']} {w['rise']:+.0f} %" for w in candidate["importance"][:_TOP])
