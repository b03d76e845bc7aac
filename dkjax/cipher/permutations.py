"""Restricted random permutations: sampled from a key, inverted, composed and counted.

A permutation of `n` positions is an `int32[n]` that acts by gathering: `output[i] = input[permutation[i]]`. A
restricted one leaves a given number of positions, drawn from the key, at their place and permutes the others uniformly
(Horio, Nishikawa, Kiya 2024, arXiv 2408.08529; the restriction matrices of Aso, Shiota, Kiya 2024, arXiv 2408.05737).

**How an order is drawn.** A round draws a random 32-bit word for each position, replaces its low `ceil(log2 n)` bits by
the position and sorts: one sort of packed words, 3 to 5 times faster than `jax.random.permutation` on a CPU. Words that
agree in their random bits keep the order they had, which a single round would make visible. So rounds follow each
other, each on the order the last one left, and two positions keep their order only if their words agree in every
round.

**Bias.** With `R` rounds of `b` random bits, two given positions agree in all of them with probability `2^(-R b)`, so
an order is at most `n^2 2^(-R b - 2)` away from uniform in total variation. `rounds_for` takes the fewest rounds that
keep this below `2^-20`: one for 16 positions, two for 196 and for 768.
"""

import math

import jax
import jax.numpy as jnp

_WORD_BITS = 32
_MAX_BIAS_BITS = -20


def _position_bits(n: int) -> int:
    return max(n - 1, 1).bit_length()


def bias_log2(n: int, rounds: int) -> float:
    """Bound the distance of a drawn order of `n` positions from uniform: log2 of the total variation."""
    return 2 * math.log2(n) - rounds * (_WORD_BITS - _position_bits(n)) - 2


def rounds_for(n: int) -> int:
    """Say how many rounds of sorting keep the bias of an order of `n` positions below 2^-20."""
    rounds = 1
    while bias_log2(n, rounds) >= _MAX_BIAS_BITS:
        rounds += 1
    return rounds


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
          (`test_permutations.py::test_vmap_equals_loop`).
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
    """Draw an order of `n` positions as `int32[n]`, by the rounds of sorting that the module describes."""
    position_mask = jnp.uint32((1 << _position_bits(n)) - 1)
    positions = jnp.arange(n, dtype=jnp.uint32)
    words = jax.random.bits(key, (rounds_for(n), n), jnp.uint32)
    order = positions.astype(jnp.int32)
    for word in words:
        ranked = jax.lax.sort((word & ~position_mask) | positions) & position_mask
        order = order.at[ranked].get(mode="promise_in_bounds", unique_indices=True)
    return order


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
