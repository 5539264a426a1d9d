"""CUDA tensors through Triton, which is imported once there are some."""

from importlib import import_module
from typing import Any, NamedTuple

import torch

from qcore.affine import fake_quantize_data, quantize_data
from qcore.backends.torch.library import NAME
from qcore.backends.torch.refusal import refusal
from qcore.backends.triton.formats import is_served
from qcore.backends.triton.layout import Layout, layout_of
from qcore.gradient import fake_quantize_gradient
from qcore.granularity import PerChannel, normalize_axes
from qcore.kernels import Declined, declined
from qcore.spec import QuantSpec
from qcore.statistics.tally import regrid, tally

DTYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64}


class _Ready(NamedTuple):
    """What the kernels take: contiguous data, of moved axes, and how scales lie."""

    order: tuple[int, ...] | None
    data: torch.Tensor
    scale: torch.Tensor
    zero_point: torch.Tensor
    layout: Layout | None


@quantize_data.accelerate(NAME)
def _(
    x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, spec: QuantSpec, /
) -> Any:
    refused = refusal(x, scale, zero_point, has_gradient=False)
    return refused or _rounded(x, scale, zero_point, spec, is_coded=True)


@fake_quantize_data.accelerate(NAME)
def _(
    x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, spec: QuantSpec, /
) -> Any:
    refused = refusal(x, scale, zero_point)
    return refused or _rounded(x, scale, zero_point, spec, is_coded=False)


@fake_quantize_gradient.accelerate(NAME)
def _(
    gradient: torch.Tensor,
    x: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    spec: QuantSpec,
    /,
) -> Any:
    refused = refusal(gradient, x, scale, zero_point)
    ready = refused or _prepared(x, scale, zero_point, spec)
    if isinstance(ready, Declined):
        return ready
    if gradient.dtype not in DTYPES:
        return declined("no kernel for this dtype of a gradient")
    if ready.layout is None:
        return torch.empty_like(gradient), torch.zeros_like(scale)
    kernels = import_module("qcore.backends.triton.gradient")
    of_x, of_scale = kernels.fake_quantize_gradient(
        _moved(gradient, ready.order), *ready[1:4], spec.format, ready.layout
    )
    return _back(of_x, ready.order), of_scale.reshape(scale.shape)


@tally.accelerate(NAME)
def _(
    rows: torch.Tensor,
    keep: torch.Tensor | None,
    weights: torch.Tensor | None,
    slots: int,
    k: torch.Tensor | None,
    /,
) -> Any:
    refused = refusal(rows, keep, weights, k, has_gradient=False)
    if refused is not None:
        return refused
    if weights is not None or rows.numel() == 0:
        return declined("no kernel for weights, nor for no values at all")
    kernels = import_module("qcore.backends.triton.tally")
    keep = None if keep is None else keep.contiguous()
    return kernels.tally(_moved(rows, None), keep, slots, k)


@regrid.accelerate(NAME)
def _(
    counts: torch.Tensor,
    exponents: torch.Tensor,
    k: torch.Tensor,
    new_k: torch.Tensor,
    /,
) -> Any:
    refused = refusal(counts, exponents, k, new_k)
    if refused is not None:
        return refused
    if counts.numel() == 0:
        return declined("no kernel for no counts at all")
    kernels = import_module("qcore.backends.triton.regrid")
    grids = (n.to(torch.int32).contiguous() for n in (k, new_k))
    return kernels.regrid(counts.contiguous(), exponents.contiguous(), *grids)


def _rounded(
    x: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    spec: QuantSpec,
    /,
    *,
    is_coded: bool,
) -> Any:
    ready = _prepared(x, scale, zero_point, spec)
    if isinstance(ready, Declined):
        return ready
    if ready.layout is None:
        dtype = getattr(torch, spec.format.storage) if is_coded else x.dtype
        return torch.empty_like(x, dtype=dtype)
    kernels = import_module("qcore.backends.triton.quantize")
    found = kernels.rounded(*ready[1:4], spec.format, ready.layout, is_coded=is_coded)
    return _back(found, ready.order)


def _prepared(
    x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, spec: QuantSpec, /
) -> _Ready | Declined:
    if spec.rounding != "half_even":
        return declined("Triton's kernels round half to even")
    if x.dtype not in DTYPES or not is_served(spec.format):
        return declined("no kernel for this format or dtype")
    if zero_point.numel() == 1:
        zero_point = zero_point.reshape(()).expand(scale.shape)
    if zero_point.shape != scale.shape:
        return declined("one scale but many zero points")
    granularity, order, layout = spec.granularity, None, None
    if x.numel():
        layout = layout_of(tuple(x.shape), granularity, scale.numel() == 1)
        if layout is None and isinstance(granularity, PerChannel):
            kept = normalize_axes(granularity.axis, x.ndim)
            order = (*kept, *(a for a in range(x.ndim) if a not in kept))
            moved = tuple(x.shape[a] for a in order)
            layout = layout_of(moved, PerChannel(tuple(range(len(kept)))), False)
    scale, zero_point = (_moved(s.reshape(-1), None) for s in (scale, zero_point))
    return _Ready(order, _moved(x, order), scale, zero_point, layout)


def _moved(x: torch.Tensor, order: tuple[int, ...] | None, /) -> torch.Tensor:
    return (x if order is None else x.permute(order)).contiguous().detach()


def _back(x: torch.Tensor, order: tuple[int, ...] | None, /) -> torch.Tensor:
    if order is None:
        return x
    return x.permute([order.index(a) for a in range(x.ndim)])
