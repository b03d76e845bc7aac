"""Restricted random permutations, drawn from keys by rounds of sorting."""

import numpy as np

from dkjax.reference.keystream import bits


def position_bits(n: int) -> int:
    """Return how many low bits of a word the positions of `n` take from its random ones."""
    return max(n - 1, 1).bit_length()


def rounds_for(n: int) -> int:
    """Return the fewest rounds that keep the bias of an order of `n` positions below 2^-20."""
    random_bits = 32 - position_bits(n)
    rounds = 1
    while n * n << 18 >= 1 << (rounds * random_bits):
        rounds += 1
    return rounds


def random_permutations(keys: np.ndarray, n: int, fixed: int = 0) -> np.ndarray:
    """Draw one restricted random permutation of `n` positions from every key.

    Args:
        keys: `uint32[..., W]`.
        n: how many positions.
        fixed: how many of them stay, 0 to `n`.

    Returns:
        `int32[..., n]`, acting by gathering: `output[i] = input[permutation[i]]`.
    """
    order = np.broadcast_to(np.arange(n), (*keys.shape[:-1], n))
    if fixed >= n - 1:
        return order.astype(np.int32)
    rounds = rounds_for(n)
    words = bits(keys, rounds * n).reshape(*keys.shape[:-1], rounds, n) >> np.uint32(position_bits(n))
    for i in range(rounds):
        # Equal words keep the order they had.
        order = np.take_along_axis(order, np.argsort(words[..., i, :], axis=-1, kind="stable"), axis=-1)
    moved = order[..., fixed:]
    permutation = np.broadcast_to(np.arange(n), order.shape).copy()
    np.put_along_axis(permutation, np.sort(moved, axis=-1), moved, axis=-1)
    return permutation.astype(np.int32)


def invert(permutations: np.ndarray) -> np.ndarray:
    """Return the permutations that undo these, `int32[..., n]`."""
    return np.argsort(permutations, axis=-1).astype(np.int32)
