"""Each primitive computes in ONNX Runtime what it does in JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.adapters.jax.onnx_runs import exported_float, run


def made(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


X, Y = made(3, 4), made(3, 4, seed=1)
POSITIVE = np.abs(X) + 0.1
UNIT = np.tanh(X)
M, N = np.array([[5, -7, 3]], np.int32), np.array([[2, 2, -2]], np.int32)
TRUE = X > 0
PICTURE = made(2, 6, 7, 3)
PARTS = np.array([0.5, -0.5, 1.5, 2.5, 0.49999997, -1.2], np.float32)
SMALL = np.array([1e-8, -1e-8, 1e-3, 0.7, 3.0, 0.0, np.inf], np.float32)


def named(**cases):
    return [pytest.param(*case, id=name) for name, case in cases.items()]


ELEMENTS = named(
    abs=(jnp.abs, X),
    acos=(jnp.arccos, UNIT),
    acosh=(jnp.arccosh, 1 + POSITIVE),
    add=(lax.add, X, Y),
    asin=(jnp.arcsin, UNIT),
    asinh=(lax.asinh, X),
    atan=(lax.atan, X),
    atanh=(lax.atanh, UNIT),
    ceil=(jnp.ceil, X),
    clamp=(lambda x: lax.clamp(-0.5, x, 0.5), X),
    clamp_each=(lax.clamp, X - 1, Y, X + 1),
    clip=(lambda x: jnp.clip(x, -0.5, 0.5), X),
    copy=(jnp.array, X),
    cos=(jnp.cos, X),
    cosh=(jnp.cosh, X),
    div=(lax.div, X, Y),
    div_integers=(lax.div, M, N),
    erf=(lax.erf, X),
    erfc=(lax.erfc, X),
    exp=(jnp.exp, X),
    exp2=(jnp.exp2, X),
    expm1=(jnp.expm1, SMALL),
    floor=(jnp.floor, X),
    integer_pow=(lambda x: (x**2, x**3, x**-1, x**-2), X),
    is_finite=(jnp.isfinite, np.array([1, np.inf, -np.inf, np.nan], np.float32)),
    log=(jnp.log, POSITIVE),
    log1p=(jnp.log1p, SMALL),
    logistic=(jax.nn.sigmoid, X),
    max=(lax.max, X, Y),
    max_integers=(lax.max, M, N),
    max_truth=(lax.max, TRUE, ~TRUE),
    min=(lax.min, X, Y),
    mul=(lax.mul, X, Y),
    neg=(lax.neg, X),
    pow=(lax.pow, POSITIVE, Y),
    reduce_precision=(lambda x: lax.reduce_precision(x, 8, 23), X),
    relu=(jax.nn.relu, X),
    relu6=(jax.nn.relu6, 4 * X),
    rem=(lax.rem, X, Y),
    rem_integers=(lax.rem, M, N),
    round_away=(lax.round, PARTS),
    round_even=(jnp.round, PARTS),
    rsqrt=(lax.rsqrt, POSITIVE),
    sign=(jnp.sign, X),
    sin=(jnp.sin, X),
    sinh=(jnp.sinh, X),
    sqrt=(jnp.sqrt, POSITIVE),
    square=(jnp.square, X),
    stop_gradient=(lax.stop_gradient, X),
    sub=(lax.sub, X, Y),
    tan=(jnp.tan, X),
    tanh=(jnp.tanh, X),
)

LOGIC = named(
    eq=(lax.eq, M, N),
    eq_truth=(lax.eq, TRUE, ~TRUE),
    ge=(lax.ge, X, Y),
    gt=(lax.gt, X, Y),
    le=(lax.le, M, N),
    lt=(lax.lt, X, Y),
    lt_truth=(lax.lt, TRUE, Y > 0),
    ne=(lax.ne, M, N),
    logic=(lambda x, y: (x & y, x | y, x ^ y, ~x), TRUE, Y > 0),
    bits=(lambda x, y: (x & y, x | y, x ^ y, ~x), M, N),
    select=(jnp.where, TRUE, X, Y),
    select_scalar=(lambda x, y: jnp.where(x[0, 0] > 0, x, y), X, Y),
    select_of_three=(
        lambda which, x: lax.select_n(which, x, 2 * x, 3 * x),
        np.array([0, 2, 1], np.int32),
        X[0, :3],
    ),
)

LAYOUT = named(
    broadcast=(lambda x: jnp.broadcast_to(x[:, None], (2, 3, 5, 4)), X),
    broadcast_number=(lambda x: jnp.full((3, 2), x[0, 0]), X),
    cast=(lambda x: (x.astype(jnp.int32), (x > 0).astype(jnp.float32), x != 0), X),
    cast_from_integers=(lambda x: x.astype(jnp.float32), M),
    concatenate=(lambda x, y: jnp.concatenate([x, y[:, :2]], 1), X, Y),
    cumsum=(lambda x: (jnp.cumsum(x, 0), lax.cumsum(x, 1, reverse=True)), X),
    expand_dims=(lambda x: x[:, None, :, None], X),
    iota=(lambda x: x + lax.broadcasted_iota(jnp.float32, (3, 4), 1), X),
    pad=(lambda x: jnp.pad(x, ((1, 2), (0, 3)), constant_values=7), X),
    pad_between=(lambda x: lax.pad(x, 2.0, ((1, 0, 2), (-1, 1, 1))), X),
    pad_less=(lambda x: lax.pad(x, 0.0, ((-1, 0, 0), (0, -2, 0))), X),
    repeat=(lambda x: jnp.repeat(x, 3, 1), X),
    reshape=(lambda x: x.reshape(2, -1), X),
    rev=(lambda x: (x[::-1], jnp.flip(x)), X),
    slice=(lambda x: x[1:, ::2], X),
    split=(lambda x: jnp.split(x, [1, 3], 1), X),
    squeeze=(lambda x: x[None, :, None].squeeze(0), X),
    stack=(lambda x, y: jnp.stack([x, y], 1), X, Y),
    unstack=(lambda x: jnp.unstack(x, axis=1), X),
    transpose=(lambda x: x.transpose(2, 0, 3, 1), PICTURE),
    tril=(jnp.tril, X),
)

REDUCTIONS = named(
    all=(lambda x: (x.all(1), x.any(0)), TRUE),
    argmax=(lambda x: (x.argmax(1), x.argmin(0)), X),
    argsort=(lambda x: (jnp.argsort(x, 1), jnp.sort(x, 0)), X),
    max=(lambda x: (x.max(), x.max(0), x.min((0, 1))), X),
    max_integers=(lambda x: x.max(1), M),
    mean=(lambda x: (x.mean(1), x.var(0)), X),
    prod=(lambda x: x.prod(1), X),
    softmax=(lambda x: (jax.nn.softmax(x), jax.nn.log_softmax(x, 0)), X),
    sum=(lambda x: (x.sum(), x.sum(1, keepdims=True)), X),
    top_k=(lambda x: lax.top_k(x, 2), X),
)

WINDOWS = named(
    avg=(
        lambda x: lax.reduce_window(
            x, 0.0, lax.add, (1, 2, 3, 1), (1, 2, 1, 1), "SAME"
        ),
        PICTURE,
    ),
    max=(
        lambda x: lax.reduce_window(
            x, -jnp.inf, lax.max, (1, 3, 2, 1), (1, 2, 2, 1), "SAME"
        ),
        PICTURE,
    ),
    max_dilated=(
        lambda x: lax.reduce_window(
            x,
            -jnp.inf,
            lax.max,
            (1, 2, 2, 1),
            (1, 1, 1, 1),
            "VALID",
            window_dilation=(1, 2, 3, 1),
        ),
        PICTURE,
    ),
    max_one_axis=(
        lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2, 1), (1, 1), "VALID"),
        X,
    ),
    min=(
        lambda x: lax.reduce_window(
            x, jnp.inf, lax.min, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
        ),
        PICTURE,
    ),
)

ROWS = np.array([[0, 2], [1, -1]], np.int32)
BEYOND = np.array([0, 3, -5, 1], np.int32)
INDEXING = named(
    clipped=(lambda x, i: x.at[i].get(mode="clip"), X, BEYOND),
    constant=(lambda x: x[np.array([2, 0])], X),
    dynamic_slice=(lambda x, i: lax.dynamic_slice(x, (i, i), (2, 2)), X, np.int32(1)),
    dynamic_slice_beyond=(
        lambda x, i: lax.dynamic_slice(x, (i, 0), (2, 4)),
        X,
        np.int32(9),
    ),
    dynamic_update=(
        lambda x, y, i: lax.dynamic_update_index_in_dim(x, y, i, 0),
        X,
        Y[0],
        np.int32(1),
    ),
    dynamic_update_both=(
        lambda x, y, i: lax.dynamic_update_slice(x, y, (i, i + 1)),
        X,
        Y[:2, :2],
        np.int32(1),
    ),
    dynamic_index=(lambda x, i: x[i], X, np.int32(2)),
    embedding=(lambda x, i: jnp.take(x, i, axis=0), X, ROWS),
    filled=(lambda x, i: jnp.take(x, i, axis=0), X, BEYOND),
    filled_integers=(lambda x, i: jnp.take(x, i, axis=1), M, BEYOND),
    last_axis=(lambda x, i: jnp.take(x, i, axis=1), X, ROWS),
    middle=(lambda x, i: x[:, i], PICTURE, ROWS),
    one_hot=(lambda i: jax.nn.one_hot(i, 5), ROWS),
    pairs=(lambda x, i, j: x[i, j], PICTURE[0], ROWS, ROWS),
    pairs_apart=(lambda x, i, j: x[i, :, j], PICTURE[0], ROWS, ROWS),
    sorted=(lambda x: jnp.take_along_axis(x, jnp.argsort(x, 1), 1), X),
    vmapped=(jax.vmap(lambda x, i: x[i]), X, np.array([0, 3, 1], np.int32)),
    resized=(lambda x: jax.image.resize(x, (2, 9, 4, 3), "nearest"), PICTURE),
)

A, B = made(2, 3, 4), made(2, 4, 5, seed=2)
EINSUMS = [
    ("ij,jk->ik", X, made(4, 5)),
    ("ij,kj->ik", X, made(5, 4)),
    ("ij,ik->jk", X, made(3, 5)),
    ("bij,bjk->bik", A, B),
    ("bij,jk->bik", A, made(4, 5)),
    ("bij,bkj->bki", A, made(2, 5, 4)),
    ("bhqd,bhkd->bhqk", made(2, 3, 4, 5), made(2, 3, 6, 5)),
    ("bqhd,bkhd->bhqk", made(2, 4, 3, 5), made(2, 6, 3, 5)),
    ("bsd,dhk->bshk", A, made(4, 2, 3)),
    ("bshk,hkd->bsd", made(2, 3, 2, 5), made(2, 5, 4)),
    ("i,i->", X[0], Y[0]),
    ("ij,j->i", X, Y[0]),
    ("i,j->ij", X[0], Y[0]),
    ("bij,bij->b", A, made(2, 3, 4, seed=3)),
]


def check(f, *args):
    args = [
        jnp.asarray(x) if isinstance(x, np.ndarray | np.generic) else x for x in args
    ]
    found = run(exported_float(f, *args), *args)
    expected = jax.tree.leaves(f(*args))
    for got, wanted in zip(found, expected, strict=True):
        wanted = np.asarray(wanted)  # noqa: PLW2901
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("f", "args"),
    [
        pytest.param(case.values[0], case.values[1:], id=f"{group}-{case.id}")
        for group, cases in {
            "elements": ELEMENTS,
            "logic": LOGIC,
            "layout": LAYOUT,
            "reductions": REDUCTIONS,
            "windows": WINDOWS,
            "indexing": INDEXING,
        }.items()
        for case in cases
    ],
)
def test_a_primitive_gives_the_numbers_of_jax(f, args):
    check(f, *args)


@pytest.mark.parametrize(("formula", "x", "y"), EINSUMS, ids=lambda given: given)
def test_a_product_gives_the_numbers_of_jax(formula, x, y):
    check(lambda x, y: jnp.einsum(formula, x, y), x, y)
