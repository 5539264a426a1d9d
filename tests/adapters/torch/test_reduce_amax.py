from types import ModuleType

import numpy as np
import pytest
import torch

from qcore.adapters.torch import utils
from qcore.adapters.torch.utils import reduce_amax as module
from qcore.adapters.torch.utils.reduce_amax import reduce_amax


def data(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("axis", [None, 0, -1, 1, (0, 2), (-1, 0), (0, 1, 2)])
def test_s3_91_axes_are_reduced_as_in_numpy(axis, keepdims):
    x = data(2, 3, 4)
    expected = np.abs(x.numpy()).max(axis=axis, keepdims=keepdims)
    found = reduce_amax(input=x, axis=axis, keepdims=keepdims)
    np.testing.assert_array_equal(found, expected, strict=True)


def test_s3_91_reduced_axes_are_kept_by_default():
    assert reduce_amax(data(2, 3)).shape == (1, 1)
    assert reduce_amax(data(1, 3), (0, 1)).shape == (1, 1)  # nothing is squeezed
    assert reduce_amax(data(1, 3), 1, False).shape == (1,)


def test_s3_91_there_is_no_gradient():
    assert not reduce_amax(data(2, 3).requires_grad_(), axis=1).requires_grad


@pytest.mark.parametrize("axis", [2, -3, (0, 0), (0, 1, 2), (1, -1)])
def test_s3_91_axes_that_make_no_sense_are_a_value_error(axis):
    with pytest.raises(ValueError, match="ax"):
        reduce_amax(data(2, 3), axis=axis)


def test_s3_91_a_granularity_is_a_value_error():
    with pytest.raises(ValueError, match="`granularity` must be left out"):
        reduce_amax(data(2, 3), granularity="channel")


def test_s3_91_the_name_in_utils_is_a_module_that_can_be_called():
    x = data(2, 3)
    assert isinstance(utils.reduce_amax, ModuleType)
    assert module is utils.reduce_amax
    assert utils.reduce_amax.reduce_amax is reduce_amax
    assert torch.equal(utils.reduce_amax(x, axis=0), reduce_amax(x, axis=0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_dtype_stays(dtype):
    x = data(20).to(dtype)
    found = reduce_amax(x)
    assert found.dtype == dtype
    assert found.item() == x.abs().max().item()


def test_nan_shows_and_nothing_is_zero():
    assert reduce_amax(torch.tensor([1.0, torch.nan])).isnan().all()
    assert reduce_amax(torch.empty(0, 3), axis=0).tolist() == [[0, 0, 0]]


def test_a_scalar_and_any_layout_will_do():
    x = data(4, 6)
    assert reduce_amax(torch.tensor(-2.0)) == 2
    assert torch.equal(reduce_amax(x.T[::2], 1), reduce_amax(x[:, ::2].clone(), 0).T)
