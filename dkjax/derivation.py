"""Children of keys, computed on the host in memory that is overwritten afterwards.

`split` and `fold_in` give the very words of `jax.random.split` and `jax.random.fold_in`. JAX leaves its temporary
arrays in freed memory, from which they can be read until something else is written there; here all that a key touches
is a `SecretWords`, or OpenSSL's, which overwrites its own.

Guarantees:
    *   The words are those of JAX (tests/test_derivation.py: test_split_is_that_of_jax, test_fold_in_is_that_of_jax).
    *   Nothing of a key is left in the process (tests/test_keys_in_memory.py).

Source: docs/spec.md, sections on ChaCha20 and Threefry.
"""

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray

from dkjax.prng import FOLD_NONCE, SPLIT_NONCE
from dkjax.runtime.secret_memory import SecretWords

Words = NDArray[np.uint32]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)
_CHUNK = 1 << 16

_ZEROS = bytes(1 << 16)
_NO_KEY = bytes(32)
_LANES = 4096
"""A multiple of the bytes that OpenSSL computes side by side; what is left over takes another way through its code."""


def split(key: Words, out: Words) -> None:
    """Write the first children of a key, as `jax.random.split` numbers them.

    Args:
        key: uint32[8] for chacha20 or uint32[2] for threefry2x32.
        out: uint32[n, 8] or uint32[n, 2], contiguous.
    """
    if len(key) == 8:
        _chacha20(key, SPLIT_NONCE, 0, out)
        return
    for first in range(0, len(out), _CHUNK):
        _threefry2x32(key, first, out[first : first + _CHUNK])


def fold_in(key: Words, data: int, out: Words) -> None:
    """Write the child that a number names, as `jax.random.fold_in` does; shapes as for `split`, of one child.

    Args:
        key: as for `split`.
        data: 0 to 2**32 - 1.
        out: uint32[8] or uint32[2], contiguous; it may be `key`.
    """
    if len(key) == 8:
        _chacha20(key, FOLD_NONCE, data, out)
    else:
        _threefry2x32(key, data, out[None])


def _chacha20(key: Words, nonce: tuple[int, int, int], counter: int, out: Words) -> None:
    """Write the keystream from a block on. OpenSSL's nonce is the counter and the nonce of RFC 8439."""
    start = np.array([counter, *nonce], "<u4").tobytes()
    size = out.nbytes
    # Little-endian words: on a machine of the other kind JAX itself does not run.
    target = memoryview(out.reshape(-1).view(np.uint8).data)
    # OpenSSL leaves the key's words on the stack: the same work with a key of zeros follows, to write over them.
    nothing = memoryview(bytearray(size if size <= 2 * _LANES else _LANES + size % _LANES))
    for secret, part in ((memoryview(key.view(np.uint8).data), target), (_NO_KEY, nothing)):
        keystream = Cipher(algorithms.ChaCha20(secret, start), mode=None).encryptor()
        for first in range(0, len(part), len(_ZEROS)):
            keystream.update_into(_ZEROS[: len(part) - first], part[first : first + len(_ZEROS)])


def _threefry2x32(key: Words, first: int, out: Words) -> None:
    """Write `threefry2x32(key, (0, first + i))` for each row `i`."""
    count = len(out)
    with SecretWords(3, 1) as schedule, SecretWords(3, count) as state:
        x0, x1, spare = state
        schedule[:2, 0] = key
        np.bitwise_xor(schedule[0], schedule[1], out=schedule[2])
        np.bitwise_xor(schedule[2], _PARITY, out=schedule[2])
        x0[:] = schedule[0]
        x1[:] = np.arange(first, first + count, dtype=np.uint32)
        np.add(x1, schedule[1], out=x1)
        for group in range(5):
            for rotation in _ROTATIONS[group % 2]:
                np.add(x0, x1, out=x0)
                np.left_shift(x1, np.uint32(rotation), out=spare)
                np.right_shift(x1, np.uint32(32 - rotation), out=x1)
                np.bitwise_or(x1, spare, out=x1)
                np.bitwise_xor(x1, x0, out=x1)
            np.add(x0, schedule[(group + 1) % 3], out=x0)
            np.add(x1, schedule[(group + 2) % 3], out=x1)
            np.add(x1, np.uint32(group + 1), out=x1)
        out[:, 0], out[:, 1] = x0, x1
