"""The scales of a function's weights, by the names of the leaves of its parameters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qcore import PerBlock, PerChannel, PerTensor, QParams, QuantSpec, qparams_from_data
from qcore.adapters.jax.arguments import check_function
from qcore.adapters.jax.config import Plan, as_config
from qcore.adapters.jax.given import by_site
from qcore.adapters.jax.parameters import leaf_name
from qcore.adapters.jax.plans import check_scales
from qcore.adapters.jax.program import is_array, traced
from qcore.adapters.jax.sites import sites_of
from qcore.adapters.jax.uses import Part, uses_of
from qcore.errors import QuantError
from qcore.granularity import Granularity


def weight_qparams(
    f: Callable[..., Any],
    config: Any = None,
    qparams: Mapping[str, QParams] | None = None,
    /,
) -> Callable[..., dict[str, QParams]]:
    """
    Return a function from the arguments of `f` to the qparams of its weights.

    They are those of `fake_quant`, of the leaves of the parameters instead of the
    operands they become: a kernel that `f` transposes has its scales along the axis it
    has them before, and the layers that a loop scans over each their own.

    Parameters
    ----------
    f, config, qparams
        As of `fake_quant`.

    Returns
    -------
    callable
        Takes the arguments of `f`; weights are read, others may be shapes. It gives a
        dict for `quantize_params`, from names of leaves, such as ``"layers/0/kernel"``.
        Where several arguments are weights, names begin with that of the argument.
        Leaves that `f` uses otherwise, too, or whose elements it does not all use are
        left out, as those without any: for them `quantize_params` takes a spec.

    Raises
    ------
    QuantError
        By the function, if the scales at the sites of a leaf are not scales of the
        leaf, or its sites differ: names both; or weights are shapes, or traced.
    """
    check_function(f)
    config = as_config(config)
    given = by_site(qparams, "qparams")

    def found(*args: Any, **kwargs: Any) -> dict[str, QParams]:
        program = traced(f, config.weights, args, kwargs)
        sites = sites_of(program.closed, program.is_weight)
        plans = {
            (plan.site.index, plan.site.operand): plan for plan in config.plans(sites)
        }
        names = _names(args, kwargs, program.is_weight)
        shapes = [
            tuple(leaf.shape)
            if held and jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.size
            else None
            for leaf, held in zip(program.leaves, program.is_weight, strict=True)
        ]
        at_sites: dict[int, list[_Scales]] = {}
        excluded = set()
        for use in uses_of(program.closed.jaxpr, shapes):
            number = use.part.leaf
            plan = plans.get((use.index or (), use.operand))
            if plan is None:
                excluded.add(number)
                continue
            leaf, scale = program.leaves[number], given.get(plan.site.name)
            if isinstance(leaf, jax.ShapeDtypeStruct | jax.core.Tracer):
                raise QuantError(
                    "weights must be arrays whose values are known; "
                    f"{names[number] or 'one'} is a shape, or traced by a transform of "
                    "JAX around this."
                )
            if scale is not None:
                check_scales(plan.site, scale)
            scales = _scales(np.asarray(leaf), use.part, plan, scale)
            at_sites.setdefault(number, []).append(scales)
        return {
            names[number]: one
            for number, scales in sorted(at_sites.items())
            if number not in excluded
            and (one := _of_leaf(names[number], shapes[number] or (), scales))
        }

    return found


@dataclass(frozen=True)
class _Scales:
    """The scales at a site, and which is whose.

    Attributes
    ----------
    site : str
        Its name.
    spec : QuantSpec
        Of the site.
    place : array
        int32, of the size of the leaf: which scale each element has, or -1.
    values : array
        float64 ``[scales, 2]``, or 3: scale, zero point and global scale.
    """

    site: str
    spec: QuantSpec
    place: np.ndarray
    values: np.ndarray


def _names(
    args: tuple[Any, ...], kwargs: dict[str, Any], is_weight: Sequence[bool]
) -> list[str]:
    """Return the name of each array of the arguments."""
    leaves, _ = jax.tree_util.tree_flatten_with_path((args, kwargs))
    paths = [path[1:] for path, leaf in leaves if is_array(leaf)]
    owners = {path[:1] for path, held in zip(paths, is_weight, strict=True) if held}
    return [leaf_name(path[1:] if len(owners) == 1 else path) for path in paths]


def _scales(leaf: np.ndarray, part: Part, plan: Plan, given: QParams | None) -> _Scales:
    """Return the scales of a site where the elements of a leaf are."""
    rounds = part.elements.shape[: part.rounds]
    shape = part.elements.shape[part.rounds :]
    if given is None:
        rows = leaf.reshape(-1)[part.elements].reshape(prod(rounds), *shape)
        # Of each round on its own, as the site sees them.
        each = [qparams_from_data(jnp.asarray(x), plan.spec, xp=jnp) for x in rows]
    else:
        each = [given]
    spec = each[0].spec
    extent = spec.granularity.scale_shape(shape)
    count = prod(extent)
    number = np.arange(count, dtype=np.int32).reshape(extent)
    number = np.asarray(spec.granularity.expand(number, shape, xp=np))
    offsets = count * np.arange(prod(rounds), dtype=np.int32) * (given is None)
    labels = np.broadcast_to(number, shape) + offsets.reshape(
        *rounds, *(1,) * len(shape)
    )
    place = np.full(leaf.size, -1, np.int32)
    place[part.elements] = labels
    if (place[part.elements] != labels).any():
        raise QuantError(f"{plan.site.name} has several scales for one weight.")
    columns = [
        np.concatenate([np.broadcast_to(x, extent).reshape(-1) for x in column])
        for column in zip(
            *((one.scale, one.zero_point, one.global_scale) for one in each),
            strict=True,
        )
        if column[0] is not None
    ]
    values = np.stack(columns, 1, dtype=np.float64, casting="unsafe")
    return _Scales(plan.site.name, spec, place, values)


def _of_leaf(
    name: str, shape: tuple[int, ...], scales: Sequence[_Scales]
) -> QParams | None:
    """Return the scales of a leaf, or None if some of it is not used."""
    first, *others = scales
    place, values = first.place, first.values
    for other in others:
        if replace(first.spec, granularity=PerTensor()) != replace(
            other.spec, granularity=PerTensor()
        ):
            raise QuantError(
                f"{name} must have one spec; {first.site} and {other.site} differ."
            )
        both = (place >= 0) & (other.place >= 0)
        if not np.array_equal(values[place[both]], other.values[other.place[both]]):
            raise QuantError(
                f"{name} must have one scale for each element; those of {first.site} "
                f"and {other.site} differ."
            )
        place = np.where(
            place < 0, np.where(other.place < 0, -1, other.place + len(values)), place
        )
        values = np.concatenate([values, other.values])
    if (place < 0).any():
        return None
    place = place.reshape(shape)
    granularity, place = _shared(place, first.spec.granularity)
    if prod(place.shape) == prod(shape) > 1:
        raise QuantError(
            f"{name} must have fewer scales than elements; its axes are not those of "
            f"{first.site}. Skip the site, or give it one scale."
        )
    scale, zero_point, *rest = np.moveaxis(values[place], -1, 0)
    levels = [jnp.float32(level if np.ptp(level) else level.flat[0]) for level in rest]
    return QParams(
        jnp.asarray(scale, first.spec.scale_dtype),
        jnp.asarray(zero_point, jnp.int32),
        replace(first.spec, granularity=granularity),
        *levels,
    )


def _shared(place: np.ndarray, at_site: Granularity) -> tuple[Granularity, np.ndarray]:
    """Return which elements share a scale, and the places in the shape of scales."""
    axes = range(place.ndim)
    if isinstance(at_site, PerBlock):
        for axis in axes:
            granularity = PerBlock(axis, at_site.size)
            starts = place[(*(slice(None),) * axis, slice(None, None, at_site.size))]
            if np.array_equal(granularity.expand(starts, place.shape, xp=np), place):
                return granularity, starts
    kept = tuple(a for a in axes if (place != place.take([0], a)).any())
    one = place[tuple(slice(None) if a in kept else slice(1) for a in axes)]
    return PerChannel(kept) if kept else PerTensor(), one
