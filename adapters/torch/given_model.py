"""The model that a user gives: checked, and without what wraps it."""

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel


def check_model(model: object, name: str = "model", /) -> None:
    """Raise TypeError if what an argument of that name got is no module of Python."""
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        raise TypeError(
            f"`{name}` must be a torch.nn.Module, not scripted; got "
            f"{type(model).__name__}."
        )


def innermost(model: nn.Module, /) -> nn.Module:
    """Return the model inside of a compiled or a parallel one."""
    while True:
        if isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        elif isinstance(inside := getattr(model, "_orig_mod", None), nn.Module):
            model = inside  # what torch.compile returns
        else:
            return model
