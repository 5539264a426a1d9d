"""Sharing work among threads of Python, which compiled code lets run at once.

numba's own threads abort the process where two threads of the caller meet in them, and
hang after a fork; these are made for a call and end with it.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numba

LEAST = 1 << 18
"""Elements worth a thread, which takes a tenth of a millisecond to start."""


def thread_count(elements: int) -> int:
    """Return how many threads so many elements are worth."""
    return max(1, min(int(numba.get_num_threads()), elements // LEAST))


def split(length: int, parts: int) -> list[tuple[int, int]]:
    """Return the ends of nearly equal parts of a range."""
    edges = [length * i // parts for i in range(parts + 1)]
    return [(a, b) for a, b in pairwise(edges) if b > a]


def run(function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Return what a function gives for each tuple of arguments, in order."""
    if len(jobs) <= 1:
        return [function(*job) for job in jobs]
    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(lambda job: function(*job), jobs))
