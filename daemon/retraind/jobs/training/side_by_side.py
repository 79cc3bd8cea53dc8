"""Fits beside one another, each on one core.

Boosting on a shop's rows has too little to do between its threads' meetings: two threads take longer for one fit than one does.
So small fits run beside one another, on one thread each, and large ones one after another on all threads, since what each
learns from must fit into memory. How many run beside one another changes no digit of what they find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

from retraind.jobs.memory import give_back

__all__ = ["side_by_side"]

T = TypeVar("T")
R = TypeVar("R")

_LARGE = 128 * 1024**2
"""Bytes that one fit learns from. The real shop's three years are 30 MB."""


def side_by_side(fit: Callable[[T, int], R], of: Iterable[T], threads: int, size: int) -> list[R]:
    """What `fit` gives for each, in their order. fit: (one, threads that it may use); it must not set their number itself, since
    the libraries' limits are the whole process's. size: bytes of the largest matrix that one learns from.

    Raises what the first of them raises.
    """
    large = size > _LARGE
    each = threads if large else 1

    def fit_one(one: T) -> R:
        try:
            return fit(one, each)
        finally:
            if large:
                give_back()

    with (
        threadpool_limits(limits=each),
        # OpenMP's limit is each thread's own
        ThreadPoolExecutor(threads // each, initializer=threadpool_limits, initargs=(each,)) as pool,
    ):
        tasks = [pool.submit(fit_one, one) for one in of]
        try:
            return [task.result() for task in tasks]
        finally:
            pool.shutdown(cancel_futures=True)
