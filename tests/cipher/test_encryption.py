"""Encryption as a whole: exact, one key for one image, the same however it is batched, keys kept out of programs."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dkjax import prng
from dkjax.cipher import decrypt, encrypt, key_space_bits, sample, schemes
from dkjax.cipher.encryption import _run
from dkjax.errors import ArgumentError, ConfigError, KeyDiscardedError

# Most tests use this one setting, so that its programs are compiled once.
SCHEME = schemes.disposable(4, fixed_blocks=2, fixed_pixels=12)
SHAPE = (8, 12, 3)
NUM_BLOCKS, BLOCK_VALUES = 6, 48
DTYPES = ("uint8", "uint16", "int32", "float16", "bfloat16", "float32")


def keys_of(seed: int, shape: tuple[int, ...] = (4,), name: str = "chacha20") -> jax.Array:
    words = np.random.default_rng(seed).integers(0, 2**32, (*shape, prng.key_words(name)), dtype=np.uint32)
    return prng.wrap_key(jnp.array(words), name)


def images_of(seed: int, shape: tuple[int, ...] = (4, *SHAPE), dtype: str = "uint8") -> np.ndarray:
    """Images of random bits; of floating point numbers that includes NaNs with payloads and subnormal numbers."""
    dtype = jnp.dtype(dtype)
    words = np.random.default_rng(seed).integers(0, 256, (np.prod(shape), dtype.itemsize), dtype=np.uint8)
    images = words.view(dtype)[:, 0]
    if dtype == np.float32:
        special = [0x7F800000, 0xFF800000, 0x80000000, 0x7FC12345, 0x7F800001, 0xFFC00002, 0x00000001]
        images[: len(special)] = np.array(special, np.uint32).view(np.float32)
    return images.reshape(shape)


def bytes_of(images: jax.Array | np.ndarray) -> bytes:
    return np.asarray(images).tobytes()


def cut(image: np.ndarray, block_size: int) -> np.ndarray:
    """Blocks `[N, P]` by slicing, one at a time."""
    height, width, _ = image.shape
    tops, lefts = range(0, height, block_size), range(0, width, block_size)
    tiles = [image[top : top + block_size, left : left + block_size] for top in tops for left in lefts]
    return np.array([tile.reshape(-1) for tile in tiles])


# Exactness

SETTINGS = [
    ((8, 12, 3), 4, 0, 0, "chacha20"),
    ((20, 10, 1), 5, 3, 7, "threefry2x32"),
    ((6, 4, 5), 2, 6, 0, "threefry2x32"),
    ((16, 48, 3), 16, 1, 700, "chacha20"),
    NOTHING_MOVES := ((8, 12, 3), 4, 6, 48, "chacha20"),
]


@functools.cache  # one program a setting, for two tests
def there_and_back(shape, block_size, fixed_blocks, fixed_pixels, name):
    """Encrypt and decrypt images of every dtype; return what was drawn, and (plain, encrypted, decrypted) of each."""
    scheme = schemes.disposable(block_size, fixed_blocks=fixed_blocks, fixed_pixels=fixed_pixels)
    plain = [images_of(seed, (3, *shape), dtype) for seed, dtype in enumerate(DTYPES)]

    @jax.jit
    def run(image_keys, plain):
        drawn = jax.vmap(lambda image_key: sample(scheme, image_key, shape))(image_keys)
        encrypted = [encrypt(scheme, image_keys, images) for images in plain]
        return drawn, encrypted, [decrypt(scheme, image_keys, images) for images in encrypted]

    drawn, encrypted, decrypted = jax.tree.map(np.asarray, run(keys_of(0, (3,), name), plain))
    return drawn, list(zip(plain, encrypted, decrypted, strict=True))


@pytest.mark.parametrize("setting", SETTINGS)
def test_round_trip(setting):
    for plain, encrypted, decrypted in there_and_back(*setting)[1]:
        assert encrypted.dtype == decrypted.dtype == plain.dtype
        assert encrypted.shape == decrypted.shape == plain.shape
        assert bytes_of(decrypted) == bytes_of(plain)
        assert (bytes_of(encrypted) == bytes_of(plain)) is (setting == NOTHING_MOVES)


@pytest.mark.parametrize("setting", SETTINGS)
def test_equals_numpy_with_the_sampled_permutations(setting):
    (block_orders, pixel_orders), results = there_and_back(*setting)
    for all_plain, all_encrypted, _ in results:
        for i, (plain, encrypted) in enumerate(zip(all_plain, all_encrypted, strict=True)):
            expected = cut(plain, setting[1])[block_orders[i]][:, pixel_orders[i]]
            assert bytes_of(cut(encrypted, setting[1])) == bytes_of(expected)


def test_round_trip_of_64_bits():
    image_keys, images = keys_of(1), images_of(1, dtype="uint64")
    plain = [images.view("float64"), images.view("int64")]

    @jax.jit
    def run(image_keys, plain):
        encrypted = [encrypt(SCHEME, image_keys, x) for x in plain]
        return encrypted, [decrypt(SCHEME, image_keys, x) for x in encrypted]

    def low_bytes(x):
        return np.asarray(x).view("<u8").astype(np.uint8)

    # Values go to the same places as those of one byte.
    expected = encrypt(SCHEME, image_keys, low_bytes(images))
    with jax.enable_x64(True):
        results = run(image_keys, plain)
    for x, encrypted, decrypted in zip(plain, *results, strict=True):
        assert encrypted.dtype == decrypted.dtype == x.dtype
        assert bytes_of(decrypted) == bytes_of(x)
        np.testing.assert_array_equal(low_bytes(encrypted), expected)


def test_sample():
    block_order, pixel_order = sample(SCHEME, keys_of(3, ()), SHAPE)
    for order, n, fixed in ((block_order, NUM_BLOCKS, 2), (pixel_order, BLOCK_VALUES, 12)):
        assert order.dtype == np.int32
        np.testing.assert_array_equal(np.sort(order), np.arange(n))
        assert (np.asarray(order) == np.arange(n)).sum() >= fixed
    with pytest.raises(ArgumentError, match=r"a single key of shape \(\), got keys of shape \(4,\)"):
        sample(SCHEME, keys_of(3), SHAPE)
    with pytest.raises(ArgumentError, match="block_size=4 does not divide width=13"):
        sample(SCHEME, keys_of(3, ()), (8, 13, 3))


def test_values_of_images_and_blocks_are_kept():
    images = images_of(4)
    for plain, encrypted in zip(images, np.asarray(encrypt(SCHEME, keys_of(4), images)), strict=True):
        np.testing.assert_array_equal(
            np.bincount(encrypted.ravel(), minlength=256), np.bincount(plain.ravel(), minlength=256)
        )
        plain_blocks, encrypted_blocks = (np.sort(cut(image, 4), axis=1).tolist() for image in (plain, encrypted))
        assert sorted(encrypted_blocks) == sorted(plain_blocks)
        stayed = [a == b for a, b in zip(plain_blocks, encrypted_blocks, strict=True)]
        assert 2 <= sum(stayed) < NUM_BLOCKS


# Keys and batches


def test_one_key_one_image():
    image_keys, images = keys_of(5), images_of(5)
    before = np.asarray(encrypt(SCHEME, image_keys, images))
    words = jax.random.key_data(image_keys)
    other_key = prng.wrap_key(words.at[2, 7].set(words[2, 7] ^ 1), "chacha20")
    other_image = images.copy()
    other_image[2] = 255 - other_image[2]
    for after in (encrypt(SCHEME, other_key, images), encrypt(SCHEME, image_keys, other_image)):
        assert (np.asarray(after) == before).all(axis=(1, 2, 3)).tolist() == [True, True, False, True]
    np.testing.assert_array_equal(after[2], 255 - before[2])
    # Nor does the place in the batch matter.
    np.testing.assert_array_equal(encrypt(SCHEME, image_keys[::-1], images[::-1]), before[::-1])


@pytest.mark.parametrize("name", prng.NAMES)
def test_batch_equals_loop(name):
    image_keys, images = keys_of(6, (4,), name), images_of(6)
    run = functools.partial(encrypt, SCHEME)
    looped = np.stack([run(image_keys[i], images[i]) for i in range(4)])
    np.testing.assert_array_equal(run(image_keys, images), looped)
    np.testing.assert_array_equal(jax.jit(jax.vmap(run))(image_keys, images), looped)


def test_leading_axes_and_shared_keys():
    images = images_of(7, (3, 4, *SHAPE))
    keys_of_each = [keys_of(7, shape) for shape in ((3, 4), (3, 1), (1, 4), (1, 1), ())]
    run = jax.jit(lambda keys_of_each: [encrypt(SCHEME, image_keys, images) for image_keys in keys_of_each])
    for image_keys, encrypted in zip(keys_of_each, run(keys_of_each), strict=True):
        assert encrypted.shape == images.shape
        own_keys = jnp.broadcast_to(image_keys, (3, 4))
        for i in range(3):
            np.testing.assert_array_equal(encrypted[i], encrypt(SCHEME, own_keys[i], images[i]))


def test_no_images():
    encrypted = encrypt(SCHEME, keys_of(0, (0,)), images_of(0, (0, *SHAPE)))
    assert encrypted.shape == (0, *SHAPE)


@pytest.mark.parametrize(("name", "run"), [("chacha20", encrypt), ("threefry2x32", encrypt), ("chacha20", decrypt)])
def test_devices_change_nothing(name, run):
    image_keys, images = keys_of(8, (4,), name), images_of(8)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    on_four = jax.device_put(image_keys, sharding), jax.device_put(images, sharding)
    compiled = jax.jit(functools.partial(run, SCHEME)).lower(*on_four).compile()
    result = compiled(*on_four)
    assert result.sharding.is_equivalent_to(sharding, ndim=4)
    on_one = run(SCHEME, image_keys, images)
    assert len(on_one.sharding.device_set) == 1
    assert bytes_of(result) == bytes_of(on_one)
    program = compiled.as_text()
    assert not any(word in program for word in ("all-gather", "all-reduce", "all-to-all", "collective-permute"))


def on(mesh, axes, array):
    return array if axes is None else jax.device_put(array, NamedSharding(mesh, PartitionSpec(*axes)))


@pytest.mark.parametrize(
    ("run", "on_keys", "on_images"),
    [
        (encrypt, ["x"], ["x"]),
        (decrypt, [], ["x"]),
        (encrypt, None, ["x"]),
        (encrypt, ["x"], None),
        (encrypt, ["x"], ["x", "y"]),
    ],
)
def test_meshes_change_nothing(run, on_keys, on_images):
    image_keys, images = keys_of(8, (4,), "threefry2x32"), images_of(8)
    mesh = jax.make_mesh((2, 2), ("x", "y"))  # its axes are explicit ones
    result = run(SCHEME, on(mesh, on_keys, image_keys), on(mesh, on_images, images))
    assert bytes_of(result) == bytes_of(run(SCHEME, image_keys, images))
    assert result.sharding.is_equivalent_to(NamedSharding(mesh, PartitionSpec(*(on_images or on_keys))), ndim=4)


def test_shared_keys_in_a_program_on_a_mesh():
    image_keys, images = keys_of(8, (2, 1), "threefry2x32"), images_of(8, (2, 2, *SHAPE))
    mesh = jax.make_mesh((2,), ("clients",))
    with jax.set_mesh(mesh):
        result = jax.jit(functools.partial(encrypt, SCHEME))(
            *(on(mesh, ["clients"], array) for array in (image_keys, images))
        )
    assert bytes_of(result) == bytes_of(encrypt(SCHEME, image_keys, images))


def test_shard_map():
    image_keys, images = keys_of(8, (4,), "threefry2x32"), images_of(8)
    mesh, spec = jax.make_mesh((2,), ("x",)), PartitionSpec("x")
    on_each = jax.shard_map(functools.partial(encrypt, SCHEME), mesh=mesh, in_specs=(spec, spec), out_specs=spec)
    result = jax.jit(on_each)(on(mesh, "x", image_keys), on(mesh, "x", images))
    assert bytes_of(result) == bytes_of(encrypt(SCHEME, image_keys, images))


def test_new_keys_and_images_do_not_recompile():
    encrypt(SCHEME, keys_of(9), images_of(9))
    programs = _run._cache_size()
    for seed in range(10, 13):
        same_scheme = schemes.disposable(4, fixed_blocks=2, fixed_pixels=12)
        encrypt(same_scheme, keys_of(seed), images_of(seed))
    assert _run._cache_size() == programs


# Keys are kept


def words_shown(image_keys: jax.Array, program: str) -> bool:
    """Whether a program shows a word of the keys: as a number, or in the hexadecimal text of a long constant."""
    program = program.lower()
    numbers = set(re.findall(r"\d+", program))
    words = np.asarray(jax.random.key_data(image_keys)).ravel()
    return any(str(word) in numbers or word.tobytes().hex() in program or f"{word:08x}" in program for word in words)


@pytest.mark.parametrize("name", prng.NAMES)
@pytest.mark.parametrize("num_images", [1, 64])
@pytest.mark.parametrize("run", [encrypt, decrypt])
def test_keys_are_not_in_the_program(name, num_images, run):
    image_keys, images = keys_of(13, (num_images,), name), images_of(13, (num_images, *SHAPE))
    as_argument = (
        jax.jit(lambda image_keys, images: run(SCHEME, image_keys, images)).lower(image_keys, images).as_text()
    )
    assert not words_shown(image_keys, as_argument)
    assert not words_shown(image_keys, _run.lower(SCHEME, image_keys, images, run is decrypt).as_text())
    # The same search finds keys that a program captures.
    captured = jax.jit(lambda images: _run(SCHEME, image_keys, images, run is decrypt)).lower(images).as_text()
    assert words_shown(image_keys, captured)


@pytest.mark.parametrize("run", [encrypt, decrypt])
def test_captured_keys_are_refused(run):
    image_keys, images = keys_of(13), images_of(13)
    one_key, on_device = image_keys[0], jnp.asarray(images)
    for captured in (
        jax.jit(lambda images: run(SCHEME, image_keys, images)),
        jax.jit(lambda _: run(SCHEME, image_keys, on_device)),
        jax.jit(lambda images: jax.vmap(lambda image: run(SCHEME, one_key, image))(images)),
        jax.jit(lambda _: sample(SCHEME, one_key, SHAPE)),
    ):
        with pytest.raises(ArgumentError, match="captured keys that are no argument of it"):
            captured(images)
    # What is no program of its own, or has the keys as an argument, goes through.
    expected = bytes_of(run(SCHEME, one_key, images))
    assert bytes_of(jax.vmap(lambda image: run(SCHEME, one_key, image))(images)) == expected
    assert bytes_of(jax.jit(lambda key: run(SCHEME, key, images))(one_key)) == expected


def test_captured_by_an_outer_function_is_not_seen():
    """What docs/protection.md says: of two jitted functions, the inner one is given an argument."""
    image_keys, images = keys_of(13), images_of(13)
    inner = jax.jit(lambda keys, images: encrypt(SCHEME, keys, images))
    outer = jax.jit(lambda images: inner(image_keys, images))
    encrypted = bytes_of(outer(images))
    words = np.asarray(jax.random.key_data(image_keys)).ravel()
    image_keys.delete()
    assert bytes_of(outer(images)) == encrypted
    assert all(str(word) in outer.lower(images).as_text() for word in words.tolist())


def test_key_reuse_is_found():
    image_keys, images = keys_of(13), images_of(13)
    with jax.debug_key_reuse(True):
        encrypted = encrypt(SCHEME, image_keys, images)
        for _ in range(2):
            assert bytes_of(decrypt(SCHEME, image_keys, encrypted)) == images.tobytes()
        with pytest.raises(jax.errors.KeyReuseError):
            encrypt(SCHEME, image_keys, images)


@pytest.mark.parametrize("run", [encrypt, decrypt])
def test_discarded_keys(run):
    image_keys = keys_of(14)
    image_keys.delete()
    with pytest.raises(KeyDiscardedError, match="have been discarded"):
        run(SCHEME, image_keys, images_of(14))


def test_discarded_key_is_not_sampled_from():
    image_key = keys_of(14, ())
    image_key.delete()
    with pytest.raises(KeyDiscardedError, match="have been discarded"):
        sample(SCHEME, image_key, SHAPE)


# What is refused

REFUSED_KEYS = [
    (lambda: jnp.zeros((4, 2), jnp.uint32), "expected typed keys"),
    (lambda: np.zeros((4, 8), np.uint32), "expected typed keys"),
    (lambda: [1, 2, 3, 4], "expected typed keys"),
    (lambda: jax.random.wrap_key_data(jnp.zeros((4, 4), jnp.uint32), impl="rbg"), "prng='rbg' is refused"),
    (lambda: keys_of(0, (3,)), r"keys of shape \(3,\) do not fit images with leading axes \(4,\)"),
    (lambda: keys_of(0, (4, 1)), r"keys of shape \(4, 1\) do not fit images with leading axes \(4,\)"),
    (lambda: keys_of(0, (0,)), r"keys of shape \(0,\) do not fit images with leading axes \(4,\)"),
]


@pytest.mark.parametrize("run", [encrypt, decrypt])
@pytest.mark.parametrize(("make_keys", "message"), REFUSED_KEYS)
def test_keys_that_are_refused(run, make_keys, message):
    with pytest.raises(ArgumentError, match=message):
        run(SCHEME, make_keys(), images_of(0))


REFUSED_IMAGES = [
    (np.zeros((4, *SHAPE)), "images of dtype float64 need jax_enable_x64"),
    (np.zeros((4, *SHAPE), np.int64), "images of dtype int64 need jax_enable_x64"),
    (np.zeros((4, *SHAPE), bool), "images must be integers or floating point numbers, got bool"),
    (np.zeros((4, *SHAPE), np.complex64), "got complex64"),
    (np.full((4, *SHAPE), "x"), "images must be integers or floating point numbers, got <U1"),
    (np.zeros((4, 8), np.uint8), r"images must have shape \[..., height, width, channels\], got \(4, 8\)"),
    (np.zeros((8, 12, 3), np.uint8), r"keys of shape \(4,\) do not fit images with leading axes \(\)"),
    (np.zeros((2, 4, *SHAPE), np.uint8), r"keys of shape \(4,\) do not fit images with leading axes \(2, 4\)"),
    (np.zeros((4, 8, 13, 3), np.uint8), "block_size=4 does not divide width=13"),
    (np.zeros((4, 9, 12, 3), np.uint8), "block_size=4 does not divide height=9"),
    (np.zeros((4, 8, 0, 3), np.uint8), r"expected an image shape .* got \(8, 0, 3\)"),
    (np.zeros((4, 4, 4, 3), np.uint8), "fixed_blocks=2 is more than the 1 blocks"),
]


@pytest.mark.parametrize("run", [encrypt, decrypt])
@pytest.mark.parametrize(("images", "message"), REFUSED_IMAGES)
def test_images_that_are_refused(run, images, message):
    with pytest.raises(ArgumentError, match=message):
        run(SCHEME, keys_of(0), images)


# The size of the key space


@pytest.mark.parametrize(
    ("fixed_blocks", "fixed_pixels", "name", "key_bits", "transform_bits", "effective"),
    [
        (0, 0, "chacha20", 256, 7474, 256),
        (120, 500, "chacha20", 256, 3044, 256),
        (147, 576, "threefry2x32", 64, 2163, 64),
        (196, 768, "chacha20", 256, 0, 0),
        (194, 768, "chacha20", 256, np.log2(1 + 196 * 195 / 2), np.log2(1 + 196 * 195 / 2)),
    ],
)
def test_key_space_bits(fixed_blocks, fixed_pixels, name, key_bits, transform_bits, effective):
    scheme = schemes.disposable(16, fixed_blocks=fixed_blocks, fixed_pixels=fixed_pixels)
    bits = key_space_bits(scheme, (224, 224, 3), prng=name)
    assert bits["key"] == key_bits
    assert bits["transform"] == pytest.approx(transform_bits, abs=0.5 if transform_bits > 64 else 1e-9)
    assert bits["effective"] == pytest.approx(effective, abs=1e-9)
    assert all(type(value) is float for value in bits.values())


def test_key_space_bits_of_something_else():
    for name in ("rbg", "chacha8"):
        with pytest.raises(ConfigError, match=f"prng='{name}' is"):
            key_space_bits(SCHEME, SHAPE, prng=name)
    with pytest.raises(ArgumentError, match="does not divide width=13"):
        key_space_bits(SCHEME, (8, 13, 3))
    with pytest.raises(ArgumentError, match="fixed_blocks=2 is more than the 1 blocks"):
        key_space_bits(SCHEME, (4, 4, 3))
