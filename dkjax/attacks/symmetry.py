"""The eight symmetries of a square, among which nothing tells that is left of a scrambled image."""

from collections.abc import Iterator

import numpy as np


def turned(grid: np.ndarray, symmetry: int) -> np.ndarray:
    """Turn or mirror an array over its first two axes.

    Args:
        grid: `[H, W, ...]`.
        symmetry: 0 to 7; 0 changes nothing, from 4 on the axes are exchanged first.

    Returns:
        A view of the array, `[W, H, ...]` for odd turns of `[H, W, ...]`.
    """
    return np.rot90(np.swapaxes(grid, 0, 1) if symmetry >= 4 else grid, symmetry % 4)


def symmetries(grid: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Every symmetry that keeps the shape of an array: eight of a square, four of another rectangle.

    Args:
        grid: `[H, W, ...]`.

    Yields:
        The symmetry's number and the array so turned.
    """
    for number in range(8):
        other = turned(grid, number)
        if other.shape == grid.shape:
            yield number, other
