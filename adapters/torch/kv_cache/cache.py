"""Keys and values of attention, kept in codes of at most 8 bits.

The scales are static: from a record file of AMCT, from statistics, or given. What a
step adds is quantized once; attention sees what the codes stand for.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import torch
from array_api_compat import torch as xp

from qcore import IntFormat, QParams, QuantSpec, calibrate
from qcore.adapters.given_path import path_of_file
from qcore.adapters.records import amct
from qcore.adapters.torch.kv_cache.layer import KVCacheLayer, Pair
from qcore.errors import QuantError
from qcore.statistics import Statistics

__all__ = ["KVCache", "KVCacheLayer"]


class KVCache(torch.nn.Module):
    """
    The keys and values of all layers of a model.

    A model's ``.to``, ``.half`` and ``state_dict`` take it along: the scales, which
    stay float32, are saved; what is held is not.

    Parameters
    ----------
    qparams : iterable of (QParams, QParams)
        Scales of the keys and the values of each layer, as `KVCacheLayer` has them.
    max_length : int, optional
        Positions to make room for in each layer.

    Attributes
    ----------
    layers : torch.nn.ModuleList
        A `KVCacheLayer` for each.

    Raises
    ------
    ValueError
        If there is no layer, or scales are not static.
    TypeError
        If an argument is of the wrong kind.

    Examples
    --------
    >>> import torch
    >>> from qcore import QuantSpec, qparams_from_amax
    >>> scales = qparams_from_amax(torch.tensor(4.0), QuantSpec("int8"))
    >>> cache = KVCache([(scales, scales)])
    >>> keys, values = cache.update(torch.ones(1, 2, 3, 8), torch.ones(1, 2, 3, 8))
    >>> keys.shape, cache.length, cache.nbytes
    (torch.Size([1, 2, 3, 8]), 3, 96)
    """

    def __init__(
        self,
        qparams: Iterable[tuple[QParams, QParams]],
        *,
        max_length: int | None = None,
    ) -> None:
        super().__init__()
        pairs = _pairs("qparams", qparams)
        layers = [KVCacheLayer(*pair, max_length=max_length) for pair in pairs]
        if not layers:
            raise ValueError("`qparams` must be those of one layer at least; got none.")
        self.layers = torch.nn.ModuleList(layers)

    @classmethod
    def from_record(
        cls,
        path: amct.PathLike,
        names: Sequence[tuple[str, str]],
        *,
        format: str | IntFormat = "int8",
        max_length: int | None = None,
    ) -> Self:
        """
        Return a cache with the scales that a record file of AMCT holds.

        Parameters
        ----------
        path : path
            The file.
        names : sequence of (str, str)
            For each layer: under which name its keys are recorded, and its values.
        format : str or IntFormat, optional
            The codes, which a file does not tell; those of AMCT are int8.
        max_length : int, optional
            Positions to make room for in each layer.

        Raises
        ------
        QuantError
            If the file does not hold usable factors of a name.
        FileFormatError
            If the file is no record.
        OSError
            If it cannot be read.
        """
        record = amct.read(path_of_file(path))
        pairs = []
        for keys, values in _pairs("names", names):
            found = []
            for name in (keys, values):
                entry = record.get(name)
                if entry is None or entry.kv_cache_value is None:
                    raise QuantError(
                        f"{path} must hold the kv_cache_value of {name!r}; it has "
                        f"that of {[n for n in record if record[n].kv_cache_value]}."
                    )
                try:
                    found.append(entry.kv_cache_value.qparams(format, xp=xp))
                except QuantError as error:
                    raise QuantError(f"{path}, {name!r}: {error}") from error
            pairs.append((found[0], found[1]))
        return cls(pairs, max_length=max_length)

    @classmethod
    def from_statistics(
        cls,
        statistics: Iterable[tuple[Statistics, Statistics]],
        spec: QuantSpec | str = "int8",
        *,
        method: str = "mse",
        max_length: int | None = None,
        **options: Any,
    ) -> Self:
        """
        Return a cache with the scales that a method makes of statistics.

        Parameters
        ----------
        statistics : iterable of (Statistics, Statistics)
            Of the keys and the values of each layer, as torch tensors; their
            granularity is that of the scales.
        spec : QuantSpec or str, optional
            The codes; a name is that of a symmetric format.
        method, **options
            As in `qcore.calibrate`.
        max_length : int, optional
            Positions to make room for in each layer.

        Raises
        ------
        QuantError
            As of `qcore.calibrate`.
        ValueError
            If scales are not static.
        """
        spec = spec if isinstance(spec, QuantSpec) else QuantSpec(spec)
        pairs = (
            (
                calibrate(keys, spec, method, xp=xp, **options),
                calibrate(values, spec, method, xp=xp, **options),
            )
            for keys, values in _pairs("statistics", statistics)
        )
        return cls(pairs, max_length=max_length)

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int = 0) -> Pair:
        """Add positions to a layer and return all it holds; see `KVCacheLayer`."""
        return self[layer].update(keys, values)

    def __getitem__(self, layer: int) -> KVCacheLayer:
        if not isinstance(layer, int) or not -len(self) <= layer < len(self):
            raise IndexError(
                f"`layer` must be the number of one of {len(self)} layers; got "
                f"{layer!r}."
            )
        found: KVCacheLayer = self.layers[layer]  # type: ignore[assignment]
        return found

    def __iter__(self) -> Iterator[KVCacheLayer]:
        return (self[number] for number in range(len(self)))

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def length(self) -> int:
        """Positions that the first layer holds."""
        return self[0].length

    @property
    def nbytes(self) -> int:
        """Bytes of all codes, and of the room made for more; scales are left out."""
        return sum(layer.nbytes for layer in self)

    def crop(self, length: int) -> None:
        """Keep the first positions of each layer; forget some if negative."""
        for layer in self:
            layer.crop(length)

    def reset(self) -> None:
        """Forget all positions of all layers."""
        for layer in self:
            layer.reset()

    def reorder(self, index: torch.Tensor) -> None:
        """Go on with other entries of the batch in all layers; see `KVCacheLayer`."""
        for layer in self:
            layer.reorder(index)


def _pairs(name: str, given: Any) -> list[tuple[Any, Any]]:
    """Return what is for keys and values of each layer, known to be pairs."""
    pairs = list(given) if isinstance(given, Iterable) else None
    is_pair = (
        isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs or ()
    )
    if pairs is None or not all(is_pair):
        raise TypeError(
            f"`{name}` must have a pair for each layer, of keys and of values; got "
            f"{given!r}."
        )
    return pairs
