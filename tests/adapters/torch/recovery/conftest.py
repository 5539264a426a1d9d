"""A network and batches for it."""

import pytest
import torch

from tests.adapters.torch.recovery.residual import Residual


@pytest.fixture
def model() -> Residual:
    torch.manual_seed(3)
    return Residual().eval()


@pytest.fixture
def data() -> list[torch.Tensor]:
    torch.manual_seed(4)
    return [torch.rand(4, 2, 6, 6) for _ in range(3)]
