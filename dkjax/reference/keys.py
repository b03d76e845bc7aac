"""The ratchet as functions: roots, rounds, clients, image keys.

    root ── split ──> next root, round key
    round key ── fold_in x 8, SHA-256(client) ──> node ── split ──> client key, images node
    images node ── split ──> image keys

What `dkjax.keys` does with objects that erase themselves is the caller's to do here: overwrite a root with `erase` as
soon as it has advanced, and everything of a round when the round ends.
"""

import hashlib
import operator
import os
from typing import SupportsIndex

import numpy as np

from dkjax.errors import ArgumentError
from dkjax.reference.keystream import check_keys, fold_in, key_words, split

_ROOT_LABEL = b"dkjax reproducible root v1:"


def disposable_root(*, prng: str = "chacha20") -> np.ndarray:
    """Make a root from the operating system's randomness, `uint32[W]`: the one for images that leave a client."""
    return np.frombuffer(bytearray(os.urandom(4 * key_words(prng))), "<u4").astype(np.uint32)


def reproducible_root(seed: SupportsIndex, *, prng: str = "chacha20") -> np.ndarray:
    """Make a root from a seed, `uint32[W]`, for experiments: whoever guesses the seed has every key.

    Raises:
        ArgumentError: the seed is no integer of at least 0.
        ConfigError: the PRNG is unknown.
    """
    words = key_words(prng)
    return _sha256_words(_ROOT_LABEL + str(_count("seed", seed)).encode("ascii"))[:words]


def advance(root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Begin a round: return the next root and the round's key; `erase` the old root then."""
    next_root, round_key = split(_single(root), 2)
    return next_root, round_key


def client_key(round_key: np.ndarray, client: str) -> np.ndarray:
    """Return a client's own key, `uint32[W]`, for images that share one.

    Raises:
        ArgumentError: the name is empty or no text, or the round's key is no single key.
    """
    return split(_client_node(round_key, client), 2)[0]


def image_keys(round_key: np.ndarray, client: str, count: SupportsIndex) -> np.ndarray:
    """Return the keys of a client's images, `uint32[count, W]`; more of them begin with the same ones.

    Raises:
        ArgumentError: as `client_key`, or the count is no integer of at least 0.
    """
    return split(split(_client_node(round_key, client), 2)[1], _count("count", count))


def erase(*keys: np.ndarray) -> None:
    """Overwrite keys with zeros."""
    for key in keys:
        key[...] = 0


def _client_node(round_key: np.ndarray, client: str) -> np.ndarray:
    if not isinstance(client, str) or not client:
        raise ArgumentError("a client's name must be a text that is not empty")
    node = _single(round_key)
    for word in _sha256_words(client.encode("utf-8", "surrogatepass")):
        node = fold_in(node, int(word))
    return node


def _sha256_words(data: bytes) -> np.ndarray:
    return np.frombuffer(hashlib.sha256(data).digest(), "<u4").astype(np.uint32)


def _single(key: np.ndarray) -> np.ndarray:
    if check_keys(key).ndim != 1:
        raise ArgumentError(f"expected a single key, got keys of shape {list(key.shape)}")
    return key


def _count(name: str, value: SupportsIndex) -> int:
    try:
        number = -1 if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise ArgumentError(f"{name} must be an integer of at least 0, got {value!r}")
    return number
