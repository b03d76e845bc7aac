"""Quantisation: bytes rounded to a few levels. It has no inverse."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms.checks import check_uint8
from dkjax.cipher.transforms.transform import Leaves
from dkjax.errors import ArgumentError

LEVELS = range(2, 257)
"""How many levels bytes can be rounded to; 256 leave them as they are."""


@dataclasses.dataclass(frozen=True)
class Quantisation:
    """Round every byte to one of `q` levels: `v` is of level `k = v q // 256`, whose value is `255 k // (q - 1)`.

    It draws nothing. All values of a level come to the same byte, so what tells them apart is gone.

    Guarantees:
        - the rule, and that 256 levels change nothing (`test_quantisation.py::test_law`).

    Attributes:
        levels: `q`, from 2 to 256.
    """

    levels: int = 256

    invertible = False

    def check(self, shape: BlockShape, dtype: np.dtype | None = None) -> None:
        """Accept bytes alone."""
        check_uint8("Quantisation", dtype)

    def sample(self, key: jax.Array, shape: BlockShape) -> tuple[()]:
        """Draw nothing."""
        return ()

    def apply(self, parameters: tuple[()], blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Round every value."""
        return value_of(level_of(blocks, self.levels), self.levels)

    def invert(self, parameters: tuple[()], blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Raise `ArgumentError`, always."""
        raise ArgumentError("quantised values cannot be decrypted: what is rounded off is in no key")

    def leaves(self, shape: BlockShape) -> Leaves:
        """Say to how many levels values are rounded."""
        return Leaves(values=f"which values are in each block, rounded to {self.levels} levels")

    def count(self, shape: BlockShape) -> int:
        """There is one way to do it."""
        return 1


def level_of(values: jax.Array, levels: int) -> jax.Array:
    """Return the level of each byte, `int32` of the same shape."""
    return values.astype(jnp.int32) * levels >> 8


def value_of(level: jax.Array, levels: int) -> jax.Array:
    """Return the byte that stands for each level, `uint8` of the same shape."""
    return (255 * level // (levels - 1)).astype(jnp.uint8)
