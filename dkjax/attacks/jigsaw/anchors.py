"""Which of the symmetric solutions is the picture: positions that were left in place tell, else a guess.

Nothing in a scrambled image says which way is up or which channel is red. Restricted permutations leave positions in
place, though: the solution in which many positions are where they were sent is the right one.
"""

import itertools

import numpy as np

from dkjax.attacks.symmetry import symmetries, turned


def turn_to_fixed(positions: np.ndarray) -> tuple[np.ndarray, int | None]:
    """Turn an order of values, and name its channels, so that most values are where they were sent.

    Args:
        positions: int[M, M, C], which position of the encrypted block holds each value.

    Returns:
        The order so turned, and the symmetry; or the order as it was and None where no turn does better than chance.
    """
    own = np.arange(positions.size).reshape(positions.shape)
    best, symmetry, most = positions, None, _by_chance(positions.size)
    for number, other in symmetries(positions):
        for names in itertools.permutations(range(positions.shape[2])):
            count = int((other[..., names] == own).sum())
            if count > most:
                best, symmetry, most = other[..., names], number, count
    return best, symmetry


def symmetry_of_layout(layout: np.ndarray) -> int | None:
    """Find the symmetry in which most blocks are where they were sent, or None where that may be chance.

    Args:
        layout: int[rows, columns], which encrypted block stands where.
    """
    own = np.arange(layout.size).reshape(layout.shape)
    counts = {number: int((other == own).sum()) for number, other in symmetries(layout)}
    best = max(counts, key=lambda number: counts[number])
    return best if counts[best] > _by_chance(layout.size) else None


def name_channels(image: np.ndarray) -> np.ndarray:
    """Guess which of three channels is red, green and blue, as they are in most photographs.

    Red is brightest and blue darkest.

    Args:
        image: `[H, W, 3]` with its channels in any order; of another number of channels it is returned as it is.

    Returns:
        The image with its channels in the order guessed.
    """
    if image.shape[2] != 3:
        return image
    return image[..., np.argsort(-image.mean(axis=(0, 1)), kind="stable")]


def turn_solution(positions: np.ndarray, layout: np.ndarray, symmetry: int) -> tuple[np.ndarray, np.ndarray]:
    """Turn the values inside the blocks and the blocks alike."""
    return turned(positions, symmetry), turned(layout, symmetry)


def _by_chance(size: int) -> float:
    """A count of fixed points that random permutations, whose mean is one, do not reach in any symmetry."""
    return max(8, size / 50)
