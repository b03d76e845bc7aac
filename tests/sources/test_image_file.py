"""Files are opened as far as their picture allows, and refused for reasons that are true."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from dkjax.sources.image_file import open_image

GREY = np.random.default_rng(0).integers(0, 256, (6, 9), np.uint8)


def _encoded(image: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


PNG = _encoded(Image.fromarray(GREY))
IHDR_END = 33


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _reason(content: bytes) -> str:
    with pytest.raises(ValueError) as refused:
        open_image(io.BytesIO(content))
    return str(refused.value)


@pytest.mark.parametrize(
    "comment",
    [
        _chunk(b"tEXt", b"Comment\0hi"),
        _chunk(b"tEXt", b"Comment\0hi")[:-1] + b"\0",
        _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2 << 20))),
        _chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(2 << 20))),
        b"".join(_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 20))) for _ in range(80)),
        _chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(2 << 20))),
    ],
    ids=["fine", "damaged", "long", "long in Unicode", "many", "long profile"],
)
def test_comments_do_not_matter(comment: bytes) -> None:
    image = open_image(io.BytesIO(PNG[:IHDR_END] + comment + PNG[IHDR_END:]))
    np.testing.assert_array_equal(np.asarray(image), GREY)


def test_reasons_are_true() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((6, 9, 5), np.uint8), photometric="minisblack", planarconfig="contig")
    assert _reason(buffer.getvalue()).startswith(
        "a TIFF file that is damaged, or of a kind that is not read: 5 channels"
    )
    lab = Image.merge("LAB", [Image.fromarray(GREY)] * 3)
    assert _reason(_encoded(lab, "TIFF")) == "colours in mode LAB are not read; convert the file to RGB"
    broken = PNG[: IHDR_END - 1] + bytes([PNG[IHDR_END - 1] ^ 1]) + PNG[IHDR_END:]
    assert "a PNG file that is damaged" in _reason(broken)
    assert _reason(b"II*\0" + bytes(20)).startswith("a TIFF file that is damaged")
    assert _reason(b"text").startswith("not an image file")


def test_a_large_picture_is_refused_without_a_warning() -> None:
    header = struct.pack(">IIBBBBB", 16384, 6000, 8, 0, 0, 0, 0)
    content = PNG[:8] + _chunk(b"IHDR", header) + _chunk(b"IDAT", b"") + _chunk(b"IEND", b"")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert _reason(content).startswith("16384x6000 pixels, more than the 89478485 that are decoded")
    assert not caught
