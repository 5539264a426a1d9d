"""Every test that asks for `xp` runs once on each array library that is installed.

`array` and `to_numpy` carry values there and back. Asked for too, `run` calls a
function eagerly and, on JAX, under jit as well; `float_dtype` is each floating dtype
of up to 32 bits that the library has. Ids such as ``jax-jit-bfloat16`` work with -k.
"""

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import hypothesis
import ml_dtypes
import numpy as np
import pytest

Array = Any
Namespace = Any

NAMESPACES = {
    "numpy": "array_api_compat.numpy",
    "array_api_strict": "array_api_strict",
    # Nothing that depends on values, and a device that is not the default one.
    "array_api_strict:strictest": "array_api_strict",
    "torch": "array_api_compat.torch",
    "jax": "jax.numpy",
    "cupy": "array_api_compat.cupy",
}
HALVES = {
    "numpy": ["float16"],
    "torch": ["float16", "bfloat16"],
    "jax": ["float16", "bfloat16"],
    "cupy": ["float16"],
}
MODES = {"jax": ["eager", "jit"]}

hypothesis.settings.register_profile(
    "qcore",
    deadline=None,  # compiling takes its time
    derandomize=True,
    max_examples=25,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("qcore")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-library",
        metavar="NAME",
        help="fail unless tests of this library were collected: numpy, strict, torch, "
        "jax or cupy; NAME:gpu also asks for its GPU and computes there",
    )


def pytest_configure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        # A process for each core: more threads would wait for each other, busily. Read
        # by PyTorch when it is imported, also in processes that tests start.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    library, _, place = (config.getoption("--require-library") or "").partition(":")
    if place != "gpu":
        return
    if not (_is_installed(library) and _has_gpu(library)):
        raise pytest.UsageError(f"{library} is not installed or sees no GPU")
    if library == "torch":  # the others choose their GPU by themselves
        import_module("torch").set_default_device("cuda")


def _required(config: pytest.Config) -> str | None:
    name = (config.getoption("--require-library") or "").partition(":")[0]
    return name.replace("strict", "array_api_strict") or None


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what the session of another library tests, and that of numpy alone."""
    required = _required(config)
    if required is None or required == "numpy":
        return
    kept: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        (kept if _concerns(item, required) else others).append(item)
    config.hook.pytest_deselected(items=others)
    items[:] = kept


def _concerns(item: pytest.Item, library: str) -> bool:
    """Return whether a test is of a library, or names it in its id or its text."""
    if own := _library(item).partition(":")[0]:
        return own == library
    text = inspect.getsource(item.function)  # type: ignore[attr-defined]
    return library in item.nodeid or library in text


def pytest_collection_finish(session: pytest.Session) -> None:
    name = _required(session.config)
    if name is None:
        return
    if not any(name == _library(item).partition(":")[0] for item in session.items):
        raise pytest.UsageError(f"no test of the required library {name} was collected")


def _library(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    return "" if callspec is None else callspec.params.get("xp", "")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Pair each library with the ways to run and the dtypes that it has."""
    wanted = [n for n in ("xp", "run", "float_dtype") if n in metafunc.fixturenames]
    chosen = [m.args[0] for m in metafunc.definition.iter_markers("parametrize")]
    if "xp" not in wanted or any("xp" in names for names in chosen):
        return
    cases = {}
    for library in filter(_is_installed, NAMESPACES):
        for mode in MODES.get(library, ["eager"]):
            for dtype in ["float32", *HALVES.get(library, [])]:
                choice = {"xp": library, "run": mode, "float_dtype": dtype}
                cases[tuple(choice[name] for name in wanted)] = pytest.param(
                    *(choice[name] for name in wanted),
                    id="-".join(choice[n] for n in wanted if choice[n] != "eager"),
                    marks=pytest.mark.gpu if library == "cupy" else (),
                )
    indirect = [name for name in wanted if name != "float_dtype"]
    metafunc.parametrize(wanted, list(cases.values()), indirect=indirect)


def _is_installed(library: str) -> bool:
    return find_spec(library.partition(":")[0]) is not None


def _has_gpu(library: str) -> bool:
    if library == "jax":
        return bool(import_module("jax").default_backend() == "gpu")
    if library == "torch":
        return bool(import_module("torch").cuda.is_available())
    try:
        return import_module("cupy").cuda.runtime.getDeviceCount() > 0
    except RuntimeError:  # no driver
        return False


@pytest.fixture
def xp(request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """The namespace of a library."""
    if request.param == "cupy" and not _has_gpu("cupy"):
        pytest.skip("cupy sees no device")
    module = import_module(NAMESPACES[request.param])
    if request.param != "array_api_strict:strictest":
        yield module
        return
    flags = {"boolean_indexing": False, "data_dependent_shapes": False}
    with module.ArrayAPIStrictFlags(**flags):
        yield module


@pytest.fixture
def device(xp: Namespace, request: pytest.FixtureRequest) -> Any:
    """Where `array` puts its values; `None` is the library's default."""
    strictest = _library(request.node) == "array_api_strict:strictest"
    return xp.Device("device1") if strictest else None


@pytest.fixture
def array(xp: Namespace, device: Any) -> Callable[..., Array]:
    """A function from values and the name of a dtype to an array of the library."""

    def make(values: Any, dtype: str | None = None) -> Array:
        with _wide(xp):
            values = np.asarray(values)
            if (dtype or values.dtype.name) == "bfloat16":  # float32 holds all of it
                exact = np.asarray(values, ml_dtypes.bfloat16).astype(np.float32)
                return xp.astype(xp.asarray(exact, device=device), xp.bfloat16)
            values = np.array(values, dtype, copy=True)
            return xp.asarray(values, device=device)

    return make


@pytest.fixture
def to_numpy() -> Callable[[Array], np.ndarray]:
    """A function from an array of any library to the same values in NumPy's."""

    def fetch(x: Array) -> np.ndarray:
        if hasattr(x, "detach"):  # torch
            x = x.detach().cpu()
            if x.dtype == import_module("torch").bfloat16:
                return x.float().numpy().astype(ml_dtypes.bfloat16)
            return x.numpy()
        if hasattr(x, "get"):  # cupy
            return x.get()
        if type(x).__module__.startswith("array_api_strict"):
            return np.from_dlpack(x)
        return np.asarray(x)

    return fetch


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A function that calls ``f(*arrays)``, eagerly or compiled, x64 as by default."""

    def call(f: Callable[..., Any], *arrays: Array) -> Any:
        return (import_module("jax").jit(f) if request.param == "jit" else f)(*arrays)

    return call


def _wide(xp: Namespace) -> Any:
    """Return the context in which a library makes arrays of 64 bits."""
    is_jax = xp.__name__ == "jax.numpy"
    return import_module("jax").enable_x64(True) if is_jax else nullcontext()
