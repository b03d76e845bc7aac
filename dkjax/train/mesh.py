"""The device mesh: one axis, `data`, over which batches are divided. One device is the same code."""

from collections.abc import Sequence

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from dkjax.errors import ConfigError


def data_mesh(batch_size: int, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Lay devices out for data parallel training.

    Args:
        batch_size: the batch to divide among them.
        devices: which; by default all there are.

    Returns:
        A mesh with the axis `data`.

    Raises:
        ConfigError: the devices do not divide the batch.
    """
    devices = jax.devices() if devices is None else devices
    if batch_size % len(devices):
        raise ConfigError(f"train.batch_size={batch_size} cannot be divided among {len(devices)} devices")
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Divide the first axis of an array among the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def replicated(mesh: Mesh) -> NamedSharding:
    """Give every device the whole array."""
    return NamedSharding(mesh, PartitionSpec())
