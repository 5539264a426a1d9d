"""What one output of a layer sees of its input: a window of it, or all."""

from dataclasses import dataclass
from math import prod
from operator import index
from typing import Any

Each = int | tuple[int, ...]
"""One number for all spatial axes, or one for each."""


@dataclass(frozen=True)
class Window:
    """
    Geometry of a convolution; without a kernel, that of a dense layer.

    Parameters
    ----------
    kernel : tuple of int, optional
        Extents of the kernel; empty for a dense layer.
    stride, dilation : int or tuple of int, optional
        As convolutions have them.
    padding : int or tuple, optional
        Zeros around the input: a number for all sides, or for each axis a number or a
        pair ``(before, after)``. Negative ones crop.
    spread : int or tuple of int, optional
        Distance at which the inputs lie once zeros are put between them. A transposed
        convolution of stride s is one of stride 1 and spread s, padding
        ``dilation * (kernel - 1) - padding`` and a kernel that is reversed.
    groups : int, optional
        How many parts of equal size the channels are cut into, each seen by outputs of
        its own: 1, or as many as there are channels for a depthwise convolution.

    Raises
    ------
    ValueError
        If a number is out of range or does not fit the kernel's rank.
    """

    kernel: tuple[int, ...] = ()
    stride: Each = 1
    dilation: Each = 1
    padding: int | tuple[int | tuple[int, int], ...] = 0
    spread: Each = 1
    groups: int = 1

    def __post_init__(self) -> None:
        """Hold one plain number, or pair, for each axis."""
        rank = len(self.kernel)
        for name in ("kernel", "stride", "dilation", "spread"):
            numbers = tuple(index(n) for n in _each(getattr(self, name), rank, name))
            if any(n < 1 for n in numbers):
                raise ValueError(f"`{name}` must be positive; got {numbers}.")
            object.__setattr__(self, name, numbers)
        pairs = tuple(_pair(side) for side in _each(self.padding, rank, "padding"))
        object.__setattr__(self, "padding", pairs)
        if not (isinstance(self.groups, int) and self.groups > 0):
            raise ValueError(
                f"`groups` must be a positive integer; got {self.groups!r}."
            )

    @property
    def rank(self) -> int:
        """How many spatial axes there are."""
        return len(self.kernel)

    @property
    def axes(self) -> tuple[tuple[int, int, int, tuple[int, int], int], ...]:
        """Kernel, stride, dilation, padding and spread of each axis."""
        every: Any = (
            self.kernel,
            self.stride,
            self.dilation,
            self.padding,
            self.spread,
        )
        return tuple(zip(*every, strict=True))

    @property
    def patch(self) -> "Window":
        """What an output sees, wherever it lies: so images of any size go together."""
        return Window(self.kernel, groups=self.groups)

    def features(self, channels: int, /) -> int:
        """Return how many inputs one output is made of.

        Raises
        ------
        ValueError
            If the groups do not divide the channels.
        """
        if channels % self.groups:
            raise ValueError(
                f"`groups` must divide the channels; got {self.groups} and {channels}."
            )
        return channels // self.groups * prod(self.kernel)

    def outputs(self, extents: tuple[int, ...], /) -> tuple[int, ...]:
        """Return the spatial extents of the output of an input of such extents."""
        found = []
        for extent, axis in zip(extents, self.axes, strict=True):
            kernel, stride, dilation, padding, spread = axis
            whole = max((extent - 1) * spread + 1, 0) + sum(padding)
            found.append(max((whole - dilation * (kernel - 1) - 1) // stride + 1, 0))
        return tuple(found)


def _each(value: Any, rank: int, name: str) -> tuple[Any, ...]:
    """Return one value for each axis."""
    if isinstance(value, int):
        return (value,) * rank
    if len(value) != rank:
        raise ValueError(
            f"`{name}` must have one entry for each of the kernel's {rank} axes; "
            f"got {value!r}."
        )
    return tuple(value)


def _pair(side: Any) -> tuple[int, int]:
    """Return the padding before and after."""
    before, after = (side, side) if isinstance(side, int) else side
    return index(before), index(after)
