"""Read IDX files, the format of MNIST and its kin, plain or compressed with gzip.

A header is a claim by a stranger: it is believed only as far as the bytes that follow bear it out. Memory grows with
the bytes that are really there, and stops at the size that the header announced.
"""

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import DataError
from dkjax.formats.expansion import check_expansion

_UBYTE = 0x08
_MAX_DIMENSIONS = 4
_CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes.

    Args:
        path: the file; whether it is compressed is told from its first bytes, not from its name.

    Returns:
        uint8 of the shape in the header, one to four dimensions.

    Raises:
        DataError: the file is missing, damaged, of another type, or not as long as its header says.

    Guarantees:
        - What was written comes back (`tests/formats/test_idx.py::test_round_trip`).
        - Any other bytes give a DataError and nothing else (`tests/formats/test_idx.py::test_any_bytes`).
        - A false size costs no memory (`tests/formats/test_idx.py::test_false_sizes_cost_no_memory`), nor does a true
          one that is a decompression bomb (`tests/formats/test_idx.py::test_true_bomb_is_refused`).
    """
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            length = os.fstat(file.fileno()).st_size
            if compressed:
                with gzip.GzipFile(fileobj=file) as stream:
                    return _read(stream, path, length, compressed=True)
            return _read(file, path, length)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error or 'it ends too early'}; fetch the file again") from error


def _read(stream: BinaryIO | gzip.GzipFile, path: Path, length: int, *, compressed: bool = False) -> NDArray[np.uint8]:
    """Read a header and exactly the bytes that it announces, from a file of this length."""
    shape, header = _read_header(stream, path)
    announced = math.prod(shape)
    expected = f"{path}: the header announces {'x'.join(map(str, shape))} = {announced} bytes"
    if compressed:
        try:
            check_expansion(announced, length)
        except ValueError as error:
            raise DataError(f"{expected}: {error}; fetch the file again") from None
    elif announced > length - header:
        raise DataError(f"{expected}, more than the file can hold; fetch the file again")
    content = bytearray()
    while len(content) < announced:
        chunk = stream.read(min(_CHUNK, announced - len(content)))
        if not chunk:
            raise DataError(f"{expected}, but only {len(content)} follow; fetch the file again")
        content += chunk
    # Reading on to the end is also what makes gzip compare its checksum.
    if stream.read(1):
        raise DataError(f"{expected}, but more follow; fetch the file again")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_header(stream: BinaryIO | gzip.GzipFile, path: Path) -> tuple[tuple[int, ...], int]:
    """Read the shape, and how many bytes it took to say it."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(f"{path} is no IDX file: it begins with {magic.hex() or 'nothing'}, not with two zero bytes")
    dtype, dimensions = magic[2], magic[3]
    if dtype != _UBYTE:
        raise DataError(f"{path}: data type 0x{dtype:02x}, expected 0x08 (unsigned bytes)")
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise DataError(f"{path}: {dimensions} dimensions, expected 1 to {_MAX_DIMENSIONS}")
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(f"{path} ends within its header; fetch the file again")
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    if 0 in shape:
        raise DataError(f"{path}: shape {'x'.join(map(str, shape))} holds no data")
    return shape, 4 + len(sizes)
