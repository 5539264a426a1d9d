"""The error told from statistics, against layers that are run."""

import numpy as np
import pytest

from qcore import Gram, QuantSpec, Window, fake_quantize, qparams_from_data, quantize
from qcore.recovery import output_error, output_shift

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(13)
INPUT = QuantSpec("uint8", symmetric=False)
LAYERS = {
    "plain": ((4, 6, 3, 3), {}),
    "of all kinds": (
        (4, 3, 3, 2),
        {"stride": 2, "padding": (1, 2), "dilation": 2, "groups": 2},
    ),
    "depthwise": ((12, 1, 3, 3), {"stride": 2, "padding": 1, "groups": 6}),
    "1-d": ((4, 6, 3), {"padding": 1}),
    "3-d": ((4, 6, 2, 2, 2), {"padding": 1}),
}
each_layer = pytest.mark.parametrize(("shape", "options"), LAYERS.values(), ids=LAYERS)


def convolve(x, weights, transposed=False, **options):
    kind = "conv_transpose" if transposed else "conv"
    function = getattr(torch.nn.functional, f"{kind}{x.ndim - 2}d")
    return function(
        torch.tensor(np.float64(x)), torch.tensor(weights), **options
    ).numpy()


def changes(x, weights, rounded, **options):
    """Return mean squared change and variance of the change of each output."""
    change = np.moveaxis(convolve(x, weights - rounded, **options), 1, 0)
    change = change.reshape(len(change), -1)
    return (change**2).mean(1), change.var(1)


def seen(shape):
    x = np.maximum(RNG.standard_normal(shape), -0.5).astype(np.float32)
    qparams = qparams_from_data(x, INPUT)
    return fake_quantize(x, qparams), quantize(x, qparams), qparams


@each_layer
def test_the_error_is_that_of_the_layer(shape, options):
    x, codes, qparams = seen((3, 6, *(7,) * (len(shape) - 2)))
    weights = RNG.standard_normal(shape)
    gram = Gram.of(codes, qparams, window=Window(shape[2:], **options))
    expected = changes(x, weights, np.round(weights), **options)
    for center in (False, True):
        found = output_error(weights, np.round(weights), gram, center=center)
        np.testing.assert_allclose(found, expected[center], rtol=1e-6)


@each_layer
def test_the_shift_gives_the_output_its_mean_back(shape, options):
    x, codes, qparams = seen((3, 6, *(7,) * (len(shape) - 2)))
    weights = RNG.standard_normal(shape)
    gram = Gram.of(codes, qparams, window=Window(shape[2:], **options))
    lost = np.moveaxis(convolve(x, weights - np.round(weights), **options), 1, 0)
    found = output_shift(weights, np.round(weights), gram)
    expected = lost.reshape(len(lost), -1).mean(1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "more"),
    [(2, 1, 1, 1), (3, 0, 2, 0), (1, 2, 1, 0)],
)
def test_a_transposed_convolution_is_one_of_spread_inputs(
    stride, padding, dilation, more
):
    x, codes, qparams = seen((3, 6, 5, 4))
    weights = RNG.standard_normal((6, 4, 3, 3))
    before = dilation * 2 - padding
    window = Window(
        (3, 3),
        dilation=dilation,
        padding=((before, before + more),) * 2,
        spread=stride,
    )
    turned = np.flip(weights, (2, 3)).swapaxes(0, 1)
    found = output_error(
        turned, np.round(turned), Gram.of(codes, qparams, window=window)
    )
    expected, _ = changes(
        x,
        weights,
        np.round(weights),
        transposed=True,
        stride=stride,
        padding=padding,
        dilation=dilation,
        output_padding=more,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)
