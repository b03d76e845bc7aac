"""The depth of a file is read from its header, whatever Pillow makes of it."""

import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from dkjax.sources.depth import Depth, depth_of, tiff_depth, tiff_tags

GREY = np.arange(48, dtype=np.uint16).reshape(6, 8)
COLOUR = np.repeat(GREY[..., None], 3, -1)


def _tiff(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def _pillow(pixels: np.ndarray, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


EIGHT = COLOUR.astype(np.uint8)


@pytest.mark.parametrize(
    ("content", "depth"),
    [
        (_pillow(EIGHT, "PNG"), Depth(8)),
        (_pillow(EIGHT, "JPEG"), Depth(8)),
        (_pillow(EIGHT, "TIFF"), Depth(8)),
        (_pillow(EIGHT, "WEBP"), Depth(8)),
        (_pillow(EIGHT, "PPM"), Depth(8, greatest=255)),
        (_pillow(EIGHT, "JPEG2000"), Depth(8)),
        (_pillow(EIGHT[..., 0] > 20, "PNG"), Depth(1)),
        (imagecodecs.png_encode(GREY), Depth(16)),
        (imagecodecs.png_encode(COLOUR), Depth(16)),
        (_tiff(COLOUR, photometric="rgb"), Depth(16)),
        (_tiff(GREY.astype(np.int16)), Depth(16, signed=True)),
        (_tiff(GREY.astype(np.float32)), Depth(32, floating=True)),
        (imagecodecs.jpeg2k_encode(COLOUR, level=0, bitspersample=12), Depth(12)),
        (imagecodecs.jpeg2k_encode(GREY.astype(np.int16), level=0, codecformat="j2k"), Depth(16, signed=True)),
        (imagecodecs.avif_encode(COLOUR, bitspersample=10), Depth(10)),
        (imagecodecs.avif_encode(EIGHT), Depth(8)),
        (b"P5\n# made by a camera\n8 6\n4095\n" + GREY.astype(">u2").tobytes(), Depth(12, greatest=4095)),
    ],
)
def test_the_depth_is_the_file_s(content: bytes, depth: Depth) -> None:
    file = io.BytesIO(content)
    with Image.open(file) as image:
        before = file.tell()
        assert depth_of(image, file) == depth
        assert file.tell() == before


@pytest.mark.parametrize("bigtiff", [False, True])
def test_a_tiff_whose_pixels_pillow_does_not_know(bigtiff: bool) -> None:
    content = _tiff(np.zeros((4, 4, 5), np.uint16), photometric="minisblack", planarconfig="contig", bigtiff=bigtiff)
    assert tiff_depth(tiff_tags(io.BytesIO(content))) == Depth(16)


def test_what_a_depth_declares() -> None:
    assert Depth(12).declared == (0, 4095)
    assert Depth(16, signed=True).declared == (-32768, 32767)
    assert Depth(12, greatest=4000).declared == (0, 4000)
    assert Depth(32, floating=True).declared is None
    assert [Depth(8).is_bytes, Depth(8, signed=True).is_bytes, Depth(9).is_bytes] == [True, False, False]
