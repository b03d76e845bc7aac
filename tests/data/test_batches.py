"""Batches: every record counts as often as it should, and the order depends on seed and step alone."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec, SingleDeviceSharding

from dkjax.data.batches import batch_indices, evaluation_batches, take, training_batches
from dkjax.errors import DataError

GOLDEN = {
    (7, 4, 3, 0): [5, 6, 2, 1],
    (7, 4, 3, 1): [4, 3, 0, 2],
    (7, 4, 3, 2): [1, 4, 0, 5],
    (7, 4, 3, 3): [6, 3, 4, 0],
    (1000, 6, 2**31 - 1, 12345): [630, 299, 615, 534, 900, 49],
}
"""`batch_indices` by records, batch size, seed and step. Whoever changes these changes every training."""


def records_of(count: int) -> dict:
    """Images that can be told apart: image `i` is filled with `i`."""
    image = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 2, 2, 1)).copy()
    return {"image": image, "label": np.arange(count, dtype=np.int32)}


@pytest.fixture(scope="module")
def four_devices() -> NamedSharding:
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec("data"))


@pytest.mark.parametrize(("num_records", "batch_size"), [(12, 4), (7, 4), (5, 16), (1, 3), (31, 8)])
@pytest.mark.parametrize("seed", [0, 9])
def test_every_record_once_an_epoch(num_records: int, batch_size: int, seed: int) -> None:
    epochs = 3
    steps = -(-epochs * num_records // batch_size)
    seen = np.concatenate([batch_indices(num_records, batch_size, seed, step) for step in range(steps)])
    by_epoch = seen[: epochs * num_records].reshape(epochs, num_records)
    np.testing.assert_array_equal(np.sort(by_epoch, axis=1), np.tile(np.arange(num_records), (epochs, 1)))
    if num_records > 5:
        assert len(np.unique(by_epoch, axis=0)) == epochs


@pytest.mark.parametrize("arguments", GOLDEN)
def test_order_is_stored(arguments: tuple[int, int, int, int]) -> None:
    indices = batch_indices(*arguments)
    assert indices.dtype == np.int64
    assert indices.tolist() == GOLDEN[arguments]


def test_order_depends_on_seed_and_step_alone() -> None:
    forward = [batch_indices(50, 8, 1, step).tolist() for step in range(40)]
    np.random.seed(0)  # noqa: NPY002 - the global state is what must not matter
    np.random.rand(3)  # noqa: NPY002
    assert [batch_indices(50, 8, 1, step).tolist() for step in reversed(range(40))] == forward[::-1]
    assert batch_indices(50, 8, 2, 0).tolist() != forward[0]


def test_changing_a_batch_leaves_the_order() -> None:
    before = batch_indices(10, 10, 0, 0).copy()
    batch_indices(10, 10, 0, 0)[:] = 0
    np.testing.assert_array_equal(batch_indices(10, 10, 0, 0), before)


def test_training_batches_follow_the_order(four_devices: NamedSharding) -> None:
    records = records_of(11)
    batches = list(training_batches(records, 8, 4, range(3, 7), four_devices))
    assert len(batches) == 4
    for step, batch in zip(range(3, 7), batches, strict=True):
        indices = batch_indices(11, 8, 4, step)
        assert set(batch) == {"image", "label"}
        assert (batch["image"].dtype, batch["label"].dtype) == (np.uint8, np.int32)
        np.testing.assert_array_equal(batch["image"], records["image"][indices])
        np.testing.assert_array_equal(batch["label"], records["label"][indices])


def test_batches_are_divided_among_four_devices(four_devices: NamedSharding) -> None:
    records = records_of(16)
    training = next(training_batches(records, 8, 0, range(1), four_devices))
    evaluation = next(evaluation_batches(records, 8, four_devices))
    for array in (*training.values(), *evaluation.values()):
        shards = array.addressable_shards
        assert len({shard.device for shard in shards}) == 4
        assert {shard.data.shape[0] for shard in shards} == {2}
    alone = next(training_batches(records, 8, 0, range(1), SingleDeviceSharding(jax.devices()[0])))
    np.testing.assert_array_equal(training["label"], alone["label"])


@pytest.mark.parametrize("steps", [range(0), range(2)])
def test_nothing_to_train_on(steps: range, four_devices: NamedSharding) -> None:
    with pytest.raises(DataError, match="nothing to train on"):
        list(training_batches(records_of(0), 8, 0, steps, four_devices))


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 21])
@pytest.mark.parametrize("batch_size", [4, 8, 32])
def test_every_test_image_counts_once(count: int, batch_size: int, four_devices: NamedSharding) -> None:
    records = records_of(count)
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
