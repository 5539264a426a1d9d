"""A pool of processes, and samples that end the process that reads them."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module, invalidate_caches
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qcore.statistics import Statistics

FATAL = """
import os, pathlib, signal

class Fatal:
    '''Samples, one of which kills the process that first reads it.'''

    def __init__(self, samples, number, marker):
        self.samples, self.number, self.marker = samples, number, marker

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, number):
        marker = pathlib.Path(self.marker)
        if number == self.number and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.samples[number]
"""


def pool_of_processes(workers: int = 2) -> ProcessPoolExecutor:
    # A fork would inherit locks of onnxruntime's threads.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


@pytest.fixture
def new_pool() -> Callable[[int], ProcessPoolExecutor]:
    return pool_of_processes


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with pool_of_processes() as pool:
        yield pool


@pytest.fixture
def fatal(tmp_path: Path, monkeypatch) -> Callable[[Any, int], Any]:
    """Return samples of a class that workers can import, one of which is fatal."""
    tmp_path.joinpath("fatal_samples.py").write_text(FATAL, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    invalidate_caches()
    module = import_module("fatal_samples")
    return lambda samples, number: module.Fatal(samples, number, tmp_path / "killed")


def assert_equal(
    found: Mapping[str, Statistics], expected: Mapping[str, Statistics]
) -> None:
    """Compare the bits of all statistics, and the order of their names."""
    assert list(found) == list(expected)
    for name, state in expected.items():
        for field in state.array_fields():
            ours, theirs = getattr(found[name], field), getattr(state, field)
            np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.fixture
def equal() -> Callable[..., None]:
    return assert_equal
