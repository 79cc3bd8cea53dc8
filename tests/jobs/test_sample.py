"""The sample site: the same for a seed, fit for the contract, and as learnable and as drifting as it says."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from retraind import settings
from retraind.core.events import StoreFile
from retraind.core.steps import Examine, Measure, WaitingDrop
from retraind.jobs.child import JobContext
from retraind.jobs.data import contract as contracts
from retraind.jobs.data import sample
from retraind.jobs.data.sample import SampleReport, write_sample
from retraind.jobs.examine import examine
from retraind.jobs.measure import measure
from retraind.settings import OnBadRow

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data"
CONTRACT = settings.load(ROOT / "config.yaml")[0].pipelines["produce"].contract
TODAY = dt.date(2026, 11, 24)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SampleReport]:
    site = tmp_path_factory.mktemp("site")
    return site, write_sample(site, today=TODAY)


def read(file: Path) -> pa.Table:
    table = contracts.table_of(CONTRACT, file.name)
    checked = contracts.read(file, CONTRACT, table, today=TODAY, on_bad_row=OnBadRow(None))
    assert checked.problems == ()
    assert checked.notes == ()
    assert checked.rows is not None
    return checked.rows


def test_every_file_fits_the_default_contract(written: tuple[Path, SampleReport]) -> None:
    site, report = written
    assert len(report.history) == 4
    assert len(report.weekly) == 12
    for name in (*report.history, *report.weekly):
        assert read(site / name).num_rows > 0


def test_the_same_seed_and_day_give_the_same_files_and_another_seed_others(
    written: tuple[Path, SampleReport], tmp_path: Path
) -> None:
    site, report = written
    assert write_sample(tmp_path / "again", today=TODAY) == report
    write_sample(tmp_path / "other", today=TODAY, seed=21)
    for name in (*report.history, *report.weekly):
        assert (tmp_path / "again" / name).read_bytes() == (site / name).read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != (site / name).read_bytes()


def test_the_history_is_three_years_and_the_weeks_follow_without_a_gap(written: tuple[Path, SampleReport]) -> None:
    site, report = written
    history = read(site / "drops/daily_sales_history.parquet").column("date")
    assert pc.count_distinct(history).as_py() == 3 * 365 + 1
    assert pc.max(history).as_py() == report.history_end
    ends = [pc.min_max(read(site / name).column("date")).as_py() for name in report.weekly if "sales" in name]
    assert [week["min"] for week in ends] == [
        report.history_end + dt.timedelta(days=1 + 7 * number) for number in range(6)
    ]
    assert ends[-1]["max"] == report.last_date < TODAY


def test_every_sale_has_its_wholesale_price_and_its_item(written: tuple[Path, SampleReport]) -> None:
    site, report = written
    items = set(read(site / "drops/items.csv").column("item_code").to_pylist())
    assert len(items) == report.items == 60
    for sales, wholesale in zip(report.weekly[::2], report.weekly[1::2], strict=True):
        sold, priced = (
            set(zip(t.column("date").to_pylist(), t.column("item_code").to_pylist(), strict=True))
            for t in (read(site / sales), read(site / wholesale))
        )
        assert sold <= priced
        assert {item for _, item in sold} <= items


def test_the_shop_has_the_habits_of_a_real_one(written: tuple[Path, SampleReport]) -> None:
    site, _ = written
    rows = read(site / "drops/daily_sales_history.parquet")
    days, per_item = pc.count_distinct(rows["date"]).as_py(), rows.group_by("item_code").aggregate([("date", "count")])
    assert 38 <= rows.num_rows / days <= 48
    assert pc.min(per_item["date_count"]).as_py() < days / 3
    assert 4 <= pc.approximate_median(rows["quantity_kg"]).as_py() <= 7
    assert 6 <= pc.approximate_median(rows["avg_price_rmb_kg"]).as_py() <= 9
    moves = _next_day_moves(rows)
    assert 0.62 <= (moves < 0.005).mean() <= 0.78


def _next_day_moves(rows: pa.Table) -> np.ndarray:
    rows = rows.sort_by([("item_code", "ascending"), ("date", "ascending")])
    item = rows["item_code"].to_numpy()
    day = rows["date"].to_numpy().astype("datetime64[D]").astype(int)
    price = np.log(rows["avg_price_rmb_kg"].to_numpy())
    follows = (item[1:] == item[:-1]) & (np.diff(day) == 1)
    return np.abs(np.diff(price))[follows]


@pytest.mark.skipif(not REAL.exists(), reason="the real data are not beside this checkout")
def test_no_row_of_the_real_data_is_in_the_sample(written: tuple[Path, SampleReport]) -> None:
    real = set(read(REAL / "items.csv").column("item_code").to_pylist())
    assert real.isdisjoint(read(written[0] / "drops/items.csv").column("item_code").to_pylist())


def test_in_the_last_two_weeks_the_shocked_goods_cost_a_third_more(written: tuple[Path, SampleReport]) -> None:
    site, report = written
    hit = {c.name for c in sample.CATEGORIES if c.hit}
    items = read(site / "drops/items.csv")
    category = dict(zip(items["item_code"].to_pylist(), items["category_name"].to_pylist(), strict=True))

    def mean_log_price(name: str, shocked: bool) -> float:
        rows = read(site / name)
        chosen = pa.array([(category[code] in hit) == shocked for code in rows["item_code"].to_pylist()])
        return float(np.log(rows.filter(chosen)["wholesale_price_rmb_kg"].to_numpy()).mean())

    weeks = report.weekly[1::2]
    before, after = weeks[3], weeks[4:]
    for week in after:
        assert mean_log_price(week, shocked=True) - mean_log_price(before, shocked=True) > 0.2
        assert abs(mean_log_price(week, shocked=False) - mean_log_price(before, shocked=False)) < 0.12
    assert report.drifted_from == report.last_date - dt.timedelta(days=13)


def test_scale_multiplies_the_items(tmp_path: Path) -> None:
    assert write_sample(tmp_path, today=TODAY, scale=2).items == 120


def test_the_command_line_prints_its_report_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample.main([str(tmp_path), "--today", "2026-11-24", "--seed", "3"]) == 0
    out, told = capsys.readouterr()
    assert json.loads(out)["history_end"] == "2026-10-11"
    assert "writing three years of history" in told


def test_the_ordinary_weeks_do_not_drift_and_the_last_two_do(written: tuple[Path, SampleReport]) -> None:
    site, report = written
    job = JobContext(settings.load(ROOT / "config.yaml")[0], "produce", site, site, 1, lambda *_: None)
    store: list[StoreFile] = []

    def feed(*names: str) -> None:
        drops = tuple(
            WaitingDrop(name, name, Path(name).name, hashlib.sha256((site / name).read_bytes()).hexdigest())
            for name in names
        )
        store.extend(accepted.file for accepted in examine(Examine(drops, tuple(store), TODAY), job).accepted)

    feed(*report.history)
    verdicts = []
    for sales, wholesale in zip(report.weekly[::2], report.weekly[1::2], strict=True):
        feed(sales, wholesale)
        last = store[-1].last_date
        assert last is not None
        step = Measure(sales, last - dt.timedelta(days=6), last, tuple(store))
        verdicts.append(measure(step, job).drift.drifting)
    assert verdicts == [False, False, False, False, True, True]
