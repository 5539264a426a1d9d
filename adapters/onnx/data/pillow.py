"""Pictures as arrays, by Pillow (extra ``images``)."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from qcore.errors import QuantError

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def decode(path: Path, mode: str, /) -> Image.Image:
    """
    Return the picture in a file, in the mode ``"RGB"`` or ``"L"``.

    Transparency is dropped, as torchvision's folders do; 16 bits become their upper 8.

    Raises
    ------
    QuantError
        If the file holds no picture, or one of other pixels than of 8 or 16 bits.
    """
    picture: Image.Image
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as of notes that a camera left
            # More pixels than any photograph has: a file that claims them is a trap.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                picture.load()
    except Exception as error:  # each format has its own for what is damaged
        raise QuantError(
            f"{str(path)!r} cannot be read as a picture: {error}"
        ) from error
    if picture.mode.startswith("I;16"):
        upper = np.asarray(picture).astype(np.uint16) >> 8
        picture = Image.fromarray(upper.astype(np.uint8))
    if picture.mode in {"I", "F"}:
        raise QuantError(
            f"{str(path)!r} must have pixels of 8 or 16 bits; they are of 32."
        )
    return picture.convert(mode)


def resize(
    picture: Image.Image, size: int | tuple[int, int], interpolation: str, /
) -> Image.Image:
    """Return a picture of this height and width, or whose shorter edge is `size`."""
    if isinstance(size, int):
        short, long = sorted(picture.size)
        other = int(size * long / short)
        size = (size, other) if picture.height <= picture.width else (other, size)
    return picture.resize(size[::-1], FILTERS[interpolation])


def crop_center(
    picture: Image.Image, extents: tuple[int, int], path: Path, /
) -> Image.Image:
    """
    Return the center of a picture, where torchvision's ``CenterCrop`` takes it.

    Raises
    ------
    QuantError
        If the picture is smaller.
    """
    height, width = extents
    if picture.height < height or picture.width < width:
        raise QuantError(
            f"`crop` must fit in each picture; {str(path)!r} is {picture.height} x "
            f"{picture.width}, smaller than {height} x {width}: give `size`, too."
        )
    top = round((picture.height - height) / 2)
    left = round((picture.width - width) / 2)
    return picture.crop((left, top, left + width, top + height))
