"""Arrays on the host to arrays on devices, also of several processes."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray


def put(array: np.ndarray, sharding: jax.sharding.Sharding) -> jax.Array:
    """Put an array on devices.

    Args:
        array: all of it, equal in every process.
        sharding: of the result.
    """
    if sharding.is_fully_addressable:
        return jax.device_put(array, sharding)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def own_rows(batch_size: int, sharding: jax.sharding.Sharding) -> NDArray[np.int64]:
    """Return the rows of a batch that are on the devices of this process.

    Args:
        batch_size: of the whole batch.
        sharding: how it is divided, by its first axis.

    Returns:
        Row numbers in order, int64[n]; all of them where there is one process.

    Guarantees:
        - the processes' rows are all rows, without overlap (`tests/train/test_processes.py`).
    """
    parts = sharding.addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[part] for part in parts]))


def put_rows(
    batch: Mapping[str, Any], rows: NDArray[np.int64], batch_size: int, sharding: jax.sharding.Sharding
) -> dict[str, jax.Array]:
    """Put a batch on devices, each process its own rows.

    Args:
        batch: arrays whose first axis is this process's rows.
        rows: their numbers, from `own_rows`.
        batch_size: of the whole batch.
        sharding: how it is divided, by its first axis.
    """
    if len(rows) == batch_size:
        return {name: jax.device_put(array, sharding) for name, array in batch.items()}

    def lay_out(array: np.ndarray) -> jax.Array:
        def part(index: Any) -> np.ndarray:
            first, stop, _ = index[0].indices(batch_size)
            return array[slice(*np.searchsorted(rows, (first, stop)))]

        return jax.make_array_from_callback((batch_size, *array.shape[1:]), sharding, part)

    return {name: lay_out(array) for name, array in batch.items()}
