"""One small file for hand-over: the values of each block as differences, deflated.

    NAME/records.dkpack     frames, one after the other
    NAME/dkds.json

A frame is two numbers of four bytes, little-endian, the records in it and the bytes that follow, and a zlib stream: the
labels (four bytes each, little-endian), the ids (16 bytes each), and the values of each block of each image, each but
the first of a block as its difference from the one before, modulo 256. Sorted values differ by little, which is what
makes the file small (docs/convert.md has the numbers).
"""

import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dkjax.cipher.array_blocks import from_blocks, to_blocks
from dkjax.dkds import Manifest, layout
from dkjax.dkds.convert.container import Container, unreadable
from dkjax.dkds.convert.stream import Chunk, RecordStream, rows_at_a_time
from dkjax.errors import DataError
from dkjax.runtime.threads import on_all_cores

_FILE = "records.dkpack"
_HEADER = struct.Struct("<II")
_LABEL_BYTES = 4
_FRAME_RECORDS = 32
_LEVEL = 6  # 9 took twenty times as long for photographs, and left a tenth less


class PackedContainer(Container):
    """A tenth of the bytes for sorted blocks of photographs; unpacked once, and then read as it was before."""

    name = "packed"
    title = "a packed data set"

    def check(self, manifest: Manifest) -> None:
        """Any data set can be packed."""

    def write(self, folder: Path, manifest: Manifest, records: RecordStream) -> None:
        """Write the frames."""
        with open(folder / _FILE, "xb") as file:
            for chunk in records:
                starts = range(0, len(chunk.label), _FRAME_RECORDS)
                parts = [chunk.rows(slice(start, start + _FRAME_RECORDS)) for start in starts]
                file.writelines(on_all_cores(lambda part: _packed(part, manifest), parts))

    def read(self, path: Path, manifest: Manifest) -> Iterator[Chunk]:
        """Read the frames, of which none may unpack to more than its records take."""
        try:
            file = open(path / _FILE, "rb")  # noqa: SIM115
        except FileNotFoundError:
            raise DataError(f"{path / _FILE} is missing: copy it again") from None
        with file:
            at_once = max(1, rows_at_a_time(manifest) // _FRAME_RECORDS)
            frames = _frames(file, manifest)
            while held := list(islice(frames, at_once)):
                try:
                    yield from on_all_cores(lambda frame: _unpacked(*frame, manifest), held)
                except (ValueError, zlib.error) as error:
                    raise unreadable(path / _FILE, error) from error

    def how_to_read(self, path: Path) -> str:
        """Name the command that unpacks it."""
        return f"dkjax convert {path} --to dkds --out NAME{layout.SUFFIX}"


def _packed(chunk: Chunk, manifest: Manifest) -> bytes:
    before = chunk.label.astype("<i4").tobytes() + chunk.id.tobytes()
    data = deflated(chunk.image, manifest.scheme.block_size, before)
    return _HEADER.pack(len(chunk.label), len(data)) + data


def deflated(images: np.ndarray, block_size: int, before: bytes = b"") -> bytes:
    """Deflate the differences of the values of each block of uint8[n, H, W, C], behind other bytes."""
    values = to_blocks(images, block_size)
    differences = values.copy()
    differences[..., 1:] -= values[..., :-1]
    return zlib.compress(before + differences.tobytes(), _LEVEL)


def _frames(file: BinaryIO, manifest: Manifest) -> Iterator[tuple[int, bytes]]:
    """Read how many records a frame holds, and its zlib stream, as long as both are possible."""
    while header := file.read(_HEADER.size):
        count, length = _HEADER.unpack(header) if len(header) == _HEADER.size else (0, 0)
        # Deflate adds five bytes to 16 KiB that it cannot make smaller, and zlib six in all.
        most = (1024 + _bytes_of(count, manifest)) * 1001 // 1000
        data = file.read(length) if 0 < count <= _FRAME_RECORDS and length <= most else b""
        if not data or len(data) < length:
            raise DataError(f"{file.name} is cut short or damaged: copy it again")
        yield count, data


def _unpacked(count: int, data: bytes, manifest: Manifest) -> Chunk:
    expected = _bytes_of(count, manifest)
    unpacking = zlib.decompressobj()
    found = unpacking.decompress(data, expected)
    if len(found) != expected or unpacking.decompress(unpacking.unconsumed_tail, 1) or not unpacking.eof:
        raise ValueError(f"a frame of {count} records does not hold exactly these")
    if unpacking.unused_data:
        raise ValueError("a frame goes on after its end")
    label, ids, differences = np.split(
        np.frombuffer(found, np.uint8), np.cumsum([_LABEL_BYTES * count, layout.ID_BYTES * count])
    )
    block_size, channels = manifest.scheme.block_size, manifest.image_shape[2]
    values = np.cumsum(differences.reshape(count, -1, block_size**2 * channels), axis=2, dtype=np.uint8)
    image = from_blocks(values, manifest.image_shape, block_size)
    return Chunk(image, label.view("<i4").astype(np.int32), ids.reshape(count, layout.ID_BYTES))


def _bytes_of(count: int, manifest: Manifest) -> int:
    height, width, channels = manifest.image_shape
    return count * (height * width * channels + _LABEL_BYTES + layout.ID_BYTES)
