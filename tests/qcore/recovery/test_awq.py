"""Activation-aware scales, against a search on the data itself."""

import numpy as np
import pytest

from qcore import (
    Gram,
    PerBlock,
    PerChannel,
    QuantSpec,
    Window,
    fake_quantize,
    qparams_from_data,
    quantize,
)
from qcore.recovery import awq

RNG = np.random.default_rng(9)
SIZES = np.exp(1.2 * RNG.standard_normal(32))
X = ((RNG.standard_normal((400, 32)) + 0.5) * SIZES).astype(np.float32)
WEIGHTS = RNG.standard_normal((20, 32)).astype(np.float32)
FINE = qparams_from_data(X, QuantSpec("int16"))
SEEN = fake_quantize(X, FINE).astype(np.float64)
SPECS = [
    QuantSpec("int4", PerChannel(0)),
    QuantSpec("int4", PerBlock(1, 8)),
    QuantSpec("float4_e2m1fn", PerBlock(1, 16), scale_format="float8_e4m3fn"),
]
each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.format.name)


def gram(array=np.asarray):
    fine = qparams_from_data(array(X), QuantSpec("int16"))
    return Gram.of(quantize(array(X), fine), fine)


def measured(scale, qparams, weights=WEIGHTS):
    rounded = fake_quantize(weights * scale, qparams).astype(np.float64)
    return ((SEEN @ weights.T - (SEEN / scale) @ rounded.T) ** 2).sum()


def searched(spec):
    """Return the best alpha and scale by trying all on the data."""
    size = np.sqrt((SEEN**2).mean(0))
    tried = []
    for i in range(20):
        scale = size ** (i / 20)
        scale = np.float32(scale / np.sqrt(scale.max() * scale.min()))
        qparams = qparams_from_data(WEIGHTS * scale, spec)
        tried.append((measured(scale, qparams), i / 20, scale))
    return min(tried, key=lambda one: one[0])


@each_spec
def test_the_scale_is_the_best_on_the_data(array, to_numpy, spec):
    found = awq(array(WEIGHTS), gram(array), spec, clip=False)
    _, alpha, scale = searched(spec)
    assert to_numpy(found.alpha) == np.float32(alpha)
    assert alpha > 0
    np.testing.assert_allclose(to_numpy(found.scale), scale, rtol=1e-6)


@each_spec
def test_clipping_changes_the_output_less(spec):
    plain, clipped = (awq(WEIGHTS, gram(), spec, clip=c) for c in (False, True))
    np.testing.assert_array_equal(plain.scale, clipped.scale)
    errors = [measured(one.scale, one.qparams) for one in (clipped, plain)]
    nearest = measured(np.float32(1), qparams_from_data(WEIGHTS, spec))
    assert errors[0] <= errors[1] < nearest
    if spec is SPECS[0]:
        assert errors[0] < 0.95 * errors[1]


def test_outputs_may_be_the_last_axis():
    found = awq(
        np.ascontiguousarray(WEIGHTS.T), gram(), QuantSpec("int4", PerChannel(1)), 1
    )
    expected = awq(WEIGHTS, gram(), SPECS[0])
    np.testing.assert_array_equal(found.scale, expected.scale)
    np.testing.assert_array_equal(found.qparams.scale.T, expected.qparams.scale)


def test_inputs_that_are_always_zero_do_no_harm():
    codes = quantize(X, FINE)
    codes[:, 3] = 0
    found = awq(WEIGHTS, Gram.of(codes, FINE), SPECS[0])
    assert np.isfinite(found.scale).all()
    assert (found.scale > 0).all()
    nothing = awq(WEIGHTS, Gram.of(codes * 0, FINE), SPECS[0])
    np.testing.assert_array_equal(nothing.scale, np.ones(32))


@pytest.mark.parametrize(
    ("weights", "options", "said"),
    [
        (WEIGHTS[:, :, None], {}, r"two axes, outputs and inputs; got .*\(20, 32, 1\)"),
        (WEIGHTS[:, :9], {}, "must be of 9 inputs .* got 32 in 1"),
        (WEIGHTS, {"axis": 1}, "must be of 20 inputs"),
    ],
)
def test_what_does_not_fit_is_refused(weights, options, said):
    with pytest.raises(ValueError, match=said):
        awq(weights, gram(), SPECS[0], **options)


def test_several_groups_are_refused():
    parts = Gram.of(quantize(X, FINE), FINE, window=Window(groups=2))
    with pytest.raises(ValueError, match="must be of one group; got 2"):
        awq(WEIGHTS[:, :16], parts, SPECS[0])
