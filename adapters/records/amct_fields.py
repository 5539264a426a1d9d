"""Values as the fields of a message hold them."""

import struct
from collections.abc import Iterable
from dataclasses import fields
from operator import index
from typing import Any

from qcore.adapters.records.amct_schema import SCHEMA
from qcore.errors import QuantError

_INTEGERS = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1)}


def recorded(record: Any, /) -> dict[str, Any]:
    """Return the fields of a record that hold something."""
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return {name: x for name, x in values.items() if x is not None and x != ()}


def store(record: object, message: str, /) -> None:
    """Replace the values of a frozen record by what a file would hold.

    Raises
    ------
    TypeError
        If a value is of another type than the field of the message.
    QuantError
        If a number is out of the range of its field.
    """
    for name, (_, kind) in SCHEMA[message].items():
        value = getattr(record, name)
        single = kind.removesuffix("[]")
        if single != kind:
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise TypeError(f"`{name}` must hold several {single}; got {value!r}.")
            value = tuple(_stored(name, x, single) for x in value)
        elif value is not None:
            value = _stored(name, value, single)
        object.__setattr__(record, name, value)


def _stored(name: str, value: Any, kind: str) -> Any:
    """Return a value as a field of the given type holds it."""
    try:
        if kind == "float":
            return struct.unpack("<f", struct.pack("<f", value))[0]
        if kind in _INTEGERS:
            least, most = _INTEGERS[kind]
            if least <= index(value) <= most:
                return index(value)
            raise OverflowError
    except OverflowError:
        raise QuantError(
            f"`{name}` must be in the range of {kind}; got {value!r}."
        ) from None
    except (struct.error, TypeError):
        pass
    if isinstance(value, {"bool": bool, "string": str}.get(kind, ())):
        return value
    raise TypeError(f"`{name}` must be of type {kind}; got {value!r}.")
