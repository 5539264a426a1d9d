"""Names for the things qcore is handed but never imports."""

from typing import Any, TypeAlias

Array: TypeAlias = Any
"""An array of any library that follows the array API standard."""

Namespace: TypeAlias = Any
"""A library's functions, as ``array_api_compat.array_namespace`` returns them."""

DType: TypeAlias = Any
Device: TypeAlias = Any
Axes: TypeAlias = int | tuple[int, ...]
