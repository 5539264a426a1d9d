"""Keys and values in codes: what attention sees of them, and what they cost."""

from functools import partial

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import qcore
from qcore.adapters.jax import KVCache, calibrate, collect, sites
from tests.adapters.jax.programs import made

HEADS, WIDTH, LAYERS, WORDS, STEPS = 4, 16, 2, 50, 64
SIZE = HEADS * WIDTH
SHAPE = (1, HEADS, STEPS, WIDTH)


@pytest.fixture(scope="module")
def params():
    layers = {
        "inputs": made(0, LAYERS, SIZE, 3 * SIZE) / 8,
        "outputs": made(1, LAYERS, SIZE, SIZE) / 8,
    }
    return {"words": made(2, WORDS, SIZE), "layers": layers}


def attend(query, keys, values, mask):
    with jax.named_scope("attention"):
        scores = jnp.einsum("bhqd,bhkd->bhqk", query, keys) / 4
        scores = jnp.where(mask, scores, -jnp.inf)
        return jnp.einsum("bhqk,bhkd->bhqd", jax.nn.softmax(scores), values)


def step(params, caches, word):
    """Read a word, and return caches that hold it and logits of the next."""

    def layer(x, given):
        weights, cache = given
        rows = x / jnp.sqrt((x**2).mean()) @ weights["inputs"]
        query, keys, values = rows.reshape(3, 1, HEADS, 1, WIDTH)
        cache = cache.append(keys, values)
        seen = attend(query, *cache.read(), cache.mask)
        return x + seen.reshape(SIZE) @ weights["outputs"], cache

    x, caches = jax.lax.scan(layer, params["words"][word], (params["layers"], caches))
    return caches, params["words"] @ x


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["keys", "values", "length"],
    meta_fields=[],
)
class FloatCache:
    """The cache that a quantized one stands in for."""

    def __init__(self, keys, values, length):
        self.keys, self.values, self.length = keys, values, length

    def append(self, *new):
        held = [
            jax.lax.dynamic_update_slice_in_dim(old, x, self.length, 2)
            for old, x in zip((self.keys, self.values), new, strict=True)
        ]
        return FloatCache(*held, self.length + 1)

    def read(self):
        return self.keys, self.values

    @property
    def mask(self):
        return jnp.arange(STEPS) < self.length


def stacked(cache):
    return jax.tree.map(lambda x: jnp.stack([x] * LAYERS), cache)


@pytest.fixture(scope="module")
def decoded(params):
    """Decode words with caches; return the last caches and the logits of each step."""
    words = np.random.default_rng(5).integers(0, WORDS, STEPS)

    @jax.jit
    def decoded(caches):
        return jax.lax.scan(partial(step, params), caches, jnp.asarray(words))

    return decoded


@pytest.fixture(scope="module")
def plain(decoded):
    return decoded(stacked(FloatCache(*[jnp.zeros(SHAPE)] * 2, jnp.int32(0))))


def cosine(a, b):
    a, b = np.ravel(a), np.ravel(b)
    return a @ b / np.sqrt((a @ a) * (b @ b))


@pytest.mark.parametrize(
    ("format", "share", "least"),
    [
        ("int8", 4, 0.999),
        ("float8_e4m3fn", 4, 0.99),
        ("float8_e5m2", 4, 0.98),
        ("int4", 8, 0.9),
    ],
)
def test_a_decoder_says_nearly_the_same_for_a_part_of_the_bytes(
    decoded, plain, format, share, least
):
    held, logits = plain
    spec = qcore.QuantSpec(format)
    scales = [qcore.qparams_from_data(x, spec) for x in (held.keys, held.values)]
    caches, found = decoded(stacked(KVCache.empty(*scales, SHAPE)))
    assert cosine(found, logits) >= least
    assert caches.nbytes * share == held.keys.nbytes + held.values.nbytes
    assert caches.keys.codes.dtype.itemsize == 1
    np.testing.assert_array_equal(caches.length, [STEPS] * LAYERS)


def test_scales_are_those_that_a_decoder_is_calibrated_to(params, decoded, plain):
    """Keys and values are the operands, of both products, that hold all positions."""
    empty = stacked(FloatCache(*[jnp.zeros(SHAPE)] * 2, jnp.int32(0)))
    rule = {"site": "*attention*", "activation": {"method": "minmax", "bins": 64}}
    counting = collect(step, [rule])

    @jax.jit
    def counted(caches):
        def count(carry, word):
            seen, caches = carry
            (caches, _), seen = counting(seen, params, caches, word)
            return (seen, caches), None

        (caches, _), start = counting(None, params, caches, 0)
        return jax.lax.scan(count, (start, caches), jnp.arange(1, WORDS))[0][0]

    found = calibrate(step, [rule], counted(empty))(params, empty, 0)
    scales = [
        found[site.name]
        for site in sites(step)(params, empty, 0)
        if site.shape == SHAPE
    ]
    _, logits = decoded(stacked(KVCache.empty(*scales, SHAPE)))
    assert cosine(logits, plain[1]) >= 0.99


def test_codes_are_those_of_ml_dtypes():
    scale = qcore.qparams_from_amax(
        jnp.float32(448.0), qcore.QuantSpec("float8_e4m3fn")
    )
    x = 30 * made(7, 1, 2, 3, 8)
    cache = KVCache.empty(scale, scale, (1, 2, 4, 8)).append(x, -x)
    found = np.asarray(cache.keys.codes)[:, :, :3].view(ml_dtypes.float8_e4m3fn)
    expected = np.asarray(x).astype(ml_dtypes.float8_e4m3fn)
    np.testing.assert_array_equal(found, expected)
    keys, values = cache.read(jnp.bfloat16)
    np.testing.assert_array_equal(keys[:, :, :3], expected.astype(ml_dtypes.bfloat16))
    np.testing.assert_array_equal(values[:, :, :3], -keys[:, :, :3])


@pytest.mark.parametrize("format", ["int3", "float6_e2m3fn"])
def test_codes_of_a_position_fill_whole_bytes(format):
    spec = qcore.QuantSpec(format, qcore.PerChannel((1, 3)))
    x = made(8, 1, 2, 5, 7)
    scales = qcore.qparams_from_data(x, spec)
    cache = KVCache.empty(scales, scales, (1, 2, 6, 7))
    cache = cache.append(x[:, :, :2], x[:, :, :2]).append(x[:, :, 2:], x[:, :, 2:])
    expected = qcore.fake_quantize(np.asarray(x), jax.tree.map(np.asarray, scales))
    np.testing.assert_array_equal(cache.read()[0][:, :, :5], expected)
    assert cache.keys.codes.dtype == jnp.uint8
    bits = spec.format.bits
    assert 7 * bits / 8 <= cache.keys.codes.shape[-1] < 7 * bits / 8 + bits


@pytest.fixture
def cache():
    scales = qcore.qparams_from_amax(jnp.float32(4.0), qcore.QuantSpec("int8"))
    return KVCache.empty(scales, scales, (2, 1, 4, 3), value_width=2)


def test_what_does_not_fit_is_refused_or_left_out(cache):
    keys, values = made(0, 2, 1, 3, 3), made(1, 2, 1, 3, 2)
    full = cache.append(keys, values)
    with pytest.raises(ValueError, match="fit in 4 positions; 3 are held, 3 come"):
        full.append(keys, values)
    left = jax.jit(KVCache.append)(full, keys, values)
    for a, b in zip(*map(jax.tree.leaves, (left, full)), strict=True):
        np.testing.assert_array_equal(a, b)
    last = jax.jit(KVCache.append)(full, keys[:, :, :1], values[:, :, :1])
    np.testing.assert_array_equal(last.keys.codes[:, :, 3], full.keys.codes[:, :, 0])
    assert last.length == 4


def test_data_of_other_shapes_is_refused(cache):
    with pytest.raises(ValueError, match="one shape but for the width"):
        cache.append(made(0, 2, 1, 3, 3), made(0, 2, 1, 2, 2))
    with pytest.raises(ValueError, match=r"shape \(2, 1, 1, 3\).*got \(1, 1, 1, 3\)"):
        cache.append(made(0, 1, 1, 1, 3), made(0, 1, 1, 1, 2))


def test_positions_can_be_forgotten_and_entries_reordered(cache):
    keys, values = made(0, 2, 1, 3, 3), made(1, 2, 1, 3, 2)
    full = cache.append(keys, values)
    np.testing.assert_array_equal(full.crop(1).mask, [True, False, False, False])
    swapped = full.reorder(jnp.asarray([1, 1, 0]))
    np.testing.assert_array_equal(
        swapped.values.codes, full.values.codes[jnp.asarray([1, 1, 0])]
    )


def test_positions_that_are_not_held_cannot_be_cropped_to(cache):
    full = cache.append(made(0, 2, 1, 3, 3), made(1, 2, 1, 3, 2))
    for length in (-2, 4):
        with pytest.raises(ValueError, match=f"from 0 to 3, .*; got {length}"):
            full.crop(length)
    cropped = jax.jit(KVCache.crop)
    assert [int(cropped(full, n).length) for n in (-2, 0, 2, 9)] == [0, 0, 2, 3]


@pytest.mark.parametrize("length", [1.5, True, "1", [1], None])
def test_lengths_are_integers(cache, length):
    with pytest.raises(TypeError, match="`length` must be integers of 0 axes"):
        cache.crop(length)


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (jnp.asarray([0, 2]), ValueError, r"a batch of 2; got \[0, 2\]"),
        (np.asarray([-3]), ValueError, r"a batch of 2; got \[-3\]"),
        (np.asarray([0.5]), TypeError, r"of 1 axes; got float64 of shape \(1,\)"),
        (0, TypeError, "of 1 axes; got int"),
    ],
)
def test_entries_beyond_the_batch_are_refused(cache, index, error, message):
    with pytest.raises(error, match=message):
        cache.reorder(index)


SCALES = qcore.qparams_from_amax(np.float32(4.0), qcore.QuantSpec("int8"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((3, 3, SHAPE), "scales must be QParams; got int"),
        ((SCALES, SCALES, 3), "`shape` must be positive integers.*got 3"),
        ((SCALES, SCALES, (4,)), r"`shape` must be .*got \(4,\)"),
        ((SCALES, SCALES, (1, -2, 4)), "`shape` must be positive"),
        ((SCALES, SCALES, "ab"), "`shape` must be positive integers.*got 'ab'"),
    ],
)
def test_a_cache_is_made_of_scales_and_sizes(given, message):
    with pytest.raises(TypeError, match=message):
        KVCache.empty(*given)


def test_the_width_of_values_is_a_size():
    with pytest.raises(TypeError, match="`value_width` must be a positive integer"):
        KVCache.empty(SCALES, SCALES, SHAPE, value_width=0)


@pytest.mark.parametrize("keys", [3, None, np.ones((2, 1, 1, 3), np.int32)])
def test_what_is_appended_is_floating_point(cache, keys):
    with pytest.raises(TypeError, match="`keys` must be a floating-point array"):
        cache.append(keys, made(1, 2, 1, 1, 2))


@pytest.mark.parametrize(
    ("granularity", "format", "message"),
    [
        (qcore.PerChannel(2), "int8", "one scale for all positions"),
        (qcore.PerChannel(0), "int8", "one scale for all positions"),
        (qcore.PerBlock(3, 2), "int8", "one scale for all positions"),
        (qcore.PerTensor(), "int16", "at most 8 bits"),
    ],
)
def test_scales_that_are_not_static_are_refused(granularity, format, message):
    spec = qcore.QuantSpec(format, granularity)
    scales = qcore.qparams_from_data(made(0, 2, 1, 4, 4), spec)
    with pytest.raises(ValueError, match=message):
        KVCache.empty(scales, scales, (2, 1, 4, 4))
