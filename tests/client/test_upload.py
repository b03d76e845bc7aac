"""A client: its upload is its images encrypted, in order, and nothing else."""

import jax
import numpy as np
import pytest

from dkjax import keys
from dkjax.cipher import encrypt, schemes
from dkjax.client.upload import Client, encrypt_records, upload
from dkjax.errors import ArgumentError, KeyDiscardedError

SCHEME = schemes.disposable(4)
LARGEST = 257


@pytest.fixture(scope="module")
def records() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (LARGEST, 8, 8, 1), dtype=np.uint8)
    return {"image": images, "label": rng.integers(0, 5, LARGEST, dtype=np.int32)}


@pytest.fixture(scope="module")
def image_keys() -> jax.Array:
    return jax.random.split(jax.random.key(11, impl="threefry2x32"), LARGEST)


@pytest.fixture(scope="module")
def direct(records: dict, image_keys: jax.Array) -> dict[str, np.ndarray]:
    """All images in one call, each under its own key, and all under one."""
    return {
        "each": np.asarray(encrypt(SCHEME, image_keys, records["image"])),
        "one": np.asarray(encrypt(SCHEME, image_keys[0], records["image"])),
    }


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257])
@pytest.mark.parametrize("keys_for", ["each", "one"])
def test_chunks_equal_one_call(count: int, keys_for: str, records: dict, image_keys: jax.Array, direct: dict) -> None:
    own = {name: array[:count] for name, array in records.items()}
    found = encrypt_records(own, SCHEME, image_keys[:count] if keys_for == "each" else image_keys[0])
    np.testing.assert_array_equal(found["image"], direct[keys_for][:count])
    np.testing.assert_array_equal(found["label"], own["label"])
    assert found["image"].dtype == np.uint8


def test_upload_keeps_order_and_labels(records: dict, image_keys: jax.Array, direct: dict) -> None:
    client = Client("plant-a", records)
    before = records["image"].copy()
    sent = upload(client, 3, SCHEME, image_keys)
    assert (sent.client, sent.round, len(sent.pool)) == ("plant-a", 3, LARGEST)
    assert sent.num_bytes == LARGEST * (8 * 8 + 4)
    np.testing.assert_array_equal(sent.pool[:]["label"], records["label"])
    np.testing.assert_array_equal(sent.pool[:]["image"], direct["each"])
    np.testing.assert_array_equal(records["image"], before)


def test_no_plain_image_is_uploaded(records: dict, image_keys: jax.Array) -> None:
    seen = upload(Client("a", records), 1, SCHEME, image_keys).pool[:]["image"]
    plain = {image.tobytes() for image in records["image"]}
    assert len(plain) == LARGEST
    assert not plain & {image.tobytes() for image in seen}
    flat = [np.sort(images.reshape(LARGEST, -1), axis=1) for images in (records["image"], seen)]
    np.testing.assert_array_equal(*flat)


def test_without_a_scheme_images_are_plain(records: dict) -> None:
    sent = upload(Client("a", records), 1, None, None)
    np.testing.assert_array_equal(sent.pool[:]["image"], records["image"])


def test_errors(records: dict) -> None:
    client = Client("a", {name: array[:3] for name, array in records.items()})
    with keys.reproducible(0, prng="threefry2x32").next_round() as round_keys:
        image_keys = round_keys.for_client("a", 3)
        with pytest.raises(ArgumentError, match="does not divide"):
            upload(client, 1, schemes.disposable(3), image_keys)
    # Indexing deleted keys raises JAX's own RuntimeError: they have to be checked before a chunk is cut out of them.
    with pytest.raises(KeyDiscardedError, match="have been discarded"):
        upload(client, 1, SCHEME, image_keys)
