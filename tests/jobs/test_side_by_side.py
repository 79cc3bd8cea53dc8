"""Fits beside one another give what they give alone."""

from __future__ import annotations

import threading
import time

import pytest
import sklearn.ensemble  # noqa: F401 - brings the pools that are limited
from threadpoolctl import threadpool_info

from retraind.jobs.training.side_by_side import side_by_side

LARGE = 1 << 40


def test_answers_come_in_the_order_of_the_questions_and_small_fits_run_beside_one_another() -> None:
    both = threading.Barrier(2, timeout=60)

    def fit(one: int, threads: int) -> tuple[int, int]:
        both.wait()  # passes only where two run at once
        return one, threads

    assert side_by_side(fit, range(4), 2, 0) == [(n, 1) for n in range(4)]


def test_large_fits_follow_one_another_on_all_threads() -> None:
    running: list[int] = []

    def fit(one: int, threads: int) -> tuple[int, int]:
        assert not running
        running.append(one)
        running.remove(one)
        return one, threads

    assert side_by_side(fit, range(3), 2, LARGE) == [(n, 2) for n in range(3)]


def test_each_is_held_to_its_threads_and_the_limit_ends_with_the_fits() -> None:
    def limits(*_: object) -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info()]

    before = limits()
    assert before
    assert side_by_side(limits, range(2), 2, 0) == [[1] * len(before)] * 2
    assert limits() == before


def test_what_one_raises_is_raised_and_what_did_not_begin_is_not_begun() -> None:
    begun: list[int] = []

    def fit(one: int, threads: int) -> int:
        begun.append(one)
        if one:
            time.sleep(0.05)  # the caller has 50 seconds to hear of the first
        raise ValueError(f"{one} of {threads}")

    with pytest.raises(ValueError, match="0 of 1"):
        side_by_side(fit, range(1000), 1, 0)
    assert len(begun) < 1000
