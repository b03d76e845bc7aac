"""Records on the devices: the bytes that the host would make, no talk between devices, and keys that are erased."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

from dkjax import encrypt, keys, schemes
from dkjax.errors import ArgumentError, ConfigError, KeyDiscardedError
from dkjax.input.batches import evaluation_batches, training_batches
from dkjax.input.device_resident import DeviceResident, LazyEncrypted, _compiled_batch, put_on_devices
from dkjax.input.order import uniform_order
from dkjax.input.record_pool import RecordPool
from dkjax.sources import resize_images
from dkjax.sources.source import Records
from dkjax.train.mesh import batch_sharding, replicated, train_mesh

SCHEME = schemes.disposable(block_size=4, fixed_blocks=1, fixed_pixels=7)
SIZE = (8, 12)


def small(count: int, seed: int = 0) -> Records:
    random = np.random.default_rng(seed)
    return {
        "image": random.integers(0, 256, (count, 4, 6, 3), np.uint8),
        "label": random.integers(0, 5, count).astype(np.int32),
    }


def at_once(records: Records, image_keys: jax.Array | None) -> np.ndarray:
    images = resize_images(records["image"], SIZE)
    return images if image_keys is None else np.asarray(encrypt(SCHEME, image_keys, images))


@pytest.mark.parametrize("whose", ["image", "client", "nobody"])
def test_equals_encrypting_at_once(whose: str) -> None:
    records = small(7)
    with keys.reproducible(3).next_round() as round_keys:
        image_keys = {
            "image": lambda: round_keys.for_client("a", 7),
            "client": lambda: round_keys.for_client("a"),
            "nobody": lambda: None,
        }[whose]()
        expected = at_once(records, image_keys)
        deferred = LazyEncrypted(records, None if image_keys is None else SCHEME, image_keys, image_size=SIZE)
    # The round is over, and the copy is not.
    np.testing.assert_array_equal(deferred[:]["image"], expected)
    np.testing.assert_array_equal(deferred[np.array([5, 0, 5])]["image"], expected[[5, 0, 5]])
    np.testing.assert_array_equal(deferred[2:4]["label"], records["label"][2:4])
    assert (len(deferred), deferred.image_shape, deferred.nbytes) == (7, (8, 12, 3), expected.nbytes + 7 * 4)


@pytest.fixture
def deferred() -> list[LazyEncrypted]:
    with keys.reproducible(4).next_round() as round_keys:
        return [
            LazyEncrypted(small(count, count), SCHEME, round_keys.for_client(name, count), image_size=SIZE)
            for name, count in (("a", 5), ("b", 8))
        ]


def pools(deferred: list[LazyEncrypted]) -> RecordPool:
    return RecordPool([one[:] for one in deferred])


@pytest.mark.parametrize("fsdp", [1, 2])
def test_the_batches_of_the_host(deferred: list[LazyEncrypted], fsdp: int) -> None:
    mesh = train_mesh(4, fsdp=fsdp)
    resident = put_on_devices(deferred, replicated(mesh))
    where = batch_sharding(mesh)
    order = uniform_order(13, 4, seed=1)
    for batches in (
        lambda records: training_batches(records, order, range(2, 6), where),
        lambda records: evaluation_batches(records, 4, where),
    ):
        for found, expected in zip(batches(resident), batches(pools(deferred)), strict=True):
            assert found.keys() == expected.keys()
            for name in expected:
                np.testing.assert_array_equal(found[name], expected[name])
                assert found[name].sharding.is_equivalent_to(where, found[name].ndim)
                assert found[name].dtype == expected[name].dtype


def test_what_is_encrypted_already_stays_as_it_is(deferred: list[LazyEncrypted]) -> None:
    pool = pools(deferred)
    resident = put_on_devices([pool, pool], replicated(train_mesh(4)))
    assert len(resident) == 26
    batch = resident.batch(np.array([12, 13, 25, 0]), batch_sharding(train_mesh(4)))
    np.testing.assert_array_equal(batch["image"], pool[np.array([12, 0, 12, 0])]["image"])


def test_devices_do_not_talk(deferred: list[LazyEncrypted]) -> None:
    mesh = train_mesh(4)
    resident = put_on_devices(deferred, replicated(mesh))
    rows = jax.device_put(np.arange(4, dtype=np.int32), batch_sharding(mesh))
    program = _compiled_batch(batch_sharding(mesh)).lower(resident._everything, rows).compile().as_text()
    assert not re.search(r"all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter", program)


def test_keys_are_erased(deferred: list[LazyEncrypted]) -> None:
    resident = put_on_devices(deferred, replicated(train_mesh(4)))
    copies = [resident._everything.image_keys, *(one.image_keys for one in deferred)]
    resident.discard()
    for one in deferred:
        one.discard()
        one.discard()
    assert all(copy is not None and copy.is_deleted() for copy in copies)
    with pytest.raises(KeyDiscardedError, match="have been discarded"):
        deferred[0][:]


def test_keys_do_not_show(deferred: list[LazyEncrypted]) -> None:
    resident = put_on_devices(deferred, SingleDeviceSharding(jax.devices()[0]))
    words = np.asarray(jax.random.key_data(deferred[0].image_keys)).flatten()
    text = repr(resident._everything) + repr(deferred[0]) + repr(resident)
    assert "image_keys" not in text
    assert not any(str(word) in text for word in words)


def test_keys_of_a_round_that_is_over() -> None:
    with keys.reproducible(4).next_round() as round_keys:
        image_keys = round_keys.for_client("a", 3)
    with pytest.raises(KeyDiscardedError):
        LazyEncrypted(small(3), SCHEME, image_keys, image_size=SIZE)


def test_what_does_not_fit(deferred: list[LazyEncrypted], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dkjax.input.device_resident._memory_of", lambda device: 1800)
    with pytest.raises(ConfigError, match=r'more than half of .* set train.input = "host"'):
        put_on_devices(deferred, replicated(train_mesh(4)))
    monkeypatch.setattr("dkjax.input.device_resident._memory_of", lambda device: 1900)
    assert isinstance(put_on_devices(deferred, replicated(train_mesh(4))), DeviceResident)


def test_copies_of_keys() -> None:
    with keys.reproducible(1).next_round() as round_keys:
        one, many = round_keys.for_client("a"), round_keys.for_client("b", 3)
        words = {name: jax.random.key_data(value) for name, value in (("one", one), ("many", many))}
        words = {name: np.array(value) for name, value in words.items()}
        shared, copied = keys.copy(one, 2), keys.copy(many, 3)
        turns = keys.in_turn([many[0], many[1]], 3)
        joined = keys.join([copied, shared], SingleDeviceSharding(jax.devices()[1]))
    assert many.is_deleted()
    for found, expected in (
        (shared, words["one"][None].repeat(2, 0)),
        (copied, words["many"]),
        (turns, words["many"][[0, 1, 0]]),
        (joined, np.concatenate([words["many"], words["one"][None].repeat(2, 0)])),
    ):
        np.testing.assert_array_equal(jax.random.key_data(found), expected)
        keys.erase(found)
        assert found.is_deleted()
    with pytest.raises(KeyDiscardedError):
        keys.copy(many, 3)
    with pytest.raises(KeyDiscardedError):
        keys.in_turn([many], 3)


def test_enlarging_only() -> None:
    with pytest.raises(ArgumentError, match="cannot be reduced"):
        LazyEncrypted({"image": np.zeros((2, 9, 9, 1), np.uint8), "label": np.zeros(2, np.int32)}, image_size=(8, 8))[:]
    assert jnp.uint8 == LazyEncrypted(small(2), image_size=SIZE)[:]["image"].dtype
