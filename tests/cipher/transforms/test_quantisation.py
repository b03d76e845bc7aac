"""Bytes rounded to levels: the rule for every byte."""

import jax.numpy as jnp
import numpy as np
import pytest

from dkjax.cipher import decrypt, encrypt, schemes
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms import Quantisation
from dkjax.errors import ArgumentError

SHAPE = BlockShape(num_blocks=1, block_size=16, channels=1)
BYTES = np.arange(256, dtype=np.uint8)[None]


@pytest.mark.parametrize("levels", [2, 3, 16, 255, 256])
def test_law(levels):
    found = np.asarray(Quantisation(levels).apply((), jnp.asarray(BYTES), SHAPE))
    assert found.dtype == np.uint8
    expected = [255 * (value * levels // 256) // (levels - 1) for value in range(256)]
    assert found.tolist() == [expected]
    assert len(set(expected)) == levels
    assert (expected[0], expected[-1]) == (0, 255)
    assert Quantisation(levels).count(SHAPE) == 1


def test_sorted_blocks_of_few_levels_are_the_sorted_blocks_rounded():
    images = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    key = np.array([1, 2], np.uint32)
    sorted_, few = (encrypt(schemes.sorted_blocks(4, levels=levels), _key(key), images) for levels in (256, 5))
    rounded = np.asarray(Quantisation(5).apply((), jnp.asarray(sorted_).reshape(1, -1), SHAPE))
    np.testing.assert_array_equal(np.asarray(few).ravel(), rounded.ravel())
    with pytest.raises(ArgumentError, match="cannot be decrypted"):
        decrypt(schemes.sorted_blocks(4, levels=5), _key(key), few)
    with pytest.raises(ArgumentError, match="Quantisation changes values of 8 bits: expected uint8 images, got int8"):
        encrypt(schemes.sorted_blocks(4, levels=5), _key(key), images.astype(np.int8))


def _key(words):
    from dkjax import prng

    return prng.wrap_key(jnp.asarray(words), "threefry2x32")
