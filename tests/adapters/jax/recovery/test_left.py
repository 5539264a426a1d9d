"""What cannot be recovered: it stays and is told, or is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qcore import NoDataError, NonFiniteError, QuantError
from qcore.adapters.jax import Config, recover
from tests.adapters.jax.recovery.functions import COARSE, WEIGHTS, data, errors, made

LEFT = {
    "loop": (
        lambda p, x: jax.lax.scan(
            lambda x, _: (x @ p["other"][0] / 4, None), x, length=3
        )[0],
        "inside of scan",
    ),
    "twice": (lambda p, x: x @ p["other"][0] @ p["other"][0], "several times"),
    "elsewhere": (
        lambda p, x: x @ p["other"][0] + p["other"][0].sum(),
        "several times",
    ),
    "constant": (lambda _, x: x @ jnp.asarray(made(5, 8, 8)), "constants"),
}


@pytest.mark.parametrize(("f", "reason"), LEFT.values(), ids=LEFT)
def test_what_cannot_be_rounded_stays_and_is_told(f, reason):
    params = {"w": made(0, 8, 6), "b": made(1, 6), "other": made(2, 3, 8, 8)}
    calls = data(40, 8)

    def g(p, x):
        return f(p, x) @ p["w"] + p["b"]

    rules = {**COARSE, "activation": {"dynamic": True}}
    found = recover(g, rules)(params, calls)
    np.testing.assert_array_equal(found.params["other"], params["other"])
    assert all(reason in why for why in found.left.values())
    assert found.left
    # The layer behind it makes up for it all the same.
    after = errors(g, (params, found.params), found.qparams, calls, rules)
    assert (np.abs(after.mean(0)) < 0.01 * after.std(0)).all()


def test_a_bias_of_several_outputs_stays():
    params, calls = {"w": made(0, 8, 6), "b": made(1, 1)}, data(40, 8)

    def f(p, x):
        return x @ p["w"] + p["b"]

    found = recover(f, WEIGHTS)(params, calls)
    np.testing.assert_array_equal(found.params["b"], params["b"])
    assert "no bias" in found.left["dot_general:0.rhs"]


REFUSED = {
    "no data": (lambda p, x: x @ p["w"], [], NoDataError, "at least one call"),
    "no weight": (lambda _, x: x * 2, [1.0], QuantError, "it has none"),
    "other": (
        lambda p, x: x @ p["w"] if len(x) > 3 else x @ p["w"] + 1,
        [made(0, 4, 8), made(0, 2, 8)],
        *(QuantError, "call 1 differs"),
    ),
    "left": (
        lambda p, x: x @ p["w"] @ p["w"],
        [made(0, 4, 8)],
        *(QuantError, "dot_general:0.rhs is used several times"),
    ),
    "NaN": (
        lambda p, x: x @ p["w"],
        [np.full((4, 8), np.nan, np.float32)],
        *(NonFiniteError, "dot_general:0.rhs"),
    ),
}


@pytest.mark.parametrize(("f", "calls", "kind", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_recovered_is_refused(f, calls, kind, said):
    calls = [jnp.asarray(x) for x in calls]
    with pytest.raises(kind, match=said):
        recover(f, WEIGHTS)({"w": made(0, 8, 8)}, calls)


def test_no_part_of_a_compiled_function_is_recovered():
    with pytest.raises(QuantError, match="traced"):
        jax.jit(lambda p, x: recover(lambda p, x: x @ p, WEIGHTS)(p, [x]).params)(
            made(0, 8, 6), made(1, 4, 8)
        )


def test_several_arguments_of_weights_are_refused():
    with pytest.raises(QuantError, match="one argument"):
        recover(lambda p, q, x: x @ p @ q, Config([WEIGHTS], [0, 1]))
