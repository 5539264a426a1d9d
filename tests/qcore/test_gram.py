"""Sums of products of codes, against patches that NumPy itself cuts out."""

import pickle
import tracemalloc

import numpy as np
import pytest

from qcore import Gram, QParams, QuantSpec, Range, Window, load, save, stack, unstack
from qcore.statistics import patches

RNG = np.random.default_rng(7)
SPEC = QuantSpec("uint8", symmetric=False)
CODES = RNG.integers(0, 256, (5, 4, 7, 6)).astype(np.uint8)
ZERO = 37
WINDOWS = {
    "plain": Window((3, 3)),
    "padded": Window((3, 3), padding=1),
    "uneven": Window((3, 2), 2, 1, ((0, 1), (2, 0))),
    "dilated": Window((2, 3), (1, 2), (3, 2), 1),
    "cropped": Window((2, 2), padding=-1),
    "grouped": Window((3, 3), padding=1, groups=2),
    "depthwise": Window((3, 3), 2, padding=((0, 1), (0, 1)), groups=4),
    "pointwise": Window((1, 1)),
    "spread": Window((3, 3), padding=((2, 3), (1, 1)), spread=(3, 2)),
}
each_window = pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
FEW = {name: WINDOWS[name] for name in ("uneven", "grouped", "spread")}
few_windows = pytest.mark.parametrize("window", FEW.values(), ids=FEW)


def qparams(array, spec=SPEC, zero_point=ZERO, scale=0.03):
    return QParams(array(np.float32(scale)), array(np.int32(zero_point)), spec)


def unfolded(codes, window):
    """Return ``[groups, K, n]`` of integers by NumPy's own sliding windows."""
    x = codes.astype(np.int64) - ZERO
    for axis, (_, _, _, (before, after), spread) in enumerate(window.axes, 2):
        x = np.moveaxis(x, axis, 0)
        wide = np.zeros(((len(x) - 1) * spread + 1, *x.shape[1:]), np.int64)
        wide[::spread] = x
        zeros = np.zeros((9, *x.shape[1:]), np.int64)
        wide = np.concatenate([zeros, wide, zeros])[9 - before : 9 + len(wide) + after]
        x = np.moveaxis(wide, 0, axis)
    sizes = [d * (k - 1) + 1 for k, _, d, _, _ in window.axes]
    seen = np.lib.stride_tricks.sliding_window_view(x, sizes, tuple(range(2, x.ndim)))
    outputs = tuple(slice(None, None, s) for _, s, _, _, _ in window.axes)
    taps = tuple(slice(None, None, d) for _, _, d, _, _ in window.axes)
    seen = seen[(slice(None), slice(None), *outputs, *taps)]
    n, channels = seen.shape[:2]
    parts = window.groups, channels // window.groups
    seen = seen.reshape(n, *parts, -1, np.prod(window.kernel))
    seen = np.moveaxis(seen, (1, 2, 4), (0, 1, 2))
    return seen.reshape(window.groups, window.features(channels), -1)


def expect(state, rows, to_numpy):
    np.testing.assert_array_equal(
        to_numpy(state.products), rows @ np.swapaxes(rows, 1, 2), strict=True
    )
    np.testing.assert_array_equal(to_numpy(state.sums), rows.sum(2), strict=True)
    count = np.full(len(rows), rows.shape[2])
    np.testing.assert_array_equal(to_numpy(state.count), count, strict=True)


@few_windows
def test_products_are_those_of_unfolded_patches(run, array, to_numpy, window):
    state = run(lambda x, q: Gram.of(x, q, window=window), array(CODES), qparams(array))
    expect(state, unfolded(CODES, window), to_numpy)


@pytest.mark.parametrize("block", [1, 100, 600, 3000])
@each_window
def test_blocks_of_any_size_give_the_same(monkeypatch, window, block):
    monkeypatch.setattr(patches, "BLOCK", block)
    state = Gram.of(CODES, qparams(np.asarray), window=window)
    expect(state, unfolded(CODES, window), np.asarray)


@pytest.mark.parametrize("shape", [(5, 6), (5, 4, 3, 2, 3)])
def test_kernels_of_one_and_three_axes_work(array, to_numpy, shape):
    codes = RNG.integers(0, 256, shape).astype(np.uint8)
    rank = len(shape) - 2
    if rank == 0:
        codes = codes[:, None, :]
        rank = 1
    window = Window((2,) * rank, padding=1, stride=2)
    state = Gram.of(array(codes), qparams(array), window=window)
    expect(state, unfolded(codes, window), to_numpy)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_dense_layer_sees_its_last_axis(run, array, to_numpy, groups):
    window = Window(groups=groups)
    state = run(lambda x, q: Gram.of(x, q, window=window), array(CODES), qparams(array))
    rows = CODES.reshape(-1, groups, 6 // groups).astype(np.int64) - ZERO
    expect(state, np.moveaxis(rows, 0, 2), to_numpy)


@pytest.mark.parametrize("name", ["int4", "int8", "uint8", "int16", "uint16"])
def test_every_integer_format_is_exact(array, to_numpy, name):
    spec = QuantSpec(name)
    fmt = spec.format
    codes = RNG.choice([fmt.qmin, fmt.qmax, fmt.qmax - 1], (3000, 5)).astype(
        fmt.storage
    )
    state = Gram.of(array(codes), qparams(array, spec, fmt.qmin))
    expect(state, codes.astype(np.int64).T[None] - fmt.qmin, to_numpy)


def test_masked_rows_do_not_count(array, to_numpy):
    keep = RNG.random((5, 4, 7)) < 0.5
    state = Gram.of(array(CODES), qparams(array), mask=array(keep))
    expect(state, (CODES[keep].astype(np.int64) - ZERO).T[None], to_numpy)
    assert to_numpy(state.min) == np.float32(CODES[keep].min() - 37.0) * np.float32(
        0.03
    )


def test_masked_images_do_not_count(array, same):
    keep, window = np.array([1, 0, 1, 1, 0], bool), WINDOWS["padded"]
    found = Gram.of(array(CODES), qparams(array), window=window, mask=array(keep))
    same(found, Gram.of(array(CODES[keep]), qparams(array), window=window))


def test_moments_are_those_of_what_codes_stand_for(array, to_numpy):
    state = Gram.of(array(CODES), qparams(array))
    x = (CODES.reshape(-1, 6) - 37.0) * float(np.float32(0.03))
    for found, expected in (
        (state.mean, x.mean(0)),
        (state.second_moment, x.T @ x / len(x)),
        (state.covariance, np.cov(x.T, bias=True)),
    ):
        np.testing.assert_allclose(to_numpy(found)[0], expected, rtol=1e-9, atol=1e-12)
        assert to_numpy(found).dtype == np.float64


def test_ends_are_those_of_what_codes_stand_for(array, to_numpy):
    state = Gram.of(array(CODES), qparams(array))
    x = np.float32(CODES - 37.0) * np.float32(0.03)
    assert (to_numpy(state.min), to_numpy(state.max)) == (x.min(), x.max())


@few_windows
def test_batches_in_any_order_give_the_same_bits(array, same, window):
    whole = Gram.of(array(CODES), qparams(array), window=window)
    state = Gram.of(array(CODES[3:4]), qparams(array), window=window)
    for part in (CODES[:0], CODES[4:], CODES[:3]):
        state = state.update(array(part))
    same(state, whole)


def test_halves_merge_either_way(array, same):
    one, other = (Gram.of(array(x), qparams(array)) for x in (CODES[:2], CODES[2:]))
    same(one.merge(other), other.merge(one))
    same(one.merge(other), Gram.of(array(CODES), qparams(array)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scale": 0.04}, "share their scale of codes"),
        ({"zero_point": 36}, "share their zero_point of codes"),
        (
            {"spec": QuantSpec("uint7", symmetric=False)},
            "share their format; got uint8",
        ),
    ],
)
def test_codes_of_other_qparams_do_not_merge(array, change, said):
    one = Gram.of(array(CODES), qparams(array))
    with pytest.raises(ValueError, match=said):
        one.merge(Gram.of(array(CODES), qparams(array, **change)))


def test_other_windows_do_not_merge(array):
    one, other = (
        Gram.of(array(CODES), qparams(array), window=WINDOWS[name])
        for name in ("plain", "padded")
    )
    with pytest.raises(ValueError, match="share their window"):
        one.merge(other)


def test_other_features_do_not_merge(array):
    state = Gram.of(array(CODES), qparams(array))
    with pytest.raises(ValueError, match="share their features; got 6 and 5"):
        state.update(array(CODES[..., :5]))
    with pytest.raises(ValueError, match="share their class"):
        state.merge(Range.of(array(np.float32([1]))))


@few_windows
def test_a_state_is_the_same_from_a_file_and_on_any_library(
    tmp_path, xp, device, array, same, window
):
    state = Gram.of(array(CODES), qparams(array), window=window)
    save(tmp_path / "s", {"x": state})
    same(load(tmp_path / "s")["x"], state)
    again = load(tmp_path / "s", xp=xp, device=device)["x"]
    same(again.update(array(CODES)), state.update(array(CODES)))


def test_a_state_survives_pickling(array, same):
    state = Gram.of(array(CODES), qparams(array), window=WINDOWS["uneven"])
    same(pickle.loads(pickle.dumps(state)), state)


def test_states_stack_whose_scales_differ(array, same):
    parts = [Gram.of(array(CODES), qparams(array, scale=s)) for s in (0.1, 0.2)]
    for one, other in zip(unstack(stack(parts), parts), parts, strict=True):
        same(one, other)


@pytest.mark.parametrize(
    ("codes", "options", "error", "said"),
    [
        (
            CODES.astype(np.int8),
            {},
            TypeError,
            "codes of uint8 must be uint8; got int8",
        ),
        (CODES, {"window": Window((3,))}, ValueError, r"must be \[N, channels, \*spat"),
        (CODES[0, 0, 0, 0], {}, ValueError, r"must be \[\.\.\., features\]"),
        (CODES, {"window": Window((3, 3), groups=3)}, ValueError, "got 3 and 4"),
        (CODES, {"mask": np.ones(3, bool)}, ValueError, "must have 140 entries"),
        (CODES, {"mask": np.ones(140)}, TypeError, "`mask` must be boolean"),
    ],
)
def test_what_does_not_fit_is_refused(array, codes, options, error, said):
    options = {k: array(v) if k == "mask" else v for k, v in options.items()}
    with pytest.raises(error, match=said):
        Gram.of(array(codes), qparams(array), **options)


def test_codes_of_floats_are_refused(array):
    with pytest.raises(TypeError, match="must be given codes of integers; got float8"):
        Gram.of(array(CODES), qparams(array, QuantSpec("float8_e4m3fn"), 0))


def test_several_scales_are_refused(array):
    scales = QParams(array(np.float32([1, 2])), array(np.int32([0, 0])), SPEC)
    with pytest.raises(ValueError, match=r"one scale for the whole input; .*\(2,\)"):
        Gram.of(array(CODES), scales)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stride": 0}, r"`stride` must be positive; got \(0, 0\)"),
        ({"dilation": (1, 2, 3)}, "one entry for each of the kernel's 2 axes"),
        ({"groups": 0}, "`groups` must be a positive integer; got 0"),
    ],
)
def test_a_window_that_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Window((3, 3), **options)


def test_patches_are_never_all_unfolded(monkeypatch):
    monkeypatch.setattr(patches, "BLOCK", 1 << 16)
    codes = np.zeros((4, 8, 64, 64), np.uint8)
    tracemalloc.start()
    state = Gram.of(codes, qparams(np.asarray), window=Window((7, 7), padding=3))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The sums take 1.2 MB; all patches, in float32, 25 MB.
    assert peak < 6 * state.products.nbytes < 8e6


def test_an_input_smaller_than_the_kernel_has_no_outputs(array, to_numpy):
    state = Gram.of(array(CODES), qparams(array), window=Window((9, 9)))
    assert not to_numpy(state.count).any()
    assert not to_numpy(state.products).any()
