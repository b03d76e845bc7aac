"""Sorted values: those of every block in ascending order. It has no inverse."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from dkjax.cipher.blocks import BlockShape
from dkjax.cipher.transforms.checks import check_uint8
from dkjax.cipher.transforms.transform import Leaves, Mixes
from dkjax.errors import ArgumentError

OrderBy = Literal["value", "channel", "luminance"]
"""What is sorted: all values of a block, those of each channel, or whole pixels by their luminance."""

_MIXES: dict[OrderBy, Mixes] = {"value": "channels", "channel": "pixels", "luminance": ""}
_WEIGHTS = {3: (299, 587, 114)}
"""Thousandths of the luminance of red, green and blue (ITU-R BT.601); other channels count alike."""


@dataclasses.dataclass(frozen=True)
class SortedValues:
    """Put the values of every block in ascending order.

    It draws nothing. By value, all `P` are sorted, from place 0 to place P - 1, and channels mix; what is left of a
    block is the multiset of its values: what a `BlockwisePixelPermutation` with nothing fixed leaves of it once its
    key is gone. By channel, those of each channel are sorted among the places of that channel: a multiset for each. By
    luminance, pixels move as a whole, ordered by `299 R + 587 G + 114 B`, or by the sum of channels that are not three,
    and among equals by the channels in turn: the multiset of colours.

    Guarantees:
        - the order, for integers and floating point numbers (`test_sorted_values.py::test_law`), by channel
          (`test_sorted_values.py::test_by_channel`) and by luminance (`test_sorted_values.py::test_by_luminance`).
        - blocks permuted by a `BlockwisePixelPermutation`, or not at all, come to the same bytes
          (`test_sorted_values.py::test_what_is_left_of_an_own_order`).
        - by channel and by luminance the order of the pixels leaves no trace
          (`test_sorted_values.py::test_no_order_of_pixels_is_left`).
        - it cannot be undone, and says so (`test_sorted_values.py::test_there_is_no_way_back`).

    Attributes:
        order_by: what is sorted.
    """

    order_by: OrderBy = "value"

    invertible = False
    common_order = False

    @property
    def mixes(self) -> Mixes:
        """What is no longer together once the values of a block are sorted."""
        return _MIXES[self.order_by]

    def check(self, shape: BlockShape, dtype: np.dtype | None = None) -> None:
        """Accept every shape, and every dtype: all that are encrypted have an order. Luminance is of bytes alone."""
        if self.order_by == "luminance":
            check_uint8("SortedValues by luminance", dtype)

    def sample(self, key: jax.Array, shape: BlockShape) -> tuple[()]:
        """Draw nothing."""
        return ()

    def apply(self, parameters: tuple[()], blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Sort the values of every block."""
        if self.order_by == "value":
            return _sort_rows(blocks)
        pixels = blocks.reshape(len(blocks), -1, shape.channels)
        if self.order_by == "luminance":
            return _by_luminance(pixels).reshape(blocks.shape)
        rows = pixels.swapaxes(1, 2)
        return _sort_rows(rows.reshape(-1, rows.shape[2])).reshape(rows.shape).swapaxes(1, 2).reshape(blocks.shape)

    def invert(self, parameters: tuple[()], blocks: jax.Array, shape: BlockShape) -> jax.Array:
        """Raise `ArgumentError`, always."""
        raise ArgumentError(
            "sorted blocks cannot be decrypted: sorting discards where in its block each value was, and no key has "
            "it; "
            'to decrypt while keys live, encrypt with disposable and pixel_order="block"'
        )

    def leaves(self, shape: BlockShape) -> Leaves:
        """Say that nothing stays at its place inside a block, and what stays together."""
        together = {"channel": "of which channel", "luminance": "of one pixel"}.get(self.order_by)
        return Leaves(inside=f"which values of a block are {together}" if together else "")

    def count(self, shape: BlockShape) -> int:
        """There is one way to do it."""
        return 1


def _sort_rows(rows: jax.Array) -> jax.Array:
    if rows.dtype != jnp.uint8:
        return _sorted(rows)
    return jax.lax.platform_dependent(rows, cpu=_counted, default=_sorted)


def luminance(pixels: jax.Array) -> jax.Array:
    """Return the luminance of pixels `[..., C]`, times 1 000: of RGB as by ITU-R BT.601, of others the sum."""
    channels = [pixels[..., channel] for channel in range(pixels.shape[-1])]
    weights = _WEIGHTS.get(len(channels), (1,) * len(channels))
    parts = [each * weight for each, weight in zip(channels, weights, strict=True)]
    return sum(parts[1:], parts[0])


def _by_luminance(pixels: jax.Array) -> jax.Array:
    """Sort pixels `uint8[N, S, C]` of each block."""
    channels = [pixels[:, :, channel] for channel in range(pixels.shape[2])]
    light = luminance(pixels.astype(jnp.int32))
    ranked = jax.lax.sort((light, *channels), dimension=1, num_keys=1 + len(channels))
    return jnp.stack(ranked[1:], axis=2)


def _sorted(blocks: jax.Array) -> jax.Array:
    return jnp.sort(blocks, axis=1)


def _counted(blocks: jax.Array) -> jax.Array:
    """Sort bytes by counting them, on a CPU in a third of the time: value `j` is the number of steps up until `j`."""
    num_blocks, values = blocks.shape
    row = jnp.arange(num_blocks, dtype=jnp.int32)[:, None]
    counts = tally((row * 256 + blocks).ravel(), num_blocks * 256, jnp.int32).reshape(num_blocks, 256)
    ends = jnp.cumsum(counts, axis=1)[:, :-1]
    steps = tally((row * (values + 1) + ends).ravel(), num_blocks * (values + 1), jnp.uint8)
    return jnp.cumsum(steps.reshape(num_blocks, values + 1), axis=1, dtype=jnp.uint8)[:, :values]


def tally(places: jax.Array, size: int, dtype: jax.typing.DTypeLike) -> jax.Array:
    """Count how often each of `size` places is named, `dtype[size]`."""
    return jnp.zeros(size, dtype).at[places].add(1, mode="promise_in_bounds")
