"""Is an encrypted data set whole? What the server asks before it trains."""

from collections.abc import Callable, Sequence
from pathlib import Path

from dkjax.data.store.data_set import EncryptedDataSet, open_data_set
from dkjax.data.store.shard import file_sha256
from dkjax.errors import DamagedDataSetError, DataError

Progress = Callable[[int, int], None]
"""Called with the bytes read so far and in all."""


def require_whole(
    data_sets: Sequence[Path], progress: Progress = lambda done, total: None
) -> tuple[EncryptedDataSet, ...]:
    """Open encrypted data sets for training, all of them whole.

    Args:
        data_sets: their folders.
        progress: called as bytes are read.

    Returns:
        The data sets, open, in the same order.

    Raises:
        DamagedDataSetError: one of them is not what was written.
        DataError: one was given twice.
    """
    opened = tuple(open_data_set(path) for path in data_sets)
    seen: dict[str, Path] = {}
    for data_set in opened:
        if data_set.manifest.id in seen:
            raise DataError(f"{data_set.path} is the same data set as {seen[data_set.manifest.id]}: give it once")
        seen[data_set.manifest.id] = data_set.path
    total = sum(entry.bytes for data_set in opened for entry in data_set.manifest.shards)
    done = 0
    for data_set in opened:
        for number, entry in enumerate(data_set.manifest.shards):
            file = data_set.path / entry.file
            if file_sha256(file) != entry.sha256:
                raise DamagedDataSetError("shard-hash", f"{file} is damaged: copy it again", shard=number)
            done += entry.bytes
            progress(done, total)
    return opened
