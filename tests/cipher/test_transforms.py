"""Transforms that only move values: what moves, that it can be undone, and that neither cares for the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax import prng
from dkjax.cipher import permutations
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms import BlockScrambling, PixelPermutation
from dkjax.errors import ArgumentError

SHAPE = BlockShape(num_blocks=6, block_size=1, channels=10)
NUM_BLOCKS, BLOCK_VALUES = SHAPE.num_blocks, SHAPE.values
BLOCKS = np.arange(NUM_BLOCKS * BLOCK_VALUES, dtype=np.int32).reshape(NUM_BLOCKS, BLOCK_VALUES)
BLOCK_ORDER = np.array([2, 0, 1, 3, 5, 4], np.int32)
PIXEL_ORDER = np.array([9, 1, 0, 3, 2, 4, 5, 8, 6, 7], np.int32)
MOVES = [
    (BlockScrambling(), BLOCK_ORDER, BLOCKS[BLOCK_ORDER]),
    (PixelPermutation(), PIXEL_ORDER, BLOCKS[:, PIXEL_ORDER]),
]


@pytest.mark.parametrize(("transform", "order", "moved"), MOVES)
def test_apply_gathers_and_invert_undoes(transform, order, moved):
    np.testing.assert_array_equal(transform.apply(jnp.array(order), jnp.array(BLOCKS), SHAPE), moved)
    np.testing.assert_array_equal(transform.invert(jnp.array(order), jnp.array(moved), SHAPE), BLOCKS)


def test_they_commute():
    blocks, block_order, pixel_order = map(jnp.array, (BLOCKS, BLOCK_ORDER, PIXEL_ORDER))
    scrambled = BlockScrambling().apply(block_order, blocks, SHAPE)
    permuted = PixelPermutation().apply(pixel_order, blocks, SHAPE)
    np.testing.assert_array_equal(
        PixelPermutation().apply(pixel_order, scrambled, SHAPE), BlockScrambling().apply(block_order, permuted, SHAPE)
    )


@pytest.mark.parametrize(
    ("transform", "n"),
    [(BlockScrambling(2), NUM_BLOCKS), (PixelPermutation(3), BLOCK_VALUES)],
    ids=["blocks", "pixels"],
)
def test_draws_and_counts_restricted_permutations(transform, n):
    key = prng.wrap_key(jnp.array([1, 2], jnp.uint32), "threefry2x32")
    drawn = jax.jit(lambda key: transform.sample(key, SHAPE))(key)
    np.testing.assert_array_equal(drawn, jax.jit(lambda key: permutations.sample(key, n, transform.fixed))(key))
    assert transform.count(SHAPE) == permutations.count(n, transform.fixed)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (BlockScrambling, "fixed_blocks=7 is more than the 6 blocks of the image: choose 0 to 6"),
        (PixelPermutation, "fixed_pixels=11 is more than the 10 values of a block: choose 0 to 10"),
    ],
)
def test_no_more_positions_stay_than_there_are(transform, message):
    total = NUM_BLOCKS if transform is BlockScrambling else BLOCK_VALUES
    transform(total).check(SHAPE)
    with pytest.raises(ArgumentError, match=message):
        transform(total + 1).check(SHAPE)
