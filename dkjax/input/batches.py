"""Batches on the mesh, from records in memory, on disk or on the devices."""

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from dkjax.errors import DataError
from dkjax.input.device_put import own_rows, put, put_rows
from dkjax.input.device_resident import DeviceResident
from dkjax.input.order import StepOrder
from dkjax.sources.source import Indexed

Batch = dict[str, jax.Array]

_THREADS, _AHEAD = 2, 2
"""Batches are read by so many threads, and so many may be ready before they are asked for."""


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
        for batch in _read_ahead(lambda step: records[order(step)[rows]], steps):
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

    for batch in _read_ahead(read, firsts):
        yield put_rows(batch, rows, batch_size, sharding)


def _read_ahead(read: Callable[[int], Mapping[str, Any]], numbers: range) -> Iterator[Mapping[str, Any]]:
    """Read batches on threads of their own: the work between two numbers and two arrays is Grain's."""
    import grain

    options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
    batches = grain.MapDataset.range(len(numbers)).map(lambda place: read(numbers[place])).to_iter_dataset(options)
    with contextlib.closing(iter(batches)) as reading:
        yield from reading
