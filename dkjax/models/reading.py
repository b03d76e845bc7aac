"""How a model reads the values of its patches: by their places, sorted, or by what a common order of them leaves.

An encryption that permutes the values of every block leaves their sorted order. One that permutes those of all blocks
of an image alike leaves more: which places of different blocks belong together. Both readings keep what the permutation
leaves and do not see the permutation itself.

Source: Hartford et al., "Deep Models of Interactions Across Sets" (arXiv 1803.02879), for exchangeable matrices.
"""

from typing import Literal

import jax
import jax.numpy as jnp

Reading = Literal["values", "sorted", "equivariant"]
"""By their places; sorted; sorted, with what an order common to all patches of an image leaves beside."""

EXCHANGEABLE_LAYERS = 2
"""Layers of the equivariant reading. With one, no patch would see how its values go with functions of others."""
EXCHANGEABLE_FEATURES = 16
"""Features of every value of a patch in these layers."""


RELATION_QUANTILES = 32
"""Into how many parts, at most, the sorted values of a patch are cut to compare it with others."""
RELATION_FEATURES = 8
"""Features of every pair of patches, from which each head of each layer makes its bias."""


def patches_of(images: jax.Array, m: int) -> jax.Array:
    """Cut images `[n, H, W, C]` into the values of their patches, `[n N, M M C]`."""
    n, height, width, channels = images.shape
    grid = images.reshape(n, height // m, m, width // m, m, channels).transpose(0, 1, 3, 2, 4, 5)
    return grid.reshape(-1, m * m * channels)


def sort_patches(patches: jax.Array) -> jax.Array:
    """Sort the values of each patch, `[p, M M C]`.

    Sorted are unsigned numbers that have the order of the floats: with the sign bit turned, or all bits of a negative
    one. XLA for CPU sorts these 4 times faster than floats. Where all are sorted already, as under
    `sorted_blocks`, nothing is sorted again.
    """
    sign = jnp.uint32(1 << 31)
    bits = jax.lax.bitcast_convert_type(patches.astype(jnp.float32), jnp.uint32)
    ranks = jnp.where(bits >= sign, ~bits, bits | sign)
    in_order = jnp.all(ranks[:, 1:] >= ranks[:, :-1])
    ranked = jax.lax.cond(in_order, lambda ranks: ranks, lambda ranks: jnp.sort(ranks, axis=1), ranks)
    bits = jnp.where(ranked >= sign, ranked ^ sign, ~ranked)
    return jax.lax.bitcast_convert_type(bits, jnp.float32).astype(patches.dtype)


def kernel_of_sorted(kernel: jax.Array) -> jax.Array:
    """Turn a kernel `[P, D]` of the cosine transform of sorted values into one of the values.

    Sorted values rise together: as they are, they differ by little but their mean, and a kernel learns slowly from
    them. The coefficients of their cosine transform (type II, orthonormal), the faster ones enlarged, hold the same and
    are far less alike. The transform is folded into the kernel, where it costs next to nothing.
    """
    enlarged = jnp.sqrt(1 + jnp.arange(len(kernel), dtype=jnp.float32))[:, None] * kernel
    return jax.scipy.fft.idct(enlarged, axis=0, norm="ortho")


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
