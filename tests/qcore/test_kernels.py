import os
import subprocess
import sys

import numpy as np
import pytest

from qcore.kernels import Kernel, declined, map_blocks
from qcore.libraries import library_name


@pytest.fixture
def double():
    """A kernel whose native functions can be told from the portable one."""

    @Kernel
    def double(x, /, *, by=2, xp):
        """Return x doubled."""
        return xp.multiply(x, by)

    return double


def add_one(x, /, *, by=2):
    return x * by + 1


def test_without_a_native_the_portable_function_runs(xp, run, array, to_numpy, double):
    found = run(lambda x: double(x, xp=xp), array(np.float32([1, 2])))
    assert to_numpy(found).tolist() == [2, 4]


def test_the_native_of_the_library_runs(xp, array, to_numpy, double):
    double.accelerate(library_name(xp))(add_one)
    double.accelerate("another library")(None)
    found = double(array(np.float32([1, 2])), by=3, xp=xp)
    assert to_numpy(found).tolist() == [4, 7]


@pytest.mark.parametrize("answer", [NotImplemented, declined("no")])
def test_a_native_may_decline(xp, array, to_numpy, double, answer):
    double.accelerate(library_name(xp))(lambda *_, **__: answer)
    found = double(array(np.float32([1, 2])), by=3, xp=xp)
    assert to_numpy(found).tolist() == [3, 6]


def test_the_native_registered_last_is_asked_first(xp, array, to_numpy, double):
    double.accelerate(library_name(xp))(add_one)
    double.accelerate(library_name(xp))(lambda x, /, *, by=2: x * by + 2)
    found = double(array(np.float32([1, 2])), xp=xp)
    assert to_numpy(found).tolist() == [4, 6]


def test_where_the_last_native_declines_the_one_before_it_runs(
    xp, array, to_numpy, double
):
    double.accelerate(library_name(xp))(add_one)
    double.accelerate(library_name(xp))(lambda *_, **__: declined("an odd number"))
    found = double(array(np.float32([1, 2])), xp=xp)
    assert to_numpy(found).tolist() == [3, 5]
    assert list(double.declines.values()) == ["an odd number"]


def test_the_portable_function_stays_reachable(xp, array, to_numpy, double):
    double.accelerate(library_name(xp))(add_one)
    found = double.reference(array(np.float32([1, 2])), xp=xp)
    assert to_numpy(found).tolist() == [2, 4]


def test_registering_returns_the_native(double):
    assert double.accelerate("numpy")(add_one) is add_one


def test_a_kernel_keeps_the_name_and_the_words_of_its_function(double):
    assert (double.__name__, double.__doc__) == ("double", "Return x doubled.")


@pytest.mark.parametrize(("traceable", "expected"), [(False, 4), (True, 5)])
def test_jax_traces_a_native_only_if_it_says_so(double, traceable, expected):
    jax = pytest.importorskip("jax")
    double.accelerate("jax.numpy", traceable=traceable)(add_one)
    assert jax.jit(lambda x: double(x, xp=jax.numpy))(2) == expected


@pytest.mark.parametrize(("traceable", "expected"), [(False, 4), (True, 5)])
def test_torch_maps_a_native_only_if_it_says_so(double, traceable, expected):
    torch = pytest.importorskip("torch")
    double.accelerate("torch", traceable=traceable)(add_one)
    found = torch.vmap(lambda x: double(x, xp=torch))(torch.ones(3) * 2)
    assert found.tolist() == [expected] * 3


def test_torch_shows_no_fake_tensor_to_a_native(double):
    torch = pytest.importorskip("torch")
    fake = pytest.importorskip("torch._subclasses").FakeTensorMode
    double.accelerate("torch")(None)  # a call would fail
    with fake():
        assert double(torch.ones(3), xp=torch).shape == (3,)


def in_a_process(code, backend):
    """Run code under a value of QCORE_BACKEND."""
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "QCORE_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("backend", "expected"), [("reference", 4), ("", 5)])
def test_the_portable_functions_can_be_forced(backend, expected):
    code = (
        "import numpy, qcore.kernels, array_api_compat.numpy as xp\n"
        "double = qcore.kernels.Kernel(lambda x, /, *, xp: x * 2)\n"
        "double.accelerate('numpy')(lambda x, /: x * 2 + 1)\n"
        "print(double(numpy.float32(2), xp=xp))"
    )
    assert float(in_a_process(code, backend).stdout) == expected


def test_another_word_for_the_backend_is_refused():
    said = in_a_process("import qcore", "numba").stderr
    assert "QCORE_BACKEND must be 'reference' or unset; got 'numba'" in said


def test_blocks_are_mapped_in_order(xp, run, array, to_numpy):
    blocks = np.arange(12.0, dtype=np.float32).reshape(3, 4)

    def f(blocks):
        return map_blocks(blocks, xp.cumulative_sum, xp=xp)

    found = run(f, array(blocks))
    np.testing.assert_array_equal(to_numpy(found), np.cumsum(blocks, axis=1))
