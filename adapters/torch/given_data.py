"""The tensors that a user gives, checked."""

import torch


def check_tensor(x: object, name: str, /, *, has_values: bool = False) -> None:
    """
    Raise TypeError if something is no dense tensor.

    Parameters
    ----------
    x : object
        What was given.
    name : str
        What it is called in messages.
    has_values : bool, optional
        Refuse a tensor on the meta device too, with a ValueError.
    """
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"`{name}` must be a tensor; got {type(x).__name__}.")
    if x.layout is not torch.strided:
        raise TypeError(f"`{name}` must be a dense tensor; got one of {x.layout}.")
    if x.is_quantized:
        raise TypeError(f"`{name}` must not be quantized already; got {x.dtype}.")
    if has_values and x.is_meta:
        raise ValueError(f"`{name}` must have values; it is on the meta device.")
