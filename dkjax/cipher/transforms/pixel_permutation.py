"""Pixel permutation: the values inside every block change places."""

import dataclasses

import jax
import numpy as np

from dkjax.cipher import permutations
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms.checks import check_fixed
from dkjax.cipher.transforms.transform import Leaves


@dataclasses.dataclass(frozen=True)
class PixelPermutation:
    """Reorder the values inside every block by one restricted random permutation, the same for all blocks.

    Channels mix: a value may move from red to blue.

    Guarantees:
        - what moves, and that it can be undone (`test_transforms.py::test_apply_gathers_and_invert_undoes`).
        - the draw is `permutations.sample` (`test_transforms.py::test_draws_and_counts_restricted_permutations`).

    Attributes:
        fixed: how many values of a block stay at their place (the paper's N_ps).
    """

    fixed: int = 0

    mixes = "channels"

    def check(self, shape: BlockShape, dtype: np.dtype | None = None) -> None:
        """Raise `ArgumentError` if more values are to stay than a block has; any dtype will do."""
        check_fixed("fixed_pixels", self.fixed, shape.values, "values of a block")

    def sample(self, key: jax.Array, shape: BlockShape) -> jax.Array:
        """Draw the permutation of a block's values, `int32[P]`: `permutations.sample(key, P, fixed)`."""
        return permutations.sample(key, shape.values, self.fixed)

    def apply(self, parameters: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Reorder the values of every block: value `i` of the result is value `parameters[i]`."""
        return blocks.at[:, parameters].get(mode="promise_in_bounds", unique_indices=True)

    def invert(self, parameters: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Put the values of every block back in order."""
        return self.apply(permutations.invert(parameters), blocks, shape)

    def leaves(self, shape: BlockShape) -> Leaves:
        """Say how many values of a block stay at their place."""
        fixed = f"{self.fixed} of {shape.values} values of each block, which stay at their place"
        return Leaves(inside=fixed if self.fixed else "")

    def count(self, shape: BlockShape) -> int:
        """Count the permutations of a block's values."""
        return permutations.count(shape.values, self.fixed)
