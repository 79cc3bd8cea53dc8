"""docs/guarantees.md names the test that keeps each promise, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_test_that_a_promise_names_exists() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    files = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    there = {name for text in files for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    assert len(named) > 40
    assert named <= there, named - there


def test_each_promise_has_its_test_and_each_long_test_its_promise() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
    for row in page.split("## What is not promised")[0].splitlines():
        if row.startswith("| ") and not row.startswith(("| **", "| promise")):
            assert "`test_" in row, row
    for path in (ROOT / "tests").rglob("test_*.py"):
        for name in re.findall(r"@pytest\.mark\.long\n(?:@.*\n)*def (test_\w+)", path.read_text("utf-8")):
            assert f"`{name}`" in page, name
