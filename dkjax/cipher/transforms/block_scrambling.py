"""Block scrambling: the blocks of an image change places."""

import dataclasses

import jax
import numpy as np

from dkjax.cipher import permutations
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms.checks import check_fixed
from dkjax.cipher.transforms.transform import Leaves


@dataclasses.dataclass(frozen=True)
class BlockScrambling:
    """Reorder the blocks of an image by a restricted random permutation.

    Guarantees:
        - what moves, and that it can be undone (`test_transforms.py::test_apply_gathers_and_invert_undoes`).
        - the draw is `permutations.sample` (`test_transforms.py::test_draws_and_counts_restricted_permutations`).

    Attributes:
        fixed: how many blocks stay at their place (the paper's N_bs).
    """

    fixed: int = 0

    def check(self, shape: BlockShape, dtype: np.dtype | None = None) -> None:
        """Raise `ArgumentError` if more blocks are to stay than there are; any dtype will do."""
        check_fixed("fixed_blocks", self.fixed, shape.num_blocks, "blocks of the image")

    def sample(self, key: jax.Array, shape: BlockShape) -> jax.Array:
        """Draw the permutation of the blocks, `int32[N]`: `permutations.sample(key, N, fixed)`."""
        return permutations.sample(key, shape.num_blocks, self.fixed)

    def apply(self, parameters: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Reorder the blocks: block `i` of the result is block `parameters[i]`."""
        return blocks.at[parameters].get(mode="promise_in_bounds", unique_indices=True)

    def invert(self, parameters: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Put the blocks back in order."""
        return self.apply(permutations.invert(parameters), blocks, shape)

    def leaves(self, shape: BlockShape) -> Leaves:
        """Say which blocks stay at their place."""
        fixed = f"{self.fixed} of {shape.num_blocks} blocks, which stay at their place"
        return Leaves(blocks=fixed if self.fixed else "")

    def count(self, shape: BlockShape) -> int:
        """Count the permutations of the blocks."""
        return permutations.count(shape.num_blocks, self.fixed)
