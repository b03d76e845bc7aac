"""The stored values of deep files, beside what the libraries that wrote them put in."""

import io
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from dkjax.sources.deep_images import read_values, upright

RANDOM = np.random.default_rng(0)


def _values(channels: int, dtype: type = np.uint16, greatest: int = 4095) -> np.ndarray:
    return RANDOM.integers(0, greatest + 1, (6, 9, channels)).astype(dtype)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_stored_values(channels: int, planar: str, dtype: type, tmp_path: Path) -> None:
    values = _values(channels, dtype)
    stored = np.moveaxis(values, -1, 0) if planar == "separate" else values
    pixels = stored if channels > 1 else values[..., 0]
    options = {"planarconfig": planar} if channels > 1 else {}
    photometric = "rgb" if channels > 2 else "minisblack"
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric=photometric, **options)
    seen = values[..., : 1 if channels < 3 else 3]
    np.testing.assert_array_equal(read_values(path, "TIFF"), seen)
    np.testing.assert_array_equal(read_values(path.read_bytes(), "TIFF"), seen)
    if dtype is np.uint16 and planar == "contig":
        np.testing.assert_array_equal(read_values(imagecodecs.png_encode(pixels), "PNG"), seen)


def test_packed_tiff_and_compressed_tiff() -> None:
    values = _values(1)[..., 0]
    for options in ({"bitspersample": 12}, {"compression": "zlib", "predictor": True}, {"compression": "lzw"}):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, values, **options)
        np.testing.assert_array_equal(read_values(buffer.getvalue(), "TIFF")[..., 0], values)


def test_packed_tiff_whose_white_is_zero() -> None:
    values = _values(1)[..., 0]
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, bitspersample=12, photometric="miniswhite")
    np.testing.assert_array_equal(read_values(buffer.getvalue(), "TIFF")[..., 0], 4095 - values)


def test_a_large_tiff_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, _values(2), photometric="minisblack", planarconfig="contig")
    assert read_values(buffer.getvalue(), "TIFF").shape == (6, 9, 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 53)
    with pytest.raises(ValueError, match="9x6 pixels, more than the 53"):
        read_values(buffer.getvalue(), "TIFF")


def test_what_is_not_read() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, _values(5), photometric="minisblack", planarconfig="contig")
    with pytest.raises(ValueError, match="5 channels; expected grey or colour"):
        read_values(buffer.getvalue(), "TIFF")
    with pytest.raises(ValueError, match="PGM or PPM in text"):
        read_values(b"P2 1 1 4095\n7\n", "PPM")
    with pytest.raises(ValueError, match="WEBP of more than 8 bits"):
        read_values(b"", "WEBP")


def test_orientations_are_those_of_pillow() -> None:
    values = RANDOM.integers(0, 256, (6, 9, 3), np.uint8)
    for orientation in range(1, 9):
        image = Image.fromarray(values)
        image.getexif()[0x0112] = orientation
        np.testing.assert_array_equal(upright(values, orientation), np.asarray(ImageOps.exif_transpose(image)))
