"""What the launchers hand to the driver is what the kernels read, on the CPU."""

import ctypes
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from array_api_compat import numpy as xp

from qcore import parse_format
from qcore.backends.cuda.gradient import fake_quantize_gradient
from qcore.backends.cuda.rounding import quantize
from qcore.backends.cuda.search import search_symmetric
from qcore.backends.cuda.tally import tally
from qcore.libraries import arithmetic
from qcore.methods.step_search import search_symmetric as portable_search
from tests.backends.cuda.cases import (
    Case,
    gradient_case,
    quantize_case,
    rounding_cases,
    tally_case,
)
from tests.backends.cuda.emulator import Emulator, built
from tests.backends.hard import assert_same_bits, rows

GIVEN = rounding_cases()["middle-float32-float8_e4m3fn"]


def run(program, kernel, grid, block, shared, pointers):
    launch = getattr(built(program), f"launch_{kernel}")
    launch(grid, block, shared, ctypes.c_void_p(pointers))


def by_torch(monkeypatch):
    """Return PyTorch's device with the CPU behind it and a driver that runs there."""
    pytest.importorskip("torch")
    pytest.importorskip("cuda.bindings", reason="cuda-bindings is not installed")
    torch = import_module("torch")
    cuda = import_module("qcore.backends.torch.cuda")
    driver = import_module("qcore.backends.cuda.driver")
    facts = SimpleNamespace(multiprocessors=2, threads=2048, shared=10**5)
    facts.shared_of_block = 99_000
    api = driver.driver

    def launch_kernel(function, *numbers):
        grid, y, z, block, v, w, shared, stream, pointers, extra = numbers
        assert (y, z, v, w, extra) == (1, 1, 1, 1, 0)
        assert int(stream) == 2**40
        run(*function, grid, block, shared, pointers)
        return (api.CUresult.CUDA_SUCCESS,)

    monkeypatch.setattr(cuda, "_driver", lambda: driver)
    monkeypatch.setattr(driver, "facts", lambda _: facts)
    monkeypatch.setattr(driver, "_function", lambda _, *function: function)
    monkeypatch.setattr(api, "cuLaunchKernel", launch_kernel)
    success = api.CUresult.CUDA_SUCCESS
    monkeypatch.setattr(api, "cuCtxGetCurrent", lambda: (success, 1))
    stream = SimpleNamespace(cuda_stream=2**40)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stream)
    device = cuda.TorchDevice(0)
    device.device = torch.device("cpu")
    return device, torch.from_numpy, lambda x: x.numpy()


def by_cupy(monkeypatch):
    """Return NumPy's memory with CuPy's way to pass arguments."""
    pytest.importorskip("cupy")
    module = import_module("qcore.backends.cupy.device")

    class Device(Emulator):
        ordinal = 0
        launch = module.CupyDevice.launch

    def function(ordinal, program, kernel):
        def launch(grid, block, scalars, shared_mem):
            held = [np.array(scalar) for scalar in scalars]
            pointers = (ctypes.c_void_p * len(held))(*(x.ctypes.data for x in held))
            run(program, kernel, *grid, *block, shared_mem, ctypes.addressof(pointers))

        assert ordinal == 0
        return launch

    monkeypatch.setattr(module, "_function", function)
    return Device(), np.asarray, np.asarray


@pytest.fixture(params=[by_torch, by_cupy])
def way(request, device, monkeypatch):
    del device  # which makes blocks small
    return request.param(monkeypatch)


def call(way, function, case):
    device, put, get = way
    there = [put(x) if isinstance(x, np.ndarray) else x for x in case.given]
    found = function(device, *there)
    parts = found if isinstance(found, tuple) else (found,)
    return [get(part) for part in parts]


def test_counts_are_those_of_the_portable_function(way):
    case = tally_case(rows(3, 3003), 64, [-9, 100, 3], True)
    found = call(way, tally, case)
    for pair in zip(found, case.expected, strict=True):
        assert_same_bits(*pair)


def test_errors_of_steps_are_those_of_the_portable_function(way):
    counts = np.random.default_rng(0).integers(0, 99, (2, 2, 64))
    steps, every = np.linspace(0.5, 9, 90)[None], np.ones((2, 90), np.bool_)
    given = counts, steps, every, parse_format("float4_e2m1fn")
    with arithmetic(xp):
        expected = portable_search.reference(*given, xp=xp)
    (found,) = call(way, search_symmetric, Case(given, (expected,)))
    best = np.argmin(expected, axis=1)
    np.testing.assert_array_equal(np.argmin(found, axis=1), best)
    np.testing.assert_allclose(found.min(axis=1), expected.min(axis=1), 1e-9)


def test_codes_are_those_of_the_portable_function(way):
    case = quantize_case(GIVEN)
    assert_same_bits(*call(way, quantize, case), *case.expected)


def test_gradients_are_those_of_the_portable_function(way):
    case = gradient_case(GIVEN)
    of_x, of_scale = call(way, fake_quantize_gradient, case)
    assert_same_bits(of_x, case.expected[0])
    np.testing.assert_allclose(of_scale, case.expected[1], rtol=2e-6, atol=1e-5)
