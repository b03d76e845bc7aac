"""Keystreams: what a key gives by `split`, `fold_in` and `bits`, for ChaCha20 and Threefry-2x32.

A key is its words, and their number says which of the two it belongs to. Leading axes are a batch of keys.
"""

import numpy as np

from dkjax.errors import ArgumentError, ConfigError

WORDS = {"chacha20": 8, "threefry2x32": 2}
"""How many 32-bit words a key has."""

SPLIT_NONCE = np.frombuffer(b"dkjax/split/", "<u4").astype(np.uint32)
FOLD_NONCE = np.frombuffer(b"dkjax/fold//", "<u4").astype(np.uint32)
BITS_NONCE = np.frombuffer(b"dkjax/bits//", "<u4").astype(np.uint32)

_CHACHA_CONSTANTS = np.frombuffer(b"expand 32-byte k", "<u4").astype(np.uint32)
_THREEFRY_PARITY = np.uint32(0x1BD11BDA)
_THREEFRY_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def key_words(prng: str) -> int:
    """Return how many words a key of this PRNG has.

    Raises:
        ConfigError: there is no such PRNG, or it may not hold cipher keys.
    """
    if prng not in WORDS:
        raise ConfigError(f"prng={prng!r} cannot hold cipher keys; use {' or '.join(map(repr, WORDS))}")
    return WORDS[prng]


def check_keys(keys: np.ndarray) -> np.ndarray:
    """Return keys, `uint32[..., 8]` or `uint32[..., 2]`.

    Raises:
        ArgumentError: they are something else.
    """
    keys = np.asarray(keys)
    if keys.dtype != np.uint32 or keys.ndim == 0 or keys.shape[-1] not in WORDS.values():
        raise ArgumentError(f"keys must be uint32[..., 8] or uint32[..., 2], got {keys.dtype}{list(keys.shape)}")
    return keys


def split(keys: np.ndarray, count: int) -> np.ndarray:
    """Give every key `count` children: `uint32[..., W]` to `uint32[..., count, W]`."""
    if check_keys(keys).shape[-1] == 8:
        return _chacha20_words(keys, SPLIT_NONCE, 8 * count).reshape(*keys.shape[:-1], count, 8)
    return threefry2x32(keys, 0, np.arange(count, dtype=np.uint32))


def fold_in(keys: np.ndarray, data: int) -> np.ndarray:
    """Give every key the child that a 32-bit number names: `uint32[..., W]` to `uint32[..., W]`."""
    number = np.array([data], np.uint32)
    if check_keys(keys).shape[-1] == 8:
        return chacha20(keys, number, FOLD_NONCE)[..., 0, :8]
    return threefry2x32(keys, 0, number)[..., 0, :]


def bits(keys: np.ndarray, count: int) -> np.ndarray:
    """Give `count` random words of every key: `uint32[..., W]` to `uint32[..., count]`."""
    if check_keys(keys).shape[-1] == 8:
        return _chacha20_words(keys, BITS_NONCE, count)
    pair = threefry2x32(keys, 0, np.arange(count, dtype=np.uint32))
    return pair[..., 0] ^ pair[..., 1]


def chacha20(keys: np.ndarray, counters: np.ndarray, nonce: np.ndarray) -> np.ndarray:
    """Compute the block function of RFC 8439, section 2.3.

    Args:
        keys: `uint32[..., 8]`.
        counters: `uint32[n]`.
        nonce: `uint32[3]`.

    Returns:
        `uint32[..., n, 16]`, for every key and counter the words of the block.
    """
    state = np.empty((16, *keys.shape[:-1], len(counters)), np.uint32)
    for i in range(4):
        state[i] = _CHACHA_CONSTANTS[i]
    for i in range(8):
        state[4 + i] = keys[..., i, None]
    state[12] = counters
    for i in range(3):
        state[13 + i] = nonce[i]
    initial = state.copy()
    for _ in range(10):
        for column in range(4):
            _quarter_round(state, column, 4 + column, 8 + column, 12 + column)
        for column in range(4):
            _quarter_round(state, column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return np.moveaxis(state + initial, 0, -1)


def _quarter_round(state: np.ndarray, a: int, b: int, c: int, d: int) -> None:
    for target, addend, mixed, rotation in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[target] += state[addend]
        state[mixed] = _rotated(state[mixed] ^ state[target], rotation)


def _rotated(words: np.ndarray, places: int) -> np.ndarray:
    return (words << np.uint32(places)) | (words >> np.uint32(32 - places))


def _chacha20_words(keys: np.ndarray, nonce: np.ndarray, count: int) -> np.ndarray:
    """Return the first words of the keystream, `uint32[..., count]`."""
    blocks = chacha20(keys, np.arange(-(-count // 16), dtype=np.uint32), nonce)
    return blocks.reshape(*keys.shape[:-1], blocks.shape[-2] * 16)[..., :count]


def threefry2x32(keys: np.ndarray, high: int, low: np.ndarray) -> np.ndarray:
    """Compute Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

    Args:
        keys: `uint32[..., 2]`.
        high: word 0 of all counters.
        low: `uint32[n]`, word 1 of each counter.

    Returns:
        `uint32[..., n, 2]`, for every key and counter two words.
    """
    schedule = [keys[..., 0, None], keys[..., 1, None]]
    schedule.append(schedule[0] ^ schedule[1] ^ _THREEFRY_PARITY)
    x0 = np.full_like(low, high) + schedule[0]
    x1 = low + schedule[1]
    for group in range(5):
        for rotation in _THREEFRY_ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = _rotated(x1, rotation) ^ x0
        x0 = x0 + schedule[(group + 1) % 3]
        x1 = x1 + schedule[(group + 2) % 3] + np.uint32(group + 1)
    return np.stack([x0, x1], axis=-1)
