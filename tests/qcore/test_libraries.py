from importlib.metadata import EntryPoint
from types import ModuleType

import numpy as np
import pytest

from qcore import libraries
from qcore.libraries import (
    Library,
    arithmetic,
    detached,
    is_concrete,
    library_name,
    load_backends,
    namespace,
    register_library,
)


@pytest.fixture(autouse=True)
def _forget():
    """Undo what a test registers; modules once imported do not register again."""
    yield
    libraries._libraries.pop("unknown", None)
    libraries._loaded.discard("unknown")


UNKNOWN = ModuleType("array_api_compat.unknown")
"""A namespace that no backend knows."""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("numpy", "numpy"),
        ("array_api_compat.numpy", "numpy"),
        ("array_api_compat.torch", "torch"),
        ("jax.numpy", "jax.numpy"),
    ],
)
def test_a_library_is_known_by_its_namespace(name, expected):
    assert library_name(ModuleType(name)) == expected


def test_the_namespace_of_an_array_is_found(xp, array):
    assert namespace(array(np.float32([1]))) is xp


def test_a_given_namespace_is_taken(xp, array):
    assert namespace(array(np.float32([1])), np) is np
    assert namespace(None, xp) is xp


@pytest.mark.parametrize("x", [[1.0], 1.0, None, "abc"])
def test_what_is_no_array_is_a_type_error(x):
    said = f"`x` must be an array of numpy, torch, jax, .*; got {type(x).__name__}"
    with pytest.raises(TypeError, match=said):
        namespace(x)


def test_backends_are_loaded_once_and_by_name(monkeypatch):
    asked, loaded = [], []

    def entry_points(group, name):
        asked.append((group, name))
        return [EntryPoint(name, "module", group)]

    monkeypatch.setattr(libraries, "entry_points", entry_points)
    monkeypatch.setattr(EntryPoint, "load", lambda self: loaded.append(self.name))
    for _ in range(2):
        load_backends("unknown")
    assert asked == [("qcore.backends", "unknown")]
    assert loaded == ["unknown"]


def test_the_first_array_loads_its_backends(monkeypatch, xp, array):
    loaded = []
    monkeypatch.setattr(libraries, "load_backends", loaded.append)
    namespace(array(np.float32([1])))
    assert loaded == [library_name(xp)]


def test_a_library_without_backends_computes_plainly():
    with arithmetic(UNKNOWN):
        assert is_concrete(None, UNKNOWN)
        assert detached(3, UNKNOWN) == 3


def test_a_library_says_how_it_is_asked():
    concrete = Library(is_concrete=lambda x: x > 0, detached=lambda x: -x)
    register_library("unknown", concrete)
    assert is_concrete(1, UNKNOWN)
    assert not is_concrete(-1, UNKNOWN)
    assert detached(1, UNKNOWN) == -1


def test_64_bits_are_at_hand_while_computing(xp, array):
    namespace(array(np.float32([1])))
    with arithmetic(xp):
        assert xp.zeros(1, dtype=xp.int64).dtype == xp.int64
        assert xp.zeros(1, dtype=xp.float64).dtype == xp.float64


def test_jax_is_left_with_32_bits():
    jax = pytest.importorskip("jax")
    load_backends("jax.numpy")
    with arithmetic(jax.numpy):
        assert jax.config.jax_enable_x64
    assert not jax.config.jax_enable_x64
    assert jax.numpy.arange(3).dtype == jax.numpy.int32


def test_numpy_computes_with_infinities_silently():
    load_backends("numpy")
    with arithmetic(np):
        assert np.isnan(np.float32(np.inf) - np.float32(np.inf))


def test_values_are_concrete_but_under_jit(xp, run, array, request):
    seen = []

    def f(x):
        seen.append(is_concrete(x, xp))
        return x

    run(f, array(np.float32([1])))
    assert seen == [request.node.callspec.params["run"] == "eager"]


def test_torch_values_are_not_concrete_while_traced():
    torch = pytest.importorskip("torch")
    load_backends("torch")
    seen = []
    torch.vmap(lambda x: seen.append(is_concrete(x, torch)) or x)(torch.ones(2))
    assert seen == [False]


def test_detached_torch_values_have_no_graph():
    torch = pytest.importorskip("torch")
    load_backends("torch")
    x = torch.ones(2, requires_grad=True) * 2
    assert not detached(x, torch).requires_grad
