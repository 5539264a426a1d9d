"""Sharing work among threads of Python, which compiled code lets run at once.

numba's own threads abort the process where two threads of the caller meet in them, and
hang after a fork; these are made for a call and end with it.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from itertools import pairwise
from typing import Any

from numba import config

LEAST = 1 << 18
"""Elements worth a thread, which takes a tenth of a millisecond to start."""


def most_threads() -> int:
    """Return how many threads may run: the cores, or NUMBA_NUM_THREADS.

    `numba.get_num_threads` would start those of numba.
    """
    return int(config.NUMBA_NUM_THREADS)


def thread_count(elements: int) -> int:
    """Return how many threads so many elements are worth, if counting them is."""
    if elements < 2 * LEAST:
        return 1
    return max(1, min(most_threads(), elements // LEAST))


def split(length: int, parts: int) -> list[tuple[int, int]]:
    """Return the ends of nearly equal parts of a range."""
    edges = [length * i // parts for i in range(parts + 1)]
    return [(a, b) for a, b in pairwise(edges) if b > a]


def run(function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Return what a function gives for each tuple of arguments, in order.

    How errors of floating-point numbers are treated is known by the context.
    """
    threads = min(len(jobs), most_threads())
    if threads <= 1:
        return [function(*job) for job in jobs]
    with ThreadPoolExecutor(threads) as pool:
        try:
            parts = [pool.submit(copy_context().run, function, *job) for job in jobs]
        except RuntimeError:  # the interpreter shuts down: no thread may start
            return [function(*job) for job in jobs]
        return [part.result() for part in parts]
