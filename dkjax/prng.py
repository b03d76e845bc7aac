"""ChaCha20 as a JAX PRNG implementation, so that an image key may hold 256 bits.

JAX's own threefry2x32 has 64-bit keys, few enough for a well-equipped adversary to search. `"chacha20"` has 256-bit
keys, from the block function of RFC 8439. After this module is imported, `jax.random.key(0, impl="chacha20")`,
`jax.random.split`, `fold_in` and every sampler of `jax.random` work with it, under `jit`, `vmap` and on sharded keys.

A key has three uses, each with a nonce of its own, so that no two of them ever read the same keystream. With
`block(c, nonce)` for the 16 words of the RFC's block function at counter `c`:

*   `split(key, shape)`: child `i` (in row-major order) is words `8 * (i % 2)` to `8 * (i % 2) + 7` of
    `block(i // 2, SPLIT_NONCE)`. It does not depend on how many children there are.
*   `fold_in(key, data)`: words 0 to 7 of `block(data, FOLD_NONCE)`.
*   `bits(key, shape, dtype)`: the keystream `block(0, BITS_NONCE), block(1, BITS_NONCE), ...`, serialised as the RFC
    does, read as little-endian unsigned integers of 8, 16, 32 or 64 bits. Element `i` of 32 bits is word `i`.

`jax.extend.random`, which promises no compatibility between versions, is used here and nowhere else.

Guarantees:
    *   The block function is that of RFC 8439 (tests/test_prng.py: test_rfc_8439_vectors).
    *   split, fold_in and bits of one key share no keystream (test_domains_are_separate).
    *   The same key gives the same bytes on 1 and on 4 devices, on mesh axes of every type, in `jax.shard_map`, in a
        loop and under vmap (test_sharded_keys_give_the_same_bytes, test_meshes_of_every_type_give_the_same_bytes,
        test_samplers_under_vmap_equal_a_loop).

Source: RFC 8439, "ChaCha20 and Poly1305 for IETF Protocols", sections 2.1 to 2.4.
"""

import functools
import inspect
import math
from collections.abc import Hashable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.random import define_prng_impl

from dkjax.errors import ArgumentError, ConfigError

_WORDS = {"chacha20": 8, "threefry2x32": 2}
NAMES = tuple(_WORDS)
"""The PRNGs that may hold cipher keys; the first is the default."""

_REFUSED = ("rbg", "unsafe_rbg")

SPLIT_NONCE = (0x616A6B64, 0x70732F78, 0x2F74696C)
"""The nonce of split: the bytes `dkjax/split/` as little-endian words."""
FOLD_NONCE = (0x616A6B64, 0x6F662F78, 0x2F2F646C)
"""The nonce of fold_in: the bytes `dkjax/fold//` as little-endian words."""
BITS_NONCE = (0x616A6B64, 0x69622F78, 0x2F2F7374)
"""The nonce of bits: the bytes `dkjax/bits//` as little-endian words."""

_CONSTANTS = (0x61707865, 0x3320646E, 0x79622D32, 0x6B206574)  # "expand 32-byte k"
_MAX_BLOCKS = 1 << 32  # the counter is one word

_State = tuple[jax.Array, ...]


def _rotate(x: jax.Array, n: int) -> jax.Array:
    return (x << n) | (x >> (32 - n))


def _quarter_round(a: jax.Array, b: jax.Array, c: jax.Array, d: jax.Array) -> _State:
    a = a + b
    d = _rotate(d ^ a, 16)
    c = c + d
    b = _rotate(b ^ c, 12)
    a = a + b
    d = _rotate(d ^ a, 8)
    c = c + d
    b = _rotate(b ^ c, 7)
    return a, b, c, d


# Jitted so that ten uses of it are traced once.
@jax.jit
def _double_round(state: _State) -> _State:
    """Mix the four columns, then the four diagonals."""
    words = list(state)
    for shift in (0, 1):
        for i in range(4):
            places = [4 * row + (i + shift * row) % 4 for row in range(4)]
            mixed = _quarter_round(*(words[place] for place in places))
            for place, word in zip(places, mixed, strict=True):
                words[place] = word
    return tuple(words)


# The state is 16 arrays, one a word, each over all blocks: every operation is elementwise along the blocks, and the
# compiler vectorises it. On CPU the ten double rounds are a loop, as in JAX's own threefry: 64 keys drawing 1928 words
# each, on two cores, compile in 0.4 s and run in 0.8 ms; straight-line code takes 2.7 s and 1.0 ms, a loop over four
# rows of four words 0.7 s and 0.9 ms. An accelerator's loop writes the state to memory and reads it back ten times:
# the compiler for TPU v5e estimates 30 us for straight-line code and 12 us plus 6 us a round for the loop.
def _rounds_looped(*state: jax.Array) -> _State:
    return lax.fori_loop(0, 10, lambda _, words: _double_round(words), state)


def _rounds_unrolled(*state: jax.Array) -> _State:
    for _ in range(10):
        state = _double_round(state)
    return state


@jax.jit
def chacha20_block(key: jax.Array, counter: jax.Array, nonce: jax.Array) -> jax.Array:
    """Compute the ChaCha20 block function for many counters at once.

    Args:
        key: uint32[8], the 256-bit key as little-endian words.
        counter: uint32[...], the block counters.
        nonce: uint32[3], the 96-bit nonce as little-endian words.

    Returns:
        uint32[..., 16], for each counter the 16 words of the block; serialised as little-endian they are the
        RFC's 64 bytes of keystream.

    Raises:
        ArgumentError: If a dtype is not uint32 or a shape is not the one above.

    Guarantees:
        *   Equals the published vectors (test_rfc_8439_vectors) and another implementation on random inputs
            (test_equals_cryptography).
        *   Looped and unrolled rounds are equal (test_looped_and_unrolled_rounds_are_equal).

    Source: RFC 8439, section 2.3.
    """
    for name, array, shape in (("key", key, (8,)), ("counter", counter, counter.shape), ("nonce", nonce, (3,))):
        if array.shape != shape or array.dtype != np.uint32:
            raise ArgumentError(f"{name} must be uint32{list(shape)}, not {array.dtype}{list(array.shape)}")
    # On explicit mesh axes, and in shard_map, a loop's carry keeps its type: constants take that of key and counter.
    zero = (counter & 0) + (key[0] & 0) + (nonce[0] & 0)
    initial = tuple(word + zero for word in (*map(np.uint32, _CONSTANTS), *key, counter, *nonce))
    mixed = lax.platform_dependent(*initial, cpu=_rounds_looped, default=_rounds_unrolled)
    return jnp.stack([a + b for a, b in zip(mixed, initial, strict=True)], axis=-1)


def _keystream(key: jax.Array, nonce: tuple[int, int, int], words: int) -> jax.Array:
    """Return uint32[words], the keystream from counter 0 on."""
    blocks = -(-words // 16)
    if blocks > _MAX_BLOCKS:
        raise ArgumentError(f"one key gives at most {16 * _MAX_BLOCKS} words, not {words}: split the key first")
    counter = jnp.arange(blocks, dtype=jnp.uint32)
    return chacha20_block(key, counter, jnp.array(nonce, jnp.uint32)).reshape(-1)[:words]


@jax.jit
def _seed(seed: jax.Array) -> jax.Array:
    """Put the low 32 bits of an integer into word 0; for tests and experiments, never for keys that protect."""
    return jnp.zeros(8, jnp.uint32).at[0].set(seed.astype(jnp.uint32))


@functools.partial(jax.jit, static_argnums=1)
def _split(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return _keystream(key, SPLIT_NONCE, 8 * math.prod(shape)).reshape(*shape, 8)


@jax.jit
def _fold_in(key: jax.Array, data: jax.Array) -> jax.Array:
    return chacha20_block(key, jnp.asarray(data, jnp.uint32), jnp.array(FOLD_NONCE, jnp.uint32))[:8]


@functools.partial(jax.jit, static_argnums=(1, 2))
def _random_bits(key: jax.Array, bit_width: int, shape: tuple[int, ...]) -> jax.Array:
    size = math.prod(shape)
    words = _keystream(key, BITS_NONCE, -(-size * bit_width // 32))
    # Shifts, not a bitcast: the order of the parts is then the same on every platform.
    if bit_width == 64:
        low, high = words[0::2].astype(jnp.uint64), words[1::2].astype(jnp.uint64)
        words = low | (high << 32)
    elif bit_width < 32:
        shifts = jnp.arange(0, 32, bit_width, dtype=jnp.uint32)
        words = (words[:, None] >> shifts[None, :]).reshape(-1)[:size]
    return words.astype(f"uint{bit_width}").reshape(shape)


def _register() -> Hashable:
    """Define the implementation, or find the one that an earlier import of this module registered."""
    spec = define_prng_impl(
        key_shape=(8,),
        seed=_seed,
        split=_split,
        random_bits=_random_bits,
        fold_in=_fold_in,
        name="chacha20",
        tag="chacha20",
    )
    # JAX finds an implementation by name in a registry for which it has no public door. dkjax itself passes the
    # object, so that a JAX without this registry costs only the spelling `impl="chacha20"`.
    implementation: Any = getattr(spec, "_impl", None)
    registry: Any = inspect.getmodule(type(implementation))
    known = getattr(registry, "prngs", None)
    if known is None or not hasattr(registry, "register_prng"):
        return spec
    if "chacha20" in known:
        # Keys compare by implementation: a second definition would make old and new keys of different dtypes.
        return known["chacha20"]
    registry.register_prng(implementation)
    return spec


CHACHA20 = _register()
"""The implementation, for the `impl` argument of `jax.random.key` and `jax.random.wrap_key_data`."""


def check_prng(name: str) -> str:
    """Return the name of a PRNG that may hold cipher keys, or say why it may not.

    Args:
        name: One of `NAMES`.

    Returns:
        The same name.

    Raises:
        ConfigError: If the name is not in `NAMES`; for `rbg` and `unsafe_rbg` with the reason; for threefry2x32 if
            JAX is set to its older, differently split form.
    """
    if name == "threefry2x32" and not jax.config.jax_threefry_partitionable:  # type: ignore[attr-defined]
        raise ConfigError(
            "prng='threefry2x32' gives other keys while jax_threefry_partitionable is off: turn it on, as it is by "
            "default, or use 'chacha20'"
        )
    if name in _WORDS:
        return name
    choices = " or ".join(map(repr, NAMES))
    if name in _REFUSED:
        raise ConfigError(
            f"prng={name!r} is refused: under vmap it does not give independent streams for each key; use {choices}"
        )
    raise ConfigError(f"prng={name!r} is unknown; use {choices}")


def prng_name(keys: jax.Array) -> str:
    """Return the name of the PRNG that typed keys belong to, `"chacha20"` for example."""
    return str(jax.random.key_impl(keys))


def key_words(prng: str) -> int:
    """Return how many 32-bit words a key of this PRNG has: 8 for chacha20, 2 for threefry2x32."""
    return _WORDS[check_prng(prng)]


def key_bits(prng: str) -> int:
    """Return how many bits a key of this PRNG has: 256 for chacha20, 64 for threefry2x32."""
    return 32 * key_words(prng)


def wrap_key(words: jax.Array, prng: str) -> jax.Array:
    """Make typed keys of words.

    Args:
        words: uint32[..., key_words(prng)].
        prng: One of `NAMES`.

    Returns:
        Typed keys, shape [...].

    Raises:
        ConfigError: If the PRNG may not hold cipher keys.
        ArgumentError: If the words have another dtype or last dimension.
    """
    expected = key_words(prng)
    if words.dtype != np.uint32 or words.ndim == 0 or words.shape[-1] != expected:
        raise ArgumentError(f"a {prng} key is made of uint32[..., {expected}], not of {words.dtype}{list(words.shape)}")
    return jax.random.wrap_key_data(words, impl=CHACHA20 if prng == "chacha20" else prng)
