"""The native kernel: the bytes of the reference, however it is batched and divided, and doing without it."""

import functools
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpy._core._multiarray_umath as multiarray
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from dkjax import prng, reference
from dkjax.cipher import decrypt, encrypt, native, schemes
from dkjax.cipher.encryption import _run
from dkjax.cipher.native import library

needs_kernel = pytest.mark.skipif(not native.status().runs, reason=native.status().reason)

SCHEME = schemes.disposable(4, fixed_blocks=2, fixed_pixels=12)
SHAPE = (8, 12, 3)


def keys_of(seed: int, *shape: int, name: str = "chacha20") -> jax.Array:
    words = np.random.default_rng(seed).integers(0, 2**32, (*shape, prng.key_words(name)), dtype=np.uint32)
    return prng.wrap_key(jnp.array(words), name)


def images_of(seed: int, *shape: int, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(dtype)


def by_reference(name: str, image_keys: jax.Array, images: np.ndarray, **parameters: object) -> np.ndarray:
    return reference.encrypt(reference.by_name(name, **parameters), np.asarray(jax.random.key_data(image_keys)), images)


def runs_natively(scheme: object, image_keys: jax.Array, images: object, inverse: bool = False) -> bool:
    return library.TARGET in _run.lower(scheme, image_keys, images, inverse, True).as_text()


# Blocks whose rows are whole vectors of 16 bytes and that are not, more blocks than a vector holds and fewer, positions
# for one word and for two, channels, orders that leave positions in place up to all of them, and an image that is not
# fetched as a whole.
SETTINGS = [
    ((64, 80, 3), {"block_size": 16}),
    ((64, 80, 3), {"block_size": 16, "fixed_blocks": 5, "fixed_pixels": 700}),
    ((28, 35, 3), {"block_size": 7, "fixed_blocks": 3, "fixed_pixels": 1}),
    ((12, 8, 1), {"block_size": 2, "fixed_pixels": 2}),
    ((6, 5, 4), {"block_size": 1, "fixed_blocks": 29}),
    ((16, 16, 3), {"block_size": 16}),
    ((15, 30, 2), {"block_size": 5, "fixed_pixels": 50}),
    ((128, 192, 1), {"block_size": 1}),
    ((176, 256, 3), {"block_size": 16}),
]


@needs_kernel
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize(("shape", "parameters"), SETTINGS)
def test_same_bytes(shape, parameters, dtype):
    image_keys, images = keys_of(1, 5), images_of(2, 5, *shape, dtype=dtype)
    scheme = schemes.disposable(**parameters)
    with jax.enable_x64(dtype == "float64"):
        assert runs_natively(scheme, image_keys, images)
        encrypted = encrypt(scheme, image_keys, images)
        np.testing.assert_array_equal(encrypted, by_reference("disposable", image_keys, images, **parameters))
        assert encrypted.dtype == dtype
        np.testing.assert_array_equal(decrypt(scheme, image_keys, encrypted), images)


OTHERS = {
    "horio": {"block_size": 4, "fixed_blocks": 1, "fixed_pixels": 9},
    "qi": {"block_size": 4},
    "patch_shuffle": {"block_size": 4},
    "sorted_blocks": {"block_size": 4, "fixed_blocks": 3},
    "disposable": {"block_size": 4, "fixed_blocks": 2, "fixed_pixels": 36, "pixel_order": "block"},
}


@needs_kernel
@pytest.mark.parametrize("name", OTHERS)
def test_other_schemes(name):
    """Against XLA's kernels, as the reference lacks some; bytes of few values and of many."""
    scheme = schemes.by_name(name, **OTHERS[name])
    image_keys, images = keys_of(3, 4), images_of(4, 4, 16, 12, 3)
    images[0] //= 128
    assert runs_natively(scheme, image_keys, images)
    encrypted = np.asarray(encrypt(scheme, image_keys, images))
    with native.turned_off():
        np.testing.assert_array_equal(encrypted, encrypt(scheme, image_keys, images))
    if scheme.invertible:
        np.testing.assert_array_equal(decrypt(scheme, image_keys, encrypted), images)


@needs_kernel
def test_blocks_of_one_value_and_of_many_sort_alike():
    scheme = schemes.sorted_blocks(16)
    images = images_of(5, 3, 32, 32, 3)
    images[0], images[1] = 255, images[1] // 250
    blocks = np.asarray(encrypt(scheme, keys_of(5, 3), images)).reshape(3, 2, 16, 2, 48).swapaxes(2, 3)
    assert (np.diff(blocks.reshape(3, 4, 768).astype(int)) >= 0).all()
    np.testing.assert_array_equal(np.sort(blocks.reshape(3, -1)), np.sort(images.reshape(3, -1)))


def test_what_it_is_not_made_for():
    def plan(scheme, shape=SHAPE, dtype="uint8", inverse=False):
        return native.plan_of(scheme, shape, np.dtype(dtype), inverse)

    assert plan(SCHEME) and plan(SCHEME, inverse=True)
    assert plan(schemes.sorted_blocks(4))
    for name in ("etc", "le", "ele", "negative_positive"):
        assert plan(schemes.by_name(name, block_size=4)) is None
    for variant in ({"order_by": "channel"}, {"order_by": "luminance"}, {"levels": 16}, {"epsilon": 1.0}):
        assert plan(schemes.sorted_blocks(4, **variant)) is None
    assert plan(schemes.sorted_blocks(4), dtype="float32") is None
    assert plan(schemes.sorted_blocks(4), dtype="int8") is None
    assert plan(SCHEME, dtype=jnp.float8_e4m3fn) is None
    assert plan(schemes.disposable(128), (128, 128, 3)) is None  # three words for each of 49152 positions
    other_way = schemes.disposable(4, pixel_order="block")
    assert plan(other_way)
    assert plan(type(other_way)("x", 4, other_way.transforms[::-1])) is None


@needs_kernel
def test_threefry_keys_go_to_xla():
    assert not runs_natively(SCHEME, keys_of(6, 4, name="threefry2x32"), images_of(6, 4, *SHAPE))


# Batches and meshes


@needs_kernel
def test_shared_keys():
    images = images_of(7, 3, 4, *SHAPE)
    for shape in [(), (3, 1), (1, 4), (1, 1)]:
        image_keys = keys_of(7, *shape)
        each = jnp.broadcast_to(image_keys, (3, 4)) if shape else jnp.full((3, 4), image_keys)
        np.testing.assert_array_equal(encrypt(SCHEME, image_keys, images), encrypt(SCHEME, each, images))


@needs_kernel
def test_vmap():
    image_keys, images = keys_of(8, 3, 4), images_of(8, 3, 4, *SHAPE)
    run = functools.partial(encrypt, SCHEME)
    expected = np.asarray(run(image_keys, images))
    np.testing.assert_array_equal(jax.vmap(run)(image_keys, images), expected)
    np.testing.assert_array_equal(jax.jit(jax.vmap(jax.vmap(run)))(image_keys, images), expected)
    np.testing.assert_array_equal(jax.lax.map(lambda each: run(*each), (image_keys, images)), expected)
    by_key = jax.vmap(run, in_axes=(0, None))(image_keys[0], images[0, 0])
    np.testing.assert_array_equal(by_key, run(image_keys[0], np.repeat(images[0, :1], 4, axis=0)))
    by_image = jax.vmap(run, in_axes=(None, 1))(image_keys[:, 0], images)
    np.testing.assert_array_equal(by_image, run(image_keys[:, :1], images).swapaxes(0, 1))
    assert run(image_keys[:, :0], images[:, :0]).shape == (3, 0, *SHAPE)


COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute")


@needs_kernel
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
@pytest.mark.parametrize(("of_keys", "of_images"), [("ab", "ab"), ("-b", "-b"), ("a1", "ab")])
def test_no_collective(kind, of_keys, of_images):
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(kind, kind))
    spec_of = lambda axes: PartitionSpec(*(name if name in "ab" else None for name in axes))  # noqa: E731
    image_keys, images = keys_of(9, 2, 1 if of_keys[1] == "1" else 4), images_of(9, 2, 4, *SHAPE)
    expected = np.asarray(encrypt(SCHEME, image_keys, images))
    sharded = [
        jax.device_put(array, NamedSharding(mesh, spec_of(axes)))
        for array, axes in ((image_keys, of_keys), (images, of_images))
    ]
    run = jax.jit(functools.partial(encrypt, SCHEME))
    text = run.lower(*sharded).compile().as_text()
    assert library.TARGET in text
    assert not [name for name in COLLECTIVES if name in text]
    result = run(*sharded)
    np.testing.assert_array_equal(result, expected)
    assert tuple(result.sharding.spec)[:2] == tuple(spec_of(of_images))


@needs_kernel
def test_shard_map_knows_what_varies():
    """Each device has keys of its own for the same images: a result that passed for replicated would lose some."""
    image_keys, images = keys_of(10, 4), images_of(10, 1, *SHAPE)
    mesh = jax.make_mesh((4,), ("a",), axis_types=(AxisType.Auto,))
    run = jax.jit(
        jax.shard_map(
            functools.partial(encrypt, SCHEME),
            mesh=mesh,
            in_specs=(PartitionSpec("a"), PartitionSpec()),
            out_specs=PartitionSpec("a"),
        )
    )
    expected = encrypt(SCHEME, image_keys, np.repeat(images, 4, axis=0))
    np.testing.assert_array_equal(run(image_keys, images), expected)


def test_programs_of_two_schemes_differ_before_they_are_divided():
    """JAX's compilation cache sees a program before it is divided: no scheme may get another one's."""
    mesh = jax.make_mesh((4,), ("a",), axis_types=(AxisType.Auto,))
    on_mesh = functools.partial(jax.device_put, device=NamedSharding(mesh, PartitionSpec("a")))
    image_keys, images = on_mesh(keys_of(11, 4)), on_mesh(images_of(11, 4, *SHAPE))
    with_pointers = [
        _run.lower(schemes.disposable(4, fixed_blocks=fixed), image_keys, images, False, True).as_text()
        for fixed in (2, 3)
    ]
    one, other = (
        [line.split("{")[0] for line in text.splitlines() if "constant" in line or "custom_call" in line]
        for text in with_pointers
    )
    assert len(one) == len(other) and one != other


# Derivatives


@needs_kernel
def test_derivatives():
    image_keys, images = keys_of(12, 3), images_of(12, 3, *SHAPE, dtype="float32")
    weights = images_of(13, 3, *SHAPE, dtype="float32")

    def total(images, image_keys):
        return (encrypt(SCHEME, image_keys, images) * weights).sum()

    expected = decrypt(SCHEME, image_keys, weights)
    np.testing.assert_array_equal(jax.jit(jax.grad(total))(images, image_keys), expected)
    run = functools.partial(encrypt, SCHEME, image_keys)
    _, tangent = jax.jvp(run, (images,), (weights,))
    np.testing.assert_array_equal(tangent, run(weights))
    by_vmap = jax.vmap(jax.grad(lambda image, key: (encrypt(SCHEME, key, image) ** 2).sum()))(images, image_keys)
    np.testing.assert_array_equal(by_vmap, 2 * images)


# Without it


@needs_kernel
def test_it_can_be_turned_off(monkeypatch):
    assert native.status().runs
    monkeypatch.setenv(native.VARIABLE, "0")
    assert native.status() == (False, "DKJAX_NATIVE=0")
    monkeypatch.setenv(native.VARIABLE, "1")
    with native.turned_off():
        assert not native.status().runs
    assert native.status().runs


def test_a_library_that_cannot_be_used(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(library.importlib.resources, "files", lambda _: tmp_path)
    assert library._load("libmissing.so") == (False, "not built: there was no C++ compiler when dkjax was installed")
    (tmp_path / "libtext.so").write_text("no library")
    runs, reason = library._load("libtext.so")
    assert not runs and reason.startswith("libtext.so cannot be used: ")
    shutil.copy(multiarray.__file__, tmp_path / "libother.so")
    runs, reason = library._load("libother.so")
    assert not runs and "DkjaxPermute" in reason
