"""From records in memory to batches on the mesh, in an order that is a pure function of seed and step."""

import functools
from collections.abc import Iterable, Iterator

import jax
import numpy as np

from dkjax.data.source import Records
from dkjax.errors import DataError


def take(records: Records, indices: np.ndarray | slice) -> Records:
    """Return some of the records, in the order of the indices."""
    return {"image": records["image"][indices], "label": records["label"][indices]}


@functools.lru_cache(maxsize=4)
def _epoch_order(num_records: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, epoch)))).permutation(num_records)


def batch_indices(num_records: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Say which records a training step sees.

    Epochs follow each other without a gap: a batch may hold the end of one and the beginning of the next, so every
    record is seen equally often and no batch is ever short.

    Args:
        num_records: how many records there are.
        batch_size: how many a step sees.
        seed: of the order.
        step: which step, from 0.

    Returns:
        `int64[batch_size]`, indices of records. The same arguments give the same order on every machine.

    Guarantees:
        - in any epoch every record comes once (`test_batches.py::test_every_record_once_an_epoch`).
    """
    first = step * batch_size
    wanted = np.arange(first, first + batch_size)
    epochs, places = np.divmod(wanted, num_records)
    indices = np.empty(batch_size, np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        indices[here] = _epoch_order(num_records, seed, int(epoch))[places[here]]
    return indices


def training_batches(
    records: Records, batch_size: int, seed: int, steps: Iterable[int], sharding: jax.sharding.Sharding
) -> Iterator[dict[str, jax.Array]]:
    """Yield the batches of some training steps, placed on devices one step ahead of their use.

    Args:
        records: what to train on.
        batch_size: records in a step, over all devices.
        seed: of the order.
        steps: which steps, from 0.
        sharding: how `image` and `label` are divided, by their first axis.

    Yields:
        `image` uint8[batch_size, H, W, C] and `label` int32[batch_size].

    Raises:
        DataError: there are no records.
    """
    num_records = len(records["label"])
    if num_records == 0:
        raise DataError("there is nothing to train on: no client uploaded an image")
    ahead: dict[str, jax.Array] | None = None
    for step in steps:
        indices = batch_indices(num_records, batch_size, seed, step)
        batch = {name: jax.device_put(records[name][indices], sharding) for name in ("image", "label")}
        if ahead is not None:
            yield ahead
        ahead = batch
    if ahead is not None:
        yield ahead


def evaluation_batches(
    records: Records, batch_size: int, sharding: jax.sharding.Sharding
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
    num_records = len(records["label"])
    for first in range(0, num_records, batch_size):
        indices = np.arange(first, first + batch_size)
        mask = indices < num_records
        indices = np.where(mask, indices, first)
        batch = {"image": records["image"][indices], "label": records["label"][indices], "mask": mask}
        yield {name: jax.device_put(array, sharding) for name, array in batch.items()}
