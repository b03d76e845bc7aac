"""Nibble shuffling: which nibble goes where and which are reversed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax import prng
from dkjax.cipher import draws, permutations
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms import NibbleShuffling
from dkjax.errors import ArgumentError

SHAPE = BlockShape(num_blocks=4, block_size=2, channels=3)
KEY = prng.wrap_key(jnp.array([7, 8], jnp.uint32), "threefry2x32")


@pytest.mark.parametrize("per_block", [True, False])
def test_law(per_block):
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (4, 12), dtype=np.uint8)
    rows = 4 if per_block else 1
    bits = rng.integers(0, 2, (rows, 24), dtype=np.uint8)
    order = np.array([rng.permutation(24) for _ in range(rows)], np.int32)
    expected = []
    for i, block in enumerate(blocks.tolist()):
        row = i if per_block else 0
        nibbles = [value // 16 for value in block] + [value % 16 for value in block]
        nibbles = [15 - x if bit else x for x, bit in zip(nibbles, bits[row], strict=True)]
        moved = [nibbles[source] for source in order[row]]
        expected.append([16 * upper + lower for upper, lower in zip(moved[:12], moved[12:], strict=True)])
    transform, parameters = NibbleShuffling(per_block), (jnp.array(bits), jnp.array(order))
    encrypted = transform.apply(parameters, jnp.array(blocks), SHAPE)
    assert encrypted.dtype == np.uint8
    np.testing.assert_array_equal(encrypted, expected)
    np.testing.assert_array_equal(transform.invert(parameters, encrypted, SHAPE), blocks)


@pytest.mark.parametrize("per_block", [True, False])
def test_the_two_draws(per_block):
    transform = NibbleShuffling(per_block)
    bits, order = jax.jit(lambda key: transform.sample(key, SHAPE))(KEY)
    rows = 4 if per_block else 1
    bits_key, order_key = jax.random.split(KEY, 2)
    np.testing.assert_array_equal(bits, draws.bits(bits_key, (rows, 24)))
    own = jax.random.split(order_key, rows)
    np.testing.assert_array_equal(order, np.stack([permutations.sample(key, 24) for key in own]))
    assert len(np.unique(order, axis=0)) == len(np.unique(bits, axis=0)) == rows


@pytest.mark.parametrize("dtype", ["int8", "uint16", "float32"])
def test_only_bytes(dtype):
    NibbleShuffling().check(SHAPE, np.dtype("uint8"))
    with pytest.raises(ArgumentError, match=f"NibbleShuffling .* expected uint8 images, got {dtype}"):
        NibbleShuffling().check(SHAPE, np.dtype(dtype))
