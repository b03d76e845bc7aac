"""Batches on the mesh, from records in memory, on disk or on the devices."""

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

import jax
import numpy as np

from dkjax.errors import DataError
from dkjax.input.device_put import own_rows, put, put_rows
from dkjax.input.device_resident import DeviceResident
from dkjax.input.order import StepOrder
from dkjax.runtime.prefetch import prefetch
from dkjax.sources.source import Indexed

Batch = dict[str, jax.Array]

_THREADS = 2
"""So many threads read batches, each of which uses several to copy images."""


def training_batches(
    records: Indexed | DeviceResident, order: StepOrder, steps: range, sharding: jax.sharding.Sharding
) -> Generator[Batch, None, None]:
    """Yield the batches of some training steps, prefetched.

    Each process reads only the rows that its own devices need.

    Args:
        records: what to train on.
        order: the records of each step, from `dkjax.input.order`.
        steps: which steps, from 0.
        sharding: how a batch is divided, by its first axis.

    Yields:
        `image` uint8[batch_size, H, W, C] and `label` int32[batch_size].

    Raises:
        DataError: there are no records.
    """
    if not len(records):
        raise DataError("there is nothing to train on: no client uploaded an image")
    if isinstance(records, DeviceResident):
        for step in steps:
            yield records.batch(order(step), sharding)
    elif steps:
        batch_size = len(order(steps[0]))
        rows = own_rows(batch_size, sharding)
        with closing(prefetch(lambda step: records[order(step)[rows]], steps, threads=_THREADS)) as read:
            for batch in read:
                yield put_rows(batch, rows, batch_size, sharding)


def evaluation_batches(
    records: Indexed | DeviceResident, batch_size: int, sharding: jax.sharding.Sharding
) -> Iterator[Batch]:
    """Yield every record once, in order, in batches of one size.

    The last batch is padded with repetitions of its first record, whose `mask` is False.

    Args:
        records: what to evaluate on.
        batch_size: records in a batch, over all devices.
        sharding: how a batch is divided, by its first axis.

    Yields:
        `image` uint8[batch_size, H, W, C], `label` int32[batch_size] and `mask` bool[batch_size].
    """
    firsts = range(0, len(records), batch_size)

    def indices(first: int) -> tuple[np.ndarray, np.ndarray]:
        indices = np.arange(first, first + batch_size)
        mask = indices < len(records)
        return np.where(mask, indices, first), mask

    if isinstance(records, DeviceResident):
        for first in firsts:
            chosen, mask = indices(first)
            yield {**records.batch(chosen, sharding), "mask": put(mask, sharding)}
        return
    rows = own_rows(batch_size, sharding)

    def read(first: int) -> dict[str, Any]:
        chosen, mask = indices(first)
        return {**records[chosen[rows]], "mask": mask[rows]}

    with closing(prefetch(read, firsts, threads=_THREADS)) as batches:
        for batch in batches:
            yield put_rows(batch, rows, batch_size, sharding)
