"""ChaCha20 against the RFC and another implementation; its three uses kept apart; its place among JAX's PRNGs."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dkjax import prng
from dkjax.errors import ArgumentError, ConfigError

ZERO_KEY = bytes(32)
COUNTING_KEY = bytes(range(32))

# (key, counter, nonce, keystream as hex)
RFC_VECTORS = {
    "2.3.2": (
        COUNTING_KEY,
        1,
        bytes.fromhex("000000090000004a00000000"),
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
        "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e",
    ),
    "2.4.2": (
        COUNTING_KEY,
        1,
        bytes.fromhex("000000000000004a00000000"),
        "224f51f3401bd9e12fde276fb8631ded8c131f823d2c06e27e4fcaec9ef3cf78"
        "8a3b0aa372600a92b57974cded2b9334794cba40c63e34cdea212c4cf07d41b7"
        "69a6749f3f630f4122cafe28ec4dc47e26d4346d70b98c73f3e9c53ac40c5945"
        "398b6eda1a832c89c167eacd901d7e2bf363740373201aa188fbbce83991c4ed",
    ),
    "A.1 #1": (
        ZERO_KEY,
        0,
        bytes(12),
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586",
    ),
    "A.1 #2": (
        ZERO_KEY,
        1,
        bytes(12),
        "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
        "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
    ),
    "A.1 #3": (
        bytes(31) + b"\x01",
        1,
        bytes(12),
        "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
        "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0",
    ),
    "A.1 #4": (
        b"\x00\xff" + bytes(30),
        2,
        bytes(12),
        "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca"
        "13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096",
    ),
    "A.1 #5": (
        ZERO_KEY,
        0,
        bytes(11) + b"\x02",
        "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7"
        "8a970e0e955c14f3a88e741b97c286f75f8fc299e8148362fa198a39531bed6d",
    ),
}


def to_words(data: bytes) -> jax.Array:
    return jnp.array(np.frombuffer(data, "<u4"), jnp.uint32)


def to_bytes(words: jax.Array) -> bytes:
    return np.asarray(words).astype("<u4").tobytes()


def reference_keystream(key: bytes, counter: int, nonce: bytes, size: int) -> bytes:
    cipher = Cipher(algorithms.ChaCha20(key, counter.to_bytes(4, "little") + nonce), mode=None)
    return cipher.encryptor().update(bytes(size))


def nonce_bytes(nonce: tuple[int, ...]) -> bytes:
    return np.array(nonce, "<u4").tobytes()


def chacha_keys(seed: int, shape: tuple[int, ...] = ()) -> jax.Array:
    words = np.random.default_rng(seed).integers(0, 2**32, (*shape, 8), dtype=np.uint32)
    return prng.wrap_key(jnp.array(words), "chacha20")


def data_of(keys: jax.Array) -> np.ndarray:
    return np.asarray(jax.random.key_data(keys))


# The block function


@pytest.mark.parametrize("vector", RFC_VECTORS)
def test_rfc_8439_vectors(vector):
    key, counter, nonce, keystream = RFC_VECTORS[vector]
    expected = bytes.fromhex(keystream)
    counters = jnp.arange(counter, counter + len(expected) // 64, dtype=jnp.uint32)
    blocks = prng.chacha20_block(to_words(key), counters, to_words(nonce))
    assert to_bytes(blocks) == expected


def test_equals_cryptography():
    rng = np.random.default_rng(1)
    for counter in (0, 1, 2**31, 2**32 - 3):
        key, nonce = rng.bytes(32), rng.bytes(12)
        counters = jnp.arange(3, dtype=jnp.uint32) + jnp.uint32(counter)
        blocks = prng.chacha20_block(to_words(key), counters, to_words(nonce))
        assert to_bytes(blocks) == reference_keystream(key, counter, nonce, 3 * 64)


def test_looped_and_unrolled_rounds_are_equal():
    state = tuple(jnp.array(np.random.default_rng(2).integers(0, 2**32, (16, 3), dtype=np.uint32)))
    for a, b in zip(prng._rounds_looped(*state), prng._rounds_unrolled(*state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_counters_of_any_shape():
    key, nonce = to_words(COUNTING_KEY), jnp.zeros(3, jnp.uint32)
    blocks = prng.chacha20_block(key, jnp.arange(6, dtype=jnp.uint32).reshape(2, 3), nonce)
    assert blocks.shape == (2, 3, 16)
    np.testing.assert_array_equal(blocks[1, 2], prng.chacha20_block(key, jnp.uint32(5), nonce))


@pytest.mark.parametrize(
    ("key", "counter", "nonce"),
    [((4,), jnp.uint32, 3), ((8,), jnp.int32, 3), ((8,), jnp.uint32, 2)],
    ids=["key", "counter", "nonce"],
)
def test_block_refuses_other_shapes_and_dtypes(key, counter, nonce):
    with pytest.raises(ArgumentError, match="must be uint32"):
        prng.chacha20_block(jnp.zeros(key, jnp.uint32), jnp.zeros((), counter), jnp.zeros(nonce, jnp.uint32))


# The three uses of a key


def test_split_is_the_documented_keystream():
    key = chacha_keys(3)
    stream = reference_keystream(data_of(key).tobytes(), 0, nonce_bytes(prng.SPLIT_NONCE), 7 * 32)
    assert data_of(jax.random.split(key, 7)).tobytes() == stream


def test_fold_in_is_the_documented_block():
    key = chacha_keys(4)
    for data in (0, 1, 2**32 - 1):
        stream = reference_keystream(data_of(key).tobytes(), data, nonce_bytes(prng.FOLD_NONCE), 32)
        assert data_of(jax.random.fold_in(key, np.uint32(data))).tobytes() == stream


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_bits_are_the_documented_keystream(dtype):
    key = chacha_keys(5)
    with jax.enable_x64(dtype == "uint64"):
        bits = np.asarray(jax.random.bits(key, (3, 7), dtype))
    stream = reference_keystream(data_of(key).tobytes(), 0, nonce_bytes(prng.BITS_NONCE), bits.nbytes)
    assert bits.dtype == dtype
    assert bits.tobytes() == stream


def test_domains_are_separate():
    key = chacha_keys(6)
    children = data_of(jax.random.split(key, 32))
    folded = data_of(jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(32, dtype=jnp.uint32)))
    drawn = np.asarray(jax.random.bits(key, (32, 8)))
    everything = np.concatenate([children, folded, drawn]).reshape(-1)
    assert len({prng.SPLIT_NONCE, prng.FOLD_NONCE, prng.BITS_NONCE}) == 3
    # 768 random words collide with probability 7e-5, and this key is fixed.
    assert len(set(everything.tolist())) == everything.size


def test_children_do_not_depend_on_their_number():
    key = chacha_keys(7)
    twelve = data_of(jax.random.split(key, 12))
    for count in (0, 1, 2, 5):
        np.testing.assert_array_equal(data_of(jax.random.split(key, count)), twelve[:count])
    np.testing.assert_array_equal(data_of(jax.random.split(key, (3, 4))).reshape(12, 8), twelve)


def test_more_than_the_counter_allows_is_refused():
    key = jax.ShapeDtypeStruct((), jax.random.key_dtype("chacha20"))
    with pytest.raises(ArgumentError, match="split the key first"):
        jax.eval_shape(lambda key: prng._random_bits(jax.random.key_data(key), 32, (16 << 32, 2)), key)


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda key: jax.random.key_data(jax.random.split(key, 2))[1, :2], [575330357, 3596383282]),
        (lambda key: jax.random.key_data(jax.random.fold_in(key, 7))[:2], [1614092668, 2093425726]),
        (lambda key: jax.random.bits(key, (2,)), [2779383006, 4066993388]),
    ],
    ids=["split", "fold_in", "bits"],
)
def test_golden_words(draw, expected):
    assert np.asarray(draw(jax.random.key(0, impl="chacha20"))).tolist() == expected


# Its place among JAX's PRNGs

SAMPLERS = {
    "uniform": lambda key: jax.random.uniform(key, (5,)),
    "normal": lambda key: jax.random.normal(key, (5,)),
    "permutation": lambda key: jax.random.permutation(key, 11),
    "randint": lambda key: jax.random.randint(key, (5,), 0, 100),
    "bits8": lambda key: jax.random.bits(key, (5,), "uint8"),
    "bits16": lambda key: jax.random.bits(key, (5,), "uint16"),
    "bits32": lambda key: jax.random.bits(key, (5,), "uint32"),
    "split": lambda key: jax.random.key_data(jax.random.split(key, 3)),
    "fold_in": lambda key: jax.random.key_data(jax.random.fold_in(key, 3)),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_under_vmap_equal_a_loop(name):
    keys = chacha_keys(8, (3,))
    sample = SAMPLERS[name]
    looped = np.stack([sample(key) for key in keys])
    np.testing.assert_array_equal(jax.jit(jax.vmap(sample))(keys), looped)
    assert len(np.unique(looped, axis=0)) == 3


def test_sharded_keys_give_the_same_bytes():
    keys = chacha_keys(9, (8,))
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    sharded = jax.device_put(keys, NamedSharding(mesh, PartitionSpec("data")))
    draw = jax.jit(jax.vmap(lambda key: jax.random.bits(jax.random.split(key)[0], (33,))))
    on_four = draw(sharded)
    assert len(sharded.sharding.device_set) == len(on_four.sharding.device_set) == 4
    np.testing.assert_array_equal(on_four, draw(keys))
    program = draw.lower(sharded).compile().as_text()
    assert not any(word in program for word in ("all-gather", "all-reduce", "all-to-all", "collective-permute"))


@pytest.mark.parametrize("in_shard_map", [False, True])
def test_meshes_of_every_type_give_the_same_bytes(in_shard_map):
    @jax.vmap
    def draw(key):
        children = jax.random.split(key, 2)
        folded = jax.random.fold_in(key, 7)
        return jax.random.key_data(children), jax.random.bits(children[0], (17,)), jax.random.normal(folded, (3,))

    keys = chacha_keys(9, (4,))
    expected = jax.jit(draw)(keys)
    mesh, spec = jax.make_mesh((2,), ("data",)), PartitionSpec("data")  # its axes are explicit ones
    on_mesh = jax.shard_map(draw, mesh=mesh, in_specs=spec, out_specs=spec) if in_shard_map else draw
    drawn = jax.jit(on_mesh)(jax.device_put(keys, NamedSharding(mesh, spec)))
    for one, other in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_new_keys_do_not_recompile():
    draw = jax.jit(lambda key: jax.random.bits(key, (4,)))
    for seed in range(3):
        draw(chacha_keys(seed))
    assert draw._cache_size() == 1


def test_keys_are_made_by_name_and_by_object():
    assert jax.random.key(3, impl="chacha20").dtype == jax.random.key(3, impl=prng.CHACHA20).dtype
    assert jax.random.wrap_key_data(jnp.zeros((2, 8), jnp.uint32), impl="chacha20").shape == (2,)
    assert prng.prng_name(jax.random.key(3, impl="chacha20")) == "chacha20"
    assert prng.prng_name(jax.random.key(3, impl=prng.CHACHA20)) == "chacha20"
    assert prng.prng_name(jax.random.key(3, impl="rbg")) == "rbg"


def test_reloading_keeps_the_key_dtype():
    before = jax.random.key(0, impl=prng.CHACHA20)
    importlib.reload(prng)
    assert jax.random.key(0, impl=prng.CHACHA20).dtype == before.dtype


def test_seed_keeps_32_bits():
    same, other = (data_of(jax.random.key(seed, impl="chacha20")) for seed in (2**32 + 5, 6))
    np.testing.assert_array_equal(same, data_of(jax.random.key(5, impl="chacha20")))
    assert (same != other).any()


def test_wrap_key_and_sizes():
    assert [prng.key_words(name) for name in prng.NAMES] == [8, 2]
    assert [prng.key_bits(name) for name in prng.NAMES] == [256, 64]
    for name in prng.NAMES:
        words = jnp.arange(3 * prng.key_words(name), dtype=jnp.uint32).reshape(3, -1)
        keys = prng.wrap_key(words, name)
        assert keys.shape == (3,)
        assert prng.prng_name(keys) == name
        np.testing.assert_array_equal(data_of(keys), words)
    with pytest.raises(ArgumentError, match=r"uint32\[\.\.\., 8\], not of uint32\[2\]"):
        prng.wrap_key(jnp.zeros(2, jnp.uint32), "chacha20")


def test_check_prng():
    assert [prng.check_prng(name) for name in ("chacha20", "threefry2x32")] == ["chacha20", "threefry2x32"]
    for name in ("rbg", "unsafe_rbg"):
        with pytest.raises(ConfigError, match="under vmap it does not give independent streams"):
            prng.check_prng(name)
    with pytest.raises(ConfigError, match="'chacha20' or 'threefry2x32'"):
        prng.check_prng("chacha8")


# Statistics


def looks_random(words: np.ndarray) -> bool:
    """Accept words whose share of ones and whose bytes are within five standard deviations of a fair coin's."""
    ones = np.unpackbits(words.view(np.uint8))
    monobit = abs(ones.mean() - 0.5) * 2 * np.sqrt(ones.size)
    counts = np.bincount(words.view(np.uint8), minlength=256)
    chi_square = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
    return bool(monobit < 5 and abs(chi_square - 255) < 5 * np.sqrt(2 * 255))


def test_statistics_accept_chacha20_and_reject_a_broken_one():
    key = to_words(COUNTING_KEY)
    counters = jnp.arange(4096, dtype=jnp.uint32)
    good = prng.chacha20_block(key, counters, jnp.array(prng.BITS_NONCE, jnp.uint32))
    assert looks_random(np.asarray(good).reshape(-1))
    assert looks_random(data_of(jax.random.split(chacha_keys(10), 4096)).reshape(-1))

    # One column round in place of twenty rounds, and a generator with every hundredth word stuck.
    state = [jnp.broadcast_to(word, (4096,)) for word in (*key, counters, *key[:7])]
    one_round = np.asarray(jnp.stack(prng._quarter_round(*state[5:9])))
    assert not looks_random(one_round.reshape(-1))
    stuck = np.array(good).reshape(-1)
    stuck[::100] = 0
    assert not looks_random(stuck)


def test_neighbouring_keys_are_unrelated():
    keys = prng.wrap_key(jnp.zeros((32, 8), jnp.uint32).at[:, 3].set(1 << jnp.arange(32, dtype=jnp.uint32)), "chacha20")
    words = np.asarray(jax.vmap(lambda key: jax.random.bits(key, (256,)))(keys))
    differing = np.unpackbits((words[:-1] ^ words[1:]).view(np.uint8)).mean()
    assert abs(differing - 0.5) < 5 * 0.5 / np.sqrt(31 * 256 * 32)


def test_threefry_of_the_older_form_is_refused():
    with jax.threefry_partitionable(False), pytest.raises(ConfigError, match="jax_threefry_partitionable is off"):
        prng.check_prng("threefry2x32")
