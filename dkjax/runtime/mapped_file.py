"""Files mapped into memory, read-only, without a descriptor kept open for each.

NumPy's and Python's own maps keep one: a thousand shards would be more than a process may have open by default.
"""

import ctypes
import dataclasses
import mmap
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import DamagedDataSetError


@dataclasses.dataclass(frozen=True)
class MappedFile:
    """A file as it was when it was mapped, as far as the file system says.

    Attributes:
        path: where it is.
        size: in bytes.
        modified: when it was written last, in nanoseconds.
    """

    path: Path
    size: int
    modified: int


def map_file(path: Path) -> tuple[NDArray[np.uint8], MappedFile]:
    """Map a whole file.

    Args:
        path: the file, not empty.

    Returns:
        uint8[size], read-only, which stays mapped as long as an array uses it; and what the file is like.

    Raises:
        OSError: the file cannot be opened or mapped.

    Guarantees:
        - no descriptor stays open, and memory that no array uses is returned
          (`test_mapped_file.py::test_nothing_stays_open`).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        array = np.asarray(_Mapping(descriptor, found.st_size, path))
        return array, MappedFile(path, found.st_size, found.st_mtime_ns)
    finally:
        os.close(descriptor)


def require_unchanged(files: Iterable[MappedFile]) -> None:
    """Raise `DamagedDataSetError` if a file was written to, replaced or removed since it was mapped.

    The arrays would show what is written; nothing is read, so this costs microseconds a file.

    Args:
        files: from `map_file`.

    Guarantees:
        `test_mapped_file.py::test_a_change_is_noticed`.
    """
    for file in files:
        try:
            found = os.stat(file.path)
            now = (found.st_size, found.st_mtime_ns)
        except OSError:
            now = None
        if now != (file.size, file.modified):
            raise DamagedDataSetError(
                "changed",
                f"{file.path} was {'removed' if now is None else 'written to'} while it was in use: copy it again, and "
                "the same command goes on from what was finished before",
            )


class _Mapping:
    """The memory of a mapped file, which NumPy keeps alive as the base of its array."""

    def __init__(self, descriptor: int, size: int, path: Path) -> None:
        self._unmap = _libc().munmap
        address = _libc().mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
        if address == ctypes.c_void_p(-1).value:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
        self.__array_interface__ = {"version": 3, "typestr": "|u1", "shape": (size,), "data": (address, True)}

    def __del__(self) -> None:
        if (interface := self.__dict__.get("__array_interface__")) is not None:
            self._unmap(interface["data"][0], interface["shape"][0])


@cache
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_int64]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return libc
