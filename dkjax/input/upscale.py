"""Upscaling images inside a compiled program, to the bytes of `dkjax.sources.resize` on the host.

Pillow filters rows, then columns, in integers: weights of 22 bits, sums of 32, rounded to bytes in between. Integers
are the same on every device.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from dkjax.cipher.fence import apart_on_cpu
from dkjax.errors import ArgumentError

_WEIGHT_BITS = 22


def upscale_bilinear(images: jax.Array, image_size: tuple[int, int]) -> jax.Array:
    """Upscale images with a bilinear filter.

    Height and width are scaled independently, and each channel by itself.

    Args:
        images: uint8[n, h, w, c].
        image_size: (H, W), neither smaller than the images'. Images are reduced on the host: Pillow's versions reduce
            rows and columns in different orders, which changes the last bit.

    Returns:
        uint8[n, H, W, c]; the images themselves where they have that size.

    Raises:
        ArgumentError: images of another dtype or rank, or a side that would be reduced.

    Guarantees:
        - the same bytes as `resize_images` (`test_upscale.py::test_equals_pillow`), on any device.
    """
    if images.dtype != jnp.uint8 or images.ndim != 4:
        raise ArgumentError(f"images must be uint8[n, h, w, c], got {images.dtype}{list(images.shape)}")
    for axis, (have, wanted) in enumerate(zip(images.shape[1:3], image_size, strict=True), start=1):
        if wanted < have:
            name = ("height", "width")[axis - 1]
            raise ArgumentError(f"{name}={have} cannot be reduced to {wanted} here: use dkjax.sources.resize_images")
    return _along(_along(images, 2, image_size[1]), 1, image_size[0])


def _along(images: jax.Array, axis: int, length: int) -> jax.Array:
    """Upscale one axis."""
    if images.shape[axis] == length:
        return images
    return apart_on_cpu(functools.partial(_filtered, axis=axis, length=length))(images)


def _filtered(images: jax.Array, *, axis: int, length: int) -> jax.Array:
    have = images.shape[axis]
    first, weights = _weights(have, length)
    across = [other for other in range(4) if other != axis]
    total = jnp.full((), 1 << _WEIGHT_BITS - 1, jnp.int32)
    for number, weight in enumerate(weights):
        # Where there is no such pixel its weight is 0.
        pixels = jnp.take(images, np.minimum(first + number, have - 1), axis, mode="clip")
        total = total + pixels.astype(jnp.int32) * np.expand_dims(weight, across)
    return (total >> _WEIGHT_BITS).astype(jnp.uint8)


@functools.lru_cache(maxsize=16)
def _weights(length: int, enlarged: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return Pillow's weights, triangles around the place of each new pixel among the old.

    Returns:
        The first of the old pixels that each new one is made of, int32[enlarged], and the weights of this and the next
        ones, int32[3, enlarged], 0 where fewer are taken.
    """
    firsts = np.zeros(enlarged, np.int32)
    weights = np.zeros((3, enlarged), np.int32)
    scale = length / enlarged
    for place in range(enlarged):
        centre = (place + 0.5) * scale
        first, stop = max(int(centre - 0.5), 0), min(int(centre + 1.5), length)
        heights = [max(0.0, 1.0 - abs(old - centre + 0.5)) for old in range(first, stop)]
        total = sum(heights)
        firsts[place] = first
        weights[: stop - first, place] = [int(0.5 + height / total * (1 << _WEIGHT_BITS)) for height in heights]
    return firsts, weights[weights.any(axis=1)]
