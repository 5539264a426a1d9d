"""How scales lie on contiguous data, and the tiles it is worked on in."""

from dataclasses import dataclass
from math import prod

from qcore.granularity import Granularity, PerBlock, PerChannel, normalize_axes

ELEMENTS = 4096
"""Elements of a tile."""
WARPS = 8
"""So that a thread has 16 elements: of float32, four loads of 16 bytes."""
WIDE = 1 << 30
"""Elements from which on offsets are 64-bit: products of tiles may pass their end."""


@dataclass(frozen=True)
class Layout:
    """Lines of items, cut into pieces; see `tiles`.

    Attributes
    ----------
    is_along : bool
        Whether items are elements, and each piece has one scale.
    lines, line, size, inner : int
        How many lines, items of a line, items of a piece, elements of an item.
    scales : int
        Pieces after which the scales repeat.
    """

    is_along: bool
    lines: int
    line: int
    size: int
    inner: int
    scales: int

    @property
    def per_line(self) -> int:
        """Pieces of a line."""
        return -(-self.line // self.size)

    @property
    def pieces(self) -> int:
        """Pieces in all."""
        return self.lines * self.per_line


def layout_of(
    shape: tuple[int, ...], granularity: Granularity, is_single: bool, /
) -> Layout | None:
    """Return how scales lie on data, or None where its axes have to be moved first.

    Parameters
    ----------
    shape : tuple of int
        Of the data, which has elements.
    granularity : Granularity
        Which elements share a scale.
    is_single : bool
        Whether all of them do, whatever `granularity` says.
    """
    if is_single:
        return _along(1, prod(shape), prod(shape), 1)
    if isinstance(granularity, PerBlock):
        return _of_blocks(shape, granularity)
    kept = _kept_axes(shape, granularity)
    first, last = kept[0], kept[-1]
    if last - first >= len(kept):
        return None
    lines, channels, inner = _around(shape, first, last)
    if inner > 1:
        return _along(lines * channels, inner, inner, channels)
    return Layout(False, 1, lines, lines, channels, 1)


def _of_blocks(shape: tuple[int, ...], granularity: PerBlock, /) -> Layout:
    (axis,) = normalize_axes(granularity.axis, len(shape))
    lines, line, inner = _around(shape, axis, axis)
    size = min(granularity.size, line)
    if inner > 1:
        return Layout(False, lines, line, size, inner, 1)
    blocks = lines * -(-line // size)
    if line % size == 0:  # blocks follow each other from line to line
        return _along(blocks, size, size, blocks)
    return _along(lines, line, size, blocks)


def _kept_axes(shape: tuple[int, ...], granularity: PerChannel, /) -> tuple[int, ...]:
    """Return the kept axes of which there is more than one index."""
    kept = normalize_axes(granularity.axis, len(shape))
    first, last = min(kept), max(kept)
    # An axis of one index between two kept ones does no harm.
    between = tuple(a for a in range(first, last + 1) if shape[a] == 1 or a in kept)
    whole = tuple(a for a in kept if shape[a] > 1)
    return tuple(a for a in between if whole[0] <= a <= whole[-1])


def tile_of(layout: Layout, elements: int = ELEMENTS, /) -> tuple[int, int, int]:
    """Return rows and columns of the tile, powers of two, and how many programs run."""
    if layout.is_along:
        columns = _columns(layout.size, elements)
        rows = min(elements // columns, _power(layout.pieces))
        groups = -(-layout.pieces // rows)
        return rows, columns, groups * -(-layout.size // columns)
    columns = _columns(layout.inner, 128)
    rows = min(elements // columns, _power(layout.size))
    columns = _columns(layout.inner, elements // rows)
    groups = layout.pieces * -(-layout.size // rows)
    return rows, columns, groups * -(-layout.inner // columns)


def _columns(length: int, most: int, /) -> int:
    """Return the power of two, of some next below `most`, that wastes least."""
    if length <= most:
        return _power(length)
    choices = [most >> i for i in range(3)]
    return min(choices, key=lambda n: -(-length // n) * n)


def _power(n: int, /) -> int:
    return 1 << (n - 1).bit_length()


def _around(shape: tuple[int, ...], first: int, last: int, /) -> tuple[int, int, int]:
    """Return how many elements there are before, along and after some axes."""
    return prod(shape[:first]), prod(shape[first : last + 1]), prod(shape[last + 1 :])


def _along(lines: int, line: int, size: int, scales: int, /) -> Layout:
    return Layout(True, lines, line, size, 1, scales)
