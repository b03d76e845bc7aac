"""How a model reads the values of its patches: by their places, sorted, or by what a common order of them leaves.

An encryption that permutes the values of every block leaves their sorted order; one that moves them inside their
channel, or pixels as a whole, the sorted order of each channel or of the pixels. One that permutes the values of all
blocks of an image alike leaves more: which places of different blocks belong together. Each reading keeps what its
encryption leaves and does not see the permutation itself.

Source: Hartford et al., "Deep Models of Interactions Across Sets" (arXiv 1803.02879), for exchangeable matrices.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from dkjax.cipher.scheme import Scheme
from dkjax.cipher.transforms.sorted_values import luminance

Reading = Literal["values", "sorted", "sorted_channels", "sorted_pixels", "equivariant"]
"""By their places; sorted, all values, those of each channel, or pixels by their luminance; all sorted, with what an
order common to all patches of an image leaves beside."""

SORTED: tuple[Reading, ...] = ("sorted", "sorted_channels", "sorted_pixels")
"""The readings that see no order inside patches, and nothing beside their values."""

APART: tuple[Reading, ...] = ("sorted_channels", "sorted_pixels")
"""The readings in which every place of a patch holds values of one channel."""

_KEEPS = '{}: set reading = "sorted", or encrypt with sorted_blocks and order_by = "{}"'
_SIGN = np.uint32(1 << 31)

EXCHANGEABLE_LAYERS = 2
"""Layers of the equivariant reading. With one, no patch would see how its values go with functions of others."""
EXCHANGEABLE_FEATURES = 16
"""Features of every value of a patch in these layers."""


RELATION_QUANTILES = 32
"""Into how many parts, at most, the sorted values of a patch are cut to compare it with others."""
RELATION_FEATURES = 8
"""Features of every pair of patches, from which each head of each layer makes its bias."""


def unsuited(reading: Reading, scheme: Scheme) -> str | None:
    """Say why a reading would not find under a scheme what it looks for, and what to do; None if it would.

    The same images would be read in another way where they are plain, so what was learned of one were of no use for
    the other.
    """
    if reading == "equivariant" and not scheme.common_order:
        needs = "an equivariant reading needs one order of values for all blocks of an image"
        return f'{needs}, and {scheme.name} gives each block its own: set reading = "sorted"'
    if reading == "sorted_channels" and scheme.mixes == "channels":
        return f"{scheme.name} mixes {_KEEPS.format('the channels of a block', 'channel')}"
    if reading == "sorted_pixels" and scheme.mixes:
        return f"{scheme.name} takes apart {_KEEPS.format('the values of a pixel', 'luminance')}"
    return None


def patches_of(images: jax.Array, m: int) -> jax.Array:
    """Cut images `[n, H, W, C]` into the values of their patches, `[n N, M M C]`."""
    n, height, width, channels = images.shape
    grid = images.reshape(n, height // m, m, width // m, m, channels).transpose(0, 1, 3, 2, 4, 5)
    return grid.reshape(-1, m * m * channels)


def sort_patches(patches: jax.Array, channels: int = 1, reading: Reading = "sorted") -> jax.Array:
    """Sort the values of each patch, `[p, M M C]`.

    Where all are sorted already, as under `sorted_blocks`, nothing is sorted again.

    Args:
        patches: floating; the channels of a pixel follow one another. Pixels that were bytes have the order in which a
            client sorts them if they are float32, from -1 to 1.
        channels: `C`.
        reading: "sorted_channels" sorts the values of each channel among its places, and "sorted_pixels" moves pixels
            as a whole, by their luminance and among equals by the channels in turn; any other one sorts all values.

    Returns:
        The same shape and dtype.
    """
    if reading == "sorted_pixels":
        pixels = _bits_in_order(patches).reshape(patches.shape[0], -1, channels)
        # Of what was bytes, twice their luminance less the same whole number, so that what a client sorted is in order.
        light = jnp.rint(luminance(patches.reshape(pixels.shape).astype(jnp.float32)) * 255).astype(jnp.int32)
        ranks = light, *(pixels[:, :, channel] for channel in range(channels))
        _, *ranked = _sort_unless_sorted(ranks)
        return _floats_of(jnp.stack(ranked, axis=2), patches.dtype).reshape(patches.shape)
    if reading == "sorted_channels" and channels > 1:
        rows = patches.reshape(patches.shape[0], -1, channels).swapaxes(1, 2)
        ordered = sort_patches(rows.reshape(-1, rows.shape[2])).reshape(rows.shape)
        return ordered.swapaxes(1, 2).reshape(patches.shape)
    return _floats_of(_sort_unless_sorted((_bits_in_order(patches),))[0], patches.dtype)


def _bits_in_order(values: jax.Array) -> jax.Array:
    """Return unsigned numbers in the order of the floats, uint32.

    They have the sign bit turned, or all bits of a negative one. XLA for CPU sorts these 4 times faster than floats.
    """
    bits = jax.lax.bitcast_convert_type(values.astype(jnp.float32), jnp.uint32)
    return jnp.where(bits >= _SIGN, ~bits, bits | _SIGN)


def _floats_of(ranks: jax.Array, dtype: jax.typing.DTypeLike) -> jax.Array:
    bits = jnp.where(ranks >= _SIGN, ranks ^ _SIGN, ~ranks)
    return jax.lax.bitcast_convert_type(bits, jnp.float32).astype(dtype)


def _sort_unless_sorted(ranks: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    """Sort the rows of integers `[p, S]` by the first array, among equals by the next, and so on."""
    in_order = jnp.bool(True)
    for each in reversed(ranks):
        behind, before = each[:, 1:], each[:, :-1]
        in_order = (behind > before) | ((behind == before) & in_order)
    return jax.lax.cond(
        in_order.all(),
        lambda ranks: ranks,
        lambda ranks: tuple(jax.lax.sort(ranks, dimension=1, num_keys=len(ranks))),
        ranks,
    )


def kernel_of_sorted(kernel: jax.Array, channels: int = 1, reading: Reading = "sorted") -> jax.Array:
    """Turn a kernel `[P, D]` of the cosine transform of sorted values into one of the values.

    Sorted values rise together: as they are, they differ by little but their mean, and a kernel learns slowly from
    them. The coefficients of their cosine transform (type II, orthonormal), the faster ones enlarged, hold the same and
    are far less alike. The transform is folded into the kernel, where it costs next to nothing.

    Args:
        kernel: float32; what it means of coefficient `k` of channel `c` is at `k C + c`.
        channels: `C`.
        reading: where channels or pixels are sorted, every channel is transformed by itself.
    """
    apart = kernel.reshape(-1, channels * kernel.shape[1]) if reading in APART else kernel
    enlarged = jnp.sqrt(1 + jnp.arange(len(apart), dtype=jnp.float32))[:, None] * apart
    return jax.scipy.fft.idct(enlarged, axis=0, norm="ortho").reshape(kernel.shape)


def exchangeable_layer(matrix: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """Apply one layer to matrices whose rows and columns have no order of their own.

    Every element sees itself, the mean of its row, that of its column, and that of all. Permuted rows or columns of
    `matrix` permute those of the result, and change nothing else but rounding.

    Args:
        matrix: floating, `[n, R, S, F]`: `n` matrices of `F` features.
        kernel: `[4, F, G]`, one kernel for each of the four.
        bias: `[G]`.

    Returns:
        Floating, `[n, R, S, G]`.
    """
    rows, columns = (matrix.mean(axis, keepdims=True, dtype=jnp.float32) for axis in (2, 1))
    means = rows, columns, rows.mean(1, keepdims=True)
    own, *others = kernel.astype(matrix.dtype)
    common = [mean.astype(matrix.dtype) @ each for mean, each in zip(means, others, strict=True)]
    return matrix @ own + (common[0] + common[2] + bias.astype(matrix.dtype).reshape(1, 1, 1, -1)) + common[1]


def summarise_patches(ordered: jax.Array) -> jax.Array:
    """Summarise sorted values `[..., P]` of patches for `relations_of`: float32[..., K + 1].

    The first `K` numbers are the means of as many equal parts, the quantiles of the histogram; the last is the standard
    deviation.
    """
    ordered = ordered.astype(jnp.float32)
    count = ordered.shape[-1]
    parts = max(k for k in range(1, RELATION_QUANTILES + 1) if count % k == 0)
    quantiles = ordered.reshape(*ordered.shape[:-1], parts, -1).mean(-1)
    # The gradient of a root is infinite at 0; no gradient is taken of images here, but of what made them elsewhere.
    deviation = jnp.sqrt(ordered.var(-1, keepdims=True) + 1e-6)
    return jnp.concatenate([quantiles, deviation], axis=-1)


def relations_of(summaries: jax.Array) -> jax.Array:
    """Compare every patch with every other one, by what no order of their values changes.

    Args:
        summaries: float32[n, N, K + 1], of `summarise_patches`.

    Returns:
        float32[n, 3, N, N]: how much the mean and the standard deviation of the first of two patches are above the
        second's, and the distance of their histograms (Wasserstein-1: the mean absolute difference of quantiles).
    """
    quantiles, deviation = summaries[..., :-1], summaries[..., -1]
    mean = quantiles.mean(-1)
    differences = [values[:, :, None] - values[:, None, :] for values in (mean, deviation)]
    distance = jnp.abs(quantiles[:, :, None] - quantiles[:, None, :]).mean(-1)
    return jnp.stack([*differences, distance], axis=1)
