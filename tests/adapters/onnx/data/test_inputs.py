import numpy as np
import pytest

from qcore import QuantError
from qcore.adapters.onnx.data.inputs import Input, conform

IMAGE = Input("image", np.dtype("float32"), ("N", 3, None))
IDS = Input("ids", np.dtype("int64"), None)
PLACE = "in sample 7"


@pytest.mark.parametrize(
    ("wanted", "data"),
    [
        (IMAGE, np.zeros((2, 3, 9), np.float32)),
        (IMAGE, np.zeros((1, 3, 1), np.float64)),
        (IMAGE, np.zeros((1, 3, 1), np.float16)),
        (IDS, np.zeros((4, 4, 4), np.int32)),
        (IDS, np.zeros((), np.uint8)),
        (IDS, [1, 2, 3]),
    ],
)
def test_data_that_fits_becomes_an_array_of_the_inputs_type(wanted, data):
    array = wanted.conform(data, PLACE)
    assert array.dtype == wanted.dtype
    np.testing.assert_array_equal(array, data)


def test_an_array_of_the_right_type_is_not_copied():
    data = np.zeros((1, 3, 1), np.float32)
    assert IMAGE.conform(data, PLACE) is data


@pytest.mark.parametrize(
    ("wanted", "data", "message"),
    [
        (IMAGE, np.zeros((3, 9), np.float32), r"got float32 \[3, 9\] in sample 7"),
        (IMAGE, np.zeros((1, 4, 9), np.float32), r"float32 \[N, 3, \?\]; got"),
        (IMAGE, np.zeros((1, 3, 9), np.uint8), "got uint8"),
        (IDS, np.zeros(3, np.float32), "int64 of any shape; got float32"),
        (IDS, np.zeros(3, np.uint64), "got uint64"),
        (IMAGE, "name", "got <U4"),
    ],
)
def test_data_that_does_not_fit_is_refused(wanted, data, message):
    with pytest.raises(QuantError, match=message):
        wanted.conform(data, PLACE)


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ({"imaje": 0}, "no input 'imaje', .* in sample 7; did you mean 'image'"),
        ({"image": np.zeros((1, 3, 1))}, "'ids' of the model must be given"),
        (np.zeros(3), "must be a dict of arrays by input; got ndarray in sample 7"),
    ],
)
def test_a_sample_must_be_a_dict_of_the_inputs(feed, message):
    with pytest.raises(QuantError, match=message):
        conform(feed, [IMAGE, IDS], PLACE)
