"""The whole public surface is `qcore.__all__`, sorted and documented."""

import inspect
from types import ModuleType

import pytest

import qcore


def test_all_is_sorted() -> None:
    assert list(qcore.__all__) == sorted(set(qcore.__all__))


def test_all_names_everything_public() -> None:
    public = {
        name
        for name, value in vars(qcore).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == set(qcore.__all__)


@pytest.mark.parametrize("name", qcore.__all__)
def test_every_public_name_has_a_docstring_of_its_own(name: str) -> None:
    value = getattr(qcore, name)
    assert inspect.getdoc(value)
    # A dataclass without a docstring is given its own signature for one.
    assert not value.__doc__.startswith(f"{name}(")
