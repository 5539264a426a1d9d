"""What a command found, for programs to read."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from typing import Any


def to_json(found: object) -> str:
    """Return dataclasses, mappings and sequences as JSON.

    It has no numbers for infinity and NaN, which become ``"inf"``, ``"-inf"`` and
    ``"nan"``.
    """
    return json.dumps(_plain(found), indent=2, ensure_ascii=False, allow_nan=False)


def _plain(found: Any) -> Any:
    if is_dataclass(found):
        return {f.name: _plain(getattr(found, f.name)) for f in fields(found)}
    if isinstance(found, Mapping):
        return {str(key): _plain(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_plain(value) for value in found]
    if isinstance(found, float) and not isfinite(found):
        return str(found)
    return found
