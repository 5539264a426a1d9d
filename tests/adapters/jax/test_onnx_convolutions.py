"""Convolutions of any layout compute in ONNX Runtime what they do in JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.adapters.jax.onnx_runs import exported_float, nodes, run


def made(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


NCHW, NHWC = ("NCHW", "OIHW", "NCHW"), ("NHWC", "HWIO", "NHWC")
X = made(2, 4, 7, 6)

CASES = {
    "nchw": (X, made(5, 4, 3, 2), {}, NCHW),
    "nhwc": (made(2, 7, 6, 4), made(3, 2, 4, 5), {"padding": "SAME"}, NHWC),
    "mixed": (made(7, 2, 4, 6), made(4, 3, 5, 2), {}, ("HNCW", "IHOW", "NWCH")),
    "one_axis": (made(2, 4, 9), made(5, 4, 3), {}, ("NCW", "OIW", "NCW")),
    "volume": (
        made(1, 2, 4, 5, 6),
        made(3, 2, 2, 2, 2),
        {},
        ("NCDHW", "OIDHW", "NCDHW"),
    ),
    "strides": (X, made(5, 4, 3, 3), {"window_strides": (2, 1)}, NCHW),
    "padding": (X, made(5, 4, 3, 3), {"padding": ((1, 2), (0, 3))}, NCHW),
    "cut": (X, made(5, 4, 3, 3), {"padding": ((-1, 2), (1, -2))}, NCHW),
    "dilated": (X, made(5, 4, 3, 2), {"rhs_dilation": (2, 3)}, NCHW),
    "groups": (X, made(6, 2, 3, 3), {"feature_group_count": 2}, NCHW),
    "depthwise": (X, made(8, 1, 3, 3), {"feature_group_count": 4}, NCHW),
    "transposed": (
        X,
        made(5, 4, 3, 2),
        {"lhs_dilation": (2, 3), "padding": ((2, 1), (1, 1))},
        NCHW,
    ),
    "transposed_wide": (
        X,
        made(5, 4, 2, 2),
        {"lhs_dilation": (2, 2), "padding": ((3, 1), (0, 4))},
        NCHW,
    ),
    "transposed_groups": (
        X,
        made(6, 2, 3, 3),
        {
            "lhs_dilation": (2, 2),
            "padding": ((1, 1), (1, 1)),
            "feature_group_count": 2,
        },
        NCHW,
    ),
    "transposed_strides": (
        X,
        made(5, 4, 3, 3),
        {
            "lhs_dilation": (3, 2),
            "window_strides": (2, 1),
            "rhs_dilation": (1, 2),
            "padding": ((2, 2), (2, 2)),
        },
        NCHW,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_convolution_gives_the_numbers_of_jax(name):
    x, kernel, options, layout = CASES[name]
    options = {"window_strides": (1,) * (x.ndim - 2), "padding": "VALID", **options}

    def f(x, kernel):
        return lax.conv_general_dilated(x, kernel, dimension_numbers=layout, **options)

    (found,) = run(exported_float(f, x, kernel), x, kernel)
    np.testing.assert_allclose(found, f(x, kernel), rtol=1e-5, atol=1e-5)


def test_a_transposed_convolution_of_jax_is_one_of_onnx():
    def f(x, kernel):
        return lax.conv_transpose(x, kernel, (2, 2), "SAME")

    x, kernel = made(2, 5, 4, 3), made(3, 3, 3, 6)
    model = exported_float(f, x, kernel)
    assert len(nodes(model, "ConvTranspose")) == 1
    np.testing.assert_allclose(run(model, x, kernel)[0], f(x, kernel), atol=1e-5)


def test_groups_of_a_batch_are_refused():
    def f(x, kernel):
        y = lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=NCHW, feature_group_count=2
        )
        return y.sum()

    with pytest.raises(ValueError, match=r"conv_general_dilated.*groups of its batch"):
        exported_float(jax.grad(f, 1), X, made(4, 2, 3, 3))


def test_gradients_are_exported_too():
    def f(x, kernel):
        y = lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=NCHW)
        return jnp.square(y).sum()

    kernel = made(5, 4, 3, 3)
    found = run(exported_float(jax.grad(f), X, kernel), X, kernel)[0]
    np.testing.assert_allclose(found, jax.grad(f)(X, kernel), rtol=1e-4, atol=1e-4)
