"""What a module's class is called."""

from torch import nn


def type_matches(module: nn.Module, wanted: str, /) -> bool:
    """Return whether a class, or a base of it short of Module, has a name.

    ``"Linear"``, ``"nn.Linear"``, ``"torch.nn.Linear"`` and the full name of where a
    class is defined are names of it.
    """
    for base in type(module).__mro__:
        if base is nn.Module:
            return False
        names = {base.__name__, f"{base.__module__}.{base.__qualname__}"}
        if base.__module__.startswith("torch.nn."):
            names |= {f"nn.{base.__name__}", f"torch.nn.{base.__name__}"}
        if wanted in names:
            return True
    return False
