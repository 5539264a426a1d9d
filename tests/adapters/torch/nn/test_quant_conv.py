import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from qcore.adapters.torch import nn as quant_nn
from qcore.adapters.torch.nn.modules.quant_conv import _QuantConvNd
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from tests.adapters.torch.nn.deployed import fake

CONVOLUTIONS = ["Conv1d", "Conv2d", "Conv3d"]
TRANSPOSED = ["ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]


def data(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def image(name, channels=4, size=7):
    return data(2, channels, *(size,) * int(name[-2]))


def twins(name, *args, quantizers=None, **kwargs):
    """A layer of torch and one that quantizes, of the same parameters."""
    torch.manual_seed(1)
    plain = getattr(nn, name)(*args, **kwargs)
    quantized = getattr(quant_nn, f"Quant{name}")(*args, **kwargs, **quantizers or {})
    quantized.load_state_dict(plain.state_dict(), strict=False)
    return plain, quantized


def of_quantized(plain, x, kept):
    """What torch's layer makes of operands quantized one by one."""
    with torch.no_grad():
        plain.weight.copy_(fake(plain.weight, kept))
    return plain(fake(x))


OPTIONS = [
    {},
    {"stride": 2, "padding": 1, "dilation": 2, "bias": False},
    {"groups": 2},
    {"padding": 2, "padding_mode": "circular"},
    {"padding": 1, "padding_mode": "reflect"},
    {"padding": "same"},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_s3_58_convolutions_are_torchs_of_quantized_operands(name, options):
    plain, quantized = twins(name, 4, 6, 3, **options)
    x = image(name)
    assert torch.equal(quantized(x), of_quantized(plain, x, kept=0))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"groups": 2, "bias": False, "dilation": 2},
    ],
)
@pytest.mark.parametrize("name", TRANSPOSED)
def test_s3_61_transposed_ones_too_with_scales_per_output_channel(name, options):
    plain, quantized = twins(name, 4, 6, 3, **options)
    x = image(name, size=5)
    assert torch.equal(quantized(x), of_quantized(plain, x, kept=1))


@pytest.mark.parametrize("name", TRANSPOSED)
def test_s3_61_the_size_of_the_output_can_be_chosen(name):
    plain, quantized = twins(name, 4, 6, 3, stride=2)
    x = image(name, size=5)
    size = (12,) * int(name[-2])
    found = quantized(x, output_size=size)
    with torch.no_grad():
        plain.weight.copy_(fake(plain.weight, 1))
    assert found.shape[2:] == size
    assert torch.equal(found, plain(fake(x), output_size=size))


@pytest.mark.parametrize("name", ["Conv2d", "ConvTranspose2d"])
def test_weights_per_tensor(name):
    quantizers = {"quant_desc_weight": QuantDescriptor()}
    plain, quantized = twins(name, 4, 6, 3, quantizers=quantizers)
    x = image(name)
    assert torch.equal(quantized(x), of_quantized(plain, x, kept=None))


def test_a_fixed_range_saturates_at_its_ends():
    narrow = QuantDescriptor(amax=0.25)
    _, quantized = twins("Conv1d", 1, 1, 1, quantizers={"quant_desc_input": narrow})
    found = quantized.input_quantizer(torch.tensor([-9.0, 9.0]))
    torch.testing.assert_close(found, torch.tensor([-128.0, 127.0]) / 127 * 0.25)


@pytest.mark.parametrize("name", CONVOLUTIONS + TRANSPOSED)
def test_s3_34_a_disabled_layer_is_torchs_own(name):
    plain, quantized = twins(name, 4, 6, 3, stride=2)
    quantized.input_quantizer.disable()
    quantized.weight_quantizer.disable()
    x = image(name)
    assert torch.equal(quantized(x), plain(x))


@pytest.mark.parametrize("name", CONVOLUTIONS + TRANSPOSED)
def test_s3_58_signatures_are_torchs(name):
    ours = inspect.signature(getattr(quant_nn, f"Quant{name}")).parameters
    theirs = inspect.signature(getattr(nn, name)).parameters
    expected = {n: p.default for n, p in theirs.items() if n not in {"device", "dtype"}}
    assert {n: p.default for n, p in ours.items() if n != "kwargs"} == expected
    assert list(ours)[:-1] == list(expected)


@pytest.mark.parametrize("name", CONVOLUTIONS + TRANSPOSED)
def test_s3_7_aliases_are_the_classes(name):
    assert getattr(quant_nn, name) is getattr(quant_nn, f"Quant{name}")


@pytest.mark.parametrize("name", CONVOLUTIONS + TRANSPOSED)
def test_s3_57_a_quantized_layer_is_one_of_torch(name):
    made = getattr(quant_nn, name)(4, 6, 3)
    assert isinstance(made, getattr(nn, name))
    assert isinstance(made, _QuantConvNd)


@pytest.mark.parametrize("kind", [TypeError, KeyError])
@pytest.mark.parametrize("name", ["Conv2d", "ConvTranspose2d"])
def test_s3_57_an_unknown_keyword_is_either_error(name, kind):
    with pytest.raises(kind, match=f"Quant{name} .* must be .*; got kernel"):
        getattr(quant_nn, name)(4, 6, 3, kernel=1)


@pytest.mark.parametrize("options", [{"groups": 3}, {"padding_mode": "mirror"}])
def test_s3_57_unsupported_arguments_are_value_errors(options):
    with pytest.raises(ValueError, match=r"groups|padding_mode"):
        quant_nn.QuantConv2d(4, 6, 3, **options)


def test_s3_61_transposed_ones_pad_with_zeros_alone():
    with pytest.raises(ValueError, match=r"must be 'zeros'; got 'circular'"):
        quant_nn.QuantConvTranspose2d(4, 6, 3, padding_mode="circular")


@pytest.mark.parametrize("which", ["input", "weight"])
def test_s3_33_only_fake_quantization_is_for_modules(which):
    real = QuantDescriptor(fake_quant=False)
    with pytest.raises(ValueError, match="Only fake quantization is supported"):
        quant_nn.QuantConv2d(4, 6, 3, **{f"quant_desc_{which}": real})


def test_s3_57_the_abstract_layer_takes_descriptors_by_position():
    desc = QuantDescriptor(num_bits=4)
    sizes = (3,), (1,), (0,), (1,), False, (0,)
    made = _QuantConvNd(4, 6, *sizes, 2, True, "zeros", desc, desc)
    assert made.weight.shape == (6, 2, 3)
    assert (made.input_quantizer.num_bits, made.weight_quantizer.num_bits) == (4, 4)


def test_one_picture_without_a_batch_is_taken():
    plain, quantized = twins("Conv2d", 4, 6, 3)
    x = data(4, 7, 7)
    assert torch.equal(quantized(x), of_quantized(plain, x, kept=0))


def test_data_may_lie_in_memory_in_any_order():
    _, quantized = twins("Conv2d", 4, 6, 3)
    x = image("Conv2d")
    last = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(quantized(last), quantized(x))


def test_gradients_reach_input_and_weights_straight_through():
    plain, quantized = twins("Conv2d", 4, 6, 3)
    x = image("Conv2d").requires_grad_()
    quantized(x).square().sum().backward()
    with torch.no_grad():
        plain.weight.copy_(fake(plain.weight, 0))
    operand = fake(x).requires_grad_()
    plain(operand).square().sum().backward()
    torch.testing.assert_close(quantized.weight.grad, plain.weight.grad)
    torch.testing.assert_close(x.grad, operand.grad)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_keep_theirs(dtype):
    found = quant_nn.QuantConv1d(4, 6, 3).to(dtype)(data(2, 4, 7).to(dtype))
    assert found.dtype == dtype
    assert found.isfinite().all()


def test_autocast_computes_in_the_dtype_it_is_told():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = quant_nn.QuantConv2d(4, 6, 3)(image("Conv2d"))
    assert found.dtype == torch.bfloat16


def net():
    torch.manual_seed(2)
    return nn.Sequential(
        quant_nn.QuantConv2d(3, 4, 3, padding=1, padding_mode="circular"),
        nn.ReLU(),
        quant_nn.QuantAvgPool2d(2),
        nn.Flatten(),
        quant_nn.QuantLinear(4 * 4 * 4, 5),
    )


def test_compiled_without_a_break_it_is_the_eager_one_bit_for_bit():
    torch.compiler.reset()
    model, x = net(), data(2, 3, 8, 8)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), model(x))


def test_a_state_dict_brings_calibrated_ranges_along():
    model, other = net(), net()
    for i, module in enumerate(
        m for m in model.modules() if hasattr(m, "load_calib_amax")
    ):
        module.amax = torch.tensor(1.0 + i)
    other.load_state_dict(model.state_dict())
    x = data(2, 3, 8, 8)
    assert torch.equal(other(x), model(x))
    assert other[0].input_quantizer.amax == 1


def test_s3_9_a_quantizer_can_be_placed_by_hand():
    quantizer = quant_nn.TensorQuantizer(quant_nn.QuantConv2d.default_quant_desc_input)
    x = image("Conv2d")
    assert torch.equal(F.relu(quantizer(x)), F.relu(fake(x)))
