"""What every transform can do."""

from typing import Any, Protocol

import jax
import numpy as np

from dkjax.cipher.blocks import BlockShape


class Transform(Protocol):
    """One reversible step on the blocks `[N, P]` of one image.

    A transform is a frozen value without arrays, so it can be a static argument of a jitted function. It draws its
    parameters from a key and applies them to the blocks, or undoes that; batches are made by `vmap`.
    """

    def check(self, shape: BlockShape, dtype: np.dtype | None = None) -> None:
        """Raise `ArgumentError` if the step cannot be applied to blocks of this shape, and dtype if that is known."""

    def sample(self, key: jax.Array, shape: BlockShape) -> Any:
        """Draw the step's parameters, an array or a tuple of arrays, from a typed key of shape `[]`."""

    def apply(self, parameters: Any, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Apply the step to blocks `[N, P]`; the result has their shape and dtype."""

    def invert(self, parameters: Any, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Undo the step on blocks `[N, P]`."""

    def count(self, shape: BlockShape) -> int | float:
        """Count the different things the step can do to blocks of this shape: an integer, or infinity."""
