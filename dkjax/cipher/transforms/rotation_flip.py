"""Block rotation and inversion: every block is turned and perhaps mirrored."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dkjax.cipher import draws
from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms.transform import Leaves

_VARIANTS = 8


@dataclasses.dataclass(frozen=True)
class RotationFlip:
    """Turn every block by a multiple of 90 degrees and mirror it or not: one of the 8 symmetries of a square.

    Variant `v`, 0 to 7, turns a block counter-clockwise by `v mod 4` quarters, as `numpy.rot90` does, and from 4 on
    mirrors the result from left to right. The papers compose a rotation and an inversion, horizontal, vertical or both;
    that gives these 8 and no others.

    Guarantees:
        - what variants do, and that it can be undone (`test_rotation_flip.py::test_law`).
        - variants come equally often, up to the bias of `draws.choices`
          (`test_rotation_flip.py::test_variants_are_uniform`).
    """

    common_order = False

    def check(self, shape: BlockShape, dtype: np.dtype | None = None) -> None:
        """Accept every shape and dtype."""

    def sample(self, key: jax.Array, shape: BlockShape) -> jax.Array:
        """Draw every block's variant, `int32[N]`: `draws.choices(key, 8, N)`."""
        return draws.choices(key, _VARIANTS, shape.num_blocks)

    def apply(self, parameters: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Turn and mirror every block."""
        return _gather_values(_places(shape), parameters, blocks)

    def invert(self, parameters: jax.Array, blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Mirror and turn every block back."""
        return _gather_values(np.argsort(_places(shape), axis=1), parameters, blocks)

    def leaves(self, shape: BlockShape) -> Leaves:
        """Say that the picture inside a block is turned."""
        return Leaves(altered="turned")

    def count(self, shape: BlockShape) -> int:
        """Count the ways to turn and mirror the blocks; a block of one pixel has one."""
        return (_VARIANTS if shape.block_size > 1 else 1) ** shape.num_blocks


def _places(shape: BlockShape) -> np.ndarray:
    """For each variant, where in the block each value comes from: `int64[8, P]`."""
    places = np.arange(shape.values).reshape(shape.block_size, shape.block_size, shape.channels)
    turned = [np.rot90(places, quarters) for quarters in range(4)]
    return np.stack([*turned, *(np.flip(each, axis=1) for each in turned)]).reshape(_VARIANTS, shape.values)


def _gather_values(places: np.ndarray, variants: jax.Array, blocks: jax.Array) -> jax.Array:
    own = jnp.asarray(places, jnp.int32).at[variants].get(mode="promise_in_bounds")
    return jnp.take_along_axis(blocks, own, axis=1, mode="promise_in_bounds")
