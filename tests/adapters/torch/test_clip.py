import copy

import numpy as np
import pytest
import torch

from qcore.adapters.torch.nn.functional import ClipFunction, clip
from qcore.adapters.torch.nn.modules.clip import Clip


def data(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


# S3.71
def test_s3_71_bounds_broadcast():
    x, low, high = data(4, 3), torch.tensor([[-0.5, -0.1, 0]]), torch.tensor([[0.7]])
    expected = np.clip(x.numpy(), low.numpy(), high.numpy())
    for function in (clip, clip.apply, ClipFunction.apply):
        np.testing.assert_array_equal(function(x, low, high), expected, strict=True)


def test_s3_71_bounds_may_be_numbers():
    x = data(9)
    assert torch.equal(clip(x, clip_value_min=-1, clip_value_max=0.5), x.clamp(-1, 0.5))


def test_s3_71_gradients_are_those_of_pact():
    x = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0], requires_grad=True)
    low = torch.tensor(-1.0, requires_grad=True)
    high = torch.tensor([2.0], requires_grad=True)
    weight = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    (clip(x, low, high) * weight).sum().backward()
    assert x.grad.tolist() == [0, 0, 4, 8, 0, 0]
    assert (low.grad.tolist(), high.grad.tolist()) == (3, [48])


def test_s3_71_gradients_are_finite_differences_off_the_bounds():
    x = data(50).double().requires_grad_()
    low, high = (torch.tensor(v).double().requires_grad_() for v in (-0.4, 0.9))
    assert torch.autograd.gradcheck(clip, (x, low, high))


def test_s3_71_bounds_that_are_not_learned_need_not_be_scalars():
    x = data(2, 3).requires_grad_()
    low, high = torch.full((3,), -0.5), torch.tensor([[0.1], [0.5]])
    clip(x, low, high).sum().backward()
    assert torch.equal(x.grad, ((low < x) & (x < high)).float())


def test_s3_71_only_scalars_can_be_learned():
    high = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match=r"must be a scalar to be learned; .* \(3,\)"):
        clip(data(2, 3), -1, high)


def test_a_bound_larger_than_the_data_is_a_value_error():
    with pytest.raises(ValueError, match="must broadcast to the shape of the data"):
        clip(data(3), torch.zeros(2, 3), 1)


def test_integers_are_refused():
    with pytest.raises(TypeError, match="must be floating-point"):
        clip(torch.arange(5), 1, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes_of_data_and_of_gradients_stay(dtype):
    x, high = data(5).to(dtype).requires_grad_(), torch.tensor(0.1, requires_grad=True)
    found = clip(x, -1, high)
    found.sum().backward()
    assert found.dtype == x.grad.dtype == dtype
    assert high.grad.dtype == torch.float32
    assert torch.equal(found, x.clamp(-1, torch.tensor(0.1).to(dtype).item()))


def test_the_gradient_of_a_bound_does_not_overflow_in_half():
    x = torch.ones(100_000, dtype=torch.float16)
    high = torch.tensor(0.5, requires_grad=True)
    clip(x, -1, high).backward(torch.ones_like(x))
    assert float(high.grad) == 100_000


def test_nan_is_kept_and_has_no_gradient():
    x = torch.tensor([torch.nan, 0.0], requires_grad=True)
    found = clip(x, -1, 1)
    found.sum().backward()
    assert found.isnan().tolist() == [True, False]
    assert x.grad.tolist() == [0, 1]


# S3.70
def test_s3_70_fixed_bounds_are_no_parameters():
    module = Clip(-0.5, torch.tensor([0.1, 0.2, 0.3]))
    x = data(4, 3)
    assert torch.equal(module(x), x.clamp(-0.5, None).minimum(module.clip_value_max))
    assert module.clip_value_min == -0.5
    assert list(module.parameters()) == []
    assert module.state_dict() == {}


def test_fixed_tensors_follow_the_module():
    module = Clip(torch.tensor(-1.0), 1.0).to(torch.device("meta"))
    assert module.clip_value_min.device.type == "meta"


# numpy.float64 is a float, so the original took it; a 1-d array of one element as well
@pytest.mark.parametrize("value", [2.0, 2, np.float64(2), torch.tensor([2.0])])
def test_s3_70_bounds_are_learned_from_where_they_begin(value):
    module = Clip(-1.0, value, learn_min=True, learn_max=True)
    torch.optim.SGD(module.parameters(), lr=0.1).zero_grad()
    module(torch.tensor([-5.0, 0.0, 3.0, 4.0])).sum().backward()
    assert (module.clip_value_min.item(), module.clip_value_max.item()) == (-1, 2)
    assert (module.clip_value_min.grad.item(), module.clip_value_max.grad.item()) == (
        1,
        2,
    )
    assert list(module.state_dict()) == ["clip_value_min", "clip_value_max"]


@pytest.mark.parametrize("side", ["min", "max"])
@pytest.mark.parametrize("value", [torch.ones(2), np.ones(2, np.float32), [1.0, 2.0]])
def test_s3_70_learnable_bounds_must_be_scalars(side, value):
    with pytest.raises(ValueError, match=f"`clip_value_{side}` must be a scalar"):
        Clip(value, value, **{f"learn_{side}": True})


def test_a_learned_bound_does_not_share_memory():
    value = torch.tensor(1.0)
    module = Clip(-1.0, value, learn_max=True)
    with torch.no_grad():
        module.clip_value_max.add_(1)
    assert value == 1


def test_the_module_is_copied_and_loads_the_originals_state():
    module = copy.deepcopy(Clip(-1.0, 1.0, learn_max=True))
    module.load_state_dict({"clip_value_max": torch.tensor(2.5)})
    assert module(torch.tensor(9.0)) == 2.5


# Dynamo itself makes an instance of the class, to follow it.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_a_compiler_follows_without_a_break():
    module, x = Clip(-1.0, 0.5, learn_min=True, learn_max=True), data(64)
    torch.compiler.reset()
    found = torch.compile(module, fullgraph=True, backend="aot_eager")(x)
    assert torch.equal(found, x.clamp(-1, 0.5))
    found.sum().backward()
    assert module.clip_value_max.grad == (x >= 0.5).sum()
