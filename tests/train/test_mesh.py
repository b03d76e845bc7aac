"""The mesh: devices that divide the batch."""

import jax
import numpy as np
import pytest

from dkjax.errors import ConfigError
from dkjax.train.mesh import batch_sharding, data_mesh, replicated


def test_all_devices_by_default() -> None:
    mesh = data_mesh(8)
    assert mesh.axis_names == ("data",)
    assert mesh.devices.tolist() == jax.devices()
    assert mesh.devices.size == 4


@pytest.mark.parametrize("batch_size", [1, 2, 6, 9])
def test_a_batch_that_cannot_be_divided(batch_size: int) -> None:
    with pytest.raises(ConfigError, match=f"^train.batch_size={batch_size} cannot be divided among 4 devices$"):
        data_mesh(batch_size)
    assert data_mesh(batch_size, jax.devices()[:1]).devices.size == 1


def test_shardings() -> None:
    mesh = data_mesh(8)
    array = np.arange(24).reshape(8, 3)
    divided, whole = jax.device_put(array, batch_sharding(mesh)), jax.device_put(array, replicated(mesh))
    assert {shard.data.shape for shard in divided.addressable_shards} == {(2, 3)}
    assert {shard.data.shape for shard in whole.addressable_shards} == {(8, 3)}
    assert whole.sharding.is_fully_replicated
