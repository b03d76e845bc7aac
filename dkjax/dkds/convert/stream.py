"""Records on their way from one format into another: counted, checked and hashed as they pass."""

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dkjax.dkds import Manifest, layout
from dkjax.dkds.shard import record_tails
from dkjax.errors import DataError
from dkjax.sources.source import check_labels

_ROWS = 256
_BYTES = 32 << 20


class Chunk(NamedTuple):
    """Some records: `image` uint8[n, H, W, C], `label` int32[n], `id` uint8[n, 16]."""

    image: NDArray[np.uint8]
    label: NDArray[np.int32]
    id: NDArray[np.uint8]

    def rows(self, rows: slice) -> "Chunk":
        """Return some of the records."""
        return Chunk(self.image[rows], self.label[rows], self.id[rows])


class RecordStream:
    """The records of a data set, once, in order.

    Args:
        chunks: the records as they are read.
        manifest: what they should be.
        report: called with (records done, records in all) as they pass.
    """

    def __init__(
        self, chunks: Iterator[Chunk], manifest: Manifest, report: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        self._chunks = chunks
        self._manifest = manifest
        self._report = report
        self._hash = hashlib.sha256()
        self._count = 0
        self._rest = _nothing(manifest)

    @property
    def sha256(self) -> str:
        """The hash of all records that have passed.

        Each adds the bytes of its image, then its label as four bytes, little-endian, then its id. How they were cut
        into chunks makes no difference, nor does the format they came from.
        """
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[Chunk]:
        while len((chunk := self.take(rows_at_a_time(self._manifest))).label):
            yield chunk

    def take(self, count: int) -> Chunk:
        """Return the next records: so many, or all that are left."""
        pieces, missing = [_nothing(self._manifest)], count
        while missing:
            if not len(self._rest.label):
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                self._rest = self._passed(chunk)
            pieces.append(self._rest.rows(slice(missing)))
            self._rest = self._rest.rows(slice(missing, None))
            missing -= len(pieces[-1].label)
        return pieces[1] if len(pieces) == 2 else Chunk(*map(np.concatenate, zip(*pieces, strict=True)))

    def finish(self) -> None:
        """Raise `DataError` unless exactly the records that the manifest counts have passed."""
        left = len(self.take(1).label)
        if left or self._count != self._manifest.records:
            found = "more" if left else f"only {self._count}"
            raise DataError(f"expected {self._manifest.records} records and found {found}: records were added or lost")

    def _passed(self, chunk: Chunk) -> Chunk:
        image = np.ascontiguousarray(chunk.image)
        shape = self._manifest.image_shape
        if image.dtype != np.uint8 or image.shape[1:] != shape:
            found = f"{image.dtype}{list(image.shape[1:])}"
            raise DataError(f"expected images uint8{list(shape)}, found {found}: export the encrypted data set again")
        label = check_labels(chunk.label, len(self._manifest.class_names), "the records")
        for one, tail in zip(image, record_tails(label, chunk.id), strict=True):
            self._hash.update(one)
            self._hash.update(tail)
        self._count += len(label)
        self._report(min(self._count, self._manifest.records), self._manifest.records)
        return Chunk(image, label, chunk.id)


def rows_at_a_time(manifest: Manifest) -> int:
    """Say how many records are held at a time: as many as 32 MiB hold, and at most 256."""
    return max(1, min(_ROWS, _BYTES // int(np.prod(manifest.image_shape))))


def ids_of(names: list[str]) -> NDArray[np.uint8]:
    """Make ids of their 32 hexadecimal digits.

    Raises:
        ValueError: a name is no id.
    """
    rows = [bytes.fromhex(name) for name in names]
    if any(len(row) != layout.ID_BYTES for row in rows):
        raise ValueError("an id is not 32 hexadecimal digits")
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, layout.ID_BYTES)


def names_of(ids: NDArray[np.uint8]) -> list[str]:
    """Write ids as 32 hexadecimal digits."""
    return [row.tobytes().hex() for row in ids]


def _nothing(manifest: Manifest) -> Chunk:
    ids = np.empty((0, layout.ID_BYTES), np.uint8)
    return Chunk(np.empty((0, *manifest.image_shape), np.uint8), np.empty(0, np.int32), ids)
