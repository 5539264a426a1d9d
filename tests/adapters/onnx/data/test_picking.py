from pathlib import Path

import numpy as np
import pytest

from qcore import QuantError
from qcore.adapters.onnx.data.feeds import open_feeds
from qcore.adapters.onnx.data.inputs import Input
from qcore.adapters.onnx.data.picking import pick_samples

INPUTS = [Input("x", np.dtype("float32"), ("N", 2))]
X = np.arange(20, dtype=np.float32).reshape(10, 2)
SPREAD = [0, 3, 6]
"""Every third, rounded down, of ten."""


def picked(data, limit):
    feeds, total = pick_samples(open_feeds(data, INPUTS), limit)
    return [(number, feed["x"].tolist()) for number, feed in feeds], total


def expected(numbers):
    return [(n, X[n : n + 1].tolist()) for n in numbers], len(numbers)


def stacked(folder: Path) -> Path:
    np.savez(folder / "data.npz", x=X)
    return folder / "data.npz"


def numbered(folder: Path) -> Path:
    np.savez(folder / "data.npz", **{f"x:{n}": X[n : n + 1] for n in range(10)})
    return folder / "data.npz"


def files(folder: Path) -> Path:
    for n in range(10):
        np.save(folder / f"{n}.npy", X[n])
    return folder


@pytest.mark.parametrize("write", [stacked, numbered, files])
def test_samples_of_a_file_or_folder_are_spread_evenly(tmp_path, write):
    assert picked(write(tmp_path), 3) == expected(SPREAD)


def test_samples_of_a_list_are_spread_evenly():
    assert picked([X[n : n + 1] for n in range(10)], 3) == expected(SPREAD)


class Dataset:
    """What PyTorch calls one: no iterable, but indexed."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __len__(self) -> int:
        return 10

    def __getitem__(self, number: int) -> np.ndarray:
        self.read.append(number)
        return X[number : number + 1]


def test_a_dataset_is_indexed_and_only_what_is_picked_is_read():
    data = Dataset()
    assert picked(data, 3) == expected(SPREAD)
    assert data.read == SPREAD
    assert picked(data, None) == expected(range(10))


def test_of_a_stream_the_first_are_taken_and_no_more_read():
    def stream():
        yield from (X[n : n + 1] for n in range(3))
        raise AssertionError("read too far")

    samples, total = picked(stream(), 3)
    assert samples == expected(range(3))[0]
    assert total is None


def test_of_a_stream_of_known_length_the_first_are_taken():
    class Loader:
        def __len__(self):
            return 10

        def __iter__(self):
            return (X[n : n + 1] for n in range(10))

    assert picked(Loader(), 3) == expected(range(3))


@pytest.mark.parametrize("limit", [None, 10, 11])
def test_all_are_used_where_there_are_no_more(tmp_path, limit):
    assert picked(stacked(tmp_path), limit) == expected(range(10))


@pytest.mark.parametrize("limit", [0, -1, 2.5, "all"])
def test_a_limit_that_is_no_positive_number_is_refused(limit):
    with pytest.raises(
        QuantError, match="`samples` must be a whole number above 0, or None"
    ):
        pick_samples([], limit)


def test_an_error_of_the_data_stays_and_is_told_where_it_was():
    def broken():
        yield X[:1]
        yield X[1:2]
        raise KeyError("the camera is off")

    samples, _ = pick_samples(open_feeds(broken(), INPUTS))
    with pytest.raises(KeyError, match="the camera is off") as caught:
        list(samples)
    assert caught.value.__notes__ == ["It was raised by `data`, after sample 1."]
