"""The measure job on small shops in a real store, and once on real sales."""

from __future__ import annotations

import datetime as dt
import json
import xml.dom.minidom
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from retraind import settings
from retraind.core.events import DriftFeature, DriftMeasured, ForecastFile, StoreFile
from retraind.core.steps import Measure, Train, decode_outcome, encode_outcome
from retraind.jobs import measure as measuring
from retraind.jobs.child import JobContext
from retraind.jobs.data import forecasts, store
from retraind.jobs.data.damage_look import Recent, damages
from retraind.jobs.data.drift_features import DriftColumns, WindowCut, drift_columns, relative_change
from retraind.jobs.drift_reference import kept, prepare
from retraind.jobs.measure import measure
from retraind.settings import Column, Drift, Settings

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
SETTINGS = settings.load(ROOT / "config.yaml")[0]
START = dt.date(2024, 1, 1)
WEEKS = 46
LAST = START + dt.timedelta(days=7 * WEEKS - 1)
WEEK = dt.timedelta(days=6)
Edit = Callable[[pd.DataFrame], pd.DataFrame]


def shop(days: int = 7 * WEEKS, items: int = 8, seed: int = 1) -> pd.DataFrame:
    """Sales of so many days: items of steady prices and lively demand, a discount now and then."""
    random = np.random.default_rng(seed)
    rows = days * items
    item = np.tile(np.arange(items), days)
    price = (5.0 + item) * np.repeat(np.exp(random.normal(0, 0.02, (days, 1))), items) * random.lognormal(0, 0.03, rows)
    return pd.DataFrame(
        {
            "date": np.repeat([START + dt.timedelta(days=day) for day in range(days)], items),
            "item_code": [f"i{i}" for i in item],
            "quantity_kg": (10.0 + item) * random.lognormal(0, 0.5, rows),
            "avg_price_rmb_kg": price,
            "discount_rate": np.where(random.random(rows) < 0.2, random.random(rows).round(1), 0.0),
            "transaction_count": random.poisson(20, rows),
        }
    )


def week_of(last: dt.date, edit: Edit) -> Edit:
    """An edit of the week that ends on `last` only."""

    def edited(frame: pd.DataFrame) -> pd.DataFrame:
        inside = (frame["date"] > last - dt.timedelta(days=7)) & (frame["date"] <= last)
        return pd.concat([frame[~inside], edit(frame[inside].copy())]).sort_values(["date", "item_code"])

    return edited


def times(column: str, factor: float) -> Edit:
    return lambda frame: frame.assign(**{column: frame[column] * factor})


def put(site: Path, frame: pd.DataFrame, name: str = "sales") -> StoreFile:
    """The rows in the store, in its canonical form."""
    return store.write(site / "state", SETTINGS.pipelines["produce"].contract, name, table(frame), drop="d")


def table(frame: pd.DataFrame) -> pa.Table:
    """The rows by key, texts as the store has them."""
    frame = frame.sort_values([column for column in ("date", "item_code") if column in frame])
    rows = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    text = {name: pa.string() for name in rows.column_names if pa.types.is_large_string(rows.schema.field(name).type)}
    return rows.cast(pa.schema([(field.name, text.get(field.name, field.type)) for field in rows.schema]))


def job_in(site: Path, settings_: Settings = SETTINGS) -> JobContext:
    return JobContext(settings_, "produce", site, site, 1, lambda _stage, _done, _of: None)


def with_drift(**changes: Any) -> Settings:
    pipeline = SETTINGS.pipelines["produce"]
    return replace(SETTINGS, pipelines={"produce": replace(pipeline, drift=replace(pipeline.drift, **changes))})


def measured(site: Path, *files: StoreFile, last: dt.date = LAST, job: JobContext | None = None) -> DriftMeasured:
    return measure(Measure("d", last - WEEK, last, files), job or job_in(site)).drift


def feature(drift: DriftMeasured, name: str) -> DriftFeature:
    return next(f for f in drift.features if f.feature == name)


@pytest.mark.parametrize("seed", [1, 2])
def test_an_ordinary_week_is_not_drifting(tmp_path: Path, seed: int) -> None:
    drift = measured(tmp_path, put(tmp_path, shop(seed=seed)))
    assert not drift.drifting
    assert drift.why == f"an ordinary week: {(drift.rank or 0) - 1} of 37 past weeks moved more"
    assert (drift.rows, drift.past) == (56, 37)
    assert not any(f.changed for f in drift.features)


@pytest.mark.parametrize(
    ("column", "factor"), [("avg_price_rmb_kg", 1.3), ("quantity_kg", 3.0), ("transaction_count", 2)]
)
def test_a_shocked_week_is_drifting_and_says_by_what(tmp_path: Path, column: str, factor: float) -> None:
    drift = measured(tmp_path, put(tmp_path, week_of(LAST, times(column, factor))(shop())))
    assert drift.drifting
    assert drift.rank == 1
    assert drift.features[0].feature.startswith(column)
    assert drift.features[0].changed
    moved = drift.features[0]
    assert drift.why.startswith(f"moved more than all of 37 past weeks: {moved.feature}, D {moved.d:.2f}, PSI ")


def test_a_past_shock_makes_a_week_like_it_less_remarkable(tmp_path: Path) -> None:
    frame = shop()
    for weeks in (5, 9, 14, 20, 25):
        frame = week_of(LAST - dt.timedelta(weeks=weeks), times("avg_price_rmb_kg", 1.3))(frame)
    drift = measured(tmp_path, put(tmp_path, week_of(LAST, times("avg_price_rmb_kg", 1.25))(frame)))
    assert feature(drift, "avg_price_rmb_kg.since_window").changed
    assert not drift.drifting
    assert drift.why.startswith("an ordinary week: ")


def test_one_category_left_is_drifting(tmp_path: Path) -> None:
    lookup = pd.DataFrame({"item_code": [f"i{i}" for i in range(8)], "category_name": ["leaf"] * 4 + ["root"] * 4})
    only_leaf = week_of(LAST, lambda week: week[week["item_code"].isin(lookup["item_code"][:4])])
    drift = measured(tmp_path, put(tmp_path, lookup, "items"), put(tmp_path, only_leaf(shop())))
    category = feature(drift, "category_name")
    assert drift.drifting
    assert category.changed
    assert category.d is None
    assert (category.scaled or 0) > 1.5


@pytest.mark.parametrize(
    ("weeks", "why"),
    [
        (9, "too little past: 0 weeks of 30"),
        (20, "too little past: 11 weeks of 30"),
        (1, "nothing to hold it against: the 8 weeks before hold no rows"),
    ],
)
def test_a_short_history_is_shown_and_asks_for_nothing(tmp_path: Path, weeks: int, why: str) -> None:
    last = START + dt.timedelta(days=7 * weeks - 1)
    shocked = week_of(last, times("avg_price_rmb_kg", 3.0))(shop(7 * weeks))
    drift = measured(tmp_path, put(tmp_path, shocked), last=last)
    assert (drift.drifting, drift.rank, drift.why) == (False, None, why)
    assert any(f.changed for f in drift.features) is (weeks > 1)


def test_min_past_is_what_the_settings_say(tmp_path: Path) -> None:
    last = START + dt.timedelta(days=7 * 20 - 1)
    file = put(tmp_path, week_of(last, times("avg_price_rmb_kg", 3.0))(shop(7 * 20)))
    drift = measured(tmp_path, file, last=last, job=job_in(tmp_path, with_drift(min_past=11)))
    assert drift.drifting
    assert drift.past == 11


def test_a_window_of_no_rows_and_an_empty_store_say_so(tmp_path: Path) -> None:
    file = put(tmp_path, shop())
    gone = measured(tmp_path, file, last=LAST + dt.timedelta(days=7))
    assert (gone.rows, gone.drifting) == (0, False)
    assert gone.why == "nothing to compare: no feature holds a value on both sides"
    assert "hold no rows" in measured(tmp_path).why


def test_a_column_with_hardly_any_values_is_measured_on_those_it_has(tmp_path: Path) -> None:
    frame = shop()
    frame["discount_rate"] = frame["discount_rate"].where(np.random.default_rng(3).random(len(frame)) < 0.05)
    drift = measured(tmp_path, put(tmp_path, frame))
    assert not drift.drifting
    assert not feature(drift, "discount_rate").changed


def test_constant_growing_calendar_and_identifying_columns_are_left_out(tmp_path: Path) -> None:
    contract = SETTINGS.pipelines["produce"].contract
    frame = shop()
    day = frame["date"].map(lambda date: (date - START).days)
    frame = frame.assign(
        discount_rate=0.25,
        week=day // 7 % 4,
        age=frame["item_code"].str[1:].astype(int) * 30 + day,
        receipt=np.random.default_rng(0).permutation(len(frame)),
    )
    sales = replace(
        contract.tables["sales"],
        columns={**contract.tables["sales"].columns, **{n: Column("whole") for n in ("week", "age", "receipt")}},
    )
    columns = drift_columns(table(frame), replace(contract, tables={**contract.tables, "sales": sales}), WindowCut(0, 7, 56))
    assert columns.left_out == {
        "discount_rate": "it is constant",
        "week": "it is a function of the date",
        "age": "it only grows",
        "receipt": "it identifies rows",
    }
    assert not [n for n in columns.numbers if n.split(".")[0] in columns.left_out]
    assert "transaction_count.change" in columns.numbers


def test_a_constant_column_does_no_harm(tmp_path: Path) -> None:
    drift = measured(tmp_path, put(tmp_path, shop().assign(discount_rate=0.0)))
    assert not [f for f in drift.features if f.feature.startswith("discount_rate")]
    assert drift.rank is not None


def test_an_optional_column_that_vanished_is_unknown_and_no_drift(tmp_path: Path) -> None:
    frame = shop()
    old, new = frame[frame["date"] <= LAST - dt.timedelta(days=7)], frame[frame["date"] > LAST - dt.timedelta(days=7)]
    drift = measured(tmp_path, put(tmp_path, old), put(tmp_path, new.drop(columns=["discount_rate"])))
    gone = feature(drift, "discount_rate")
    assert (gone.d, gone.psi, gone.p, gone.changed, gone.scaled) == (None, None, None, False, None)
    assert not drift.drifting


def test_the_outcome_survives_the_way_to_the_daemon(tmp_path: Path) -> None:
    outcome = measure(Measure("d", LAST - WEEK, LAST, (put(tmp_path, shop()),)), job_in(tmp_path))
    assert decode_outcome(encode_outcome(outcome)) == outcome


def test_moves_are_against_the_past_only(tmp_path: Path) -> None:
    """Whatever happens after a day leaves every figure of the day and before as it was."""
    contract = SETTINGS.pipelines["produce"].contract
    frame = shop(70)
    cut = WindowCut(20_000, 7, 56)
    before = drift_columns(table(frame), contract, cut)
    border = len(frame) // 2
    changed = frame.copy()
    changed.loc[border:, ["quantity_kg", "avg_price_rmb_kg", "discount_rate", "transaction_count"]] *= 7
    after = drift_columns(table(changed), contract, cut)
    assert after.numbers.keys() == before.numbers.keys()
    for name, values in before.numbers.items():
        np.testing.assert_array_equal(values[:border], after.numbers[name][:border])


def test_a_relative_change_of_positive_numbers_is_ordered_like_their_log_ratio() -> None:
    x, y = np.random.default_rng(0).lognormal(0, 2, (2, 500))
    order = np.argsort(np.log(x / y))
    assert (np.diff(relative_change(x, y)[order]) >= 0).all()
    assert relative_change(np.array([0.0, 3.0, 0.0]), np.array([0.0, 0.0, 4.0])).tolist() == [0, 1, -1]


# ---- what is kept of the past ----


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The first days of the past windows that are measured and not read back."""
    seen: list[int] = []
    real = measuring._distances

    def counting(columns: DriftColumns, window: measuring._Window, drift: Drift) -> dict[str, float]:
        seen.append(window.first)
        return real(columns, window, drift)

    monkeypatch.setattr(measuring, "_distances", counting)
    return seen


def weekly(site: Path, frame: pd.DataFrame, first_weeks: int) -> list[StoreFile]:
    """A history of so many weeks in one file, then a file a week."""
    week = frame["date"].map(lambda date: max((date - START).days // 7, first_weeks - 1))
    return [put(site, part) for _, part in frame.groupby(week)]


def test_a_new_week_measures_only_itself_and_finds_the_same(tmp_path: Path, counted: list[int]) -> None:
    files = weekly(tmp_path, shop(), WEEKS - 2)
    measured(tmp_path, *files[:-1], last=LAST - dt.timedelta(days=7))
    assert len(counted) == 36
    counted.clear()
    warm = measured(tmp_path, *files)
    assert counted == []
    (tmp_path / "state" / "drift" / "produce.json").unlink()
    assert measured(tmp_path, *files) == warm
    assert len(counted) == 37


def test_what_reaches_a_window_makes_it_measured_again(tmp_path: Path, counted: list[int]) -> None:
    files = weekly(tmp_path, shop(), WEEKS - 2)
    before = measured(tmp_path, *files)
    counted.clear()
    frame = shop()
    mended = frame[frame["date"] == LAST - dt.timedelta(weeks=10)]
    after = measured(tmp_path, *files, put(tmp_path, times("avg_price_rmb_kg", 50.0)(mended)))
    assert len(counted) == 10  # the mended window and those after it
    assert after != before
    counted.clear()
    measured(tmp_path, *files, job=job_in(tmp_path, with_drift(reference=4)))
    assert len(counted) == 41


def test_a_new_week_reads_no_more_of_the_store_than_its_span(tmp_path: Path) -> None:
    files = weekly(tmp_path, shop(), 20)
    measured(tmp_path, *files[:-1], last=LAST - dt.timedelta(days=7))
    store.path_of(tmp_path / "state", "sales", files[0].sha256).unlink()  # weeks 1 to 20; the span is weeks 30 to 46
    assert measured(tmp_path, *files).past == 37


def test_what_lies_before_a_span_changes_nothing_in_it(tmp_path: Path, counted: list[int]) -> None:
    files = weekly(tmp_path, shop(), WEEKS - 2)
    before = measured(tmp_path, *files)
    counted.clear()
    frame = shop()
    old = frame[frame["date"] == LAST - dt.timedelta(weeks=20)]
    after = measured(tmp_path, *files, put(tmp_path, times("avg_price_rmb_kg", 50.0)(old)))
    assert len(counted) == 17  # the mended window and the 16 whose spans reach it
    assert {f.feature: f.d for f in after.features} == {f.feature: f.d for f in before.features}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": {}}'])
def test_a_cache_that_cannot_be_read_is_made_again(tmp_path: Path, counted: list[int], content: str) -> None:
    file = put(tmp_path, shop())
    expected = measured(tmp_path, file)
    (tmp_path / "state" / "drift" / "produce.json").write_text(content)
    counted.clear()
    assert measured(tmp_path, file) == expected
    assert len(counted) == 37


# ---- what is told beside the verdict ----


def test_the_page_of_a_drifting_window_stands_alone_and_shows_what_changed(tmp_path: Path) -> None:
    lookup = pd.DataFrame({"item_code": [f"i{i}" for i in range(8)], "category_name": ["leaf"] * 4 + ["root"] * 4})
    report = {"targets": [{"candidates": [{"explained": [{"features": [{"feature": "avg_price_rmb_kg.lag1", "rise": 31.0}]}]}]}]}
    (tmp_path / "state" / "reports").mkdir(parents=True)
    (tmp_path / "state" / "reports" / "r1.json").write_text(json.dumps(report))
    frame = week_of(LAST, lambda week: times("avg_price_rmb_kg", 1.3)(week[week["item_code"] != "i0"]))(shop())
    drift = measured(tmp_path, put(tmp_path, lookup, "items"), put(tmp_path, frame))
    assert drift.report == f"reports/drift-{LAST}.html"
    page = (tmp_path / "state" / drift.report).read_text()
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in page
    for words in ("<b>drifting</b>, rank 1 of 37", "What changed", "the windows before", "WAPE rises by 31 %"):
        assert words in page
    xml.dom.minidom.parseString(page[page.index("<svg") : page.index("</svg>") + 6])


def test_the_verdict_says_what_so_many_rows_can_find_and_what_would_have_been_unusual(tmp_path: Path) -> None:
    drift = measured(tmp_path, put(tmp_path, shop()))
    assert drift.finds == pytest.approx(0.38, abs=0.02)
    first = drift.features[0]
    assert first.needed
    assert (first.d or 0) < first.needed
    assert {f.role for f in drift.features} == {"target", "feature"}
    assert feature(drift, "avg_price_rmb_kg.change").role == "target"


def test_a_window_is_held_against_what_the_champion_learned_from(tmp_path: Path) -> None:
    file = put(tmp_path, week_of(LAST, times("avg_price_rmb_kg", 1.3))(shop()))
    learned = LAST - dt.timedelta(weeks=3)
    saved = prepare(Train("r1", ("price",), (file,), learned, {}, ()), job_in(tmp_path))
    assert len(saved) < 200_000
    assert "quantity_kg.since_window" in kept(tmp_path / "state", "r1")
    assert kept(tmp_path / "state", "r2") == {}
    step = Measure("d", LAST - WEEK, LAST, (file,), learned="r1")
    told = measure(step, job_in(tmp_path)).drift
    assert (feature(told, "avg_price_rmb_kg.since_window").since_training or 0) > 0.5
    assert (feature(told, "transaction_count").since_training or 1) < 0.2


def forecast_file(site: Path, biased: dt.date | None, until: dt.date = LAST) -> ForecastFile:
    """A champion's and persistence's forecasts of each day of 12 weeks; from `biased` on the champion's are 1.5 times theirs."""
    random = np.random.default_rng(5)
    days = [day for d in range(84)[::-1] if (day := LAST - dt.timedelta(days=d)) <= until]
    rows = []
    for day in days:
        for item in range(8):
            naive = 5.0 + item
            ours = naive * random.lognormal(0, 0.05) * (1.5 if biased and day >= biased else 1)
            for role, version, value in (("champion", "1", ours), ("baseline", "persistence", naive)):
                rows.append(("price", f"i{item}", day, day + dt.timedelta(days=1), 1, value, "", version, role, True, True))
    frame = pd.DataFrame(rows, columns=forecasts.FORECASTS.names[:-1])
    frame["made_at"] = pd.Timestamp("2026-01-01", tz="UTC")
    return forecasts.write(site / "state", "forecasts", forecasts.table_of(frame, forecasts.FORECASTS))


@pytest.mark.parametrize("breaks", [False, True])
def test_forecasts_that_move_while_their_inputs_do_not_are_told(tmp_path: Path, breaks: bool) -> None:
    sales = put(tmp_path, shop())
    told = []
    for week in range(9, -1, -1):
        last = LAST - dt.timedelta(weeks=week)
        broken = last - WEEK if breaks and week == 0 else None
        made = forecast_file(tmp_path, broken)
        told.append(measure(Measure("d", last - WEEK, last, (sales,), forecasts=(made,)), job_in(tmp_path)).drift)
    moved = feature(told[-1], "forecast.price.h1")
    assert moved.role == "forecast"
    assert moved.changed is breaks
    assert [t.forecasts for t in told[:-1]] == [""] * 9
    assert told[-1].forecasts.startswith("the forecasts moved while the inputs did not: price.h1 (D ") is breaks
    assert not told[-1].drifting


@pytest.mark.parametrize("explained", [False, True])
def test_a_week_that_is_not_forecast_yet_tells_what_the_forecasts_of_the_week_before_did(tmp_path: Path, explained: bool) -> None:
    """With weekly drops a window is measured first: its own forecasts are never there."""
    sales = put(tmp_path, shop())
    told = []
    for week in range(9, -1, -1):
        last = LAST - dt.timedelta(weeks=week)
        made = forecast_file(tmp_path, last - dt.timedelta(days=13) if week == 0 else None, until=last - dt.timedelta(days=7))
        step = Measure("d", last - WEEK, last, (sales,), forecasts=(made,), drifted=explained)
        told.append(measure(step, job_in(tmp_path)).drift)
    assert feature(told[-1], "forecast.price.h1").changed
    assert [t.forecasts for t in told[:-1]] == [""] * 9
    assert (told[-1].forecasts == "") is explained


# ---- real sales ----


@pytest.mark.skipif(not SHARED.exists(), reason="shared/data does not lie beside this checkout")
def test_on_real_sales_ordinary_weeks_are_left_alone_and_a_price_shock_is_found(tmp_path: Path) -> None:
    sales = pd.read_parquet(SHARED / "daily_sales.parquet").assign(date=lambda f: f["date"].dt.date)
    wholesale = pd.read_parquet(SHARED / "wholesale_prices.parquet").assign(date=lambda f: f["date"].dt.date)
    items = pd.read_csv(SHARED / "items.csv", dtype={"item_code": str, "category_code": str})
    side = [put(tmp_path, wholesale, "wholesale"), put(tmp_path, items, "items")]
    history = put(tmp_path, sales)
    lasts = [dt.date(2023, 3, 25) - dt.timedelta(weeks=3 * k) for k in range(8)]
    as_it_was = [measured(tmp_path, *side, history, last=last).drifting for last in lasts]
    assert sum(as_it_was) <= 3
    for last in lasts[:3]:
        shocked = put(tmp_path, week_of(last, times("avg_price_rmb_kg", 1.3))(sales))
        assert measured(tmp_path, *side, shocked, last=last).drifting


@pytest.mark.skipif(not SHARED.exists(), reason="shared/data does not lie beside this checkout")
def test_of_the_real_weeks_hardly_one_is_held_back_and_a_decimal_slip_always(tmp_path: Path) -> None:
    contract, drift = SETTINGS.pipelines["produce"].contract, SETTINGS.pipelines["produce"].drift
    frame = pd.read_parquet(SHARED / "daily_sales.parquet").assign(date=lambda f: f["date"].dt.date)
    first = frame["date"].min()
    week = frame["date"].map(lambda d: (d - first).days // 7)
    files = [put(tmp_path, part) for _, part in frame.groupby(week)]
    recent, found, slips, jins = Recent(tmp_path / "state", contract), [], 0, 0
    for i in range(8, len(files)):
        rows = recent.rows([files[i]], "sales", None, None)
        found += damages(recent, files[:i], contract, drift, "sales", rows, files[i])
        slip = rows.set_column(3, "avg_price_rmb_kg", [rows.column("avg_price_rmb_kg").to_numpy() * 10])
        slips += [d.column for d in damages(recent, files[:i], contract, drift, "sales", slip, files[i])] != []
        jin = rows.set_column(3, "avg_price_rmb_kg", [rows.column("avg_price_rmb_kg").to_numpy() / 2])
        jins += [(d.column, d.kind) for d in damages(recent, files[:i], contract, drift, "sales", jin, files[i])] == [
            ("avg_price_rmb_kg", "times")
        ]
    assert len(found) <= 2
    assert slips == len(files) - 8
    assert jins >= 0.95 * (len(files) - 8)
