"""How a batch of a loader becomes a call of a model."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from qcore.adapters.torch.given_model import innermost


def feed(model: nn.Module, batch: Any, /) -> Any:
    """
    Return what a model makes of a batch.

    Parameters
    ----------
    model : Module
        Called on its device.
    batch : Tensor, sequence or mapping
        A sequence gives as many of its first items as `forward` has parameters without
        default, so that labels stay out; all if it takes any number. A mapping gives
        the items that are named as parameters are.
    """
    batch = _to(batch, device_of(model))
    if isinstance(batch, torch.Tensor):
        return model(batch)
    parameters = inspect.signature(innermost(model).forward).parameters.values()
    kinds = {p.kind for p in parameters}
    if isinstance(batch, Mapping):
        if inspect.Parameter.VAR_KEYWORD in kinds:
            return model(**batch)
        names = {p.name for p in parameters}
        return model(**{key: x for key, x in batch.items() if key in names})
    if not isinstance(batch, list | tuple):
        raise TypeError(
            "a batch must be a tensor, a sequence or a mapping; got "
            f"{type(batch).__name__}."
        )
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return model(*batch)
    required = [
        p
        for p in parameters
        if p.default is p.empty and p.kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    return model(*batch[: len(required) or 1])


def device_of(model: nn.Module, /) -> torch.device:
    """Return where a model is: the place of its first parameter or buffer."""
    for held in (*model.parameters(), *model.buffers()):
        return held.device
    return torch.device("cpu")


def _to(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {key: _to(x, device) for key, x in batch.items()}
    if isinstance(batch, list | tuple):
        moved = [_to(x, device) for x in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    return batch
