"""Write the test vectors, `cd tests && python -m vectors.make`: from the NumPy reference, never from the JAX package.

The cases are chosen here; `by_reference.py` says what comes out. They change only if the cipher changes.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path

from vectors import by_reference

from dkjax.reference.keystream import BITS_NONCE, FOLD_NONCE, SPLIT_NONCE, WORDS
from dkjax.reference.schemes import NAMES

HERE = Path(__file__).parent
LAST = 2**32 - 1

ABOUT = {
    "keystream": "The block functions, and what a key gives by split, fold_in and bits.",
    "keys": "Roots from seeds, rounds, clients and the keys of images.",
    "permutations": "Restricted random permutations.",
    "schemes": "Images encrypted under every scheme that is specified to the byte.",
    "invalid": "What must be refused, and with which error.",
}


def key_of(prng: str, label: object) -> str:
    """A key that nobody would choose, the same whenever this runs."""
    return hashlib.sha256(f"dkjax vectors {label}".encode()).digest()[: 4 * WORDS[prng]].hex()


def counting_key(prng: str) -> str:
    return bytes(range(4 * WORDS[prng])).hex()


def counting_keys(prng: str, count: int) -> list[str]:
    words = WORDS[prng]
    return [
        b"".join(word.to_bytes(4, "little") for word in range(i * words, (i + 1) * words)).hex() for i in range(count)
    ]


def special_keys(prng: str) -> list[str]:
    size = 4 * WORDS[prng]
    return [bytes(size).hex(), (b"\xff" * size).hex(), counting_key(prng)]


# What follows from these is published, in RFC 8439 and with the Random123 library: test_vectors.py has it.
RFC_8439 = {
    "2.3.2": (bytes(range(32)), 1, "000000090000004a00000000"),
    "2.4.2": (bytes(range(32)), 1, "000000000000004a00000000"),
    "A.1 #1": (bytes(32), 0, "000000000000000000000000"),
    "A.1 #2": (bytes(32), 1, "000000000000000000000000"),
    "A.1 #3": (bytes(31) + b"\x01", 1, "000000000000000000000000"),
    "A.1 #4": (b"\x00\xff" + bytes(30), 2, "000000000000000000000000"),
    "A.1 #5": (bytes(32), 0, "000000000000000000000002"),
}
RANDOM123 = {
    "zeros": ((0, 0), (0, 0)),
    "ones": ((LAST, LAST), (LAST, LAST)),
    "pi": ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3)),
}


def keystream_cases() -> Iterator[tuple[str, str, dict]]:
    for section, (key, counter, nonce) in RFC_8439.items():
        yield f"RFC 8439 {section}", "chacha20_block", {"key": key.hex(), "counter": counter, "nonce": nonce}
    for name, nonce in (("split", SPLIT_NONCE), ("fold", FOLD_NONCE), ("bits", BITS_NONCE)):
        for counter in (0, LAST):
            inputs = {"key": key_of("chacha20", name), "counter": counter, "nonce": nonce.astype("<u4").tobytes().hex()}
            yield f"nonce of {name}, counter {counter}", "chacha20_block", inputs
    for name, (key, counter) in RANDOM123.items():
        text = b"".join(word.to_bytes(4, "little") for word in key).hex()
        yield f"Random123 {name}", "threefry2x32_block", {"key": text, "counter": list(counter)}
    yield "high counter word", "threefry2x32_block", {"key": key_of("threefry2x32", 0), "counter": [1, 2]}
    for prng in WORDS:
        keys = [*special_keys(prng), key_of(prng, "keystream")]
        for i, key in enumerate(keys):
            yield f"{prng}, key {i}", "split", {"prng": prng, "key": key, "count": 2}
            yield f"{prng}, key {i}", "bits", {"prng": prng, "key": key, "count": 16}
            for data in (0, 1, 2**31, LAST) if i > 1 else (7,):
                yield f"{prng}, key {i}, {data}", "fold_in", {"prng": prng, "key": key, "data": data}
        for count in (3, 100):
            yield f"{prng}, {count} children", "split", {"prng": prng, "key": keys[-1], "count": count}
        for count in (1, 1000):
            yield f"{prng}, {count} words", "bits", {"prng": prng, "key": keys[-1], "count": count}


SEEDS = (0, 1, 42, LAST, 2**32, 2**64, 10**30)
CLIENTS = ("plant-a", "plant-b", "a", "plant-a ", "Klinik Köln", "病院", "🏥", "e\u0301", "\u00e9", "x" * 200, "\n")


def keys_cases() -> Iterator[tuple[str, str, dict]]:
    for prng in WORDS:
        for seed in SEEDS:
            yield f"{prng}, seed {seed}", "root", {"prng": prng, "seed": str(seed)}
        for i, root in enumerate([*special_keys(prng), key_of(prng, "root")]):
            yield f"{prng}, root {i}", "advance", {"prng": prng, "root": root}
        round_key = key_of(prng, "round")
        for i, client in enumerate(CLIENTS):
            yield f"{prng}, name {i}", "client_key", {"prng": prng, "round_key": round_key, "client": client}
        for client, count in itertools.product(("plant-a", "病院"), (1, 2, 5)):
            inputs = {"prng": prng, "round_key": round_key, "client": client, "count": count}
            yield f"{prng}, {client}, {count} images", "image_keys", inputs
        for seed, number in itertools.product((0, 2**64), (1, 2, 5)):
            inputs = {"prng": prng, "seed": str(seed), "round": number, "client": "plant-a", "count": 4}
            yield f"{prng}, seed {seed}, round {number}", "ratchet", inputs


# Up to 22 positions take one word each, up to 32768 two, then three. Each size, PRNG and shape is a program that the
# JAX package compiles, and threefry2x32 compiles three times faster: several cases use each program.
SIZES = {
    "threefry2x32": (1, 2, 3, 5, 16, 22, 23, 49, 196, 768, 2048, 32769),
    "chacha20": (6, 196, 3072),
}
# The first words of positions 210 and 2042 of 2048 are equal under this key, and their second words exchange them.
TIE = {("threefry2x32", 2048): 29}


def permutations_cases() -> Iterator[tuple[str, str, dict]]:
    for prng, sizes in SIZES.items():
        for n in sizes:
            few = range(n + 1) if n <= 5 else (0, 0, 0, 3 * n // 4, 3 * n // 4, 3 * n // 4)
            tied = [(TIE[prng, n], 0)] if (prng, n) in TIE else []
            for i, fixed in [*enumerate(few), *tied]:
                inputs = {"prng": prng, "key": key_of(prng, f"permutation {n} {i}"), "n": n, "fixed": fixed}
                yield f"{prng}, {fixed} of {n} fixed, key {i}", "permutation", inputs


# Numbers that every such dtype holds exactly, and no power of two, so that a value says where it came from.
MODULI = {
    "uint8": 251,
    "int8": 127,
    "uint16": 65521,
    "int16": 32749,
    "uint32": 65521,
    "int32": 65521,
    "float16": 2039,
    "float32": 65521,
}


def schemes_cases() -> Iterator[tuple[str, str, dict]]:
    # Keys of words 0, 1, 2, ... and others.
    for keys in ("counting", "a", "b"):
        for name in NAMES:
            yield _encryption("threefry2x32", name, [2, 8, 12, 3], keys=keys)
        for name in ("disposable", "etc", "le", "ele", "pe", "negative_positive"):
            yield _encryption("chacha20", name, [2, 8, 12, 3], keys=keys)
        for prng in WORDS:
            fixed = {"fixed_blocks": 147, "fixed_pixels": 576}
            yield _encryption(prng, "disposable", [1, 224, 224, 3], keys=keys, block_size=16, **fixed)
    for dtype in MODULI:
        for fixed in ({}, {"fixed_blocks": 1, "fixed_pixels": 9}) if dtype == "float16" else ({},):
            yield _encryption("threefry2x32", "disposable", [2, 8, 12, 3], dtype=dtype, keys="c", **fixed)
    for fixed_blocks, fixed_pixels in ((0, 36), (4, 0), (5, 47), (6, 48)):
        fixed = {"fixed_blocks": fixed_blocks, "fixed_pixels": fixed_pixels}
        for keys in ("a", "b"):
            yield _encryption("threefry2x32", "horio", [2, 8, 12, 3], keys=keys, **fixed)
    for dtype, fixed_blocks in (("int16", 2), ("float32", 0)):
        fixed = {"fixed_blocks": fixed_blocks}
        yield _encryption("threefry2x32", "sorted_blocks", [2, 8, 12, 3], dtype=dtype, keys="d", **fixed)
    for prng, variant in (
        ("threefry2x32", {"order_by": "channel"}),
        ("threefry2x32", {"order_by": "luminance", "levels": 4}),
        ("threefry2x32", {"levels": 7, "fixed_blocks": 2}),
        ("threefry2x32", {"levels": 16, "epsilon": 0.5}),
        ("chacha20", {"epsilon": 4.0}),
    ):
        yield _encryption(prng, "sorted_blocks", [2, 8, 12, 3], keys="e", **variant)
    yield _encryption("threefry2x32", "sorted_blocks", [1, 8, 12, 3], dtype="float32", order_by="channel")
    yield _encryption("threefry2x32", "sorted_blocks", [1, 8, 12, 1], order_by="luminance")
    for prng, block_fixed in itertools.product(WORDS, ({}, {"fixed_blocks": 2, "fixed_pixels": 36})):
        yield _encryption(prng, "disposable", [2, 8, 12, 3], keys="d", **block_fixed, pixel_order="block")
    for name in ("disposable", "etc", "ele", "pe"):
        for keys in ("counting", "a"):
            yield _encryption("threefry2x32", name, [2, 8, 12, 3], key_shape=[], keys=keys)
    for name in ("disposable", "etc"):
        yield _encryption("threefry2x32", name, [3, 2, 8, 12, 3], key_shape=[3, 1])
    yield _encryption("threefry2x32", "disposable", [3, 2, 8, 12, 3], key_shape=[3, 2])
    yield _encryption("threefry2x32", "le", [12, 8, 3], key_shape=[])
    for name, channels in (("etc", 1), ("etc", 2), ("etc", 6), ("disposable", 7), ("le", 1), ("pe", 4)):
        yield _encryption("threefry2x32", name, [1, 8, 12, channels])
    for name in ("disposable", "etc", "le", "ele"):
        # The whole image is one block; larger blocks.
        yield _encryption("threefry2x32", name, [1, 8, 8, 3], block_size=8)
        yield _encryption("threefry2x32", name, [1, 48, 32, 3], block_size=16)
    for name in ("disposable", "etc"):
        yield _encryption("threefry2x32", name, [1, 4, 6, 3], block_size=1)


def _encryption(
    prng: str,
    scheme: str,
    shape: list[int],
    *,
    key_shape: list[int] | None = None,
    block_size: int | None = None,
    dtype: str = "uint8",
    keys: str = "a",
    **fixed: float | str,
) -> tuple[str, str, dict]:
    key_shape = shape[:-3] if key_shape is None else key_shape
    parameters = {"block_size": block_size or (1 if scheme == "pe" else 4), **fixed}
    numbers = ",".join(map(str, parameters.values()))
    label = f"{scheme}({numbers}) of {dtype}{shape}, {prng} keys {keys}{key_shape}"
    count = math.prod(key_shape)
    inputs = {
        "prng": prng,
        "scheme": scheme,
        "parameters": parameters,
        "keys": counting_keys(prng, count)
        if keys == "counting"
        else [key_of(prng, f"{label} {i}") for i in range(count)],
        "key_shape": key_shape,
        "shape": shape,
        "dtype": dtype,
        "modulus": MODULI[dtype],
    }
    return label, "encrypt", inputs


def invalid_cases() -> Iterator[tuple[str, str, dict]]:
    for prng in ("rbg", "unsafe_rbg", "aes", "ChaCha20", "philox", ""):
        yield f"prng {prng!r}", "make_root", {"prng": prng, "seed": 0}
        yield f"prng {prng!r}", "make_disposable_root", {"prng": prng}
    for seed in (-1, 1.5, 1.0, "0", True, None, [0]):
        yield f"seed {seed!r}", "make_root", {"prng": "chacha20", "seed": seed}
    for prng, words in (("chacha20", (0, 1, 4, 7, 9, 16)), ("threefry2x32", (0, 1, 3, 4))):
        for count in words:
            yield f"{prng} of {count} words", "make_key", {"prng": prng, "shape": [count], "dtype": "uint32"}
    yield "a key without an axis", "make_key", {"prng": "chacha20", "shape": [], "dtype": "uint32"}
    for dtype, count in (("uint8", 32), ("int32", 8), ("uint64", 4), ("uint64", 8), ("float32", 8)):
        yield f"{count} words of {dtype}", "make_key", {"prng": "chacha20", "shape": [count], "dtype": dtype}
    for client in ("", 3, None, True):
        yield f"client {client!r}", "make_image_keys", {"prng": "chacha20", "client": client, "count": 1}
    for count in (-1, 1.5, "2", True):
        yield f"{count!r} images", "make_image_keys", {"prng": "chacha20", "client": "plant-a", "count": count}

    for scheme in ("", "Disposable", "rot13", "negative-positive"):
        yield f"scheme {scheme!r}", "make_scheme", {"scheme": scheme, "parameters": {}}
    for value in (0, -16, 1.5, 16.0, "16", True, None):
        yield f"block_size {value!r}", "make_scheme", {"scheme": "disposable", "parameters": {"block_size": value}}
    for parameter, value in itertools.product(("fixed_blocks", "fixed_pixels"), (-1, 1.0, 0.75, "1", True, None)):
        yield f"{parameter} {value!r}", "make_scheme", {"scheme": "disposable", "parameters": {parameter: value}}
    for value in ("", "pixel", "Block", True, 1, None, ["block"]):
        yield f"pixel_order {value!r}", "make_scheme", {"scheme": "disposable", "parameters": {"pixel_order": value}}
    yield "horio with pixel_order", "make_scheme", {"scheme": "horio", "parameters": {"pixel_order": "image"}}
    for name in NAMES:
        if name not in ("disposable", "horio", "sorted_blocks"):
            yield f"{name} with fixed blocks", "make_scheme", {"scheme": name, "parameters": {"fixed_blocks": 1}}
    yield "unknown parameter", "make_scheme", {"scheme": "disposable", "parameters": {"seed": 1}}

    for name in NAMES:
        block_size = 3 if name == "pe" else 5
        yield _refused(f"{name}, height", name, [1, 8, block_size, 3], block_size=block_size)
        yield _refused(f"{name}, width", name, [1, block_size, 8, 3], block_size=block_size, inverse=True)
    yield _refused("sorted_blocks, decryption", "sorted_blocks", [1, 8, 12, 3], inverse=True)
    yield (
        "sorted_blocks with fixed pixels",
        "make_scheme",
        {"scheme": "sorted_blocks", "parameters": {"fixed_pixels": 1}},
    )
    for name, values in (
        ("order_by", ("", "Value", "colour", 1, None)),
        ("levels", (0, 1, 257, 2.0, True, None)),
        ("epsilon", (-1, 0.001, 21, True, None, "1")),
    ):
        for value in values:
            yield f"{name} {value!r}", "make_scheme", {"scheme": "sorted_blocks", "parameters": {name: value}}
    for order_by in ("channel", "luminance"):
        parameters = {"epsilon": 1.0, "order_by": order_by}
        yield f"noise by {order_by}", "make_scheme", {"scheme": "sorted_blocks", "parameters": parameters}
    for variant in ({"order_by": "luminance"}, {"levels": 8}, {"epsilon": 1.0}):
        yield _refused(f"{variant} of int8", "sorted_blocks", [1, 8, 8, 3], dtype="int8", **variant)
    yield _refused("blocks larger than the image", "disposable", [1, 8, 8, 3], block_size=16)
    for fixed in ({"fixed_blocks": 7}, {"fixed_pixels": 49}, {"fixed_blocks": 6, "fixed_pixels": 10**6}):
        yield _refused(f"{fixed} of 6 blocks of 48 values", "disposable", [1, 8, 12, 3], **fixed)
    for name, dtype in itertools.product(
        ("etc", "le", "ele", "pe", "negative_positive"), ("int8", "uint16", "float32")
    ):
        yield _refused(f"{name} of {dtype}", name, [1, 8, 8, 3], dtype=dtype)
    for dtype in ("bool", "complex64", "str"):
        yield _refused(f"disposable of {dtype}", "disposable", [1, 8, 8, 3], dtype=dtype)
    for name in ("etc", "pe"):
        yield _refused(f"{name} of 7 channels", name, [1, 8, 8, 7])
    for shape in ([8], [8, 8], [0, 8, 3], [8, 0, 3], [8, 8, 0]):
        yield _refused(f"image of shape {shape}", "disposable", shape, key_shape=[])
    for key_shape, shape in (
        ([2], [8, 8, 3]),
        ([2], [3, 8, 8, 3]),
        ([3], [2, 3, 8, 8, 3]),
        ([2, 2], [2, 3, 8, 8, 3]),
        ([1, 1], [2, 8, 8, 3]),
        ([1, 2, 3], [2, 3, 8, 8, 3]),
    ):
        yield _refused(f"keys {key_shape} for images {shape}", "disposable", shape, key_shape=key_shape)


def _refused(
    label: str,
    scheme: str,
    shape: list[int],
    *,
    key_shape: list[int] | None = None,
    block_size: int | None = None,
    dtype: str = "uint8",
    inverse: bool = False,
    **fixed: float | str,
) -> tuple[str, str, dict]:
    inputs = {
        "prng": "chacha20",
        "scheme": scheme,
        "parameters": {"block_size": block_size or (1 if scheme == "pe" else 4), **fixed},
        "key_shape": shape[:-3] if key_shape is None else key_shape,
        "shape": shape,
        "dtype": dtype,
        "inverse": inverse,
    }
    return label, "use_scheme", inputs


def make() -> dict[str, list[dict]]:
    """Return all cases with what is expected of them, by the name of their file."""
    chosen = {
        "keystream": keystream_cases(),
        "keys": keys_cases(),
        "permutations": permutations_cases(),
        "schemes": schemes_cases(),
        "invalid": invalid_cases(),
    }
    return {file: [_finished(file, *case) for case in cases] for file, cases in chosen.items()}


def _finished(file: str, label: str, operation: str, inputs: dict) -> dict:
    case = {"id": f"{operation}: {label}", "operation": operation, "input": inputs}
    if file == "invalid":
        return case | {"error": by_reference.refuse(case)}
    return case | {"expected": by_reference.run(case)}


def write(folder: Path = HERE) -> None:
    """Write every file, one case a line."""
    for file, cases in make().items():
        head = json.dumps({"about": ABOUT[file], "specification": "docs/spec.md"}, indent=1).removesuffix("\n}")
        lines = ",\n".join(f"  {json.dumps(case)}" for case in cases)
        (folder / f"{file}.json").write_text(f'{head},\n "cases": [\n{lines}\n ]\n}}\n', encoding="utf-8")


if __name__ == "__main__":
    write()
