"""Two tables held against each other: from files and from memory, in any order of rows."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from scipy import stats

from retraind.drift import TableComparison, compare_tables, tables

quick = effort(max_examples=40, deadline=None)
numbers = st.lists(st.one_of(st.floats(-100, 100), st.integers(-2, 2).map(float), st.just(math.nan),
                             st.sampled_from([math.inf, -math.inf])), min_size=1, max_size=60)  # fmt: skip
texts = st.lists(st.one_of(st.sampled_from(["plum", "kiwi", "", "NA"]), st.none()), min_size=1, max_size=60)


def column(found: TableComparison, name: str) -> tables.ColumnChange:
    return next(c for c in found.columns if c.name == name)


def shop(rows: int, seed: int, **changed: Any) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "price": random.lognormal(1, 0.5, rows),
        "pieces": random.poisson(5, rows),
        "kind": random.choice(["leaf", "root", "fruit"], rows, p=[0.6, 0.3, 0.1]),
        "receipt": np.arange(rows) + rows * seed,
        "shop": np.full(rows, 7),
        "day": np.datetime64("2026-01-01") + random.integers(0, 30, rows),
        **changed,
    }


def written(folder: Path, name: str, table: dict[str, Any]) -> Path:
    path = folder / name
    arrow = pa.table({k: v if isinstance(v, pa.Array) else pa.array(v) for k, v in table.items()})
    if path.suffix == ".csv":
        pa.csv.write_csv(arrow, path)
    else:
        pq.write_table(arrow, path)
    return path


@quick
@given(numbers, texts)
def test_a_table_against_itself_has_no_changed_column(x: list[float], c: list[str | None]) -> None:
    found = compare_tables({"x": x, "c": np.array(c, object)}, {"x": x, "c": np.array(c, object)})
    assert [one for one in found.columns if one.changed or one.real or one.large or one.notes] == []
    assert all(one.distance == 0 and one.psi == 0 for one in found.columns if not math.isnan(one.p))
    assert len(found.columns) + len(found.left_out) == 2


@quick
@given(numbers, numbers, texts, texts, st.randoms())
def test_the_order_of_rows_does_not_matter(x: Any, y: Any, c: Any, d: Any, random: Any) -> None:
    def mixed(values: list[Any]) -> list[Any]:
        return random.sample(values, len(values))

    def compared(*columns: list[Any]) -> str:
        a, b, e, f = columns
        return repr(compare_tables({"x": a, "c": np.array(e, object)}, {"x": b, "c": np.array(f, object)}))

    assert compared(x, y, c, d) == compared(mixed(x), mixed(y), mixed(c), mixed(d))


def test_what_moved_is_found_and_what_did_not_is_not() -> None:
    before, now = shop(2000, 0), shop(1000, 1)
    now["price"] = now["price"] * 1.5
    found = compare_tables(before, now)
    assert [c.name for c in found.columns if c.changed] == ["price"]
    price = column(found, "price")
    assert price.distance == pytest.approx(stats.ks_2samp(before["price"], now["price"]).statistic, abs=1e-15)
    assert price.verdict == "changed"
    assert (found.reference_rows, found.current_rows) == (2000, 1000)
    assert found.left_out == {
        "receipt": "it identifies rows", "shop": "it is constant", "day": "it is a date or a time",
    }  # fmt: skip


def test_a_change_of_texts_is_found_and_the_new_ones_are_named() -> None:
    now = shop(1000, 1)
    now["kind"] = np.where(np.arange(1000) % 4 == 0, "nut", now["kind"])
    kind = column(compare_tables(shop(1000, 0), now), "kind")
    assert kind.changed
    assert kind.notes == ("25.0 % in texts that the reference does not hold: nut",)


def test_values_beyond_the_references_range_are_told_with_their_share() -> None:
    x = column(compare_tables({"x": [1.0, 2.0, 4.0]}, {"x": [0.5, 1.0, 4.0, 4.1, 9.0, math.nan]}), "x")
    assert x.notes[:2] == ("20.0 % below the reference's smallest, 1", "40.0 % above the reference's largest, 4")
    assert x.notes[2] == "missing 0.0 % before, 16.7 % now"


def test_a_column_that_lost_all_its_values_is_told_though_nothing_can_be_compared() -> None:
    gone = column(compare_tables({"x": [1.0, 2.0], "y": [1, 2]}, {"x": [math.nan] * 2, "y": [1, 2]}), "x")
    assert (gone.verdict, gone.changed, gone.notes) == ("not comparable", False, ("missing 0.0 % before, 100.0 % now",))


def test_columns_of_one_side_only_and_of_two_types_are_told() -> None:
    found = compare_tables({"a": [1, 2], "b": [1, 2], "c": [1, 2]}, {"b": [1, 2], "c": ["x", "y"], "d": [1, 2]})
    assert (found.only_reference, found.only_current) == (("a",), ("d",))
    assert found.left_out["c"].startswith("its types differ: int64 and ")


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_file_says_what_the_same_columns_say_in_memory(tmp_path: Path, ending: str) -> None:
    before, now = shop(400, 0), shop(300, 1)
    now["price"] = np.where(np.arange(300) % 9 == 0, np.nan, now["price"])
    in_memory = compare_tables(before, now)
    now_file = now | {"price": pa.array(now["price"], from_pandas=True)}  # an empty cell, a null
    files = written(tmp_path, f"a.{ending}", before), written(tmp_path, f"b.{ending}", now_file)
    assert compare_tables(*files) == in_memory


def test_reading_a_column_at_a_time_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = written(tmp_path, "a.csv", shop(300, 0)), written(tmp_path, "b.parquet", shop(300, 1))
    at_once = compare_tables(*files)
    monkeypatch.setattr(tables, "_AT_ONCE", 1)
    assert compare_tables(*files) == at_once


def test_every_type_of_a_parquet_file_is_compared_or_left_out_with_a_reason(tmp_path: Path) -> None:
    held = {
        "flag": pa.array([True, False, None] * 10), "decimal": pa.array([1, 2, 3] * 10).cast(pa.decimal128(22, 2)),
        "code": pa.array(["x", "y", None] * 10).dictionary_encode(), "none": pa.nulls(30),
        "list": pa.array([[1], [2], None] * 10), "time": pa.array([1, 2, 3] * 10, pa.time32("s")),
        "bytes": pa.array([b"1", b"2", b"3"] * 10), "whole": pa.array([1, 2, None] * 10),
    }  # fmt: skip
    file = written(tmp_path, "types.parquet", held)
    found = compare_tables(file, file)
    assert {c.name: c.kind for c in found.columns} == {
        "flag": "text", "decimal": "number", "code": "text", "whole": "number",
    }  # fmt: skip
    assert found.left_out == {
        "none": "it holds no value", "list": "list<element: int64> is not compared",
        "time": "it is a date or a time", "bytes": "binary is not compared",
    }  # fmt: skip
    assert column(found, "flag").missing_current == pytest.approx(1 / 3)


def test_the_adjusted_p_is_of_all_columns_together() -> None:
    random = np.random.default_rng(3)
    before, now = ({f"x{i}": random.normal(size=200) for i in range(30)} for _ in range(2))
    found = compare_tables(before, now)
    raw = [min(1, 2 * min(c.p_distance, c.p_psi)) for c in found.columns]
    assert [c.p for c in found.columns] == pytest.approx(stats.false_discovery_control(raw))
    strict = compare_tables(before, now, fdr=1, ks=0, psi=0)
    assert all(c.changed for c in strict.columns)
    assert {replace(c, real=False, large=False) for c in strict.columns} == {
        replace(c, real=False, large=False) for c in found.columns
    }


def refused(folder: Path, name: str, text: bytes) -> str:
    file, good = folder / name, written(folder, "good.parquet", {"x": [1, 2]})
    file.write_bytes(text)
    with pytest.raises(ValueError) as caught:
        compare_tables(good, file)
    return str(caught.value)


def test_a_file_that_is_no_table_is_refused_by_its_name(tmp_path: Path) -> None:
    assert refused(tmp_path, "x.txt", b"x\n1\n").endswith("x.txt: not a .parquet or .csv file")
    assert "x.parquet: cannot be read as parquet: " in refused(tmp_path, "x.parquet", b"nothing of the kind")
    assert "x.csv: cannot be read as csv: " in refused(tmp_path, "x.csv", b"")
    assert "ragged.csv: cannot be read as csv: " in refused(tmp_path, "ragged.csv", b"x,y\n1,2\n3\n")
    assert refused(tmp_path, "twice.csv", b"x,x\n1,2\n").endswith('has two columns named "x"')
    assert refused(tmp_path, "y.csv", b"y\n1\n") == "the two tables have no column in common"
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        compare_tables(tmp_path / "none.csv", tmp_path / "none.csv")


def alone(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "retraind.drift", *words], capture_output=True, text=True, check=False)


def test_it_runs_alone_and_loads_nothing_of_ours_and_pyarrow_only_for_files(tmp_path: Path) -> None:
    files = [str(written(tmp_path, name, shop(200, i))) for i, name in enumerate(("a.csv", "b.parquet"))]
    data = json.loads(alone(*files, "--json").stdout)
    assert {c["name"]: c["verdict"] for c in data["columns"]}.keys() == {"price", "pieces", "kind"}
    assert "receipt  left out: it identifies rows" in alone(*files).stdout
    ran = alone(files[0], str(tmp_path / "none.csv"))
    assert (ran.returncode, ran.stdout, "none.csv" in ran.stderr) == (1, "", True)
    code = (
        "import sys; from retraind.drift import compare_tables; compare_tables({'x': [1, 2]}, {'x': [1, 3]});"
        "print(*sorted(m for m in sys.modules if m.startswith(('retraind', 'pyarrow', 'pandas'))))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {m for m in loaded if not m.startswith("retraind.drift")} == {"retraind"}


@pytest.mark.parametrize("rows", [4_000, 120_000])
def test_a_tail_that_grew_is_told_though_no_distance_shows_it(rows: int) -> None:
    random = np.random.default_rng(0)
    before, now = random.normal(0, 1, 5_000), random.normal(0, 1, rows)
    assert not any("quantile" in note for note in compare_tables({"x": before}, {"x": now}).columns[0].notes)
    now[: rows // 20] *= 3
    (column,) = compare_tables({"x": before}, {"x": now}).columns
    assert not column.changed
    assert sum("quantile" in note for note in column.notes) == 2
    assert any(note.endswith("where 1.0 % are usual") for note in column.notes)


def test_a_jump_in_missing_values_is_a_verdict_of_its_own_and_told_before_what_did_not_change() -> None:
    random = np.random.default_rng(0)
    before, now = random.normal(0, 1, (2, 2_000))
    still = {"x": now, "gone": np.where(random.random(2_000) < 0.4, np.nan, now)}
    gone, same = compare_tables({"x": before, "gone": before}, still).columns
    assert (gone.name, gone.verdict, gone.changed) == ("gone", "missing values moved", False)
    assert (same.name, same.verdict) == ("x", "no more than chance")


def test_what_lies_beyond_the_range_is_told_once() -> None:
    before = np.random.default_rng(0).lognormal(0, 0.2, 2_000)
    (column,) = compare_tables({"price": before}, {"price": before * 10}).columns
    assert [note.split(" the reference's ")[1].split(",")[0] for note in column.notes] == ["largest"]
