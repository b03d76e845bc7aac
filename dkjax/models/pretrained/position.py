"""Position embeddings for another grid of patches than they were trained on.

A position embedding is a picture of `h x w` pixels with D channels, and is resized like one, each axis by itself.
Everything is computed in float64 with NumPy, so that the same weights come out on every device.
"""

import math
from typing import Literal

import numpy as np

from dkjax.errors import ArgumentError

ResizeMethod = Literal["bicubic", "bilinear"]


def resize_position_embedding(
    embedding: np.ndarray,
    to_grid: tuple[int, int],
    *,
    from_grid: tuple[int, int] | None = None,
    class_tokens: int = 1,
    method: ResizeMethod = "bicubic",
) -> np.ndarray:
    """Resize a learned position embedding to another grid of patches.

    Args:
        embedding: floating, shape [1, class_tokens + h * w, D]: rows of class tokens first, then those of the
            patches, row by row.
        to_grid: (H, W), rows and columns of patches that are wanted.
        from_grid: (h, w); a square if None.
        class_tokens: how many rows at the front belong to no patch; they stay as they are.
        method: "bicubic" filters as timm does (Keys' kernel with a = -1/2, stretched when shrinking so that nothing
            is skipped); "bilinear" as Google's fine-tuning code does (corners on corners, no filter).

    Returns:
        float32, shape [1, class_tokens + H * W, D].

    Raises:
        ArgumentError: the grids are no positive numbers, or do not fit the embedding.

    Guarantees:
        - The same grid changes nothing (test_same_grid_is_the_identity).
        - What is the same at every position stays so (test_constant_stays_constant).
        - Rows and columns do not mix up (test_transposing_commutes).
        - Equal to timm's `resample_abs_pos_embed` (test_resizing_is_that_of_timm), to antialiased
          `jax.image.resize` (test_bicubic_is_that_of_jax) and to `scipy.ndimage.zoom`
          (test_bilinear_is_that_of_the_published_code).

    Source: Dosovitskiy et al., section 3.2.
    """
    if embedding.ndim != 3 or len(embedding) != 1:
        raise ArgumentError(f"embedding must have shape [1, L, D]; got {list(embedding.shape)}")
    num_positions = embedding.shape[1] - class_tokens
    side = math.isqrt(max(num_positions, 0))
    rows, columns = from_grid or (side, side)
    if min(rows, columns, *to_grid) < 1 or rows * columns != num_positions:
        raise ArgumentError(
            f"cannot resize {num_positions} position embeddings from {rows}x{columns} to {to_grid[0]}x{to_grid[1]}; "
            "say their grid, rows and columns, as from_grid"
        )
    embedding = np.asarray(embedding, np.float32)
    if (rows, columns) == tuple(to_grid):
        return embedding
    weights = {"bicubic": _bicubic, "bilinear": _bilinear}[method]
    grid = embedding[0, class_tokens:].astype(np.float64).reshape(rows, columns, -1)
    grid = np.einsum("ij,jkd->ikd", weights(rows, to_grid[0]), grid)
    grid = np.einsum("ij,kjd->kid", weights(columns, to_grid[1]), grid)
    resized = grid.reshape(1, -1, embedding.shape[-1]).astype(np.float32)
    return np.concatenate([embedding[:, :class_tokens], resized], axis=1)


def sincos_position_embedding(grid: tuple[int, int], width: int) -> np.ndarray:
    """Compute the fixed position embedding that some big_vision checkpoints use in place of a learned one.

    Args:
        grid: (H, W), rows and columns of patches.
        width: D, a multiple of 4.

    Returns:
        float32, shape [1, H * W, D]: sines and cosines of the column, then those of the row.

    Raises:
        ArgumentError: 4 does not divide `width`.

    Source: Beyer, Zhai and Kolesnikov, "Better plain ViT baselines for ImageNet-1k" (arXiv 2205.01580).
    """
    if width % 4 or width < 8:
        raise ArgumentError(f"a position embedding of sines and cosines needs a width that 4 divides; got {width}")
    omega = 10_000.0 ** -(np.arange(width // 4) / (width // 4 - 1))
    y, x = np.mgrid[: grid[0], : grid[1]].reshape(2, -1, 1) * omega
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1)[None].astype(np.float32)


def _bicubic(size: int, to_size: int) -> np.ndarray:
    """Weights `[to_size, size]` of Keys' cubic convolution, as wide as the larger of the two pixels."""
    ratio = size / to_size
    centres = (np.arange(to_size)[:, None] + 0.5) * ratio - 0.5
    distance = np.abs(centres - np.arange(size)) / max(ratio, 1.0)
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1.0
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4.0 * distance + 2.0
    weights = np.where(distance < 1.0, near, np.where(distance < 2.0, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)


def _bilinear(size: int, to_size: int) -> np.ndarray:
    """Weights `[to_size, size]` of straight lines between neighbours, first and last positions kept."""
    centres = np.linspace(0.0, size - 1, to_size)[:, None]
    return np.maximum(1.0 - np.abs(centres - np.arange(size)), 0.0)
