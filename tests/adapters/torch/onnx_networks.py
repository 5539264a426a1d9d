"""Networks to export."""

import pytest
import torch
from torch import nn

from qcore.adapters.torch.nn.modules.quant_conv import (
    QuantConv2d,
    QuantConvTranspose2d,
)
from qcore.adapters.torch.nn.modules.quant_linear import QuantLinear
from qcore.adapters.torch.nn.modules.quant_pooling import QuantAvgPool2d
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor

D = QuantDescriptor

# PyTorch's exporters warn of themselves.
EXPORTERS_WARN = [
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript"),
    pytest.mark.filterwarnings("ignore::FutureWarning:copyreg"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*"),
]


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        QuantConv2d(3, 8, 3),
        nn.ReLU(),
        QuantAvgPool2d(2, quant_desc_input=D(unsigned=True)),
        QuantConvTranspose2d(8, 4, 2, quant_desc_input=D(symmetric=False)),
        nn.Flatten(),
        QuantLinear(64, 5, quant_desc_weight=D(axis=0, narrow_range=True)),
    )


def small(**given):
    torch.manual_seed(0)
    return nn.Sequential(QuantLinear(6, 4, quant_desc_weight=D(**given)))


def picture():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def row():
    return torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
