"""A file of frames: records in small parts, each deflated by itself, read with suspicion and without NumPy.

    dkpack1 and a line feed     8 bytes
    frames, one after the other

A frame is two numbers of two bytes and one of four, little-endian: how many records it holds, how their values are
coded, how many bytes follow; and a zlib stream of so many bytes. It holds the labels of its records, their ids and the
values of their blocks (`dkjax.dkds.packed`).
"""

import math
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAGIC = b"dkpack1\n"
MOST_RECORDS = 32
LABEL_BYTES, ID_BYTES = 4, 16
DIFFERENCES, UNARY = 0, 1
"""How values are coded: a byte for each difference from the value before, or, where values ascend, so many zeros and a
one (a unary code), which takes a sixth of the bytes."""

_HEADER = struct.Struct("<HHI")
_STRATEGY = {DIFFERENCES: zlib.Z_DEFAULT_STRATEGY, UNARY: zlib.Z_RLE}


class Sizes(NamedTuple):
    """What a record takes before it is deflated, label and id included, by the coding of its values."""

    differences: int
    unary: int


class Frame(NamedTuple):
    """Where a frame is.

    Attributes:
        records: how many records it holds.
        coding: of its values, `DIFFERENCES` or `UNARY`.
        start: of its zlib stream in the file.
        length: of its zlib stream.
    """

    records: int
    coding: int
    start: int
    length: int


def sizes_of(image_shape: Sequence[int], block_size: int) -> Sizes:
    """Return what records of images `(H, W, C)` take."""
    height, width, channels = image_shape
    blocks = (height // block_size) * (width // block_size)
    beside = LABEL_BYTES + ID_BYTES
    return Sizes(beside + math.prod(image_shape), beside + blocks * unary_bytes(block_size**2 * channels))


def unary_bytes(values: int) -> int:
    """Return how many bytes a block of so many ascending values takes: a one for each, and at most 255 zeros."""
    return (values + 255 + 7) // 8


def frame_of(records: int, coding: int, data: bytes) -> bytes:
    """Return a frame of at most `MOST_RECORDS` records."""
    deflated = deflate(coding, data)
    return _HEADER.pack(records, coding, len(deflated)) + deflated


def deflate(coding: int, data: bytes) -> bytes:
    """Return a zlib stream; run lengths alone are as small for a unary code, and eight times as fast."""
    deflating = zlib.compressobj(strategy=_STRATEGY[coding])
    return deflating.compress(data) + deflating.flush()


def inflate(data: bytes, expected: int) -> bytes:
    """Return what a zlib stream holds, in no more memory than it should take.

    Raises:
        ValueError: it does not hold exactly so many bytes, or goes on behind them, or was changed.
    """
    unpacking = zlib.decompressobj()
    try:
        found = unpacking.decompress(data, expected)
        more = unpacking.decompress(unpacking.unconsumed_tail, 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(found) != expected or more or not unpacking.eof:
        raise ValueError("a frame does not hold exactly its records")
    if unpacking.unused_data:
        raise ValueError("a frame goes on after its end")
    return found


def frames_in(file: BinaryIO, sizes: Sizes) -> Iterator[Frame]:
    """Find the frames of a file without reading what is in them.

    Args:
        file: the file.
        sizes: of a record.

    Yields:
        The frames, in order.

    Raises:
        ValueError: it is no such file, is cut short, or a frame has more records or bytes than it can have.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        raise ValueError("it does not begin as packed records do")
    start = len(MAGIC)
    while start < size:
        file.seek(start)
        header = file.read(_HEADER.size)
        records, coding, length = _HEADER.unpack(header) if len(header) == _HEADER.size else (0, 0, 0)
        start += _HEADER.size
        if not 0 < records <= MOST_RECORDS or coding not in _STRATEGY:
            raise ValueError("a frame is cut short, or none")
        # Deflate adds five bytes to 16 KiB that it cannot make smaller, and zlib six in all.
        if length > min((1024 + records * sizes[coding]) * 1001 // 1000, size - start):
            raise ValueError("a frame is cut short, or longer than its records can be")
        yield Frame(records, coding, start, length)
        start += length


def check_frames(path: Path, sizes: Sizes) -> int:
    """Read a file of frames against their checksums (Adler-32); memory is that of one frame.

    Returns:
        How many records it has.

    Raises:
        ValueError: a frame is damaged.
    """
    count = 0
    with open(path, "rb") as file:
        for frame in frames_in(file, sizes):
            file.seek(frame.start)
            inflate(file.read(frame.length), frame.records * sizes[frame.coding])
            count += frame.records
    return count
