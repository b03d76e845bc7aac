"""The NumPy reference by itself: what it may import, its laws, and the light client of docs/light_client.md."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from dkjax import prng as jax_prng
from dkjax import reference
from dkjax.cipher import blocks, schemes, transforms
from dkjax.errors import ArgumentError
from dkjax.reference import keystream, permutations
from dkjax.reference import transforms as reference_transforms

ROOT = Path(__file__).parents[2]
PRNGS = tuple(keystream.WORDS)
BLOCK_SIZES = {"pe": 1}
every_scheme = pytest.mark.parametrize("name", reference.NAMES)
every_prng = pytest.mark.parametrize("prng", PRNGS)


def keys_of(prng: str, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**32, (*shape, keystream.WORDS[prng]), dtype=np.uint32)


def scheme_of(name: str, **parameters: int) -> reference.Scheme:
    return reference.by_name(name, block_size=BLOCK_SIZES.get(name, 4), **parameters)


def images_of(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(1).integers(0, 100, shape).astype(dtype)


def test_it_imports_numpy_and_nothing_else():
    code = (
        "import sys, json, numpy; before = set(sys.modules); import dkjax.reference; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    new = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT).stdout)
    mine = {name for name in new if name.partition(".")[0] == "dkjax"}
    assert {name.partition(".")[0] for name in new} - {"dkjax", "numpy"} <= sys.stdlib_module_names
    # The package itself finds its names lazily; that is the standard library alone, as the line above says.
    lazy = {"dkjax", "dkjax.runtime", "dkjax.runtime.lazy"}
    assert {name for name in mine if not name.startswith("dkjax.reference")} == {"dkjax.errors", *lazy}


def test_rfc_8439():
    key = np.frombuffer(bytes(range(32)), "<u4").astype(np.uint32)
    nonce = np.frombuffer(bytes.fromhex("000000090000004a00000000"), "<u4").astype(np.uint32)
    block = keystream.chacha20(key, np.array([1], np.uint32), nonce)[0]
    assert block.astype("<u4").tobytes().hex().startswith("10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c06803")


@pytest.mark.parametrize("count", [1, 16, 33, 200])
def test_uses_of_a_key_equal_another_chacha20(count):
    keys = keys_of("chacha20", 3)

    def stream(key: np.ndarray, nonce: bytes, counter: int, words: int) -> np.ndarray:
        cipher = Cipher(
            algorithms.ChaCha20(key.astype("<u4").tobytes(), counter.to_bytes(4, "little") + nonce), mode=None
        )
        return np.frombuffer(cipher.encryptor().update(bytes(4 * words)), "<u4")

    for i, key in enumerate(keys):
        np.testing.assert_array_equal(reference.bits(keys, count)[i], stream(key, b"dkjax/bits//", 0, count))
        np.testing.assert_array_equal(
            reference.split(keys, count)[i], stream(key, b"dkjax/split/", 0, 8 * count).reshape(count, 8)
        )
        np.testing.assert_array_equal(reference.fold_in(keys, count)[i], stream(key, b"dkjax/fold//", count, 8))


@every_prng
def test_keystreams_of_a_batch_equal_a_loop(prng):
    keys = keys_of(prng, 2, 3)
    for function, argument in ((reference.split, 3), (reference.bits, 20), (reference.fold_in, 7)):
        for place in np.ndindex(2, 3):
            np.testing.assert_array_equal(function(keys, argument)[place], function(keys[place], argument))


@every_prng
def test_permutations_have_their_fixed_points(prng):
    for n in (1, 2, 3, 22, 100):
        for fixed in {0, n // 2, n}:
            drawn = reference.random_permutations(keys_of(prng, 20), n, fixed)
            assert drawn.dtype == np.int32
            np.testing.assert_array_equal(np.sort(drawn), np.broadcast_to(np.arange(n), (20, n)))
            assert ((drawn == np.arange(n)).sum(axis=1) >= fixed).all()
            back = np.take_along_axis(drawn, reference.invert(drawn), axis=1)
            np.testing.assert_array_equal(back, np.sort(drawn))


def test_words_keep_the_stated_bias():
    for n in (2, 16, 22, 23, 196, 768, 32768, 32769, 10**6):
        words, bits = permutations.words_for(n), permutations.position_bits(n)
        assert n * n * 2.0 ** (bits - 32 * words - 2) < 2**-20
        assert words == 1 or n * n * 2.0 ** (bits - 32 * (words - 1) - 2) >= 2**-20
    assert [permutations.words_for(n) for n in (22, 23, 32768, 32769)] == [1, 2, 2, 3]


@every_scheme
@every_prng
@pytest.mark.parametrize(("key_shape", "leading"), [((), ()), ((), (3,)), ((3,), (3,)), ((2, 1), (2, 3)), ((0,), (0,))])
def test_round_trip(name, prng, key_shape, leading):
    scheme, keys, images = scheme_of(name), keys_of(prng, *key_shape), images_of(*leading, 8, 12, 3)
    encrypted = reference.encrypt(scheme, keys, images)
    assert (encrypted.shape, encrypted.dtype) == (images.shape, images.dtype)
    assert images.size == 0 or not np.array_equal(encrypted, images)
    if name == "sorted_blocks":
        with pytest.raises(ArgumentError, match="sorted blocks cannot be decrypted"):
            reference.decrypt(scheme, keys, encrypted)
        return
    np.testing.assert_array_equal(reference.decrypt(scheme, keys, encrypted), images)


@every_scheme
def test_a_batch_equals_a_loop(name):
    scheme, keys, images = scheme_of(name), keys_of("chacha20", 3), images_of(3, 8, 12, 3)
    one_by_one = [reference.encrypt(scheme, key, image) for key, image in zip(keys, images, strict=True)]
    np.testing.assert_array_equal(reference.encrypt(scheme, keys, images), np.stack(one_by_one))


@pytest.mark.parametrize("name", ["disposable", "horio", "qi", "patch_shuffle"])
@pytest.mark.parametrize("dtype", ["int8", "int64", "float16", "float64"])
def test_moving_schemes_take_any_dtype(name, dtype):
    keys, images = keys_of("chacha20", 2), images_of(2, 8, 12, 3, dtype=dtype)
    encrypted = reference.encrypt(scheme_of(name), keys, images)
    assert encrypted.dtype == images.dtype
    np.testing.assert_array_equal(encrypted, reference.encrypt(scheme_of(name), keys, images.astype(np.uint8)))


def test_options_of_transforms_that_no_scheme_uses():
    shape = blocks.BlockShape(6, 4, 3)
    mine, key = reference_transforms.BlockShape(6, 4, 3), keys_of("threefry2x32")
    values = images_of(6, 48)
    for name, options in (
        ("NegativePositive", {"per_block": False, "per_value": True}),
        ("NegativePositive", {"per_block": False}),
        ("ColourShuffling", {"per_block": False}),
    ):
        other = getattr(transforms, name)(**options)
        expected = other.apply(
            other.sample(jax_prng.wrap_key(jnp.array(key), "threefry2x32"), shape), jnp.array(values), shape
        )
        transform = getattr(reference_transforms, name)(**options)
        parameters = transform.sample(key[None], mine)
        found = transform.apply(parameters, values[None], mine)
        np.testing.assert_array_equal(found[0], jax.device_get(expected))
        np.testing.assert_array_equal(transform.invert(parameters, found, mine)[0], values)


@every_prng
def test_keys(prng):
    root = reference.disposable_root(prng=prng)
    assert root.shape == (keystream.WORDS[prng],)
    assert not np.array_equal(root, reference.disposable_root(prng=prng))
    next_root, round_key = reference.advance(root)
    five = reference.image_keys(round_key, "plant-a", 5)
    np.testing.assert_array_equal(reference.image_keys(round_key, "plant-a", 2), five[:2])
    others = [reference.client_key(round_key, "plant-a"), *reference.image_keys(round_key, "plant-b", 2), next_root]
    assert len({key.tobytes() for key in (*five, *others)}) == 9
    reference.erase(root, five)
    assert not root.any()
    assert not five.any()


def test_orthogonal_is_refused_with_a_reason():
    with pytest.raises(ArgumentError, match=r"not specified: use dkjax\.schemes\.orthogonal"):
        reference.by_name("orthogonal")


SPECIFICATION = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", schemes.NAMES)
def test_the_specification_has_the_steps_of_every_scheme(name):
    rows = [line.split("|")[2:] for line in SPECIFICATION.splitlines() if line.startswith(f"| `{name}` |")]
    ((block_size, *steps, _),) = rows
    scheme = schemes.by_name(name)
    assert int(block_size) == scheme.block_size
    assert [re.search(r"`(\w+)", step).group(1) for step in steps if step.strip()] == [
        type(step).__name__ for step in scheme.transforms
    ]


def test_the_specification_has_the_nonces():
    for name, nonce in (("split", jax_prng.SPLIT_NONCE), ("fold", jax_prng.FOLD_NONCE), ("bits", jax_prng.BITS_NONCE)):
        text = f"dkjax/{name}/".ljust(12, "/")
        words = " ".join(f"{word:08x}" for word in nonce)
        assert f"| `{name.upper()}` | `{text}` | `{words}` |" in SPECIFICATION


def test_the_light_client_of_the_page_runs():
    page = (ROOT / "docs" / "light_client.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1)
    names = {"images": images_of(2, 32, 32, 3)}
    exec(code, names)
    assert names["encrypted"].shape == (2, 32, 32, 3)
    assert not names["image_keys"].any()
