"""Keys and values of one layer in codes."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from qcore import (
    PerBlock,
    PerChannel,
    QParams,
    QuantSpec,
    qparams_from_amax,
    qparams_from_data,
)
from qcore.adapters.torch.kv_cache.cache import KVCacheLayer
from tests.adapters.torch.kv_cache_layers import data, held_shape, layer, scales


def by_hand(x: torch.Tensor, scale: float, qmax: int) -> torch.Tensor:
    codes = torch.round(x.double() / scale).clamp(-qmax - 1, qmax)
    return (codes * scale).float()


def held(cache: KVCacheLayer) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what a cache holds: an update of no positions."""
    return cache.update(*(torch.zeros(2, 3, 0, width) for width in (8, 5)))


@pytest.fixture
def filled() -> KVCacheLayer:
    cache = layer()
    cache.update(data(2, 3, 6, 8), data(2, 3, 6, 5, seed=1))
    return cache


@pytest.mark.parametrize("bits", range(2, 9))
def test_updates_return_what_all_codes_stand_for(bits: int):
    qmax = 2 ** (bits - 1) - 1
    cache, keys, values = layer(f"int{bits}"), data(2, 3, 7, 5), data(2, 3, 7, 9)
    for part in (slice(0, 3), slice(3, 4), slice(4, 7)):
        found = cache.update(keys[:, :, part], values[:, :, part])
        end = part.stop
        for x, y, amax in zip((keys, values), found, (4.0, 2.0), strict=True):
            scale = np.float32(amax) / np.float32(qmax)
            torch.testing.assert_close(y, by_hand(x[:, :, :end], float(scale), qmax))


def test_codes_share_bytes():
    cache = layer("int4", max_length=10)
    cache.update(data(1, 2, 10, 6), data(1, 2, 10, 6))
    assert cache.nbytes == 2 * (2 * 10 * 6 // 2)
    cache = layer("int6", max_length=1)
    cache.update(data(1, 1, 5), data(1, 1, 5))
    assert cache.nbytes == 2 * 4  # 30 bits and 2 of filling


@pytest.mark.parametrize("name", ["float4_e2m1fn", "float6_e2m3fn", "float8_e5m2"])
def test_codes_may_be_floats(name: str):
    spec = QuantSpec(name)
    amax = spec.format.max
    cache = KVCacheLayer(scales(amax, spec), scales(amax, spec))
    x = torch.tensor([[0.0, 1.0, -1.5, 2.0, amax]])  # numbers of all these formats
    keys, values = cache.update(x, -x)
    assert torch.equal(keys, x)
    assert torch.equal(values, -x)


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64]
)
def test_results_have_the_dtype_of_the_model(dtype: torch.dtype):
    x = data(1, 2, 3, 4, dtype=dtype)
    keys, values = layer().update(x, x)
    assert keys.dtype == values.dtype == dtype
    expected = by_hand(x, float(np.float32(4) / np.float32(127)), 127).to(dtype)
    torch.testing.assert_close(keys, expected)


def test_zero_points_are_kept():
    spec = QuantSpec("uint8", symmetric=False)
    x = data(1, 2, 5, 4) + 3
    qparams = qparams_from_data(x, spec)
    found, _ = KVCacheLayer(qparams, qparams).update(x, x)
    torch.testing.assert_close(found, x, rtol=0, atol=0.51 * float(qparams.scale))


def test_scales_may_be_those_of_heads_and_channels():
    spec = QuantSpec(granularity=PerChannel((1, 3)))
    amax = torch.tensor([1.0, 100.0]).reshape(1, 2, 1, 1).expand(1, 2, 1, 4)
    qparams = qparams_from_amax(amax, spec)
    x = data(1, 2, 5, 4).clamp(-1, 1) * amax
    found, _ = KVCacheLayer(qparams, qparams).update(x, x)
    assert ((found - x).abs() <= 0.51 * amax / 127).all()


def test_several_scales_without_a_rank_are_those_of_the_last_axis():
    spec = QuantSpec(granularity=PerChannel(0))
    cache = KVCacheLayer(scales(4.0, spec, (8,)), scales(4.0, spec, (5,)))
    assert held(cache)[0].shape == (2, 3, 0, 8)


def test_memory_doubles():
    cache, sizes = layer(), set()
    for step in range(100):
        cache.update(data(1, 1, 4, seed=step), data(1, 1, 4, seed=step))
        sizes.add(cache.nbytes // 8)
        assert cache.nbytes // 8 < 2 * cache.length
    assert sizes == {1, 2, 4, 8, 16, 32, 64, 128}


def test_memory_is_made_at_once_for_a_known_length():
    cache = layer(max_length=10)
    cache.update(data(1, 1, 4), data(1, 1, 4))
    codes = cache.keys._codes
    cache.update(data(1, 9, 4), data(1, 9, 4))
    assert cache.keys._codes is codes
    assert cache.nbytes == 2 * 10 * 4


def test_too_many_positions_are_an_error_and_change_nothing():
    cache = layer(max_length=3)
    cache.update(data(1, 2, 4), data(1, 2, 4))
    with pytest.raises(ValueError, match="`keys` must fit in 3 positions"):
        cache.update(data(1, 2, 4), data(1, 2, 4))
    assert cache.length == 2
    cache.update(data(1, 1, 4), data(1, 1, 4))


def test_crop_keeps_the_first_positions(filled: KVCacheLayer):
    keys, values = held(filled)
    filled.crop(10)
    filled.crop(4)
    assert torch.equal(held(filled)[0], keys[:, :, :4])
    filled.crop(-1)
    assert torch.equal(held(filled)[1], values[:, :, :3])
    filled.update(data(2, 3, 1, 8, seed=5), data(2, 3, 1, 5))
    new = by_hand(data(2, 3, 1, 8, seed=5), float(np.float32(4) / np.float32(127)), 127)
    torch.testing.assert_close(held(filled)[0][:, :, 3:], new)
    filled.crop(-100)
    assert filled.length == 0


def test_reset_forgets_and_keeps_the_memory(filled: KVCacheLayer):
    size = filled.nbytes
    filled.reset()
    assert (filled.length, filled.nbytes) == (0, size)
    filled.update(data(5, 1, 2, 8), data(5, 1, 2, 5))  # of another batch
    assert held_shape(filled) == (5, 1, 2, 8)


def test_reorder_takes_other_entries_of_the_batch(filled: KVCacheLayer):
    keys, values = held(filled)
    filled.reorder(torch.tensor([1, 1, 0]))
    found = filled.update(torch.zeros(3, 3, 0, 8), torch.zeros(3, 3, 0, 5))
    assert torch.equal(found[0], keys[[1, 1, 0]])
    assert torch.equal(found[1], values[[1, 1, 0]])
    layer().reorder(torch.tensor([0]))  # of nothing


def test_copies_are_apart(filled: KVCacheLayer):
    keys, _ = held(filled)
    for other in (copy.deepcopy(filled), pickle.loads(pickle.dumps(filled))):
        assert torch.equal(held(other)[0], keys)
        other.update(data(2, 3, 4, 8), data(2, 3, 4, 5))
        other.crop(1)
    assert torch.equal(held(filled)[0], keys)


def test_a_state_dict_holds_the_scales_alone(filled: KVCacheLayer):
    state = filled.state_dict()
    stores, names = ("keys", "values"), ("scale", "zero_point")
    assert set(state) == {f"{store}.{name}" for store in stores for name in names}
    other = KVCacheLayer(scales(1.0), scales(1.0))
    other.load_state_dict(state)
    other.update(data(2, 3, 6, 8), data(2, 3, 6, 5, seed=1))
    assert torch.equal(held(other)[0], held(filled)[0])


def test_a_model_in_half_precision_keeps_the_scales(filled: KVCacheLayer):
    keys, scale = held(filled)[0], filled.keys.scale.clone()
    for cast in ("half", "bfloat16", "double"):
        getattr(nn.Sequential(filled), cast)()
        assert filled.keys.scale.dtype == torch.float32
        assert torch.equal(filled.keys.scale, scale)
    assert torch.equal(held(filled)[0], keys)


@pytest.mark.parametrize("spec", ["int8", "int4", "float8_e4m3fn"])
def test_nothing_looks_at_values_so_no_device_is_waited_for(spec: str):
    cache = layer(spec).to("meta")  # where there are no values to look at
    for length in (3, 1, 1):
        x = torch.empty(1, 2, length, 8, device="meta")
        keys, _ = cache.update(x, x)
    cache.reorder(torch.zeros(2, dtype=torch.int64, device="meta"))
    assert (keys.shape, keys.device.type) == ((1, 2, 5, 8), "meta")


def test_a_wrong_device_is_named():
    with pytest.raises(ValueError, match=r"`keys` must be on the .*cpu; got meta"):
        layer().update(*(torch.empty(1, 2, 4, device="meta") for _ in range(2)))


def test_gradients_stop():
    x = data(1, 2, 3, 4).requires_grad_()
    cache = layer()
    found = cache.update(x, x.mul(2))
    assert not any(y.requires_grad for y in found)
    assert copy.deepcopy(cache).length == 3


def test_a_cache_goes_on_outside_of_inference_mode():
    cache, x = layer("int4"), data(2, 3, 4)
    with torch.inference_mode():
        cache.update(x, x)
        cache.reorder(torch.tensor([1, 0]))
        cache.update(x, x)
    found, _ = cache.update(x, x)
    assert torch.equal(found[:, :3], layer("int4").update(x, x)[0].flip(0))
    assert cache.length == 9


def test_strides_do_not_matter():
    x = data(1, 3, 4, 5).transpose(1, 2)
    expected = layer().update(x.contiguous(), x.contiguous())
    assert torch.equal(layer().update(x, x)[0], expected[0])


@pytest.mark.parametrize(
    ("keys", "values", "message"),
    [
        (data(2, 3, 1, 8), data(2, 3, 2, 5), "`keys` and `values` must have one shape"),
        (data(1, 3, 1, 8), data(1, 3, 1, 5), r"`keys` must have the extents \(2, 3, 8"),
        (data(2, 3, 1, 8), data(2, 3, 1, 6), "`values` must have the extents"),
        (torch.ones(8), torch.ones(8), "`keys` must be floating-point of shape"),
        (torch.ones(2, 3, 1, 8, dtype=torch.int8), data(2, 3, 1, 5), "got torch.int8"),
    ],
)
def test_what_does_not_fit_changes_nothing(filled, keys, values, message: str):
    with pytest.raises(ValueError, match=message):
        filled.update(keys, values)
    assert (filled.keys.length, filled.values.length) == (6, 6)


def test_scales_of_another_width_are_an_error_before_anything_is_held():
    spec = QuantSpec(granularity=PerChannel(-1))
    cache = KVCacheLayer(scales(4.0, spec, (8,)), scales(4.0, spec, (8,)))
    with pytest.raises(ValueError, match=r"must have shape \(1, 1, 1, 5\)"):
        cache.update(data(2, 3, 1, 8), data(2, 3, 1, 5))
    assert (cache.length, cache.nbytes) == (0, 0)


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        (QuantSpec("int16"), ()),
        (QuantSpec(granularity=PerBlock(-1, 4)), (1, 1, 1, 2)),
        (QuantSpec(granularity=PerChannel((2, 3))), (1, 1, 6, 8)),
        (QuantSpec(granularity=PerChannel(0)), (2, 1, 1, 1)),
    ],
)
def test_scales_that_are_not_static_are_refused(spec: QuantSpec, shape):
    qparams = QParams(torch.ones(shape), torch.zeros(shape, dtype=torch.int32), spec)
    with pytest.raises(ValueError, match="`qparams` must"):
        KVCacheLayer(qparams, qparams)
