"""Where to look further: a cause's drop, a run in MLflow's pages, a report, a drop's file. Nothing is asked over a network."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from retrainctl.site import Site
from retraind.core.events import Cause
from retraind.core.state import Drop

__all__ = ["drift_link", "drop_link", "drops_of", "report_link", "run_link", "told"]


def run_link(site: Site, run_id: str) -> dict[str, Any] | None:
    """A run, with its page where the registry is a server. None without a run."""
    if not run_id:
        return None
    uri = site.settings.mlflow.tracking_uri.rstrip("/")
    return {"run": run_id, "page": f"{uri}/#/runs/{run_id}" if uri.startswith("http") else None}


def report_link(site: Site, request: str) -> str | None:
    """The training's report, where one was kept."""
    path = site.root / site.settings.paths.state / "reports" / f"{request}.html"
    return str(path.relative_to(site.root)) if path.is_file() else None


def drift_link(site: Site, last_date: dt.date) -> str | None:
    """The page of a drift window, where one was kept."""
    path = site.root / site.settings.paths.state / "reports" / f"drift-{last_date}.html"
    return str(path.relative_to(site.root)) if path.is_file() else None


def drops_of(causes: Iterable[Cause]) -> list[str]:
    """The drops whose drift asked."""
    return [cause.key.removeprefix("drift:") for cause in causes if cause.kind == "drift"]


def drop_link(site: Site, drop: Drop) -> str | None:
    """The drop's file, where it still lies."""
    return drop.path if (site.root / drop.path).is_file() else None


def told(run: dict[str, Any] | None, report: str | None) -> str:
    """`run 5f3a · http://mlflow:5000/#/runs/5f3a · report state/reports/9c1f-3.html`."""
    parts = [f"run {run['run']}", run["page"] or ""] if run else []
    return " · ".join([part for part in (*parts, f"report {report}" if report else "") if part])
