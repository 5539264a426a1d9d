"""Tensors of samples are held in memory or, where that is short, on disk."""

import numpy as np
import pytest

from qcore import QuantError
from qcore.adapters.onnx.recovery.held import Held, holding


@pytest.mark.parametrize("memory", [0, 50, 10**6])
def test_arrays_come_back_as_they_were(tmp_path, rng, memory):
    held = Held(tmp_path, memory)
    samples = [{"a": rng.normal(size=n), "b": rng.integers(9, size=3)} for n in (4, 5)]
    for sample in samples:
        held.add_sample(sample)
    held.put(1, "c", np.float32(2))
    assert len(held) == 2
    for number, sample in enumerate(samples):
        for name, array in sample.items():
            np.testing.assert_array_equal(held.get(number, name), array)
    assert held.get(1, "c") == 2
    assert bool(list(tmp_path.iterdir())) == (memory < 10**6)


def test_what_nobody_needs_any_more_is_let_go(tmp_path):
    held = Held(tmp_path, 100)
    for _ in range(3):
        held.add_sample({"a": np.zeros(10), "b": np.zeros(10)})
    held.keep({"b"})
    assert [list(sample) for sample in held] == [["b"]] * 3
    assert len(list(tmp_path.iterdir())) == 3
    held.keep(set())
    assert held.memory == 100
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_with_the_file(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match=r"0\.npy"):
            Held(tmp_path, 0).add_sample({"a": np.zeros(5000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_array_takes_the_place_of_an_older_one(tmp_path):
    held = Held(tmp_path, 100)
    held.add_sample({"a": np.zeros(10)})
    held.put(0, "a", np.ones(10))
    assert held.get(0, "a").all()
    assert held.memory == 20


@pytest.mark.parametrize("memory", ["1G", None, 1.5, True])
def test_memory_must_be_a_number_of_bytes(memory):
    said = "`memory` must be a number of bytes; got"
    with pytest.raises(TypeError, match=said), holding(memory):
        pass


def test_memory_must_not_be_negative():
    said = "`memory` must be at least 0 bytes; got -1"
    with pytest.raises(QuantError, match=said), holding(-1):
        pass


def test_nothing_is_left_on_disk_afterwards():
    with holding(0) as held:
        held.add_sample({"a": np.zeros(10)})
        folder = held.folder
        assert list(folder.iterdir())
    assert not folder.exists()
