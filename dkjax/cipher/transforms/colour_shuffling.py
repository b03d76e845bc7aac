"""Colour-component shuffling: the channels of a block change places."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np

from dkjax.cipher import draws
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms.transform import Leaves
from dkjax.errors import ArgumentError

_MAX_CHANNELS = 6


@dataclasses.dataclass(frozen=True)
class ColourShuffling:
    """Reorder the channels of a block by one of their `C!` orders.

    The orders are counted as `itertools.permutations(range(C))` gives them, from 0, which leaves the channels as they
    are. With three channels: 012, 021, 102, 120, 201, 210. An image of one channel stays as it is.

    Guarantees:
        - channel `c` of a block's pixels is channel `order[c]` of the plain ones
          (`test_colour_shuffling.py::test_law`).
        - orders come equally often, up to the bias of `draws.choices`
          (`test_colour_shuffling.py::test_orders_are_uniform`).

    Attributes:
        per_block: every block has an order of its own; otherwise one is for all blocks.
    """

    per_block: bool = True

    mixes = "channels"

    @property
    def common_order(self) -> bool:
        """Whether all blocks of an image have one order."""
        return not self.per_block

    def check(self, shape: BlockShape, dtype: np.dtype | None = None) -> None:
        """Raise `ArgumentError` for more channels than there are tables of orders for; any dtype will do."""
        if shape.channels > _MAX_CHANNELS:
            raise ArgumentError(
                f"ColourShuffling draws one of the orders of at most {_MAX_CHANNELS} channels, got {shape.channels}: "
                "choose a scheme without it"
            )

    def sample(self, key: jax.Array, shape: BlockShape) -> jax.Array:
        """Draw the number of each block's order, `int32[N or 1]`: `draws.choices(key, C!, N or 1)`."""
        return draws.choices(key, math.factorial(shape.channels), self._rows(shape))

    def apply(self, parameters: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Reorder the channels of every block."""
        return _gather_channels(_orders(shape.channels), parameters, blocks, shape)

    def invert(self, parameters: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Put the channels of every block back in order."""
        return _gather_channels(np.argsort(_orders(shape.channels), axis=1), parameters, blocks, shape)

    def leaves(self, shape: BlockShape) -> Leaves:
        """Say that the picture inside a block is recoloured."""
        return Leaves(altered="recoloured")

    def count(self, shape: BlockShape) -> int:
        """Count the ways to choose an order for every block."""
        return math.factorial(shape.channels) ** self._rows(shape)

    def _rows(self, shape: BlockShape) -> int:
        return shape.num_blocks if self.per_block else 1


def _orders(channels: int) -> np.ndarray:
    return np.array(list(itertools.permutations(range(channels))), np.int32)


def _gather_channels(orders: np.ndarray, numbers: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
    own = jnp.asarray(orders, jnp.int32).at[numbers].get(mode="promise_in_bounds")
    pixels = blocks.reshape(shape.num_blocks, shape.block_size**2, shape.channels)
    own = jnp.broadcast_to(own[:, None, :], pixels.shape)
    return jnp.take_along_axis(pixels, own, axis=2, mode="promise_in_bounds").reshape(blocks.shape)
