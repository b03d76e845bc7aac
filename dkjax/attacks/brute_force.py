"""Brute force: the search of a 32-bit seed, carried out for real.

`jax.random.key(seed)` keeps 32 bits of a seed. Whoever knows where the blocks of one image went, from one plain image,
finds such a seed by trying all of them: the random words of the blocks must be in the order in which the blocks were
sent, which a few words refute. Keys from `dkjax.keys.disposable()` have 256 bits and no seed; there is nothing to try.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from dkjax.cipher import Scheme
from dkjax.cipher.transforms import BlockScrambling
from dkjax.errors import ArgumentError

_BATCH = 1 << 18
_COMPARED = 8


def find_seed(
    block_permutation: np.ndarray,
    scheme: Scheme,
    image_shape: tuple[int, int, int],
    seeds: range,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> int | None:
    """Find the seed of an image key `jax.random.key(seed, impl="threefry2x32")`.

    Args:
        block_permutation: int[N], which plain block each encrypted block is, as a known plain image tells.
        scheme: the scheme, whose first transform is block scrambling.
        image_shape: `(H, W, C)`.
        seeds: which seeds to try, within 32 bits, one after the other; `range(2**32)` for all.
        report: called with how many seeds are done, and of how many.

    Returns:
        The first seed that gives this permutation, or None.

    Raises:
        ArgumentError: the scheme begins with something else, or too few blocks moved to tell seeds apart.

    Guarantees:
        - a seed in the range is found (`test_brute_force.py::test_a_seed_is_found`), and nothing where there is none
          (`test_brute_force.py::test_no_seed_no_find`).
    """
    scrambling = scheme.transforms[0]
    if not isinstance(scrambling, BlockScrambling):
        raise ArgumentError(f"the search follows block scrambling, and {scheme.name} begins with another transform")
    permutation = np.asarray(block_permutation)
    # The blocks that moved are in the order of their words; blocks that stayed may or may not be.
    moved = permutation[permutation != np.arange(len(permutation))] if scrambling.fixed else permutation
    if len(moved) < 3:
        raise ArgumentError(f"{len(moved)} blocks moved, which many seeds agree with: at least 3 are needed")
    first = jnp.asarray(moved[:_COMPARED])
    sample = jax.jit(lambda seed: scheme.sample(jax.random.key(seed, impl="threefry2x32"), image_shape)[0])
    for start in range(seeds.start, seeds.stop, _BATCH):
        agree = np.asarray(_agree(jnp.uint32(start), first, len(scheme.transforms)))
        for offset in np.flatnonzero(agree):
            seed = start + int(offset)
            if seed < seeds.stop and np.array_equal(sample(jnp.uint32(seed)), permutation):
                return seed
        report(min(start + _BATCH, seeds.stop) - seeds.start, len(seeds))
    return None


@functools.partial(jax.jit, static_argnums=2)
def _agree(start: jax.Array, first: jax.Array, transforms: int) -> jax.Array:
    """Say of a batch of seeds whether the words of a few blocks are in the order in which they were sent, bool[n]."""

    def agrees(seed: jax.Array) -> jax.Array:
        key = jax.random.split(jax.random.key(seed, impl="threefry2x32"), transforms)[0]
        # Word `i` of a key is the two words of its child `i`, by exclusive or: only those compared are computed.
        children = jax.random.key_data(jax.vmap(lambda number: jax.random.fold_in(key, number))(first))
        words = children[:, 0] ^ children[:, 1]
        return (words[1:] >= words[:-1]).all()

    return jax.vmap(agrees)(start + jnp.arange(_BATCH, dtype=jnp.uint32))
