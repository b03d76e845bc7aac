"""Noise for counts: the rule by the words, the probabilities, and the privacy that they give."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dkjax import prng
from dkjax.cipher.noise import delta, geometric, tails

KEY = prng.wrap_key(jnp.array([5, 6], jnp.uint32), "threefry2x32")


def test_rule():
    """Noise of at most n comes of the words below `2^32 P(noise <= n)`."""
    words = np.asarray(jax.random.bits(KEY, (40, 50), jnp.uint32)).astype(np.int64)
    found = np.asarray(geometric(KEY, 0.7, (40, 50)))
    ratio, widest = math.exp(-0.7), len(tails(0.7))
    for noise in range(-widest, widest + 1):
        at_most = ratio**-noise / (1 + ratio) if noise < 0 else 1 - ratio ** (noise + 1) / (1 + ratio)
        below = 2**32 * at_most if noise < widest else 2**32
        np.testing.assert_array_equal(
            (found <= noise)[np.abs(words - below) > 1], (words < below)[np.abs(words - below) > 1]
        )


@pytest.mark.parametrize("epsilon", [0.05, 0.5, 2.0])
def test_distribution(epsilon):
    """Mean, variance and the share of zeros, within five standard errors."""
    drawn, ratio = np.asarray(geometric(KEY, epsilon, (100_000,))), math.exp(-epsilon)
    variance = 2 * ratio / (1 - ratio) ** 2
    assert abs(drawn.mean()) < 5 * math.sqrt(variance / len(drawn))
    assert drawn.var() == pytest.approx(variance, rel=0.06)
    zeros = (1 - ratio) / (1 + ratio)
    assert abs((drawn == 0).mean() - zeros) < 5 * math.sqrt(zeros / len(drawn))
    assert (drawn == -drawn.min()).any() or epsilon < 2


def test_tails_are_symmetric_and_fall_by_the_factor():
    upper = np.array(tails(0.5), float)
    np.testing.assert_allclose(upper[1:20] / upper[:19], math.exp(-0.5), rtol=1e-5)
    assert upper[-1] >= 1 > upper[-1] * math.exp(-0.5) - 1
    assert sum(tails(0.5)[:1]) < 2**31


@pytest.mark.parametrize("epsilon", [0.005, 0.05, 0.5, 1, 5, 10])
def test_delta(epsilon):
    assert 0 < delta(epsilon) < 1e-5


def test_delta_of_what_is_not_private():
    """Noise that is never drawn protects nothing, and half of an epsilon needs more noise."""
    assert delta(100.0) == 1.0
    assert len(tails(0.25)) > 1.9 * len(tails(0.5))
