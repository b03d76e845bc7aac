"""The negative-positive transformation: some values become their negative."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dkjax.cipher import draws
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms.checks import check_uint8
from dkjax.cipher.transforms.transform import Leaves


@dataclasses.dataclass(frozen=True)
class NegativePositive:
    """Turn `v` into `255 - v` where a random bit is one.

    The distance of a value from mid-grey, `|v - 127.5|`, is kept. Images must be `uint8`.

    Guarantees:
        - a value becomes its negative exactly where its bit is one, and again does so back
          (`test_negative_positive.py::test_law`).
        - the number of different results is the count (`test_all_schemes.py::test_count_by_brute_force`).

    Attributes:
        per_block: every block has bits of its own; otherwise all blocks share them.
        per_value: every value of a block has a bit of its own; otherwise one bit is for all values of the block.
    """

    per_block: bool = True
    per_value: bool = False

    def check(self, shape: BlockShape, dtype: np.dtype | None = None) -> None:
        """Raise `ArgumentError` for images that are not `uint8`."""
        check_uint8("NegativePositive", dtype)

    def sample(self, key: jax.Array, shape: BlockShape) -> jax.Array:
        """Draw the bits, `uint8[N or 1, P or 1]`: `draws.bits(key, (N or 1, P or 1))`, blocks first."""
        return draws.bits(key, self._bits_shape(shape))

    def apply(self, parameters: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Negate the values whose bit is one; value `j` of block `i` has bit `[i or 0, j or 0]`."""
        # 255 - v is the exclusive or with eight ones.
        return blocks ^ jnp.broadcast_to(parameters * jnp.uint8(255), blocks.shape)

    def invert(self, parameters: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Negate them once more."""
        return self.apply(parameters, blocks, shape)

    def leaves(self, shape: BlockShape) -> Leaves:
        """Say that distances from mid-grey stay."""
        return Leaves(values="how far the values of every block lie from mid-grey", altered="negated")

    def count(self, shape: BlockShape) -> int:
        """Count the settings of the bits."""
        rows, columns = self._bits_shape(shape)
        return 1 << (rows * columns)

    def _bits_shape(self, shape: BlockShape) -> tuple[int, int]:
        return shape.num_blocks if self.per_block else 1, shape.values if self.per_value else 1
