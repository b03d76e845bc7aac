"""The mesh: devices that divide the batch, and the state if that is asked for."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from dkjax.errors import ConfigError
from dkjax.train.mesh import batch_sharding, fsdp_sharding, replicated, train_mesh


def test_all_devices_by_default() -> None:
    mesh = train_mesh(8)
    assert dict(mesh.shape) == {"data": 4, "fsdp": 1}
    assert mesh.devices.flatten().tolist() == jax.devices()


@pytest.mark.parametrize("batch_size", [1, 2, 6, 9])
def test_a_batch_that_cannot_be_divided(batch_size: int) -> None:
    with pytest.raises(ConfigError, match=f"^train.batch_size={batch_size} cannot be divided among 4 devices$"):
        train_mesh(batch_size)
    assert train_mesh(batch_size, jax.devices()[:1]).devices.size == 1


def test_parts_of_a_batch_that_cannot_be_divided() -> None:
    assert train_mesh(16, accumulate=4).size == 4
    with pytest.raises(ConfigError, match=r"batch_size=8 in train.accumulate=4 parts cannot be divided among 4"):
        train_mesh(8, accumulate=4)


def test_neighbours_divide_the_state() -> None:
    mesh = train_mesh(8, fsdp=2)
    assert dict(mesh.shape) == {"data": 2, "fsdp": 2}
    assert [[device.id for device in row] for row in mesh.devices] == [[0, 1], [2, 3]]
    with pytest.raises(ConfigError, match=r"train.fsdp=3 does not divide the 4 devices: choose one of 1, 2, 4$"):
        train_mesh(8, fsdp=3)


def test_shardings() -> None:
    for mesh in (train_mesh(8), train_mesh(8, fsdp=2), train_mesh(8, fsdp=4)):
        array = np.arange(24).reshape(8, 3)
        parts, whole = jax.device_put(array, batch_sharding(mesh)), jax.device_put(array, replicated(mesh))
        assert {shard.data.shape for shard in parts.addressable_shards} == {(2, 3)}
        assert {shard.data.shape for shard in whole.addressable_shards} == {(8, 3)}
        assert whole.sharding.is_fully_replicated


@pytest.mark.parametrize(
    ("shape", "spec"),
    [
        ((), PartitionSpec()),
        ((1 << 16,), PartitionSpec()),  # a vector
        ((64, 64), PartitionSpec()),  # small
        ((192, 768), PartitionSpec(None, "fsdp")),
        ((768, 192), PartitionSpec("fsdp")),
        ((192, 3, 64), PartitionSpec("fsdp")),
        ((16, 16, 3, 192), PartitionSpec(None, None, None, "fsdp")),
        ((1, 197, 192), PartitionSpec(None, None, "fsdp")),  # 197 is prime
        ((256, 256), PartitionSpec(None, "fsdp")),  # the last of two alike
        ((1001, 1003), PartitionSpec()),  # nothing to divide
    ],
)
def test_what_is_divided(shape: tuple[int, ...], spec: PartitionSpec) -> None:
    like = {"a": [jax.ShapeDtypeStruct(shape, np.float32)]}
    assert fsdp_sharding(train_mesh(8, fsdp=4), like)["a"][0].spec == spec
    assert fsdp_sharding(train_mesh(8), like)["a"][0].spec == PartitionSpec()
