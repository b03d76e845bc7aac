"""Batches: in the order asked for, divided among devices, and every test image once."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec, SingleDeviceSharding

from dkjax.errors import DataError
from dkjax.input.batches import evaluation_batches, training_batches
from dkjax.input.order import uniform_order
from dkjax.input.record_pool import RecordPool
from dkjax.sources.source import take


def records_of(count: int) -> dict:
    """Images that can be told apart: image `i` is filled with `i`."""
    image = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 2, 2, 1)).copy()
    return {"image": image, "label": np.arange(count, dtype=np.int32)}


@pytest.fixture(scope="module")
def four_devices() -> NamedSharding:
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec("data"))


def test_training_batches_follow_the_order(four_devices: NamedSharding) -> None:
    records = records_of(11)
    order = uniform_order(11, 8, seed=4)
    batches = list(training_batches(RecordPool([records]), order, range(3, 7), four_devices))
    assert len(batches) == 4
    for step, batch in zip(range(3, 7), batches, strict=True):
        indices = order(step)
        assert set(batch) == {"image", "label"}
        assert (batch["image"].dtype, batch["label"].dtype) == (np.uint8, np.int32)
        np.testing.assert_array_equal(batch["image"], records["image"][indices])
        np.testing.assert_array_equal(batch["label"], records["label"][indices])


def test_batches_are_divided_among_four_devices(four_devices: NamedSharding) -> None:
    records, order = RecordPool([records_of(16)]), uniform_order(16, 8, seed=0)
    training = next(training_batches(records, order, range(1), four_devices))
    evaluation = next(evaluation_batches(records, 8, four_devices))
    for array in (*training.values(), *evaluation.values()):
        shards = array.addressable_shards
        assert len({shard.device for shard in shards}) == 4
        assert {shard.data.shape[0] for shard in shards} == {2}
    alone = next(training_batches(records, order, range(1), SingleDeviceSharding(jax.devices()[0])))
    np.testing.assert_array_equal(training["label"], alone["label"])


@pytest.mark.parametrize("steps", [range(0), range(2)])
def test_nothing_to_train_on(steps: range, four_devices: NamedSharding) -> None:
    with pytest.raises(DataError, match="nothing to train on"):
        list(training_batches(RecordPool([records_of(0)]), uniform_order(0, 8, seed=0), steps, four_devices))


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 21])
@pytest.mark.parametrize("batch_size", [4, 8, 32])
def test_every_test_image_counts_once(count: int, batch_size: int, four_devices: NamedSharding) -> None:
    records = RecordPool([records_of(count)])
    seen: list[int] = []
    for batch in evaluation_batches(records, batch_size, four_devices):
        image, label, mask = (np.asarray(batch[name]) for name in ("image", "label", "mask"))
        assert image.shape == (batch_size, 2, 2, 1)
        assert mask.dtype == np.bool_
        np.testing.assert_array_equal(image[:, 0, 0, 0], label)
        assert (label[~mask] == label[0]).all()
        seen += label[mask].tolist()
    assert seen == list(range(count))


def test_take_keeps_the_order_of_the_indices() -> None:
    records = records_of(5)
    assert take(records, np.array([3, 0, 3]))["label"].tolist() == [3, 0, 3]
    assert take(records, slice(1, None, 2))["image"][:, 0, 0, 0].tolist() == [1, 3]
