"""Small encrypted data sets and what is in them, for the tests of conversion."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dkjax.dkds import Manifest, open_data_set

Make = Callable[..., Path]

CLASS_NAMES = ["cat", "../dog", "a/b", "ä" * 250, "10", "2"]


def contents(path: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def records_of(path: Path) -> tuple[Manifest, np.ndarray, np.ndarray, list[str]]:
    """Manifest, images, labels and ids of a data set, in order."""
    data_set = open_data_set(path)
    ids = [row.tobytes().hex() for shard in data_set.shards for row in shard.id]
    records = data_set[:]
    return data_set.manifest, records["image"], records["label"], ids
