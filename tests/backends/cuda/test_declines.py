"""What the kernels in CUDA C do not serve is declined with its reason."""

import sys
from importlib import import_module

import numpy as np
import pytest

from qcore import QuantSpec
from qcore.affine import fake_quantize_data
from qcore.kernels import Declined


@pytest.fixture
def by_torch(monkeypatch):
    """PyTorch's functions, as if it were built for CUDA."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    return torch, import_module("qcore.backends.torch.cuda")


@pytest.fixture
def by_jax(monkeypatch):
    """JAX's functions, beside a CuPy that cannot be imported."""
    pytest.importorskip("jax")
    module = import_module("qcore.backends.jax.cuda")

    def broken(_):
        raise ImportError("libnvrtc.so.13 was not found")

    monkeypatch.setattr(module, "import_module", broken)
    module._cupy.cache_clear()
    yield module
    module._cupy.cache_clear()


def tensors(torch):
    """Return tensors on a CUDA device that have no memory."""
    with torch._subclasses.FakeTensorMode():
        return torch.empty((2, 2, 4), device="cuda"), torch.empty(2, device="cuda")


def test_a_tensor_that_is_no_plain_memory_is_declined(by_torch):
    torch, module = by_torch
    counts, k = tensors(torch)
    found = module.regrid(counts, counts, k, k)
    assert found == Declined("the tensor is not plain memory")


def test_a_tensor_on_the_cpu_is_declined(by_torch):
    torch, module = by_torch
    x = torch.ones(2, 2)
    found = module.tally(x, None, None, 64, None)
    assert found == Declined("not on a CUDA device")


def test_a_broken_cuda_bindings_is_told_by_the_first_call(by_torch, monkeypatch):
    torch, module = by_torch
    monkeypatch.setattr(module, "unplain", lambda *_: None)
    monkeypatch.setitem(sys.modules, "qcore.backends.cuda.driver", None)
    module._driver.cache_clear()
    counts, k = tensors(torch)
    found = module.regrid(counts, counts, k, k)
    module._driver.cache_clear()
    assert found.reason.startswith("cuda-bindings cannot be imported: ")


def test_an_array_of_jax_that_is_traced_is_declined_before_all_else(by_jax):
    jax = pytest.importorskip("jax")
    x, zero = jax.numpy.ones(3), jax.numpy.zeros((), "int32")
    reasons = []

    def rounded(scale):
        given = (x, scale, zero, QuantSpec())
        reasons.append(by_jax._by_cupy("fake_quantize_data", *given).reason)
        return scale

    jax.grad(rounded)(jax.numpy.float32(0.5))
    assert reasons == ["an array is part of a transformed function"]


@pytest.mark.usefixtures("by_jax")
def test_the_scale_is_differentiated_for_data_that_is_not_traced():
    jax = pytest.importorskip("jax")
    namespace = import_module("qcore").libraries.namespace(jax.numpy.ones(3))
    x = jax.numpy.asarray(np.array([0.4, 0.6, 1.3], np.float32))
    zero = jax.numpy.zeros((), "int32")

    def total(scale):
        found = fake_quantize_data(x, scale, zero, QuantSpec(), xp=namespace)
        return jax.numpy.sum(found)

    assert np.isfinite(jax.grad(total)(jax.numpy.float32(0.5)))


def test_an_array_of_jax_on_the_cpu_is_declined_without_cupy(by_jax):
    jax = pytest.importorskip("jax")
    if jax.default_backend() != "cpu":
        pytest.skip("JAX sees another device")
    ones = jax.numpy.ones((2, 3))
    found = by_jax._by_cupy("tally", ones, None, None, 64, None)
    assert found == Declined("not on a CUDA device")


def test_a_broken_cupy_is_a_reason(by_jax):
    reason = "CuPy cannot be imported: libnvrtc.so.13 was not found"
    assert by_jax._cupy() == Declined(reason)
