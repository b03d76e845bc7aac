"""Records in several arrays, in memory or memory-mapped, gathered as if they were one array."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dkjax.errors import DataError
from dkjax.runtime.machine import cpu_cores
from dkjax.runtime.mapped_file import MappedFile
from dkjax.sources.source import Indices, Records, positions

_BYTES_A_THREAD = 4 << 20
"""Less than this is not worth a thread."""

_SMALL_IMAGE = 16 << 10
"""Below this size Python's per-image overhead exceeds the copy, so threads do not help."""

_ALIGNMENT = 64
"""Alignment in bytes that XLA for CPU requires of an array."""


class RecordPool:
    """Concatenated pieces of records, read by position.

    No piece is copied or read before it is requested. Labels are small and are concatenated at once.

    Args:
        pieces: records whose images have one shape.
        files: where pieces are mapped from.

    Raises:
        DataError: no piece, or images of different shapes.

    Guarantees:
        - a batch is what NumPy would gather from all pieces concatenated
          (`test_record_pool.py::test_equals_concatenation`).
        - a batch is new memory, never reused: `jax.device_put` on a CPU keeps using it instead of a copy
          (`test_record_pool.py::test_no_batch_is_overwritten`).
    """

    def __init__(self, pieces: Sequence[Records], files: Sequence[MappedFile] = ()) -> None:
        if not pieces:
            raise DataError("there are no records: nothing was uploaded")
        shapes = {piece["image"].shape[1:] for piece in pieces}
        if len(shapes) > 1:
            one, other = sorted(shapes)[:2]
            raise DataError(f"images of shape {list(one)} and {list(other)} cannot be mixed: encrypt them alike")
        self.pieces = tuple(pieces)
        self.files = tuple(files)
        self.image_shape: tuple[int, int, int] = shapes.pop()
        self.labels: NDArray[np.int32] = np.concatenate([piece["label"] for piece in pieces])
        self._images = [piece["image"] for piece in pieces]
        self._firsts = np.cumsum([0, *(len(image) for image in self._images)])

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def nbytes(self) -> int:
        """Bytes of all images and labels."""
        return sum(image.nbytes for image in self._images) + self.labels.nbytes

    def __getitem__(self, indices: Indices) -> Records:
        chosen = positions(indices, len(self))
        images = _room((len(chosen), *self.image_shape))
        small = images.nbytes < _SMALL_IMAGE * len(chosen)
        parts = 1 if small else min(_cores(), images.nbytes // _BYTES_A_THREAD)
        if parts <= 1:
            self._gather(chosen, images)
        else:
            # NumPy lets go of the interpreter while it copies an image.
            list(self._threads.map(self._gather, np.array_split(chosen, parts), np.array_split(images, parts)))
        return {"image": images, "label": self.labels[chosen]}

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_cores(), "gather")

    def _gather(self, chosen: NDArray[np.int64], images: NDArray[np.uint8]) -> None:
        if not images.size:
            return
        pieces = np.searchsorted(self._firsts, chosen, side="right") - 1
        rows = chosen - self._firsts[pieces]
        # One call copies image by image from all pieces: gathering piece by piece would copy everything twice.
        views = [self._images[piece][row] for piece, row in zip(pieces.tolist(), rows.tolist(), strict=True)]
        np.concatenate(views, out=images.reshape(-1, *self.image_shape[1:]))


def _room(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """New memory for images, aligned so that JAX on a CPU uses it without a copy."""
    size = int(np.prod(shape))
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % _ALIGNMENT
    return memory[first : first + size].reshape(shape)


def _cores() -> int:
    return min(8, cpu_cores())
