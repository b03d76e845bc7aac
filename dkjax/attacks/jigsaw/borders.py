"""How well one block continues another: Mahalanobis gradient compatibility.

The change of values across a border is compared with the changes inside the two blocks along it, by their mean and
covariance over the channels (Gallagher 2012, "Jigsaw puzzles with pieces of unknown orientation").
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Borders:
    """How badly blocks fit each other.

    Attributes:
        right: float64[N, N], block `j` to the right of block `i`; infinite for a block beside itself.
        below: float64[N, N], block `j` below block `i`.
    """

    right: np.ndarray
    below: np.ndarray

    def cost(self, layout: np.ndarray) -> float:
        """The sum over all borders of a layout, int[rows, columns] of blocks."""
        across = self.right[layout[:, :-1], layout[:, 1:]].sum()
        return float(across + self.below[layout[:-1], layout[1:]].sum())


def borders_of(blocks: np.ndarray) -> Borders:
    """Compare every pair of blocks, beside and above each other.

    Args:
        blocks: float64[N, M, M, C], with `M` at least 2.

    Returns:
        The distances, square roots of sums of squares.
    """
    return Borders(_compare(blocks), _compare(blocks.transpose(0, 2, 1, 3)))


def _compare(blocks: np.ndarray) -> np.ndarray:
    first, second, before, last = (blocks[:, :, column] for column in (0, 1, -2, -1))
    squared = _continue(last, before, first) + _continue(first, second, last).T
    distances = np.sqrt(np.maximum(squared, 0))
    np.fill_diagonal(distances, np.inf)
    return distances


def _continue(edge: np.ndarray, inner: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Squared distances [N, N] from the edges `[N, M, C]` of all blocks to the first columns of all others."""
    count, _, channels = edge.shape
    gradient = edge - inner
    mean = gradient.mean(axis=1, keepdims=True)
    # A few made-up gradients keep the covariance of flat blocks from vanishing.
    made_up = np.concatenate([np.zeros((1, channels)), np.eye(channels), -np.eye(channels)])
    ones = np.ones((1, channels))
    made_up = np.concatenate([made_up, ones, -ones])
    deviations = np.concatenate([gradient, np.broadcast_to(made_up, (count, *made_up.shape))], axis=1) - mean
    covariance = np.einsum("nmc,nmd->ncd", deviations, deviations) / (deviations.shape[1] - 1) + np.eye(channels)
    precision = np.linalg.inv(covariance)
    expected = edge + mean
    weighted = expected @ precision
    squares = np.einsum("jmc,jmd->jcd", other, other).reshape(count, -1)
    constant = np.einsum("nmc,nmc->n", weighted, expected)
    mixed = weighted.reshape(count, -1) @ other.reshape(count, -1).T
    return precision.reshape(count, -1) @ squares.T - 2 * mixed + constant[:, None]
