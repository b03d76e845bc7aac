"""Small encrypted data sets for tests: digits, divided among clients."""

from pathlib import Path
from typing import Any

import numpy as np

from dkjax.cipher import schemes
from dkjax.client.data_set import Order, encrypt_data_set
from dkjax.config import KeysConfig
from dkjax.dkds import Part
from dkjax.sources import ArraySource, Source, Subset, open_source

KEYS = KeysConfig(mode="reproducible", seed=3)


def digits(count: int, *, split: Any = "train") -> Source:
    return Subset(open_source("digits", split, image_size=(8, 8)), np.arange(count))


def encrypted(
    path: Path,
    source: Source | None = None,
    *,
    client: str | None = None,
    block_size: int = 4,
    keys: KeysConfig = KEYS,
    shard_images: int = 10,
    part: Part | None = None,
    **scheme: int | str,
) -> Path:
    """Encrypt a source into a data set whose client is called like the file."""
    order = Order(
        scheme=schemes.disposable(block_size, **scheme),
        keys=keys,
        client=client or path.stem,
        shard_images=shard_images,
        part=part or Part(),
    )
    encrypt_data_set(source or digits(24), path, order)
    return path


def arrays(count: int, classes: tuple[str, ...], shape: tuple[int, int, int] = (8, 8, 1)) -> ArraySource:
    rng = np.random.default_rng(count)
    return ArraySource(rng.integers(0, 256, (count, *shape), np.uint8), np.arange(count) % len(classes), classes)
