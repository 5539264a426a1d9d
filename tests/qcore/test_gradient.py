"""Straight-through gradients against a brute force in float64 and PyTorch's own."""

import numpy as np
import pytest

from qcore import (
    PerBlock,
    PerChannel,
    PerTensor,
    QParams,
    QuantSpec,
    fake_quantize,
    straight_through,
)

GRANULARITIES = [
    (PerTensor(), (1, 1)),
    (PerChannel(0), (4, 1)),
    (PerChannel(1), (1, 50)),
    (PerBlock(1, 16), (4, 4)),
]
FORMATS = ["int8", "uint4", "float8_e4m3fn", "float4_e2m1fn"]
# What is inside depends on the format alone, over what is summed on the granularity.
CASES = [
    pytest.param(name, *GRANULARITIES[(i + j) % 4], id=f"{name}-{(i + j) % 4}")
    for i, name in enumerate(FORMATS)
    for j in range(2)
]


def case(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4, 50)).astype(np.float32) * 4
    x[0, :3] = np.inf, -np.inf, 0.0
    gradient = rng.standard_normal(x.shape).astype(np.float32)
    return x, gradient


def parameters(shape, granularity, name):
    rng = np.random.default_rng(1)
    is_affine = name.startswith("uint")
    zero = rng.integers(0, 15, shape) if is_affine else np.zeros(shape)
    scale = rng.uniform(0.02, 0.5, shape).astype(np.float32)
    spec = QuantSpec(name, granularity=granularity, symmetric=not is_affine)
    return scale, zero.astype(np.int32), spec


def spread(scale, shape):
    """Return the scale of each element."""
    if scale.shape == (4, 4):
        return np.repeat(scale, 16, axis=1)[:, : shape[1]]
    return np.broadcast_to(scale, shape)


@pytest.mark.parametrize(("name", "granularity", "shape"), CASES)
def test_it_is_the_gradient_inside_and_the_definition_for_the_scale(
    run, array, to_numpy, name, granularity, shape
):
    x, gradient = case()
    scale, zero, spec = parameters(shape, granularity, name)
    qparams = QParams(array(scale), array(zero), spec)
    of_x, of_scale = run(
        lambda g, x: straight_through(g, x, qparams), array(gradient), array(x)
    )
    step, offset = spread(scale, x.shape), spread(zero, x.shape)
    steps = np.float64(to_numpy(fake_quantize(array(x), qparams))) / step
    fmt = spec.format
    with np.errstate(invalid="ignore"):
        quotient = x / step
        codes = np.round(quotient) + offset
    inside = (
        np.abs(quotient) <= fmt.max
        if name.startswith("float")
        else (codes >= fmt.qmin) & (codes <= fmt.qmax)
    )
    np.testing.assert_array_equal(to_numpy(of_x), np.where(inside, gradient, 0))
    parts = gradient * (steps - np.where(inside, quotient, 0))
    if shape == (4, 4):
        expected = np.add.reduceat(parts, [0, 16, 32, 48], axis=1)
    else:
        axes = tuple(i for i in range(2) if shape[i] == 1)
        expected = parts.sum(axis=axes, keepdims=True)
    assert to_numpy(of_scale).shape == shape
    np.testing.assert_allclose(to_numpy(of_scale), expected, rtol=2e-5, atol=2e-4)


def test_pytorch_has_the_same_gradients():
    torch = pytest.importorskip("torch")
    x, gradient = (torch.from_numpy(a[1:]) for a in case(2))
    scale, zero = torch.tensor([0.25]), torch.zeros(1)  # products are exact
    x.requires_grad_()
    scale.requires_grad_()
    learnt = torch._fake_quantize_learnable_per_tensor_affine(
        x, scale, zero, -128, 127, 1.0
    )
    learnt.backward(gradient)
    found = straight_through(
        gradient,
        x.detach(),
        QParams(scale.detach(), zero.int(), QuantSpec("int8")),
    )
    np.testing.assert_array_equal(found[0], x.grad)
    np.testing.assert_allclose(found[1], scale.grad, rtol=1e-5)


def test_nan_passes_no_gradient(array, to_numpy):
    x = array(np.float32([np.nan, 1]))
    qparams = QParams(array(np.float32([1])), array(np.int32([0])), QuantSpec())
    of_x, _ = straight_through(array(np.float32([5, 7])), x, qparams)
    assert to_numpy(of_x).tolist() == [0, 7]


def test_a_gradient_of_another_shape_is_refused(array):
    x = array(np.zeros((2, 3), np.float32))
    qparams = QParams(array(np.float32([1])), array(np.int32([0])), QuantSpec())
    said = r"`gradient` must have the shape of the data, \(2, 3\); got \(3,\)"
    with pytest.raises(ValueError, match=said):
        straight_through(x[0, :], x, qparams)


def test_a_gradient_of_integers_is_refused(array):
    x = array(np.zeros(3, np.float32))
    qparams = QParams(array(np.float32([1])), array(np.int32([0])), QuantSpec())
    with pytest.raises(TypeError, match="`gradient` must be floating-point"):
        straight_through(array(np.zeros(3, np.int16)), x, qparams)
