"""How many bits a channel an image file has, read from its own header.

Pillow hands over 8 bits also where a file has 16: of colour and grey+alpha PNG and of colour TIFF it keeps the upper
byte, JPEG 2000 it shifts, PGM it scales. The mode of its image tells nothing of that.
"""

import re
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image, TiffImagePlugin

_BITS_PER_SAMPLE, _SAMPLES_PER_PIXEL, _SAMPLE_FORMAT = 258, 277, 339
_SIGNED, _FLOATING = 2, 3
# The start of a JPEG 2000 codestream and the marker of its sizes; within a JP2 file boxes come first.
_SIZES = b"\xff\x4f\xff\x51"
_HEAD = 1 << 20


@dataclass(frozen=True)
class Depth:
    """The numbers a file stores for a pixel.

    Attributes:
        bits: of a channel; of the deepest one.
        signed: whether they may be negative.
        floating: whether they are floating-point numbers.
        greatest: the greatest whole number that the file declares, where that is not the greatest of its bits.
    """

    bits: int
    signed: bool = False
    floating: bool = False
    greatest: int | None = None

    @property
    def is_bytes(self) -> bool:
        """Whether they are whole numbers from 0 to at most 255."""
        return self.bits <= 8 and not self.signed and not self.floating

    @property
    def declared(self) -> tuple[float, float] | None:
        """The least and the greatest number of that depth; None for floating-point numbers."""
        if self.floating:
            return None
        if self.greatest is not None:
            return 0, self.greatest
        return (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1) if self.signed else (0, 2**self.bits - 1)

    def __str__(self) -> str:
        kind = " (floating-point numbers)" if self.floating else " (signed)" if self.signed else ""
        return f"{self.bits} bits a channel{kind}"


_BYTES = Depth(8)


def depth_of(image: Image.Image, file: BinaryIO) -> Depth:
    """Read the depth of an open image from the header of its file.

    Args:
        image: opened by Pillow, not loaded.
        file: the same file; its position is kept.

    Returns:
        The depth.

    Raises:
        ValueError: the header does not say.

    Guarantees:
        - it is the file's, whatever Pillow's mode is (`tests/sources/test_depth.py::test_the_depth_is_the_file_s`).
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return tiff_depth(image.tag_v2)
    read = {"PNG": _png, "JPEG2000": _jpeg2000, "PPM": _netpbm, "AVIF": _avif}.get(image.format or "")
    if read is None:
        # Of other formats only the plug-in knows.
        return Depth(image.info["bit_depth"]) if isinstance(image.info.get("bit_depth"), int) else _BYTES
    before = file.tell()
    file.seek(0)
    try:
        return read(file.read(_HEAD if read in (_jpeg2000, _avif) else 4096))
    finally:
        file.seek(before)


def tiff_depth(tags: TiffImagePlugin.ImageFileDirectory_v2) -> Depth:
    """Read the depth of a page of a TIFF file from its tags."""
    formats = tags.get(_SAMPLE_FORMAT, (1,))
    return Depth(max(tags.get(_BITS_PER_SAMPLE, (1,))), _SIGNED in formats, _FLOATING in formats)


def tiff_tags(file: BinaryIO) -> TiffImagePlugin.ImageFileDirectory_v2:
    """Read the tags of the first page of a TIFF file, also of one whose pixels Pillow does not know."""
    file.seek(0)
    header = file.read(8)
    if header[2:4] in (b"\x2b\x00", b"\x00\x2b"):
        header += file.read(8)
    tags = TiffImagePlugin.ImageFileDirectory_v2(header)
    file.seek(tags.next)
    tags.load(file)
    return tags


def tiff_pixel(tags: TiffImagePlugin.ImageFileDirectory_v2) -> str:
    """Say what a pixel of a page is, for a message."""
    return f"{tags.get(_SAMPLES_PER_PIXEL, 1)} channels of {tiff_depth(tags).bits} bits"


def _png(head: bytes) -> Depth:
    return Depth(head[24])


def _jpeg2000(head: bytes) -> Depth:
    start = head.find(_SIZES)
    if start < 0:
        raise ValueError("it has no codestream")
    count = int.from_bytes(head[start + 40 : start + 42], "big")
    components = head[start + 42 : start + 42 + 3 * count : 3]
    return Depth(max((size & 0x7F) + 1 for size in components), any(size >> 7 for size in components))


def _netpbm(head: bytes) -> Depth:
    if head[:2] in (b"Pf", b"PF"):
        return Depth(32, floating=True)
    numbers = re.sub(rb"#[^\n\r]*", b"", head[2:]).split(maxsplit=3)
    if head[:2] not in (b"P2", b"P3", b"P5", b"P6"):
        return _BYTES
    greatest = int(numbers[2])
    return Depth(greatest.bit_length(), greatest=greatest)


def _avif(head: bytes) -> Depth:
    start = head.find(b"av1C")
    flags = head[start + 6] if 0 <= start < len(head) - 6 else 0
    return Depth((12 if flags & 0x20 else 10) if flags & 0x40 else 8)
