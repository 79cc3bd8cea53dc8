"""Versions: a list, and one with its recipe and figures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from retrainctl.text import Cell, Line, Screen, Style, labelled, table
from retrainctl.views.chance import chance, drawn_chance, drawn_slices, slices
from retrainctl.views.scored import beside_live, drawn_live
from retrainctl.views.status_data import version_fields
from retrainctl.views.times import duration, iso, moment, parsed
from retraind.core.binding import unbind
from retraind.core.figures import MEASURED
from retraind.core.state import Flow, Model, Version

__all__ = ["beside", "detail", "drawn_beside", "drawn_detail", "drawn_listing", "horizons", "listing"]

STAGE_STYLES: dict[str, Style] = {"Production": "green", "Staging": "yellow", "Archived": "dim"}


def listing(models: Iterable[Model]) -> dict[str, Any]:
    """Every version of the models, by number."""
    rows = [
        {"model": model.name, **(version_fields(v) or {})}
        for model in models for v in sorted(model.versions.values(), key=lambda v: v.version)
    ]  # fmt: skip
    return {"version": 1, "versions": rows}


def drawn_listing(data: dict[str, Any], on: Screen) -> list[Line]:
    """A row a version."""
    rows: list[list[Cell]] = [
        [v["model"], f"v{v['version']}", v["algorithm"], v["request"],
         (v["stage"], STAGE_STYLES.get(v["stage"], "")), figure(v["metrics"], "wape", "h1"),
         figure(v["metrics"], "wape", "h7"), _verdict(v)]
        for v in data["versions"]
    ]  # fmt: skip
    if not rows:
        return [[("no versions yet: the first training brings them", "")]]
    return table(("MODEL", "VERSION", "ALGORITHM", "REQUEST", "STAGE", "WAPE h1", "h7", "VERDICT"), rows, on)


def _verdict(version: Mapping[str, Any]) -> str:
    words = version["words"] or "not judged yet"
    if version["tainted"]:
        words = f"TAINTED, {version['tainted']} · {words}"
    if version["bare"]:
        words = f"WITHOUT FILES, {version['bare']} · {words}"
    return f"GONE, {version['gone']} · {words}" if version["gone"] else words


def figure(metrics: Mapping[str, Mapping[str, float | None]], metric: str, horizon: str) -> str:
    """`33.0`, or a dash for a figure that is missing."""
    value = metrics.get(metric, {}).get(horizon)
    return "-" if value is None else f"{value:.3f}" if metric in ("r2", "mase") else f"{value:.2f}"


def horizons(metrics: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """`h1`, `h7`, ... in the order of days."""
    found = {h for by_horizon in metrics.values() for h in by_horizon}
    return sorted(found, key=lambda h: int(h[1:]))


def beside(model: Model, version: Version) -> dict[str, Any]:
    """What a version was judged beside on the same test rows: WAPE by horizon of each forecaster."""
    result = model.results.get(version.request)
    others: dict[str, Any] = {}
    if result and result.champion:
        others[f"v{result.champion_version}'s recipe"] = result.champion
    others |= dict(result.baselines) if result else {}
    rows = {f"v{version.version}": version.candidate.test, **others}
    return {who: unbind(scores.values.get("wape", {})) for who, scores in rows.items()}


def drawn_beside(wape: Mapping[str, Mapping[str, float | None]], on: Screen) -> list[Line]:
    """A row a forecaster."""
    columns = horizons(dict(wape))
    rows = [[who.replace("_", " "), *(figure({"wape": v}, "wape", h) for h in columns), ""] for who, v in wape.items()]
    return table(("WAPE, test", *columns, ""), rows, on)


def detail(flow: Flow, model: Model, version: Version) -> dict[str, Any]:
    """Everything of one version."""
    request = flow.requests.get(version.request)
    return {
        "version": 1, "model": model.name, "target": version.target, "number": version.version,
        **{k: v for k, v in (version_fields(version) or {}).items() if k != "version"},
        "recipe": unbind(version.candidate.recipe), "recipe_id": version.candidate.recipe_id,
        "model_digest": version.candidate.model_digest, "compared_with": version.compared_with,
        "rows": unbind(version.candidate.test.rows), "unanswered": dict(version.candidate.test.unanswered),
        "figures": unbind(version.candidate.figures), "beside": beside(model, version),
        "live": beside_live(flow, model, version),
        **chance(model, version), "slices": slices(model, version),
        "causes": [c.words for c in request.causes] if request else [], "decision": version.decision,
        "seconds": request.seconds if request else None, "staged": iso(version.staged_site),
    }  # fmt: skip


def drawn_detail(data: dict[str, Any], on: Screen, zone: ZoneInfo, now: dt.datetime) -> list[Line]:
    """Facts, figures, neighbours."""
    stage = data["stage"]
    lines: list[Line] = [[(f"{data['model']} v{data['number']} · ", "bold"), (stage, STAGE_STYLES.get(stage, ""))]]
    took = f", the training took {duration(data['seconds'])}" if data["seconds"] else ""
    causes, data_end = "; ".join(data["causes"]), f", on data until {data['data_end']}"
    recipe = ", ".join(f"{k} {_short(v)}" for k, v in data["recipe"].items())
    made = f"by request {data['request']}: {causes}{data_end}{took}"
    if not data["causes"] and data["adopted"]:
        made = f"by somebody else, adopted {data['adopted']}; scored on days after {data['data_end']}"
    facts = [
        ("MADE", f"{moment(parsed(data['trained']), zone, now)} {made}"),
        ("RECIPE", recipe),
        ("VERDICT", _verdict(data)),
        ("RUN", f"{data['run_id']} · model {data['model_digest'][:12]} · recipe {data['recipe_id'][:12]}"),
    ]  # fmt: skip
    for label, text in facts:
        lines += labelled(label, text, on)
    columns = horizons(data["metrics"])
    rows: list[list[Cell]] = [
        [m, *(figure(data["metrics"], m, h) for h in columns), ""] for m in MEASURED if m in data["metrics"]
    ]
    lines += [[], *table(("TEST", *columns, ""), rows, on), [], *drawn_beside(data["beside"], on)]
    sure = drawn_chance(data, on)
    lines += [*([[], *sure] if sure else []), *drawn_slices(data["slices"], on)]
    return [*lines, [], *drawn_live(data["live"], on)] if data["live"]["wape"] else lines


def _short(value: Any) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{k}={v}" for k, v in value.items())
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
