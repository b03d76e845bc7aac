"""Packed shards: a data set as it is handed over, small where the values of each block are sorted.

A packed data set is an encrypted data set with the same manifest and COMMIT whose shards are files of frames,
`shard-00000.dkpack` (`dkjax.formats.frames`). A frame holds the labels of its records (four bytes each, little-endian),
their ids (16 bytes each), and the values of each block of each image as differences from the one before, the first from
0. Where values ascend, a difference is so many zeros and a one, which is small (docs/convert.md has the numbers);
elsewhere it is a byte, modulo 256. A data set is unpacked once, to the same bytes, before anything is trained on it.
"""

import dataclasses
import zlib
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dkjax.cipher.array_blocks import from_blocks, to_blocks
from dkjax.dkds import layout
from dkjax.dkds.data_set import EncryptedDataSet, open_data_set, read_manifest, refuse_strangers
from dkjax.dkds.growing_shard import entry_of_records, write_shard
from dkjax.dkds.manifest import Manifest
from dkjax.dkds.shard import map_shard, records_in
from dkjax.errors import DamagedDataSetError
from dkjax.formats.frames import (
    DIFFERENCES,
    LABEL_BYTES,
    MAGIC,
    MOST_RECORDS,
    UNARY,
    Frame,
    deflate,
    frame_of,
    frames_in,
    inflate,
    sizes_of,
    unary_bytes,
)
from dkjax.formats.strict_json import one_line
from dkjax.runtime.files import whole_file
from dkjax.runtime.threads import on_all_cores
from dkjax.sources.source import Indices, Records, positions

_AT_ONCE = 8 * MOST_RECORDS
_BEGINNING = 1 << 16
"""More of a frame than the labels take, which come first."""


def packed_bytes(images: np.ndarray, block_size: int) -> int:
    """Return how many bytes uint8[n, H, W, C] take when they are packed, without labels and ids."""
    return len(deflate(*_coded(images, block_size)))


def write_packed_shard(folder: Path, number: int, records: Records, ids: NDArray[np.uint8], block_size: int) -> None:
    """Write a packed shard; it appears whole or not at all.

    Args:
        folder: the data set's folder.
        number: which shard, from 0.
        records: encrypted images uint8[n, H, W, C] and labels.
        ids: uint8[n, 16].
        block_size: of the scheme.
    """

    def frame(first: int) -> bytes:
        rows = slice(first, first + MOST_RECORDS)
        label = records["label"][rows].astype("<i4")
        coding, values = _coded(records["image"][rows], block_size)
        return frame_of(len(label), coding, label.tobytes() + ids[rows].tobytes() + values)

    count = len(records["label"])
    with whole_file(folder / layout.packed_name(number)) as unfinished, open(unfinished, "xb") as file:
        file.write(MAGIC)
        for first in range(0, count, _AT_ONCE):
            file.writelines(on_all_cores(frame, range(first, min(first + _AT_ONCE, count), MOST_RECORDS)))


def pack_shard(folder: Path, number: int, block_size: int) -> None:
    """Put a packed shard in the place of one that was written before."""
    path = folder / layout.shard_name(number)
    shard = map_shard(path, number)
    write_packed_shard(folder, number, {"image": shard.image, "label": shard.label}, shard.id, block_size)
    path.unlink()


def read_packed_shard(
    path: Path, number: int, image_shape: tuple[int, int, int], block_size: int, most: int
) -> tuple[Records, NDArray[np.uint8]]:
    """Read a packed shard into memory.

    Args:
        path: its file.
        number: which shard, from 0.
        image_shape: `(H, W, C)`.
        block_size: of the scheme.
        most: how many records it may have.

    Returns:
        The records, and their ids uint8[n, 16].

    Raises:
        DamagedDataSetError: kind `shard-missing` or `packed-shard`.

    Guarantees:
        - no frame unpacks to more than its records take, and no shard to more than `most`
          (`test_packed.py::test_no_frame_unpacks_to_more_than_its_records`).
    """
    if not path.is_file():
        raise DamagedDataSetError("shard-missing", f"{path} is missing: copy it again", shard=number)
    frames = _frames(path, number, image_shape, block_size)
    try:
        count = sum(frame.records for frame in frames)
        if count > most:
            raise ValueError(f"it has {count} records, at most {most} were expected")
        label, ids = np.empty(count, np.int32), np.empty((count, layout.ID_BYTES), np.uint8)
        image = np.empty((count, *image_shape), np.uint8)

        def unpack(first: int, frame: Frame) -> None:
            rows = slice(first, first + frame.records)
            label[rows], ids[rows], image[rows] = _unpacked(path, frame, image_shape, block_size)

        firsts = np.cumsum([0, *(frame.records for frame in frames)]).tolist()
        on_all_cores(lambda task: unpack(*task), zip(firsts, frames, strict=False))
    except ValueError as error:
        raise _damaged(path, number, error) from None
    return {"image": image, "label": label}, ids


def read_packed(path: Path, number: int, manifest: Manifest) -> tuple[Records, NDArray[np.uint8]]:
    """Read a packed shard of a data set, exactly as it was before it was packed.

    Args:
        path: the data set's folder.
        number: which shard, from 0.
        manifest: of the data set.

    Returns:
        The records, and their ids uint8[n, 16].

    Raises:
        DamagedDataSetError: kind `shard-missing` or `packed-shard`.

    Guarantees:
        - the shard that these records make has the SHA-256 of the manifest, or there is an error
          (`test_packed.py::test_damages_are_noticed`).
    """
    file, entry = path / layout.packed_name(number), manifest.shards[number]
    block_size = manifest.scheme.block_size
    records, ids = read_packed_shard(file, number, manifest.image_shape, block_size, entry.records)
    if entry_of_records(number, records, ids, manifest.id) != entry:
        raise _damaged(file, number, ValueError("its records are not those of the manifest"))
    return records, ids


def unpack_in_place(path: Path, manifest: Manifest) -> None:
    """Put the shards in the place of the packed ones, in memory of one shard.

    Raises:
        DamagedDataSetError: kind `shard-missing` or `packed-shard`.
    """
    for number in range(len(manifest.shards)):
        write_shard(path, number, *read_packed(path, number, manifest), manifest.id)
        (path / layout.packed_name(number)).unlink()


@dataclasses.dataclass(frozen=True)
class PackedDataSet:
    """A packed data set, open for a look: its labels, and the images that are asked for.

    Attributes:
        path: its folder.
        manifest: what it says of itself.
        frames: for each frame the number of its shard, and where it is in that file.
    """

    path: Path
    manifest: Manifest
    frames: tuple[tuple[int, Frame], ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label."""
        return tuple(self.manifest.class_names)

    @property
    def bytes(self) -> int:
        """Of all packed shards."""
        return sum((self.path / layout.packed_name(i)).stat().st_size for i in range(len(self.manifest.shards)))

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """All labels, int32[n].

        Raises:
            DamagedDataSetError: kind `packed-shard`; or `label`: one lies outside of the classes.
        """
        found = np.concatenate([self._labels(number, frame) for number, frame in self.frames])
        if ((found < 0) | (found >= len(self.class_names))).any():
            text = f"{self.path}: a label lies outside 0..{len(self.class_names) - 1}: ask for it anew"
            raise DamagedDataSetError("label", text)
        return found

    def __len__(self) -> int:
        return self.manifest.records

    def __getitem__(self, indices: Indices) -> Records:
        firsts = np.cumsum([0, *(frame.records for _, frame in self.frames)])
        chosen = positions(indices, len(self))
        image = np.empty((len(chosen), *self.manifest.image_shape), np.uint8)
        label = np.empty(len(chosen), np.int32)
        frame_of_each = np.searchsorted(firsts, chosen, side="right") - 1
        for which in np.unique(frame_of_each).tolist():
            number, frame = self.frames[which]
            path, rows = self.path / layout.packed_name(number), frame_of_each == which
            try:
                labels, _, images = _unpacked(path, frame, self.manifest.image_shape, self.manifest.scheme.block_size)
            except ValueError as error:
                raise _damaged(path, number, error) from None
            inside = chosen[rows] - firsts[which]
            image[rows], label[rows] = images[inside], labels[inside]
        return {"image": image, "label": label}

    def _labels(self, number: int, frame: Frame) -> NDArray[np.int32]:
        path = self.path / layout.packed_name(number)
        with open(path, "rb") as file:
            file.seek(frame.start)
            data = file.read(min(frame.length, _BEGINNING))
        try:
            found = zlib.decompressobj().decompress(data, LABEL_BYTES * frame.records)
            return np.frombuffer(found, "<i4", frame.records).astype(np.int32)
        except (ValueError, zlib.error) as error:
            raise _damaged(path, number, error) from None


def open_packed(path: Path) -> PackedDataSet:
    """Open a packed data set for a look; `dkjax.dkds.verify` reads every byte.

    Args:
        path: the folder `NAME.dkds`.

    Raises:
        DamagedDataSetError: it was never finished, or it is not what was written.
    """
    manifest = read_manifest(path)
    refuse_strangers(path, manifest)
    frames: list[tuple[int, Frame]] = []
    for number, entry in enumerate(manifest.shards):
        file = path / layout.packed_name(number)
        if not file.is_file():
            raise DamagedDataSetError("shard-missing", f"{file} is missing: copy it again", shard=number)
        found = _frames(file, number, manifest.image_shape, manifest.scheme.block_size)
        if (count := sum(frame.records for frame in found)) != entry.records:
            raise _damaged(file, number, ValueError(f"it has {count} records, not {entry.records}"))
        frames += ((number, frame) for frame in found)
    return PackedDataSet(path, manifest, tuple(frames))


def open_for_a_look(path: Path) -> EncryptedDataSet | PackedDataSet:
    """Open a data set, packed or not, for its labels and some of its images; as `open_data_set` and `open_packed`."""
    return open_packed(path) if layout.is_packed(path) else open_data_set(path)


def records_of_file(path: Path, image_shape: tuple[int, int, int], block_size: int) -> int:
    """Return how many records a shard holds, packed or not, without reading them.

    Raises:
        DamagedDataSetError: kind `shard-header` or `packed-shard`.
    """
    number = int(path.stem.removeprefix("shard-"))
    if path.name != layout.packed_name(number):
        return records_in(path, number)
    return sum(frame.records for frame in _frames(path, number, image_shape, block_size))


def _frames(path: Path, number: int, image_shape: tuple[int, int, int], block_size: int) -> list[Frame]:
    try:
        with open(path, "rb") as file:
            return list(frames_in(file, sizes_of(image_shape, block_size)))
    except ValueError as error:
        raise _damaged(path, number, error) from None


def _coded(images: np.ndarray, block_size: int) -> tuple[int, bytes]:
    """Code the values of each block by their differences, and say how."""
    values = to_blocks(images, block_size)
    if (values[..., 1:] < values[..., :-1]).any():
        differences = values.copy()
        differences[..., 1:] -= values[..., :-1]
        return DIFFERENCES, differences.tobytes()
    blocks = values.reshape(-1, values.shape[2])
    bits = np.zeros((len(blocks), 8 * unary_bytes(blocks.shape[1])), np.uint8)
    # A value's one is behind a zero for each step up to it, and the ones of the values before.
    ones = blocks + (np.arange(blocks.shape[1]) + np.arange(len(blocks))[:, None] * bits.shape[1])
    bits.reshape(-1)[ones.reshape(-1)] = 1
    return UNARY, np.packbits(bits, axis=1, bitorder="little").tobytes()


def _decoded(coding: int, coded: NDArray[np.uint8], count: int, num_values: int) -> NDArray[np.uint8]:
    """Return the values uint8[count, N, P]; raises `ValueError` for a code that is none."""
    if coding == DIFFERENCES:
        return np.cumsum(coded.reshape(count, -1, num_values), axis=2, dtype=np.uint8)
    bits = np.unpackbits(coded.reshape(-1, unary_bytes(num_values)), axis=1, bitorder="little")
    if (bits.sum(axis=1, dtype=np.int64) != num_values).any():
        raise ValueError("a block has more or fewer values than it should have")
    ones = np.flatnonzero(bits).reshape(len(bits), num_values)
    ones -= np.arange(num_values) + np.arange(len(bits))[:, None] * bits.shape[1]
    if (ones > 255).any():
        raise ValueError("a value is above 255")
    return ones.astype(np.uint8).reshape(count, -1, num_values)


def _unpacked(
    path: Path, frame: Frame, image_shape: tuple[int, int, int], block_size: int
) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.uint8]]:
    with open(path, "rb") as file:
        file.seek(frame.start)
        data = file.read(frame.length)
    count = frame.records
    found = np.frombuffer(inflate(data, count * sizes_of(image_shape, block_size)[frame.coding]), np.uint8)
    label, ids, coded = np.split(found, np.cumsum([LABEL_BYTES * count, layout.ID_BYTES * count]))
    values = _decoded(frame.coding, coded, count, block_size**2 * image_shape[2])
    image = from_blocks(values, image_shape, block_size)
    return label.view("<i4").astype(np.int32), ids.reshape(count, layout.ID_BYTES), image


def _damaged(path: Path, number: int, error: Exception) -> DamagedDataSetError:
    text = f"{path} is damaged ({one_line(str(error))}): copy it again"
    return DamagedDataSetError("packed-shard", text, shard=number)
