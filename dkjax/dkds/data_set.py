"""Reading an encrypted data set where it lies."""

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dkjax.dkds import layout
from dkjax.dkds.manifest import Manifest, parse_manifest
from dkjax.dkds.shard import Shard, open_shard
from dkjax.errors import DamagedDataSetError
from dkjax.input.record_pool import RecordPool
from dkjax.runtime.files import LOCK
from dkjax.sources.source import Indices, Records, Skipped


@dataclasses.dataclass(frozen=True)
class EncryptedDataSet:
    """An encrypted data set, open for reading; a `dkjax.sources.Source`.

    Attributes:
        path: its folder.
        manifest: what it says of itself.
        shards: mapped, in order.
    """

    path: Path
    manifest: Manifest
    shards: tuple[Shard, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(H, W, C)` of every image."""
        return self.manifest.image_shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label."""
        return tuple(self.manifest.class_names)

    @property
    def bytes(self) -> int:
        """Of all shards."""
        return sum(entry.bytes for entry in self.manifest.shards)

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Nothing: what could not be read was left out when the data set was written."""
        return ()

    @cached_property
    def pool(self) -> RecordPool:
        """All records, gathered from the shards without copying them first."""
        pieces: list[Records] = [{"image": shard.image, "label": shard.label} for shard in self.shards]
        return RecordPool(pieces, [shard.file for shard in self.shards])

    @property
    def labels(self) -> NDArray[np.int32]:
        """All labels, int32[n]."""
        return self.pool.labels

    def __len__(self) -> int:
        return self.manifest.records

    def __getitem__(self, indices: Indices) -> Records:
        return self.pool[indices]


def open_data_set(path: Path) -> EncryptedDataSet:
    """Open an encrypted data set and check everything about it but the bytes of its records.

    Args:
        path: the folder `NAME.dkds`.

    Returns:
        The data set; its images are mapped from the disk, not read.

    Raises:
        DamagedDataSetError: there is no such folder, it was never finished, or it is not what was written.
            `dkjax.dkds.verify` checks the bytes of the records too.
    """
    manifest = read_manifest(path)
    if (packed := packed_problem(path)) is not None:
        raise packed
    refuse_strangers(path, manifest)
    shards = tuple(open_shard(path, number, manifest) for number in range(len(manifest.shards)))
    return EncryptedDataSet(path, manifest, shards)


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of a finished data set.

    Args:
        path: the folder.

    Returns:
        The checked manifest.

    Raises:
        DamagedDataSetError: kind `absent`, `uncommitted`, `commit` or `manifest`.
    """
    if not path.is_dir():
        raise DamagedDataSetError(
            "absent", f"there is no encrypted data set {path}: expected a folder that dkjax encrypt wrote"
        )
    commit = _read(path / layout.COMMIT, 256)
    begun = (path / layout.PLAN).exists()
    if path.suffix != layout.SUFFIX and not begun and not (path / layout.MANIFEST).exists():
        raise DamagedDataSetError(
            "absent", f"{path} is no encrypted data set: dkjax encrypt {path} --out NAME.dkds makes one of plain images"
        )
    if commit is None or begun:
        way_out = "run the dkjax encrypt that began it again" if begun else "copy it again, COMMIT last"
        raise DamagedDataSetError("uncommitted", f"{path} is not a finished data set: {way_out}")
    data = _read(path / layout.MANIFEST, layout.MAX_MANIFEST_BYTES)
    if data is None:
        raise DamagedDataSetError("manifest", f"{path / layout.MANIFEST} is missing: copy it again")
    if len(data) > layout.MAX_MANIFEST_BYTES:
        limit = layout.MAX_MANIFEST_BYTES
        raise DamagedDataSetError("manifest", f"{path / layout.MANIFEST} is longer than {limit} bytes: copy it again")
    if commit != commit_of(data):
        raise DamagedDataSetError("commit", f"{path}: COMMIT does not belong to the manifest: copy both again")
    return parse_manifest(data, str(path / layout.MANIFEST))


def commit_of(manifest: bytes) -> bytes:
    """Return what COMMIT holds for a manifest: its SHA-256 in hexadecimal digits, and a line end."""
    return (hashlib.sha256(manifest).hexdigest() + "\n").encode()


def packed_problem(path: Path) -> DamagedDataSetError | None:
    """Say what to do with a data set that is packed; None if it is not."""
    if not layout.is_packed(path):
        return None
    way_out = f"dkjax convert {path} --to dkds --out NAME{layout.SUFFIX} unpacks it"
    return DamagedDataSetError("packed", f"{path} is packed, as it is handed over: {way_out}")


def refuse_strangers(path: Path, manifest: Manifest) -> None:
    """Raise `DamagedDataSetError` if something is in the folder that does not belong there."""
    if strangers := strangers_in(path, manifest):
        raise DamagedDataSetError("stranger", f"{path / strangers[0]} does not belong into a data set: remove it")


def strangers_in(path: Path, manifest: Manifest) -> list[str]:
    """List what lies in the folder and does not belong there, sorted."""
    name_of = layout.packed_name if layout.is_packed(path) else layout.shard_name
    own = {layout.MANIFEST, layout.COMMIT, *map(name_of, range(len(manifest.shards)))}
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if entry.name not in own and not _is_lock(entry))


def _is_lock(entry: os.DirEntry[str]) -> bool:
    """Say whether a file is what a writer that was killed left; a lock is empty."""
    return entry.name == LOCK and entry.is_file(follow_symlinks=False) and not entry.stat().st_size


def _read(path: Path, limit: int) -> bytes | None:
    """Read a file that may not be there; of one that is too long, one byte more than the limit."""
    # A pipe of that name would keep us waiting.
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        return file.read(min(limit, path.stat().st_size) + 1)
