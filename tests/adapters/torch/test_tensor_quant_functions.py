import warnings

import numpy as np
import pytest
import torch

from qcore.adapters.torch.functions.affine import (
    FakeAffineTensorQuantFunction,
    fake_affine_tensor_quant,
)
from qcore.adapters.torch.functions.scaled_e4m3 import ScaledE4M3Function, scaled_e4m3
from qcore.adapters.torch.functions.tensor_quant import (
    FakeTensorQuantFunction,
    LegacyFakeTensorQuantFunction,
    TensorQuantFunction,
    fake_tensor_quant,
    legacy_fake_tensor_quant,
    tensor_quant,
)

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
ONE = torch.tensor(1.0)
FUNCTIONS = {
    "tensor_quant": lambda x: tensor_quant(x, 1.5)[0],
    "fake_tensor_quant": lambda x: fake_tensor_quant(x, 1.5),
    "legacy_fake_tensor_quant": lambda x: legacy_fake_tensor_quant(x, 1.5),
    "fake_affine_tensor_quant": lambda x: fake_affine_tensor_quant(x, -1.5, 1.5),
    "scaled_e4m3": lambda x: scaled_e4m3(x, 1.5),
}
every_function = pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
both = pytest.mark.parametrize("function", [tensor_quant, fake_tensor_quant])


@pytest.fixture(scope="module", autouse=True)
def compilers():
    """Load what compiles, which takes a second, in no test's time."""
    scaled_e4m3(ONE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.compile(fake_tensor_quant, backend="aot_eager")(ONE, ONE)


def definition(x, amax, top, bottom):
    """Return what the original documents, in NumPy: integers and scale."""
    scale = np.float32(top) / np.asarray(amax, np.float32)
    return np.clip(np.rint(x.numpy() * scale), bottom, top), scale


def data(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_s3_2_the_documented_example_is_reproduced():
    x = torch.rand(10, generator=torch.Generator().manual_seed(12345))
    outputs, scale = tensor_quant(x, x.abs().max())
    assert outputs.tolist() == [126, 113, 127, 59, 11, 23, 47, 73, 43, 27]
    assert float(scale) == pytest.approx(128.0057, abs=5e-5)


def test_s3_2_the_documented_fake_example_is_reproduced():
    x = torch.rand(10, generator=torch.Generator().manual_seed(12345))
    printed = [0.9843, 0.8828, 0.9921, 0.4609, 0.0859]
    printed += [0.1797, 0.3672, 0.5703, 0.3359, 0.2109]
    found = fake_tensor_quant(x, x.abs().max())
    np.testing.assert_allclose(found, printed, rtol=0, atol=1e-4)  # some are cut


# S3.1, S3.86: four ways to say the same, in the order of the documentation or source.
@pytest.mark.parametrize(
    ("given", "named", "bottom", "top"),
    [
        ((), {}, -127, 127),
        ((4,), {}, -7, 7),
        ((8, True), {}, 0, 255),
        ((8, False, False), {}, -128, 127),
        ((8, torch.float32), {}, -127, 127),
        ((8, torch.float32, True), {}, 0, 255),
        ((8, torch.float32, False, False), {}, -128, 127),
        ((8, torch.float32), {"narrow_range": False}, -128, 127),
        ((8, False), {"narrow_range": False}, -128, 127),
        ((), {"num_bits": 4, "unsigned": True}, 0, 15),
        ((), {"output_dtype": torch.float32, "narrow_range": False}, -128, 127),
    ],
)
@pytest.mark.parametrize("amax", [torch.tensor(1.25), 1.25])
def test_s3_1_settings_by_position_and_keyword(given, named, bottom, top, amax):
    x = data(200).abs() if bottom == 0 else data(200)
    integers, scale = definition(x, 1.25, top, bottom)
    outputs, found_scale = tensor_quant(x, amax, *given, **named)
    np.testing.assert_array_equal(outputs, integers)
    assert float(found_scale) == scale
    fake = fake_tensor_quant(x, amax, *given, **named)
    np.testing.assert_array_equal(fake, integers / scale)


@pytest.mark.parametrize(
    "given", [(8, torch.int32), (8, torch.int32, False, True), (8, False, True, "last")]
)
def test_s3_1_integers_may_be_stored_as_such(given):
    given = tuple(torch.int32 if g == "last" else g for g in given)
    x = data(200)
    outputs, _ = tensor_quant(x.requires_grad_(), ONE, *given)
    expected, _ = definition(x.detach(), 1, 127, -127)
    np.testing.assert_array_equal(outputs, expected.astype(np.int32), strict=True)
    assert not outputs.requires_grad


@both
@pytest.mark.parametrize("dtype", [torch.float16, torch.int8, "int32"])
def test_s3_1_other_output_dtypes_are_refused(function, dtype):
    with pytest.raises(ValueError, match=r"`output_dtype` must be torch\.float32 or"):
        function(data(3), ONE, output_dtype=dtype)


@both
def test_a_setting_given_twice_or_unknown_is_a_type_error(function):
    with pytest.raises(TypeError, match="unsigned"):
        function(data(3), ONE, 8, True, unsigned=True)
    with pytest.raises(TypeError, match="axis"):
        function(data(3), ONE, axis=0)


@pytest.mark.parametrize(
    ("function", "cls"),
    [
        (tensor_quant, TensorQuantFunction),
        (fake_tensor_quant, FakeTensorQuantFunction),
        (legacy_fake_tensor_quant, LegacyFakeTensorQuantFunction),
    ],
)
def test_s3_89_apply_is_positional_as_in_the_original(function, cls):
    x = data(50).abs()
    for given in [(), (4,), (8, True), (8, torch.float32, True), (8, False, False)]:
        expected = function(x, ONE, *given)
        for apply in (function.apply, cls.apply):
            found = apply(x, ONE, *given)
            assert all(map(torch.equal, found, expected))


def test_s3_89_the_aliases_of_the_others_apply_too():
    x, low, high = data(50), torch.tensor(-1.0), torch.tensor(2.0)
    expected = fake_affine_tensor_quant(x, -1, 2, num_bits=4)
    for owner in (fake_affine_tensor_quant, FakeAffineTensorQuantFunction):
        assert torch.equal(owner.apply(x, low, high, 4), expected)
    for owner in (scaled_e4m3, ScaledE4M3Function):
        assert torch.equal(owner.apply(x, ONE), scaled_e4m3(x, amax=1, E=4, M=3))
        assert torch.equal(owner.apply(x), scaled_e4m3(x))


def test_s3_85_the_shape_of_amax_is_the_granularity():
    x = data(4, 3, 5)
    amax = x.abs().amax((0, 2), keepdim=True) * 0.7
    integers, expected_scale = definition(x, amax, 127, -127)
    outputs, scale = tensor_quant(x, amax)
    np.testing.assert_array_equal(outputs, integers)
    np.testing.assert_array_equal(scale, expected_scale)
    np.testing.assert_array_equal(fake_tensor_quant(x, amax), integers / expected_scale)


# S3.87
@both
def test_s3_87_a_negative_amax_is_a_value_error(function):
    with pytest.raises(ValueError, match="`amax` must not be negative"):
        function(data(2), torch.tensor([1.0, -1.0]))


@both
def test_s3_87_a_negative_unsigned_input_is_a_type_error(function):
    with pytest.raises(TypeError, match="`inputs` must not be negative if unsigned"):
        function(torch.tensor([1.0, -0.1]), ONE, unsigned=True)


def test_s3_87_a_scale_beyond_float16_is_a_value_error():
    x, amax = data(5).half(), torch.tensor(1e-4).half()
    with pytest.raises(ValueError, match="float16 inputs, whose scale would overflow"):
        tensor_quant(x, amax)
    assert bool(torch.isfinite(fake_tensor_quant(x, amax)).all())  # returns no scale


@both
def test_integer_inputs_are_refused(function):
    with pytest.raises(TypeError, match="must be floating-point"):
        function(torch.arange(3), ONE)


@both
def test_what_is_no_tensor_is_refused(function):
    with pytest.raises(TypeError, match="`inputs` must be a tensor; got list"):
        function([1.0, 2.0], 1.0)


# S3.3, S3.88: the surrogate of rounding is clipping; its slopes by finite differences.
@every_function
def test_s3_88_the_gradient_is_that_of_clipping(f):
    x = torch.linspace(-2.9, 2.9, 41, dtype=torch.float64, requires_grad=True)
    weight, h = data(41, seed=1).double(), 1e-3
    (gradient,) = torch.autograd.grad((f(x) * weight).sum(), x)
    rise = (x.detach() + h).clamp(-1.5, 1.5) - (x.detach() - h).clamp(-1.5, 1.5)
    torch.testing.assert_close(gradient, weight * rise / (2 * h))


@every_function
def test_s3_88_the_ends_pass_the_gradient_and_nan_does_not(f):
    x = torch.tensor([-1.5, 1.5, -1.51, 1.51, torch.nan, torch.inf], requires_grad=True)
    (gradient,) = torch.autograd.grad(f(x).sum(), x)
    assert gradient.tolist() == [1, 1, 0, 0, 0, 0]


def test_s3_88_an_amax_that_a_half_cannot_hold_bounds_the_gradient_exactly():
    # float16 has 0.1 as 0.09998 and next 0.10004.
    x = torch.tensor([0.09998, 0.10004], dtype=torch.float16, requires_grad=True)
    (gradient,) = torch.autograd.grad(fake_tensor_quant(x, 0.1).sum(), x)
    assert gradient.tolist() == [1, 0]


def test_s3_88_amax_and_scale_have_no_gradient():
    amax = torch.tensor([1.0, 2.0], requires_grad=True)
    outputs, scale = tensor_quant(data(3, 2).requires_grad_(), amax)
    outputs.sum().backward()
    assert amax.grad is None
    assert not scale.requires_grad


def test_s3_88_unsigned_inputs_pass_the_gradient_up_to_amax():
    x = torch.tensor([0.0, 0.5, 1.5, 1.6], requires_grad=True)
    (gradient,) = torch.autograd.grad(fake_tensor_quant(x, 1.5, unsigned=True).sum(), x)
    assert gradient.tolist() == [1, 1, 1, 0]


# All of them
@every_function
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_dtype_stays_and_halves_are_rounded_once(f, dtype):
    x = data(100).to(dtype).requires_grad_()
    found = f(x)
    assert torch.equal(
        found, f(x.double() if dtype == FLOATS[3] else x.float()).to(dtype)
    )
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert gradient.dtype == dtype


@every_function
def test_layouts_and_extents_do_not_matter(f):
    x = data(6, 4)
    assert torch.equal(f(x.T[::2]), f(x).T[::2])
    assert torch.equal(f(x[2, 3]), f(x)[2, 3])
    assert f(x[:0]).shape == (0, 4)


@every_function
def test_autocast_changes_nothing(f):
    x = data(50).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = f(x)
    assert torch.equal(found, f(x))
    assert found.dtype == torch.float32


@every_function
def test_vmap_and_functional_gradients_are_those_of_a_loop(f):
    x = data(4, 7) * 2
    assert torch.equal(torch.vmap(f)(x), f(x))
    found = torch.vmap(torch.func.grad(lambda row: f(row).sum()))(x)
    assert torch.equal(found, (x.abs() <= 1.5).float())


# Dynamo itself makes an instance of the class, to follow it.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_compiler_follows_without_a_break(name):
    f = FUNCTIONS[name]
    x = (data(64) * 2).requires_grad_()
    torch.compiler.reset()
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    found = compiled(x)
    assert torch.equal(found, f(x))
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert torch.equal(gradient, (x.abs() <= 1.5).float())
    assert torch.equal(compiled(x.detach()), found)  # without a gradient


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("setting", [{"unsigned": True}, {"output_dtype": torch.int32}])
def test_values_are_not_checked_while_compiling(setting):
    compiled = torch.compile(tensor_quant, fullgraph=True, backend="aot_eager")
    outputs, scale = compiled(torch.tensor([-1.0, 1.0]), ONE, **setting)
    expected = ([0, 255], 255) if "unsigned" in setting else ([-127, 127], 127)
    assert (outputs.tolist(), float(scale)) == expected
