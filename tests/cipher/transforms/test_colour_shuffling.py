"""Colour-component shuffling: which channel goes where, and that all orders come equally often."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from dkjax import prng
from dkjax.cipher import draws
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms import ColourShuffling
from dkjax.errors import ArgumentError

KEY = prng.wrap_key(jnp.array([3, 4], jnp.uint32), "threefry2x32")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("per_block", [True, False])
def test_law(channels, per_block):
    shape = BlockShape(num_blocks=7, block_size=2, channels=channels)
    transform = ColourShuffling(per_block)
    orders = list(itertools.permutations(range(channels)))
    numbers = np.asarray(transform.sample(KEY, shape))
    np.testing.assert_array_equal(numbers, draws.choices(KEY, len(orders), 7 if per_block else 1))
    blocks = np.arange(7 * shape.values, dtype=np.int32).reshape(7, -1)
    expected = [
        block.reshape(4, channels)[:, list(orders[numbers[i if per_block else 0]])].ravel()
        for i, block in enumerate(blocks)
    ]
    encrypted = transform.apply(jnp.array(numbers), jnp.array(blocks), shape)
    np.testing.assert_array_equal(encrypted, expected)
    np.testing.assert_array_equal(transform.invert(jnp.array(numbers), encrypted, shape), blocks)
    assert transform.count(shape) == len(orders) ** len(numbers)


def test_orders_are_uniform():
    """All six orders of three channels, seen in what becomes of the channels."""
    shape = BlockShape(num_blocks=6000, block_size=1, channels=3)
    channels = jnp.broadcast_to(jnp.arange(3, dtype=jnp.uint8)[None, :], (6000, 3))

    def pvalue(numbers) -> float:
        moved = np.asarray(ColourShuffling().apply(numbers, channels, shape))
        seen = [(moved == order).all(axis=1).sum() for order in itertools.permutations(range(3))]
        assert sum(seen) == 6000
        return chisquare(seen).pvalue

    numbers = ColourShuffling().sample(KEY, shape)
    assert pvalue(numbers) > 1e-3
    # Three of the six orders are rotations of the channels: drawing a rotation is not drawing an order.
    assert pvalue(jnp.array([0, 3, 4])[numbers % 3]) < 1e-3


def test_too_many_channels():
    ColourShuffling().check(BlockShape(1, 1, 6), np.dtype("float32"))
    with pytest.raises(ArgumentError, match="of at most 6 channels, got 7"):
        ColourShuffling().check(BlockShape(1, 1, 7))
