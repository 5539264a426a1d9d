"""Pictures become what torchvision's transforms make of them, by their formulas."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from qcore import QuantError
from qcore.adapters.onnx.data.images import ImageFolder
from qcore.adapters.onnx.data.inputs import Input

Image = pytest.importorskip("PIL.Image")

FLOATS = [Input("x", np.dtype("float32"), None)]
PIXELS = [Input("x", np.dtype("uint8"), None)]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def random_pixels(*shape: int, dtype=np.uint8) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.fixture
def photo(tmp_path: Path) -> np.ndarray:
    """Pixels of the only picture in the folder, 30 high and 40 wide."""
    pixels = random_pixels(30, 40, 3)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return pixels


def read(path: Path, inputs=FLOATS, **options) -> list[np.ndarray]:
    return [feed["x"] for feed in ImageFolder(path, **options).feeds(inputs)]


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return pixels averaged under triangles as wide as a step: along x, then y."""
    for axis, extent in ((1, width), (0, height)):
        step = pixels.shape[axis] / extent
        centers = (np.arange(extent) + 0.5) * step
        places = np.arange(pixels.shape[axis]) + 0.5
        distance = np.abs(centers[:, None] - places) / max(step, 1)
        weights = np.maximum(1 - distance, 0)
        weights /= weights.sum(1, keepdims=True)
        pixels = np.tensordot(weights, pixels, (1, axis))
        pixels = np.moveaxis(pixels, 0, axis)
    return pixels


def test_pixels_are_scaled_and_normalized_as_torchvision_does(tmp_path, photo):
    (array,) = read(tmp_path, mean=MEAN, std=STD)
    scaled = photo.astype(np.float32).transpose(2, 0, 1) / np.float32(255)
    mean, std = (np.float32(x)[:, None, None] for x in (MEAN, STD))
    np.testing.assert_array_equal(array, ((scaled - mean) / std)[None], strict=True)


def test_white_of_255_takes_mean_and_std_of_stored_pixels(tmp_path, photo):
    (array,) = read(tmp_path, white=255, mean=127.5, std=127.5)
    expected = (np.float32(photo).transpose(2, 0, 1)[None] - 127.5) / 127.5
    np.testing.assert_array_equal(array, expected, strict=True)


@pytest.mark.parametrize(
    ("size", "shape"), [(15, (15, 20)), (45, (45, 60)), ((10, 24), (10, 24))]
)
def test_resizing_is_bilinear_and_keeps_the_aspect_of_one_number(
    tmp_path, photo, size, shape
):
    (array,) = read(tmp_path, PIXELS, size=size, layout="HWC")
    assert array.shape == (*shape, 3)
    # Pillow rounds twice, after either axis.
    expected = resized(photo.astype(np.float64), *shape)
    assert np.abs(array - expected).max() < 1.01


def test_the_shorter_edge_of_a_tall_picture_is_its_width(tmp_path):
    Image.fromarray(random_pixels(50, 30, 3)).save(tmp_path / "tall.png")
    assert read(tmp_path, size=20)[0].shape == (1, 3, 33, 20)  # 50 · 20 / 30 = 33.3


@pytest.mark.parametrize(
    ("crop", "rows", "columns"),
    # Half of an odd difference is rounded to even: 25 / 2 = 12.5, 9 / 2 = 4.5.
    [
        (10, slice(10, 20), slice(15, 25)),
        ((21, 15), slice(4, 25), slice(12, 27)),
        ((30, 40), slice(None), slice(None)),
    ],
)
def test_the_center_is_cropped_as_torchvision_does(
    tmp_path, photo, crop, rows, columns
):
    (array,) = read(tmp_path, PIXELS, crop=crop, layout="NHWC")
    np.testing.assert_array_equal(array[0], photo[rows, columns])


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        ("NCHW", (1, 3, 30, 40)),
        ("NHWC", (1, 30, 40, 3)),
        ("CHW", (3, 30, 40)),
        ("HWC", (30, 40, 3)),
    ],
)
def test_axes_come_in_the_order_asked_for(tmp_path, photo, layout, shape):
    (array,) = read(tmp_path, PIXELS, layout=layout)
    assert array.shape == shape
    order = [shape.index(n) - (len(shape) - 3) for n in (30, 40, 3)]
    got = array.reshape(shape[-3:]).transpose(order)
    np.testing.assert_array_equal(got, photo)


def test_blue_may_come_first(tmp_path, photo):
    (array,) = read(tmp_path, PIXELS, colors="BGR", layout="HWC")
    np.testing.assert_array_equal(array, photo[..., ::-1])


def test_an_input_of_integers_gets_the_pixels_as_they_are(tmp_path, photo):
    (array,) = read(tmp_path, PIXELS, layout="HWC")
    np.testing.assert_array_equal(array, photo, strict=True)


def test_a_grey_picture_has_equal_channels(tmp_path):
    grey = random_pixels(5, 6)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    (array,) = read(tmp_path, PIXELS)
    np.testing.assert_array_equal(array[0], np.stack([grey] * 3))
    (array,) = read(tmp_path, PIXELS, colors="L")
    np.testing.assert_array_equal(array[0], grey[None])


def test_a_color_picture_becomes_grey_by_its_luma(tmp_path, photo):
    (array,) = read(tmp_path, PIXELS, colors="L")
    luma = photo @ np.array([0.299, 0.587, 0.114])  # ITU-R 601
    assert np.abs(array[0, 0] - luma).max() <= 1


def test_transparency_is_dropped(tmp_path):
    pixels = random_pixels(5, 6, 4)
    Image.fromarray(pixels).save(tmp_path / "glass.png")
    (array,) = read(tmp_path, PIXELS, layout="HWC")
    np.testing.assert_array_equal(array, pixels[..., :3])


def test_inks_become_colors(tmp_path):
    inks = random_pixels(5, 6, 4)
    Image.fromarray(inks, "CMYK").save(tmp_path / "inks.tif")
    (array,) = read(tmp_path, PIXELS, layout="HWC")
    kept = 255 - inks.astype(float)
    expected = kept[..., :3] * kept[..., 3:] / 255
    assert np.abs(array - expected).max() <= 1


def test_of_16_bits_the_upper_8_are_taken(tmp_path):
    pixels = random_pixels(5, 6, dtype=np.uint16)
    Image.fromarray(pixels).save(tmp_path / "deep.png")
    (array,) = read(tmp_path, PIXELS, colors="L")
    np.testing.assert_array_equal(array[0, 0], pixels // 256)


def test_pictures_come_in_the_order_of_their_paths_other_files_do_not(tmp_path):
    for name in ("b/2.png", "b/10.PNG", "a.bmp", ".hidden/1.png", "b/.1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        value = len(name)
        Image.new("L", (2, 2), value).save(tmp_path / name, "PNG")
    (tmp_path / "labels.csv").write_text("a,1\n")
    first = [int(array.flat[0]) for array in read(tmp_path, PIXELS)]
    assert first == [len(name) for name in ("a.bmp", "b/10.PNG", "b/2.png")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 8, "crop": 9}, "`crop` must be at most `size`; got 9 and 8"),
        ({"size": (9, 8), "crop": 9}, r"`crop` must be at most `size`"),
        ({"size": 0}, "`size` must be a positive number, or height and width; got 0"),
        ({"crop": (1, 2, 3)}, "`crop` must be a positive number"),
        ({"crop": 2.5}, "`crop` must be a positive number"),
        ({"mean": (1, 2)}, "`mean` must have a number for each of the 3 channels"),
        ({"mean": MEAN, "colors": "L"}, "`mean` .* each of the 1 channels of L"),
        ({"std": ("a", "b", "c")}, "`std` must have a number"),
        ({"std": (1, 1, 0)}, r"`std` must be positive; got \(1, 1, 0\)"),
        ({"mean": float("nan")}, "`mean` must have a number"),
        ({"white": 0}, "`white` must be a positive number; got 0"),
        ({"colors": "rgb"}, "`colors` must be RGB or BGR or L; got 'rgb'"),
        ({"layout": "HCW"}, "`layout` must be NCHW or NHWC or CHW or HWC; got 'HCW'"),
        ({"interpolation": "cubic"}, "`interpolation` must be bilinear or bicubic"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(QuantError, match=message):
        ImageFolder("nowhere", **options)


@pytest.mark.usefixtures("photo")
@pytest.mark.parametrize("options", [{"mean": 0.5}, {"std": 0.5}, {"white": 255}])
def test_integers_are_not_normalized(tmp_path, options):
    with pytest.raises(QuantError, match="are for inputs of floats; 'x' is uint8"):
        read(tmp_path, PIXELS, **options)


@pytest.mark.usefixtures("photo")
def test_pictures_are_for_one_input(tmp_path):
    with pytest.raises(QuantError, match="a model of one input; this one has x, y"):
        read(tmp_path, [*FLOATS, Input("y", np.dtype("float32"), None)])


@pytest.mark.usefixtures("photo")
def test_a_picture_smaller_than_the_crop_is_named(tmp_path):
    with pytest.raises(
        QuantError, match=r"photo.png' is 30 x 40, smaller than 31 x 31"
    ):
        read(tmp_path, crop=31)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_picture_is_named(tmp_path, content):
    (tmp_path / "some.png").write_bytes(content)
    with pytest.raises(QuantError, match=r"some.png' cannot be read as a picture"):
        read(tmp_path)


@pytest.mark.usefixtures("photo")
def test_a_picture_that_was_cut_off_is_named(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(QuantError, match=r"photo.png' cannot be read as a picture"):
        read(tmp_path)


def test_a_picture_that_claims_a_huge_size_is_not_decoded(tmp_path):
    Image.new("1", (1, 1)).save(tmp_path / "bomb.png")
    content = bytearray((tmp_path / "bomb.png").read_bytes())
    content[16:24] = (60000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(content)
    with pytest.raises(QuantError, match=r"bomb.png' cannot be read.*exceeds limit"):
        read(tmp_path)


def test_more_pixels_than_a_photograph_has_are_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("L", (30, 40)).save(tmp_path / "large.png")
    with pytest.raises(QuantError, match=r"large.png' cannot be read.*exceeds limit"):
        read(tmp_path)


def test_what_is_odd_in_a_picture_and_does_no_harm_is_not_told(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "photo.tif", description="x" * 99)
    (tmp_path / "photo.png").unlink()
    content = (tmp_path / "photo.tif").read_bytes()
    # The tag of the description, of more characters than the file has.
    entry = content.index((270).to_bytes(2, "little") + (2).to_bytes(2, "little"))
    huge = (1 << 20).to_bytes(4, "little")
    damaged = content[: entry + 4] + huge + content[entry + 8 :]
    (tmp_path / "photo.tif").write_bytes(damaged)
    with pytest.warns(UserWarning, match="Tag data larger than file"):
        Image.open(tmp_path / "photo.tif").close()
    (array,) = read(tmp_path, PIXELS, layout="HWC")
    np.testing.assert_array_equal(array, photo)


def test_pixels_of_32_bits_are_refused(tmp_path):
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "deep.tif")
    with pytest.raises(QuantError, match=r"deep.tif' must have pixels of 8 or 16 bits"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "has none among|is empty"),
        (lambda path: (path / "a.txt").write_text(""), "none among 1 files"),
        (lambda path: path.rmdir(), "must be a folder; there is none"),
    ],
)
def test_a_folder_without_pictures_is_refused(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(QuantError, match=message):
        read(tmp_path)
