"""What makes an input, and what reads it, by the names of modules."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from qcore.adapters.torch.nn.modules._utils import QuantMixin
from qcore.errors import QuantError, nearest

Pair = tuple[nn.Module, list[nn.Linear]]
"""What makes an input, and what reads it."""


def read_pair(model: nn.Module, given: Any, /) -> Pair:
    """
    Return the modules of a pair of names.

    Raises
    ------
    TypeError, ValueError
        If it is no pair, or a name is that of no module.
    QuantError
        If the modules are none that can be smoothed together.
    """
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
        raise TypeError(
            "`pairs` must hold pairs of the names of a maker and of readers; got "
            f"{given!r}."
        )
    maker, readers = given
    known = dict(model.named_modules())
    listed = [readers] if isinstance(readers, str) else list(readers)
    for name in (maker, *listed):
        if name not in known:
            raise ValueError(
                "`pairs` must hold names of modules; got "
                f"{name!r}: {nearest(str(name), known)}"
            )
    made, found = known[maker], [known[name] for name in listed]
    for name, layer in zip(listed, found, strict=True):
        if not isinstance(layer, nn.Linear) or isinstance(layer, QuantMixin):
            raise QuantError(
                f"readers must be linear layers that are not quantized yet; {name} is "
                f"a {type(layer).__name__}."
            )
    channels = {layer.in_features for layer in found if isinstance(layer, nn.Linear)}
    weight = made._parameters.get("weight")
    is_norm = weight is not None and weight.ndim == 1
    is_linear = isinstance(made, nn.Linear) and not isinstance(made, QuantMixin)
    if weight is None or not (is_norm or is_linear) or {len(weight)} != channels:
        raise QuantError(
            "makers must be norms with weights, or linear layers that are not "
            f"quantized yet, of as many channels as their readers; {maker} is a "
            f"{type(made).__name__} for readers of {sorted(channels)}."
        )
    return made, [layer for layer in found if isinstance(layer, nn.Linear)]
