"""Functions in, functions out: fake quantization and the collection of statistics."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import jax

from qcore import QParams
from qcore.adapters.jax.arguments import check_function, is_boolean
from qcore.adapters.jax.calibration import settled_qparams
from qcore.adapters.jax.config import as_config
from qcore.adapters.jax.counting import Counting
from qcore.adapters.jax.explicit_axes import on_every_device
from qcore.adapters.jax.given import by_site
from qcore.adapters.jax.integer_dot import QuantizedDot, check_quantized_dot
from qcore.adapters.jax.plans import by_index, check_statistics
from qcore.adapters.jax.program import traced
from qcore.adapters.jax.rounding import Rounding
from qcore.adapters.jax.sites import Site, sites_of
from qcore.adapters.jax.statistics import beside, nothing_seen
from qcore.libraries import load_backends
from qcore.statistics import Statistics

load_backends("jax.numpy")


def fake_quant(
    f: Callable[..., Any],
    config: Any = None,
    qparams: Mapping[str, QParams | Statistics] | None = None,
    /,
    *,
    quantized_dot: QuantizedDot = False,
) -> Callable[..., Any]:
    """
    Return a function that computes `f` on quantized operands.

    What is no operand of a site is computed as `f` does, bit for bit.

    Parameters
    ----------
    f : callable
        Traceable by JAX. Arrays in its arguments are traced; all else, such as numbers
        of Python, strings and functions, is static. It is traced anew in each call, so
        compile what this returns.
    config : Config, rules or None, optional
        Which sites, and how; static. By default all, see `config.DEFAULT`.
    qparams : mapping, optional
        From names of sites to `QParams` of any library, as `calibrate` and
        `qcore.load_qparams` return them; traced, but for their specs. An entry holds
        whatever the rule says. Without one, weights take the range of their values in
        each call (`quantize_params` does so once), and so do activations that are
        dynamic. Or the statistics that `collect` returned, from which each call chooses
        anew, scales of weights too, which takes longest.
    quantized_dot : bool or "int8", optional
        Compute products on integers wherever `quantized_dots` says so; static. CPUs
        convolve integers that float32 holds, which is faster and as exact; with
        ``"int8"``, such as for a program to be exported, there is no difference. NaN
        has the lowest code there, as in ONNX Runtime, and sums are multiplied by the
        product of two scales, which must be a normal float32.

    Returns
    -------
    callable
        Of the signature of `f`. It can be compiled, differentiated (backward alone, for
        rounding has no `jax.jvp`), mapped and scanned over. Gradients pass straight
        through the rounding and are zero where it saturates; a function inside that has
        a custom derivative keeps that, which sees its operands as they are.

    Raises
    ------
    QuantError
        By the function: if static activations have no entry, an entry is that of no
        site or its scales do not fit there, a site is inside of a primitive that cannot
        be rebuilt (names them all), or `f` is transformed already.
    TypeError
        If `f` is no function, or qparams are something else.
    ValueError
        If `quantized_dot` is nothing of these; by the function, if the pattern of a
        rule matches no site.
    """
    check_function(f)
    check_quantized_dot(quantized_dot)
    config = as_config(config)
    given = by_site(qparams, "qparams")

    @wraps(f, updated=())
    def quantized(*args: Any, **kwargs: Any) -> Any:
        program = traced(f, config.weights, args, kwargs)
        plans, used = settled_qparams(program, config, given)
        found = by_index(plans)
        visitor = Rounding(found, used, quantized_dot)
        outputs, _ = program.run("fake_quant", frozenset(found), visitor, None)
        return outputs

    return quantized


def collect(
    f: Callable[..., Any],
    config: Any = None,
    /,
    *,
    mask: Callable[..., jax.Array | None] | None = None,
) -> Callable[..., Any]:
    """
    Return a function that computes `f` and counts what its sites see.

    Parameters
    ----------
    f, config
        As of `fake_quant`.
    mask : callable, optional
        From a `Site`, which is static, and the arguments of `f` to booleans that
        broadcast to the operand, which counts where they are true; or to None, where
        all of it does. It says what is padding.

    Returns
    -------
    callable
        From statistics, or None to begin with, and the arguments of `f` to its result
        and new statistics: a dict from the names of static activations to `Histogram`,
        or what else their rule asks for. These are traced, with one entry for each
        scale; counts are int64 whether or not JAX has 64-bit numbers enabled. The
        function is pure: it can be compiled, differentiated and scanned over batches.
        Where `f` maps over devices their counts are added to what one would have found:
        what the program says that all devices see alike counts once. Where they may
        take other branches or more rounds of a loop, or an operand comes from a
        callback or a sum of groups of them, it counts once for each device that sees
        it. For a map around the function there is `sync_statistics`. Of arrays that
        are spread over a mesh without a map, all devices have the statistics whole.

    Raises
    ------
    QuantError
        By the function: if the statistics are not those of these sites, or as
        `fake_quant`.
    TypeError
        If `f` or `mask` is no function; by the function, if masks are not boolean.
    ValueError
        By the function, if the pattern of a rule matches no site, or a mask does not
        broadcast.
    """
    check_function(f)
    if mask is not None:
        check_function(mask, "mask")
    config = as_config(config)

    @wraps(f, updated=())
    def collecting(
        statistics: Mapping[str, Statistics] | None, /, *args: Any, **kwargs: Any
    ) -> Any:
        program = traced(f, config.weights, args, kwargs)
        plans = config.plans(sites_of(program.closed, program.is_weight))
        with beside((args, kwargs)):
            state = {
                plan.site.name: nothing_seen(
                    plan.statistics, plan.spec, plan.site.shape
                )
                for plan in plans
                if plan.is_collected
            }
        if statistics is not None:
            given = by_site(statistics, "statistics")
            check_statistics(given, state)
            state = {name: given[name] for name in state}
        state = on_every_device(state, (program.leaves, program.closed.consts))

        def masked(site: Site) -> Any:
            keep = mask(site, *args, **kwargs) if mask else None
            if keep is not None and not is_boolean(keep):
                raise TypeError(
                    "`mask` must give an array of booleans, or None, for each site; "
                    f"got {getattr(keep, 'dtype', type(keep).__name__)} for "
                    f"{site.name}."
                )
            return keep

        found = by_index(plans)
        # Without a mask the visitor does not hold the arguments, which may be traced.
        visitor = Counting(found, masked if mask else None)
        return program.run("collect", frozenset(found), visitor, state)

    # `inspect` would read the signature of `f` there, which lacks the statistics.
    del collecting.__wrapped__
    return collecting
