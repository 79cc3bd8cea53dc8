"""`explain` and `versions show` of a version whose gain was tested: intervals, p-values, figures by category."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from command_line import Run, run_in
from journals import first_days, week
from loop_shop import CONFIG, POLICY, search
from retraind.core import events as e
from retraind.core import steps as s
from retraind.core.figures import RowSet, Significance


def weighed(step: s.Train) -> s.Outcome:
    """v2, as a training tells what it found of it."""
    found = search(2, 4.0, 1)(step)
    assert isinstance(found, s.Trained)
    tests = {
        "wape.h1": Significance(0.0004, 60, 4, True, 0.0001, 0.0005, (0.008, 0.001)),
        "wape.h7": Significance(0.002, 60, 4, False, 0.0005, 0.0005, (0.09, 0.03)),
    }
    sure = {"wape": {"h1": (3.81, 4.22), "h7": (4.9, 5.6)}, "bias": {"h1": (-0.4, 0.9)}}
    rows = {"category_name": {"Cabbage": {"h1": RowSet(900, 60, "c")}, "Solanum": {"h1": RowSet(1500, 58, "s")}}}
    own = {"category_name": {"Cabbage": {"wape": {"h1": 3.5}}, "Solanum": {"wape": {"h1": 4.3}}}}
    theirs = {"category_name": {"Cabbage": {"wape": {"h1": 5.5}}, "Solanum": {"wape": {"h1": 4.9}}}}
    results = [
        replace(
            r, slice_rows=rows, champion_slices=theirs,
            candidates=(replace(r.candidates[0], significance=tests, intervals=sure, slices=own),),
        )
        for r in found.results
    ]  # fmt: skip
    return replace(found, results=tuple(results))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("weighed")
    story, children = first_days(root, config=CONFIG)
    story.put_in_force("price", POLICY.replace("{more}", ""))
    children.trainings = [search(1, 5.0), weighed]
    story.work(children)
    week(story, children, 1)
    story.append(e.RetrainAsked("ops-a", "", now=True, search=True))
    story.work(children)
    story.stop()
    return root


@pytest.fixture
def run(shop: Path) -> Run:
    return run_in(shop)


def test_explain_says_how_sure_the_figures_are(run: Run) -> None:
    out = run("explain", "price", "2").out
    assert "WAPE, 95 %" in out
    assert "3.81 to 4.22" in out
    assert "p of WAPE beside v1's recipe  0.0004" in out
    assert "0.002 ?" in out, "not calibrated"
    assert "p after Holm over 4 searched; 7 d since the last look; ?: not calibrated" in out
    data = run("explain", "price", "2", "--json").json
    assert data["intervals"]["bias"]["h1"] == [-0.4, 0.9]
    assert data["significance"]["wape.h1"]["adjusted"] == 0.0004
    assert data["slices"]["category_name"]["Cabbage"] == {
        "dates": {"h1": 60}, "rows": {"h1": 900}, "wape": {"h1": 3.5}, "champion": {"h1": 5.5},
    }  # fmt: skip


def test_versions_show_tells_the_categories_with_the_most_rows_first(run: Run) -> None:
    lines = run("versions", "show", "price", "2").out.splitlines()
    head = next(i for i, line in enumerate(lines) if "WAPE, test, by category_name" in line)
    assert lines[head + 1].split() == ["Solanum", "4.30", "(4.90)", "58"]
    assert lines[head + 2].split() == ["Cabbage", "3.50", "(5.50)", "60"]


def test_a_version_that_nobody_tested_shows_nothing_of_it(run: Run) -> None:
    out = run("versions", "show", "price", "1").out
    assert "95 %" not in out
    assert "by category" not in out
