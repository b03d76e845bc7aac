"""The one driver of chunks: the bytes of one call, one compilation, and no key left."""

import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dkjax
from dkjax import keys, schemes
from dkjax.cipher import chunks, encryption
from dkjax.cipher.chunks import encrypt_chunks, keys_of
from dkjax.errors import ArgumentError, KeyDiscardedError

SCHEME = schemes.disposable(4, fixed_pixels=5)
IMAGES = np.random.default_rng(0).integers(0, 256, (23, 8, 12, 1), np.uint8)


@pytest.fixture
def round_keys():
    with keys.reproducible(0).next_round() as round_keys:
        yield round_keys


def run(image_keys, parts, **how):
    return np.concatenate(list(encrypt_chunks(SCHEME, image_keys, parts, **how)))


@pytest.mark.parametrize("size", [1, 4, 32])
@pytest.mark.parametrize("cuts", [[], [5], [0, 4, 4, 22]])
def test_equals_one_call(round_keys, monkeypatch, size, cuts):
    monkeypatch.setattr(chunks, "_IMAGES", size)
    image_keys, shared = round_keys.for_client("a", len(IMAGES)), round_keys.for_client("b")
    for array in (image_keys, shared):
        expected = dkjax.encrypt(SCHEME, array, IMAGES)
        np.testing.assert_array_equal(run(keys_of(array), np.split(IMAGES, cuts)), expected)
        np.testing.assert_array_equal(run(keys_of(array), np.split(IMAGES, cuts), at_most=23), expected)


def test_keys_of_items(round_keys):
    image_keys = round_keys.for_client("a", 30)
    items = np.arange(30)[::-1][: len(IMAGES)]
    expected = dkjax.encrypt(SCHEME, keys.take(image_keys, items), IMAGES)
    np.testing.assert_array_equal(run(keys_of(image_keys, items), [IMAGES]), expected)


def test_chunks_are_of_few_sizes():
    assert [chunks.chunk_size(size, None) for size in (1, 1 << 16, 224 * 224 * 3, 1 << 30)] == [256, 256, 64, 1]
    assert [chunks.chunk_size(12, most) for most in (0, 1, 5, 8, 9, 1000)] == [1, 1, 8, 8, 16, 256]


def test_compiles_once(round_keys, monkeypatch):
    monkeypatch.setattr(chunks, "_IMAGES", 4)
    run(keys_of(round_keys.for_client("a", 23)), [IMAGES])
    before = encryption._run._cache_size()
    for count in (1, 2, 3, 4, 5, 23):
        run(keys_of(round_keys.for_client(f"of {count}", count)), [IMAGES[:count]])
    assert encryption._run._cache_size() == before


def live_keys() -> int:
    gc.collect()
    return sum(jnp.issubdtype(array.dtype, jax.dtypes.prng_key) for array in jax.live_arrays())


@pytest.mark.parametrize("end", ["whole", "closed", "raises"])
def test_no_copy_of_a_key_is_left(round_keys, monkeypatch, end):
    monkeypatch.setattr(chunks, "_IMAGES", 4)
    image_keys = round_keys.for_client("a", len(IMAGES))
    given = []
    take = keys_of(image_keys)

    def noted(rows):
        given.append(take(rows))
        assert sum(not one.is_deleted() for one in given) <= 2
        return given[-1]

    def images():
        yield IMAGES[:9]
        if end == "raises":
            raise ZeroDivisionError
        yield IMAGES[9:]

    before = live_keys()
    stream = encrypt_chunks(SCHEME, noted, images())
    if end == "raises":
        with pytest.raises(ZeroDivisionError):
            list(stream)
    elif end == "closed":
        next(stream)
        stream.close()
    else:
        assert sum(map(len, stream)) == len(IMAGES)
    assert given
    assert all(one.is_deleted() for one in given)
    assert live_keys() == before
    assert not image_keys.is_deleted()


def test_errors(round_keys):
    image_keys = round_keys.for_client("a", len(IMAGES))
    with pytest.raises(ArgumentError, match="does not divide"):
        run(keys_of(image_keys), [IMAGES[:, :7]])
    round_keys.discard()
    with pytest.raises(KeyDiscardedError, match="have been discarded"):
        keys_of(image_keys)
