"""What every transform can do."""

import dataclasses
from typing import Any, Literal, Protocol

import jax
import numpy as np

from dkjax.cipher.blocks import BlockShape

Mixes = Literal["", "pixels", "channels"]
"""What a step takes apart in a block: nothing, the values of a pixel, or even those of a channel."""


@dataclasses.dataclass(frozen=True)
class Leaves:
    """What a step leaves of an image for everybody to see, as ends of a sentence that begins with "Not hidden:".

    Attributes:
        values: of the values of a block; None where each is kept.
        blocks: which blocks stay at their place, empty if none has to; None where all do.
        inside: which values of a block stay at their place, empty if none has to; None where all do.
        altered: a word for how the picture inside a block is altered, if all its values stay at their place.
    """

    values: str | None = None
    blocks: str | None = None
    inside: str | None = None
    altered: str | None = None


class Transform(Protocol):
    """One step on the blocks `[N, P]` of one image, reversible unless it has an attribute `invertible` that is False.

    A step that gives every block of an image an order of values of its own has an attribute `common_order` that is
    False. One that takes the values of pixels or channels apart says so by an attribute `mixes`; without it, readings
    and the thumbnail attack take the channels to be where they were.

    A transform is a frozen value without arrays, so it can be a static argument of a jitted function. It draws its
    parameters from a key and applies them to the blocks, or undoes that; batches are made by `vmap`.

    Those of this package also say what they leave to be seen, by a method `leaves(shape) -> Leaves`. A scheme with
    another is registered with a sentence for it.
    """

    def check(self, shape: BlockShape, dtype: np.dtype | None = None) -> None:
        """Raise `ArgumentError` if the step cannot be applied to blocks of this shape, and dtype if that is known."""

    def sample(self, key: jax.Array, shape: BlockShape) -> Any:
        """Draw the step's parameters, an array or a tuple of arrays, from a typed key of shape `[]`."""

    def apply(self, parameters: Any, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Apply the step to blocks `[N, P]`; the result has their shape and dtype."""

    def invert(self, parameters: Any, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Undo the step on blocks `[N, P]`, or raise `ArgumentError` where nothing can."""

    def count(self, shape: BlockShape) -> int | float:
        """Count the different things the step can do to blocks of this shape: an integer, or infinity."""
