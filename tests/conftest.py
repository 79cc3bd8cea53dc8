"""Starts the long files first, and prints what the long tests tried.

Each of those says it with `record_property("tried", "WHAT: NUMBER")`, and the numbers are added up.
"""

from __future__ import annotations

from collections import defaultdict

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """System tests first: with a file a worker, a long one that came last would be waited for alone."""
    items.sort(key=lambda item: item.path.parent.name != "system")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a thing that was tried, with how often nothing was lost and how often something was."""
    tried: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in getattr(report, "user_properties", ()):
                if name == "tried" and report.when == "call":
                    what, _, number = str(value).rpartition(": ")
                    tried[what][outcome == "failed"] += int(number)
    if tried:
        terminalreporter.section("what was tried")
        width = max(map(len, tried))
        for what, (good, bad) in sorted(tried.items()):
            terminalreporter.write_line(f"{what:<{width}}  {good + bad:>8,}  {'nothing lost' if not bad else f'{bad:,} FAILED'}")
