"""The laws against scipy's, over all of their range."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from scipy import special

from retraind.drift.laws import chi_squared_tail, kolmogorov_tail

quick = effort(max_examples=300, deadline=None)


@quick
@given(st.floats(0, 15))
def test_kolmogorovs_tail_is_scipys(x: float) -> None:
    assert kolmogorov_tail(x) == pytest.approx(float(special.kolmogorov(x)), rel=1e-12, abs=1e-300)


@quick
@given(st.one_of(st.floats(0, 100), st.floats(0, 1e5)), st.one_of(st.integers(1, 30), st.integers(1, 5000)))
def test_the_tail_of_chi_squared_is_scipys(x: float, degrees: int) -> None:
    assert chi_squared_tail(x, degrees) == pytest.approx(float(special.chdtrc(degrees, x)), rel=1e-9, abs=1e-290)


def test_the_ends_are_certain_and_impossible() -> None:
    assert kolmogorov_tail(0) == chi_squared_tail(0, 3) == chi_squared_tail(0, 4) == 1
    assert kolmogorov_tail(float("inf")) == chi_squared_tail(float("inf"), 3) == 0


def test_whoever_measures_drift_does_not_wait_for_scipy_or_pandas() -> None:
    code = "import sys, retraind.drift.tables, retraind.drift.stream, retraind.drift.damage; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"scipy", "pandas"} & set(loaded)
