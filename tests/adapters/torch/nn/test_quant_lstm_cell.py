import numpy as np
import pytest
import torch
from torch import nn

from qcore.adapters.torch.nn import QuantLSTMCell
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from tests.adapters.torch.nn.lstm_equations import fake, step


def data(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def both(*args):
    """A cell of torch and one that quantizes, of the same parameters."""
    torch.manual_seed(1)
    plain, quantized = nn.LSTMCell(*args), QuantLSTMCell(*args)
    quantized.load_state_dict(plain.state_dict())
    return plain, quantized


def test_s3_30_a_cell_quantizes_input_and_state_together():
    plain, quantized = both(4, 5)
    x, h, c = data(3, 4), data(3, 5, seed=1), data(3, 5, seed=2)
    w_ih, w_hh, b_ih, b_hh = (p.detach().numpy() for p in plain.parameters())
    operand = fake(np.concatenate([x, h], 1))
    weight = fake(np.concatenate([w_ih, w_hh], 1), 1)
    expected = step(operand, c.numpy(), weight, b_ih + b_hh)
    for found, wanted in zip(quantized(x, (h, c)), expected, strict=True):
        np.testing.assert_allclose(found.detach(), wanted, rtol=1e-5, atol=1e-6)


def test_a_disabled_cell_is_torchs_own_bit_for_bit():
    plain, quantized = both(4, 5)
    quantized.input_quantizer.disable()
    quantized.weight_quantizer.disable()
    assert torch.equal(quantized(data(3, 4))[0], plain(data(3, 4))[0])


def test_a_disabled_quantizer_that_multiplies_still_does():
    plain, quantized = both(4, 5)
    quantized.input_quantizer.disable()
    quantized.weight_quantizer.disable()
    quantized.input_quantizer.pre_quant_scale = torch.tensor(2.0)
    x, h, c = data(3, 4), data(3, 5, seed=1), data(3, 5, seed=2)
    torch.testing.assert_close(quantized(x, (h, c)), plain(2 * x, (2 * h, c)))


@pytest.mark.parametrize("bias", [True, False])
def test_without_quantization_the_cell_is_torchs(bias):
    plain, quantized = both(4, 5, bias)
    quantized.input_quantizer.disable_quant()
    quantized.weight_quantizer.disable_quant()
    for batch in ((), (3,)):
        hx = data(*batch, 5), data(*batch, 5, seed=1)
        for given in (None, hx):
            x = data(*batch, 4)
            torch.testing.assert_close(quantized(x, given), plain(x, given))


def test_s3_34_a_cell_has_getters():
    made = QuantLSTMCell(4, 5, quant_desc_weight=QuantDescriptor(num_bits=4))
    assert (made.input_quantizer.num_bits, made.weight_quantizer.num_bits) == (8, 4)


@pytest.mark.parametrize(
    ("x", "hx"),
    [
        ((3, 7), None),
        ((3, 4), ((1, 5), (3, 5))),
        ((3, 4), ((3, 5), (1, 5))),
        ((4,), ((1, 5), (1, 5))),
    ],
)
def test_a_cell_names_shapes_that_do_not_fit(x, hx):
    hx = hx and tuple(map(torch.zeros, hx))
    with pytest.raises(RuntimeError, match="`input` must have 4 features"):
        QuantLSTMCell(4, 5)(torch.zeros(x), hx)


def test_a_cell_takes_no_three_dimensions():
    with pytest.raises(ValueError, match="1D or 2D, got 3D"):
        QuantLSTMCell(4, 5)(torch.zeros(1, 3, 4))


def test_a_quantized_copy_of_a_cell_has_the_descriptors_given():
    descriptors = QuantDescriptor(num_bits=4), QuantDescriptor(num_bits=6)
    made = QuantLSTMCell.from_float(nn.LSTMCell(4, 5), *descriptors)
    assert (made.input_quantizer.num_bits, made.weight_quantizer.num_bits) == (4, 6)
