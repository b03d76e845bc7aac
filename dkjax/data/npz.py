"""Images in one NumPy archive: `image`, `label`, and if wanted `class_names`, `test_image`, `test_label`.

The archive may come from a stranger, so no pickle is ever loaded and no size is believed before it is checked. An
array that was stored without compression (`numpy.savez`) is mapped, not read: however large it is, memory stays small.
"""

import io
import math
import zipfile
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from dkjax.data.bombs import check_expansion
from dkjax.data.source import ArraySource
from dkjax.errors import DataError

_CHUNK = 1 << 20
_MAX_HEADER = 1 << 16
_MAX_CLASSES = 1 << 16
_LOCAL_HEADER = 30


def open_npz(
    path: Path, image_size: tuple[int, int] | None = None, channels: int | None = None
) -> dict[str, partial[ArraySource]]:
    """Open an archive of images.

    Args:
        path: the `.npz` file, with `image` uint8[n, H, W, C] or uint8[n, H, W], `label` integers [n], and optionally
            `class_names` strings [k], `test_image` and `test_label`.
        image_size: (H, W); as in the file if None.
        channels: 1 or 3; as in the file if None.

    Returns:
        A function that reads the images and returns the source, for `train` and, where the archive has test images,
        for `test`. Without `class_names` the classes are called 0, 1, ... up to the largest label.

    Raises:
        DataError: the file is missing or damaged, holds Python objects, or lacks an array. The functions raise it for
            arrays of the wrong dtype or shape.

    Guarantees:
        - Compressed or not, the images are the same (`tests/data/test_npz.py::test_round_trip`).
        - An uncompressed archive is not loaded into memory
          (`tests/data/test_npz.py::test_stored_images_are_mapped`).
        - A flipped bit is noticed (`tests/data/test_npz.py::test_flipped_bit_is_noticed`).
        - Pickles are refused (`tests/data/test_npz.py::test_pickle_is_refused`).
        - Memory is bounded by the images that there are (`tests/data/test_npz.py::test_bombs_are_refused`).
    """
    names = _names(path)
    for needed in ("image", "label", *(("test_image", "test_label") if {"test_image", "test_label"} & names else ())):
        if needed not in names:
            raise DataError(f"{path} has no array {needed!r}, only {', '.join(sorted(names)) or 'nothing'}")
    prefixes = {"train": "", "test": "test_"} if "test_image" in names else {"train": ""}
    labels = {split: _read(path, f"{prefix}label") for split, prefix in prefixes.items()}
    for split, array in labels.items():
        if array.dtype.kind not in "iu" or array.ndim != 1 or not array.size:
            raise DataError(
                f"{path}: {prefixes[split]}label must be integers of shape [n], got {array.dtype}{list(array.shape)}"
            )
    if "class_names" in names:
        class_names = _class_names(path)
    else:
        class_names = _numbered_classes(path, max(int(array.max()) for array in labels.values()))
    return {
        split: partial(_open_split, path, f"{prefix}image", labels[split], class_names, image_size, channels)
        for split, prefix in prefixes.items()
    }


def _open_split(
    path: Path,
    name: str,
    labels: np.ndarray,
    class_names: tuple[str, ...],
    image_size: tuple[int, int] | None,
    channels: int | None,
) -> ArraySource:
    """Read the images of one split."""
    return ArraySource(_read(path, name), labels, class_names, image_size, channels, name=f"{path} ({name})")


def _class_names(path: Path) -> tuple[str, ...]:
    """Read the names of the classes."""
    array = _read(path, "class_names")
    if array.dtype.kind != "U" or array.ndim != 1 or not array.size:
        raise DataError(
            f"{path}: class_names must be strings of shape [k], got {array.dtype}{list(array.shape)}; "
            "save numpy.array([...], dtype=str)"
        )
    if array.size > _MAX_CLASSES:
        raise DataError(f"{path} has {array.size} class_names, expected at most {_MAX_CLASSES}")
    return tuple(array.tolist())


def _numbered_classes(path: Path, largest: int) -> tuple[str, ...]:
    """Name the classes by their numbers, unless a single wild label would make millions of them."""
    if largest >= _MAX_CLASSES:
        raise DataError(
            f"{path} has label {largest}, and no class_names; expected labels below {_MAX_CLASSES}: "
            "correct the labels or add class_names"
        )
    return tuple(map(str, range(max(largest, 0) + 1)))


def _names(path: Path) -> set[str]:
    """List the arrays in an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
    except FileNotFoundError as error:
        raise DataError(f"no file {path}") from error
    except Exception as error:
        # A damaged directory makes `zipfile` raise more kinds of error than it documents.
        raise DataError(f"{path} is no NumPy archive: {_line(error)}; save it with numpy.savez") from error


def _read(path: Path, name: str) -> np.ndarray:
    """Read or map one array after checking that its header tells the truth."""
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
            if dtype.hasobject or dtype.kind == "V":
                raise ValueError("it holds Python objects or records, which are not loaded; save plain arrays")
            announced = math.prod(shape) * dtype.itemsize
            # Of strings of no length there could be any number.
            if announced != member.file_size - header or min(shape, default=1) < 0 or not dtype.itemsize:
                raise ValueError(f"shape {list(shape)} of {dtype} does not agree with its length")
            if member.compress_type == zipfile.ZIP_STORED and announced:
                offset = _verified_offset(path, archive, member) + header
                return np.memmap(path, dtype, "r", offset, shape, "F" if fortran_order else "C")
            with archive.open(member) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)
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
