"""What every test of the command line needs: a site whose journal tells a story, and a way to run commands on it."""

from __future__ import annotations

from pathlib import Path

import pytest

import journals
from command_line import Run, run_in


@pytest.fixture(scope="session")
def year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site that has seen most of what can happen; its daemon stopped. Read it, do not change it."""
    folder = tmp_path_factory.mktemp("year")
    journals.a_year(folder).stop()
    return folder


@pytest.fixture
def run(year: Path) -> Run:
    """Run a command on that site."""
    return run_in(year)
