"""Each native function equals the portable one, run on arrays of NumPy."""

from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pkgutil import walk_packages

import numpy as np
import pytest
from array_api_compat import numpy

import qcore
from qcore.kernels import Declined, Kernel
from qcore.libraries import arithmetic, library_name
from qcore.methods.ends import TIE
from tests.backends.native_cases import ARGUMENTS

OF_CPUS = ("qcore.backends.numba",)
OF_GPUS = tuple(
    f"qcore.backends.{module}"
    for module in ("torch.cuda", "torch.triton", "torch.search", "jax.cuda")
)

SEARCHES = {"search_symmetric", "search_affine", "search_ranges"}
LIMITED = {"merged_information", "divergence"}

# Sums of logarithms and squares may be added in another order; a quotient below the
# smallest normal number, which has the code of zero, may be one. All else is exact.
TOLERANCE = {
    "merged_information": {"rtol": 1e-11},
    "divergence": {"rtol": 1e-9, "atol": 1e-11},
    "search_symmetric": {"rtol": 1e-9},
    "search_affine": {"rtol": 1e-9},
    "search_ranges": {"rtol": 1e-9},
    "divide": {"rtol": 0, "atol": 2.0**-126},
    "fake_quantize_gradient": {"rtol": 1e-5},
    "round_in_turn": {"rtol": 1e-12, "atol": 1e-12},
}


def kernels():
    """Return all kernels of the core by name, its backends loaded."""
    for entry in entry_points(group="qcore.backends"):
        if find_spec(entry.name.partition(".")[0]):
            entry.load()
    outside = ("qcore.backends", "qcore.adapters")
    modules = [
        import_module(module.name)
        for module in walk_packages(qcore.__path__, "qcore.")
        if not module.name.startswith(outside)
    ]
    found = {v for m in modules for v in vars(m).values() if isinstance(v, Kernel)}
    return {kernel.__name__: kernel for kernel in found}


KERNELS = kernels()
LIBRARIES = {
    "numpy": "numpy",
    "torch": "torch",
    "jax": "jax.numpy",
    "cupy": "cupy",
}
PAIRS = [
    pytest.param(library, name, i, id=f"{library}-{name}-{native.source}")
    for name, kernel in sorted(KERNELS.items())
    for library, key in LIBRARIES.items()
    for i, native in enumerate(kernel.natives.get(key, ()))
]


@pytest.mark.parametrize(("xp", "name", "number"), PAIRS, indirect=["xp"])
def test_a_native_equals_the_portable_function(
    xp, array, to_numpy, request, name, number
):
    native = KERNELS[name].natives[library_name(xp)][number]
    tolerance = TOLERANCE.get(name, {"rtol": 0})
    cases = ARGUMENTS[name](array)
    declined = []
    for ours, theirs in zip(cases, ARGUMENTS[name](np.asarray), strict=True):
        with arithmetic(xp):
            found = called(native.function, ours)
        if found is NotImplemented or isinstance(found, Declined):
            declined.append(getattr(found, "reason", ""))
            continue
        with arithmetic(numpy):
            expected = called(KERNELS[name].reference, theirs, xp=numpy)
        for one, other in zip(*map(as_tuple, (found, expected)), strict=True):
            assert to_numpy(one).dtype == other.dtype
            result = to_numpy(one)
            if name in LIMITED:  # anything where it is not allowed
                result = np.where(theirs[3], result, other)
            if name in SEARCHES:
                result = with_what_was_left_out(result, other)
            np.testing.assert_allclose(result, other, **tolerance)
    if len(declined) == len(cases) and is_elsewhere(native, request.config):
        pytest.skip(f"not for the arrays of this session: {declined[0]}")
    assert len(declined) < len(cases)


def is_elsewhere(native, config):
    """Return whether the session's arrays are not where the function serves them."""
    place = (config.getoption("--require-library") or "").partition(":")[2]
    return native.source.startswith(OF_CPUS if place == "gpu" else OF_GPUS)


def called(function, arguments, **options):
    """Return what a function gives, whose options may be the last of the arguments."""
    if isinstance(arguments[-1], dict):
        *arguments, own = arguments
        options |= own
    return function(*arguments, **options)


def with_what_was_left_out(result, expected):
    """Return the result where finite, and the expected beside it, none being best."""
    left_out = np.isinf(result)
    least = expected.min(axis=1, keepdims=True)
    assert not np.any(left_out & np.isfinite(expected) & (expected <= least * TIE))
    return np.where(left_out, expected, result)


def as_tuple(x):
    return x if isinstance(x, tuple) else (x,)


def test_every_native_is_compared():
    assert {name for name, kernel in KERNELS.items() if kernel.natives} <= set(
        ARGUMENTS
    )
    assert set(ARGUMENTS) <= set(KERNELS)


def test_every_kernel_has_a_name_of_its_own():
    assert len(KERNELS) == len({id(kernel) for kernel in KERNELS.values()})
