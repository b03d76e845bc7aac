"""Noise for counts: the two-sided geometric distribution, drawn from 32-bit words, and the privacy that it gives.

A count that one change moves by 1 at most is differentially private with `epsilon` if to it is added an integer `n` of
probability proportional to `exp(-epsilon |n|)`. Words of 32 bits give probabilities that are multiples of `2^-32`, so a
small `delta` is added.

Source: Ghosh, Roughgarden and Sundararajan, "Universally Utility-Maximizing Privacy Mechanisms" (arXiv 0811.2841).
"""

import decimal
import functools
import itertools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

_WORDS = 1 << 32
_DIGITS = 60


@functools.lru_cache(maxsize=64)
def tails(epsilon: float) -> tuple[int, ...]:
    """Count the words that give noise of `-m` or less, for `m = 1, 2, ...` while there are any.

    With `a = exp(-epsilon)`, these are `floor(2^32 a^m / (1 + a))`, computed with 60 digits.
    """
    found = []
    with decimal.localcontext(prec=_DIGITS):
        ratio = (-decimal.Decimal(epsilon)).exp()
        tail = _WORDS * ratio / (1 + ratio)
        while tail >= 1:
            found.append(int(tail))
            tail *= ratio
    return tuple(found)


def geometric(key: jax.Array, epsilon: float, shape: tuple[int, ...]) -> jax.Array:
    """Draw independent noise of the two-sided geometric distribution.

    One word is drawn for each number. With `L[m]` of `tails(epsilon)` and `B` of them, noise is `-B` plus the number of
    thresholds `L[B], ..., L[1], 2^32 - L[1], ..., 2^32 - L[B]` that are at most the word.

    Args:
        key: a typed key, shape `[]`.
        epsilon: of one count that changes by 1.
        shape: how many numbers, and how they lie.

    Returns:
        `int32[*shape]`, from `-B` to `B`.

    Guarantees:
        - the rule above, and the distribution (`test_noise.py::test_rule`, `test_noise.py::test_distribution`).
    """
    below = np.array(tails(epsilon), np.int64)
    thresholds = np.concatenate([below[::-1], _WORDS - below]).astype(np.uint32)
    words = jax.random.bits(key, shape, jnp.uint32)
    return jnp.searchsorted(jnp.asarray(thresholds), words, side="right").astype(jnp.int32) - len(below)


def delta(epsilon: float) -> float:
    """Return the `delta` of one count: its noise is `(epsilon, delta)`-differentially private for a change by 1.

    It is exact for uniform words: the sum over all `n` of what the probability of `n` exceeds `exp(epsilon)` times that
    of `n + 1` by.

    Guarantees:
        - below `1e-5` for every epsilon from .005 on, and up to 10 (`test_noise.py::test_delta`).
    """
    upper = tails(epsilon)
    at_most = [*upper[::-1], *(_WORDS - tail for tail in upper), _WORDS]
    words = [at_most[0], *(more - less for less, more in itertools.pairwise(at_most)), 0]
    with decimal.localcontext(prec=_DIGITS):
        bound = Fraction(decimal.Decimal(epsilon).exp())
    excess = sum(max(Fraction(0), own - bound * following) for own, following in itertools.pairwise(words))
    return float(excess / _WORDS)
