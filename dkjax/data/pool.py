"""Records that lie in several places, in memory or mapped from files, gathered as if they lay in one."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from dkjax.data.source import Indices, Records, positions
from dkjax.errors import DataError

_THREADS = min(8, os.cpu_count() or 1)
_BYTES_A_THREAD = 1 << 20
"""Less than this is not worth a thread."""


class Pool:
    """Pieces of records behind one another, read by position.

    No piece is copied or read before it is asked for. Labels are small and are brought together at once.

    Args:
        pieces: records whose images have one shape.

    Raises:
        DataError: no piece, or images of different shapes.

    Guarantees:
        - a batch is what NumPy would gather from all pieces concatenated, a copy
          (`test_pool.py::test_equals_concatenation`).
    """

    def __init__(self, pieces: Sequence[Records]) -> None:
        if not pieces:
            raise DataError("there are no records: nothing was uploaded")
        shapes = {piece["image"].shape[1:] for piece in pieces}
        if len(shapes) > 1:
            one, other = sorted(shapes)[:2]
            raise DataError(f"images of shape {list(one)} and {list(other)} cannot be mixed: encrypt them alike")
        self.pieces = tuple(pieces)
        self.image_shape = shapes.pop()
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
        images = np.empty((len(chosen), *self.image_shape), np.uint8)
        parts = max(1, min(_THREADS, images.nbytes // _BYTES_A_THREAD))
        if parts == 1:
            self._gather(chosen, images)
        else:
            # NumPy lets go of the interpreter while it copies.
            with ThreadPoolExecutor(parts) as threads:
                list(threads.map(self._gather, np.array_split(chosen, parts), np.array_split(images, parts)))
        return {"image": images, "label": self.labels[chosen]}

    def _gather(self, chosen: NDArray[np.int64], images: NDArray[np.uint8]) -> None:
        piece_of = np.searchsorted(self._firsts, chosen, side="right") - 1
        for number in np.unique(piece_of):
            rows = np.flatnonzero(piece_of == number)
            images[rows] = self._images[number][chosen[rows] - self._firsts[number]]
