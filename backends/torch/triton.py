"""CUDA tensors through Triton, which is imported once there are some."""

import os
from typing import TYPE_CHECKING, Any

import torch

from qcore.affine import fake_quantize_data, quantize_data
from qcore.backends.torch.library import NAME
from qcore.gradient import fake_quantize_gradient
from qcore.granularity import PerChannel, normalize_axes
from qcore.kernels import Declined, declined
from qcore.spec import QuantSpec

if TYPE_CHECKING:
    from qcore.backends.triton.layout import Layout

DTYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64}


def _refusal(x: torch.Tensor, /) -> Declined | None:
    """Return why Triton does not serve a tensor, if so."""
    if x.is_cuda:
        if torch.version.hip is not None:
            return declined("Triton is not used on AMD's devices")
    elif os.environ.get("TRITON_INTERPRET") != "1":
        return declined("Triton is for CUDA tensors")
    if torch.is_grad_enabled() and x.requires_grad:
        return declined("autograd follows the portable function alone")
    return None


@quantize_data.accelerate(NAME)
def _(
    x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, spec: QuantSpec, /
) -> Any:
    return _rounded(x, scale, zero_point, spec, "quantize")


@fake_quantize_data.accelerate(NAME)
def _(
    x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, spec: QuantSpec, /
) -> Any:
    return _rounded(x, scale, zero_point, spec, "fake_quantize")


@fake_quantize_gradient.accelerate(NAME)
def _(
    gradient: torch.Tensor,
    x: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    spec: QuantSpec,
    /,
) -> Any:
    ready = _prepared(x, scale, zero_point, spec)
    if isinstance(ready, Declined):
        return ready
    if gradient.device != x.device or gradient.dtype not in DTYPES:
        return declined("gradient and data are on different devices or not floating")
    if torch.is_grad_enabled() and gradient.requires_grad:
        return declined("autograd follows the portable function alone")
    from qcore.backends.triton import gradient as kernels

    order, data, step, zero, layout = ready
    if x.numel() == 0:
        return torch.empty_like(gradient), torch.zeros_like(step).reshape(scale.shape)
    of_x, of_scale = kernels.fake_quantize_gradient(
        _moved(gradient, order), data, step, zero, spec.format, layout
    )
    return _back(of_x, order), of_scale.reshape(scale.shape)


def _rounded(
    x: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    spec: QuantSpec,
    name: str,
    /,
) -> Any:
    ready = _prepared(x, scale, zero_point, spec)
    if isinstance(ready, Declined):
        return ready
    from qcore.backends.triton import quantize as kernels

    order, data, step, zero, layout = ready
    if x.numel() == 0:
        dtype = getattr(torch, spec.format.storage) if name == "quantize" else x.dtype
        return torch.empty_like(x, dtype=dtype)
    return _back(getattr(kernels, name)(data, step, zero, spec.format, layout), order)
