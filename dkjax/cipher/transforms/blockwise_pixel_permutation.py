"""Blockwise pixel permutation: the values inside every block change places, in every block differently."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dkjax.cipher import permutations
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms.checks import check_fixed
from dkjax.cipher.transforms.transform import Leaves


@dataclasses.dataclass(frozen=True)
class BlockwisePixelPermutation:
    """Reorder the values inside every block by a restricted random permutation of its own.

    Channels mix. Each block has fixed values of its own. What a permutation that is thrown away leaves of a block is
    the multiset of its values, and those at fixed places.

    Guarantees:
        - what moves, that it can be undone, and how blocks get their keys
          (`test_blockwise_pixel_permutation.py::test_law`).
        - sorted, its blocks are those of `SortedValues` (`test_sorted_values.py::test_what_is_left_of_an_own_order`).

    Attributes:
        fixed: how many values of each block stay at their place.
    """

    common_order = False
    mixes = "channels"
    fixed: int = 0

    def check(self, shape: BlockShape, dtype: np.dtype | None = None) -> None:
        """Raise `ArgumentError` if more values are to stay than a block has; any dtype will do."""
        check_fixed("fixed_pixels", self.fixed, shape.values, "values of a block")

    def sample(self, key: jax.Array, shape: BlockShape) -> jax.Array:
        """Draw a permutation for each block, `int32[N, P]`.

        The key splits into `N` keys; key `i` draws row `i`, `permutations.sample(key i, P, fixed)`.
        """
        block_keys = jax.random.split(key, shape.num_blocks)
        return jax.vmap(lambda block_key: permutations.sample(block_key, shape.values, self.fixed))(block_keys)

    def apply(self, parameters: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Reorder each block: value `j` of block `i` of the result is its value `parameters[i, j]`."""
        return jnp.take_along_axis(blocks, parameters, axis=1, mode="promise_in_bounds")

    def invert(self, parameters: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Put the values of every block back in order."""
        return self.apply(jax.vmap(permutations.invert)(parameters), blocks, shape)

    def leaves(self, shape: BlockShape) -> Leaves:
        """Say how many values of a block stay at their place."""
        fixed = f"{self.fixed} of {shape.values} values of each block, which stay at their place"
        return Leaves(inside=fixed if self.fixed else "")

    def count(self, shape: BlockShape) -> int:
        """Count the ways to permute the values of all blocks."""
        return permutations.count(shape.values, self.fixed) ** shape.num_blocks
