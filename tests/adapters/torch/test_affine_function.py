import numpy as np
import pytest
import torch

from qcore.adapters.torch.functions.affine import fake_affine_tensor_quant


def data(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


# §2.7: affine
def test_affine_outputs_are_the_nearest_of_the_levels():
    x = data(500) * 3
    step = np.float32(3) / np.float32(15)
    levels = (np.rint(np.float32(-1) / step) + np.arange(16, dtype=np.float32)) * step
    expected = levels[np.abs(x.numpy()[:, None] - levels).argmin(1)]
    found = fake_affine_tensor_quant(x, torch.tensor(-1.0), 2, 4)
    np.testing.assert_array_equal(found, expected, strict=True)


def test_affine_gradients_pass_within_the_range():
    x = torch.tensor([-1.1, -1.0, 0.5, 2.0, 2.1], requires_grad=True)
    (gradient,) = torch.autograd.grad(fake_affine_tensor_quant(x, -1, 2).sum(), x)
    assert gradient.tolist() == [0, 1, 1, 1, 0]


def test_an_affine_range_without_extent_is_a_value_error():
    with pytest.raises(ValueError, match="`min_range` must be less than `max_range`"):
        fake_affine_tensor_quant(data(3), 1.0, 1.0)
