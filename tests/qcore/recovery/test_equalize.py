"""Layers whose ranges are evened out: the function stays, ranges become equal."""

import numpy as np
import pytest

from qcore.recovery import absorb_bias, equalize

torch = pytest.importorskip("torch")
conv2d = torch.nn.functional.conv2d

RNG = np.random.default_rng(3)


def normal(*shape, spread=3):
    """Return numbers whose rows have very different ranges."""
    scale = np.exp(spread * RNG.standard_normal((shape[0], *[1] * (len(shape) - 1))))
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


# As in MobileNet: a pointwise, a depthwise and a pointwise convolution.
WEIGHTS = [normal(8, 4, 1, 1), normal(8, 1, 3, 3), normal(6, 8, 1, 1)]
BIASES = [normal(8), normal(8), normal(6)]
GROUPS = [1, 8, 1]
X = RNG.standard_normal((2, 4, 9, 9)).astype(np.float32)


def network(weights, biases, activation, groups=GROUPS, x=X):
    """Return what layers compute, and what each gives before its activation."""
    before = []
    x = torch.tensor(x, dtype=torch.float64)
    for weight, bias, group in zip(weights, biases, groups, strict=True):
        if before:
            x = activation(before[-1])
        w, b = (torch.tensor(np.float64(p)) for p in (weight, bias))
        before.append(conv2d(x, w, b, groups=group, padding="same"))
    return before[-1].numpy(), [b.numpy() for b in before]


def channels(x, axis):
    """Return the largest magnitude along an axis."""
    return np.abs(np.moveaxis(x, axis, 0)).reshape(x.shape[axis], -1).max(1)


@pytest.mark.parametrize("activation", [torch.relu, torch.nn.Identity()])
def test_the_function_stays_the_same(array, to_numpy, activation):
    weights, biases = [array(w) for w in WEIGHTS], [array(b) for b in BIASES]
    found = equalize(weights, biases, groups=GROUPS)
    parts = [[to_numpy(p) for p in ps] for ps in (found.weights, found.biases)]
    expected, _ = network(WEIGHTS, BIASES, activation)
    got, _ = network(*parts, activation)
    assert parts[0][0].dtype == np.float32
    np.testing.assert_allclose(
        got, expected, rtol=1e-5, atol=1e-5 * abs(expected).max()
    )


def test_channels_have_equal_ranges_on_both_sides():
    found = equalize(WEIGHTS, BIASES, groups=GROUPS)
    first, middle, last = found.weights
    np.testing.assert_allclose(channels(first, 0), channels(middle, 0), rtol=1e-4)
    np.testing.assert_allclose(channels(middle, 0), channels(last, 1), rtol=1e-4)


def test_of_two_layers_the_scale_is_that_of_the_paper(array, to_numpy):
    pair = normal(5, 3), normal(4, 5)
    r1, r2 = channels(pair[0], 0), channels(pair[1], 1)
    found = equalize([array(w) for w in pair], sweeps=1)
    np.testing.assert_allclose(to_numpy(found.scales[0]), np.sqrt(r1 / r2), rtol=1e-6)
    assert found.biases == [None, None]


def test_axes_may_be_those_of_matrices_to_multiply_with():
    pair = normal(5, 3), normal(4, 5)
    found = equalize([w.T for w in pair], axes=[(1, 0), (1, 0)])
    expected = equalize(pair)
    for one, other in zip(found.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(one.T, other)


def test_channels_of_groups_are_matched_with_their_inputs():
    weights, groups = [normal(6, 4, 1, 1), normal(4, 3, 3, 3)], [1, 2]
    found = equalize(weights, groups=groups)
    zeros = [np.zeros(6), np.zeros(4)]
    expected, _ = network(weights, zeros, torch.relu, groups)
    got, _ = network(found.weights, zeros, torch.relu, groups)
    np.testing.assert_allclose(got, expected, atol=1e-5 * abs(expected).max())
    assert not np.allclose(found.scales[0], 1)


def test_a_relu6_that_does_not_clip_goes_on_not_clipping():
    expected, before = network(WEIGHTS, BIASES, torch.nn.functional.relu6)
    reach = [b.max(axis=(0, 2, 3)) for b in before[:2]]
    assert any((r >= 6).any() for r in reach)
    assert any((r < 6).any() for r in reach)
    found = equalize(WEIGHTS, BIASES, groups=GROUPS, reach=reach)
    got, after = network(found.weights, found.biases, torch.nn.functional.relu6)
    np.testing.assert_allclose(got, expected, atol=1e-5 * abs(expected).max())
    for r, scale, b in zip(reach, found.scales, after, strict=False):
        assert (scale[r >= 6] == 1).all()
        assert (b.max(axis=(0, 2, 3))[r < 6] <= 6 * (1 + 1e-6)).all()
    assert not np.allclose(found.scales[0], 1)


def test_channels_without_weights_stay_as_they_are():
    weights = [w.copy() for w in WEIGHTS]
    weights[0][2], weights[2][:, 5] = 0, 0
    found = equalize(weights, BIASES, groups=GROUPS)
    assert found.scales[0][2] == found.scales[1][5] == 1
    assert all(np.isfinite(w).all() for w in found.weights)


def test_what_a_relu_never_cuts_off_moves_on(array, to_numpy):
    bias = np.float32([4, 3, -1, 0.5, 2, 2, 5, 1])
    low = network(WEIGHTS[:1], [bias], None, GROUPS[:1])[1][0].min(axis=(0, 2, 3))
    assert (low > 0).any()
    wide = normal(6, 8, 1, 1)
    expected, _ = network([WEIGHTS[0], wide], [bias, BIASES[2]], torch.relu, [1, 1])
    found = absorb_bias(*(array(p) for p in (bias, wide, BIASES[2], np.float32(low))))
    first, second = (to_numpy(b) for b in found)
    got, _ = network([WEIGHTS[0], wide], [first, second], torch.relu, [1, 1])
    np.testing.assert_allclose(got, expected, atol=1e-5 * abs(expected).max())
    np.testing.assert_allclose(first, bias - np.maximum(low, 0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "options", "said"),
    [
        (WEIGHTS[:1], {}, "at least two layers; got 1"),
        (
            WEIGHTS,
            {},
            "layer 0 has 8 outputs and the next 1 inputs",
        ),
        (
            WEIGHTS,
            {"groups": [1, 3, 1]},
            "`groups` must divide the outputs; got 3 and 8",
        ),
        (WEIGHTS, {"reach": [None]}, "`reach` must have 2 entries; got 1"),
    ],
)
def test_what_does_not_fit_is_refused(weights, options, said):
    with pytest.raises(ValueError, match=said):
        equalize(weights, **options)


@pytest.mark.parametrize(
    ("lowest", "next_bias", "said"),
    [
        (np.ones(5), BIASES[2], r"next layer, 8; got the shapes \(8,\) and \(5,\)"),
        (np.ones(8), BIASES[0], r"`next_bias` must have 6 entries; got the shape \(8,"),
    ],
)
def test_biases_that_do_not_fit_are_refused(lowest, next_bias, said):
    with pytest.raises(ValueError, match=said):
        absorb_bias(BIASES[0], WEIGHTS[2], next_bias, lowest)
