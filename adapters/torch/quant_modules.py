"""Models built of quantized modules: names in torch.nn mean those for a while."""

from collections.abc import Iterable
from types import TracebackType
from typing import Any, NamedTuple, Self

from torch import nn

from qcore.adapters.torch.nn.modules.registry import quantized_classes
from qcore.adapters.torch.onnx.export import enable_onnx_export

__all__ = ["deactivate", "enable_onnx_export", "initialize"]

Place = tuple[Any, str]
"""A module or class, and the name of one of its attributes."""

# As in pytorch-quantization, whose hardware has no use for quantized maxima, and which
# left normalizations to those who ask for them.
_LEFT_OUT = ("MaxPool", "InstanceNorm")


class _Entry(NamedTuple):
    orig_mod: Any
    mod_name: str
    replace_mod: type


_DEFAULT_QUANT_MAP = [
    _Entry(nn, float_class.__name__, quantized)
    for float_class, quantized in quantized_classes().items()
    if not float_class.__name__.startswith(_LEFT_OUT)
]
"""What `initialize` replaces; code that replaces modules itself goes through it."""

_DEFAULTS: dict[Place, type] = {
    (entry.orig_mod, entry.mod_name): entry.replace_mod for entry in _DEFAULT_QUANT_MAP
}

_originals: dict[Place, Any] = {}
"""What the names now replaced meant before the first of them was."""
_replaced: dict[Place, Any] = {}
"""What they mean now."""


def initialize(
    float_module_list: Iterable[str] | None = None,
    custom_quant_modules: Iterable[tuple[Any, str, Any]] | None = None,
) -> "_Initialized":
    """
    Let models made from now on be made of quantized modules.

    ``torch.nn.Linear`` then means `QuantLinear`, and so on; names that were imported
    out of torch.nn before, and modules made before, stay as they are. Convolutions,
    linear layers, LSTMs and pools of means are replaced, not pools of maxima.

    Parameters
    ----------
    float_module_list : list of str, optional
        Names in torch.nn that keep their meaning, such as ``["Linear"]``.
    custom_quant_modules : list of (module, str, class), optional
        More to replace: where a name is, the name, and what it shall mean. They win
        over the rest.

    Returns
    -------
    context manager
        To use after ``with``, or not at all. Leaving its block, also by an exception,
        brings back what the names meant when `initialize` was called. A call while
        another is in force replaces it; what it replaced is not forgotten.

    Raises
    ------
    AttributeError
        If there is no such name to replace.
    TypeError, ValueError
        If `float_module_list` is one string, or has a name that is not in torch.nn.
        Nothing is replaced then.
    """
    wanted = dict(_DEFAULTS)
    for name in _names(float_module_list):
        wanted.pop((nn, name), None)
    for place, name, replacement in _places(custom_quant_modules):
        wanted[place, name] = replacement
    before = dict(_replaced)
    _replace(wanted)
    return _Initialized(before)


def deactivate() -> None:
    """Give all names the meaning they had before the first `initialize`."""
    _replace({})


class _Initialized:
    """Brings back, at the end of its block, what was replaced before."""

    def __init__(self, before: dict[Place, Any]) -> None:
        self._before = before

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del kind, error, trace
        _replace(self._before)


def _names(given: Iterable[str] | None) -> tuple[str, ...]:
    """Return names in torch.nn, checked."""
    names = () if given is None else given
    if isinstance(names, str) or not (
        isinstance(names, Iterable) and all(isinstance(name, str) for name in names)
    ):
        raise TypeError(f"`float_module_list` must be a list of names; got {given!r}.")
    names = tuple(names)
    if unknown := [name for name in names if not hasattr(nn, name)]:
        raise ValueError(
            f"`float_module_list` must be of names in torch.nn; got "
            f"{', '.join(unknown)}."
        )
    return names


def _places(given: Iterable[tuple[Any, str, Any]] | None) -> list[tuple[Any, str, Any]]:
    """Return what more to replace, each in three parts."""
    if given is None:
        return []
    found = list(given) if isinstance(given, Iterable) else [given]
    if not all(
        isinstance(part, tuple | list) and len(part) == 3 and isinstance(part[1], str)
        for part in found
    ):
        raise TypeError(
            "`custom_quant_modules` must be a list of (module, name, class); got "
            f"{given!r}."
        )
    return found


def _replace(wanted: dict[Place, Any]) -> None:
    """Let the names given, and no others, have other meanings."""
    found = {
        place: _originals.get(place, getattr(*place)) for place in wanted | _originals
    }
    _originals.clear()
    _originals.update((place, found[place]) for place in wanted)
    _replaced.clear()
    _replaced.update(wanted)
    for place, original in found.items():
        setattr(*place, wanted.get(place, original))
