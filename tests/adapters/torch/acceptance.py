"""Data, networks and the numbers of 8 bits, for the tests of acceptance."""

import inspect
import io
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from qcore.adapters.torch import calib, enable_onnx_export
from qcore.adapters.torch import nn as quant_nn
from qcore.adapters.torch.nn import TensorQuantizer
from qcore.adapters.torch.tensor_quant import QuantDescriptor


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def uniform(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(12345))


def images(count: int = 2) -> torch.Tensor:
    return normal(count, 3, 6, 6, seed=1)


def int8(x: torch.Tensor, amax: torch.Tensor | float) -> torch.Tensor:
    """Return what 8 bits with a scale of amax / 127 make of data."""
    scale = torch.as_tensor(amax, dtype=torch.float32) / 127
    return (x / scale).round().clamp(-128, 127) * scale


def per_tensor(x: torch.Tensor) -> torch.Tensor:
    """Return data in 8 bits with one scale."""
    return int8(x, x.abs().max())


def per_channel(weight: torch.Tensor, axis: int = 0) -> torch.Tensor:
    """Return weights in 8 bits, each index along the axis with its own scale."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    return int8(weight, weight.abs().amax(others, keepdim=True))


def quantizer(**given: Any) -> TensorQuantizer:
    return TensorQuantizer(QuantDescriptor(**given))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        quant_nn.QuantConv2d(3, 4, 3),
        nn.ReLU(),
        nn.Flatten(),
        quant_nn.QuantLinear(64, 5),
    )


def quantizers_of(model: nn.Module) -> list[TensorQuantizer]:
    return [m for m in model.modules() if isinstance(m, TensorQuantizer)]


def collect_stats(model: nn.Module, loader: list[torch.Tensor]) -> None:
    """Feed data to the calibrators, as the ResNet50 tutorial has it."""
    for module in model.modules():
        if isinstance(module, TensorQuantizer):
            if module._calibrator is not None:
                module.disable_quant()
                module.enable_calib()
            else:
                module.disable()
    with torch.no_grad():
        for batch in loader:
            model(batch)
    for module in model.modules():
        if isinstance(module, TensorQuantizer):
            if module._calibrator is not None:
                module.enable_quant()
                module.disable_calib()
            else:
                module.enable()


def compute_amax(model: nn.Module, **kwargs: Any) -> None:
    """Load ranges from the calibrators, as the ResNet50 tutorial has it."""
    for module in model.modules():
        if isinstance(module, TensorQuantizer) and module._calibrator is not None:
            if isinstance(module._calibrator, calib.MaxCalibrator):
                module.load_calib_amax()
            else:
                module.load_calib_amax(**kwargs)


def calibrated(model: nn.Module, *loader: torch.Tensor) -> nn.Module:
    collect_stats(model.eval(), list(loader))
    compute_amax(model, method="percentile")
    return model


def exported(model: nn.Module, x: torch.Tensor, **options: Any) -> onnx.ModelProto:
    file = io.BytesIO()
    with enable_onnx_export():
        torch.onnx.export(model, (x,), file, dynamo=False, **options)
    return onnx.load_model_from_string(file.getvalue())


def defaults(function: Any) -> dict[str, Any]:
    """Return the parameters of a signature with their defaults, of those that have."""
    return {
        name: p.default
        for name, p in inspect.signature(function).parameters.items()
        if p.default is not p.empty
    }


def squared_error(x: np.ndarray, amax: float) -> float:
    """Return the mean squared error of int8 codes, independently of the package."""
    scale = amax / 127
    codes = np.clip(np.round(x / scale), -128, 127)
    return float(np.mean((codes * scale - x) ** 2))
