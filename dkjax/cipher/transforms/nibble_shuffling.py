"""Nibble shuffling: the upper and lower halves of bytes are reversed here and there, and change places."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from dkjax.cipher import draws, permutations
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms.checks import check_uint8
from dkjax.cipher.transforms.transform import Leaves


@dataclasses.dataclass(frozen=True)
class NibbleShuffling:
    """Split the bytes of a block into nibbles, reverse some, permute all, and put them together again.

    The `2P` nibbles of a block are the upper four bits of its `P` values, in order, and then the lower four bits.
    First nibble `j` becomes `15 - x` where its bit is one; then nibble `i` of the result is nibble `order[i]`; value
    `i` is put together from nibbles `i` (upper) and `P + i` (lower). Images must be `uint8`.

    Guarantees:
        - the law above, and the way back (`test_nibble_shuffling.py::test_law`).
        - the order is uniform up to the bias of `permutations.sample`, bits are independent of it
          (`test_nibble_shuffling.py::test_the_two_draws`).

    Attributes:
        per_block: every block has bits and an order of its own; otherwise all blocks share them.
    """

    per_block: bool = False

    mixes = "channels"

    @property
    def common_order(self) -> bool:
        """Whether all blocks of an image have one order."""
        return not self.per_block

    def check(self, shape: BlockShape, dtype: np.dtype | None = None) -> None:
        """Raise `ArgumentError` for images that are not `uint8`."""
        check_uint8("NibbleShuffling", dtype)

    def sample(self, key: jax.Array, shape: BlockShape) -> tuple[jax.Array, jax.Array]:
        """Draw which nibbles are reversed, `uint8[R, 2P]`, and their order, `int32[R, 2P]`, with `R = N or 1`.

        Child 0 of the key draws the bits, `draws.bits(child 0, (R, 2P))`. Child 1 splits into `R` keys; key `r` draws
        row `r` of the order, `permutations.sample(key r, 2P)`.
        """
        rows, nibbles = self._rows(shape), 2 * shape.values
        bits_key, order_key = jax.random.split(key, 2)
        reversed_nibbles = draws.bits(bits_key, (rows, nibbles))
        order = jax.vmap(lambda row_key: permutations.sample(row_key, nibbles))(jax.random.split(order_key, rows))
        return reversed_nibbles, order

    def apply(self, parameters: tuple[jax.Array, jax.Array], blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Reverse nibbles, then permute them."""
        reversed_nibbles, order = parameters
        return _joined(_permuted(order, _reversed(reversed_nibbles, _split(blocks))))

    def invert(self, parameters: tuple[jax.Array, jax.Array], blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Put the nibbles back in order, then reverse the same ones."""
        reversed_nibbles, order = parameters
        return _joined(_reversed(reversed_nibbles, _permuted(jax.vmap(permutations.invert)(order), _split(blocks))))

    def leaves(self, shape: BlockShape) -> Leaves:
        """Say that the nibbles of a block stay in it."""
        kept = "the half-bytes of every block, which move, or become 15 minus themselves, and do not change otherwise"
        return Leaves(values=kept, inside="")

    def count(self, shape: BlockShape) -> int:
        """Count the ways to reverse and permute the nibbles of every block."""
        nibbles = 2 * shape.values
        return (math.factorial(nibbles) << nibbles) ** self._rows(shape)

    def _rows(self, shape: BlockShape) -> int:
        return shape.num_blocks if self.per_block else 1


def _split(blocks: jax.Array) -> jax.Array:
    return jnp.concatenate([blocks >> 4, blocks & 15], axis=1)


def _joined(nibbles: jax.Array) -> jax.Array:
    upper, lower = jnp.split(nibbles, 2, axis=1)
    return (upper << 4) | lower


def _reversed(bits: jax.Array, nibbles: jax.Array) -> jax.Array:
    # 15 - x is the exclusive or with four ones.
    return nibbles ^ jnp.broadcast_to(bits * jnp.uint8(15), nibbles.shape)


def _permuted(order: jax.Array, nibbles: jax.Array) -> jax.Array:
    if len(order) == 1:
        return nibbles.at[:, order[0]].get(mode="promise_in_bounds", unique_indices=True)
    return jnp.take_along_axis(nibbles, order, axis=1, mode="promise_in_bounds")
