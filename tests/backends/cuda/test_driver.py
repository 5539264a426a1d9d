"""What the driver is asked for a launch, and how its errors read, without a GPU."""

from importlib import import_module
from types import SimpleNamespace

import pytest

from qcore.backends.cuda.source import Program

PROGRAM = Program(("numbers.cu", "regrid.cu"), ())


class Answer(int):
    """An error code with a name."""

    @property
    def name(self):
        return "CUDA_ERROR_LAUNCH_FAILED" if self else "CUDA_SUCCESS"


@pytest.fixture
def api(monkeypatch):
    """A driver that has no context and writes down what it is asked."""
    pytest.importorskip("cuda.bindings", reason="cuda-bindings is not installed")
    module = import_module("qcore.backends.cuda.driver")
    calls = []

    def stub(name, *values, error=0):
        def call(*given):
            calls.append((name, *given[:1]))
            return (Answer(error), *values)

        monkeypatch.setattr(module.driver, name, call)

    module._context.cache_clear()
    monkeypatch.setattr(module, "_function", lambda *_: "function")
    stub("cuCtxGetCurrent", 0)
    stub("cuCtxSetCurrent")
    stub("cuDeviceGet", "device")
    stub("cuDevicePrimaryCtxRetain", "context")
    stub("cuLaunchKernel")
    yield SimpleNamespace(launch=module.launch, stub=stub, calls=calls)
    module._context.cache_clear()


def test_each_launch_makes_a_context_current_where_the_thread_has_none(api):
    for _ in range(2):
        api.launch(3, 0, PROGRAM, "regrid", 1, 32, 0, [])
    assert api.calls.count(("cuCtxSetCurrent", "context")) == 2
    assert api.calls.count(("cuDevicePrimaryCtxRetain", "device")) == 1
    assert ("cuDeviceGet", 3) in api.calls


def test_a_context_that_is_current_stays_so(api):
    api.stub("cuCtxGetCurrent", 1)
    api.launch(0, 0, PROGRAM, "regrid", 1, 32, 0, [])
    assert [name for name, *_ in api.calls] == ["cuCtxGetCurrent", "cuLaunchKernel"]


def test_an_error_names_the_call_the_kernel_and_the_device(api):
    api.stub("cuLaunchKernel", error=719)
    message = (
        "CUDA answered CUDA_ERROR_LAUNCH_FAILED to cuLaunchKernel for regrid on "
        "device 2."
    )
    with pytest.raises(RuntimeError) as caught:
        api.launch(2, 0, PROGRAM, "regrid", 1, 32, 0, [])
    assert str(caught.value) == message
