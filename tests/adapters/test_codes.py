"""Which codes activations get."""

import pytest

from qcore import QuantSpec
from qcore.adapters.codes import activation_spec
from qcore.errors import QuantError


@pytest.mark.parametrize(("symmetric", "name"), [(False, "uint8"), (True, "int8")])
def test_codes_are_unsigned_unless_symmetric(symmetric: bool, name: str) -> None:
    assert activation_spec(None, symmetric) == QuantSpec(name, symmetric=symmetric)


def test_codes_may_be_chosen() -> None:
    assert activation_spec("int8", False) == QuantSpec("int8", symmetric=False)
    assert activation_spec(QuantSpec("uint8"), False) == QuantSpec("uint8")


@pytest.mark.parametrize("activation", ["int4", QuantSpec("int16")])
def test_codes_of_other_widths_are_refused(activation: str | QuantSpec) -> None:
    with pytest.raises(
        QuantError, match="`activation` must be int8 or uint8; got 'int"
    ):
        activation_spec(activation, True)
