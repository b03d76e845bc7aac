"""Forms of the matrix of blocks in which positions are compared."""

import numpy as np


def even_rows(blocks: np.ndarray, power: float, floor: float = 2.0) -> np.ndarray:
    """Take the mean of every row away, and even out how much rows vary.

    Args:
        blocks: float64[N, P], a block in each row.
        power: 0 leaves the rows' deviations, 1 makes them all alike, so that a block with strong edges says no more of
            the order of its values than a smooth one.
        floor: a variance that is added to every row's: what rounding leaves of a flat block says nothing.

    Returns:
        float64[N, P].
    """
    centred = blocks - blocks.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + floor + 1e-12)
    return centred / deviation**power


def whitened(rows: np.ndarray, share: float) -> np.ndarray:
    """Damp the directions in which rows vary most, so that the others count.

    Args:
        rows: float64[N, P].
        share: singular values below this share of the largest keep their proportions.

    Returns:
        float64[N, P], in the space of the blocks as before.
    """
    values, vectors = np.linalg.eigh(rows.T @ rows)
    singular = np.sqrt(np.maximum(values, 0))
    return rows @ (vectors / (singular + share * singular[-1] + 1e-12)) @ vectors.T


def components(rows: np.ndarray, count: int) -> np.ndarray:
    """The first principal components of rows, float64[n, count] or narrower."""
    centred = rows - rows.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, :count] * singular[:count]
