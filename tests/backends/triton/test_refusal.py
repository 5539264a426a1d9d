"""What Triton's kernels cannot read is declined, in any argument, with the reason."""

import os
from dataclasses import replace
from importlib.util import find_spec

import pytest

if not (find_spec("triton") and find_spec("torch")):
    pytest.skip("triton or torch is not installed", allow_module_level=True)

import torch

import qcore
from qcore import QuantSpec, affine, gradient
from qcore.backends.torch import refusal
from qcore.kernels import Declined, kernels
from qcore.methods.registry import find_method
from qcore.methods.solve import solve
from qcore.statistics.tally import tally

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
X, STEP = torch.arange(12.0).reshape(3, 4), torch.full((3, 1), 0.5)
ZERO = torch.zeros((3, 1), dtype=torch.int32)
SPEC = QuantSpec("int8", granularity=qcore.PerChannel(0))
COUNTS = torch.ones((3, 2, 8), dtype=torch.int64)
EXPONENTS, K = torch.ones((3, 2, 256), dtype=torch.int64), ZERO[:, 0]
STATE = qcore.Histogram.of(X, granularity=qcore.PerChannel(0))
EVERY = torch.ones((3, 1), dtype=torch.bool)
ARGUMENTS = {
    "quantize_data": (X, STEP, ZERO, SPEC),
    "fake_quantize_data": (X, STEP, ZERO, SPEC),
    "fake_quantize_gradient": (X, X, STEP, ZERO, SPEC),
    "tally": (X, X > 3, None, 8, K),
    "regrid": (COUNTS, EXPONENTS, K, K),
    "search_symmetric": (COUNTS, STEP, EVERY, SPEC.format),
    "search_affine": (COUNTS, STEP, EVERY, 15),
    "search_ranges": (COUNTS, STEP, 2 * STEP, EVERY, 15),
    "best_split": (COUNTS, STEP, STEP, STEP, 15),
    "is_balanced": (COUNTS, STEP, STEP, SPEC),
    "merged_information": (COUNTS[:, 0], ZERO, ZERO + 2, EVERY, (0.0, 0.5, 1.0)),
}
CASES = [
    (name, place)
    for name, arguments in ARGUMENTS.items()
    for place, argument in enumerate(arguments)
    if isinstance(argument, torch.Tensor)
]
every_tensor = pytest.mark.parametrize(("name", "place"), CASES)


class Elsewhere(torch.Tensor):
    """A subclass, whose values may be anywhere."""


@pytest.fixture(autouse=True)
def _serves_the_cpu(monkeypatch):
    monkeypatch.setattr(refusal, "INTERPRETED", True)


def native(kernel):
    """Return the function that Triton serves a kernel of the core with."""
    sources = {f"qcore.backends.torch.{name}" for name in ("triton", "search")}
    (found,) = (n for n in kernel.natives["torch"] if n.source in sources)
    return found.function


def with_one(name, place, change):
    """Return what a kernel answers of arguments, one of them changed."""
    arguments = list(ARGUMENTS[name])
    arguments[place] = change(arguments[place])
    return native(kernels()[name])(*arguments)


@every_tensor
def test_a_subclass_of_tensors_is_declined(name, place):
    answer = with_one(name, place, lambda x: x.as_subclass(Elsewhere))
    assert answer == Declined("the tensor is not plain memory")


@every_tensor
def test_a_tensor_that_is_not_strided_is_declined(name, place):
    answer = with_one(name, place, torch.Tensor.to_sparse)
    assert answer == Declined("the tensor is not plain memory")


@pytest.mark.parametrize(
    ("name", "place"), [c for c in CASES if ARGUMENTS[c[0]][c[1]].dtype != torch.bool]
)
def test_a_negative_view_is_declined(name, place):
    answer = with_one(name, place, torch._neg_view)
    assert answer == Declined("the tensor is not plain memory")


@every_tensor
def test_a_tensor_of_a_transformed_function_is_declined(name, place):
    answers = []

    def transformed(x):
        answers.append(with_one(name, place, lambda _: x[0]))
        return x

    torch.func.vmap(transformed)(ARGUMENTS[name][place][None, None])
    assert answers == [Declined("the tensor is part of a transformed function")]


@every_tensor
def test_a_tensor_on_another_device_is_declined(name, place):
    answer = with_one(name, place, lambda x: x.to("meta"))
    reasons = {"Triton is for CUDA tensors", "the tensors are on different devices"}
    assert answer.reason in reasons


@pytest.mark.parametrize("field", ["counts", "min"])
def test_a_method_on_a_state_that_is_not_plain_is_declined(field):
    value = getattr(STATE, field).as_subclass(Elsewhere)
    statistics = replace(STATE, **{field: value})
    answer = native(solve)(STATE.max, statistics, SPEC, find_method("mse"), ())
    assert answer == Declined("the tensor is not plain memory")


@pytest.mark.parametrize("name", ARGUMENTS)
def test_no_tensor_of_the_cpu_is_served_but_interpreted(name, monkeypatch):
    monkeypatch.setattr(refusal, "INTERPRETED", False)
    answer = native(kernels()[name])(*ARGUMENTS[name])
    assert answer == Declined("Triton is for CUDA tensors")


@pytest.mark.parametrize("name", ARGUMENTS)
def test_devices_of_amd_are_declined(name, monkeypatch):
    monkeypatch.setattr(torch.version, "hip", "7.0")
    with torch._subclasses.FakeTensorMode():
        x = torch.empty((3, 4), device="cuda")
    answer = native(kernels()[name])(x, *ARGUMENTS[name][1:])
    assert answer == Declined("Triton is not used on AMD's devices")


FOLLOWED = X.clone().requires_grad_()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_gradient_that_autograd_follows_is_declined(place):
    arguments = [X, X, STEP]
    arguments[place] = arguments[place].clone().requires_grad_()
    answer = native(gradient.fake_quantize_gradient)(*arguments, ZERO, SPEC)
    assert answer == Declined("autograd follows the portable function alone")


@pytest.mark.parametrize("place", [0, 1])
def test_fake_quantization_that_autograd_follows_is_declined(place):
    arguments = [X, STEP]
    arguments[place] = arguments[place].clone().requires_grad_()
    answer = native(affine.fake_quantize_data)(*arguments, ZERO, SPEC)
    assert answer == Declined("autograd follows the portable function alone")


@pytest.mark.skipif(not IS_INTERPRETED, reason="Triton interprets if it is told so")
def test_fake_quantization_is_served_where_autograd_does_not_follow():
    with torch.no_grad():
        found = native(affine.fake_quantize_data)(FOLLOWED, STEP, ZERO, SPEC)
    assert torch.equal(found, X)


@pytest.mark.skipif(not IS_INTERPRETED, reason="Triton interprets if it is told so")
def test_codes_of_data_that_autograd_follows_are_served():
    found = native(affine.quantize_data)(FOLLOWED, STEP, ZERO, SPEC)
    assert torch.equal(found, (X * 2).to(torch.int8))


@pytest.mark.skipif(not IS_INTERPRETED, reason="Triton interprets if it is told so")
def test_counts_of_data_that_autograd_follows_are_served():
    one, other = (native(tally)(x, None, None, 8, None) for x in (FOLLOWED, X))
    assert torch.equal(one.counts, other.counts)
