"""Writing one shard as its records come: what is written need not be held in memory."""

import contextlib
import hashlib
import mmap
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from dkjax.dkds import layout
from dkjax.dkds.manifest import ShardEntry
from dkjax.dkds.shard import metadata_of, record_crcs
from dkjax.formats.safetensors import beginning
from dkjax.runtime.files import whole_file
from dkjax.sources.source import Records

_PIECE = 1 << 20


class GrowingShard:
    """A shard in the making, from `growing_shard`.

    In its file, the checksums of all records precede the images. So images are written behind the room for as many
    records as there may be.

    Attributes:
        filled: how many records it has so far.
        entry: its entry in the manifest, once it is finished.
    """

    entry: ShardEntry

    def __init__(self, file: IO[bytes], ids: NDArray[np.uint8], image_shape: tuple[int, ...], metadata: dict[str, str]):
        self.filled = 0
        self._file = file
        self._ids = ids
        self._image_shape = image_shape
        self._metadata = metadata
        self._labels = np.empty(len(ids), "<i4")
        self._crcs = np.empty(len(ids), "<u4")
        self._file.seek(self._images_at(len(ids)))

    def append(self, records: Records) -> None:
        """Write records behind those that are there: encrypted images and labels."""
        images = np.ascontiguousarray(records["image"])
        rows = slice(self.filled, self.filled + len(records["label"]))
        self._labels[rows] = records["label"]
        self._crcs[rows] = record_crcs(images, self._labels[rows], self._ids[rows])
        self._file.write(images.reshape(-1).data)
        self.filled = rows.stop

    def finish(self, path: Path) -> None:
        """Write what precedes the images, and hash the file, which will have the name `path`."""
        before, now = self._images_at(len(self._ids)), self._images_at(self.filled)
        end = self._file.tell()
        if before != now:  # some records could not be read
            for at in range(before, end, _PIECE):
                self._file.seek(at)
                piece = self._file.read(min(_PIECE, end - at))
                self._file.seek(at - before + now)
                self._file.write(piece)
            self._file.truncate(end - before + now)
        self._file.seek(0)
        self._file.write(self._beginning(self.filled))
        for array in (self._labels, self._crcs, self._ids):
            self._file.write(array[: self.filled].tobytes())
        self._file.flush()
        descriptor = self._file.fileno()
        # It goes to the disk while it is hashed.
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as written, ThreadPoolExecutor(1) as threads:
            on_its_way = threads.submit(os.fsync, descriptor)
            digest = hashlib.sha256(written).hexdigest()
            on_its_way.result()
            self.entry = ShardEntry(file=path.name, sha256=digest, bytes=len(written), records=self.filled)

    def _images_at(self, records: int) -> int:
        return len(self._beginning(records)) + records * layout.RECORD_BYTES

    def _beginning(self, records: int) -> bytes:
        return _beginning(records, self._image_shape, self._metadata)


def _beginning(records: int, image_shape: tuple[int, ...], metadata: dict[str, str]) -> bytes:
    u1, i4, u4 = (np.dtype(name) for name in ("u1", "i4", "u4"))
    tensors = {"label": ((records,), i4), "crc32": ((records,), u4), "id": ((records, layout.ID_BYTES), u1)}
    return beginning(tensors | {"image": ((records, *image_shape), u1)}, metadata)


def entry_of_records(number: int, records: Records, ids: NDArray[np.uint8], data_set_id: str) -> ShardEntry:
    """Describe the shard that `write_shard` would write, without writing it; arguments as there.

    Guarantees:
        - the entry is that of the file (`test_growing_shard.py::test_the_entry_without_the_file`).
    """
    image, label = np.ascontiguousarray(records["image"]), records["label"].astype("<i4")
    parts: list[bytes | memoryview] = [
        _beginning(len(label), image.shape[1:], metadata_of(data_set_id, number)),
        label.tobytes(),
        record_crcs(image, label, ids).astype("<u4").tobytes(),
        ids.tobytes(),
        image.reshape(-1).data,
    ]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    size = sum(len(part) for part in parts)
    return ShardEntry(file=layout.shard_name(number), sha256=digest.hexdigest(), bytes=size, records=len(label))


@contextlib.contextmanager
def growing_shard(
    folder: Path, number: int, ids: NDArray[np.uint8], image_shape: tuple[int, ...], data_set_id: str
) -> Iterator[GrowingShard]:
    """Let a shard be written; it appears whole at the end of the block, or not at all if the block raises.

    Args:
        folder: the data set's folder.
        number: which shard, from 0.
        ids: uint8[n, 16], one for each record that there may be; the first so many are used.
        image_shape: `(H, W, C)`.
        data_set_id: 32 hexadecimal digits.

    Yields:
        The shard, to which records are appended. The block may be left on another thread.

    Guarantees:
        - the bytes do not depend on how many records came at a time, nor on how many might have come
          (`test_growing_shard.py::test_the_same_bytes_however_they_come`).
        - if the block raises, nothing is left (`test_growing_shard.py::test_nothing_is_left_of_a_part`).
    """
    path = folder / layout.shard_name(number)
    with whole_file(path) as unfinished, open(unfinished, "x+b") as file:
        shard = GrowingShard(file, ids, image_shape, metadata_of(data_set_id, number))
        yield shard
        shard.finish(path)


def write_shard(folder: Path, number: int, records: Records, ids: NDArray[np.uint8], data_set_id: str) -> ShardEntry:
    """Write a shard whose records are all there; arguments as for `growing_shard`.

    Returns:
        The shard's entry in the manifest.
    """
    with growing_shard(folder, number, ids, records["image"].shape[1:], data_set_id) as shard:
        shard.append(records)
    return shard.entry
