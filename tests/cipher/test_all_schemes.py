"""What holds for every scheme: exact, one key for one image, the same however it is batched, counted right."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dkjax import prng
from dkjax.cipher import decrypt, encrypt, key_space_bits, sample, schemes
from dkjax.errors import ArgumentError

PRNG = "threefry2x32"
HEIGHT, WIDTH = 8, 12
BLOCK_SIZES = {"pe": 1}
MEMBERS = {name: schemes.by_name(name, block_size=BLOCK_SIZES.get(name, 4)) for name in schemes.NAMES}
MOVING = ("disposable", "horio", "qi", "patch_shuffle", "sorted_blocks")
BYTES_ONLY = ("etc", "le", "ele", "pe", "negative_positive")

every_scheme = pytest.mark.parametrize("name", schemes.NAMES)
every_image = pytest.mark.parametrize("channels", [1, 3])


def keys_of(seed: int, shape: tuple[int, ...] = (4,)) -> jax.Array:
    words = np.random.default_rng(seed).integers(0, 2**32, (*shape, prng.key_words(PRNG)), dtype=np.uint32)
    return prng.wrap_key(jnp.array(words), PRNG)


def images_of(name: str, channels: int, seed: int = 0) -> np.ndarray:
    images = np.random.default_rng(seed).integers(0, 256, (4, HEIGHT, WIDTH, channels), dtype=np.uint8)
    return images / np.float32(127.5) - 1 if name == "orthogonal" else images


def assert_same(name: str, found: jax.Array, expected: jax.Array) -> None:
    """Equal bytes; for real numbers equal up to rounding."""
    assert found.dtype == expected.dtype
    if name == "orthogonal":
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    else:
        np.testing.assert_array_equal(found, expected)


@functools.cache
def encrypted_of(name: str, channels: int) -> np.ndarray:
    return np.asarray(encrypt(MEMBERS[name], keys_of(0), images_of(name, channels)))


@every_image
@every_scheme
def test_round_trip(name: str, channels: int) -> None:
    images, encrypted = images_of(name, channels), encrypted_of(name, channels)
    assert encrypted.shape == images.shape
    assert encrypted.dtype == images.dtype
    if MEMBERS[name].invertible:
        assert_same(name, decrypt(MEMBERS[name], keys_of(0), encrypted), images)
    changed = (encrypted != images).reshape(4, -1).mean(axis=1)
    assert (changed > 0.1).all()


@every_image
@every_scheme
def test_histogram(name: str, channels: int) -> None:
    pairs = zip(images_of(name, channels), encrypted_of(name, channels), strict=True)
    kept = [np.array_equal(np.sort(plain, axis=None), np.sort(seen, axis=None)) for plain, seen in pairs]
    # By chance EtC negates none of the six blocks of an image.
    assert all(kept) if name in MOVING else not all(kept)


@every_scheme
def test_batch_equals_loop_and_jit(name: str) -> None:
    keys, images = keys_of(0), images_of(name, 3)
    run = functools.partial(encrypt, MEMBERS[name])
    looped = np.stack([run(keys[i], images[i]) for i in range(4)])
    assert_same(name, looped, encrypted_of(name, 3))
    assert_same(name, jax.jit(jax.vmap(run))(keys, images), encrypted_of(name, 3))


@every_scheme
def test_one_key_one_image(name: str) -> None:
    keys, images, before = keys_of(0), images_of(name, 3), encrypted_of(name, 3)
    words = jax.random.key_data(keys)
    other_keys = prng.wrap_key(words.at[2, 1].set(words[2, 1] ^ 1), PRNG)
    other_images = images.copy()
    other_images[2, 5, 7, 0] += 1
    for after in (encrypt(MEMBERS[name], other_keys, images), encrypt(MEMBERS[name], keys, other_images)):
        same = (np.asarray(after) == before).all(axis=(1, 2, 3))
        assert same.tolist() == [True, True, False, True]


@every_scheme
def test_a_shared_key(name: str) -> None:
    key, images = keys_of(1, ()), images_of(name, 3)
    shared = encrypt(MEMBERS[name], key, images)
    assert_same(name, shared, encrypt(MEMBERS[name], jnp.broadcast_to(key, (4,)), images))
    if MEMBERS[name].invertible:
        assert_same(name, decrypt(MEMBERS[name], key, shared), images)


def test_all_but_one_can_be_undone() -> None:
    assert [name for name, scheme in MEMBERS.items() if not scheme.invertible] == ["sorted_blocks"]


@every_scheme
def test_devices_change_nothing(name: str) -> None:
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    keys, images = (jax.device_put(value, sharding) for value in (keys_of(0), images_of(name, 3)))
    on_four = encrypt(MEMBERS[name], keys, images)
    assert len(on_four.sharding.device_set) == 4
    assert_same(name, on_four, encrypted_of(name, 3))


@every_scheme
def test_dtypes(name: str) -> None:
    refused = {
        **{moving: [] for moving in MOVING},
        **{changing: ["float32", "int32", "int8"] for changing in BYTES_ONLY},
        "orthogonal": ["uint8", "int32"],
    }[name]
    for dtype in ("uint8", "int8", "int32", "float32", "bfloat16"):
        if dtype in refused:
            images = np.zeros((4, HEIGHT, WIDTH, 3), jnp.dtype(dtype))
            with pytest.raises(ArgumentError, match=f"got {dtype}"):
                encrypt(MEMBERS[name], keys_of(0), images)
            with pytest.raises(ArgumentError, match=f"got {dtype}"):
                decrypt(MEMBERS[name], keys_of(0), images)
        elif name in MOVING:
            MEMBERS[name].check((HEIGHT, WIDTH, 3), dtype)


@every_scheme
def test_images_that_are_refused(name: str) -> None:
    scheme = schemes.by_name(name, block_size=4)
    with pytest.raises(ArgumentError, match="block_size=4 does not divide width=13"):
        scheme.check((8, 13, 3))
    with pytest.raises(ArgumentError, match="block_size=4 does not divide width=13"):
        key_space_bits(scheme, (8, 13, 3))


# Everything that a key can do to a tiny image: its shape, the block's side, and how much that is.
TINY = {
    "disposable": ((1, 2, 3), {"block_size": 1}, 2 * 6),
    "horio": ((1, 2, 3), {"block_size": 1, "fixed_pixels": 1}, 2 * 4),
    "qi": ((1, 3, 2), {"block_size": 1}, 6 * 2),
    "etc": ((2, 4, 1), {"block_size": 2}, 2 * 8**2 * 2**2),
    "le": ((1, 2, 1), {"block_size": 1}, 2 * 2**2),
    "ele": ((1, 2, 1), {"block_size": 1}, 2 * (2 * 2**2) ** 2),
    "pe": ((1, 1, 3), {"block_size": 1}, 2**3 * 6),
    "patch_shuffle": ((1, 4, 1), {"block_size": 1}, 24),
    "negative_positive": ((1, 4, 1), {"block_size": 1}, 2**4),
}
# Neither two values nor two nibbles of the first of them are alike, or alike when negated.
GENERIC = np.array([0x12, 0x35, 0x04, 0x46, 0x57, 0x61, 0x70, 0x34], np.uint8)


@pytest.mark.parametrize("name", TINY)
def test_count_by_brute_force(name: str) -> None:
    shape, parameters, count = TINY[name]
    scheme = schemes.by_name(name, **parameters)
    bits = key_space_bits(scheme, shape, prng=PRNG)
    assert bits["transform"] == pytest.approx(math.log2(count))
    assert bits["effective"] == bits["transform"]
    images = np.broadcast_to(GENERIC[: math.prod(shape)].reshape(shape), (8000, *shape))
    seen = np.asarray(encrypt(scheme, keys_of(2, (8000,)), images)).reshape(8000, -1)
    assert len(np.unique(seen, axis=0)) == count


def test_count_of_channels() -> None:
    """EtC with colours, where there are too many transformations to see them all."""
    bits = key_space_bits(schemes.etc(2), (4, 6, 3))
    assert bits["transform"] == pytest.approx(math.log2(math.factorial(6)) + 6 * math.log2(8 * 2 * 6))


def test_real_numbers_cannot_be_counted() -> None:
    assert key_space_bits(MEMBERS["orthogonal"], (8, 12, 3)) == {"key": 256, "transform": math.inf, "effective": 256}


@every_scheme
def test_sample_is_what_encrypt_applies(name: str) -> None:
    scheme, key, image = MEMBERS[name], keys_of(0)[1], images_of(name, 3)[1]
    drawn = sample(scheme, key, image.shape)
    assert len(drawn) == len(scheme.transforms)
    assert_same(name, scheme.apply(drawn, jnp.array(image)), encrypted_of(name, 3)[1])


def test_one_key_gives_horio_and_qi_the_bytes_of_disposable() -> None:
    for name in ("horio", "qi"):
        np.testing.assert_array_equal(encrypted_of(name, 3), encrypted_of("disposable", 3))
