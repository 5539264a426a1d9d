"""What was found for another call is refused, and it is said what differs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qcore
from qcore.adapters.jax import calibrate, collect, fake_quant
from tests.adapters.jax.programs import W, X, made

SITE = "dot_general:0.lhs"


def rules(**activation):
    return [{"activation": {"bins": 16, "method": "minmax", **activation}}]


def network(params, x):
    for name in sorted(params):
        with jax.named_scope(name):
            x = x @ params[name]
    return x


PARAMS = {"first": W, "second": 2 * W}
MORE = {**PARAMS, "third": W}
LESS = {"first": W}


@pytest.fixture(scope="module")
def seen():
    return collect(network, rules())(None, PARAMS, X)[1]


@pytest.fixture(scope="module")
def qparams(seen):
    return calibrate(network, rules(), seen)(PARAMS, X)


@pytest.mark.parametrize(("params", "name"), [(MORE, "third"), (LESS, "second")])
def test_statistics_of_other_arguments_are_refused(seen, params, name):
    with pytest.raises(qcore.QuantError, match=f"differ in {name}/{SITE}. Did"):
        collect(network, rules())(seen, params, X)


def test_sites_without_statistics_are_named(seen):
    with pytest.raises(qcore.QuantError, match=f"third/{SITE} are missing. Did"):
        calibrate(network, rules(), seen)(MORE, X)


def test_sites_without_scales_are_named_all_at_once():
    with pytest.raises(qcore.QuantError, match=f"first/{SITE}, second/{SITE}"):
        fake_quant(network, rules())(PARAMS, X)


def test_scales_of_no_site_are_named(qparams):
    with pytest.raises(qcore.QuantError, match=f"none with the names second/{SITE}"):
        fake_quant(network, rules(), qparams)(LESS, X)


def test_scales_of_a_site_that_is_skipped_do_no_harm(qparams):
    off = [{"site": "second/*", "skip": True}, *rules()]
    found = fake_quant(network, off, qparams)(PARAMS, X)
    half = fake_quant(network, rules(), {f"first/{SITE}": qparams[f"first/{SITE}"]})
    np.testing.assert_array_equal(found, half(LESS, X) @ PARAMS["second"])


def test_scales_of_channels_of_another_shape_are_refused():
    config = rules(axis=1)
    f = lambda w, x: x @ w  # noqa: E731
    _, seen = collect(f, config)(None, W, X)
    qparams = calibrate(f, config, seen)(W, X)
    wide, other = made(3, 6, 4), made(4, 3, 6)
    message = r"shape \(1, 6\) at dot_general:0\.lhs, of shape \(3, 6\); got \(1, 4\)"
    with pytest.raises(qcore.QuantError, match=message):
        fake_quant(f, config, qparams)(wide, other)
    message = r"extents \(1, 6\) at dot_general:0\.lhs; got \(1, 4\)"
    with pytest.raises(qcore.QuantError, match=message):
        collect(f, config)(seen, wide, other)
    stacked = lambda w, x: jax.lax.dot_general(  # noqa: E731
        x, w, (((0,), (0,)), ((), ()))
    )
    with pytest.raises(qcore.QuantError, match=r"must fit dot_general:0\.lhs: axis"):
        fake_quant(stacked, config, qparams)(made(5, 4), made(6, 4))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"bins": 64}, r"bins 64 at first/dot_general:0\.lhs; got 16"),
        ({"axis": 0}, r"granularity PerChannel\(axis=0\) at first/.*got PerTensor\(\)"),
        ({"statistics": "range"}, r"must be Range at first/.*; got Histogram"),
    ],
)
def test_statistics_of_other_rules_are_refused(seen, changed, message):
    with pytest.raises(qcore.QuantError, match=message):
        collect(network, rules(**changed))(seen, PARAMS, X)


def test_statistics_that_are_not_finite_name_their_site():
    _, seen = collect(network, rules())(None, PARAMS, X.at[1, 1].set(jnp.inf))
    with pytest.raises(qcore.NonFiniteError, match=f"first/{SITE}"):
        calibrate(network, rules(), seen)(PARAMS, X)


def test_a_change_of_the_batch_is_none(seen, qparams):
    longer = made(8, 7, 4)
    _, more = collect(network, rules())(seen, PARAMS, longer)
    assert more[f"first/{SITE}"].counts.shape == seen[f"first/{SITE}"].counts.shape
    assert fake_quant(network, rules(), qparams)(PARAMS, longer).shape == (7, 4)
