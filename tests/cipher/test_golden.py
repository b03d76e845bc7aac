"""The bytes of every scheme, stored, and made again from the RFC's keystream by code that shares nothing with dkjax.

`golden.json` says what encryption gave when it was written. It changes only if the cipher changes, and then every
encrypted image out there becomes unreadable: `python tests/cipher/test_golden.py` writes it anew. Of `orthogonal` it
keeps a few values instead of a hash, as its bytes are those of one backend's rounding.
"""

import contextlib
import hashlib
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from dkjax import prng
from dkjax.cipher import encrypt, native, schemes
from dkjax.keys import reproducible

GOLDEN = Path(__file__).with_name("golden.json")

# (height, width, channels), block size, fixed blocks, fixed values of a block
SETTINGS = {
    "8x12x3 M=4 fixed 0+0": ((8, 12, 3), 4, 0, 0),
    "8x12x3 M=4 fixed 2+36": ((8, 12, 3), 4, 2, 36),
    "64x48x3 M=16 fixed 3+192": ((64, 48, 3), 16, 3, 192),
}
NUM_IMAGES = 2

# The other schemes, on bytes.
BYTES_SHAPE = (8, 12, 3)
OTHERS = {name: schemes.by_name(name, block_size=1 if name == "pe" else 4) for name in schemes.NAMES[1:]} | {
    "disposable by block": schemes.disposable(4, fixed_blocks=2, fixed_pixels=36, pixel_order="block"),
    "sorted_blocks by luminance": schemes.sorted_blocks(4, order_by="luminance", levels=16),
    "sorted_blocks with noise": schemes.sorted_blocks(4, levels=16, epsilon=1.0),
}


def images_of(shape: tuple[int, ...]) -> np.ndarray:
    """Every value says where it came from."""
    return np.arange(NUM_IMAGES * np.prod(shape), dtype=np.int32).reshape(NUM_IMAGES, *shape)


def bytes_of(name: str) -> np.ndarray:
    """Bytes that repeat after 251; as floating point numbers where the scheme wants such."""
    images = (images_of(BYTES_SHAPE) % 251).astype(np.uint8)
    return images.astype(np.float32) if name == "orthogonal" else images


def keys_of_words(name: str):
    """The words 0, 1, 2, ... as keys, one for each image."""
    words = np.arange(NUM_IMAGES * prng.key_words(name), dtype=np.uint32).reshape(NUM_IMAGES, -1)
    return prng.wrap_key(jnp.array(words), name)


def encrypt_all(name: str) -> dict[str, np.ndarray]:
    """Encrypt in every setting with keys made of words and with the keys of seed 0, round 1, client plant-a."""

    @jax.jit  # one program for all settings
    def run(image_keys, plain):
        return {
            setting: encrypt(
                schemes.disposable(block_size, fixed_blocks=fixed_blocks, fixed_pixels=fixed_pixels),
                image_keys,
                plain[setting],
            )
            for setting, (_, block_size, fixed_blocks, fixed_pixels) in SETTINGS.items()
        }

    @jax.jit
    def run_others(image_keys, plain):
        return {other: encrypt(scheme, image_keys, plain[other]) for other, scheme in OTHERS.items()}

    plain = {setting: images_of(shape) for setting, (shape, *_) in SETTINGS.items()}
    plain_of_others = {other: bytes_of(other) for other in OTHERS}
    with reproducible(0, prng=name).next_round() as round_keys:
        sources = {
            "words 0, 1, ...": keys_of_words(name),
            "seed 0, plant-a": round_keys.for_client("plant-a", NUM_IMAGES),
        }
        of_disposable = {
            f"disposable, {setting}, {name}, {source}": np.asarray(images)
            for source, image_keys in sources.items()
            for setting, images in run(image_keys, plain).items()
        }
        of_others = {
            f"{other}, 8x12x3 M={OTHERS[other].block_size}, {name}, {source}": np.asarray(images)
            for source, image_keys in sources.items()
            for other, images in run_others(image_keys, plain_of_others).items()
        }
        return of_disposable | of_others


def summary_of(images: np.ndarray) -> dict:
    """The first values to read, and a hash of all as little-endian bytes; of real numbers some values alone."""
    if images.dtype == np.float32:
        return {"every 97th": [round(float(value), 3) for value in images.ravel()[::97]]}
    dtype = images.dtype.newbyteorder("<")
    return {"first": images.ravel()[:6].tolist(), "sha256": hashlib.sha256(images.astype(dtype).tobytes()).hexdigest()}


@pytest.fixture(scope="module", params=[*prng.NAMES, "chacha20 by XLA"])
def encrypted(request):
    name, _, by_xla = request.param.partition(" ")
    with native.turned_off() if by_xla else contextlib.nullcontext():
        return encrypt_all(name)


def test_golden_bytes(encrypted):
    golden = json.loads(GOLDEN.read_text())
    assert len(golden) == (len(SETTINGS) + len(OTHERS)) * len(prng.NAMES) * 2
    for name, images in encrypted.items():
        if images.dtype == np.float32:
            assert summary_of(images)["every 97th"] == pytest.approx(golden[name]["every 97th"], abs=0.01)
        else:
            assert summary_of(images) == golden[name], name


# The same once more, from the documentation alone. `nonce` is the text that prng.py states.


def keystream(key: bytes, nonce: bytes, words: int) -> np.ndarray:
    cipher = Cipher(algorithms.ChaCha20(key, bytes(4) + nonce), mode=None)
    return np.frombuffer(cipher.encryptor().update(bytes(4 * words)), "<u4")


def permutation_of(key: bytes, n: int, fixed: int, words: int) -> list[int]:
    random_bits = keystream(key, b"dkjax/bits//", words * n).reshape(words, n).copy()
    random_bits[-1] >>= (n - 1).bit_length()
    order = sorted(range(n), key=lambda i: (*random_bits[:, i].tolist(), i))
    moved = iter(order[fixed:])
    stays = set(order[:fixed])
    return [position if position in stays else next(moved) for position in range(n)]


def encrypt_by_hand(image, key, block_size, fixed_blocks, fixed_pixels):
    height, width, channels = image.shape
    columns = width // block_size
    num_blocks, block_values = height // block_size * columns, block_size * block_size * channels
    children = keystream(key, b"dkjax/split/", 16).tobytes()
    # One word for each position is enough for up to 22 of them, two are for up to 32768.
    blocks = permutation_of(children[:32], num_blocks, fixed_blocks, words=1)
    pixels = permutation_of(children[32:], block_values, fixed_pixels, words=2)
    encrypted = np.empty_like(image)
    for to_block, from_block in enumerate(blocks):
        for to_value, from_value in enumerate(pixels):
            places = []
            for block, value in ((to_block, to_value), (from_block, from_value)):
                row, column, channel = np.unravel_index(value, (block_size, block_size, channels))
                places.append((block // columns * block_size + row, block % columns * block_size + column, channel))
            encrypted[places[0]] = image[places[1]]
    return encrypted


@pytest.mark.parametrize("encrypted", ["chacha20"], indirect=True)
@pytest.mark.parametrize("setting", SETTINGS)
def test_golden_bytes_by_hand(encrypted, setting):
    shape, *arguments = SETTINGS[setting]
    images = encrypted[f"disposable, {setting}, chacha20, words 0, 1, ..."]
    keys = np.arange(NUM_IMAGES * 8, dtype="<u4").reshape(NUM_IMAGES, 8)
    for plain, image, key in zip(images_of(shape), images, keys, strict=True):
        np.testing.assert_array_equal(image, encrypt_by_hand(plain, key.tobytes(), *arguments))


if __name__ == "__main__":
    summaries = {
        name: summary_of(images) for prng_name in prng.NAMES for name, images in encrypt_all(prng_name).items()
    }
    lines = (f"{json.dumps(name)}: {json.dumps(summary)}" for name, summary in summaries.items())
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
