"""Encrypted data sets of random bytes, to be read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dkjax.cipher import schemes
from dkjax.dkds import EncryptedDataSet, layout, open_data_set, open_writer
from dkjax.dkds.manifest import describe
from dkjax.sources.source import Records


def write_random(
    path: Path,
    shape: tuple[int, int, int],
    images: int,
    *,
    block_size: int,
    num_classes: int = 10,
    also: Callable[[Records], None] = lambda shard: None,
) -> EncryptedDataSet:
    """Write a data set of random images and labels, and read it once, so that it lies in the page cache.

    Args:
        path: where.
        shape: `(H, W, C)` of an image.
        images: how many.
        block_size: of the scheme that it is said to be encrypted by.
        num_classes: of the labels.
        also: given each shard as it is written.

    Returns:
        The data set, in shards as large as `dkjax encrypt` makes them.
    """
    description = describe(schemes.disposable(block_size), shape, [str(label) for label in range(num_classes)])
    random = np.random.default_rng(0)
    shard_images = layout.default_shard_images(shape)
    with open_writer(path, description, client=None, num_items=images, shard_images=shard_images, request={}) as writer:
        for number in range(writer.num_shards):
            count = len(writer.items_of(number))
            shard: Records = {
                "image": random.integers(0, 256, (count, *shape), np.uint8),
                "label": random.integers(0, num_classes, count, np.int32),
            }
            writer.add(number, shard)
            also(shard)
        writer.commit()
    data_set = open_data_set(path)
    for piece in data_set.pool.pieces:
        piece["image"].sum(dtype=np.int64)
    return data_set
