"""Arguments of a wrong kind are refused in a sentence, before anything is run."""

import numpy as np
import pytest

from qcore import QuantError
from qcore.adapters import onnx as adapter


class Unread:
    def __iter__(self):
        raise AssertionError("read")


@pytest.mark.parametrize("flag", ["per_channel", "fake", "keep_existing"])
@pytest.mark.parametrize("given", ["no", 1, None])
def test_flags_are_true_or_false(net, flag, given):
    with pytest.raises(TypeError, match=f"`{flag}` must be True or False; got"):
        adapter.quantize(net, Unread(), **{flag: given})


def test_flags_of_numpy_are_flags(net):
    own = {"per_channel": np.bool_(False), "keep_existing": np.bool_(True)}
    found = adapter.quantize(net, activation="float", **own)
    plain = adapter.quantize(net, activation="float", per_channel=False)
    assert found == plain


def test_other_flags_are_true_or_false_too(net, samples, tmp_path):
    with pytest.raises(TypeError, match="`deployed` must be True or False; got 'no'"):
        adapter.compare(net, net, samples, deployed="no")
    with pytest.raises(TypeError, match="`side_file` must be True or False; got 'no'"):
        adapter.save(net, tmp_path / "m.onnx", side_file="no")
    assert not [*tmp_path.iterdir()]


def test_blocks_are_whole_numbers(net):
    with pytest.raises(QuantError, match=r"`block` of onnxruntime .* got 16\.0"):
        adapter.quantize(net, activation="float", block=16.0)


@pytest.mark.parametrize("run", [adapter.plan, adapter.quantize])
def test_levels_of_recovery_are_known(net, run):
    with pytest.raises(QuantError, match="`recover` must be known; got 'ful'"):
        run(net, recover="ful")


@pytest.mark.parametrize("samples", [True, 2.5, -1, 0, "3"])
def test_samples_are_counted_in_whole_numbers(net, samples):
    with pytest.raises(QuantError, match="`samples` must be a whole number above 0"):
        adapter.calibrate(net, [], samples=samples)


def test_a_number_of_samples_may_be_numpy_s(net, samples):
    found, plain = (
        adapter.calibrate(net, samples, samples=number) for number in (np.int64(3), 3)
    )
    np.testing.assert_array_equal(found["x"].counts, plain["x"].counts)


@pytest.mark.parametrize("memory", ["1G", 1.5, True, None])
def test_memory_is_counted_in_bytes(net, memory):
    with pytest.raises(TypeError, match="`memory` must be a number of bytes; got"):
        adapter.quantize(net, Unread(), memory=memory)


def forgetful(*_):
    """A progress that counts samples, say, and returns nothing."""


@pytest.mark.parametrize("run", [adapter.calibrate, adapter.quantize])
def test_progress_gives_the_samples_back(net, samples, run):
    with pytest.raises(TypeError, match=r"`progress` must give .*; it gave NoneType"):
        run(net, samples, progress=forgetful)
    with pytest.raises(TypeError, match="`progress` must be a function; got 'bar'"):
        run(net, samples, progress="bar")


def test_progress_of_a_comparison_gives_them_too(net, samples):
    with pytest.raises(TypeError, match=r"`progress` must give .*; it gave NoneType"):
        adapter.compare(net, net, samples, progress=forgetful)
