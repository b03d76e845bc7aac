"""Draws from words: the rules, followed by hand, and their statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from dkjax import prng
from dkjax.cipher import draws


def key_of(seed: int) -> jax.Array:
    words = np.random.default_rng(seed).integers(0, 2**32, prng.key_words("threefry2x32"), dtype=np.uint32)
    return prng.wrap_key(jnp.array(words), "threefry2x32")


def give(monkeypatch, words) -> None:
    """Let the generator give these words."""
    words = np.asarray(words, np.uint32)

    def bits(key, shape, dtype):
        assert dtype == jnp.uint32
        return jnp.array(words).reshape(shape)

    monkeypatch.setattr(jax.random, "bits", bits)


@pytest.mark.parametrize("shape", [(1,), (32,), (3, 11), (5, 64)])
def test_bits_rule(shape, monkeypatch):
    count = int(np.prod(shape))
    words = np.random.default_rng(count).integers(0, 2**32, -(-count // 32), dtype=np.uint32)
    give(monkeypatch, words)
    drawn = draws.bits(None, shape)
    assert drawn.dtype == np.uint8
    expected = [(int(words[i // 32]) >> (i % 32)) & 1 for i in range(count)]
    np.testing.assert_array_equal(drawn, np.reshape(expected, shape))


@pytest.mark.parametrize("options", [1, 2, 3, 6, 8, 24, 65535])
def test_choices_rule(options, monkeypatch):
    edges = [k * 2**32 // options + near for k in range(min(options, 50) + 1) for near in (-1, 0, 1)]
    words = [word for word in edges if 0 <= word < 2**32] + [0, 2**32 - 1, 0x0000FFFF, 0xFFFF0000]
    give(monkeypatch, words)
    drawn = draws.choices(None, options, len(words))
    assert drawn.dtype == np.int32
    np.testing.assert_array_equal(drawn, [(word * options) >> 32 for word in words])


def test_normals_rule(monkeypatch):
    words = np.random.default_rng(0).integers(0, 2**32, (2, 4, 5), dtype=np.uint32)
    words[:, 0, 0], words[:, 0, 1] = 0, 2**32 - 1
    give(monkeypatch, words)
    drawn = draws.normals(None, (4, 5))
    assert drawn.dtype == np.float32
    first, second = (words >> 8).astype(np.float64) / 2**24
    expected = np.sqrt(-2 * np.log(first + 2.0**-24)) * np.cos(2 * np.pi * second)
    np.testing.assert_allclose(drawn, expected, atol=2e-5)
    assert drawn[0, 0] == pytest.approx(5.77, abs=0.01)


# Statistics. The seeds are fixed, so that what passes once passes always.


def balanced(bits) -> bool:
    """Whether ones come as often as zeros, at every place of a word."""
    ones = np.asarray(bits).reshape(-1, 32).sum(axis=0)
    draws_of_each = bits.size // 32
    table = np.stack([ones, draws_of_each - ones])
    return bool(chisquare(table.ravel(), np.full(64, draws_of_each / 2), ddof=31).pvalue > 1e-3)


def test_bits_are_balanced(monkeypatch):
    assert balanced(draws.bits(key_of(0), (1000, 32)))
    words = jax.random.bits
    # A generator whose last bit is always set.
    monkeypatch.setattr(jax.random, "bits", lambda *args: words(*args) | 1)
    assert not balanced(draws.bits(key_of(0), (1000, 32)))


@pytest.mark.parametrize("options", [3, 6, 8])
def test_choices_are_uniform(options):
    def uniform(drawn) -> bool:
        return bool(chisquare(np.bincount(drawn, minlength=options)).pvalue > 1e-3)

    assert uniform(np.asarray(draws.choices(key_of(1), options, 24_000)))
    # Three bits of a word are not enough for three or six options.
    few = jax.random.bits(key_of(1), (24_000,), jnp.uint32) >> 29
    assert uniform(np.asarray(few) % options) is (options == 8)


def test_normals_are_normal():
    drawn = np.asarray(draws.normals(key_of(2), (5000,)))
    assert kstest(drawn, "norm").pvalue > 1e-3
    assert kstest(np.clip(drawn, -1, 1), "norm").pvalue < 1e-3
