"""Every operation of the vectors, done by the NumPy reference: what the stored files are made with and checked by.

Keys and words are written as hexadecimal bytes, each word little-endian. Results are given by their first values and
the SHA-256 of all of them.
"""

import hashlib

import numpy as np

from dkjax import reference
from dkjax.errors import DkjaxError
from dkjax.reference import keystream

FIRST_BYTES = 64
FIRST_VALUES = {"permutation": 64, "encrypt": 16}


def words_of(text: str) -> np.ndarray:
    """Words from hexadecimal bytes."""
    return np.frombuffer(bytes.fromhex(text), "<u4").astype(np.uint32)


def keys_of(texts: list[str], shape: list[int]) -> np.ndarray:
    """A batch of keys, `uint32[*shape, W]`."""
    return np.stack([words_of(text) for text in texts]).reshape(*shape, -1)


def images_of(shape: list[int], dtype: str, modulus: int) -> np.ndarray:
    """The rule of the plain images: value `i`, in row-major order over the whole batch, is `i mod modulus`."""
    return (np.arange(np.prod(shape)) % modulus).astype(dtype).reshape(shape)


def of_words(words: np.ndarray) -> dict:
    """Say words as bytes: how many, the first, and a hash of all."""
    data = np.ascontiguousarray(words).astype("<u4").tobytes()
    return {"length": len(data), "first": data[:FIRST_BYTES].hex(), "sha256": hashlib.sha256(data).hexdigest()}


def of_values(values: np.ndarray, first: int) -> dict:
    """Say values: the first as numbers, and a hash of all as little-endian bytes in row-major order."""
    values = np.ascontiguousarray(values)
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    return {"first": values.ravel()[:first].tolist(), "sha256": hashlib.sha256(data).hexdigest()}


def _chacha20_block(key: str, counter: int, nonce: str) -> dict:
    return of_words(keystream.chacha20(words_of(key), np.array([counter], np.uint32), words_of(nonce)))


def _threefry2x32_block(key: str, counter: list[int]) -> dict:
    return of_words(keystream.threefry2x32(words_of(key), counter[0], np.array(counter[1:], np.uint32)))


def _split(prng: str, key: str, count: int) -> dict:
    return of_words(reference.split(words_of(key), count))


def _fold_in(prng: str, key: str, data: int) -> dict:
    return of_words(reference.fold_in(words_of(key), data))


def _bits(prng: str, key: str, count: int) -> dict:
    return of_words(reference.bits(words_of(key), count))


def _root(prng: str, seed: str) -> dict:
    return of_words(reference.reproducible_root(int(seed), prng=prng))


def _advance(prng: str, root: str) -> dict:
    next_root, round_key = reference.advance(words_of(root))
    return {"next_root": of_words(next_root), "round_key": of_words(round_key)}


def _client_key(prng: str, round_key: str, client: str) -> dict:
    return of_words(reference.client_key(words_of(round_key), client))


def _image_keys(prng: str, round_key: str, client: str, count: int) -> dict:
    return of_words(reference.image_keys(words_of(round_key), client, count))


def _ratchet(prng: str, seed: str, round: int, client: str, count: int) -> dict:
    root = reference.reproducible_root(int(seed), prng=prng)
    for _ in range(round):
        root, round_key = reference.advance(root)
    return of_words(reference.image_keys(round_key, client, count))


def _permutation(prng: str, key: str, n: int, fixed: int) -> dict:
    return of_values(reference.random_permutations(words_of(key), n, fixed), FIRST_VALUES["permutation"])


def _encrypt(
    prng: str,
    scheme: str,
    parameters: dict,
    keys: list[str],
    key_shape: list[int],
    shape: list[int],
    dtype: str,
    modulus: int,
) -> dict:
    made, image_keys = reference.by_name(scheme, **parameters), keys_of(keys, key_shape)
    images = images_of(shape, dtype, modulus)
    encrypted = reference.encrypt(made, image_keys, images)
    if scheme != "sorted_blocks":  # which has no inverse
        assert np.array_equal(reference.decrypt(made, image_keys, encrypted), images)
    return of_values(encrypted, FIRST_VALUES["encrypt"])


OPERATIONS = {
    "chacha20_block": _chacha20_block,
    "threefry2x32_block": _threefry2x32_block,
    "split": _split,
    "fold_in": _fold_in,
    "bits": _bits,
    "root": _root,
    "advance": _advance,
    "client_key": _client_key,
    "image_keys": _image_keys,
    "ratchet": _ratchet,
    "permutation": _permutation,
    "encrypt": _encrypt,
}


def run(case: dict) -> dict:
    """Return what is expected of a valid case."""
    return OPERATIONS[case["operation"]](**case["input"])


def _make_key(prng: str, shape: list[int], dtype: str) -> None:
    reference.split(np.zeros(shape, dtype), keystream.key_words(prng))


def _refused_encrypt(
    prng: str, scheme: str, parameters: dict, key_shape: list[int], shape: list[int], dtype: str, inverse: bool
) -> None:
    keys = np.zeros((*key_shape, keystream.key_words(prng)), np.uint32)
    operation = reference.decrypt if inverse else reference.encrypt
    operation(reference.by_name(scheme, **parameters), keys, np.zeros(shape, dtype))


def _refused_image_keys(prng: str, client: object, count: object) -> None:
    reference.image_keys(np.zeros(keystream.key_words(prng), np.uint32), client, count)


REFUSED = {
    "make_key": _make_key,
    "make_root": lambda prng, seed: reference.reproducible_root(seed, prng=prng),
    "make_disposable_root": lambda prng: reference.disposable_root(prng=prng),
    "make_scheme": lambda scheme, parameters: reference.by_name(scheme, **parameters),
    "use_scheme": _refused_encrypt,
    "make_image_keys": _refused_image_keys,
}


def refuse(case: dict) -> str:
    """Return the name of the error that an invalid case ends in."""
    try:
        REFUSED[case["operation"]](**case["input"])
    except DkjaxError as error:
        return type(error).__name__
    raise AssertionError(f"{case['id']} was not refused")
