"""`drift show` from the journal's events."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import journals
from command_line import Run, run_in
from retrainctl.text import Screen, rendered
from retrainctl.views.drift import drawn_feature, drawn_window, sparkline
from retraind.core import events as e

PIPELINE = "produce"
SUNDAY = dt.date(2026, 9, 6)
LONG = "wholesale_price_rmb_kg.since_window"


def moved(week: int) -> tuple[e.DriftFeature, ...]:
    """Three features: one grows week by week and changes in the last, one is a category, one was never comparable."""
    last = week == 9
    return (
        e.DriftFeature(LONG, 0.01 * week, 0.02 * week, 1e-9 if last else 0.4, last, 0.2 * week),
        e.DriftFeature("category", 0.5 - 0.01 * week, None, 0.001, False, 0.5),
        e.DriftFeature("discount", None, None, None, False, None),
    )


def measured(week: int, features: tuple[e.DriftFeature, ...]) -> e.DriftMeasured:
    last = SUNDAY + dt.timedelta(weeks=week)
    drifting = week == 9
    return e.DriftMeasured(f"d{week:07}", last - dt.timedelta(days=6), last, 300 + week, features,
                           1 if drifting else 20, 40, drifting, "moved more than all" if drifting else "ordinary")  # fmt: skip


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A killed site with nine measured weeks; the daemon is down."""
    folder = tmp_path_factory.mktemp("weeks")
    story = journals.Story(folder)
    for week in range(1, 10):
        story.append(measured(week, moved(week)), PIPELINE)
    story.append(measured(10, moved(1)), "another")  # of a pipeline that is not this one
    story.kill()
    return run_in(folder)


def test_the_newest_window_is_told_feature_by_feature_while_the_daemon_is_down(weeks: Run) -> None:
    data = weeks("drift", "show", "--json").json
    assert (data["version"], data["window"]["drop"], data["window"]["drifting"]) == (1, "d0000009", True)
    assert [w["drifting"] for w in data["windows"]] == [False] * 8 + [True]
    price, category, discount = data["features"]
    assert (price["feature"], price["rank"], price["among"]) == (LONG, 1, 9)
    assert price["words"] == "changed, more than usual"
    assert price["history"] == pytest.approx([0.2 * week for week in range(1, 10)])
    assert (category["rank"], category["among"], category["words"]) == (9, 9, "real but small")  # by PSI: it has no D
    assert (discount["rank"], discount["among"]) == (None, 0)
    assert discount["words"] == "not comparable: no value on one side"


@pytest.mark.parametrize("columns", [80, 200, 100_000], ids=["80", "200", "piped"])
def test_the_screen_holds_every_figure_and_is_never_too_wide(weeks: Run, columns: int) -> None:
    on = Screen(columns)
    lines = rendered(drawn_window(weeks("drift", "show", "--json").json, on, SUNDAY), on).splitlines()
    assert lines[0] == "drift of 2 Nov to 8 Nov · drifting · 309 rows · rank 1 of 40 past windows"
    assert lines[2] == " WINDOWS  ········▲"
    row = next(i for i, line in enumerate(lines) if LONG in line)
    assert " ".join(lines[row : row + (2 if columns == 80 else 1)]).split() == [
        LONG, "0.09", "0.18", "1e-09", "yes", "1.8", "1", "of", "9", "▁▂▃▄▅▆▇██", "changed,", "more", "than", "usual",
    ]  # fmt: skip
    assert [line for line in lines if len(line) > columns] == []


def test_a_pipe_gets_a_line_a_feature(weeks: Run) -> None:
    lines = weeks("drift", "show").out.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == [LONG, "category", "discount"]
    assert max(map(len, weeks("drift", "show", columns=80).out.splitlines())) <= 80


def test_one_feature_is_told_window_by_window_each_with_the_rank_it_had_then(weeks: Run) -> None:
    rows = weeks("drift", "show", LONG, "--json").json["windows"]
    assert [row["last_date"] for row in rows] == [str(SUNDAY + dt.timedelta(weeks=w)) for w in range(1, 10)]
    assert [(row["rank"], row["among"]) for row in rows] == [(1, n) for n in range(1, 10)]
    assert [row["words"] for row in rows] == ["no more than chance"] * 8 + ["changed, more than usual"]
    on = Screen(80)
    lines = rendered(drawn_feature({"feature": LONG, "windows": rows}, on, SUNDAY), on).splitlines()
    assert lines[0].startswith(LONG)
    assert lines[2].split()[:9] == ["2", "Nov", "to", "8", "Nov", "drifting", "0.09", "0.18", "1e-09"]
    assert max(map(len, lines)) <= 80
    assert weeks("drift", "show", LONG).out.startswith(lines[0])


def test_a_wrong_feature_is_wrong_usage_with_the_nearest_right_one(weeks: Run) -> None:
    ran = weeks("drift", "show", "discont")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == 'error: there is no drift feature "discont"; did you mean discount?\n'


def test_before_the_first_window_it_says_what_brings_one(tmp_path: Path) -> None:
    story, _ = journals.first_days(tmp_path)
    story.kill()
    run = run_in(tmp_path)
    assert run("drift", "show").out == "no window measured yet: the first comes after the first training\n"
    assert run("drift", "show", "--json").json["window"] is None
    ran = run("drift", "show", "price")
    assert (ran.code, ran.err.count("retrainctl status")) == (2, 1)


def test_a_window_skipped_after_the_newest_is_told_and_forgotten_with_the_next(tmp_path: Path) -> None:
    story = journals.Story(tmp_path)
    story.append(measured(1, moved(1)), PIPELINE)
    story.append(e.DriftSkipped("d2", SUNDAY + dt.timedelta(weeks=2), "the disk is full"), PIPELINE)
    assert run_in(tmp_path)("drift", "show", "--json").json["skipped"]["last_date"] == "2026-09-20"
    out = run_in(tmp_path)("drift", "show").out
    assert re.search(r"^ SKIPPED  days to 20 Sep.* could not be measured: the disk is full$", out, re.MULTILINE)
    story.append(measured(3, moved(3)), PIPELINE)
    story.kill()
    assert run_in(tmp_path)("drift", "show", "--json").json["skipped"] is None


def test_a_screen_without_unicode_gets_heights_as_figures(weeks: Run) -> None:
    data = weeks("drift", "show", "--json").json
    plain = Screen(100, unicode=False)
    text = rendered(drawn_window(data, plain, SUNDAY), plain)
    assert text.isascii()
    assert re.search(r"1+2*3*4+.*8 ", text)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e6)), min_size=1, max_size=20))
def test_a_sparkline_has_a_mark_a_window_and_its_highest_is_the_largest(values: list[float | None]) -> None:
    line = sparkline(values)
    assert len(line) == len(values)
    assert [mark == "·" for mark in line] == [v is None for v in values]
    known = [(v, mark) for v, mark in zip(values, line, strict=True) if v is not None]
    assert [mark for _, mark in sorted(known)] == sorted(mark for _, mark in known)  # a larger value is never lower
    if known and max(known)[0] >= 1:
        assert max(known)[1] == "█"


def test_a_quiet_history_stays_low(weeks: Run) -> None:
    assert sparkline([0.1, 0.0, 0.05]) == "▁▁▁"
    assert json.loads(weeks("drift", "show", "--json").out)["features"][1]["history"] == [0.5] * 9


def two_files(folder: Path) -> tuple[str, str]:
    before, now = folder / "before.csv", folder / "now.csv"
    kinds = ("leaf", "root")
    before.write_text("price,kind,day,gone\n" + "".join(f"{i % 50},{kinds[i % 2]},2026-01-01,1\n" for i in range(400)))
    now.write_text("price,kind,day,new\n" + "".join(f"{i % 50 + 20},{kinds[i % 2]},2026-02-01,1\n" for i in range(300)))
    return str(before), str(now)


@pytest.mark.parametrize("columns", [80, 200, None])
def test_two_files_are_compared_without_a_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int | None
) -> None:
    two_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    run = run_in(tmp_path)
    assert not (tmp_path / "config.yaml").exists()
    data = run("drift", "compare", "before.csv", "now.csv", "--json").json
    assert [(c["name"], c["changed"]) for c in data["columns"]] == [("price", True), ("kind", False)]
    assert data["columns"][0]["distance"] == pytest.approx(0.4)
    assert (data["only_reference"], data["only_current"]) == (["gone"], ["new"])
    out = run("drift", "compare", "before.csv", "now.csv", columns=columns).out
    lines = out.splitlines()
    words = " ".join(out.split())
    assert words.startswith("now.csv (300 rows) beside before.csv (400 rows): 1 of 2 columns changed")
    assert "0.0 % → 0.0 % changed; 40.0 % above the reference's largest, 49" in words
    assert {" LEFT OUT day: it is a date or a time", " ONLY IN  before.csv: gone", " ONLY IN  now.csv: new"} <= set(
        lines
    )
    assert max(map(len, lines)) <= (columns or 1000)


def test_files_that_cannot_be_compared_are_told_without_a_traceback(tmp_path: Path) -> None:
    before, _ = two_files(tmp_path)
    (tmp_path / "bad.parquet").write_bytes(b"nothing of the kind")
    run = run_in(tmp_path)
    ran = run("drift", "compare", before, str(tmp_path / "bad.parquet"))
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith(
        f"error: the files cannot be compared: {tmp_path / 'bad.parquet'}: cannot be read as parquet"
    )
    ran = run("drift", "compare", before, str(tmp_path / "none.csv"), "--json")
    assert (ran.code, ran.json["error"]["what"]) == (2, "there is no such file")
