"""Restricted random permutations, drawn from keys by sorting random words."""

import numpy as np

from dkjax.reference.keystream import bits


def position_bits(n: int) -> int:
    """Return how many low bits of the last word the position among `n` replaces."""
    return max(n - 1, 1).bit_length()


def words_for(n: int) -> int:
    """Return the fewest words a position that keep the bias of an order of `n` positions below 2^-20."""
    words = 1
    while n * n << 18 >= 1 << (32 * words - position_bits(n)):
        words += 1
    return words


def random_permutations(keys: np.ndarray, n: int, fixed: int = 0) -> np.ndarray:
    """Draw one restricted random permutation of `n` positions from every key.

    Args:
        keys: `uint32[..., W]`.
        n: how many positions.
        fixed: how many of them stay, 0 to `n`.

    Returns:
        `int32[..., n]`, acting by gathering: `output[i] = input[permutation[i]]`.
    """
    batch = keys.shape[:-1]
    permutation = np.broadcast_to(np.arange(n, dtype=np.int32), (*batch, n)).copy()
    if fixed >= n - 1:
        return permutation
    count = words_for(n)
    words = bits(keys, count * n).reshape(*batch, count, n)
    words[..., -1, :] >>= np.uint32(position_bits(n))
    # The last of the keys decides first, and where all tie the position does.
    order = np.lexsort([words[..., i, :] for i in reversed(range(count))], axis=-1)
    moved = order[..., fixed:]
    np.put_along_axis(permutation, np.sort(moved, axis=-1), moved, axis=-1)
    return permutation


def invert(permutations: np.ndarray) -> np.ndarray:
    """Return the permutations that undo these, `int32[..., n]`."""
    return np.argsort(permutations, axis=-1).astype(np.int32)
