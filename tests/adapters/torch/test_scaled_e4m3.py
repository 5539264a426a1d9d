import ml_dtypes
import numpy as np
import pytest
import torch

from qcore.adapters.torch.functions.scaled_e4m3 import scaled_e4m3


def data(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


# §2.7, S3.81: E4M3
def test_e4m3_of_no_amax_is_a_saturating_cast():
    x = torch.tensor([448, 464, 1e9, -torch.inf, 2**-9, 2**-10, 3 * 2**-10, torch.nan])
    found = scaled_e4m3(x)
    expected = [448, 448, 448, -448, 2**-9, 0, 2**-8, np.nan]  # ties to even
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(), (1, 6, 1)])
def test_e4m3_is_scaled_per_tensor_or_channel(shape):
    x = data(3, 6, 7)
    amax = torch.full(shape, 1.3) + torch.arange(6).reshape(6, 1)[: 6 if shape else 1]
    amax = amax.reshape(shape)
    scale = (amax / 448).numpy()
    codes = np.clip(x.numpy() / scale, -448, 448).astype(ml_dtypes.float8_e4m3fn)
    found = scaled_e4m3(x, amax)
    np.testing.assert_array_equal(found, codes.astype(np.float32) * scale)


def test_e4m3_of_an_amax_of_zero_is_finite():
    assert scaled_e4m3(torch.tensor([0.0, 1.0]), 0.0).tolist() == [0, 1]


def test_e4m3_without_amax_passes_the_gradient_up_to_448():
    x = torch.tensor([-449.0, -448.0, 1.0, 448.0, 449.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(scaled_e4m3(x).sum(), x)
    assert gradient.tolist() == [0, 1, 1, 1, 0]


@pytest.mark.parametrize("widths", [(5, 2), (4, 2), (3, 3)])
def test_other_float8_formats_are_not_implemented(widths):
    with pytest.raises(NotImplementedError, match="`E` and `M` must be 4 and 3; got"):
        scaled_e4m3(data(3), torch.ones(()), *widths)
