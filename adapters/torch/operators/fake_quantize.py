"""Fake quantization as one operator of PyTorch: the engine's bits, compiled or not.

A compiler sees ``torch.ops.qcore.fake_quantize``, not the arithmetic inside, so it can
neither fuse nor reorder it; the kernels of the backends run whatever calls it.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from array_api_compat import torch as xp

from qcore.adapters.torch.operators.functorch import (
    is_transforming,
    transformed_fake_quantize,
)
from qcore.affine import fake_quantize_data, quantize_data
from qcore.arithmetic import check_floating
from qcore.formats import Format, IntFormat, parse_format
from qcore.gradient import fake_quantize_gradient
from qcore.granularity import Granularity, PerBlock, PerChannel, PerTensor
from qcore.libraries import load_backends
from qcore.spec import QParams, QuantSpec

load_backends("torch")

Coding = tuple[str, bool, int, int, str]
"""What an operator can be told of a spec: name of the format, whether it is narrow,
axis and size of blocks (size 0: none), rounding."""


def coding(spec: QuantSpec, /) -> Coding:
    """Return what the operators need to know of a spec; scales tell the kept axes."""
    blocks = spec.granularity
    axis, size = (blocks.axis, blocks.size) if isinstance(blocks, PerBlock) else (0, 0)
    narrow = isinstance(spec.format, IntFormat) and spec.format.narrow
    return spec.format.name, narrow, axis, size, spec.rounding


def fake_quantize(x: torch.Tensor, qparams: QParams, /) -> torch.Tensor:
    """
    Return `x` quantized and dequantized, with gradients.

    Parameters
    ----------
    x : Tensor
        Floating-point data of any shape.
    qparams : QParams
        Scales and zero points on its device. Their axes align with the last ones of `x`
        and those longer than 1 are kept, as broadcasting has it.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`. Its gradient is `qcore.straight_through`: of `x`,
        and of the scale where that requires one (LSQ).

    Raises
    ------
    TypeError
        If `x` is not floating-point.
    ValueError
        If the scales do not fit the shape of `x`.
    """
    call: Any = torch.ops.qcore.fake_quantize
    if not torch.compiler.is_compiling() and is_transforming():
        call = transformed_fake_quantize
    found: torch.Tensor = call(
        x, qparams.scale, qparams.zero_point, *coding(qparams.spec)
    )
    return found


def quantize(x: torch.Tensor, qparams: QParams, /) -> torch.Tensor:
    """Return the codes of `x` under scales that align with its last axes."""
    x = x.detach()
    scale, zero_point, spec = _fitted(
        x, qparams.scale.detach(), qparams.zero_point, coding(qparams.spec)
    )
    codes: torch.Tensor = quantize_data(x, scale, zero_point, spec, xp=xp)
    return codes


@lru_cache(maxsize=4096)
def format_of(name: str, narrow: bool) -> Format:
    """Return the format of a name, narrow if it is one of integers."""
    known = parse_format(name)
    return replace(known, narrow=narrow) if isinstance(known, IntFormat) else known


@lru_cache(maxsize=4096)
def _spec(
    shape: tuple[int, ...], name: str, narrow: bool, axis: int, size: int, rounding: str
) -> QuantSpec:
    """Return the spec of scales of a shape, whose long axes are the kept ones."""
    granularity: Granularity = PerTensor()
    if size:
        granularity = PerBlock(axis, size)
    elif kept := tuple(i for i, n in enumerate(shape) if n != 1):
        granularity = PerChannel(kept)
    return QuantSpec(format_of(name, narrow), granularity, rounding=rounding)


def _fitted(
    x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, how: Coding
) -> tuple[torch.Tensor, torch.Tensor, QuantSpec]:
    """Return scales of the rank of the data, or one of no axes, and their spec."""
    check_floating(x)
    if scale.numel() == 1:
        return scale.reshape(()), zero_point.reshape(()), _spec((), *how)
    missing = x.ndim - scale.ndim
    if missing < 0:
        raise ValueError(
            f"scales of shape {tuple(scale.shape)} must not have more axes than the "
            f"data, of shape {tuple(x.shape)}."
        )
    shape = (*(1,) * missing, *scale.shape)
    spec = _spec(shape, *how)
    expected = spec.granularity.scale_shape(x.shape)
    if shape != expected:
        raise ValueError(
            f"scales of shape {tuple(scale.shape)} must fit data of shape "
            f"{tuple(x.shape)}; its own would have shape {expected}."
        )
    return scale.reshape(shape), zero_point.reshape(shape), spec


@torch.library.custom_op("qcore::fake_quantize", mutates_args=())
def _forward(
    x: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    format: str,
    narrow: bool,
    block_axis: int,
    block_size: int,
    rounding: str,
) -> torch.Tensor:
    how = (format, narrow, block_axis, block_size, rounding)
    x, scale = x.detach(), scale.detach()
    scale, zero_point, spec = _fitted(x, scale, zero_point, how)
    found: torch.Tensor = fake_quantize_data(x, scale, zero_point, spec, xp=xp)
    return found


@torch.library.custom_op("qcore::fake_quantize_backward", mutates_args=())
def _backward(
    gradient: torch.Tensor,
    x: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    format: str,
    narrow: bool,
    block_axis: int,
    block_size: int,
    rounding: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    how = (format, narrow, block_axis, block_size, rounding)
    gradient, x = gradient.detach(), x.detach()
    fitted, zero_point, spec = _fitted(x, scale.detach(), zero_point, how)
    of_x, of_scale = fake_quantize_gradient(
        gradient, x, fitted, zero_point, spec, xp=xp
    )
    return of_x, of_scale.reshape(scale.shape)


@_forward.register_fake
def _(x: torch.Tensor, *_: Any) -> torch.Tensor:
    return torch.empty_like(x)


@_backward.register_fake
def _(
    gradient: torch.Tensor, x: torch.Tensor, scale: torch.Tensor, *_: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    del x
    return torch.empty_like(gradient), torch.empty_like(scale, dtype=torch.float32)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    del output
    ctx.save_for_backward(*inputs[:3])
    ctx.how = inputs[3:]


def _gradients(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
    x, scale, zero_point = ctx.saved_tensors
    of_x, of_scale = torch.ops.qcore.fake_quantize_backward(
        gradient, x, scale, zero_point, *ctx.how
    )
    of_scale = of_scale.to(scale.dtype) if ctx.needs_input_grad[1] else None
    return of_x, of_scale, None, *(None,) * len(ctx.how)


_forward.register_autograd(_gradients, setup_context=_remember)


def _remember_gradients(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    del output
    ctx.save_for_backward(*inputs[1:4])
    ctx.how = inputs[4:]
    ctx.is_learned = inputs[2].requires_grad


def _gradients_of_gradients(
    ctx: Any, by_x: torch.Tensor, by_scale: torch.Tensor
) -> tuple[Any, ...]:
    """Return what the gradients pass on to the gradient they are linear in.

    In data and scale they are piecewise constant, as rounding has it.
    """
    x, scale, zero_point = ctx.saved_tensors
    run = torch.ops.qcore.fake_quantize_backward
    found, _ = run(by_x, x, scale, zero_point, *ctx.how)
    if ctx.is_learned:
        step, _, spec = _fitted(x, scale.detach(), zero_point, ctx.how)
        step, factor = (
            spec.granularity.expand(part, tuple(x.shape), xp=xp).to(x.dtype)
            for part in (step, by_scale.reshape(step.shape))
        )
        inside, _ = run(torch.ones_like(x), x, scale, zero_point, *ctx.how)
        rounded = torch.ops.qcore.fake_quantize(x, scale, zero_point, *ctx.how)
        found = found + factor * (rounded - inside * x) / step
    return found, None, None, None, *(None,) * len(ctx.how)


_backward.register_autograd(_gradients_of_gradients, setup_context=_remember_gradients)


@_forward.register_vmap
def _(
    info: Any, in_dims: tuple[int | None, ...], *inputs: Any
) -> tuple[torch.Tensor, int]:
    """Quantize a batch."""
    (x, scale, zero_point), how = _batched(info.batch_size, in_dims, inputs, 1)
    return torch.ops.qcore.fake_quantize(x, scale, zero_point, *how), 0


@_backward.register_vmap
def _(
    info: Any, in_dims: tuple[int | None, ...], *inputs: Any
) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[int, int]]:
    """Return the gradients of a batch."""
    tensors, how = _batched(info.batch_size, in_dims, inputs, 2)
    of_x, of_scale = torch.ops.qcore.fake_quantize_backward(*tensors, *how)
    shape = list(inputs[2].shape)
    if in_dims[2] is not None:
        del shape[in_dims[2]]
    return (of_x, of_scale.reshape(info.batch_size, *shape)), (0, 0)


def _batched(
    size: int, in_dims: tuple[int | None, ...], inputs: tuple[Any, ...], data: int
) -> tuple[list[torch.Tensor], Coding]:
    """Return inputs whose first axis is the batch, one more that scales may keep.

    The first `data` are data and of one shape, the two that follow fit it.
    """
    parts = [
        part.expand(size, *part.shape) if d is None else part.movedim(d, 0)
        for part, d in zip(inputs[: data + 2], in_dims, strict=False)
    ]
    ndim = parts[0].ndim
    parts = [
        part.reshape(size, *(1,) * (ndim - part.ndim), *part.shape[1:]).contiguous()
        for part in parts
    ]
    name, narrow, axis, block, rounding = inputs[data + 2 :]
    return parts, (name, narrow, axis + bool(block and axis >= 0), block, rounding)
