"""The ratchet: which keys it gives, that they are gone afterwards, and that they show up nowhere else."""

import copy
import gc
import itertools
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dkjax
from dkjax import keys, prng
from dkjax.errors import ArgumentError, ConfigError, KeyDiscardedError, KeyReuseError

both_prngs = pytest.mark.parametrize("name", prng.NAMES)


def words(key_array: jax.Array) -> np.ndarray:
    """Copy a key array's words to the host, so that they outlive the keys."""
    return np.array(jax.random.key_data(key_array))


def secret(holder: keys.Ratchet | keys.RoundKeys) -> jax.Array:
    """The key that a ratchet or a round has inside, as JAX has it."""
    return prng.wrap_key(jnp.array(holder._key.words), holder.prng)


def digest_words(data: bytes, count: int = 8) -> np.ndarray:
    digest = keys._sha256(data, count)
    return digest.words.copy()


def one_round(ratchet: keys.Ratchet, **clients: int | None) -> dict[str, np.ndarray]:
    with ratchet.next_round() as round_keys:
        return {client: words(round_keys.for_client(client, count)) for client, count in clients.items()}


# Which keys it gives


@both_prngs
def test_shapes_and_modes(name):
    for ratchet in (keys.disposable(prng=name), keys.reproducible(seed=0, prng=name)):
        assert (ratchet.prng, ratchet.round, ratchet.discarded) == (name, 0, False)
        with ratchet.next_round() as round_keys:
            image_keys = round_keys.for_client("plant-a", 5)
            client_key = round_keys.for_client("plant-b")
            assert (image_keys.shape, client_key.shape) == ((5,), ())
            assert round_keys.for_client("plant-c", 0).shape == (0,)
            assert prng.prng_name(image_keys) == prng.prng_name(client_key) == name
            assert (round_keys.mode, round_keys.prng, round_keys.round) == (ratchet.mode, name, 1)
        assert ratchet.round == 1
    assert ratchet.mode == "reproducible"
    assert keys.disposable().mode == "disposable"
    assert dkjax.keys is keys


GOLDEN = {
    "chacha20": [137152313, 3257651271, 2156853497, 3526386800, 1280381353, 3611936812, 3153786742, 2636693027],
    "threefry2x32": [3407761117, 902046816],
}
"""The first image key of client `plant-a` in round 1 of seed 0."""


@both_prngs
def test_golden_image_key(name):
    assert one_round(keys.reproducible(seed=0, prng=name), **{"plant-a": 3})["plant-a"][0].tolist() == GOLDEN[name]


@both_prngs
def test_documented_derivation(name):
    found = one_round(keys.reproducible(seed=12, prng=name), a=3, b=None)
    root = prng.wrap_key(jnp.array(digest_words(b"dkjax reproducible root v1:12", prng.key_words(name))), name)
    nodes = {}
    for client in "ab":
        node = jax.random.split(root)[1]
        for word in digest_words(client.encode()):
            node = jax.random.fold_in(node, word)
        nodes[client] = jax.random.split(node)
    np.testing.assert_array_equal(found["a"], words(jax.random.split(nodes["a"][1], 3)))
    np.testing.assert_array_equal(found["b"], words(nodes["b"][0]))


@both_prngs
def test_clients_are_independent(name):
    forward = one_round(keys.reproducible(seed=1, prng=name), a=3, b=2, c=None)
    backward = one_round(keys.reproducible(seed=1, prng=name), c=None, b=2, a=3)
    alone = one_round(keys.reproducible(seed=1, prng=name), b=2)
    for client in "abc":
        np.testing.assert_array_equal(forward[client], backward[client])
    np.testing.assert_array_equal(forward["b"], alone["b"])

    ratchet = keys.reproducible(seed=1, prng=name)
    with ratchet.next_round():
        pass
    busy = keys.reproducible(seed=1, prng=name)
    one_round(busy, a=3, b=2, c=None)
    np.testing.assert_array_equal(one_round(ratchet, a=3)["a"], one_round(busy, a=3)["a"])


@both_prngs
def test_more_images_begin_with_the_same_keys(name):
    many = one_round(keys.reproducible(seed=2, prng=name), a=9)["a"]
    for count in (0, 1, 3, 8):
        np.testing.assert_array_equal(one_round(keys.reproducible(seed=2, prng=name), a=count)["a"], many[:count])


@both_prngs
def test_all_keys_differ(name):
    found = []
    for seed in (0, 1, 2**32):
        ratchet = keys.reproducible(seed=seed, prng=name)
        for _ in range(2):
            found.extend(one_round(ratchet, a=3, aa=3, A=3, ä=None).values())
    rows = np.concatenate([array.reshape(-1, prng.key_words(name)) for array in found])
    assert len(np.unique(rows, axis=0)) == len(rows) == 3 * 2 * 10


def descendants(key: jax.Array, depth: int, width: int = 3) -> set[bytes]:
    """Everything within reach of a key by a few splits and fold_ins."""
    reached, level = set(), [key]
    for _ in range(depth):
        children = [jax.random.split(parent, width) for parent in level]
        children += [jnp.stack([jax.random.fold_in(parent, i) for i in range(width)]) for parent in level]
        level = [child for family in children for child in family]
        reached |= {words(child).tobytes() for child in level}
    return reached


@both_prngs
def test_client_key_is_apart_from_image_keys(name):
    image_keys = one_round(keys.reproducible(seed=3, prng=name), a=3)["a"]
    client_key = one_round(keys.reproducible(seed=3, prng=name), a=None)["a"]
    known = {row.tobytes() for row in image_keys}
    assert client_key.tobytes() not in known
    assert not known & descendants(prng.wrap_key(jnp.array(client_key), name), 2)
    assert client_key.tobytes() not in descendants(prng.wrap_key(jnp.array(image_keys[0]), name), 2)


@both_prngs
def test_disposable_ratchets_differ(name):
    found = [one_round(keys.disposable(prng=name), a=2)["a"] for _ in range(3)]
    assert len(np.unique(np.concatenate(found), axis=0)) == 6
    with pytest.raises(TypeError):
        keys.disposable(seed=0)
    with pytest.raises(TypeError):
        keys.disposable(0)


@both_prngs
def test_disposable_takes_its_root_from_the_operating_system(name, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "urandom", lambda size: asked.append(size) or bytes(range(size)))
    ratchet = keys.disposable(prng=name)
    assert asked == [prng.key_bits(name) // 8]
    assert ratchet._key.words.tobytes() == bytes(range(asked[0]))


@both_prngs
def test_random_bytes_are_overwritten(name, monkeypatch):
    given = []
    monkeypatch.setattr(os, "urandom", lambda size: given.append(bytes(range(1, size + 1))) or given[0])
    ratchet = keys.disposable(prng=name)
    assert ratchet._key.words.tobytes()[0] == 1
    assert not any(given[0])


def test_root_is_apart_from_training_randomness():
    for name, seed in itertools.product(prng.NAMES, (0, 1)):
        root = words(secret(keys.reproducible(seed=seed, prng=name))).tobytes()
        assert root not in descendants(jax.random.key(seed, impl=name), 2)
        assert root != words(jax.random.key(seed, impl=name)).tobytes()


PROGRAM = """
import sys, jax
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 1)
from dkjax import keys
for name in ("chacha20", "threefry2x32"):
    with keys.reproducible(seed=4, prng=name).next_round() as round_keys:
        print(jax.random.key_data(round_keys.for_client("a", 3)).tolist())
"""


def test_same_keys_in_another_process():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    here = [one_round(keys.reproducible(seed=4, prng=name), a=3)["a"].tolist() for name in prng.NAMES]
    assert jax.device_count() == 4
    assert [json.loads(line) for line in run.stdout.splitlines()] == here


def test_new_rounds_do_not_recompile():
    ratchet = keys.reproducible(seed=5)
    one_round(ratchet, a=5, b=None)
    before = keys._zeros_in_place._cache_size()
    for count in (5, 5, 5):
        one_round(ratchet, a=count, b=None)
    assert keys._zeros_in_place._cache_size() == before


# Gone afterwards


@both_prngs
def test_forward_secrecy(name):
    ratchet = keys.reproducible(seed=6, prng=name)
    old_root = ratchet._key
    old_words = words(secret(ratchet))
    with ratchet.next_round() as round_keys:
        round_words = words(secret(round_keys))
        image_words = words(round_keys.for_client("a", 3))
    assert old_root.wiped
    assert not old_root.words.any()
    new_words = words(secret(ratchet))
    earlier = {row.tobytes() for row in (old_words, round_words, *image_words)}
    assert new_words.tobytes() not in earlier
    assert not earlier & descendants(secret(ratchet), 3, width=2)


def live_rows(size: int) -> set[bytes]:
    """Every row of words that some live array on a device holds."""
    rows = set()
    for array in jax.live_arrays():
        if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            array = jax.random.key_data(array)
        if array.dtype == np.uint32 and array.size % size == 0:
            rows |= {row.tobytes() for row in np.array(array).reshape(-1, size)}
    return rows


@both_prngs
def test_nothing_of_a_round_stays_on_the_device(name):
    ratchet = keys.reproducible(seed=7, prng=name)
    with ratchet.next_round() as round_keys:
        held = round_keys._key
        image_keys, client_key = round_keys.for_client("a", 5), round_keys.for_client("b")
        rows = {row.tobytes() for row in (held.words, *words(image_keys), words(client_key))}
        gc.collect()
        # The scan sees what is there: five image keys and the client's key; the round's key is on no device.
        assert len(rows & live_rows(prng.key_words(name))) == 6
    gc.collect()
    assert image_keys.is_deleted()
    assert client_key.is_deleted()
    assert held.wiped
    assert not held.words.any()
    assert not rows & live_rows(prng.key_words(name))


def test_erasing_overwrites_the_memory():
    key_array = jax.random.split(jax.random.key(0, impl="chacha20"), 5)
    address = key_array.unsafe_buffer_pointer()
    zeros = keys._zeros_in_place(key_array)
    assert zeros.unsafe_buffer_pointer() == address
    assert not words(zeros).any()
    assert key_array.is_deleted()


def test_keys_on_the_device_are_no_view_of_the_host():
    # Memory at every alignment that JAX might share with the device in place of copying it.
    room = np.zeros(64, np.uint32)
    for offset in range(16):
        host = room[offset : offset + 8].reshape(1, 8)
        host[:] = np.arange(1, 9)
        key = keys._to_device(host, "chacha20")
        host[:] = 0
        assert words(key).tolist() == [list(range(1, 9))]


def test_keys_are_discarded_when_the_body_raises():
    ratchet = keys.reproducible(seed=8)
    with pytest.raises(ZeroDivisionError), ratchet.next_round() as round_keys:
        image_keys = round_keys.for_client("a", 3)
        raise ZeroDivisionError
    assert image_keys.is_deleted()
    assert round_keys.discarded
    assert one_round(ratchet, a=1)["a"].shape == (1, 8)


def test_keys_that_the_caller_deleted_do_not_disturb():
    with keys.reproducible(seed=8).next_round() as round_keys:
        round_keys.for_client("a", 3).delete()
        # NumPy shares a CPU array's memory: such a buffer is deleted, though it cannot be overwritten.
        shared = round_keys.for_client("b", 3)
        view = np.asarray(jax.random.key_data(shared))
    assert shared.is_deleted()
    assert view.shape == (3, 8)


def test_discarded_keys_are_refused():
    ratchet = keys.reproducible(seed=9)
    with ratchet.next_round() as round_keys:
        image_keys = round_keys.for_client("a", 3)
        keys.require_live(image_keys)
    with pytest.raises(KeyDiscardedError, match=r"shape \[3\]"):
        keys.require_live(image_keys)
    with pytest.raises(KeyDiscardedError, match="round 1 is over"):
        round_keys.for_client("b", 3)
    ratchet.discard()
    assert ratchet.discarded
    with pytest.raises(KeyDiscardedError, match="ratchet has been discarded"):
        ratchet.next_round()
    ratchet.discard()


def test_discarding_a_ratchet_discards_its_open_round():
    ratchet = keys.reproducible(seed=9)
    round_keys = ratchet.next_round()
    image_keys = round_keys.for_client("a", 3)
    ratchet.discard()
    assert round_keys.discarded
    assert image_keys.is_deleted()
    with pytest.raises(KeyDiscardedError, match="round 1 is over"), round_keys:
        pass


def test_traced_keys_are_live():
    jax.eval_shape(keys.require_live, jax.random.key(0, impl="chacha20"))


# Once and nowhere else


def test_reuse_is_refused():
    ratchet = keys.reproducible(seed=10)
    with ratchet.next_round() as round_keys:
        round_keys.for_client("a", 3)
        for count in (3, 4, None):
            with pytest.raises(KeyReuseError, match="'a' already has its keys of round 1"):
                round_keys.for_client("a", count)
        with pytest.raises(KeyReuseError, match="round 1 is still open"):
            ratchet.next_round()
        with pytest.raises(KeyReuseError, match="has been entered before"), round_keys:
            pass
        assert not round_keys.discarded
    with pytest.raises(KeyReuseError, match="has been entered before"), round_keys:
        pass
    assert ratchet.round == 1


@pytest.mark.parametrize("count", [-1, 1.5, True, "3"])
def test_num_images_is_checked(count):
    with keys.reproducible(seed=0).next_round() as round_keys:
        with pytest.raises(ArgumentError, match="num_images must be an integer of at least 0"):
            round_keys.for_client("a", count)
        assert round_keys.for_client("a", np.int64(2)).shape == (2,)


@pytest.mark.parametrize("client", ["", None, 3, b"a"])
def test_client_name_is_checked(client):
    with (
        keys.reproducible(seed=0).next_round() as round_keys,
        pytest.raises(ArgumentError, match="a client's name must be a text that is not empty"),
    ):
        round_keys.for_client(client, 3)


@pytest.mark.parametrize("seed", [-1, 0.0, True, "0", None])
def test_seed_is_checked(seed):
    with pytest.raises(ArgumentError, match="seed must be an integer of at least 0"):
        keys.reproducible(seed=seed)


@pytest.mark.parametrize("make", [keys.disposable, lambda prng: keys.reproducible(0, prng=prng)])
def test_rbg_is_refused(make):
    with pytest.raises(ConfigError, match="under vmap it does not give independent streams"):
        make(prng="rbg")


def test_derivation_inside_jit_is_refused():
    ratchet = keys.reproducible(seed=11)
    with pytest.raises(ArgumentError, match="derived outside jit"):
        jax.jit(lambda: ratchet.next_round() and 0)()
    assert ratchet.round == 0
    with ratchet.next_round() as round_keys:
        with pytest.raises(ArgumentError, match="derived outside jit"):
            jax.jit(lambda: round_keys.for_client("a", 3))()
        assert round_keys.for_client("a", 3).shape == (3,)


@pytest.mark.parametrize("open_round", [False, True])
def test_ratchet_stays_in_the_process(open_round):
    ratchet = keys.reproducible(seed=0)
    holder = ratchet.next_round() if open_round else ratchet
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(KeyReuseError, match="keys never leave the process"):
            leave(holder)
    with pytest.raises(TypeError):
        json.dumps(holder)
    assert not hasattr(holder, "__dict__")


def test_repr_shows_mode_prng_and_round():
    ratchet = keys.reproducible(seed=0)
    with ratchet.next_round() as round_keys:
        assert str(ratchet) == repr(ratchet) == "Ratchet(mode='reproducible', prng='chacha20', round=1)"
        assert str(round_keys) == repr(round_keys) == "RoundKeys(mode='reproducible', prng='chacha20', round=1)"
    assert repr(keys.disposable(prng="threefry2x32")) == "Ratchet(mode='disposable', prng='threefry2x32', round=0)"


@both_prngs
def test_no_key_in_errors(name):
    ratchet = keys.reproducible(seed=0, prng=name)
    shown, texts = list(words(secret(ratchet))), []
    with ratchet.next_round() as round_keys:
        image_keys = round_keys.for_client("a", 3)
        shown += [*words(secret(round_keys)), *words(image_keys).reshape(-1)]
        misuses = [
            lambda: round_keys.for_client("a", 3),
            lambda: round_keys.for_client("b", image_keys),
            lambda: round_keys.for_client(image_keys),
            lambda: pickle.dumps(round_keys),
            ratchet.next_round,
        ]
        for misuse in misuses:
            with pytest.raises((ArgumentError, KeyReuseError)) as caught:
                misuse()
            texts.append(str(caught.value))
    with pytest.raises(KeyDiscardedError) as caught:
        keys.require_live(image_keys)
    texts.append(str(caught.value))
    assert not any(str(word) in text for word in shown for text in texts)


@both_prngs
def test_no_key_in_the_programs(name):
    with keys.reproducible(seed=0, prng=name).next_round() as round_keys:
        image_keys = round_keys.for_client("a", 4)
        programs = [
            keys._zeros_in_place.lower(image_keys).as_text(),
            keys._take.lower(image_keys, np.arange(2)).as_text(),
            keys._copy.lower(image_keys, 4).as_text(),
        ]
        for word in words(image_keys).reshape(-1):
            assert not any(spelling in program for program in programs for spelling in (str(word), f"{word:08X}"))


# One thread, one process


def ask_at_once(count: int, ask: Callable[[], jax.Array]) -> tuple[list[bytes], list[Exception]]:
    """Let threads ask at the same moment; return what was given and what was raised."""
    given: list[bytes] = []
    refused: list[Exception] = []
    together = threading.Barrier(count)

    def asking() -> None:
        together.wait()
        try:
            given.append(words(ask()).tobytes())
        except Exception as error:
            refused.append(error)

    threads = [threading.Thread(target=asking) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return given, refused


def test_threads_get_no_key_twice():
    for _ in range(50):
        ratchet = keys.disposable()
        given, refused = ask_at_once(4, lambda ratchet=ratchet: ratchet.next_round().for_client("a", 2))
        assert (len(given), len(refused)) == (1, 3)
        assert all(isinstance(error, KeyReuseError) for error in refused)
        ratchet.discard()
        with keys.disposable().next_round() as round_keys:
            given, refused = ask_at_once(4, lambda round_keys=round_keys: round_keys.for_client("a", 2))
            assert (len(given), len(refused)) == (1, 3)
            assert all(isinstance(error, KeyReuseError) for error in refused)


FORK = """
import os, sys
import jax
jax.config.update("jax_platforms", "cpu")
from dkjax import keys
from dkjax.errors import KeyReuseError
ratchet = keys.disposable()
with ratchet.next_round() as round_keys:
    child = os.fork()
    if child == 0:
        refused = 0
        for ask in (ratchet.next_round, lambda: round_keys.for_client("a", 2), round_keys.__enter__):
            try:
                ask()
            except KeyReuseError as error:
                refused += "forked" in str(error)
        zeros = not ratchet._key.words.any() and not round_keys._key.words.any()
        round_keys.discard()
        ratchet.discard()
        os._exit(10 * zeros + refused)
    _, status = os.waitpid(child, 0)
    assert round_keys.for_client("a", 2).shape == (2,)
print(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_process_is_refused():
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["13"]


@both_prngs
def test_take(name):
    with keys.reproducible(seed=13, prng=name).next_round() as round_keys:
        image_keys = round_keys.for_client("a", 5)
        some = keys.take(image_keys, np.array([4, 0, 0]))
        np.testing.assert_array_equal(words(some), words(image_keys)[[4, 0, 0]])
        keys.erase(some)
        assert some.is_deleted()
    with pytest.raises(KeyDiscardedError):
        keys.take(image_keys, np.array([0]))
