"""Float8 scales of blocks under a global scale, as NVFP4 has them."""

from importlib import import_module

import ml_dtypes
import numpy as np
import pytest

from qcore import (
    PerBlock,
    QuantSpec,
    block_spec,
    decode_scales,
    encode_scales,
    fake_quantize,
    qparams_from_amax,
    qparams_from_data,
)

NVFP4 = block_spec("nvfp4")
SIX, F8 = np.float32(6), ml_dtypes.float8_e4m3fn
F8_VALUES = np.arange(1, 0x7F, dtype=np.uint8).view(F8).astype(np.float32)


def amaxes(seed=0):
    rng = np.random.default_rng(seed)
    amax = np.exp2(rng.uniform(-12, 3, (20, 50))).astype(np.float32)
    amax[3, ::4] = 0
    return amax


def two_levels(amax, level=None):
    """Return block scales and the global one by the formulas of Model Optimizer."""
    level = amax.max() / np.float32(6 * 448) if level is None else level
    part = np.minimum(amax / (SIX * level), np.float32(448)).astype(F8)
    part = np.maximum(part.astype(np.float32), np.float32(2**-9))
    return np.where(amax == 0, np.float32(1), part), level


def test_scales_are_those_of_the_two_levels(run, array, to_numpy):
    amax = amaxes()
    found = run(lambda amax: qparams_from_amax(amax, NVFP4), array(amax))
    part, level = two_levels(amax)
    assert float(to_numpy(found.global_scale)) == level
    assert found.global_scale.shape == ()
    np.testing.assert_array_equal(to_numpy(found.scale), part * level, strict=True)


def test_stored_block_scales_are_those_of_ml_dtypes(run, array, to_numpy):
    amax = amaxes(1)

    def stored(amax):
        qparams = qparams_from_amax(amax, NVFP4)
        codes, level = encode_scales(qparams)
        return qparams.scale, codes, decode_scales(codes, NVFP4, level)

    scale, codes, decoded = map(to_numpy, run(stored, array(amax)))
    part, _ = two_levels(amax)
    expected = part.astype(F8).view(np.uint8)
    np.testing.assert_array_equal(codes, expected, strict=True)
    np.testing.assert_array_equal(decoded, scale, strict=True)


@pytest.mark.parametrize("level", [1.0, 0.37, 2.0**-117, 2.0**118, 3e-30])
def test_every_block_scale_survives_storage(array, to_numpy, level):
    level = array(np.float32(level))
    amax = np.float64(F8_VALUES) * 6 * np.float64(to_numpy(level))
    amax = array(np.minimum(amax, np.finfo(np.float32).max).astype(np.float32))
    found = qparams_from_amax(amax, NVFP4, global_scale=level)
    codes, kept = encode_scales(found)
    if float(to_numpy(level)) < 1e30:
        assert to_numpy(codes).tolist() == list(range(1, 0x7F))
    scale = to_numpy(decode_scales(codes, NVFP4, kept))
    np.testing.assert_array_equal(scale, to_numpy(found.scale), strict=True)
    assert (scale >= 2.0**-126).all()


def test_a_global_scale_that_was_chosen_is_kept(array, to_numpy):
    x = np.random.default_rng(3).standard_normal((3, 40)).astype(np.float32)
    level = np.float32(0.004)
    found = qparams_from_data(array(x), NVFP4, global_scale=array(level))
    blocks = [np.abs(x[:, i : i + 16]).max(axis=1) for i in (0, 16, 32)]
    part, _ = two_levels(np.stack(blocks, axis=1), level)
    assert to_numpy(found.global_scale) == level
    np.testing.assert_array_equal(to_numpy(found.scale), part * level, strict=True)


def test_a_global_scale_may_differ_between_experts(array, to_numpy):
    amax = amaxes(4).reshape(2, 10, 50)
    level = np.float32([[[0.01]], [[0.002]]])
    found = qparams_from_amax(array(amax), NVFP4, global_scale=array(level))
    expected = [two_levels(amax[i], level[i])[0] * level[i] for i in (0, 1)]
    np.testing.assert_array_equal(to_numpy(found.scale), np.stack(expected))


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_a_global_scale_is_held_in_float32(array, to_numpy, dtype):
    if dtype == "float16" and "strict" in type(array(0.0)).__module__:
        dtype = "float32"
    level = array(np.asarray(0.25, dtype))
    found = qparams_from_amax(array(np.float32([3])), NVFP4, global_scale=level)
    assert to_numpy(found.global_scale).dtype == np.float32
    assert to_numpy(found.scale).tolist() == [0.5]


def test_rounded_up_no_scale_lies_below_its_block(array, to_numpy):
    amax = amaxes(5)
    spec = block_spec("nvfp4", scale_rounding="up")
    part = to_numpy(encode_scales(qparams_from_amax(array(amax), spec))[0])
    level = amax.max() / np.float32(6 * 448)
    exact = np.minimum(amax / (SIX * level), np.float32(448))
    place = np.searchsorted(F8_VALUES, exact)
    expected = np.where(amax == 0, np.float32(1), F8_VALUES[place])
    np.testing.assert_array_equal(part.view(F8).astype(np.float32), expected)


def test_a_small_block_beside_a_large_one_is_not_lost(array, to_numpy):
    x = np.zeros((1, 32), np.float32)
    x[0, 0], x[0, 16:18] = 2688, (1e-3, 0.01)
    found = qparams_from_data(array(x), NVFP4)
    assert to_numpy(found.scale).tolist() == [[448, 2**-9]]
    shown = to_numpy(fake_quantize(array(x), found))
    assert shown[0, 16:18].tolist() == [2**-10, 6 * 2**-9]


def test_a_block_of_zeros_has_the_float8_number_1(array, to_numpy):
    x = np.zeros((1, 32), np.float32)
    x[0, 0] = 26.88
    found = qparams_from_data(array(x), NVFP4)
    codes, level = encode_scales(found)
    assert to_numpy(codes).view(F8)[0, 1] == 1
    assert to_numpy(found.scale)[0, 1] == to_numpy(level)


def test_subnormal_data_beside_none_else_has_scale_1(array, to_numpy):
    x = np.full((1, 32), 1e-40, np.float32)
    found = qparams_from_data(array(x), NVFP4)
    assert to_numpy(found.scale).tolist() == [[1, 1]]
    assert float(to_numpy(found.global_scale)) == 1


def test_foreign_scales_of_zero_are_read_as_the_smallest(array, to_numpy):
    codes, level = array(np.uint8([0, 0x38])), array(np.float32(0.5))
    assert to_numpy(decode_scales(codes, NVFP4, level)).tolist() == [2.0**-126, 0.5]


@pytest.mark.parametrize("name", ["int8", "int4", "float8_e4m3fn"])
def test_other_elements_have_two_levels_too(array, to_numpy, name):
    spec = QuantSpec(name, PerBlock(1, 8), scale_format="float8_e4m3fn")
    x = np.random.default_rng(6).standard_normal((3, 20)).astype(np.float32)
    found = qparams_from_data(array(x), spec)
    top = np.float32(spec.format.max)
    level = np.abs(x).max() / np.float32(top * 448)
    blocks = [np.abs(x[:, i : i + 8]).max(axis=1) for i in (0, 8, 16)]
    part = (np.stack(blocks, axis=1) / (top * level)).astype(F8).astype(np.float32)
    np.testing.assert_array_equal(to_numpy(found.scale), part * level)


def test_the_global_scale_is_a_leaf_of_a_jax_tree():
    jax = pytest.importorskip("jax")
    x = jax.numpy.linspace(-1, 1, 32)
    for spec, leaves in ((NVFP4, 3), (block_spec("mxfp4"), 2)):
        found = jax.jit(lambda x, spec=spec: qparams_from_data(x, spec))(x)
        assert len(jax.tree_util.tree_leaves(found)) == leaves
        same = jax.tree_util.tree_map(lambda leaf: leaf, found)
        assert (same.global_scale is None) == (leaves == 2)


def test_the_global_scale_is_a_leaf_of_a_torch_tree():
    torch = pytest.importorskip("torch")
    pytree = import_module("torch.utils._pytree")
    for spec, leaves in ((NVFP4, 3), (block_spec("mxfp4"), 2)):
        found = qparams_from_data(torch.linspace(-1, 1, 32), spec)
        flat, tree = pytree.tree_flatten(found)
        assert len(flat) == leaves
        assert pytree.tree_unflatten(flat, tree).global_scale is found.global_scale


@pytest.mark.parametrize("bad", [0.0, -1.0, np.inf])
def test_a_global_scale_must_be_positive(bad: float) -> None:
    spec = QuantSpec("float4_e2m1fn", scale_format="float8_e4m3fn")
    with pytest.raises(ValueError, match="`global_scale` must be positive"):
        qparams_from_amax(np.ones(3, "f4"), spec, global_scale=np.float32(bad))


def test_a_global_scale_must_broadcast() -> None:
    spec = QuantSpec("float4_e2m1fn", scale_format="float8_e4m3fn")
    for shape in (5, (5, 3)):
        with pytest.raises(ValueError, match="`global_scale` must broadcast"):
            qparams_from_amax(np.ones(3, "f4"), spec, global_scale=np.ones(shape, "f4"))
