"""Largest magnitude of a tensor, over axes given NumPy's way.

In the original, ``utils.reduce_amax`` is the function that hides the module of its
name. Here it is the module, which can be called as the function.
"""

import sys
from types import ModuleType
from typing import Any

import torch
from array_api_compat import torch as xp

import qcore
from qcore.adapters.torch.given_data import check_tensor


def reduce_amax(
    input: torch.Tensor,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = True,
    granularity: None = None,
) -> torch.Tensor:
    """
    Return the largest magnitude over the given axes, without a gradient.

    Parameters
    ----------
    input : Tensor
        Data of any shape; NaN gives NaN, nothing to reduce gives 0.
    axis : int, tuple of int or None, optional
        The axes that are **reduced**, negative ones counted from the end; all of them
        by default.
    keepdims : bool, optional
        Keep reduced axes with length 1.
    granularity : None, optional
        Deprecated: name axes.

    Returns
    -------
    Tensor
        Of the dtype of `input`; of its rank if `keepdims`.

    Raises
    ------
    ValueError
        If an axis does not exist or is named twice, so also if there are more than the
        tensor has; if a granularity is given.
    TypeError
        If an argument is of the wrong kind.
    """
    if granularity is not None:
        raise ValueError(
            "`granularity` must be left out: the axes that are reduced say it; got "
            f"{granularity!r}."
        )
    check_tensor(input, "input")
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    if not all(isinstance(a, int) for a in axes) and axis is not None:
        raise TypeError(
            f"`axis` must be an integer or a tuple of integers; got {axis!r}."
        )
    found: torch.Tensor = qcore.reduce_amax(
        input.detach(), axis=axis, keepdims=keepdims, xp=xp
    )
    return found


class _CallableModule(ModuleType):
    """A module that is called as the function of its name."""

    def __call__(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        return reduce_amax(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
