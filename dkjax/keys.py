"""The ratchet of disposable keys: image keys that are used once and then cannot be had again.

A root key lives in the device's memory. At each round it splits into the next root and the round's key, and the old
root is erased; the round's key gives every client a key of its own, and that one gives a key to every image:

    root ── split ──> next root
              └─────> round key ── fold_in x 8, SHA-256(client) ──> client node
    client node ── split ──> client key
                     └─────> images node ── split ──> image keys

Every arrow is a one-way function, so that today's root tells nothing about yesterday's images. No key is both split
and drawn from, and no key that is handed out is the parent of another: with threefry2x32 `split(k, n)[i]` equals
`fold_in(k, i)`, and a key used in two ways would betray itself.

A key never leaves the process by way of this module: not by repr, pickle, copy or the text of an error. What a caller
copies out of a key array (a slice, `jax.random.key_data`, a NumPy array) is the caller's to forget; and the repr of a
JAX key array shows its words, so that key arrays belong in no log.

Guarantees:
    *   Keys of a finished round cannot be derived from the ratchet's state (tests/test_keys.py:
        test_forward_secrecy, test_nothing_of_a_round_stays_on_the_device).
    *   A round's keys do not depend on which clients asked, or when (test_clients_are_independent).
    *   No key is in a repr, pickle, copy, error or program (test_repr_shows_mode_prng_and_round,
        test_ratchet_stays_in_the_process, test_no_key_in_errors, test_no_key_in_the_programs).

Source: Aso, Shiota, Kiya, APSIPA ASC 2024, arXiv 2408.05737, for keys that are used once; the ratchet is dkjax's.
"""

import functools
import hashlib
import operator
import os
from collections.abc import Sequence
from types import TracebackType
from typing import NoReturn, Self, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dkjax import prng as prngs
from dkjax.errors import ArgumentError, KeyDiscardedError, KeyReuseError

_ROOT_LABEL = b"dkjax reproducible root v1:"


@jax.jit
def _advance(root: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return (next root, round key)."""
    children = jax.random.split(root)
    return children[0], children[1]


@jax.jit
def _client_keys(round_key: jax.Array, name: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return (client key, images node) for the uint32[8] digest of a client's name."""
    # A scan, so that one fold_in is compiled and not eight.
    node, _ = lax.scan(lambda key, word: (jax.random.fold_in(key, word), None), round_key, name)
    children = jax.random.split(node)
    return children[0], children[1]


@functools.partial(jax.jit, static_argnums=1)
def _split(key: jax.Array, count: int) -> jax.Array:
    return jax.random.split(key, count)


# The donated buffer is the one that the zeros are written into: the key is overwritten, not only handed back.
@functools.partial(jax.jit, donate_argnums=0, keep_unused=True)
def _zeros_in_place(keys: jax.Array) -> jax.Array:
    return jnp.zeros_like(keys)


@functools.partial(jax.jit, static_argnums=1)
def _copy(keys: jax.Array, count: int) -> jax.Array:
    return jnp.copy(jnp.broadcast_to(keys, (count,)))


def _digest_words(data: bytes) -> np.ndarray:
    return np.frombuffer(hashlib.sha256(data).digest(), "<u4").astype(np.uint32)


def _move_to_device(words: np.ndarray, prng: str) -> jax.Array:
    """Make a key of uint32 words and overwrite the words."""
    # On CPU `jax.device_put` may share a NumPy array's memory, even with may_alias=False.
    key = prngs.wrap_key(jnp.array(words, copy=True), prng).block_until_ready()
    words[:] = 0
    return key


def _refuse_tracers(*keys: jax.Array) -> None:
    if any(isinstance(key, jax.core.Tracer) for key in keys):
        raise ArgumentError(
            "keys are derived outside jit, vmap and grad, and given to the function as arguments: "
            "inside, they would become constants of the compiled program"
        )


def _shown(value: object) -> str:
    """Return what an error may say of a wrong argument: its type where it could be a key, whose repr has its words."""
    return repr(value) if value is None or isinstance(value, bool | int | float | str) else type(value).__name__


def _as_int(name: str, value: SupportsIndex) -> int:
    """Return a non-negative int."""
    try:
        number = -1 if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise ArgumentError(f"{name} must be an integer of at least 0, not {_shown(value)}")
    return number


class _KeyHolder:
    """What has keys inside: it shows everything but them, and can be neither pickled nor copied."""

    __slots__ = ("_key", "_mode", "_prng", "_round")

    def __init__(self, key: jax.Array, *, mode: str, prng: str, round_number: int) -> None:
        """Take possession of a key, which nobody else may hold."""
        self._key = key
        self._mode = mode
        self._prng = prng
        self._round = round_number

    @property
    def mode(self) -> str:
        """`"disposable"` or `"reproducible"`."""
        return self._mode

    @property
    def prng(self) -> str:
        """The name of the PRNG that the keys belong to."""
        return self._prng

    @property
    def round(self) -> int:
        """Of a ratchet, how many rounds have begun; of a round's keys, its number, counted from 1."""
        return self._round

    @property
    def discarded(self) -> bool:
        """Whether the keys inside are erased."""
        return self._key.is_deleted()

    def __repr__(self) -> str:
        """Show everything but the keys."""
        return f"{type(self).__name__}(mode={self._mode!r}, prng={self._prng!r}, round={self._round})"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse pickle, copy.copy and copy.deepcopy, which all come this way."""
        raise KeyReuseError(
            f"a {type(self).__name__} can be neither pickled nor copied: keys never leave the process, "
            "and a copy would hand out the same keys again"
        )


class RoundKeys(_KeyHolder):
    """The keys of one round, made by `Ratchet.next_round` and erased when the `with` block ends."""

    __slots__ = ("_clients", "_entered", "_given")

    def __init__(self, key: jax.Array, *, mode: str, prng: str, round_number: int) -> None:
        """Take possession of a round's key; `Ratchet.next_round` is the only caller."""
        super().__init__(key, mode=mode, prng=prng, round_number=round_number)
        self._entered = False
        self._clients: set[str] = set()
        self._given: list[jax.Array] = []

    def for_client(self, client: str, num_images: SupportsIndex | None = None) -> jax.Array:
        """Derive a client's keys, once.

        Args:
            client: The client's name, any text but the empty one. Different names give independent keys.
            num_images: How many image keys; without it the client's own key is returned, for the baselines in
                which all images of a client share one key.

        Returns:
            Typed keys, shape [num_images], one for each image; or one typed key, shape []. The one is no relative
            of the others. All are erased when the round ends.

        Raises:
            KeyDiscardedError: If the round is over.
            KeyReuseError: If this client has already asked in this round.
            ArgumentError: If the name is empty or no text, if the number is no integer of at least 0, or if this
                is called inside a function that JAX traces.

        Guarantees:
            *   The first keys do not depend on how many are asked for (test_more_images_begin_with_the_same_keys).
            *   The client's own key is no relative of its image keys (test_client_key_is_apart_from_image_keys).
        """
        if self.discarded:
            raise KeyDiscardedError(f"round {self._round} is over and its keys are erased: begin the next round")
        if not isinstance(client, str) or not client:
            raise ArgumentError(f"a client's name must be a text that is not empty, not {_shown(client)}")
        count = None if num_images is None else _as_int("num_images", num_images)
        if client in self._clients:
            raise KeyReuseError(
                f"client {client!r} already has its keys of round {self._round}: ask once for all images, "
                "or begin the next round"
            )
        own_key, images_node = _client_keys(self._key, _digest_words(client.encode("utf-8", "surrogatepass")))
        _refuse_tracers(own_key)
        if count is None:
            keys = own_key
        else:
            keys = _image_keys(images_node, count)
            erase(own_key)
        erase(images_node)
        self._clients.add(client)
        self._given.append(keys)
        return keys

    def discard(self) -> None:
        """Erase the round's key and every key that was handed out; leaving the `with` block does the same."""
        for keys in (self._key, *self._given):
            erase(keys)
        self._given.clear()

    def __enter__(self) -> Self:
        """Begin the block at whose end the keys are erased."""
        if self._entered:
            raise KeyReuseError(f"round {self._round} has been entered before: call next_round() for another")
        if self.discarded:
            raise KeyDiscardedError(f"round {self._round} is over and its keys are erased: begin the next round")
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Erase the keys, also when the body raises."""
        self.discard()


def _image_keys(node: jax.Array, count: int) -> jax.Array:
    # Clients have different numbers of images, and a split takes 0.3 s to compile: split for the next power of two,
    # which begins with the same keys, and slice.
    padded = _split(node, 1 << max(count - 1, 0).bit_length())
    if padded.size == count:
        return padded
    keys = padded[:count]
    erase(padded)
    return keys


class Ratchet(_KeyHolder):
    """A root key that moves on at every round and cannot move back; made by `disposable` or `reproducible`."""

    __slots__ = ("_open",)

    def __init__(self, root: jax.Array, *, mode: str, prng: str) -> None:
        """Take possession of a root key; `disposable` and `reproducible` are the only callers."""
        super().__init__(root, mode=mode, prng=prng, round_number=0)
        self._open: RoundKeys | None = None

    def next_round(self) -> RoundKeys:
        """Begin a round: derive its key and the next root, and erase the root before it.

        Returns:
            The round's keys, to be used as `with ratchet.next_round() as round_keys:`.

        Raises:
            KeyReuseError: If the round before is still open.
            KeyDiscardedError: If the ratchet has been discarded.
            ArgumentError: If this is called inside a function that JAX traces.

        Guarantees:
            *   The old root is deleted and not reachable from the new one (test_forward_secrecy).
        """
        if self.discarded:
            raise KeyDiscardedError("this ratchet has been discarded: make another one")
        if self._open is not None and not self._open.discarded:
            raise KeyReuseError(f"round {self._round} is still open: leave its `with` block before the next round")
        root, round_key = _advance(self._key)
        _refuse_tracers(root, round_key)
        erase(self._key)
        self._key = root
        self._round += 1
        self._open = RoundKeys(round_key, mode=self._mode, prng=self._prng, round_number=self._round)
        return self._open

    def discard(self) -> None:
        """Erase the root and the keys of an open round; the ratchet is of no use afterwards."""
        if self._open is not None:
            self._open.discard()
        erase(self._key)


def disposable(*, prng: str = "chacha20") -> Ratchet:
    """Make a ratchet whose root comes from the operating system: the one for images that leave a client.

    Args:
        prng: `"chacha20"` (256 bits of root) or `"threefry2x32"` (64 bits).

    Returns:
        A ratchet with `mode="disposable"`. Nobody can make its keys again, this process included.

    Raises:
        ConfigError: If the PRNG may not hold cipher keys.

    Guarantees:
        *   Two ratchets differ (test_disposable_ratchets_differ), and no seed is accepted.
        *   The host's array of the root is overwritten (test_host_words_are_overwritten). The bytes object that
            `os.urandom` returns is freed at once, but Python cannot overwrite it.
    """
    words = np.frombuffer(bytearray(os.urandom(prngs.key_bits(prng) // 8)), np.uint32)
    return Ratchet(_move_to_device(words, prng), mode="disposable", prng=prng)


def reproducible(seed: SupportsIndex, *, prng: str = "chacha20") -> Ratchet:
    """Make a ratchet from a seed, for experiments: whoever guesses the seed has every key, so it protects nothing.

    The root is the first words of SHA-256(b"dkjax reproducible root v1:" + str(seed)), little-endian, and so never a
    key that training randomness could have from `jax.random.key(seed)`.

    Args:
        seed: An integer of at least 0, of any size.
        prng: `"chacha20"` or `"threefry2x32"`.

    Returns:
        A ratchet with `mode="reproducible"`.

    Raises:
        ArgumentError: If the seed is no integer of at least 0.
        ConfigError: If the PRNG may not hold cipher keys.

    Guarantees:
        *   The same keys on 1 and on 4 devices and in another process (test_same_keys_in_another_process).
    """
    words = _digest_words(_ROOT_LABEL + str(_as_int("seed", seed)).encode())[: prngs.key_words(prng)]
    return Ratchet(_move_to_device(words, prng), mode="reproducible", prng=prng)


def erase(keys: jax.Array) -> None:
    """Overwrite keys where the device allows it, and delete their buffers in any case.

    A round erases what it gave out itself; this is for copies.

    Args:
        keys: Typed keys of any shape, erased before or not.
    """
    if keys.size and not keys.is_deleted():
        _zeros_in_place(keys)
    # Donation is refused, for example, while a NumPy array on CPU shares the memory; deletion is not.
    keys.delete()


def copy(keys: jax.Array, count: int) -> jax.Array:
    """Copy keys, such that the copy outlives their round until it is given to `erase`.

    For simulations, in which clients and server are one process and images are encrypted whenever a step needs them.

    Args:
        keys: Typed keys of shape `[count]`, or one of shape `[]` for all.
        count: How many keys the copy has.

    Returns:
        Typed keys `[count]`.

    Raises:
        KeyDiscardedError: If the round of the keys has ended.
    """
    require_live(keys)
    return _copy(keys, count)


def in_turn(keys: Sequence[jax.Array], count: int) -> jax.Array:
    """Copy keys such that they take turns; the copy has to be given to `erase` in the end.

    Args:
        keys: Typed keys of shape `[]`.
        count: How many keys the copy has: key `i` is `keys[i % len(keys)]`.

    Returns:
        Typed keys `[count]`.

    Raises:
        KeyDiscardedError: If the round of one of the keys has ended.
    """
    for key in keys:
        require_live(key)
    turns = np.arange(count) % len(keys)
    return jax.jit(lambda *every: jnp.stack(every)[turns])(*keys)


def join(keys: Sequence[jax.Array], sharding: jax.sharding.Sharding) -> jax.Array:
    """Copy several arrays of keys into one, laid out on devices; it has to be given to `erase` in the end.

    Args:
        keys: Typed keys of shape `[n]` each, on this process's devices, the same in every process.
        sharding: Where the joined array lies.

    Returns:
        Typed keys, one array after the other.
    """
    return jax.jit(lambda *parts: jnp.concatenate(parts), out_shardings=sharding)(*keys)


def require_live(keys: jax.Array) -> None:
    """Raise `KeyDiscardedError` if keys have been erased; keys inside a traced function pass.

    Args:
        keys: Typed keys of any shape.

    Raises:
        KeyDiscardedError: If the buffer of the keys is deleted.
    """
    if not isinstance(keys, jax.core.Tracer) and keys.is_deleted():
        raise KeyDiscardedError(
            f"keys of shape {list(keys.shape)} have been discarded: encrypt and decrypt inside the round's `with` block"
        )
