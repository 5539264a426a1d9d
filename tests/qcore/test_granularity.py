import numpy as np
import pytest

from qcore import PerBlock, PerChannel, PerTensor, QParams, QuantSpec, dequantize
from qcore.granularity import normalize_axes


@pytest.mark.parametrize(
    ("granularity", "shape", "expected"),
    [
        (PerTensor(), (2, 3), (1, 1)),
        (PerTensor(), (), ()),
        (PerChannel(1), (2, 3, 4), (1, 3, 1)),
        (PerChannel(-1), (2, 3, 4), (1, 1, 4)),
        (PerChannel((2, 0)), (2, 3, 4), (2, 1, 4)),
        (PerChannel((0, -1)), (2, 3, 4), (2, 1, 4)),
        (PerChannel(()), (2, 3), (1, 1)),
        (PerBlock(1, 4), (2, 8), (2, 2)),
        (PerBlock(1, 4), (2, 9), (2, 3)),
        (PerBlock(-2, 5), (3, 4, 2), (3, 1, 2)),
        (PerBlock(0, 3), (0, 2), (0, 2)),
    ],
)
def test_scales_keep_the_rank_and_the_kept_extents(granularity, shape, expected):
    assert granularity.scale_shape(shape) == expected


def test_a_tensor_is_one_row(xp, array, to_numpy):
    values = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    rows, keep = PerTensor().to_rows(array(values), xp=xp)
    assert keep is None
    np.testing.assert_array_equal(to_numpy(rows), values.reshape(1, 24))


@pytest.mark.parametrize("axis", [1, -2, (1,)])
def test_a_channel_is_a_row(xp, array, to_numpy, axis):
    values = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    rows, keep = PerChannel(axis).to_rows(array(values), xp=xp)
    expected = [values[:, channel].reshape(-1) for channel in range(3)]
    assert keep is None
    np.testing.assert_array_equal(to_numpy(rows), expected)


def test_each_pair_of_kept_indices_is_a_row(xp, array, to_numpy):
    values = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    rows, _ = PerChannel((2, 0)).to_rows(array(values), xp=xp)
    expected = [values[i, :, j] for i in range(2) for j in range(4)]
    np.testing.assert_array_equal(to_numpy(rows), expected)


@pytest.mark.parametrize("size", [1, 3, 4, 9])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_a_block_is_a_row_and_padding_is_marked(xp, array, to_numpy, axis, size):
    values = np.arange(1.0, 25, dtype=np.float32).reshape(2, 4, 3)
    rows, keep = PerBlock(axis, size).to_rows(array(values), xp=xp)
    cut = axis % 3
    whole = np.moveaxis(values, cut, 0)
    blocks = [whole[i : i + size] for i in range(0, len(whole), size)]
    expected = sorted(
        tuple(block[:, i, j])
        for block in blocks
        for i in range(block.shape[1])
        for j in range(block.shape[2])
    )
    rows = to_numpy(rows)
    keep = np.ones(rows.shape, bool) if keep is None else to_numpy(keep)
    found = sorted(tuple(row[kept]) for row, kept in zip(rows, keep, strict=True))
    assert found == expected


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("axis", [0, -1])
def test_every_element_is_given_the_scale_of_its_block(xp, array, to_numpy, axis, size):
    shape = (4, 7)
    granularity = PerBlock(axis, size)
    scale = np.arange(1.0, 1 + np.prod(granularity.scale_shape(shape)))
    scale = scale.reshape(granularity.scale_shape(shape)).astype(np.float32)
    found = granularity.expand(array(scale), shape, xp=xp)
    expected = np.repeat(scale, size, axis=axis)[: shape[0], : shape[1]]
    found = np.broadcast_to(to_numpy(found), shape)
    np.testing.assert_array_equal(found, expected)


def test_blocks_of_an_empty_axis_have_no_scales(xp, array):
    granularity = PerBlock(0, 3)
    rows, _ = granularity.to_rows(array(np.zeros((0, 2), np.float32)), xp=xp)
    scale = array(np.zeros((0, 2), np.float32))
    assert rows.shape == (0, 3)
    assert granularity.expand(scale, (0, 2), xp=xp).shape == (0, 2)


@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(0), PerBlock(0, 2)])
def test_a_single_scale_serves_data_of_any_rank(array, to_numpy, granularity):
    spec = QuantSpec(granularity=granularity)
    codes = array(np.arange(-4, 4).reshape(2, 2, 2), "int8")
    qparams = QParams(array(np.float32(0.5)), array(np.int32(0)), spec)
    expected = np.arange(-4, 4).reshape(2, 2, 2) / 2
    np.testing.assert_array_equal(to_numpy(dequantize(codes, qparams)), expected)


@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(1), PerBlock(1, 2)])
@pytest.mark.parametrize("shape", [(2,), (3, 1), (1, 4), (1, 1, 3)])
def test_scales_of_another_shape_are_refused(xp, array, granularity, shape):
    scale = array(np.ones(shape, np.float32))
    with pytest.raises(ValueError, match=r"must have shape .*; got \("):
        granularity.expand(scale, (2, 3), xp=xp)


@pytest.mark.parametrize(
    ("axis", "ndim", "expected"),
    [
        (0, 1, (0,)),
        (-1, 3, (2,)),
        ((2, 0), 3, (0, 2)),
        ((-1, 0), 2, (0, 1)),
        ((), 2, ()),
    ],
)
def test_axes_are_counted_from_zero_and_sorted(axis, ndim, expected):
    assert normalize_axes(axis, ndim) == expected


@pytest.mark.parametrize("axis", [2, -3, (0, 5)])
def test_an_axis_that_does_not_exist_is_refused(axis):
    with pytest.raises(ValueError, match=r"must lie in \[-2, 2\) for 2-d data"):
        PerChannel(axis).scale_shape((3, 4))


@pytest.mark.parametrize("axis", [(0, 0), (1, -1)])
def test_an_axis_named_twice_is_refused(axis):
    with pytest.raises(ValueError, match="axes must differ"):
        PerChannel(axis).scale_shape((3, 4))


@pytest.mark.parametrize("size", [0, -4, 2.0, "8"])
def test_a_block_has_at_least_one_element(size):
    with pytest.raises(ValueError, match="block size must be a positive integer"):
        PerBlock(0, size)


def test_a_tensor_without_axes_has_no_channels():
    with pytest.raises(ValueError, match="for 0-d data"):
        PerChannel(0).scale_shape(())
