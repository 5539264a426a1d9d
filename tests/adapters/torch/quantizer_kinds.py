"""Quantizers of every kind, and what a network of some computes."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from qcore.adapters.torch.nn.modules.quant_conv import QuantConv2d
from qcore.adapters.torch.nn.modules.quant_linear import QuantLinear
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor

X = torch.randn(6, 8, generator=torch.manual_seed(0))
PER_ROW = QuantDescriptor(axis=0)


def fixed(amax: Any = 2.0, **settings: Any) -> TensorQuantizer:
    return TensorQuantizer(QuantDescriptor(amax=amax, **settings))


def calibrated(data: torch.Tensor = X, **settings: Any) -> TensorQuantizer:
    quantizer = TensorQuantizer(QuantDescriptor(**settings))
    quantizer.collect(data)
    quantizer.load_calib_amax()
    return quantizer


KINDS: dict[str, Callable[[], TensorQuantizer]] = {
    "fixed": fixed,
    "per row": lambda: fixed(np.linspace(1, 2, 6).reshape(6, 1)),
    "calibrated": calibrated,
    "asymmetric": lambda: calibrated(X + 1, symmetric=False),
    "dynamic": TensorQuantizer,
    "dynamic per row": lambda: TensorQuantizer(PER_ROW),
    "blocks": lambda: TensorQuantizer(QuantDescriptor(format="mxfp8_e4m3")),
    "fp8": lambda: fixed(num_bits=(4, 3)),
    "learned scale": lambda: fixed(learn_scale=True),
    "learned range": lambda: TensorQuantizer(
        QuantDescriptor(amax=1.5, learn_amax=True), if_clip=True
    ),
}
each_scaled = pytest.mark.parametrize(
    "make", [m for k, m in KINDS.items() if "learned" not in k]
)
"""Learned parameters follow the model's dtype, as all parameters do."""
each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
each_kept = pytest.mark.parametrize(
    "make", [m for k, m in KINDS.items() if "dynamic" not in k and k != "blocks"]
)


def reference(x: torch.Tensor, amax: Any, bits: int = 8) -> torch.Tensor:
    """Return fake quantization by torch's own operator."""
    qmax = 2 ** (bits - 1) - 1
    scale = float(torch.as_tensor(amax) / qmax)
    found: torch.Tensor = torch.fake_quantize_per_tensor_affine(
        x, scale, 0, -qmax - 1, qmax
    )
    return found


def net(**settings: Any) -> nn.Sequential:
    """Return a convolution and a layer, calibrated per tensor and per channel."""
    torch.manual_seed(0)
    desc = QuantDescriptor(**settings)
    made = nn.Sequential(
        QuantConv2d(3, 4, 3, quant_desc_input=desc),
        nn.ReLU(),
        nn.Flatten(),
        QuantLinear(64, 5, quant_desc_input=desc),
    )
    x = images()
    for layer in made:
        if isinstance(layer, QuantConv2d | QuantLinear):
            layer.input_quantizer.collect(x)
            layer.weight_quantizer.collect(layer.weight)
            layer.input_quantizer.load_calib_amax()
            layer.weight_quantizer.load_calib_amax()
        x = layer(x).detach()
    return made


def images() -> torch.Tensor:
    return torch.randn(2, 3, 6, 6, generator=torch.manual_seed(1))


def saved_and_loaded(state: Any, **options: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True, **options)
