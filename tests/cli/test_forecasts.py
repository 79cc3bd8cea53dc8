"""`forecasts` and `scores` on a site whose forecast jobs really ran."""

from __future__ import annotations

import csv
import datetime as dt
import io
from pathlib import Path

import pandas as pd
import pytest

from command_line import Run, run_in
from journals import Story
from retraind.core import events as e
from retraind.core.steps import Forecast, Forecasted
from retraind.jobs.forecast import forecast
from trained_shop import ROOT, config, frame, shop

AT = dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two weeks of naive forecasts of four items, the first week's scored."""
    root = tmp_path_factory.mktemp("forecasts")
    rows = frame(items=4, days=120).assign(item_name=lambda f: f.item_code.str.replace("item-", "Cabbage "))
    made = shop(root, rows, config())
    story = Story(root, config=(ROOT / "config.yaml").read_text("utf-8").replace("[1, 7, 14, 30]", "[1, 7]"))
    for file in made.files:
        story.append(e.DropArrived(file.drop, f"drops/{file.drop}", file.drop, file.sha256, 1, 1))
        story.append(e.DropAccepted(file.drop, file, "main", file.rows, 0))
    files: tuple[e.ForecastFile, ...] = ()
    scored: tuple[e.ForecastFile, ...] = ()
    for days in (7, 0):
        newest = made.data_end - dt.timedelta(days=days)
        naive = {"price": "persistence", "demand": "seasonal_naive"}
        outcome = forecast(Forecast(f"k{days}", made.files, newest, (), {}, naive, files, scored, AT), made.job())
        assert isinstance(outcome, Forecasted)
        assert outcome.made
        assert outcome.scored
        files, scored = (*files, outcome.made), (*scored, outcome.scored)
        story.append(
            e.ForecastScored(f"k{days}", outcome.scored, outcome.cells, outcome.slices, expired=outcome.expired)
        )
        story.append(e.ForecastMade(f"k{days}", newest, outcome.made, outcome.orders))
    story.stop()
    return root


@pytest.fixture
def told(site: Path) -> Run:
    return run_in(site)


def test_show_tells_an_items_forecasts_whose_they_are_and_what_was_sold(told: Run) -> None:
    ran = told("forecasts", "show", "item-2", columns=100)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("Cabbage 2  item-2 · from 30 Apr 2022, made ")
    assert " price    " in ran.out
    assert "28 days, last" in ran.out
    rows = [line.split() for line in ran.out.splitlines() if line.startswith((" price   h", " demand  h"))]
    assert [(r[0], r[1]) for r in rows] == [("demand", "h1"), ("demand", "h7"), ("price", "h1"), ("price", "h7")]
    assert rows[2][-2:] == ["persistence", "!"]
    data = told("forecasts", "show", "cabbage 2", "--target", "price", "--json").json
    assert [f["target_date"] for f in data["forecasts"]] == ["2022-05-01", "2022-05-07"]
    assert {f["unit"] for f in data["forecasts"]} == {"RMB/kg"}
    assert data["forecasts"][0]["forecast"] == data["actuals"]["price"][-1]  # persistence
    assert len(data["actuals"]["price"]) == 28


def test_show_of_an_unknown_item_names_the_nearest(told: Run) -> None:
    ran = told("forecasts", "show", "item-22")
    assert (ran.code, ran.err) == (2, 'error: "item-22" was not sold in the last 28 days; did you mean item-2?\n')
    assert told("forecasts", "show", "item-2", "--target", "pric").code == 2


def test_show_before_the_first_forecast_says_so(tmp_path: Path) -> None:
    Story(tmp_path).stop()
    ran = run_in(tmp_path)("forecasts", "show", "item-2")
    assert (ran.code, ran.out) == (1, "")
    assert "there are no forecasts yet" in ran.err


def test_export_gives_every_forecast_once_and_narrows_it(told: Run, site: Path, tmp_path: Path) -> None:
    whole = tmp_path / "all.parquet"
    ran = told("forecasts", "export", "--format", "parquet", "--output", str(whole))
    rows = pd.read_parquet(whole)
    assert ran.out == f"{len(rows):,} forecasts written to {whole}\n"
    assert not rows.duplicated(["target", "version", "item_code", "origin_date", "horizon_days"]).any()
    assert set(rows.target) == {"price", "demand"}
    few = tmp_path / "few.csv"
    narrow = ["--target", "price", "--from", "2022-04-28", "--to", "2022-04-29", "--role", "baseline"]
    assert told("forecasts", "export", *narrow, "--output", str(few)).code == 0
    listed = list(csv.DictReader(io.StringIO(few.read_text())))
    expected = rows[(rows.target == "price") & rows.target_date.astype(str).isin(["2022-04-28", "2022-04-29"])]
    assert len(listed) == len(expected) > 0
    assert {r["target_date"] for r in listed} == {"2022-04-28", "2022-04-29"}


def test_export_writes_to_standard_output(site: Path) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "retrainctl", "forecasts", "export", "--from", "2022-05-07"]
    out = subprocess.run(command, cwd=site, capture_output=True, text=True, check=True).stdout
    rows = list(csv.DictReader(io.StringIO(out)))
    assert {r["target_date"] for r in rows} == {"2022-05-07"}
    assert {r["issued"] for r in rows} == {"true"}


def test_export_refuses_what_it_cannot_do(told: Run) -> None:
    assert told("forecasts", "export", "--from", "yesterday").err == (
        'error: --from: "yesterday" is no date; write 2023-04-02\n'
    )
    assert told("forecasts", "export", "--format", "xlsx").code == 2
    assert told("forecasts", "export", "--role", "champ").err.endswith("did you mean champion?\n")


def test_export_names_a_file_that_is_gone(told: Run, site: Path, tmp_path: Path) -> None:
    (file, *_) = (site / "state" / "forecasts").iterdir()
    away = file.rename(tmp_path / file.name)
    ran = told("forecasts", "export", "--output", str(tmp_path / "x.csv"))
    away.rename(file)
    assert (ran.code, file.name in ran.err) == (1, True)


def test_scores_show_naive_forecasts_while_there_is_no_champion(told: Run) -> None:
    data = told("scores", "--target", "price", "--json").json
    assert {(r["horizon"], r["made"]) for r in data["rows"]} == {
        (1, "backcast"), (1, "issued"), (7, "backcast"), (7, "issued"),
    }  # fmt: skip
    issued = next(r for r in data["rows"] if (r["horizon"], r["made"]) == (7, "issued"))
    assert (issued["dates"], issued["champion"], issued["challenger"]) == (7, None, None)
    assert issued["persistence"]["wape"] > 0
    by_category = told("scores", "--by", "category", "--json").json
    assert {r["period"] for r in by_category["rows"]} >= {"leaves", "roots"}


def test_scores_put_the_champion_beside_doing_nothing_month_by_month(run: Run) -> None:
    ran = run("scores", "--target", "demand", "--by", "month", columns=120)
    assert ran.code == 0
    november, december = (
        next(line.split() for line in ran.out.splitlines() if line.startswith(f" 2026-{m}  h1")) for m in (11, 12)
    )
    assert november[:8] == ["2026-11", "h1", "backcast", "34.10", "38.80", "37.90", "40.20", "-"]
    assert december[:9] == ["2026-12", "h1", "backcast", "33.46", "38.80", "37.90", "40.20", "34.10", "+3.3"]
    row = run("scores", "--target", "demand", "--json").json["rows"][0]
    assert (row["versions"], row["rows"], row["dates"]) == ([1, 5], 1680, 42)
    assert row["previous"]["dates"] == 7
    assert row["previous"]["champion_wape"] == 33.0


def test_scores_refuses_a_word_that_it_does_not_know(run: Run) -> None:
    assert run("scores", "--by", "mont").err == 'error: --by: "mont" is not known; did you mean month?\n'
    assert run("scores", "--target", "pric").err == 'error: "pric" is no target; did you mean price?\n'
