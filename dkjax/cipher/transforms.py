"""The small reversible steps that a scheme is made of.

A transform draws its parameters from a key and applies them to the blocks `[N, P]` of one image, or undoes that. It is
a frozen value without arrays, so it can be a static argument of a jitted function; batches are made by `vmap`.
"""

import dataclasses
from typing import Protocol

import jax

from dkjax.cipher import permutations
from dkjax.errors import ArgumentError


class Transform(Protocol):
    """One reversible step on the blocks of an image."""

    def check(self, num_blocks: int, block_values: int) -> None:
        """Raise `ArgumentError` if the step cannot be applied to `[num_blocks, block_values]`."""

    def sample(self, key: jax.Array, num_blocks: int, block_values: int) -> jax.Array:
        """Draw the step's parameters from a typed key of shape `[]`."""

    def apply(self, parameters: jax.Array, blocks: jax.Array) -> jax.Array:
        """Apply the step to blocks `[N, P]`."""

    def invert(self, parameters: jax.Array, blocks: jax.Array) -> jax.Array:
        """Undo the step on blocks `[N, P]`."""

    def count(self, num_blocks: int, block_values: int) -> int:
        """Count the different things the step can do to `[num_blocks, block_values]`."""


@dataclasses.dataclass(frozen=True)
class BlockScrambling:
    """Reorder the blocks of an image by a restricted random permutation.

    Attributes:
        fixed: how many blocks stay at their place (the paper's N_bs).
    """

    fixed: int = 0

    def check(self, num_blocks: int, block_values: int) -> None:
        """Raise `ArgumentError` if more blocks are to stay than there are."""
        _check_fixed("fixed_blocks", self.fixed, num_blocks, "blocks of the image")

    def sample(self, key: jax.Array, num_blocks: int, block_values: int) -> jax.Array:
        """Draw the permutation of the blocks, `int32[N]`."""
        return permutations.sample(key, num_blocks, self.fixed)

    def apply(self, parameters: jax.Array, blocks: jax.Array) -> jax.Array:
        """Reorder the blocks."""
        return blocks.at[parameters].get(mode="promise_in_bounds", unique_indices=True)

    def invert(self, parameters: jax.Array, blocks: jax.Array) -> jax.Array:
        """Put the blocks back in order."""
        return self.apply(permutations.invert(parameters), blocks)

    def count(self, num_blocks: int, block_values: int) -> int:
        """Count the permutations of the blocks."""
        return permutations.count(num_blocks, self.fixed)


@dataclasses.dataclass(frozen=True)
class PixelPermutation:
    """Reorder the values inside every block by one restricted random permutation, the same for all blocks.

    Channels mix: a value may move from red to blue.

    Attributes:
        fixed: how many values of a block stay at their place (the paper's N_ps).
    """

    fixed: int = 0

    def check(self, num_blocks: int, block_values: int) -> None:
        """Raise `ArgumentError` if more values are to stay than a block has."""
        _check_fixed("fixed_pixels", self.fixed, block_values, "values of a block")

    def sample(self, key: jax.Array, num_blocks: int, block_values: int) -> jax.Array:
        """Draw the permutation of a block's values, `int32[P]`."""
        return permutations.sample(key, block_values, self.fixed)

    def apply(self, parameters: jax.Array, blocks: jax.Array) -> jax.Array:
        """Reorder the values of every block."""
        return blocks.at[:, parameters].get(mode="promise_in_bounds", unique_indices=True)

    def invert(self, parameters: jax.Array, blocks: jax.Array) -> jax.Array:
        """Put the values of every block back in order."""
        return self.apply(permutations.invert(parameters), blocks)

    def count(self, num_blocks: int, block_values: int) -> int:
        """Count the permutations of a block's values."""
        return permutations.count(block_values, self.fixed)


def _check_fixed(name: str, fixed: int, total: int, of_what: str) -> None:
    if fixed > total:
        raise ArgumentError(f"{name}={fixed} is more than the {total} {of_what}: choose 0 to {total}")
