"""JPEG XL: size and depth before decoding, values, orientation, damage."""

import io
import sys
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from dkjax.errors import MissingPackageError
from dkjax.sources.decode import Unreadable, decode_images
from dkjax.sources.depth import Depth
from dkjax.sources.jpeg_xl import jpeg_xl_header
from dkjax.sources.preparation import Preparation

COLOUR = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def decoded(content: bytes, size: tuple[int, int] = (6, 9), channels: int = 3, **options: Any) -> Any:
    return decode_images([content], size, channels, Preparation(**options))[0]


def by_pillow(image: Image.Image, **options: Any) -> bytes:
    import pillow_jxl  # noqa: F401

    buffer = io.BytesIO()
    image.save(buffer, format="JXL", lossless=True, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (9, 6), (8, 8), (256, 256), (24, 16), (300, 200), (16, 9), (9000, 1)])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_size_and_depth(size: tuple[int, int], bits: int) -> None:
    values = np.zeros((size[1], size[0], 3), np.uint8 if bits == 8 else np.uint16)
    content = imagecodecs.jpegxl_encode(values, lossless=True, effort=1, bitspersample=bits)
    assert jpeg_xl_header(content) == (size, Depth(bits))


def test_floating_point_numbers_and_containers() -> None:
    content = imagecodecs.jpegxl_encode(np.zeros((6, 9), np.float32), lossless=True)
    assert jpeg_xl_header(content) == ((9, 6), Depth(32, floating=True))
    assert jpeg_xl_header(by_pillow(Image.fromarray(COLOUR), use_container=True)) == ((9, 6), Depth(8))


def test_values() -> None:
    for picture in (Image.fromarray(COLOUR), Image.fromarray(COLOUR).convert("L")):
        content = by_pillow(picture)
        np.testing.assert_array_equal(decoded(content), np.asarray(picture.convert("RGB")))
        np.testing.assert_array_equal(decoded(content, channels=1)[..., 0], np.asarray(picture.convert("L")))
    alpha = Image.fromarray(COLOUR)
    alpha.putalpha(Image.fromarray(COLOUR[..., 0]))
    np.testing.assert_array_equal(decoded(by_pillow(alpha)), COLOUR)
    np.testing.assert_array_equal(decoded(imagecodecs.jpegxl_encode(COLOUR, lossless=True)), COLOUR)


def test_more_than_8_bits_are_refused_or_brought_to_8() -> None:
    deep = COLOUR.astype(np.uint16) * 16
    content = imagecodecs.jpegxl_encode(deep, lossless=True, bitspersample=12)
    refused = decoded(content)
    assert isinstance(refused, Unreadable)
    assert str(refused.reason).startswith("12 bits a channel: set data.range")
    np.testing.assert_array_equal(decoded(content, value_range=(0, 255 * 16)), COLOUR)


def test_a_picture_is_turned_once(tmp_path: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    # The pixels of a JPEG XL are as they are to be seen, whatever its EXIF says.
    np.testing.assert_array_equal(decoded(by_pillow(Image.fromarray(COLOUR), exif=exif.tobytes())), COLOUR)
    # One that a JPEG was repacked into is that JPEG.
    path = tmp_path / "turned.jpg"
    Image.fromarray(COLOUR).save(path, exif=exif.tobytes(), quality=100, subsampling=0)
    with Image.open(path) as jpeg:
        content = by_pillow(jpeg, lossless_jpeg=True)
    np.testing.assert_array_equal(decoded(content, (9, 6)), decoded(path.read_bytes(), (9, 6)))


def test_damaged_and_large_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for content in (by_pillow(Image.fromarray(COLOUR)), by_pillow(Image.fromarray(COLOUR), use_container=True)):
        for place in rng.integers(2, len(content), 60):
            for bad in (content[:place], content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]):
                came = decoded(bad)
                assert isinstance(came, np.ndarray) or "\n" not in str(came.reason)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    assert "9x6 pixels, more than the 50" in str(decoded(by_pillow(Image.fromarray(COLOUR))).reason)


def test_without_the_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    content = by_pillow(Image.fromarray(COLOUR))
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    with pytest.raises(MissingPackageError, match="pip install pillow-jxl-plugin"):
        decoded(content)
