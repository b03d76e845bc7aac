"""From records in memory or on disk to batches on the mesh."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from dkjax.data.sampling import StepOrder
from dkjax.data.source import Indexed, Records
from dkjax.errors import DataError


def take(records: Records, indices: np.ndarray | slice) -> Records:
    """Return some of the records, in the order of the indices."""
    return {"image": records["image"][indices], "label": records["label"][indices]}


def training_batches(
    records: Indexed, order: StepOrder, steps: Iterable[int], sharding: jax.sharding.Sharding
) -> Iterator[dict[str, jax.Array]]:
    """Yield the batches of some training steps, placed on devices one step ahead of their use.

    Args:
        records: what to train on.
        order: which records a step sees, from `dkjax.data.sampling`.
        steps: which steps, from 0.
        sharding: how `image` and `label` are divided, by their first axis.

    Yields:
        `image` uint8[batch_size, H, W, C] and `label` int32[batch_size].

    Raises:
        DataError: there are no records.
    """
    if not len(records):
        raise DataError("there is nothing to train on: no client uploaded an image")
    ahead: dict[str, jax.Array] | None = None
    for step in steps:
        batch = _put(records[order(step)], sharding)
        if ahead is not None:
            yield ahead
        ahead = batch
    if ahead is not None:
        yield ahead


def evaluation_batches(
    records: Indexed, batch_size: int, sharding: jax.sharding.Sharding
) -> Iterator[dict[str, jax.Array]]:
    """Yield every record once, in order, in batches of one size.

    The last batch is filled up with repetitions of its first record that carry `mask` False.

    Args:
        records: what to evaluate on.
        batch_size: records in a batch, over all devices.
        sharding: how the arrays are divided, by their first axis.

    Yields:
        `image` uint8[batch_size, H, W, C], `label` int32[batch_size] and `mask` bool[batch_size].
    """
    num_records = len(records)
    for first in range(0, num_records, batch_size):
        indices = np.arange(first, first + batch_size)
        mask = indices < num_records
        yield _put({**records[np.where(mask, indices, first)], "mask": mask}, sharding)


def _put(batch: Mapping[str, Any], sharding: jax.sharding.Sharding) -> dict[str, jax.Array]:
    return {name: jax.device_put(array, sharding) for name, array in batch.items()}
