"""A distribution that is counted chunk by chunk: D within its bounds, everything else exact."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from retraind.drift import compare_tables, tables
from retraind.drift.reference import compare, prepare_numeric
from retraind.drift.stream import Tally, bounds, compare_summaries, points_of, sampled, summarize

number = st.one_of(st.integers(-5, 5).map(float), st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf]))
samples = st.lists(number, max_size=120)


@effort(max_examples=60, deadline=None)
@given(reference=samples, current=samples, cut=st.integers(0, 120), most=st.integers(2, 20))
def test_the_true_d_lies_within_the_bounds_and_psi_is_exact(
    reference: list[float], current: list[float], cut: int, most: int
) -> None:
    whole = prepare_numeric(reference)
    theirs = summarize(whole, most)
    ours = Tally(theirs.points, theirs.edges).add(current[:cut]).add(current[cut:]).summary()
    true, found = compare(whole, current), compare_summaries(theirs, ours)
    if math.isnan(true.distance):
        assert math.isnan(found.distance)
        return
    least, largest = bounds(theirs, ours)
    assert least - 1e-12 <= true.distance <= largest + 1e-12
    assert abs(found.distance - true.distance) <= found.error + 1e-12
    assert found.psi == pytest.approx(true.psi)
    assert (found.rows, found.missing) == (true.rows, pytest.approx(true.missing, nan_ok=True))
    assert found.p_distance >= true.p_distance - 1e-12


@effort(max_examples=30, deadline=None)
@given(reference=samples, current=samples)
def test_with_a_point_for_each_value_of_the_reference_d_is_exact(reference: list[float], current: list[float]) -> None:
    whole = prepare_numeric(reference)
    theirs = summarize(whole)
    ours = Tally(theirs.points, theirs.edges).add(current).summary()
    found, true = compare_summaries(theirs, ours), compare(whole, current)
    assert found.error == 0 or math.isnan(found.distance)
    assert found.distance == pytest.approx(true.distance, nan_ok=True, abs=1e-12)


def test_the_stated_error_is_about_one_over_the_points() -> None:
    random = np.random.default_rng(0)
    whole = prepare_numeric(random.lognormal(0, 2, 50_000))
    theirs = summarize(whole, 500)
    assert len(theirs.points) == 500
    assert theirs.error < 1.1 / 500
    ours = Tally(theirs.points, theirs.edges).add(random.lognormal(0.2, 2, 20_000)).summary()
    assert compare_summaries(theirs, ours).error < 2.2 / 500


def test_points_of_a_stream_hold_its_ends_and_cut_it_evenly() -> None:
    random = np.random.default_rng(1)
    chunks = [random.normal(0, 1, 3000) for _ in range(4)]
    chunks[2][7], chunks[1][0] = math.nan, 99.0
    points, edges = sampled(chunks, 12_000, most=64)
    assert (points[-1], points[0]) == (99.0, np.nanmin(np.concatenate(chunks)))
    assert len(edges) == 9
    summary = Tally(points, edges).add(np.concatenate(chunks)).summary()
    assert (summary.missing, summary.error < 0.03) == (1, True)


def test_summaries_at_other_points_are_refused() -> None:
    a, b = summarize(prepare_numeric([1.0, 2.0])), summarize(prepare_numeric([1.0, 3.0]))
    with pytest.raises(ValueError, match="at the same points only"):
        bounds(a, b)


def test_the_points_of_few_values_are_all_of_them() -> None:
    assert points_of(prepare_numeric([3.0, 1.0, 1.0, math.inf])).tolist() == [1.0, 3.0, math.inf]


@pytest.mark.parametrize("both", [False, True])
def test_a_folder_of_parquet_files_is_one_table_and_streams_when_it_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, both: bool
) -> None:
    random = np.random.default_rng(2)
    (tmp_path / "now").mkdir()
    columns = {"x": random.normal(0.3, 1, 6000), "n": random.poisson(4, 6000), "c": random.choice(["a", "b"], 6000)}
    columns["x"][:60] = math.nan
    for i in range(3):
        part = {k: v[2000 * i : 2000 * i + 2000] for k, v in columns.items()}
        pq.write_table(pa.table(part), tmp_path / "now" / f"{i}.parquet", row_group_size=700)
    before = {"x": random.normal(0, 1, 3000), "n": random.poisson(4, 3000), "c": random.choice(["a", "b"], 3000)}
    pq.write_table(pa.table(before), tmp_path / "before.parquet", row_group_size=1000)
    whole = compare_tables(before, columns)
    joined = compare_tables(tmp_path / "before.parquet", tmp_path / "now")
    assert joined == whole
    monkeypatch.setattr(tables, "EXACT_ROWS", 1000 if both else 4000)
    streamed = compare_tables(tmp_path / "before.parquet", tmp_path / "now")
    assert (streamed.reference_rows, streamed.current_rows) == (3000, 6000)
    for found, true in zip(streamed.columns, whole.columns, strict=True):
        assert (found.name, found.verdict) == (true.name, true.verdict)
        assert abs(found.distance - true.distance) <= found.distance_error + 1e-12
        assert (found.missing_current, found.missing_reference) == (true.missing_current, true.missing_reference)
        assert found.psi == pytest.approx(true.psi, abs=0.01 if both else 1e-12)


def test_an_empty_folder_and_files_of_other_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(ValueError, match=r"holds no \.parquet file"):
        compare_tables(tmp_path / "x", {"a": [1.0]})
    pq.write_table(pa.table({"a": [1.0]}), tmp_path / "x" / "1.parquet")
    pq.write_table(pa.table({"b": [1.0]}), tmp_path / "x" / "2.parquet")
    with pytest.raises(ValueError, match=r"2\.parquet has other columns than 1\.parquet"):
        compare_tables(tmp_path / "x", {"a": [1.0]})
