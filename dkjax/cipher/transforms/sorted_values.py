"""Sorted values: those of every block in ascending order. It has no inverse."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms.transform import Leaves
from dkjax.errors import ArgumentError


@dataclasses.dataclass(frozen=True)
class SortedValues:
    """Put the values of every block in ascending order, from place 0 to place P - 1; channels mix.

    It draws nothing. What is left of a block is the multiset of its values: what a `BlockwisePixelPermutation` with
    nothing fixed leaves of it once its key is gone.

    Guarantees:
        - the order, for integers and floating point numbers (`test_sorted_values.py::test_law`).
        - blocks permuted by a `BlockwisePixelPermutation`, or not at all, come to the same bytes
          (`test_sorted_values.py::test_what_is_left_of_an_own_order`).
        - it cannot be undone, and says so (`test_sorted_values.py::test_there_is_no_way_back`).
    """

    invertible = False
    common_order = False

    def check(self, shape: BlockShape, dtype: np.dtype | None = None) -> None:
        """Accept every shape, and every dtype: all that are encrypted have an order."""

    def sample(self, key: jax.Array, shape: BlockShape) -> tuple[()]:
        """Draw nothing."""
        return ()

    def apply(self, parameters: tuple[()], blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Sort the values of every block."""
        if blocks.dtype != jnp.uint8:
            return _sorted(blocks)
        return jax.lax.platform_dependent(blocks, cpu=_counted, default=_sorted)

    def invert(self, parameters: tuple[()], blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Raise `ArgumentError`, always."""
        raise ArgumentError(
            "sorted blocks cannot be decrypted: sorting discards where in its block each value was, and no key has "
            "it; "
            'to decrypt while keys live, encrypt with disposable and pixel_order="block"'
        )

    def leaves(self, shape: BlockShape) -> Leaves:
        """Say that nothing stays at its place inside a block."""
        return Leaves(inside="")

    def count(self, shape: BlockShape) -> int:
        """There is one way to do it."""
        return 1


def _sorted(blocks: jax.Array) -> jax.Array:
    return jnp.sort(blocks, axis=1)


def _counted(blocks: jax.Array) -> jax.Array:
    """Sort bytes by counting them, on a CPU in a third of the time: value `j` is the number of steps up until `j`."""
    num_blocks, values = blocks.shape
    row = jnp.arange(num_blocks, dtype=jnp.int32)[:, None]
    counts = _tally((row * 256 + blocks).ravel(), num_blocks * 256, jnp.int32).reshape(num_blocks, 256)
    ends = jnp.cumsum(counts, axis=1)[:, :-1]
    steps = _tally((row * (values + 1) + ends).ravel(), num_blocks * (values + 1), jnp.uint8)
    return jnp.cumsum(steps.reshape(num_blocks, values + 1), axis=1, dtype=jnp.uint8)[:, :values]


def _tally(places: jax.Array, size: int, dtype: jax.typing.DTypeLike) -> jax.Array:
    return jnp.zeros(size, dtype).at[places].add(1, mode="promise_in_bounds")
