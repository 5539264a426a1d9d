from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from qcore import QuantError
from qcore.adapters.onnx.data.feeds import open_feeds
from qcore.adapters.onnx.data.inputs import Input
from qcore.adapters.onnx.data.picking import count

INPUTS = [
    Input("x", np.dtype("float32"), ("N", 2)),
    Input("mask", np.dtype("bool"), None),
]
X = np.arange(6, dtype=np.float32).reshape(3, 2)
MASK = np.array([True, False, True])
FEEDS = [{"x": X[i : i + 1], "mask": MASK[i : i + 1]} for i in range(3)]


def objects() -> bytes:
    """Return an .npz file of what numpy would have to unpickle."""
    np.savez(file := BytesIO(), x=np.array([None]))
    return file.getvalue()


def header(shape: str) -> bytes:
    """Return an .npy file without values, which may be cut off."""
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def zipped(array: bytes) -> bytes:
    with ZipFile(file := BytesIO(), "w") as archive:
        archive.writestr("x.npy", array)
    return file.getvalue()


class Reader:
    def __init__(self) -> None:
        self.feeds = iter(FEEDS)

    def get_next(self) -> dict | None:
        return next(self.feeds, None)


def stacked(path: Path) -> Path:
    np.savez(path, x=X, mask=MASK)
    return path


def squeezed(path: Path) -> Path:
    np.savez_compressed(path, x=X[:, None], mask=MASK)
    return path


def numbered(path: Path) -> Path:
    keys = {f"{k}:{i}": v for i, feed in enumerate(FEEDS) for k, v in feed.items()}
    np.savez(path, **dict(reversed(keys.items())))
    return path


def check(feeds, expected=FEEDS) -> None:
    for feed, wanted in zip(feeds, expected, strict=True):
        assert feed.keys() == wanted.keys()
        for name, array in wanted.items():
            np.testing.assert_array_equal(feed[name], array, strict=True)


@pytest.mark.parametrize("write", [stacked, squeezed, numbered])
def test_an_npz_file_gives_its_samples_as_often_as_asked(tmp_path, write):
    feeds = open_feeds(str(write(tmp_path / "data.npz")), INPUTS)
    assert count(feeds) == 3
    check(feeds)
    check(feeds)


@pytest.mark.parametrize(
    ("data", "number"),
    [(FEEDS, 3), (tuple(FEEDS), 3), (iter(FEEDS), None), (Reader(), None)],
)
def test_iterables_and_data_readers_give_their_samples(data, number):
    feeds = open_feeds(data, INPUTS)
    assert count(feeds) == number
    check(feeds)


def test_numbers_are_ordered_as_numbers(tmp_path):
    np.savez(tmp_path / "data.npz", **{f"x:{i}": np.float32(i) for i in (10, 9, 2)})
    feeds = open_feeds(tmp_path / "data.npz", [Input("x", np.dtype("float32"), ())])
    assert [float(feed["x"]) for feed in feeds] == [2, 9, 10]


def test_an_input_may_itself_be_named_with_a_number(tmp_path):
    np.savez(tmp_path / "data.npz", **{"image:0": X})
    feeds = open_feeds(tmp_path / "data.npz", [Input("image:0", X.dtype, (None, 2))])
    check(feeds, [{"image:0": X[i : i + 1]} for i in range(3)])


def test_samples_are_read_one_by_one(tmp_path):
    path, x = tmp_path / "data.npz", np.zeros((3, 100_000), np.float32)
    x[2] = 7
    np.savez(path, x=x)
    path.write_bytes(path.read_bytes().replace(x[2].tobytes(), x[0].tobytes()))
    feeds = iter(open_feeds(path, [Input("x", x.dtype, None)]))
    assert [next(feeds)["x"].sum() for _ in range(2)] == [0, 0]
    with pytest.raises(QuantError, match=r"data.npz' is damaged: Bad CRC-32"):
        next(feeds)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": X}, "the model has no input 'y', which is given in .*known are mask, x"),
        ({"x": X}, "input 'mask' of the model must be given; it is not in"),
        ({"x": X, "mask": MASK[:2]}, "must be equally long; got .*'x': 3, 'mask': 2"),
        ({"x": X, "mask": np.array(True)}, "'mask' must have an axis of samples"),
        ({"x": X, "mask": np.array([None])}, "'mask' must be numbers in C order"),
        ({"x": np.asfortranarray(X), "mask": MASK}, "numpy.ascontiguousarray"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_at_once(tmp_path, arrays, message):
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(QuantError, match=message):
        open_feeds(tmp_path / "data.npz", INPUTS)


def test_a_huge_claim_in_an_array_of_a_sample_allocates_nothing(tmp_path):
    with ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x:0.npy", header("(1099511627776,)}"))
    with pytest.raises(QuantError, match=r"data.npz' cannot be read"):
        list(open_feeds(tmp_path / "data.npz", INPUTS[:1]))


def test_objects_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "data.npz", **{"x:0": np.array([None])})
    with pytest.raises(QuantError, match="'x:0' must be a plain array: Object arrays"):
        list(open_feeds(tmp_path / "data.npz", INPUTS))


@pytest.mark.parametrize(
    ("content", "message"), [(None, "there is no file"), (b"text", "is none")]
)
def test_what_is_no_npz_file_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(QuantError, match=message):
        open_feeds(tmp_path / "data.npz", INPUTS)


@pytest.mark.parametrize("data", [FEEDS[0], 3, None, X])
def test_data_of_no_known_kind_is_refused(data):
    with pytest.raises(QuantError, match=r"`data` must be an .npz file, a folder, an"):
        open_feeds(data, INPUTS)


@pytest.mark.parametrize(("offset", "value"), [(6, 1), (8, 99)])
def test_an_encrypted_or_oddly_packed_file_is_told(tmp_path, offset, value):
    path = stacked(tmp_path / "data.npz")
    content = bytearray(path.read_bytes())
    start, end = content.find(b"PK\3\4"), content.find(b"PK\1\2")
    content[start + offset] = content[end + offset + 2] = value
    path.write_bytes(content)
    with pytest.raises(QuantError, match=r"data\.npz' cannot be read"):
        open_feeds(path, INPUTS)


def test_a_folder_gives_a_sample_for_each_file(tmp_path):
    for i, feed in enumerate(FEEDS):
        np.savez(tmp_path / f"{i}.npz", **feed)
    (tmp_path / ".hidden").write_text("")
    feeds = open_feeds(str(tmp_path), INPUTS)
    assert count(feeds) == 3
    check(feeds)
    check(feeds)


def test_files_of_one_array_are_those_of_the_only_input_and_lack_the_batch(tmp_path):
    for i, row in enumerate(X):
        np.save(tmp_path / f"{i}.npy", row)
    feeds = open_feeds(tmp_path, INPUTS[:1])
    check(feeds, [{"x": X[i : i + 1]} for i in range(3)])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (None, b"", "must hold samples; .* is empty"),
        ("a.txt", b"", r"must be .npy or .npz; got .*a.txt"),
        ("a.npy", b"", "a sample of 2 inputs must be an .npz file"),
        ("a.npz", b"PK", "a.npz' must hold arrays"),
        ("a.npz", objects(), "a.npz' must hold arrays: Object arrays"),
        ("a.npy", header("(4,"), "a.npy' cannot be read"),
        ("a.npy", header("(4,)}"), "a.npy' must hold arrays"),
        ("a.npy", header("(1099511627776,) * 2}"), "a.npy' must hold arrays"),
        ("a.npy", header("(1099511627776, 1099511627776)}"), "a.npy' cannot be read"),
        ("a.npz", zipped(header("(1099511627776,)}")), "a.npz' cannot be read"),
    ],
)
def test_a_folder_of_other_files_is_refused(tmp_path, name, content, message):
    if name:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(QuantError, match=message):
        list(
            open_feeds(tmp_path, INPUTS[:1] if name == "a.npy" and content else INPUTS)
        )


@pytest.mark.parametrize("shape", [(0, 2), (1, 2)])
def test_an_array_of_a_file_may_be_empty(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape, np.float32))
    check(open_feeds(tmp_path, INPUTS[:1]), [{"x": np.zeros(shape, np.float32)}])


@pytest.mark.parametrize("kind", [list, tuple])
def test_samples_may_come_in_the_order_of_the_inputs_with_labels_after(kind):
    data = [kind([*feed.values(), "label"]) for feed in FEEDS]
    check(open_feeds(data, INPUTS))


def test_a_sample_may_be_the_array_of_the_only_input():
    feeds = open_feeds([feed["x"] for feed in FEEDS], INPUTS[:1])
    assert count(feeds) == 3
    check(feeds, [{"x": feed["x"]} for feed in FEEDS])
