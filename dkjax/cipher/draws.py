"""What a key decides where it is no permutation: bits, choices among a few, and normal numbers.

Everything comes from 32-bit words, `jax.random.bits(key, shape, uint32)`, by the rules stated here, so that it can be
followed in another language word by word. A key that draws is used for one draw and for nothing else.
"""

import math

import jax
import jax.numpy as jnp

_MAX_OPTIONS = 1 << 16


def bits(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draw independent random bits.

    With `n` the product of `shape`, `ceil(n / 32)` words are drawn; bit `i`, counted in row-major order, is
    `(words[i // 32] >> (i % 32)) & 1`.

    Args:
        key: a typed key, shape `[]`.
        shape: how many bits, and how they lie.

    Returns:
        `uint8[*shape]`, zeros and ones.

    Guarantees:
        - the rule above (`test_draws.py::test_bits_rule`).
        - a half are ones (`test_draws.py::test_bits_are_balanced`).
    """
    count = math.prod(shape)
    words = jax.random.bits(key, (-(-count // 32),), jnp.uint32)
    each = (words[:, None] >> jnp.arange(32, dtype=jnp.uint32)[None, :]) & 1
    return each.reshape(-1)[:count].reshape(shape).astype(jnp.uint8)


def choices(key: jax.Array, options: int, count: int) -> jax.Array:
    """Draw independent choices among a few options.

    `count` words are drawn; choice `i` is `(words[i] * options) >> 32`, the product taken without overflow.

    **Bias.** An option comes with a probability that differs from `1 / options` by less than `2^-32`.

    Args:
        key: a typed key, shape `[]`.
        options: how many there are to choose from, 1 to 65535.
        count: how many choices.

    Returns:
        `int32[count]`, each from 0 to `options - 1`.

    Guarantees:
        - the rule above (`test_draws.py::test_choices_rule`).
        - options come equally often (`test_draws.py::test_choices_are_uniform`).
    """
    assert 0 < options < _MAX_OPTIONS
    words = jax.random.bits(key, (count,), jnp.uint32)
    # In halves of 16 bits no product leaves 32 bits; the low half only adds its carry.
    high, low = words >> 16, words & 0xFFFF
    return ((high * options + ((low * options) >> 16)) >> 16).astype(jnp.int32)


def normals(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draw independent standard normal numbers, by Box and Muller.

    Words of shape `(2, *shape)` are drawn. Number `i` is `sqrt(-2 ln u) cos(2 pi t)` in float32, with
    `u = ((words[0, i] >> 8) + 1) / 2^24` and `t = (words[1, i] >> 8) / 2^24`, both exact in float32. Logarithm, root
    and cosine are the backend's and may differ in the last bit. No number exceeds 5.77.

    Args:
        key: a typed key, shape `[]`.
        shape: how many numbers, and how they lie.

    Returns:
        `float32[*shape]`.

    Guarantees:
        - the rule above (`test_draws.py::test_normals_rule`).
    """
    words = jax.random.bits(key, (2, *shape), jnp.uint32) >> 8
    scale = jnp.float32(2**-24)
    u = (words[0] + 1).astype(jnp.float32) * scale
    t = words[1].astype(jnp.float32) * scale
    return jnp.sqrt(-2 * jnp.log(u)) * jnp.cos(jnp.float32(2 * math.pi) * t)
