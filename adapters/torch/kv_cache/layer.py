"""The keys and values of one layer of attention, kept in codes."""

from typing import TypeAlias

import torch

from qcore import QParams
from qcore.adapters.torch.given_data import check_tensor
from qcore.adapters.torch.kv_cache.code_store import CodeStore

Pair: TypeAlias = tuple[torch.Tensor, torch.Tensor]


class KVCacheLayer(torch.nn.Module):
    """
    The keys and values of one layer.

    Parameters
    ----------
    keys, values : QParams
        Their scales, of at most 8 bits: per tensor, or with any axes kept but those of
        positions and of the batch.
    max_length : int, optional
        Positions to make room for, which are the most that fit. Otherwise memory
        doubles when it is used up.

    Raises
    ------
    ValueError
        If the scales are others.
    """

    def __init__(
        self, keys: QParams, values: QParams, *, max_length: int | None = None
    ) -> None:
        super().__init__()
        self.keys = CodeStore(keys, max_length=max_length)
        self.values = CodeStore(values, max_length=max_length)

    @property
    def length(self) -> int:
        """Positions held."""
        return self.keys.length

    @property
    def nbytes(self) -> int:
        """Bytes of the codes, and of the room made for more; scales are left out."""
        return self.keys.nbytes + self.values.nbytes

    @torch.no_grad()
    def update(self, keys: torch.Tensor, values: torch.Tensor) -> Pair:
        """
        Add positions, and return all that are held.

        Parameters
        ----------
        keys, values : torch.Tensor
            Floating-point, ``[…, new positions, width]``, most often
            ``[batch, heads, positions, width]``; their widths may differ. NaN, which
            nothing looks for, becomes the lowest code.

        Returns
        -------
        keys, values : torch.Tensor
            ``[…, all positions, width]`` in the dtypes given, what the codes stand for;
            no gradient flows.

        Raises
        ------
        ValueError
            If they do not fit each other, the scales, what is held, or `max_length`;
            nothing is added then.
        TypeError
            If one is no dense tensor.
        """
        self.keys.check(keys, "keys")
        self.values.check(values, "values")
        if keys.shape[:-1] != values.shape[:-1]:
            raise ValueError(
                "`keys` and `values` must have one shape but for the width; got "
                f"{tuple(keys.shape)} and {tuple(values.shape)}."
            )
        self.keys.append(keys)
        self.values.append(values)
        return self.keys.all(keys.dtype), self.values.all(values.dtype)

    def crop(self, length: int) -> None:
        """
        Keep the first positions only.

        Parameters
        ----------
        length : int
            How many; if negative, how many to forget.

        Raises
        ------
        TypeError
            If it is no integer.
        """
        if not isinstance(length, int):
            raise TypeError(f"`length` must be an integer; got {length!r}.")
        kept = length if length >= 0 else max(self.length + length, 0)
        for store in (self.keys, self.values):
            store.crop(kept)

    def reset(self) -> None:
        """Forget all positions; the memory stays for the next ones."""
        self.crop(0)

    def reorder(self, index: torch.Tensor) -> None:
        """
        Go on with other entries of the batch, as beam search does.

        Parameters
        ----------
        index : torch.Tensor
            int64 ``[new batch]``, on the device of the cache: which entry each is.

        Raises
        ------
        TypeError
            If it is no such tensor.
        """
        check_tensor(index, "index")
        if index.ndim != 1 or index.dtype not in (torch.int64, torch.int32):
            raise TypeError(
                f"`index` must be integers of shape [batch]; got {index.dtype} of "
                f"shape {tuple(index.shape)}."
            )
        for store in (self.keys, self.values):
            store.reorder(index)
