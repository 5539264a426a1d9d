"""Quantizers in training: gradients, autocast, many processes."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn

from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from tests.adapters.torch.quantizer_kinds import (
    X,
    each_kind,
    images,
    net,
)


@pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()),
    reason="torch was built without Gloo",
)
@pytest.mark.parametrize("settings", [{}, {"learn_scale": True}], ids=str)
def test_ddp_trains_a_step_as_one_process_does(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        model = net(**settings)
        alone = copy.deepcopy(model)
        for trained in (nn.parallel.DistributedDataParallel(model), alone):
            optimizer = torch.optim.SGD(trained.parameters(), 0.1)
            trained(images()).square().sum().backward()
            optimizer.step()
    finally:
        distributed.destroy_process_group()
    for ours, theirs in zip(model.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(model(images()), alone(images()))


@each_kind
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_quantizes_forwards_and_backwards(
    make: Callable[[], TensorQuantizer], dtype: torch.dtype
) -> None:
    layer = nn.Linear(8, 8)
    quantizer = make()
    with torch.autocast("cpu", dtype=dtype):
        found = quantizer(layer(X))
        (found.float() ** 2).sum().backward()
    assert found.dtype == dtype
    assert layer.weight.grad is not None
    assert layer.weight.grad.isfinite().all()
    for parameter in quantizer.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


@pytest.mark.parametrize("learns", [False, True])
def test_gradients_have_gradients(learns: bool) -> None:
    quantizer = TensorQuantizer(QuantDescriptor(amax=1.0, learn_scale=learns))
    x = torch.tensor([0.3, -0.7, 2.0], requires_grad=True)
    (first,) = torch.autograd.grad((quantizer(x) ** 2).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert second.tolist() == [2, 2, 0]


def test_gradients_of_a_learned_scale_have_gradients() -> None:
    quantizer = TensorQuantizer(QuantDescriptor(amax=1.0, learn_scale=True))
    x = torch.tensor([0.3, -0.7, 2.0])
    factor = torch.tensor(3.0, requires_grad=True)
    y = (quantizer(x) * factor).sum()
    (first,) = torch.autograd.grad(y, quantizer.learned_scale, create_graph=True)
    (mixed,) = torch.autograd.grad(first, factor)
    assert mixed.item() == pytest.approx(first.item() / 3, rel=1e-5)
