"""Cutting images into blocks: the order of the values, the way back, and what cannot be cut."""

import jax.numpy as jnp
import numpy as np
import pytest

from dkjax.cipher.blocks import BlockShape, block_shape, from_blocks, to_blocks
from dkjax.errors import ArgumentError

CASES = [((4, 4, 1), 4), ((4, 6, 3), 2), ((15, 5, 5), 5), ((3, 2, 3), 1), ((32, 16, 3), 16)]


def cut_by_the_definition(image: np.ndarray, block_size: int) -> np.ndarray:
    """Blocks row by row; in each the values by row, then column, then channel."""
    height, width, channels = image.shape
    return np.array(
        [
            [
                image[top + row, left + column, channel]
                for row in range(block_size)
                for column in range(block_size)
                for channel in range(channels)
            ]
            for top in range(0, height, block_size)
            for left in range(0, width, block_size)
        ]
    )


@pytest.mark.parametrize(("shape", "block_size"), CASES)
def test_order_of_values(shape, block_size):
    image = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    blocks = to_blocks(jnp.array(image), block_size)
    expected = block_shape(shape, block_size)
    assert blocks.shape == (expected.num_blocks, expected.values)
    np.testing.assert_array_equal(blocks, cut_by_the_definition(image, block_size))


@pytest.mark.parametrize(("shape", "block_size"), CASES)
def test_put_together_again(shape, block_size):
    image = jnp.arange(np.prod(shape), dtype=jnp.int32).reshape(shape)
    np.testing.assert_array_equal(from_blocks(to_blocks(image, block_size), shape, block_size), image)


def test_shape_of_the_paper():
    assert block_shape((224, 224, 3), 16) == BlockShape(num_blocks=196, block_size=16, channels=3)
    assert block_shape((224, 224, 3), 16).values == 768


@pytest.mark.parametrize(
    ("shape", "block_size", "message"),
    [
        ((96, 100, 3), 16, "block_size=16 does not divide width=100"),
        ((100, 96, 3), 16, "block_size=16 does not divide height=100"),
        ((8, 8, 3), 16, "block_size=16 does not divide height=8"),
        ((8, 8), 4, r"expected an image shape \(height, width, channels\), got \(8, 8\)"),
        ((1, 8, 8, 3), 4, r"got \(1, 8, 8, 3\)"),
        ((0, 8, 3), 4, r"got \(0, 8, 3\)"),
        ((8, 8, 0), 4, r"got \(8, 8, 0\)"),
    ],
)
def test_what_cannot_be_cut(shape, block_size, message):
    with pytest.raises(ArgumentError, match=message):
        block_shape(shape, block_size)
