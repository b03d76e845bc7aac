"""Memory for secrets: of this process alone, overwritten when they are not needed any more."""

import ctypes
import mmap
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WIPE_ON_FORK = 18
"""`MADV_WIPEONFORK` of Linux, which Python's mmap does not name."""

_OFFSET = 4
"""Bytes before the words. JAX on a CPU shares memory that is aligned to 64 bytes; it has to copy these."""


_mlock: Any = getattr(ctypes.CDLL(None), "mlock", None)


class SecretWords:
    """Words of 32 bits in pages that hold nothing else.

    The pages are left out of core dumps and read as zeros in a forked process. They are kept out of swap where the
    system allows it (`RLIMIT_MEMLOCK`); whether it did is not told.

    Args:
        *shape: of the array.

    Guarantees:
        - `wipe` overwrites them, and so does the end of the object (`test_secret_memory.py::test_wiped`).
        - a forked process finds zeros (`test_secret_memory.py::test_a_forked_process_finds_zeros`).
    """

    __slots__ = ("__weakref__", "_finalizer", "words")

    def __init__(self, *shape: int) -> None:
        count = int(np.prod(shape, dtype=np.int64))
        pages = mmap.mmap(-1, _OFFSET + 4 * max(count, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for advice in (getattr(mmap, "MADV_DONTDUMP", None), _WIPE_ON_FORK):
            try:
                if advice is not None:
                    pages.madvise(advice)
            except OSError:  # an older kernel
                pass
        self.words: NDArray[np.uint32] = np.frombuffer(pages, np.uint32, count, _OFFSET).reshape(shape)
        _keep_out_of_swap(pages)
        self._finalizer = weakref.finalize(self, _overwrite, self.words)

    @property
    def wiped(self) -> bool:
        """Whether the words have been overwritten for good."""
        return not self._finalizer.alive

    def wipe(self) -> None:
        """Overwrite the words with zeros; again is no error."""
        self._finalizer()

    def __enter__(self) -> NDArray[np.uint32]:
        """Return the words."""
        return self.words

    def __exit__(self, *_: object) -> None:
        """Overwrite them."""
        self.wipe()


def overwrite_bytes(data: bytes) -> None:
    """Overwrite an object that Python takes for unchangeable. For secrets that nobody else refers to.

    Args:
        data: bytes that a call has just returned, of more than one byte; shorter ones are shared by all of Python.
    """
    if len(data) > 1:
        _overwrite(np.frombuffer(data, np.uint8))


def _overwrite(array: np.ndarray) -> None:
    ctypes.memset(array.ctypes.data, 0, array.nbytes)


def _keep_out_of_swap(pages: mmap.mmap) -> None:
    if _mlock is not None:
        _mlock(ctypes.c_void_p(np.frombuffer(pages, np.uint8).ctypes.data), ctypes.c_size_t(len(pages)))
