"""The ratchet of disposable keys: image keys that are used once and then cannot be had again.

At each round the root key splits into the next root and the round's key, and the old root is erased; the round's key
gives every client a key of its own, and that one gives a key to every image:

    root ── split ──> next root
              └─────> round key ── fold_in x 8, SHA-256(client) ──> client node
    client node ── split ──> client key
                     └─────> images node ── split ──> image keys

Every arrow is a one-way function, so that today's root tells nothing about yesterday's images. No key is both split
and drawn from, and no key that is handed out is the parent of another: with threefry2x32 `split(k, n)[i]` equals
`fold_in(k, i)`, and a key used in two ways would betray itself.

Roots, round keys and nodes stay in memory of the host that is overwritten (`dkjax.derivation`); only what `for_client`
returns is a JAX array. Each key is given once: a ratchet serves one thread at a time, and no process but its own.

A key never leaves the process by way of this module: not by repr, pickle, copy or the text of an error. What a caller
copies out of a key array (a slice, `jax.random.key_data`, a NumPy array) is the caller's to forget; and the repr of a
JAX key array shows its words, so that key arrays belong in no log.

Guarantees:
    *   Keys of a finished round cannot be derived from the ratchet's state (tests/test_keys.py:
        test_forward_secrecy, test_nothing_of_a_round_stays_on_the_device).
    *   Nothing of a round, nor an earlier root, is found in the process's memory after the round, whatever a caller did
        not copy (tests/test_keys_in_memory.py); docs/protection.md says what cannot be guaranteed.
    *   No key is given twice, be it to threads or to a forked process (test_threads_get_no_key_twice,
        test_a_forked_process_is_refused).
    *   A round's keys do not depend on which clients asked, or when (test_clients_are_independent).
    *   No key is in a repr, pickle, copy, error or program (test_repr_shows_mode_prng_and_round,
        test_ratchet_stays_in_the_process, test_no_key_in_errors, test_no_key_in_the_programs).

Source: Aso, Shiota, Kiya, APSIPA ASC 2024, arXiv 2408.05737, for keys that are used once; the ratchet is dkjax's.
"""

import functools
import hashlib
import operator
import os
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Concatenate, NoReturn, ParamSpec, Self, SupportsIndex, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from dkjax import prng as prngs
from dkjax.derivation import Words, fold_in, split
from dkjax.errors import ArgumentError, KeyDiscardedError, KeyReuseError
from dkjax.runtime.secret_memory import SecretWords, overwrite_bytes

_ROOT_LABEL = b"dkjax reproducible root v1:"

_Holder = TypeVar("_Holder", bound="_KeyHolder")
_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


# The donated buffer is the one that the zeros are written into: the key is overwritten, not only handed back.
@functools.partial(jax.jit, donate_argnums=0, keep_unused=True)
def _zeros_in_place(keys: jax.Array) -> jax.Array:
    return jnp.zeros_like(keys)


@functools.partial(jax.jit, static_argnums=1)
def _copy(keys: jax.Array, count: int) -> jax.Array:
    return jnp.copy(jnp.broadcast_to(keys, (count, *keys.shape[1:])))


@jax.jit
def _take(keys: jax.Array, rows: jax.Array) -> jax.Array:
    return keys[rows]


def _sha256(data: bytes, words: int) -> SecretWords:
    """Return the first words of a digest, little-endian."""
    digest, kept = hashlib.sha256(data).digest(), SecretWords(words)
    kept.words[:] = np.frombuffer(digest, "<u4", words)
    overwrite_bytes(digest)
    return kept


def _to_device(words: Words, prng: str) -> jax.Array:
    """Make typed keys of words, in memory of JAX's own."""
    array = jax.device_put(words).block_until_ready()
    if array.device.platform == "cpu" and array.unsafe_buffer_pointer() == words.ctypes.data:
        # What shares the memory of `words` would become zero with it. As `SecretWords` are aligned, JAX copies.
        array = _copy(array, len(words)).block_until_ready()
    return prngs.wrap_key(array, prng)


def _refuse_tracing() -> None:
    if isinstance(jax.device_put(np.uint32(0)), jax.core.Tracer):
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


def _alone(
    method: Callable[Concatenate[_Holder, _Args], _Result],
) -> Callable[Concatenate[_Holder, _Args], _Result]:
    """Let one thread at a time into a method, and no process but the one that made the keys."""

    @functools.wraps(method)
    def alone(self: _Holder, *args: _Args.args, **kwargs: _Args.kwargs) -> _Result:
        if os.getpid() != self._process:
            raise KeyReuseError(
                f"this process was forked from the one that made the {type(self).__name__}, which could give the same "
                "keys again: make a ratchet in each process"
            )
        with self._lock:
            return method(self, *args, **kwargs)

    return alone


class _KeyHolder:
    """What has keys inside: it shows everything but them, and can be neither pickled nor copied."""

    __slots__ = ("_key", "_lock", "_mode", "_prng", "_process", "_round")

    def __init__(self, key: SecretWords, *, mode: str, prng: str, round_number: int, lock: Any) -> None:
        """Take possession of a key, which nobody else may hold; the lock is the ratchet's."""
        self._key = key
        self._mode = mode
        self._prng = prng
        self._round = round_number
        self._lock = lock
        self._process = os.getpid()

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
        return self._key.wiped

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

    def __init__(self, key: SecretWords, *, mode: str, prng: str, round_number: int, lock: Any) -> None:
        """Take possession of a round's key; `Ratchet.next_round` is the only caller."""
        super().__init__(key, mode=mode, prng=prng, round_number=round_number, lock=lock)
        self._entered = False
        self._clients: set[str] = set()
        self._given: list[jax.Array] = []

    @_alone
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
            KeyReuseError: If this client has already asked in this round, or this process was forked since.
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
        _refuse_tracing()
        with SecretWords(2, len(self._key.words)) as nodes:
            node = nodes[0]
            node[:] = self._key.words
            for word in np.frombuffer(hashlib.sha256(client.encode("utf-8", "surrogatepass")).digest(), "<u4"):
                fold_in(node, int(word), node)
            split(node, nodes)
            if count is None:
                keys = _to_device(nodes[0], self._prng)
            else:
                with SecretWords(count, len(node)) as words:
                    split(nodes[1], words)
                    keys = _to_device(words, self._prng)
        self._clients.add(client)
        self._given.append(keys)
        return keys

    def discard(self) -> None:
        """Erase the round's key and every key that was handed out; leaving the `with` block does the same."""
        if os.getpid() != self._process:
            return  # zeros were left to a forked process, in which JAX may hang
        with self._lock:
            self._key.wipe()
            while self._given:
                erase(self._given.pop())

    @_alone
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


class Ratchet(_KeyHolder):
    """A root key that moves on at every round and cannot move back; made by `disposable` or `reproducible`."""

    __slots__ = ("_open",)

    def __init__(self, root: SecretWords, *, mode: str, prng: str) -> None:
        """Take possession of a root key; `disposable` and `reproducible` are the only callers."""
        super().__init__(root, mode=mode, prng=prng, round_number=0, lock=threading.RLock())
        self._open: RoundKeys | None = None

    @_alone
    def next_round(self) -> RoundKeys:
        """Begin a round: derive its key and the next root, and erase the root before it.

        Returns:
            The round's keys, to be used as `with ratchet.next_round() as round_keys:`.

        Raises:
            KeyReuseError: If the round before is still open, or this process was forked since.
            KeyDiscardedError: If the ratchet has been discarded.
            ArgumentError: If this is called inside a function that JAX traces.

        Guarantees:
            *   The old root is overwritten and not reachable from the new one (test_forward_secrecy).
        """
        if self.discarded:
            raise KeyDiscardedError("this ratchet has been discarded: make another one")
        if self._open is not None and not self._open.discarded:
            raise KeyReuseError(f"round {self._round} is still open: leave its `with` block before the next round")
        _refuse_tracing()
        size = len(self._key.words)
        root, round_key = SecretWords(size), SecretWords(size)
        with SecretWords(2, size) as children:
            split(self._key.words, children)
            root.words[:], round_key.words[:] = children
        self._key.wipe()
        self._key = root
        self._round += 1
        self._open = RoundKeys(round_key, mode=self._mode, prng=self._prng, round_number=self._round, lock=self._lock)
        return self._open

    def discard(self) -> None:
        """Erase the root and the keys of an open round; the ratchet is of no use afterwards."""
        if os.getpid() != self._process:
            return
        with self._lock:
            if self._open is not None:
                self._open.discard()
            self._key.wipe()


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
        *   The bytes that the operating system gave are overwritten (test_random_bytes_are_overwritten).
    """
    root = SecretWords(prngs.key_words(prng))
    random = os.urandom(root.words.nbytes)
    root.words[:] = np.frombuffer(random, np.uint32)
    overwrite_bytes(random)
    return Ratchet(root, mode="disposable", prng=prng)


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
    root = _sha256(_ROOT_LABEL + str(_as_int("seed", seed)).encode(), prngs.key_words(prng))
    return Ratchet(root, mode="reproducible", prng=prng)


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


def take(keys: jax.Array, rows: np.ndarray) -> jax.Array:
    """Copy some of the keys; the copy has to be given to `erase` in the end.

    An index, `keys[rows]`, leaves a temporary array behind that nobody can erase.

    Args:
        keys: Typed keys of shape `[n]`.
        rows: Which, integers `[m]`.

    Returns:
        Typed keys `[m]`.

    Raises:
        KeyDiscardedError: If the round of the keys has ended.
    """
    require_live(keys)
    return _take(keys, rows)


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
