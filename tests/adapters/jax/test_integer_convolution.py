"""Convolutions on codes are those of integers, whatever the padding and groups."""

import jax
import numpy as np
import pytest

import qcore
from tests.adapters.jax.integers import (
    ASYMMETRIC,
    case,
    computed,
    made,
    per_axis,
    steps,
)

CONV = "conv_general_dilated"


def convolved(x, weight, strides, padding, spread=(1, 1), gaps=(1, 1), groups=1):
    """Return a convolution of integers, NCHW and OIHW."""
    n, channels, *size = x.shape
    wide = [gap * (extent - 1) + 1 for gap, extent in zip(gaps, size, strict=True)]
    (top, bottom), (left, right) = padding
    padded = np.zeros(
        (n, channels, top + wide[0] + bottom, left + wide[1] + right), np.int64
    )
    padded[:, :, top : top + wide[0] : gaps[0], left : left + wide[1] : gaps[1]] = x
    outputs, depth, *window = weight.shape
    reach = [s * (k - 1) + 1 for s, k in zip(spread, window, strict=True)]
    rows, columns = (
        (extent - r) // stride + 1
        for extent, r, stride in zip(padded.shape[2:], reach, strides, strict=True)
    )
    found = np.zeros((n, outputs, rows, columns), np.int64)
    each = outputs // groups
    for o in range(outputs):
        first = o // each * depth
        for i, j in np.ndindex(*window):
            part = padded[:, first : first + depth, i * spread[0] :, j * spread[1] :]
            part = part[:, :, :: strides[0], :: strides[1]][:, :, :rows, :columns]
            found[:, o] += np.einsum("nchw,c->nhw", part, weight[o, :, i, j])
    return found


CONVOLUTIONS = {
    "plain": {},
    "strided and padded": {"strides": (2, 1), "padding": ((1, 2), (0, 1))},
    "grouped": {"groups": 2, "padding": ((1, 1), (1, 1))},
    "depthwise": {"groups": 4, "padding": ((1, 1), (1, 1))},
    "spread": {"spread": (2, 1), "padding": ((2, 2), (1, 1))},
    "transposed": {"gaps": (2, 2), "padding": ((1, 1), (2, 1))},
}


@pytest.mark.parametrize("form", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
@pytest.mark.parametrize(
    ("symmetric", "quantized_dot"), [(True, True), (False, True), (False, "int8")]
)
def test_a_convolution_is_that_of_integers(form, symmetric, quantized_dot):
    groups = form.get("groups", 1)
    x, weight = made(0, 2, 4, 6, 7), made(1, 8, 4 // groups, 3, 3)
    options = {"strides": (1, 1), "padding": ((0, 0), (0, 0)), **form}

    def f(weight, x):
        return jax.lax.conv_general_dilated(
            x,
            weight,
            options["strides"],
            options["padding"],
            options.get("gaps"),
            options.get("spread"),
            feature_group_count=groups,
        )

    specs = qcore.QuantSpec("uint8", symmetric=False), per_axis(0, symmetric=symmetric)
    given = case(CONV, x, weight, specs)
    of_x, of_weight = given.values()
    total = convolved(steps(x, of_x), steps(weight, of_weight), **options)
    scale = np.asarray(of_x.scale) * np.asarray(of_weight.scale)
    expected = total.astype(np.float32) * scale.reshape(1, -1, 1, 1)
    found = computed(jax.jit(f), x, weight, given, quantized_dot=quantized_dot)
    np.testing.assert_array_equal(found, expected)


def test_many_channels_add_up_to_more_than_float32_holds():
    x = np.full((1, 3000, 2, 2), 1, np.float32)
    x[:, 0] = 0.5
    weight = np.ones((2, 3000, 1, 1), np.float32)
    weight[:, 1] = 0.3
    given = case(CONV, x, weight, (qcore.QuantSpec("uint8"), per_axis(0)))

    def f(weight, x):
        return jax.lax.conv(x, weight, (1, 1), "VALID")

    of_x, of_weight = given.values()
    total = convolved(steps(x, of_x), steps(weight, of_weight), (1, 1), ((0, 0),) * 2)
    assert total.max() > 2**24
    scale = np.asarray(of_x.scale) * np.asarray(of_weight.scale)
    found = computed(f, x, weight, given, quantized_dot=True)
    expected = total.astype(np.float32) * scale.reshape(1, -1, 1, 1)
    np.testing.assert_array_equal(found, expected)


def test_batches_can_be_mapped_over():
    x, weight = made(0, 5, 2, 3, 6, 6), made(1, 4, 3, 3, 3)
    given = case(CONV, x[0], weight, (ASYMMETRIC, per_axis(0)))

    def f(weight, x):
        return jax.lax.conv(x, weight, (1, 1), "SAME")

    def run(weight, x):
        return computed(f, x, weight, given, quantized_dot=True)

    found = jax.vmap(run, (None, 0))(weight, x)
    for row, expected in zip(found, x, strict=True):
        np.testing.assert_array_equal(row, run(weight, expected))
