"""The negative-positive transformation: which values are negated, by which bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax import prng
from dkjax.cipher import draws
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms import NegativePositive
from dkjax.errors import ArgumentError

SHAPE = BlockShape(num_blocks=5, block_size=2, channels=3)
SCOPES = [(True, False), (False, True), (True, True), (False, False)]


@pytest.mark.parametrize(("per_block", "per_value"), SCOPES)
def test_law(per_block, per_value):
    transform = NegativePositive(per_block, per_value)
    key = prng.wrap_key(jnp.array([1, 2], jnp.uint32), "threefry2x32")
    bits = np.asarray(transform.sample(key, SHAPE))
    assert bits.dtype == np.uint8
    assert bits.shape == (5 if per_block else 1, 12 if per_value else 1)
    np.testing.assert_array_equal(bits, draws.bits(key, bits.shape))
    blocks = np.random.default_rng(0).integers(0, 256, (5, 12), dtype=np.uint8)
    expected = blocks.copy()
    for i in range(5):
        for j in range(12):
            if bits[i if per_block else 0, j if per_value else 0]:
                expected[i, j] = 255 - blocks[i, j]
    encrypted = transform.apply(jnp.array(bits), jnp.array(blocks), SHAPE)
    assert encrypted.dtype == np.uint8
    np.testing.assert_array_equal(encrypted, expected)
    np.testing.assert_array_equal(transform.invert(jnp.array(bits), encrypted, SHAPE), blocks)
    assert transform.count(SHAPE) == 2**bits.size


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "float32", "bfloat16"])
def test_only_bytes(dtype):
    NegativePositive().check(SHAPE)
    NegativePositive().check(SHAPE, np.dtype("uint8"))
    with pytest.raises(ArgumentError, match=f"NegativePositive .* expected uint8 images, got {dtype}"):
        NegativePositive().check(SHAPE, jax.numpy.dtype(dtype))
