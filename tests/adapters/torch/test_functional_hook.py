import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from qcore import NoDataError
from qcore.adapters.torch.calibration.model import calibrate
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantize import quantize
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from qcore.adapters.torch.rewriting.functional_hook import quantize_functions

INT8 = QuantDescriptor()


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(8, 24)

    def forward(self, x):
        q, k, v = self.project(x).chunk(3, -1)
        return F.scaled_dot_product_attention(q, k, value=v)


class Products(nn.Module):
    def forward(self, a, b):
        return (a @ b) + torch.matmul(b, a) + a.matmul(b) + torch.bmm(a, b) + a.bmm(b)


class Affine(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(4, 4))
        self.inner = nn.Linear(4, 4)

    def forward(self, x):
        return self.inner(F.linear(x, self.scale))


def fake(x):
    step = x.abs().max() / 127
    return (x / step).round() * step


def quantizers(model):
    return [n for n, m in model.named_modules() if isinstance(m, TensorQuantizer)]


@torch.no_grad()
def test_operands_of_attention_are_quantized():
    module, x = Attention(), torch.randn(2, 5, 8)
    q, k, v = module.project(x).chunk(3, -1)
    quantize_functions(module, {"scaled_dot_product_attention": INT8})

    found = calibrate(module, [x])(x)
    expected = F.scaled_dot_product_attention(fake(q), fake(k), fake(v))
    torch.testing.assert_close(found, expected)
    site = "scaled_dot_product_attention_0"
    names = [f"{site}.{o}_quantizer" for o in ("query", "key", "value")]
    assert quantizers(module) == names


def test_one_operand_alone_can_be_quantized():
    module = quantize_functions(
        Attention(), {"scaled_dot_product_attention": {"key": INT8}}
    )

    module(torch.randn(2, 5, 8))
    assert quantizers(module) == ["scaled_dot_product_attention_0.key_quantizer"]


def test_every_call_site_has_its_own_quantizers():
    module = quantize_functions(Products(), {"matmul": INT8, "bmm": INT8})
    a, b = torch.randn(2, 2, 3, 3)

    found = calibrate(module, lambda m: m(a, b))(a, b)
    torch.testing.assert_close(found, 4 * (fake(a) @ fake(b)) + fake(b) @ fake(a))
    sites = {name.split(".")[0] for name in quantizers(module)}
    assert sites == {"matmul_0", "matmul_1", "matmul_2", "bmm_0", "bmm_1"}
    assert module.matmul_1.input_quantizer.amax == b.abs().max()


def test_calls_of_children_are_their_own():
    module, x = Affine(), torch.randn(3, 4)
    expected = module.inner(F.linear(fake(x), fake(module.scale)))

    quantize_functions(module, {"linear": INT8})
    torch.testing.assert_close(module(x), expected)
    assert {name.split(".")[0] for name in quantizers(module)} == {"linear_0"}


def test_calls_of_quantized_children_are_their_own_too():
    rules = [{"type": "Affine", "functions": {"linear": "int8"}}, {"preset": "int8"}]
    model = quantize(nn.Sequential(Affine()), rules, [torch.randn(3, 4)])

    assert {name.split(".")[1] for name in quantizers(model)} == {"inner", "linear_0"}


def test_a_graph_is_refused():
    with pytest.raises(ValueError, match="GraphModule"):
        quantize_functions(torch.fx.symbolic_trace(Affine()), {"linear": INT8})


def test_an_exception_in_a_child_does_not_stop_the_next_forward():
    module = quantize_functions(Affine(), {"linear": INT8})
    weight = module.inner.weight.data
    module.inner.weight.data = torch.ones(7, 7)
    with pytest.raises(RuntimeError):
        module(torch.randn(3, 4))
    module.inner.weight.data = weight

    x = torch.randn(3, 4)
    expected = module.inner(F.linear(fake(x), fake(module.scale)))
    torch.testing.assert_close(module(x), expected)


def test_a_rule_chooses_functions():
    rules = """
    - type: Attention
      functions: {scaled_dot_product_attention: {key: int8, value: float8_e4m3fn}}
    - {preset: int8}
    """
    model = nn.Sequential(Attention())
    quantize(model, rules, [torch.randn(2, 5, 8)])

    site = model[0].scaled_dot_product_attention_0
    assert site.value_quantizer.spec.format.name == "float8_e4m3fn"
    assert site.key_quantizer.has_range()
    assert model[0].project.input_quantizer.has_range()


@torch.no_grad()
def test_state_dict_copy_and_pickle_keep_call_sites():
    x = torch.randn(2, 5, 8)
    functions = {"scaled_dot_product_attention": INT8}
    module = calibrate(quantize_functions(Attention(), functions), [x])
    loaded = quantize_functions(Attention(), functions)
    loaded.load_state_dict(module.state_dict())

    for other in (loaded, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert isinstance(other, Attention)
        assert torch.equal(other(x), module(x))
        assert other.project is not module.project


@torch.no_grad()
def test_it_compiles_without_graph_breaks_once_it_has_run():
    x = torch.randn(2, 5, 8)
    module = quantize_functions(Attention(), {"scaled_dot_product_attention": INT8})
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")

    expected = calibrate(module, [x])(x)
    assert torch.equal(compiled(x), expected)


def test_a_second_call_adds_functions():
    module = quantize_functions(Products(), {"matmul": INT8})
    quantize_functions(module, {"bmm": INT8})

    module(*torch.randn(2, 2, 3, 3))
    assert "bmm_0.mat2_quantizer" in quantizers(module)


def test_gradients_pass():
    module = quantize_functions(Attention(), {"scaled_dot_product_attention": INT8})

    module(torch.randn(2, 5, 8)).sum().backward()
    assert module.project.weight.grad.isfinite().all()


def test_call_sites_that_are_not_reached_are_told():
    module = quantize_functions(Products(), {"matmul": INT8})
    module(*torch.randn(2, 2, 3, 3))

    with pytest.raises(NoDataError, match=r"matmul_0\.input_quantizer"):
        calibrate(module, [])


@pytest.mark.parametrize(
    ("functions", "error", "message"),
    [
        ({"mm": INT8}, ValueError, "'mm'"),
        ({"matmul": {"weight": INT8}}, ValueError, "'weight'"),
        ({"matmul": "int8"}, TypeError, "descriptors"),
    ],
)
def test_what_is_not_valid_is_named(functions, error, message):
    module = Products()

    with pytest.raises(error, match=message):
        quantize_functions(module, functions)
    assert type(module) is Products
