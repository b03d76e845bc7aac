"""Rotation and inversion of blocks: what the eight variants do, and that they come equally often."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from dkjax import prng
from dkjax.cipher import draws
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms import RotationFlip

KEY = prng.wrap_key(jnp.array([5, 6], jnp.uint32), "threefry2x32")


@pytest.mark.parametrize(("block_size", "channels"), [(1, 3), (2, 1), (3, 3), (4, 2)])
def test_law(block_size, channels):
    shape = BlockShape(num_blocks=8, block_size=block_size, channels=channels)
    blocks = np.arange(8 * shape.values, dtype=np.int32).reshape(8, -1)
    expected = []
    for variant, block in enumerate(blocks):
        square = block.reshape(block_size, block_size, channels)
        for _ in range(variant % 4):
            # A quarter counter-clockwise: what was the last column becomes the first row.
            square = square.transpose(1, 0, 2)[::-1]
        if variant >= 4:
            square = square[:, ::-1]
        expected.append(square.ravel())
    variants = jnp.arange(8, dtype=jnp.int32)
    encrypted = RotationFlip().apply(variants, jnp.array(blocks), shape)
    np.testing.assert_array_equal(encrypted, expected)
    np.testing.assert_array_equal(RotationFlip().invert(variants, encrypted, shape), blocks)
    of_one_block = {(row - row.min()).tobytes() for row in np.asarray(encrypted)}
    assert RotationFlip().count(shape) == len(of_one_block) ** 8
    np.testing.assert_array_equal(RotationFlip().sample(KEY, shape), draws.choices(KEY, 8, 8))


def test_rotations_and_inversions_of_the_papers_are_these():
    square = np.arange(9).reshape(3, 3)
    inversions = [lambda x: x, np.fliplr, np.flipud, lambda x: np.flipud(np.fliplr(x))]
    theirs = {invert(np.rot90(square, k)).tobytes() for k in range(4) for invert in inversions}
    shape = BlockShape(num_blocks=8, block_size=3, channels=1)
    blocks = jnp.broadcast_to(jnp.array(square.reshape(1, 9)), (8, 9))
    ours = np.asarray(RotationFlip().apply(jnp.arange(8), blocks, shape), np.int64)
    assert {row.tobytes() for row in ours} == theirs


def test_variants_are_uniform():
    """All eight ways to turn a block, seen in what becomes of its corners."""
    shape = BlockShape(num_blocks=8000, block_size=2, channels=1)
    corners = jnp.broadcast_to(jnp.arange(4, dtype=jnp.uint8)[None, :], (8000, 4))

    def pvalue(variants) -> float:
        turned = np.asarray(RotationFlip().apply(variants, corners, shape))
        seen = np.unique(turned, axis=0, return_counts=True)[1]
        return chisquare(np.pad(seen, (0, 8 - len(seen)))).pvalue

    variants = RotationFlip().sample(KEY, shape)
    assert pvalue(variants) > 1e-3
    assert pvalue(variants % 4) < 1e-3
