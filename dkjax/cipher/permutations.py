"""Restricted random permutations: sampled from a key, inverted, composed and counted.

A permutation of `n` positions is an `int32[n]` that acts by gathering: `output[i] = input[permutation[i]]`. A
restricted one leaves a given number of positions, drawn from the key, at their place and permutes the others uniformly
(Horio, Nishikawa, Kiya 2024, arXiv 2408.08529; the restriction matrices of Aso, Shiota, Kiya 2024, arXiv 2408.05737).

**How an order is drawn.** Every position gets `R` random 32-bit words of its own, and the positions are sorted by them:
by the first word, where that ties by the second, and so on. The low `ceil(log2 n)` bits of the last one are replaced by
the position, which decides where all random bits tie and is read off the sorted words.

**Bias.** With `b` random bits in all its words, two given positions tie in them with probability `2^-b`, so an order is
at most `n^2 2^(-b - 2)` away from uniform in total variation. `words_for` takes the fewest words that keep this below
`2^-20`: one for up to 22 positions, two for up to 32768, which is below `2^-36` for 768.
"""

import math

import jax
import jax.numpy as jnp

_WORD_BITS = 32
_MAX_BIAS_BITS = -20


def _position_bits(n: int) -> int:
    return max(n - 1, 1).bit_length()


def bias_log2(n: int, words: int) -> float:
    """Bound the distance of a drawn order of `n` positions from uniform: log2 of the total variation."""
    return 2 * math.log2(n) - (words * _WORD_BITS - _position_bits(n)) - 2


def words_for(n: int) -> int:
    """Say how many words for each position keep the bias of an order of `n` positions below 2^-20."""
    words = 1
    while bias_log2(n, words) >= _MAX_BIAS_BITS:
        words += 1
    return words


def sample(key: jax.Array, n: int, fixed: int = 0) -> jax.Array:
    """Draw a restricted random permutation.

    Args:
        key: a typed key, shape `[]`; all draws come from this key and it must not be used for anything else.
        n: the number of positions.
        fixed: how many of them stay at their place, 0 to `n`. One more may stay by chance.

    Returns:
        `int32[n]`, a permutation with at least `fixed` fixed points.

    Guarantees:
        - the fixed positions are uniform among the sets of that size, and the rest is permuted uniformly, up to the
          bias this module states (`test_permutations.py::test_uniform`).
        - the same key gives the same permutation on every backend, under `jit` and `vmap`
          (`test_permutations.py::test_vmap_equals_loop`, `test_permutations.py::test_sorts_of_every_backend_agree`).
    """
    positions = jnp.arange(n, dtype=jnp.int32)
    if fixed >= n - 1:
        return positions
    order = _random_order(key, n)
    if fixed == 0:
        return order  # what the lines below come to, without their sort
    # The first `fixed` of a random order stay; the i-th smallest of the others receives the i-th of the others.
    moved = order[fixed:]
    return positions.at[jnp.sort(moved)].set(moved, unique_indices=True, mode="promise_in_bounds")


def _random_order(key: jax.Array, n: int) -> jax.Array:
    """Draw an order of `n` positions as `int32[n]`, by the sort that the module describes."""
    position_mask = jnp.uint32((1 << _position_bits(n)) - 1)
    *words, last = jax.random.bits(key, (words_for(n), n), jnp.uint32)
    words.append((last & ~position_mask) | jnp.arange(n, dtype=jnp.uint32))
    on_cpu = _sort_pairs if len(words) == 2 else _sort
    return (jax.lax.platform_dependent(*words, cpu=on_cpu, default=_sort) & position_mask).astype(jnp.int32)


def _sort(*words: jax.Array) -> jax.Array:
    """Sort by the first word, where that ties by the second, and so on; return the last words."""
    return jax.lax.sort(words, num_keys=len(words))[-1]


def _sort_pairs(high: jax.Array, low: jax.Array) -> jax.Array:
    """Sort pairs of words as numbers of 64 bits, which on a CPU is 5 times faster; return the low words."""
    # JAX cuts 64 bits down to 32 unless told otherwise. Nothing of 64 bits leaves these lines.
    with jax.enable_x64(True):
        pairs = (high.astype(jnp.uint64) << 32) | low.astype(jnp.uint64)
        return jnp.sort(pairs).astype(jnp.uint32)


def invert(permutation: jax.Array) -> jax.Array:
    """Return the permutation that undoes this one.

    Args:
        permutation: `int32[n]`.

    Returns:
        `int32[n]`; gathering by both in turn, in either order, changes nothing.
    """
    positions = jnp.arange(permutation.shape[0], dtype=permutation.dtype)
    return positions.at[permutation].set(positions, unique_indices=True, mode="promise_in_bounds")


def compose(first: jax.Array, then: jax.Array) -> jax.Array:
    """Return the permutation that gathers by `first` and then by `then`.

    Args:
        first: `int32[n]`.
        then: `int32[n]`.

    Returns:
        `int32[n]`, so that `x[first][then] == x[compose(first, then)]`.
    """
    return first.at[then].get(mode="promise_in_bounds", unique_indices=True)


def count(n: int, fixed: int = 0) -> int:
    """Count the permutations of `n` positions with at least `fixed` fixed points, exactly.

    Args:
        n: the number of positions.
        fixed: the least number of fixed points, 0 to `n`.

    Returns:
        The number of permutations that `sample` can return, as a Python integer.
    """
    # derangements[m]: permutations of m positions without a fixed point.
    derangements = [1, 0]
    for m in range(2, n + 1):
        derangements.append((m - 1) * (derangements[m - 1] + derangements[m - 2]))
    return sum(math.comb(n, stay) * derangements[n - stay] for stay in range(fixed, n + 1))
