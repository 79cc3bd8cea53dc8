"""`python -m retraind.jobs.checkup`: what the registry holds of a site, for `retrainctl doctor`, which may not load mlflow itself.

The question comes as JSON on standard input: {"config", "root", "site"}. The answer goes to standard output: {"client", "server",
"why", "experiment", "running", "versions", "aliases"}. Nothing is made or changed: what is not there is said.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from retraind import settings
from retraind.jobs import registry

__all__ = ["main", "seen"]


def main() -> int:
    """Answer one question."""
    asked = json.load(sys.stdin)
    found = seen(settings.parse(asked["config"]), Path(asked["root"]), f"{asked['site']}-")
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def seen(loaded: settings.Settings, root: Path, start: str) -> dict[str, Any]:
    """What is there; of runs, those whose request's name begins with `start`.

    `why` says what kept it from being read; then the rest is empty.
    """
    found: dict[str, Any] = {"client": registry.RELEASE, "server": None, "why": "", "experiment": "none", "running": [],
                             "versions": [], "aliases": {}}  # fmt: skip
    uri = registry.tracking_uri(loaded.mlflow, root)
    names = [loaded.mlflow.name_of(name, target) for name, p in loaded.pipelines.items() for target in p.contract.targets]
    try:
        found["server"] = _server(uri)
        there = registry.existing(loaded.mlflow, root)
        return found | _holds(*there, names, start) if there else found
    except Exception as error:  # noqa: BLE001 (whatever the registry does is what was asked for)
        return found | {"why": (str(error).splitlines() or [type(error).__name__])[0]}


def _server(uri: str) -> str | None:
    """The server's release. None for a file. Raises OSError where nobody answers."""
    if not uri.startswith("http"):
        return None
    with urllib.request.urlopen(f"{uri.rstrip('/')}/version", timeout=20) as answer:  # noqa: S310 (settings allow http)
        return str(answer.read().decode(errors="replace").strip())


def _holds(there: registry.Registry, experiment: str, models: list[str], start: str) -> dict[str, Any]:
    """What bears a request's name that begins with `start`, and the versions and aliases of our models."""
    versions = [v for model in models for v in registry.versions(there, model)]
    return {
        "experiment": experiment,
        "running": [{"run": run, "request": request} for run, request in registry.running(there, start).items()],
        "versions": [{"model": v.model, "number": v.number, "request": v.tags.get("request")} for v in versions],
        "aliases": {model: registry.aliases(there, model) for model in models},
    }


if __name__ == "__main__":
    sys.exit(main())
