"""Second-order rounding, against the loop over columns that its paper has."""

import numpy as np
import pytest

from qcore import (
    Gram,
    NonFiniteError,
    PerBlock,
    PerChannel,
    PerTensor,
    QuantSpec,
    Range,
    Window,
    dequantize,
    fake_quantize,
    qparams_from_data,
    quantize,
)
from qcore.recovery import gptq, output_error

RNG = np.random.default_rng(11)
WEIGHTS = RNG.standard_normal((12, 8, 3, 3)).astype(np.float32)
DENSE = RNG.standard_normal((10, 24)).astype(np.float32)
INPUT = QuantSpec("uint8", symmetric=False)
ROWS = np.maximum(RNG.standard_normal((200, 6)) @ RNG.standard_normal((6, 24)) + 0.3, 0)
ROWS = (ROWS + 0.3 * np.abs(RNG.standard_normal((200, 24)))).astype(np.float32)
SPECS = [
    QuantSpec("int4", PerChannel(0)),
    QuantSpec("int8", PerChannel(0)),
    QuantSpec("int3", PerBlock(1, 5)),
    QuantSpec("uint4", PerChannel(0), symmetric=False),
    QuantSpec("float4_e2m1fn", PerBlock(1, 8), scale_format="float8_e8m0fnu"),
    QuantSpec("float8_e4m3fn", PerTensor()),
]
each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.format.name)


def inputs(rows, window=Window(), array=np.asarray, spec=INPUT):  # noqa: B008 - frozen
    qparams = qparams_from_data(array(rows), spec)
    return Gram.of(quantize(array(rows), qparams), qparams, window=window)


def reference(weights, second, qparams, damping, order):
    """Return fake-quantized ``[O, K]`` by the paper's algorithm, with the inverse."""
    rounded, left = np.empty_like(weights), weights.astype(np.float64)
    n = weights.shape[1]
    damped = second + damping * np.diag(second).mean() * np.eye(n)
    upper = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T
    for i, column in enumerate(order):
        rounded[:, column] = fake_quantize(left, qparams)[:, column]
        error = (left[:, column] - rounded[:, column]) / upper[i, i]
        left[:, order[i:]] -= error[:, None] * upper[i, i:]
    return rounded


def squared(change, second):
    return np.einsum("ok,kj,oj->o", change, second, change)


@each_spec
@pytest.mark.parametrize("reorder", [True, False])
@pytest.mark.parametrize("damping", [0.01, 1e-6])
def test_the_error_is_that_of_the_papers_loop(spec, reorder, damping):
    gram, qparams = inputs(ROWS), qparams_from_data(DENSE, spec)
    x = fake_quantize(ROWS, qparams_from_data(ROWS, INPUT)).astype(np.float64)
    second = x.T @ x / len(x)
    order = np.argsort(-np.diag(second)) if reorder else np.arange(24)
    codes = gptq(DENSE, gram, qparams, damping=damping, reorder=reorder)
    found = squared(DENSE - dequantize(codes, qparams), second)
    wanted = squared(DENSE - reference(DENSE, second, qparams, damping, order), second)
    nearest = squared(DENSE - fake_quantize(DENSE, qparams), second)
    np.testing.assert_allclose(found, np.minimum(wanted, nearest), rtol=1e-6)
    assert found.sum() < 0.7 * nearest.sum()


@pytest.mark.parametrize("spec", SPECS[3:5], ids=lambda spec: spec.format.name)
def test_every_library_finds_the_same_codes(array, to_numpy, spec):
    expected = gptq(DENSE, inputs(ROWS), qparams_from_data(DENSE, spec))
    qparams = qparams_from_data(array(DENSE), spec)
    codes = gptq(array(DENSE), inputs(ROWS, array=array), qparams)
    np.testing.assert_array_equal(to_numpy(codes), expected, strict=True)


def test_it_may_be_compiled(xp, run, array, to_numpy):
    spec, weights = SPECS[0], DENSE[:, :5]
    expected = gptq(weights, inputs(ROWS[:, :5]), qparams_from_data(weights, spec))
    qparams = qparams_from_data(array(weights), spec)
    gram = inputs(ROWS[:, :5], array=array)
    codes = run(lambda w, g, q: gptq(w, g, q, xp=xp), array(weights), gram, qparams)
    np.testing.assert_array_equal(to_numpy(codes), expected)


@pytest.mark.parametrize("spec", [SPECS[0], SPECS[3]], ids=["symmetric", "not"])
def test_codes_stay_within_limits_and_later_ones_make_up_for_it(array, to_numpy, spec):
    free = gptq(DENSE, inputs(ROWS), qparams_from_data(DENSE, spec))
    middle = free.astype(np.int32).mean(axis=1, keepdims=True).round().astype(np.int32)
    lowest, highest = middle - 2, middle + 1
    qparams = qparams_from_data(array(DENSE), spec)
    gram = inputs(ROWS, array=array)
    limits = array(lowest), array(highest)
    codes = to_numpy(gptq(array(DENSE), gram, qparams, limits=limits))
    assert (codes >= lowest).all()
    assert (codes <= highest).all()
    clipped = np.clip(free, lowest, highest)
    host = qparams_from_data(DENSE, spec)
    found, cut = (
        output_error(DENSE, dequantize(c.astype(free.dtype), host), inputs(ROWS))
        for c in (codes, clipped)
    )
    assert found.sum() < 0.9 * cut.sum()


def test_limits_of_all_codes_change_nothing():
    qparams = qparams_from_data(DENSE, SPECS[0])
    limits = np.int32(-8), np.full((1, 24), 7)
    codes = gptq(
        DENSE, inputs(ROWS), qparams, limits=(np.asarray(limits[0]), limits[1])
    )
    np.testing.assert_array_equal(codes, gptq(DENSE, inputs(ROWS), qparams))


def test_a_limit_beyond_all_integers_of_the_format_is_none():
    qparams = qparams_from_data(DENSE, SPECS[3])
    limits = np.asarray(-(2**63)), np.asarray(2**63 - 1)
    codes = gptq(DENSE, inputs(ROWS), qparams, limits=limits)
    np.testing.assert_array_equal(codes, gptq(DENSE, inputs(ROWS), qparams))


@pytest.mark.parametrize(
    ("limits", "error", "said"),
    [
        ((np.asarray(3), np.asarray(-3)), ValueError, "leave each weight a code"),
        (
            (np.asarray(8), np.asarray(9)),
            ValueError,
            "leave each weight a code of int4",
        ),
        ((np.asarray(-3.5), np.asarray(3.5)), TypeError, "integers; got float64"),
        ((np.asarray(-3),), TypeError, "a tuple of two arrays"),
        ((-3, 3), TypeError, "`limits` must be an array .* got int"),
        ((np.zeros(5, int), np.zeros(5, int)), ValueError, "`limits` must broadcast"),
    ],
)
def test_limits_that_are_none_are_refused(limits, error, said):
    qparams = qparams_from_data(DENSE, SPECS[0])
    with pytest.raises(error, match=said):
        gptq(DENSE, inputs(ROWS), qparams, limits=limits)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_each_group_is_rounded_by_itself(groups):
    weights = WEIGHTS[:, : 8 // groups]
    x = np.abs(RNG.standard_normal((4, 8, 9, 9))).astype(np.float32)
    qparams = qparams_from_data(weights, SPECS[0])
    window = Window((3, 3), padding=1, groups=groups)
    codes = gptq(weights, inputs(x, window), qparams)
    for g in range(groups):
        channels = slice(g * 8 // groups, (g + 1) * 8 // groups)
        outputs = slice(g * 12 // groups, (g + 1) * 12 // groups)
        alone = np.concatenate([x[:, channels], x[:, channels]], 1)
        same_scale = qparams_from_data(x, INPUT)
        gram = Gram.of(
            quantize(alone[:, : 8 // groups], same_scale),
            same_scale,
            window=Window((3, 3), padding=1),
        )
        own = qparams_from_data(weights[outputs], SPECS[0])
        np.testing.assert_array_equal(codes[outputs], gptq(weights[outputs], gram, own))


def test_a_depthwise_layer_is_better_than_nearest():
    x = np.abs(RNG.standard_normal((4, 12, 9, 9))).astype(np.float32)
    x += 2 * x.mean(axis=(2, 3), keepdims=True)
    gram = inputs(x, Window((3, 3), padding=1, groups=12))
    weights = WEIGHTS[:, :1]
    qparams = qparams_from_data(weights, SPECS[0])
    rounded = dequantize(gptq(weights, gram, qparams), qparams)
    found, nearest = (
        output_error(weights, r, gram)
        for r in (rounded, fake_quantize(weights, qparams))
    )
    assert (found <= nearest).all()
    assert found.sum() < 0.5 * nearest.sum()


@pytest.mark.parametrize(("rows", "damping"), [(9, 1), (200, 0.4 * 24 / 200)])
def test_little_data_is_damped_more(rows, damping):
    gram, qparams = inputs(ROWS[:rows]), qparams_from_data(DENSE, SPECS[0])
    found, expected = (gptq(DENSE, gram, qparams, damping=d) for d in (None, damping))
    np.testing.assert_array_equal(found, expected)


def test_outputs_may_be_the_last_axis():
    spec = QuantSpec("int4", PerBlock(0, 8))
    turned = QuantSpec("int4", PerBlock(1, 8))
    found = gptq(
        np.ascontiguousarray(DENSE.T), inputs(ROWS), qparams_from_data(DENSE.T, spec), 1
    )
    expected = gptq(DENSE, inputs(ROWS), qparams_from_data(DENSE, turned))
    np.testing.assert_array_equal(found.T, expected)


@pytest.mark.parametrize("center", [False, True])
@each_spec
def test_no_output_is_worse_than_with_nearest_rounding(spec, center):
    # Fewer rows than inputs, two of them alike: the moments are singular.
    rows = np.concatenate([ROWS[:9, :23], ROWS[:9, :1]], 1)
    gram, qparams = inputs(rows), qparams_from_data(DENSE, spec)
    rounded = dequantize(gptq(DENSE, gram, qparams, center=center), qparams)
    nearest = fake_quantize(DENSE, qparams)
    found, wanted = (
        output_error(DENSE, r, gram, center=center) for r in (rounded, nearest)
    )
    assert (found <= wanted * (1 + 1e-6) + 1e-12).all()


def test_inputs_that_are_always_zero_have_the_nearest_codes():
    rows = ROWS.copy()
    rows[:, 5:9] = 0
    qparams = qparams_from_data(DENSE, SPECS[0])
    codes = gptq(DENSE, inputs(rows), qparams)
    np.testing.assert_array_equal(codes[:, 5:9], quantize(DENSE, qparams)[:, 5:9])


@pytest.mark.parametrize("rows", [ROWS * 0, ROWS[:0]], ids=["zeros", "none"])
def test_without_any_input_all_codes_are_the_nearest(rows):
    scale = qparams_from_data(ROWS, INPUT)
    gram, qparams = (
        Gram.of(quantize(rows, scale), scale),
        qparams_from_data(DENSE, SPECS[0]),
    )
    np.testing.assert_array_equal(gptq(DENSE, gram, qparams), quantize(DENSE, qparams))


def test_a_center_counts_the_change_about_the_mean(array, to_numpy):
    x = fake_quantize(ROWS, qparams_from_data(ROWS, INPUT)).astype(np.float64)
    change = DENSE - np.round(DENSE)
    gram = inputs(ROWS, array=array)
    found = [
        to_numpy(output_error(array(DENSE), array(np.round(DENSE)), gram, center=c))
        for c in (False, True)
    ]
    expected = ((x @ change.T) ** 2).mean(0), (x @ change.T).var(0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "options", "error", "said"),
    [
        (DENSE, {"damping": 0}, ValueError, "at least 1e-08 and finite; got 0"),
        (DENSE * np.nan, {}, NonFiniteError, "`weights` must be finite"),
        (DENSE.astype(np.int32), {}, TypeError, "must be floating-point"),
        (DENSE[:, :7], {}, ValueError, "must be of 7 inputs .* got 24 in 1"),
        (DENSE, {"axis": 1}, ValueError, "must be of 10 inputs"),
    ],
)
def test_what_does_not_fit_is_refused(weights, options, error, said):
    with pytest.raises(error, match=said):
        gptq(weights, inputs(ROWS), qparams_from_data(DENSE, SPECS[0]), **options)


def test_other_statistics_are_refused():
    qparams = qparams_from_data(DENSE, SPECS[0])
    with pytest.raises(TypeError, match="`gram` must be a Gram; got Range"):
        gptq(DENSE, Range.of(ROWS), qparams)
    with pytest.raises(ValueError, match="`rounded` must have the shape"):
        output_error(DENSE, DENSE[:1], inputs(ROWS))
