"""Runs a command of retrainctl on a site and says how it ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from retrainctl.app import app

__all__ = ["Ran", "Run", "run_in"]

Run = Callable[..., "Ran"]


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as one document."""
        return json.loads(self.out)


def run_in(folder: Path) -> Run:
    """A function that runs commands on the site in `folder`: `run("drops", "list", columns=80)`."""

    def run(*words: str, columns: int | None = None) -> Ran:
        env = {"COLUMNS": str(columns) if columns else ""}
        result = CliRunner().invoke(app, ["--config", str(folder / "config.yaml"), *words], env=env)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run
