"""Samples that are pictures in a folder, prepared as torchvision's transforms do."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from qcore.adapters.onnx.data.folder import visible_files
from qcore.adapters.onnx.data.inputs import Feed, Input
from qcore.adapters.onnx.data.picking import KnownFeeds
from qcore.errors import QuantError

COLORS = {"RGB": 3, "BGR": 3, "L": 1}
LAYOUTS = ("NCHW", "NHWC", "CHW", "HWC")
SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm"),
)
INTERPOLATIONS = ("bilinear", "bicubic", "nearest")

Extents = int | tuple[int, int]


@dataclass(frozen=True)
class ImageFolder:
    """
    The pictures in a folder and those below it, ordered by their paths.

    They are resized, cropped in the center, brought to 0 … `white` and normalized:
    ``(x - mean) / std``, in float32. A model whose input is of integers is given the
    pixels as they are, 0 … 255. Needs Pillow, the extra ``images``.

    Parameters
    ----------
    path : path
        The folder; hidden files are passed over, and those that are not named as
        pictures: .jpg, .png, .webp ...
    size : int or (int, int), optional
        Pixels of the shorter edge after resizing, or height and width.
    crop : int or (int, int), optional
        Height and width of the center that is kept; one number for a square.
    mean, std : float or sequence of float, optional
        One number for each channel, or one for all; 0 and 1 by default. Their unit is
        that of `white`.
    white : float, optional
        What a channel at its brightest is before `mean` and `std`: 1 by default, the
        convention of torchvision; 255 leaves pixels as they are stored.
    colors : str, optional
        ``"RGB"``, ``"BGR"`` or ``"L"``: one channel of grey.
    layout : str, optional
        Order of the axes, ``"NCHW"`` or ``"NHWC"``; without N there is no batch axis.
    interpolation : str, optional
        ``"bilinear"``, ``"bicubic"`` or ``"nearest"``, as Pillow and so torchvision
        resize pictures.

    Raises
    ------
    QuantError
        If an option is not of these, options contradict each other, or there is no
        picture. While reading: if a file is damaged or smaller than `crop`.
    """

    path: str | os.PathLike[str]
    _: KW_ONLY
    size: Extents | None = None
    crop: Extents | None = None
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None
    white: float = 1.0
    colors: str = "RGB"
    layout: str = "NCHW"
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        _choice("colors", self.colors, COLORS)
        _choice("layout", self.layout, LAYOUTS)
        _choice("interpolation", self.interpolation, INTERPOLATIONS)
        size, crop = (_extents(name, getattr(self, name)) for name in ("size", "crop"))
        if size and crop and not all(c <= s for c, s in zip(crop, size, strict=True)):
            raise QuantError(
                f"`crop` must be at most `size`; got {self.crop} and {self.size}."
            )
        _channels("mean", self.mean, self.colors)
        if not np.all(np.asarray(_channels("std", self.std, self.colors)) > 0):
            raise QuantError(f"`std` must be positive; got {self.std}.")
        if not (_is_number(self.white) and self.white > 0):
            raise QuantError(f"`white` must be a positive number; got {self.white!r}.")

    def feeds(self, inputs: Sequence[Input], /) -> KnownFeeds:
        """Return the pictures as samples for the only input of a model."""
        return _ImageFeeds(self, inputs)


class _ImageFeeds(KnownFeeds):
    def __init__(self, folder: ImageFolder, inputs: Sequence[Input]) -> None:
        self.folder = folder
        if len(inputs) != 1:
            names = ", ".join(i.name for i in inputs)
            raise QuantError(
                f"pictures are for a model of one input; this one has {names}."
            )
        (self.wanted,) = inputs
        self.is_raw = self.wanted.dtype.kind in "iu"
        given = (folder.mean, folder.std, None if folder.white == 1 else folder.white)
        if self.is_raw and given != (None, None, None):
            raise QuantError(
                f"`mean`, `std` and `white` are for inputs of floats; "
                f"{self.wanted.name!r} is {self.wanted.dtype}."
            )
        path = Path(folder.path)
        files = visible_files(path)
        self.files = [file for file in files if file.suffix.lower() in SUFFIXES]
        if not self.files:
            raise QuantError(
                f"{str(path)!r} must hold pictures, such as {', '.join(SUFFIXES[:3])}; "
                f"it has none among {len(files)} files."
            )
        self.pillow: Any = import_module("qcore.adapters.onnx.data.pillow")

    def __len__(self) -> int:
        return len(self.files)

    def pick(self, numbers: Iterable[int]) -> Iterator[Feed]:
        return ({self.wanted.name: self._array(self.files[n])} for n in numbers)

    def _array(self, path: Path) -> np.ndarray:
        folder, pillow = self.folder, self.pillow
        picture = pillow.decode(path, "L" if folder.colors == "L" else "RGB")
        if folder.size:
            picture = pillow.resize(picture, folder.size, folder.interpolation)
        if crop := _extents("crop", folder.crop):
            picture = pillow.crop_center(picture, crop, path)
        pixels = np.asarray(picture).reshape(picture.height, picture.width, -1)
        if folder.colors == "BGR":
            pixels = pixels[..., ::-1]
        if not self.is_raw:
            pixels = pixels.astype(np.float32) / np.float32(255 / folder.white)
            if folder.mean is not None:
                pixels -= np.asarray(folder.mean, np.float32)
            if folder.std is not None:
                pixels /= np.asarray(folder.std, np.float32)
        if folder.layout.endswith("CHW"):
            pixels = pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(pixels[None] if "N" in folder.layout else pixels)


def _choice(name: str, given: str, known: Iterable[str]) -> None:
    if given not in known:
        raise QuantError(f"`{name}` must be {' or '.join(known)}; got {given!r}.")


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and bool(np.isfinite(given))


def _extents(name: str, given: Extents | None) -> tuple[int, int] | None:
    """Return height and width, or a square's."""
    if given is None:
        return None
    extents = given if isinstance(given, tuple | list) else (given, given)
    if len(extents) != 2 or not all(isinstance(n, int) and n > 0 for n in extents):
        raise QuantError(
            f"`{name}` must be a positive number, or height and width; got {given!r}."
        )
    return extents[0], extents[1]


def _channels(
    name: str, given: float | Sequence[float] | None, colors: str
) -> Sequence[float]:
    """Return a number for each channel, or one for all."""
    numbers = [1.0] if given is None else given
    numbers = [numbers] if isinstance(numbers, int | float) else list(numbers)
    if len(numbers) not in {1, COLORS[colors]} or not all(map(_is_number, numbers)):
        raise QuantError(
            f"`{name}` must have a number for each of the {COLORS[colors]} channels of "
            f"{colors}, or one for all; got {given!r}."
        )
    return numbers
