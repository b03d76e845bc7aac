"""`dkjax.client.encrypt`: a client's whole work in one call."""

import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dkjax
from dkjax.client import encryption
from dkjax.dkds import EncryptedDataSet
from dkjax.errors import ArgumentError, ConfigError, DataError
from dkjax.sources import open_source

SCHEME = dkjax.schemes.disposable(block_size=4)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 12, 3), np.uint8)
LABELS = [0, 2, 1, 0, 2]


def test_in_memory():
    sent = dkjax.client.encrypt(IMAGES, LABELS, SCHEME, client="plant-a", seed=3)
    assert (sent.client, sent.round, sent.class_names, sent.scheme) == ("plant-a", 1, ("0", "1", "2"), SCHEME)
    with dkjax.keys.reproducible(seed=3).next_round() as round_keys:
        expected = dkjax.encrypt(SCHEME, round_keys.for_client("plant-a", 5), IMAGES)
    np.testing.assert_array_equal(sent.pool[:]["image"], expected)
    assert sent.pool[:]["label"].tolist() == LABELS


def test_every_image_has_its_own_key():
    same = np.repeat(IMAGES[:1], 5, axis=0)
    found = [one.tobytes() for _ in range(2) for one in dkjax.client.encrypt(same, LABELS, SCHEME).pool[:]["image"]]
    assert len(set(found)) == 10


def test_on_disk(tmp_path):
    sent = dkjax.client.encrypt(
        IMAGES, LABELS, SCHEME, client="plant-a", class_names=["a", "b", "c", "d"], out=tmp_path / "a.dkds", views=2
    )
    assert isinstance(sent, EncryptedDataSet)
    assert (sent.manifest.client, sent.class_names, len(sent)) == ("plant-a", ("a", "b", "c", "d"), 10)
    assert sorted(sent.labels.tolist()) == sorted(LABELS * 2)
    again = dkjax.client.encrypt(IMAGES, LABELS, SCHEME)
    assert again.client == "client"


def test_a_source():
    source = open_source("digits", "test", image_size=(8, 8))
    sent = dkjax.client.encrypt(source, scheme=SCHEME, client="plant-a")
    assert (len(sent.pool), sent.class_names) == (len(source), source.class_names)
    np.testing.assert_array_equal(sent.pool.labels, source.labels)


def test_no_key_is_left():
    def live() -> int:
        return sum(jnp.issubdtype(array.dtype, jax.dtypes.prng_key) for array in jax.live_arrays())

    before = live()
    dkjax.client.encrypt(IMAGES, LABELS, SCHEME)
    with pytest.raises(ArgumentError, match="does not divide"):
        dkjax.client.encrypt(IMAGES, LABELS, dkjax.schemes.disposable(block_size=5))
    assert live() == before


@pytest.mark.parametrize(
    ("how", "error", "match"),
    [
        ({"scheme": None}, ArgumentError, "needs a scheme"),
        ({"labels": None}, ArgumentError, "need labels"),
        ({"labels": [0, 1]}, DataError, "5 images but 2 labels"),
        ({"class_names": ["a"]}, DataError, "label"),
        ({"images": IMAGES.astype(np.float32)}, DataError, "must be uint8"),
        ({"images": IMAGES[:0], "labels": []}, DataError, "no pixel"),
        ({"images": open_source("digits", "test")}, ArgumentError, "labels and class names of its own"),
        ({"views": 2}, ArgumentError, "give out"),
        ({"prng": "rbg"}, ConfigError, "independent streams"),
    ],
)
def test_errors(how, error, match):
    with pytest.raises(error, match=match):
        dkjax.client.encrypt(**{"images": IMAGES, "labels": LABELS, "scheme": SCHEME, **how})


def test_example():
    failed, attempted = doctest.testmod(encryption)
    assert (failed, attempted > 0) == (0, True)
