"""The device mesh, and how arrays are sharded over it. One device is the same code.

Batches are sharded over all devices. Parameters and the optimizer's state are replicated, or, with an `fsdp` axis
longer than 1, sharded over that axis: each device keeps a part of every large array, and a step gathers the whole. The
device order is JAX's, so that the devices of one host are neighbours on `fsdp`.
"""

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from dkjax.errors import ConfigError

DATA, FSDP = "data", "fsdp"

_WORTH_DIVIDING = 1 << 14
"""Arrays of fewer elements are replicated: to gather them would take longer than it is worth in memory."""


def train_mesh(
    batch_size: int, devices: Sequence[jax.Device] | None = None, *, fsdp: int = 1, accumulate: int = 1
) -> Mesh:
    """Make the device mesh of a training.

    Args:
        batch_size: images of a step, over all devices.
        devices: which; by default all there are, those of other processes included.
        fsdp: over how many of them parameters and optimizer state are sharded.
        accumulate: micro-batches of a step.

    Returns:
        A mesh with the axes `data` and `fsdp`.

    Raises:
        ConfigError: the number of devices is not divisible by `fsdp`, or a micro-batch not by the devices.
    """
    devices = jax.devices() if devices is None else devices
    count = len(devices)
    if count % fsdp:
        raise ConfigError(f"train.fsdp={fsdp} does not divide the {count} devices: choose one of {_divisors(count)}")
    if batch_size % (count * accumulate):
        parts = f" in train.accumulate={accumulate} parts" if accumulate > 1 else ""
        raise ConfigError(f"train.batch_size={batch_size}{parts} cannot be divided among {count} devices")
    shape = (count // fsdp, fsdp)
    return jax.make_mesh(shape, (DATA, FSDP), axis_types=(AxisType.Auto, AxisType.Auto), devices=devices)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Shard the first axis of an array over all devices."""
    return NamedSharding(mesh, PartitionSpec((DATA, FSDP)))


def replicated(mesh: Mesh) -> NamedSharding:
    """Replicate an array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def fsdp_sharding(mesh: Mesh, tree: Any) -> Any:
    """Return the sharding of parameters, or of a state that is made of them.

    Args:
        mesh: from `train_mesh`.
        tree: arrays, or their shapes as `jax.eval_shape` returns them.

    Returns:
        A sharding for each: the longest axis that `fsdp` divides, the last of several, is sharded over `fsdp`. Vectors
        and small arrays are replicated. The rule depends on shapes alone, so the optimizer's moments are sharded as
        their parameters are.
    """
    return jax.tree.map(lambda leaf: NamedSharding(mesh, _spec(leaf.shape, leaf.size, mesh.shape[FSDP])), tree)


def _spec(shape: tuple[int, ...], size: int, parts: int) -> PartitionSpec:
    dividable = [(length, axis) for axis, length in enumerate(shape) if length % parts == 0]
    if parts == 1 or len(shape) < 2 or size < _WORTH_DIVIDING or not dividable:
        return PartitionSpec()
    _, axis = max(dividable)
    return PartitionSpec(*[None] * axis, FSDP)


def _divisors(count: int) -> str:
    return ", ".join(str(number) for number in range(1, count + 1) if count % number == 0)
