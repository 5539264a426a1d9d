"""JAX: 64-bit integers where qcore counts, loops that are not unrolled, pytrees."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from qcore.affine import fake_quantize_data, quantize_data
from qcore.arithmetic import divide
from qcore.gradient import fake_quantize_gradient
from qcore.kernels import Kernel, fold, map_blocks
from qcore.libraries import Library, register_library
from qcore.methods.ends import gather
from qcore.methods.solve import solve
from qcore.recovery.gptq import compensated_codes
from qcore.spec import QParams
from qcore.statistics import Gram, Histogram, Moments, MovingRange, Range, Top2
from qcore.statistics.products import sums_of_products
from qcore.statistics.tally import count, regrid
from qcore.statistics.top2 import order_intervals
from qcore.transfer import to_host

NAME = "jax.numpy"


def _one_device(x: jax.Array) -> jax.Device | None:
    found = getattr(x, "device", None)  # else of many a sharding; what is traced: none
    return found if isinstance(found, jax.Device) else None


register_library(
    NAME,
    Library(
        arithmetic=lambda: jax.enable_x64(True),
        is_concrete=lambda x: not isinstance(x, jax.core.Tracer),
        detached=jax.lax.stop_gradient,
        one_device=_one_device,
    ),
)

for state in (Histogram, Range, MovingRange, Moments, Top2, Gram):
    jax.tree_util.register_dataclass(
        state,
        data_fields=list(state.array_fields()),
        meta_fields=list(state.static_fields()),
    )
jax.tree_util.register_dataclass(
    QParams,
    data_fields=["scale", "zero_point", "global_scale"],
    meta_fields=["spec"],
)


@map_blocks.accelerate(NAME, traceable=True)
def _(blocks: jax.Array, function: Callable[[jax.Array], jax.Array], /) -> Any:
    return jax.lax.map(function, blocks)


@fold.accelerate(NAME, traceable=True)
def _(
    start: jax.Array,
    items: jax.Array,
    function: Callable[[jax.Array, jax.Array], jax.Array],
    /,
) -> Any:
    return jax.lax.scan(lambda state, x: (function(state, x), None), start, items)[0]


@count.accelerate(NAME, traceable=True)
def _(index: jax.Array, weights: jax.Array | None, length: int, /) -> Any:
    amount = jnp.int64(1) if weights is None else weights
    return jnp.zeros(length, jnp.int64).at[index].add(amount, mode="drop")


@divide.accelerate(NAME, traceable=True)
@jax.jit
def qcore_division(x: jax.Array, scale: jax.Array, /) -> Any:
    """Divide truly where XLA:CPU takes subnormal numbers for zero.

    Such a number is a whole multiple of 2**-149, which is read from its pattern and
    divided in a range where nothing is subnormal. A program shows it as one call, by
    this name, for which other compilers than XLA have an operator.
    """
    quotient = divide.reference(x, scale, xp=jnp)
    if x.dtype != jnp.float32:
        return quotient
    pattern = jax.lax.bitcast_convert_type(x, jnp.int32)
    multiple = pattern & 0x7FFFFFFF
    raised = jnp.astype(multiple, jnp.float32) * 2.0**-23
    small = divide.reference(raised, scale * 2.0**126, xp=jnp)
    small = jnp.where(pattern < 0, -small, small)
    return jnp.where(multiple < 0x800000, small, quotient)


@gather.accelerate(NAME, traceable=True)
def _(table: jax.Array, index: jax.Array, /) -> Any:
    """Look up without the test for places outside, which takes longer than the rest."""
    rows, columns = table.shape
    first = columns * jnp.arange(rows).reshape(-1, *(1,) * (index.ndim - 1))
    place = first + index
    if table.size < 2**31:
        place = place.astype(jnp.int32)
    return table.reshape(-1).at[place].get(mode="promise_in_bounds")


@to_host.accelerate(NAME)
def _(x: jax.Array, /) -> Any:
    return jax.device_get(x)


def _compile(kernel: Kernel, *static: int) -> None:
    """Serve eager calls by the portable function, compiled once for each shape."""
    compiled = jax.jit(partial(kernel.reference, xp=jnp), static_argnums=static)

    @kernel.accelerate(NAME)
    def _(x: jax.Array, /, *args: Any) -> Any:
        return compiled(x, *args)


_compile(regrid)
_compile(sums_of_products, 3, 4)
_compile(compensated_codes, 4, 6)
_compile(order_intervals, 2)
_compile(quantize_data, 3)
_compile(fake_quantize_data, 3)
_compile(fake_quantize_gradient, 4)


_solve = jax.jit(partial(solve.reference, xp=jnp), static_argnums=(2, 3, 4))


@solve.accelerate(NAME)
def _(low: jax.Array, statistics: Any, spec: Any, method: Any, options: Any, /) -> Any:
    """Compile the whole method, once for each shape and set of options."""
    try:
        hash(options)
    except TypeError:
        return NotImplemented
    return _solve(low, statistics, spec, method, options)
