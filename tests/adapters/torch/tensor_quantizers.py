"""The exported model's arithmetic in NumPy, and quantizers in short."""

from typing import Any

import numpy as np
import torch

from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor


def reference(
    x: torch.Tensor, amax: Any, qmin: int = -128, qmax: int = 127
) -> torch.Tensor:
    """The exported model's arithmetic, in NumPy: divide, round, saturate, multiply."""
    values, scale = x.detach().numpy(), np.float32(amax) / np.float32(qmax)
    codes = np.clip(np.rint(values / scale.astype(values.dtype)), qmin, qmax)
    return torch.from_numpy(codes * scale.astype(values.dtype))


def quantizer(*stages: str, **keywords: Any) -> TensorQuantizer:
    return TensorQuantizer(
        QuantDescriptor(**keywords), **{f"if_{stage}": True for stage in stages}
    )
