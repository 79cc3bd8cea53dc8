"""Starts the long files first, and prints what the long tests tried.

Each of those says it with `record_property("tried", "WHAT: NUMBER")`, and the numbers are added up.
"""

from __future__ import annotations

from collections import defaultdict

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders with long files first (and `--no-loadscope-reorder` keeps it so): one that came last would be waited for alone."""
    items.sort(key=lambda item: {"system": 0, "jobs": 1}.get(item.path.parent.name, 2))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a thing that was tried, with how often nothing was lost and how often something was."""
    tried: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            properties = getattr(report, "user_properties", ()) if report.when == "call" else ()
            said = [str(value) for name, value in properties if name == "tried"]
            if not said and outcome != "passed" and "long" in getattr(report, "keywords", ()):
                said = [f"{report.nodeid}: 1"]  # it failed before it could say how much it had tried
            for value in said:
                what, _, number = value.rpartition(": ")
                tried[what][outcome != "passed"] += int(number)
    if tried:
        terminalreporter.section("what was tried")
        width = max(map(len, tried))
        for what, (good, bad) in sorted(tried.items()):
            terminalreporter.write_line(f"{what:<{width}}  {good + bad:>8,}  {'nothing lost' if not bad else f'{bad:,} FAILED'}")
