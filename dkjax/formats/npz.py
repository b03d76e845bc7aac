"""NumPy archives (`.npz`) that may come from a stranger.

No pickle is ever loaded and no size is believed before it is checked. An array that was stored without compression
(`numpy.savez`) is mapped, not read: however large it is, memory stays small.
"""

import io
import math
import zipfile
from pathlib import Path
from typing import IO

import ml_dtypes
import numpy as np

from dkjax.errors import DataError
from dkjax.formats.expansion import check_expansion

_CHUNK = 1 << 20
_MAX_HEADER = 1 << 16
_LOCAL_HEADER = 30
_NAMELESS_BFLOAT16 = np.dtype("V2")


def array_names(path: Path) -> set[str]:
    """List the arrays of an archive.

    Args:
        path: an `.npz` file.

    Returns:
        Their names, without `.npy`.

    Raises:
        DataError: there is no such file, or it is no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
    except FileNotFoundError as error:
        raise DataError(f"no file {path}") from error
    except Exception as error:
        # A damaged directory makes `zipfile` raise more kinds of error than it documents.
        raise DataError(f"{path} is no NumPy archive: {_line(error)}; save it with numpy.savez") from error


def read_array(path: Path, name: str) -> np.ndarray:
    """Read or map one array after checking that its header tells the truth.

    Args:
        path: an `.npz` file.
        name: one of its `array_names`.

    Returns:
        The array; read-only where it is mapped. bfloat16, which NumPy stores as two bytes without a meaning (`V2`),
        comes back as `ml_dtypes.bfloat16`.

    Raises:
        DataError: the array is damaged, is not there, or holds Python objects or records.

    Guarantees:
        - Compressed or not, bfloat16 comes back as it was saved
          (`tests/formats/test_npz_archive.py::test_bfloat16_comes_back`).
        - A flipped bit is noticed (`tests/sources/test_npz.py::test_flipped_bit_is_noticed`).
        - Memory is bounded by the bytes that there are (`tests/sources/test_npz.py::test_bombs_are_refused`).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("it is compressed in a way that numpy.savez does not use")
            if member.compress_type == zipfile.ZIP_DEFLATED:
                check_expansion(member.file_size, member.compress_size)
            with archive.open(member) as stream:
                beginning = io.BytesIO(stream.read(_MAX_HEADER))
            shape, fortran_order, dtype = _read_header(beginning)
            header = beginning.tell()
            if dtype == _NAMELESS_BFLOAT16:
                dtype = np.dtype(ml_dtypes.bfloat16)
            # bfloat16 is of kind V, too, but has a type of numbers.
            if dtype.hasobject or (dtype.kind == "V" and dtype.type is np.void):
                raise ValueError("it holds Python objects or records, which are not loaded; save plain arrays")
            announced = math.prod(shape) * dtype.itemsize
            # Of strings of no length there could be any number.
            if announced != member.file_size - header or min(shape, default=1) < 0 or not dtype.itemsize:
                raise ValueError(f"shape {list(shape)} of {dtype} does not agree with its length")
            if member.compress_type == zipfile.ZIP_STORED and announced:
                offset = _verified_offset(path, archive, member) + header
                return np.memmap(path, dtype, "r", offset, shape, "F" if fortran_order else "C")
            with archive.open(member) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False).view(dtype)
    except MemoryError:
        raise
    except Exception as error:
        # The bytes are a stranger's: whatever the readers trip over, the file is the cause.
        raise DataError(f"{path}: the array {name!r} cannot be read: {_line(error)}") from error


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the header of a `.npy` member."""
    version = np.lib.format.read_magic(stream)
    try:
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(stream)
        if version == (2, 0):
            return np.lib.format.read_array_header_2_0(stream)
    except MemoryError:
        # What Python's parser says of a header like "-----...": it is read as a literal.
        raise ValueError("its header is nested too deeply") from None
    raise ValueError(f"version {version} of the .npy format, expected (1, 0) or (2, 0)")


def _verified_offset(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Find where a stored member begins in the file, once its checksum is known to be right."""
    with archive.open(member) as stream:
        # A map bypasses the checksum, so it is compared here, in one pass that keeps nothing.
        while stream.read(_CHUNK):
            pass
    with path.open("rb") as file:
        file.seek(member.header_offset)
        local = file.read(_LOCAL_HEADER)
    name_length, extra_length = np.frombuffer(local[26:30], "<u2").tolist()
    return member.header_offset + _LOCAL_HEADER + name_length + extra_length


def _line(error: Exception) -> str:
    """Put the text of an error on one line."""
    return " ".join(str(error).split()) or type(error).__name__
