"""Random streams by purpose: two purposes never share one, whatever their seeds."""

import numpy as np

from dkjax.errors import ArgumentError


def generator(domain: str, seed: int) -> np.random.Generator:
    """Return the random stream of one purpose.

    Args:
        domain: the purpose; two purposes never share a stream, whatever their seeds.
        seed: a whole number, zero or above.

    Returns:
        A PCG64 generator that depends on both.

    Raises:
        ArgumentError: the seed is negative or no whole number.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError(f"seed must be a whole number, zero or above, got {seed!r}")
    # The domain as a spawn key, one byte a word: no other seed, and no `spawn` of this one, arrives at the same state.
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(int(seed), spawn_key=tuple(domain.encode()))))
