"""Ranges that processes share, over gloo."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from qcore.adapters.torch.observers import MinMaxObserver

SIZE = 3


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process got; starting them costs more than all cases."""
    script = Path(__file__).with_name("synchronised_ranges.py")
    store = tmp_path_factory.mktemp("gloo") / "store"
    processes = [
        subprocess.Popen(
            [sys.executable, "-P", script, str(rank), str(SIZE), store],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(SIZE)
    ]
    try:
        printed = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [json.loads(text) for text in printed]


def test_s4_the_range_is_the_widest_of_all_processes(
    results: list[dict[str, Any]],
) -> None:
    found = results[0]["channels"]  # of a process without data
    assert found["ends"] == [[-3, -3], [9, 2]]
    assert found["scale"] == pytest.approx([12 / 255, 5 / 255])
    assert all(other["channels"] == found for other in results)


def test_s4_2_a_range_before_the_first_interval_is_shared(
    results: list[dict[str, Any]],
) -> None:
    found = results[0]["early"]
    assert 2 < found["ends"][1][0] <= 3
    assert all(other["early"] == found for other in results)


def test_observers_that_do_not_synchronise_keep_their_own(
    results: list[dict[str, Any]],
) -> None:
    assert [other["alone"]["ends"][1] for other in results] == [[1], [2], [3]]


def test_an_error_is_raised_in_every_process(results: list[dict[str, Any]]) -> None:
    found = results[0]
    assert found["nan"].startswith("NonFiniteError: MinMaxObserver must observe finite")
    assert found["sizes"].endswith("must observe as many channels; got 2 and 4.")
    for name in ("nan", "sizes"):
        assert all(other[name] == found[name] for other in results)


def test_without_processes_the_range_is_its_own() -> None:
    observer = MinMaxObserver(is_sync_quantize=True)
    observer(torch.tensor([254.0]))
    assert observer.calculate_qparams()[0].item() == 2.0
