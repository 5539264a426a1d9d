"""Which codes activations get."""

import pytest

from qcore import QuantSpec
from qcore.adapters.codes import activation_spec


@pytest.mark.parametrize(("symmetric", "name"), [(False, "uint8"), (True, "int8")])
def test_codes_are_unsigned_unless_symmetric(symmetric: bool, name: str) -> None:
    assert activation_spec(None, symmetric) == QuantSpec(name, symmetric=symmetric)


def test_codes_may_be_chosen() -> None:
    assert activation_spec("int8", False) == QuantSpec("int8", symmetric=False)
    assert activation_spec(QuantSpec("uint8"), False) == QuantSpec("uint8")


def test_floats_have_no_zero_point() -> None:
    assert activation_spec("float8_e5m2", False) == QuantSpec("float8_e5m2")
